"""Deaths other than a worker's in a step: of Temporal, of the server, while a decision is recorded; and a worker
that only seemed to be dead."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from temporalio.client import Client

from tests.faults.scene import COMMANDER, Ending, Kill, Scene, Stuck, at, play, scene
from worker.cli.client import SERVER_FILE, ApiClient, ApiError, written

T = TypeVar("T")
TEMPORAL, SERVER, RECORDING, ASLEEP = "temporal", "server", "recording", "asleep"
BEFORE = ("jobs", "revoke", "late_logs")
"""Steps before which Temporal, or the server, dies."""
SLEEPS = ("revoke", "freeze")
"""Steps in which the worker stands still."""


def until(found: Callable[[], T | None], what: str, seconds: float = 60) -> T:
    """Wait for something to be there.

    Raises:
        Stuck: it is not, after so many seconds.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise Stuck(f"{what}: not within {seconds:.0f} s")


async def temporal_dies(folder: Path) -> Ending:
    """SIGKILL Temporal just before some steps begin; its keeper starts it again."""
    async with scene(folder, at("before_start", *BEFORE)) as staged:
        keeping = asyncio.create_task(staged.stage.server.keep(lambda line: None))
        try:
            return await asyncio.to_thread(play, staged, lambda: _kill_temporal(staged))
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


def _kill_temporal(staged: Scene) -> None:
    server = staged.stage.server
    for mark, seen in staged.marks("before_start"):
        if seen["step"] in BEFORE and server.pid is not None:
            pid = server.pid
            os.kill(pid, signal.SIGKILL)
            staged.kills.append(Kill(TEMPORAL, (seen["step"],)))
            until(lambda pid=pid: server.pid not in (None, pid), "another Temporal")
            staged.release(mark)


async def server_dies(folder: Path) -> Ending:
    """SIGKILL ``stanch serve`` when it has taken an alert and started nothing for it, and before some steps."""
    async with scene(folder, at("before_start", *BEFORE)) as staged:
        return await asyncio.to_thread(_server_killed, staged)


def _server_killed(staged: Scene) -> Ending:
    engine = staged.stage.server.pid
    assert engine is not None
    os.kill(engine, signal.SIGSTOP)
    try:
        # The door answers once the alert is kept; Temporal, which stands still, cannot start anything yet.
        staged.alert()
        _kill_server(staged, "the start")
    finally:
        os.kill(engine, signal.SIGCONT)
    _bring_back(staged)
    return play(staged, lambda: _kill_server_before(staged))


def _kill_server_before(staged: Scene) -> None:
    for mark, seen in staged.marks("before_start"):
        if seen["step"] in BEFORE:
            _kill_server(staged, seen["step"])
            _bring_back(staged)
            staged.release(mark)


def _kill_server(staged: Scene, before: str) -> None:
    file = staged.stage.home / SERVER_FILE
    os.kill(written(file)["pid"], signal.SIGKILL)
    staged.kills.append(Kill(SERVER, (before,)))
    file.unlink()


def _bring_back(staged: Scene) -> None:
    staged.restart("serve")
    until(lambda: written(staged.stage.home / SERVER_FILE).get("pid"), "another server")


async def dies_recording(folder: Path) -> Ending:
    """SIGKILL the worker when a vote has been taken, and its entry waits for the store's lock."""
    async with scene(folder, at("before_completion", "sessions")) as staged:
        client = await Client.connect(staged.stage.server.address, namespace="stanch")
        loop = asyncio.get_running_loop()

        def in_flight() -> bool:
            return asyncio.run_coroutine_threadsafe(_records(client, staged.incident), loop).result(20)

        return await asyncio.to_thread(_killed_while_recording, staged, in_flight)


async def _records(client: Client, incident: str) -> bool:
    run = await client.get_workflow_handle(f"run/{incident}/crm-oauth-token-theft/1").describe()
    pending = run.raw_description.pending_activities
    return any(activity.activity_type.name == "stanch.record" for activity in pending)


def _killed_while_recording(staged: Scene, in_flight: Callable[[], bool]) -> Ending:
    staged.alert()
    mark, seen = until(lambda: next(iter(staged.marks("before_completion")), None), "the worker's pid")
    staged.release(mark)
    amal = staged.client("amal")
    entry = until(lambda: _waiting(amal, staged.incident, "go"), "the question")
    with _locked(staged.stage.home / "stanch.db"):
        vote = {"run": entry["run"], "step": "go", "digest": entry["digest"], "verdict": "approve"}
        amal.post(f"/v1/incidents/{staged.incident}/decisions", vote)
        until(in_flight, "the record of the vote")
        staged.kill_worker(seen["pid"])
        staged.kills.append(Kill(RECORDING, ("go",)))
    return play(staged)


def _waiting(person: ApiClient, incident: str, step: str) -> dict[str, Any] | None:
    with contextlib.suppress(ApiError):
        for entry in person.get("/v1/decisions", incident=incident)["decisions"]:
            if entry["step"] == step:
                return dict(entry)
    return None


@contextlib.contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Hold the store's write lock, as another process may."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


async def falls_asleep(folder: Path) -> Ending:
    """SIGSTOP the worker between intent and effect, let another do the step, and SIGCONT it."""
    async with scene(folder, at("after_intent", *SLEEPS)) as staged:
        sleeper = _Sleeper(staged)
        try:
            return await asyncio.to_thread(play, staged, sleeper.turn)
        finally:
            await asyncio.to_thread(sleeper.end)


class _Sleeper:
    """Sends workers to sleep and wakes them up when it is too late."""

    def __init__(self, staged: Scene) -> None:
        self._scene = staged
        self._asleep: tuple[int, str, Path] | None = None
        self._old: list[subprocess.Popen[bytes]] = []
        self._looker = staged.client(COMMANDER)

    def turn(self) -> None:
        """Send to sleep, or wake up."""
        scene = self._scene
        if self._asleep is None:
            for mark, seen in scene.marks("after_intent")[:1]:
                os.kill(seen["pid"], signal.SIGSTOP)
                scene.kills.append(Kill(ASLEEP, (seen["step"],)))
                self._asleep = (seen["pid"], seen["step"], mark)
                self._old.append(scene.stage.processes["worker"])
                scene.stage.begin("worker")
        elif self._is_done(self._asleep[1]):
            pid, _, mark = self._asleep
            scene.release(mark)
            os.kill(pid, signal.SIGCONT)
            self._asleep = None

    def _is_done(self, step: str) -> bool:
        entries = []
        with contextlib.suppress(ApiError):
            entries = self._looker.get(f"/v1/incidents/{self._scene.incident}/timeline")["entries"]
        return any(entry["kind"] == "action.outcome" and entry["body"]["step"] == step for entry in entries)

    def end(self) -> None:
        """End the workers that were sent to sleep."""
        if self._asleep is not None:
            os.kill(self._asleep[0], signal.SIGCONT)
        for keeper in self._old:
            assert keeper.stdin is not None
            keeper.stdin.close()
            keeper.wait(30)


DEATHS = {TEMPORAL: temporal_dies, SERVER: server_dies, RECORDING: dies_recording, ASLEEP: falls_asleep}
