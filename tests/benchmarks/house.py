"""Where it is measured: one embedded server with the product's own flags on a file, one whole installation of Stanch
in this process as ``stanch up`` runs it, a simulated company beside it, and workers written by hand on the same server.
"""

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError

from activities.action import ActionSpec
from activities.catalog import CATALOG, Catalog
from activities.runner import Runner
from activities.surroundings import Surroundings
from tests.benchmarks.bare import BareParallel, BareSequence, noop
from tests.fakes import FixedSystems, MemoryStore
from tests.lab import LAB_ACTIONS, LabWorld, connect_lab
from worker.codec import KeyRing
from worker.desk.starts import Starts
from worker.edge import key_ring, secrets_of
from worker.embedded import EmbeddedServer
from worker.obtain import Obtain, to_stderr
from worker.run import Workers
from worker.sandbox import workflow_runner
from worker.settings import Settings
from worker.start import serving
from worker.start_base import open_store
from worker.start_parts import make_desk
from worker.store import Store
from worker.systems import ConnectedSystems
from worker.temporal import connect, data_converter, make_worker

SOURCE = "detector"
BARE, SEALED = "by-hand", "by-hand-sealed"
"""Queues of the workers written by hand, plain and with the codec. They have a no-op of their own, and Stanch's
actions on a store in memory."""
RANGE_SECONDS = 60.0


