"""An exercise at a high rate whose people are woken: real SMTP, a webhook's server, simulated PagerDuty and Slack."""

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from playbooks.contract import RunContext
from playbooks.loader import Library
from playbooks.policy import Policy
from tests.doors.conftest import House
from tests.doors.slack_house import SECRETS, healthy
from tests.doors.slack_house import settings as slack_settings
from tests.mailbox import Letters, mail_server
from tests.systems.pumping import QUICK
from worker.api.app import create_app
from worker.desk.desk import Desk
from worker.desk.plans import Installation
from worker.desk.times import stamp
from worker.paging.peer.pagerduty import PagerDutyPeer
from worker.paging.setup import pager_of
from worker.settings import Settings
from worker.slack.door import SlackDoor
from worker.slack.outgoing import Showing
from worker.slack.pages import SlackPages
from worker.slack.peer.server import SlackPeer
from worker.start_http import listening

SECRET = "whsec_" + "QUJD" * 11
KEY = "R" * 32
PLAYBOOK = """
stanch: 1
id: freeze
version: 1.0.0
title: Freeze
steps:
  - {id: things, action: lab.list_things, with: {prefix: t}}
  - id: go
    approve: [one]
    by: {roles: [crm_owner]}
    within: 2h
    on_timeout: [{escalate: legal, within: 20d}, deny]
    on_deny: continue
  - {id: one, phase: contain, action: lab.touch, with: {name: x}}
"""
CAST = {
    "amal": ("crm_owner",),
    "bo": ("crm_owner",),
    "cleo": ("incident_commander",),
    "dara": ("legal",),
    "root": ("admin",),
    "vic": ("viewer",),
}
CONTACTS = {
    "amal": {"mail": "amal@acme.example", "rule": "mail 0m, webhook 5m"},
    "bo": {"mail": "bo@acme.example", "pagerduty": "PBO123", "rule": "pagerduty 0m, mail 10m"},
    "cleo": {"rule": "webhook 0m"},
    "dara": {"mail": "dara@acme.example", "rule": "slack 0m, mail 5m"},
}
SETTINGS = """
mode = "exercise"
[paging]
times = 2
gap_seconds = 600
calendars = {{crm_owner = "crm.ics"}}
[paging.pagerduty]
routing_key = "secret:env/PD_KEY"
api_token = "secret:env/PD_TOKEN"
endpoint = "{pagerduty}"
[paging.mail]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "stanch@acme.example"
[paging.webhook]
url = "{hook}"
secret = "secret:env/HOOK"
"""
CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:x
BEGIN:VEVENT
UID:1
DTSTART:20260101T000000Z
DTEND:20260102T000000Z
RRULE:FREQ=DAILY
SUMMARY:bo
END:VEVENT
END:VCALENDAR
"""


@dataclasses.dataclass
class Woken:
    """A house whose people are woken, and what reached them."""

    house: House
    pagerduty: PagerDutyPeer
    letters: Letters
    hooks: list[dict[str, Any]]
    slack: SlackPeer

    def page(self, incident: str, step: str | None = "go", *, number: int = 0) -> dict[str, Any]:
        """The so-manieth page of a step, as the incident shows it; empty before there is one."""
        rows = [row for row in self.house.env.store.notices.of(incident) if row.get("page") and row["step"] == step]
        return dict(rows[number]) if len(rows) > number else {}

    async def until(self, condition: Any, seconds: float = 10.0) -> None:
        """Wait for something that is seen from outside."""
        for _ in range(int(seconds / 0.02)):
            if condition():
                return
            await asyncio.sleep(0.02)
        raise AssertionError("it did not come about")

    def tried(self, incident: str, **more: Any) -> list[tuple[str, str, bool]]:
        """Who was tried by which channel, and whether it was taken."""
        attempts = self.page(incident, **more).get("page", {}).get("attempts", [])
        return [(each["person"], each["channel"], not each["error"]) for each in attempts]


@contextlib.contextmanager
def hook_server() -> Iterator[tuple[list[dict[str, Any]], str]]:
    """A webhook's server that takes what is well signed, and its address."""
    taken: list[dict[str, Any]] = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            taken.append(Webhook(SECRET).verify(body, {key.lower(): value for key, value in self.headers.items()}))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield taken, f"http://127.0.0.1:{server.server_address[1]}/hook"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.asynccontextmanager
async def woken(worker_env: Any, rate: int) -> AsyncIterator[Woken]:
    """The installation at work, with its pager, in a world that is so many times faster."""
    home = worker_env.settings.home
    async with contextlib.AsyncExitStack() as stack:
        box, port = stack.enter_context(mail_server())
        hooks, url = stack.enter_context(hook_server())
        pagerduty = stack.enter_context(PagerDutyPeer(routing_key=KEY))
        slack = stack.enter_context(SlackPeer())
        slack.rates.limited = False
        (home / "stanch.toml").write_text(SETTINGS.format(pagerduty=pagerduty.url, port=port, hook=url))
        (home / "crm.ics").write_text(CALENDAR.replace("\n", "\r\n"))
        secrets = {"PD_KEY": KEY, "PD_TOKEN": pagerduty.api_token, "HOOK": SECRET}
        settings = Settings.load({"STANCH_HOME": str(home), **secrets}, home)
        env = dataclasses.replace(worker_env, settings=settings)
        house = await stack.enter_async_context(_house(env, rate))
        user = slack.add_user("dara", "Dara", "dara@acme.example")
        house.desk.people.add("dara", CAST["dara"], [("slack", slack.team_id, user)])
        for name, contact in CONTACTS.items():
            answer = await house.ask("root", "PUT", f"/v1/people/{name}/contact", contact)
            assert answer.status_code == 200, answer.text

        def outgoing(token: str) -> Showing:
            return Showing(env.store, house.desk.views, slack_settings(slack), token, pace=QUICK)

        door = SlackDoor(slack_settings(slack), lambda name: str(getattr(slack, SECRETS[name])), house.desk, outgoing)
        door.pages = SlackPages(patience=2.0)
        await stack.enter_async_context(door.opened())
        await healthy(door)
        pager = pager_of(settings, env.store, {"slack": door.pages})
        assert pager is not None
        paging = asyncio.create_task(pager.keep_paging(every=0.05, listen=0.1))
        try:
            yield Woken(house, pagerduty, box, hooks, slack)
        finally:
            paging.cancel()
            await asyncio.gather(paging, return_exceptions=True)


@contextlib.asynccontextmanager
async def _house(env: Any, rate: int) -> AsyncIterator[House]:
    shelf = env.settings.home / "shelf"
    shelf.mkdir()
    (shelf / "freeze.yaml").write_text(PLAYBOOK)
    now, key = stamp(datetime.now(UTC)), Ed25519PrivateKey.generate()
    installation = Installation(
        library=Library.of(shelf),
        actions=env.catalog.facts(),
        policy=Policy(),
        context=RunContext(mode=env.settings.mode, rate=rate, world_start=now, real_start=now),
        queue_prefix=env.prefix,
        desk_keys={"k1": key.public_key().public_bytes_raw().hex()},
    )
    desk = Desk(env.store, env.client, installation, key, "k1")
    tokens = {}
    for name, roles in CAST.items():
        desk.people.add(name, roles)
        tokens[name] = desk.people.token(name)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(env.workers())
        url = await stack.enter_async_context(listening(create_app(desk), "127.0.0.1", 0))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=30))
        yield House(env, desk, url, tokens, http)
