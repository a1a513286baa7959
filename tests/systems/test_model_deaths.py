"""SIGKILL of the worker in the middle of effects on models that take several calls: each happens once all the same."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.stage import Stage
from tests.systems.model_night import Night, state_of
from worker.range_models.company import ModelRange
from worker.range_models.plan import KEY_SECRET, SERVICE_USER, THIEF
from worker.range_settings import system_tables
from worker.settings import Settings

pytestmark = pytest.mark.faults
BOOK = """stanch: 1
id: probe
version: 1.0.0
title: Everything at once
inputs: {model: {type: string}, user: {type: string}, secret: {type: string}, thief: {type: string}}
steps:
  - {id: registry, action: mlflow.snapshot_model, with: {model: "{{ inputs.model }}"}}
  - {id: clients, action: gateway.list_clients, with: {callers: ["{{ inputs.thief }}"]}}
  - id: first
    parallel:
      a: [{id: quarantine, action: mlflow.quarantine_versions, with: {model: "{{ inputs.model }}", targets: ["3", "4", "5"]}}]
      b: [{id: block, action: gateway.block_certificates, with: {targets: "{{ steps.clients.targets }}"}}]
      c: [{id: rotate, action: aws.rotate_access_key, with: {user: "{{ inputs.user }}", secret: "{{ inputs.secret }}"}}]
      d: [{id: sign, action: mlflow.sign_version, with: {model: "{{ inputs.model }}", version: "1"}}]
  - {id: roll_back, action: mlflow.roll_back_alias, with: {model: "{{ inputs.model }}", version: "2"}}
  - {id: reload, action: serving.reload_model, with: {model: "{{ inputs.model }}", version: "2"}}
"""
FIRST = ("quarantine", "block", "rotate", "sign")
EACH = (*FIRST, "roll_back", "reload")


class Killed:
    """A worker process on the range's systems that is killed wherever it stands."""

    def __init__(self, env: Mapping[str, str], marks: Path, log: Path) -> None:
        self._env, self.marks, self._log = env, marks, log
        self.kills: list[tuple[str, ...]] = []
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "worker.cli.main", "worker"]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, env=dict(self._env), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    async def look(self) -> None:
        """Kill and start another, if it stands somewhere; what stands beside it dies with it."""
        assert self.process.poll() is None, self._log.read_text()[-3000:]
        if not self._standing():
            return
        await asyncio.sleep(1.5)
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        standing = self._standing()
        self.kills.append(tuple(sorted({str(json.loads(mark.read_text())["step"]) for mark in standing})))
        for mark in standing:
            mark.with_suffix(".release").touch()
        self.process = self._begin()

    def _standing(self) -> list[Path]:
        return [mark for mark in self.marks.glob("*.json") if not mark.with_suffix(".release").exists()]

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(30)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ModelRange]:
    """The range with models on peers."""
    played = {"STANCH_RANGE": "peers"}
    with ModelRange(7, (), "model-poisoned", tmp_path / "world", played, lambda line: None) as made:
        made.actors.stop()
        yield made


def installed(env: Any, world: ModelRange, point: str) -> tuple[Stage, dict[str, str], Path]:
    """An installation in exercise mode whose worker, another process, stops at a point of each effect."""
    home = env.settings.home
    (home / "keys").mkdir(exist_ok=True)
    keys = home / "keys" / "payload.json"
    keys.touch(mode=0o600)
    keys.write_text(env.ring.dump())
    lines = ['mode = "exercise"', *system_tables(world.settings(home))]
    (home / "stanch.toml").write_text("\n".join(lines) + "\n")
    marks = Path(tempfile.mkdtemp(dir=home))
    given = {name: value for name, value in os.environ.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
    given |= {
        "STANCH_HOME": str(home),
        "STANCH_CONFIG": str(home / "stanch.toml"),
        "STANCH_MODE": "exercise",
        "STANCH_TEST_HOLD": ",".join(f"{point}@ {step}  apply" for step in EACH) if point else "",
        "STANCH_TEST_HOLD_DIR": str(marks),
        "TEMPORAL_ADDRESS": env.server.address,
        "TEMPORAL_NAMESPACE": env.client.namespace,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    env.settings = Settings.load({"STANCH_HOME": str(home), "STANCH_MODE": "exercise"}, home)
    return Stage(env), given, marks


@pytest.mark.parametrize("point", ["after_send"])
async def test_each_effect_happens_once_though_the_worker_is_killed_in_it(
    worker_env: Any, world: ModelRange, point: str
) -> None:
    stage, env, marks = installed(worker_env, world, point)
    worker = Killed(env, marks, worker_env.settings.home / "worker.log")
    try:
        given = {"model": world.plan.model, "user": SERVICE_USER, "secret": KEY_SECRET, "thief": THIEF}
        night = await Night.begin(stage, world, BOOK, **given)
        status = await night.until(lambda status: status["status"] == "done", turn=worker.look)
    finally:
        worker.end()
    assert {place for kill in worker.kills for place in kill} == set(EACH), worker.kills
    steps = {step["path"]: step for step in status["steps"] if step["path"] in EACH}
    assert {(step["status"], step["verified"]) for step in steps.values()} == {("done", True)}
    counted = {path: step["affected"]["count"] for path, step in steps.items()}
    assert counted == {"quarantine": 3, "block": 1, "rotate": 1, "sign": 1, "roll_back": 1, "reload": 2}
    made = Counter((each["system"], each["kind"], each["target"]) for each in world.record.effects())
    # A key whose secret died with the worker is deleted, and another made: only one of them is left.
    assert {what for what, times in made.items() if times > 1} <= {("aws", "create key", SERVICE_USER)}
    seen = state_of(world)
    assert seen["mlflow"]["aliases"]["champion"] == "2"
    assert {seen["serving"][name]["version"] for name in ("replica1", "replica2")} == {"2"}
    assert all(seen["mlflow"]["versions"][number].get("quarantine") for number in ("3", "4", "5"))
    thief = world.site.certificates[THIEF].fingerprint
    assert thief in seen["gateway"]["lists"]["blocked_certs.map"] and thief in str(seen["kept"]["blocked_certs.map"])
    cloud = world.site.cloud
    assert set(cloud.keys()) == {cloud.stolen[0], cloud.held_key()[0]} and cloud.works(cloud.held_key())[0]