class JournalTime(Store):
    """The store, which also says how long activities were in it."""

    seconds = 0.0

    async def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As ``Store.call``, timed."""
        began = time.perf_counter()
        try:
            return await super().call(fn, *args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - began


@dataclass
class Bodies:
    """When the first action body of each incident began (wall clock) and of which action; how many are at work."""

    begun: dict[str, tuple[float, str]] = field(default_factory=dict)
    at_work: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, spec: ActionSpec) -> ActionSpec:
        """The action as it is, which also tells when its body begins. All first actions of playbooks are ``def``."""
        apply, loop = spec.body.apply, asyncio.get_running_loop()

        def told(body: Any, params: Any, ctx: Any, proposal: Any) -> Any:
            self.begun.setdefault(ctx.call.incident, (time.time(), spec.name))
            loop.call_soon_threadsafe(self.came.set)
            self.at_work += 1
            try:
                return apply(body, params, ctx, proposal)
            finally:
                self.at_work -= 1

        return replace(spec, body=type(spec.body.__name__, (spec.body,), {"apply": told}))

    async def first(self, incident: str, seconds: float) -> tuple[float, str]:
        """When the first body of an incident began, and of which action."""
        async with asyncio.timeout(seconds):
            while incident not in self.begun:
                self.came.clear()
                await self.came.wait()
        return self.begun[incident]


@dataclass
class House:
    """Everything that a benchmark needs. ``clients`` maps the queue of a bare worker to its client."""

    settings: Settings
    server: EmbeddedServer
    client: Client
    store: JournalTime
    ring: KeyRing
    bodies: Bodies
    clients: dict[str, Client]
    starts: Starts
    url: str
    secret: str
    alert: dict[str, Any]

    async def end(self, *workflows: str) -> None:
        """Take workflows away, so that nothing of one measurement runs into the next."""
        for name in workflows:
            await self._answers(name)
            with contextlib.suppress(RPCError):
                await self.client.get_workflow_handle(name).terminate("measured")
        for _ in range(500):
            if self.bodies.at_work == 0:
                break
            await asyncio.sleep(0.01)

    async def _answers(self, name: str) -> None:
        """Wait until a workflow is there and has begun: one that is ended before is an error to whoever opens it."""
        for _ in range(500):
            with contextlib.suppress(RPCError):
                await self.client.get_workflow_handle(name).query("status")
                return
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    """Build it under ``folder``, and clear it away at the end but for its files."""
    binary = await Obtain(os.environ, to_stderr).server()
    secret = secrets.token_urlsafe(16)
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(_range(folder))
        settings = _settings(folder, world["systems"], secret)
        server = EmbeddedServer(binary, settings.home / "temporal", namespace=settings.namespace)
        await stack.enter_async_context(server.running())
        stack.enter_context(contextlib.closing(open_store(settings)))
        store = JournalTime(settings.store_url, settings.home, mode=settings.mode.value)
        stack.enter_context(contextlib.closing(store))
        ring = key_ring(settings)
        # Measured runs are ended in the middle of their work, of which the core would warn each time.
        quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
        runtime = Runtime(telemetry=TelemetryConfig(logging=quiet))
        client = await connect(settings, ring, address=server.address, runtime=runtime)
        # By hand, too, workflows run as Stanch's do: outside the sandbox, which would be slower.
        by_hand = SimplePlugin("by-hand", workflow_runner=workflow_runner())
        shared: dict[str, Any] = {"namespace": settings.namespace, "runtime": runtime, "plugins": [by_hand]}
        plain = await Client.connect(server.address, **shared, data_converter=pydantic_data_converter)
        sealed = await Client.connect(server.address, **shared, data_converter=data_converter(ring))
        bodies = Bodies()
        systems = ConnectedSystems(
            {**settings.file.systems, "lab": {"folder": str(folder / "lab")}},
            secrets_of(settings),
            {"lab": connect_lab},
        )
        catalog = Catalog([*LAB_ACTIONS, *(bodies.of(spec) for spec in CATALOG.specs.values())])
        await stack.enter_async_context(Workers(client, settings, store, catalog=catalog, systems=systems).running())
        await stack.enter_async_context(_by_hand(settings, plain, sealed, folder))
        url = await stack.enter_async_context(serving(settings, client, store, lambda notice: None))
        yield House(
            settings=settings,
            server=server,
            client=client,
            store=store,
            ring=ring,
            bodies=bodies,
            clients={BARE: plain, SEALED: sealed},
            starts=make_desk(settings, client, store).starts,
            url=url,
            secret=secret,
            alert=world["alert"],
        )


@contextlib.asynccontextmanager
async def _by_hand(settings: Settings, plain: Client, sealed: Client, folder: Path) -> AsyncIterator[None]:
    """Workers of the other side, tuned like Stanch's."""
    flows = (BareSequence, BareParallel)
    with ThreadPoolExecutor(1) as executor:
        around = Surroundings(
            store=MemoryStore(), systems=FixedSystems(lab=LabWorld(folder / "lab")), mode=settings.mode
        )
        unrecorded = Runner(replace(around, executor=executor)).activities(LAB_ACTIONS)
        workers = [
            make_worker(plain, BARE, workflows=flows, activities=[noop, *unrecorded]),
            make_worker(sealed, SEALED, workflows=flows, activities=[noop, *unrecorded]),
        ]
        async with contextlib.AsyncExitStack() as stack:
            for worker in workers:
                await stack.enter_async_context(worker)
            yield


def _settings(folder: Path, systems: dict[str, dict[str, Any]], secret: str) -> Settings:
    """An exercise: its systems are simulated."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "detector.secret").touch(mode=0o600)
    (folder / "detector.secret").write_text(secret)
    lines = [
        'mode = "exercise"',
        'organisation = "bench"',
        "[api]",
        "port = 0",
        f"[alerts.{SOURCE}]",
        'scheme = "bearer"',
        'secret = "secret:file/detector.secret"',
        "starts_per_hour = 100000",
    ]
    for system, values in systems.items():
        lines += [f"[systems.{system}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    (folder / "stanch.toml").write_text("\n".join(lines) + "\n")
    return Settings.load({"STANCH_HOME": str(folder / "home"), "STANCH_CONFIG": str(folder / "stanch.toml")}, folder)


@contextlib.asynccontextmanager
async def _range(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """The simulated company, as a process of its own: what it says of itself."""
    command = ["-m", "worker.keeper", sys.executable, "-m", "worker.range", "--seed", "7", "--home", str(folder)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=1024 * 1024,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        async with asyncio.timeout(RANGE_SECONDS):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError("The range did not start; `python -m worker.range` says why.")
        yield json.loads(line)
    finally:
        process.stdin.close()
        await process.wait()
