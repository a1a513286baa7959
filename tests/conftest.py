"""Fixtures: one real Temporal server for the session; per test a namespace, a store, a lab and a client."""

import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from activities.catalog import Catalog
from tests.lab import LAB_ACTIONS, LabWorld, connect_lab
from worker.codec import KeyRing
from worker.embedded import EmbeddedServer
from worker.obtain import Obtain, to_stderr
from worker.settings import Settings
from worker.temporal import connect

LIVE = {"vault": ("VAULT_ADDR", "VAULT_TOKEN")}
"""Systems whose tests can run on a real server of yours, and the variables that name it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--live=vault``: run that system's tests on a real server too."""
    parser.addoption("--live", action="append", default=[], choices=sorted(LIVE), help="also test on a real server")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a server that was not named; a named one that is not there fails."""
    asked = set(config.getoption("--live"))
    missing = [name for system in sorted(asked) for name in LIVE[system] if not os.environ.get(name)]
    if missing:
        raise pytest.UsageError(f"--live needs {' and '.join(missing)} in the environment")
    left = [item for item in items if any(mark.args[0] not in asked for mark in item.iter_markers("live"))]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_binary() -> Path:
    """A Temporal server as a user gets one."""
    return await Obtain(os.environ, to_stderr).server()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_server(temporal_binary: Path) -> AsyncIterator[EmbeddedServer]:
    """One tuned server in memory for the whole session."""
    async with EmbeddedServer(temporal_binary, None, namespace="tests").running() as server:
        yield server


@dataclass
class WorkerEnv:
    """One installation: a namespace, a home, a store, a client, a lab.

    ``workers()`` runs its workers: ``async with env.workers(): …``.
    """

    server: EmbeddedServer
    settings: Settings
    ring: KeyRing
    client: Client
    store: Any
    world: LabWorld
    catalog: Catalog

    @property
    def prefix(self) -> str:
        """Of its task queues."""
        return self.settings.queue_prefix

    def workers(self, **changes: Any) -> Any:
        """Its workers, with the lab connected; a context manager."""
        from worker.edge import secrets_of
        from worker.run import Workers
        from worker.systems import ConnectedSystems

        systems = ConnectedSystems(
            {"lab": {"folder": str(self.world.folder)}}, secrets_of(self.settings), {"lab": connect_lab}
        )
        given = {"catalog": self.catalog, "systems": systems, **changes}
        return Workers(self.client, self.settings, self.store, **given).running()


@pytest_asyncio.fixture(loop_scope="session")
async def worker_env(temporal_server: EmbeddedServer, tmp_path: Path) -> AsyncIterator[WorkerEnv]:
    """A fresh live installation, on a namespace of its own; its plans need no ``RunContext`` of their own."""
    from worker.store import Store
    from worker.store.keys import SigningKey

    namespace = f"t{uuid.uuid4().hex[:12]}"
    admin = await Client.connect(temporal_server.address)
    await admin.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=Duration(seconds=24 * 3600))
    )
    settings = Settings.load({"STANCH_HOME": str(tmp_path / "home")}, tmp_path)
    settings.home.mkdir(parents=True)
    ring = KeyRing.fresh()
    client = await connect(settings, ring, address=temporal_server.address, namespace=namespace)
    store = Store(settings.store_url, settings.home, SigningKey.load(settings.home))
    yield WorkerEnv(
        server=temporal_server,
        settings=settings,
        ring=ring,
        client=client,
        store=store,
        world=LabWorld(tmp_path / "lab"),
        catalog=Catalog(LAB_ACTIONS),
    )
    close = getattr(store, "close", None)
    if close is not None:
        close()
