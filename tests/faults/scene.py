"""The demo's own stage with its scripted people, made so that its processes may be killed at any moment."""

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from playbooks.plan import RunPlan
from worker.bundle_verify import bundle_is_intact
from worker.cli.client import SERVER_FILE, ApiClient, ApiError, written
from worker.demo_people import CAST, Script
from worker.demo_stage import SOURCE, Stage, stage
from worker.settings import Settings
from worker.start_base import open_store

SEED = 7
ENDED = frozenset({"done", "failed", "denied", "cancelled", "undone"})
COMMANDER = "chidi"
AWAY = frozenset({"no_worker", "engine_unreachable", "timeout", "unreachable"})
"""Refusals that only say that a process is down just now; people look again."""
PATIENCE = 150.0
"""Seconds in which something must move."""
LOOK = 1.0
PEOPLE_LOOK = 0.6
SWEEP = ("tokens_left", "sessions_left", "jobs_left")
"""Steps that look for what came back. The attacker returns just before them, so that every step runs."""


class Stuck(AssertionError):
    """Nothing moves any more, or a process is gone that nobody killed."""


@dataclass
class Kill:
    """One death: of which process, at which point, and which steps were there."""

    point: str
    places: tuple[str, ...]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Scene:
    """A stage with people, the marks of the stop points, and everything to kill and start again.

    Attributes:
        kills: What was killed so far.
        incident: Once the alert has opened it.
        paced: Whether somebody else lets calls begin, one after another.
    """

    def __init__(self, stage: Stage, folder: Path) -> None:
        """``folder`` is where the worker writes its marks."""
        self.stage, self.folder = stage, folder
        self.kills: list[Kill] = []
        self.incident = ""
        self.paced = False
        self._world = httpx.Client(base_url=stage.range.url, timeout=15, trust_env=False)
        self._clients: list[ApiClient] = []
        self._returned = False

    def close(self) -> None:
        """Close every connection."""
        self._world.close()
        for client in self._clients:
            client.close()

    def client(self, person: str) -> ApiClient:
        """``/v1`` as one of the people, wherever the server listens at that moment."""
        made = _Follower(self.server_url, self.stage.tokens[person])
        self._clients.append(made)
        return made

    def server_url(self) -> str:
        """Where the server says that it listens."""
        return str(written(self.stage.home / SERVER_FILE).get("url") or self.stage.url)

    # The world

    def world(self, what: str) -> Any:
        """``GET /_range/…``"""
        return self._world.get(f"/_range/{what}").raise_for_status().json()

    def order(self, what: str, **body: Any) -> Any:
        """``POST /_range/…``"""
        return self._world.post(f"/_range/{what}", json=body).raise_for_status().json()

    def alert(self) -> str:
        """The detector speaks; the incident."""
        detector = ApiClient(self.server_url(), self.stage.secret)
        try:
            self.incident = str(detector.send(f"/v1/alerts/{SOURCE}", self.stage.range.alert())["incident"])
        finally:
            detector.close()
        return self.incident

    # Marks of stop points

    def marks(self, point: str | None = None) -> list[tuple[Path, dict[str, Any]]]:
        """Places where a worker stands now, oldest first; released ones are left out."""
        found = []
        for path in sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
            if path.with_suffix(".release").exists():
                continue
            seen = json.loads(path.read_text())
            if point in (None, seen["point"]):
                found.append((path, seen))
        return found

    def release(self, mark: Path) -> None:
        """Let a worker go on."""
        mark.with_suffix(".release").touch()

    def usher(self) -> None:
        """Let the attacker return before the steps that look for it, then let those begin."""
        for path, seen in self.marks("before_start"):
            if seen["step"] in SWEEP:
                self.returns()
                if not self.paced:
                    self.release(path)

    def returns(self) -> None:
        """The attacker comes back, once."""
        if not self._returned:
            self._returned = True
            self.stage.range.attacker_returns()

    # Death and life

    def kill_worker(self, pid: int) -> None:
        """SIGKILL the worker with this pid and start another at once."""
        os.kill(pid, signal.SIGKILL)
        self.restart("worker")

    def restart(self, name: str) -> None:
        """Start a process again whose child has been killed."""
        keeper = self.stage.processes[name]
        keeper.wait(30)
        assert keeper.stdin is not None
        keeper.stdin.close()
        self.stage.begin(name)

    def alive(self) -> None:
        """Pass on while every process lives."""
        self.stage.alive()


class _Follower(ApiClient):
    """A client that follows the server to its new port when it was killed and started again."""

    def __init__(self, address: Callable[[], str], token: str) -> None:
        super().__init__(address(), token, timeout=15)
        self._address = address

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        self.url = self._address()
        self._http.base_url = httpx.URL(self.url)
        return super()._call(method, path, **arguments)


