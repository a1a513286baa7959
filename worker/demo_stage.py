"""The demo's stage: a home of its own in exercise mode, Temporal, a simulated world, a worker and a server.

Worker and server are the very processes of production, started by their own commands.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from playbooks.contract import Mode
from worker.cli.client import SERVER_FILE, TOKENS_FILE, ApiClient, written
from worker.demo_people import CAST
from worker.demo_stories import CRM, Setting, Story
from worker.desk.people import People
from worker.embedded import EmbeddedServer
from worker.obtain import Obtain
from worker.range import Range
from worker.range_settings import system_tables
from worker.settings import Settings
from worker.start_base import open_store

READY = 60.0
KEPT = ("keys", "exports", "demo.lock")
SOURCE = "detector"


class DemoFailed(Exception):
    """The demo could not go on; the message says where and what its processes said last."""

    code = "demo_failed"


@dataclass(frozen=True)
class Stage:
    """Everything that runs.

    Attributes:
        secret: What the detector shows at the alerts' door.
        server: The embedded Temporal.
        processes: By name, ``worker`` and ``serve``; each in the keeping of ``worker.keeper``.
        env: What they are told.
    """

    home: Path
    url: str
    range: Range
    story: Story
    tokens: dict[str, str]
    secret: str
    server: EmbeddedServer
    processes: dict[str, subprocess.Popen[bytes]]
    env: Mapping[str, str] = field(repr=False)

    def client(self, person: str) -> ApiClient:
        """``/v1`` as one of the demo's people."""
        return ApiClient(self.url, self.tokens[person])

    def begin(self, name: str) -> None:
        """Start the worker or the server once more, after it has ended."""
        self.processes[name] = _spawn(name, self.env, self.home)

    def alive(self) -> None:
        """Pass on while every process lives.

        Raises:
            DemoFailed: one has ended.
        """
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise DemoFailed(f"The {name} process ended.{_last_words(self.home / f'{name}.log')}")


@contextlib.asynccontextmanager
async def stage(settings: Settings, seed: int, say: Callable[[str], None], story: Story = CRM) -> AsyncIterator[Stage]:
    """Set the stage, and clear it at the end: processes, ports, locks. The home's files stay.

    Raises:
        DemoFailed: a process did not come up.
    """
    home = settings.home / "demo"
    binary = await Obtain(settings.environment, say).server()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_locked(home))
        _clear(home)
        server = EmbeddedServer(binary, home / "temporal", namespace="stanch")
        say("Starting the simulated world and Temporal.")
        await stack.enter_async_context(server.running())
        world = story.world(Setting(seed, CAST, home / "world", settings.environment, say))
        await world.start()
        stack.push_async_callback(world.stop)
        secret = secrets.token_urlsafe(24)
        env = _environment(settings, home, world, server.address, secret)
        tokens = _people(Settings.load(env, home), world)
        processes: dict[str, subprocess.Popen[bytes]] = {}
        stack.enter_context(_ended(processes))
        say("Starting the worker and the server.")
        for name in ("worker", "serve"):
            processes[name] = _spawn(name, env, home)
        url = await _ready(home, processes)
        yield Stage(
            home=home,
            url=url,
            range=world,
            story=story,
            tokens=tokens,
            secret=secret,
            server=server,
            processes=processes,
            env=env,
        )


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One demo at a time in a home; the kernel gives the lock back however this process ends."""
    with (home / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoFailed(
                f"Another demo runs in {home}. Nothing was started. Stop it, or set STANCH_HOME to another folder."
            ) from None
        yield


def _clear(home: Path) -> None:
    """Take the last demo's state away; its keys and exports stay, so that they can still be verified."""
    for path in home.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _environment(settings: Settings, home: Path, world: Range, temporal: str, secret: str) -> dict[str, str]:
    """What worker and server are told; nothing of the user's own systems or settings reaches them."""
    _private(home / "detector.secret", secret)
    config = home / "stanch.toml"
    systems = world.settings(home)
    facts = world.organisation()
    lines = [
        'mode = "exercise"',
        f"organisation = {json.dumps(facts['name'])}",
        "[organisation_facts]",
        *(f"{key} = {json.dumps(value)}" for key, value in facts.items()),
        "[alerts." + SOURCE + "]",
        'scheme = "bearer"',
        'secret = "secret:file/detector.secret"',
    ]
    lines += [
        *system_tables(systems),
        "[slack]",
        *(f"{key} = {json.dumps(value)}" for key, value in world.slack_settings(home).items()),
    ]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = settings.environment
    inherited = {name: value for name, value in given.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
    passed = {name: value for name, value in given.items() if name.startswith("STANCH_TEST_")}
    return {
        **inherited,
        **passed,
        "STANCH_HOME": str(home),
        "STANCH_CONFIG": str(config),
        "STANCH_MODE": Mode.EXERCISE.value,
        "STANCH_PORT": "0",
        "TEMPORAL_ADDRESS": temporal,
        "TEMPORAL_NAMESPACE": "stanch",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def _people(settings: Settings, world: Range) -> dict[str, str]:
    with contextlib.closing(open_store(settings)) as store:
        people = People(store)
        tokens = {}
        for name, roles in CAST.items():
            people.add(name, roles, world.slack.identities(name) if world.slack is not None else ())
            tokens[name] = people.token(name)
    _private(settings.home / TOKENS_FILE, json.dumps(tokens))
    return tokens


def _private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _spawn(name: str, env: Mapping[str, str], home: Path) -> subprocess.Popen[bytes]:
    # The keeper ends the child when this process is gone, however it ended.
    command = [sys.executable, "-m", "worker.keeper", sys.executable, "-m", "worker.cli.main", name]
    with (home / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=dict(env),
            cwd=home,
            start_new_session=True,
        )


@contextlib.contextmanager
def _ended(processes: dict[str, subprocess.Popen[bytes]]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _ready(home: Path, processes: dict[str, subprocess.Popen[bytes]]) -> str:
    loop = asyncio.get_running_loop()
    until = loop.time() + READY
    while loop.time() < until:
        for name, process in processes.items():
            if process.poll() is not None:
                raise DemoFailed(f"The {name} process did not come up.{_last_words(home / f'{name}.log')}")
        url = written(home / SERVER_FILE).get("url")
        if url:
            return str(url)
        await asyncio.sleep(0.05)
    raise DemoFailed(f"The server did not come up in {READY:.0f} s.{_last_words(home / 'serve.log')}")


def _last_words(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            return f" Its last words ({log}): {lines[-1][:300]}"
    return ""
