"""An installation with Slack as its users have it: `stanch worker` and `stanch serve` as processes that may be killed
at any moment, the range's workspace, a way to Temporal that can be cut, and what must hold of it all in the end.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.doors.premises import FREEZE_SOME
from worker.cli.client import SERVER_FILE, written
from worker.desk.people import People
from worker.range import Range
from worker.settings import Settings
from worker.slack.peer.delivery import NotAcknowledged
from worker.slack.peer.driver import Person
from worker.slack.peer.screen import CannotDo, said
from worker.slack.peer.server import SlackPeer
from worker.start_base import open_store

CAST = {"amal": ("crm_owner",), "bo": ("crm_owner",), "cleo": ("incident_commander",), "root": ("admin",)}
READY = 90.0


@dataclass
class Site:
    """One installation around one workspace."""

    home: Path
    env: dict[str, str]
    range: Range
    tokens: dict[str, str] = field(repr=False)
    http: bool = False
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def peer(self) -> SlackPeer:
        """The workspace."""
        assert self.range.slack is not None
        return self.range.slack.peer

    def person(self, name: str) -> Person:
        """One of the people at their client."""
        assert self.range.slack is not None
        return self.range.slack.person(name)

    def begin(self, name: str, *, second: str = "") -> None:
        """Start ``worker`` or ``serve``; with ``second`` one more of it, under that name."""
        with (self.home / f"{second or name}.log").open("ab") as log:
            self.processes[second or name] = subprocess.Popen(
                [sys.executable, "-m", "worker.cli.main", name], stdout=log, stderr=log, env=self.env, cwd=self.home
            )

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.processes[name].kill()
        self.processes[name].wait()
        if name == "serve":
            (self.home / SERVER_FILE).unlink(missing_ok=True)

    def suspend(self, name: str) -> None:
        """SIGSTOP: it is there, and does nothing."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.processes[name].send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End all processes."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

    async def serving(self) -> None:
        """Wait until the server answers and hears Slack."""
        url = await self.until(lambda: written(self.home / SERVER_FILE).get("url"), READY)
        if self.http:
            self.peer.request_url = f"{url}/slack/events"
            return
        await self.until(lambda: self.peer.faults.down or self.peer.connections, READY)

    async def working(self) -> None:
        """Wait until the worker works."""
        await self.until(lambda: "Working on" in (self.home / "worker.log").read_text(), READY)

    async def until(self, seen: Callable[[], Any], seconds: float = 60.0) -> Any:
        """What ``seen`` gives, once it is true."""
        limit = time.monotonic() + seconds
        while not (found := seen()):
            assert time.monotonic() < limit, f"not within {seconds} s\n{self.logs()[-6000:]}"
            await asyncio.sleep(0.03)
        return found

    async def ask(self, person: str, method: str, path: str, body: Any = None) -> Any:
        """A request to ``/v1``, tried again while no server answers."""
        headers = {"Authorization": f"Bearer {self.tokens[person]}"}
        limit = time.monotonic() + READY
        while True:
            url = written(self.home / SERVER_FILE).get("url")
            if url:
                with contextlib.suppress(httpx.HTTPError):
                    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
                        return (await http.request(method, path, json=body, headers=headers)).json()
            assert time.monotonic() < limit, self.logs()[-6000:]
            await asyncio.sleep(0.1)

    async def incident_until(self, incident: str, ready: Callable[[dict[str, Any]], Any], seconds: float = 90) -> Any:
        """The incident's document once ``ready`` holds of it."""
        limit = time.monotonic() + seconds
        while True:
            shown = await self.ask("cleo", "GET", f"/v1/incidents/{incident}")
            if "runs" in shown and ready(shown):
                return shown
            assert time.monotonic() < limit, json.dumps(shown)[:3000] + self.logs()[-4000:]
            await asyncio.sleep(0.2)

    async def insist(self, act: Callable[[], Any], seconds: float = 60.0) -> int:
        """Do something in Slack as a person would: again, if Slack says that it did not work; how often."""
        limit = time.monotonic() + seconds
        tried = 1
        while True:
            try:
                await act()
                return tried
            except (NotAcknowledged, CannotDo) as error:
                tried += isinstance(error, NotAcknowledged)
                if time.monotonic() > limit:
                    raise AssertionError(f"{error}\n{self.logs()[-6000:]}") from None
                await asyncio.sleep(0.3)

    def card(self, name: str, action: str) -> tuple[str, str]:
        """Channel and timestamp of the newest card with this button that somebody sees."""
        person = self.person(name)
        for channel in person.channels():
            for message in reversed(person.sees(channel)):
                if json.dumps(action) in json.dumps(message.get("blocks", ())):
                    return channel, str(message["ts"])
        raise CannotDo(f"{name} sees no {action}")

    async def click(self, name: str, action: str, seconds: float = 60.0) -> int:
        """Press a button of the newest card that has it, until Slack says that it worked; how often."""

        async def press() -> None:
            await self.person(name).click(*self.card(name, action), action)

        return await self.insist(press, seconds)

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """From the store, as it is on disk."""
        with contextlib.closing(sqlite3.connect(self.home / "stanch.db", timeout=20)) as store:
            return store.execute(query, values).fetchall()

    def journal(self, kind: str) -> list[dict[str, Any]]:
        """Entries of a kind, of all incidents, in order: actor and body."""
        found = self.read("SELECT actor, body FROM journal WHERE kind = ? ORDER BY incident, seq", kind)
        return [{"actor": actor, **json.loads(body)} for actor, body in found]

    def unsettled(self) -> list[str]:
        """What is wanted in Slack and does not stand there, and what people asked that is not done."""
        rows = self.read("SELECT key, state, error, wanted_hash = shown_hash FROM slack_messages")
        left = [f"{key}: {state} {error}" for key, state, error, same in rows if (state, same) != ("shown", 1)]
        left = [each for each in left if ": dropped" not in each]
        left += [
            f"lane {lane}: {error}"
            for lane, error in self.read("SELECT lane, error FROM slack_channels WHERE state != 'settled'")
        ]
        return left + [f"inbox {id_}" for (id_,) in self.read("SELECT id FROM inbox WHERE done_at IS NULL")]

    def standing(self) -> dict[str, list[tuple[str, str]]]:
        """Every message of ours that stands, by its key: (channel, ts), in all channels."""
        found: dict[str, list[tuple[str, str]]] = {}
        assert self.range.slack is not None
        for channel in self.range.slack.state()["channels"]:
            for message in channel["messages"]:
                key = ((message.get("metadata") or {}).get("event_payload") or {}).get("key")
                keys = [key] if key else [f"file:{each['name']}" for each in message.get("files") or ()]
                for each in keys if not message["deleted"] else ():
                    found.setdefault(each, []).append((channel["id"], message["ts"]))
        return found

    def wrong(self, decided: Counter[tuple[str, str, str]], incidents: int = 1) -> list[str]:
        """What is lost, doubled or out of order; nothing if all is as it should be."""
        accepted = Counter((e["actor"], e["step"], e["verdict"]) for e in self.journal("decision.accepted"))
        found = [f"decisions {dict(accepted)}, not {dict(decided)}"] if accepted != decided else []
        known = self.read("SELECT id FROM incidents")
        found += [f"incidents {known}"] if len(known) != incidents else []
        standing = self.standing()
        found += [f"{key} stands {len(at)} times" for key, at in standing.items() if len(at) != 1]
        rows = self.read(
            "SELECT key, kind, state, lane, parent, channel, ts, wanted FROM slack_messages ORDER BY position"
        )
        last: dict[tuple[str, str], tuple[float, str]] = {}
        for key, kind, state, lane, parent, channel, ts, wanted in rows:
            name = key if kind == "message" else f"file:{json.loads(wanted)['name']}"
            if state == "shown" and name not in standing:
                found.append(f"{key} is lost")
            elif state == "shown" and kind == "message":
                if standing[name][0] != (channel, ts):
                    found.append(f"{key} stands elsewhere")
                before = last.get((lane, parent or ""), (0.0, ""))
                if float(ts) < before[0]:
                    found.append(f"{key} stands before {before[1]}")
                last[lane, parent or ""] = (float(ts), key)
        assert self.range.slack is not None
        made = [
            each["name"] for each in self.range.slack.state()["channels"] if each["name"].startswith(("inc-", "ex-"))
        ]
        found += [f"channels {made}"] if len(made) != incidents else []
        return found

    def told_twice(self) -> list[str]:
        """Private answers that somebody was given twice."""
        assert self.range.slack is not None
        found: list[str] = []
        for channel in self.range.slack.state()["channels"]:
            told = Counter((each["seen_by"], said(each)) for each in channel["ephemerals"])
            found += [f"told {count} times: {what}" for what, count in told.items() if count > 1]
        return found

    def secrets_in_logs(self) -> list[str]:
        """Tokens, response addresses and socket tickets that a log shows."""
        logs = self.logs()
        kept = [self.peer.bot_token, self.peer.app_token, self.peer.signing_secret, *self.tokens.values()]
        return [each[:12] for each in kept if each in logs] + re.findall(r"ticket=\w+|/response/\w+|xoxb-\w+", logs)

    def logs(self) -> str:
        """Everything that the processes wrote so far."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.home.glob("*.log")))


@contextlib.asynccontextmanager
async def site(home: Path, temporal: str, namespace: str, *, more: str = "", http: bool = False) -> AsyncIterator[Site]:
    """An installation whose processes are not started yet.

    ``more`` is added to its settings; it is reached by signed ``http`` instead of sockets.
    """
    await asyncio.to_thread(home.mkdir, mode=0o700)
    with Range(11, CAST) as world:
        assert world.slack is not None
        lines = ['mode = "exercise"', 'organisation = "Acme"', 'playbooks = ["playbooks"]']
        for system, values in world.settings(home).items():
            lines += [f"[systems.{system}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        reached = world.slack_settings(home)
        if http:
            del reached["app_token"]
            reached["signing_secret"] = "secret:env/SIGNING"
        lines += ["[slack]", *(f"{key} = {json.dumps(value)}" for key, value in reached.items())]
        (home / "stanch.toml").write_text("\n".join([*lines, more]) + "\n")
        (home / "playbooks").mkdir()
        (home / "playbooks" / "freeze-some.yaml").write_text(FREEZE_SOME)
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
        env = plain | {
            "STANCH_HOME": str(home),
            "STANCH_PORT": "0",
            "TEMPORAL_ADDRESS": temporal,
            "TEMPORAL_NAMESPACE": namespace,
            "PYTHONPATH": os.getcwd(),
            "SIGNING": world.slack.peer.signing_secret,
        }
        tokens = {}
        with contextlib.closing(open_store(Settings.load(env, home))) as store:
            people = People(store)
            for name, roles in CAST.items():
                people.add(name, roles, world.slack.identities(name))
                tokens[name] = people.token(name)
        made = Site(home, env, world, tokens, http)
        try:
            yield made
        finally:
            # Beside the loop: what leads to Temporal may run there.
            await asyncio.to_thread(made.end)