class Responders(Script):
    """The demo's people, who also name another app to look at, so that the step for it has an item."""

    def _answer(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        body = super()._answer(entry)
        if "apps" in entry["form"]:
            body["values"]["apps"] = ["Another app"]
        return body


class People:
    """Scripted people in a thread of their own: they look again and again, whatever is down just now."""

    def __init__(self, scene: Scene) -> None:
        clients = {name: scene.client(name) for name in CAST}
        self.told: list[str] = []
        self._scene = scene
        self._script = Responders(
            clients, act=scene.stage.range.do_by_hand, spare=scene.stage.range.spared(), told=self.told.append
        )
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._look, name="people", daemon=True)

    def __enter__(self) -> "People":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join(60)

    def well(self) -> None:
        """Raise what went wrong among them."""
        if self._failure is not None:
            raise self._failure

    def _look(self) -> None:
        while not self._stopped.wait(PEOPLE_LOOK):
            try:
                self._script.round(self._scene.incident)
            except ApiError as refusal:
                if refusal.code not in AWAY:
                    self._failure = refusal
                    return
            except Exception as error:
                self._failure = error
                return


@dataclass(frozen=True)
class Ending:
    """What was left when the run had ended."""

    shown: Mapping[str, Any]
    entries: list[dict[str, Any]]
    effects: list[dict[str, Any]]
    log: list[dict[str, Any]]
    wrong: Mapping[str, str]
    plan: RunPlan
    kills: list[Kill]
    seconds: float
    worker_log: str
    intact: bool
    """Whether the exported bundle verifies, offline."""
    missed: tuple[str, ...] = ()
    """Steps that went past the point at which they were to die."""


def at(point: str, *steps: str) -> str:
    """Value of the stop variable for the applies of some steps."""
    return ",".join(f"{point}@ {step}  apply" for step in steps)


@contextlib.asynccontextmanager
async def scene(folder: Path, hold: str = "") -> AsyncIterator[Scene]:
    """Stage the demo's world in a home of its own; ``hold`` is added to what every run stops at."""
    marks = folder / "marks"
    stops = filter(None, [at("before_start", *SWEEP), hold])
    env = {
        **os.environ,
        "STANCH_HOME": str(folder),
        "STANCH_TEST_HOLD": ",".join(stops),
        "STANCH_TEST_HOLD_DIR": str(marks),
    }
    async with stage(Settings.load(env, folder), SEED, lambda line: None) as staged:
        made = Scene(staged, marks)
        try:
            yield made
        finally:
            await asyncio.to_thread(made.close)


def play(scene: Scene, turn: Callable[[], object] = lambda: None, *, deciding: bool = True) -> Ending:
    """Let the run go to its end, calling ``turn`` all the while.

    Raises:
        Stuck: nothing moved for ``PATIENCE`` seconds.
    """
    begun = time.monotonic()
    if not scene.incident:
        scene.alert()
    looker = scene.client(COMMANDER)
    with People(scene) if deciding else contextlib.nullcontext() as people:
        for shown in _until_ended(scene, looker, turn):
            last = shown
            if people is not None:
                people.well()
    return _ending(scene, looker, last, time.monotonic() - begun)


def _until_ended(scene: Scene, looker: ApiClient, turn: Callable[[], object]) -> Iterator[dict[str, Any]]:
    shown: dict[str, Any] = {}
    looked = moved = time.monotonic()
    before: Any = None
    while True:
        scene.usher()
        turn()
        scene.alive()
        now = time.monotonic()
        if now - looked >= LOOK:
            looked = now
            with contextlib.suppress(ApiError):
                shown = looker.get(f"/v1/incidents/{scene.incident}")
                yield shown
                if shown["runs"] and all(run["status"] in ENDED for run in shown["runs"]):
                    return
            state = [len(scene.kills), [(step["path"], step["status"]) for step in shown.get("steps", ())]]
            if state != before:
                before, moved = state, now
            if now - moved > PATIENCE:
                raise Stuck(_standing(scene, shown))
        time.sleep(0.03)


def _standing(scene: Scene, shown: Mapping[str, Any]) -> str:
    steps = [
        f"{step['path']} {step['status']} ({step['waiting_for'] or step['message']})"
        for step in shown.get("steps", ())
        if step["status"] not in ("done", "pending", "skipped")
    ]
    last = (scene.stage.home / "worker.log").read_text(errors="replace").splitlines()[-15:]
    kills = [f"{kill.point}: {', '.join(kill.places)}" for kill in scene.kills]
    return "\n".join([f"Nothing moved for {PATIENCE:.0f} s.", *steps, *kills, *last])


def _ending(scene: Scene, looker: ApiClient, shown: Mapping[str, Any], seconds: float) -> Ending:
    entries = looker.get(f"/v1/incidents/{scene.incident}/timeline")["entries"]
    with contextlib.closing(open_store(Settings.load(scene.stage.env, scene.stage.home))) as store:
        saved = store.incidents.load_run(shown["runs"][0]["id"])
    assert saved is not None
    export = scene.stage.home / f"{scene.incident}.zip"
    looker.download(f"/v1/incidents/{scene.incident}/export", export)
    return Ending(
        shown=shown,
        entries=entries,
        effects=scene.world("effects"),
        log=scene.world("log"),
        wrong=scene.stage.range.wrong(),
        plan=RunPlan.model_validate(saved["plan"]),
        kills=scene.kills,
        seconds=seconds,
        intact=bundle_is_intact(export, scene.stage.home),
        worker_log=(scene.stage.home / "worker.log").read_text(errors="replace"),
    )
