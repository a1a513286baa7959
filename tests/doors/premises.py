"""An installation as its users have it: `stanch worker` and `stanch serve` as processes, a range peer as its system.

What a test does there it does with the command line, as one of the people.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from worker.cli.client import SERVER_FILE, written
from worker.desk.people import People
from worker.range import Range
from worker.settings import Settings
from worker.start_base import open_store

CAST = {
    "amal": ("crm_owner",),
    "bo": ("crm_owner",),
    "cleo": ("incident_commander",),
    "dara": ("privacy_officer", "legal"),
    "root": ("admin",),
    "vic": ("viewer",),
}
SECRET = "detector-secret-7f3a"
WEBHOOK_SECRET = "whsec_" + "QUJD" * 11
READY = 90.0
FREEZE_SOME = """
stanch: 1
id: freeze-some
version: 1.0.0
title: Freeze some users
inputs:
  users: {type: {list: string}}
steps:
  - id: go
    title: Freeze them
    approve: [freeze]
    by: {roles: [crm_owner], count: 2}
    within: 15m
    on_timeout: [deny]
  - id: freeze
    action: salesforce.freeze_users
    with: {targets: "{{ inputs.users }}"}
"""
"""The smallest playbook with an effect on many that can be undone."""


@dataclass
class Premises:
    """One installation."""

    home: Path
    env: Mapping[str, str]
    range: Range
    tokens: dict[str, str] = field(repr=False)
    url: str = ""

    def run(self, person: str | None, *arguments: str, seconds: float = 90, **env: str) -> subprocess.CompletedProcess:
        """One command, as a person or as nobody."""
        who = {"STANCH_TOKEN": self.tokens.get(person, person)} if person else {}
        return subprocess.run(
            [sys.executable, "-m", "worker.cli.main", *arguments],
            capture_output=True,
            text=True,
            env={**self.env, **who, **env},
            cwd=self.home,
            timeout=seconds,
            check=False,
        )

    async def stanch(self, person: str | None, *arguments: str, **options: Any) -> subprocess.CompletedProcess:
        """``run`` beside the running loop."""
        return await asyncio.to_thread(lambda: self.run(person, *arguments, **options))

    async def document(self, person: str | None, *arguments: str) -> Any:
        """What a command that must succeed prints with ``--json``: one document, and nothing else on stdout."""
        done = await self.stanch(person, *arguments, "--json")
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    async def refused(self, person: str | None, *arguments: str) -> str:
        """The code with which a command is refused; the refusal must be one document and exit 1."""
        done = await self.stanch(person, *arguments, "--json")
        assert done.returncode == 1, f"{arguments}: {done.returncode} {done.stdout}{done.stderr}"
        told = json.loads(done.stdout)
        assert told["ok"] is False and told["message"]
        return str(told["code"])

    async def until(self, incident: str, ready: Any, seconds: float = 150) -> dict[str, Any]:
        """``incident show --json`` once ``ready`` holds of it."""
        limit = time.monotonic() + seconds
        while True:
            shown = await self.document("cleo", "incident", "show", incident)
            if ready(shown):
                return dict(shown)
            assert time.monotonic() < limit, json.dumps(shown["steps"] + shown["waiting"])[:4000]
            await asyncio.sleep(0.2)

    async def waits(self, incident: str, *steps: str) -> dict[str, Any]:
        """``incident show --json`` once all these steps wait for people."""
        return await self.until(incident, lambda shown: set(steps) <= {each["step"] for each in shown["waiting"]})

    def alert(self, **changes: Any) -> bytes:
        """The detector's alert, with other columns where a test needs another happening."""
        return json.dumps({**json.loads(self.range.alert()), **changes}).encode()

    def http(self, person: str | None = None) -> httpx.AsyncClient:
        """An HTTP client of the server, as a person, as nobody, or with a token of one's own."""
        headers = {"Authorization": f"Bearer {self.tokens.get(person, person)}"} if person else {}
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=300, limits=limits)

    def logs(self) -> str:
        """Everything that the processes wrote so far."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.home.glob("*.log")))


@contextlib.contextmanager
def premises(home: Path, temporal: str, namespace: str, seed: int = 11, *, slack: bool = False) -> Iterator[Premises]:
    """An installation in ``home``, on a Temporal server that is there; with ``slack``, in a workspace of its own."""
    home.mkdir(mode=0o700)
    with Range(seed, CAST if slack else ()) as world:
        (home / "stanch.toml").write_text(_toml(world, home))
        (home / "playbooks").mkdir()
        (home / "playbooks" / "freeze-some.yaml").write_text(FREEZE_SOME)
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
        env = plain | {
            "STANCH_HOME": str(home),
            "STANCH_PORT": "0",
            "TEMPORAL_ADDRESS": temporal,
            "TEMPORAL_NAMESPACE": namespace,
            "DETECTOR": SECRET,
            "HOOK": WEBHOOK_SECRET,
            "PYTHONPATH": os.getcwd(),
        }
        made = Premises(home, env, world, _people(Settings.load(env, home), world))
        with _process(made, "worker") as worker, _process(made, "serve") as serve:
            made.url = _ready(home, worker, serve)
            yield made


def _toml(world: Range, home: Path) -> str:
    lines = ['mode = "exercise"', 'organisation = "Acme"', 'playbooks = ["playbooks"]']
    for system, values in world.settings(home).items():
        lines += [f"[systems.{system}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    if world.slack is not None:
        lines += ["[slack]", *(f"{key} = {json.dumps(value)}" for key, value in world.slack_settings(home).items())]
    lines += ["[alerts.siem]", 'scheme = "bearer"', 'secret = "secret:env/DETECTOR"', "starts_per_hour = 1000"]
    lines += ["[alerts.hook]", 'scheme = "standard_webhooks"', 'secret = "secret:env/HOOK"']
    lines += ["[alerts.calm]", 'scheme = "bearer"', 'secret = "secret:env/DETECTOR"', "starts_per_hour = 0"]
    return "\n".join(lines) + "\n"


def _people(settings: Settings, world: Range) -> dict[str, str]:
    with contextlib.closing(open_store(settings)) as store:
        people = People(store)
        for name, roles in CAST.items():
            people.add(name, roles, world.slack.identities(name) if world.slack is not None else ())
        return {name: people.token(name) for name in CAST}


@contextlib.contextmanager
def _process(made: Premises, name: str) -> Iterator[subprocess.Popen]:
    with (made.home / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli.main", name], stdout=log, stderr=log, env=made.env, cwd=made.home
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _ready(home: Path, *processes: subprocess.Popen) -> str:
    limit = time.monotonic() + READY
    while time.monotonic() < limit and all(process.poll() is None for process in processes):
        url = written(home / SERVER_FILE).get("url")
        if url and "Working on" in (home / "worker.log").read_text():
            return str(url)
        time.sleep(0.05)
    logs = "\n".join(path.read_text()[-2000:] for path in home.glob("*.log"))
    raise AssertionError(f"not ready within {READY:.0f} s: {logs}")
