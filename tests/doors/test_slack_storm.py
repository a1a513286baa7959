"""Slack misbehaving and processes dying, in whole installations: nothing is lost, doubled, or out of order.

Each story is drawn from its seed: faults of the workspace, and deaths at the worst moments, while people start an
incident by a form and decide it by clicks. More seeds: ``STANCH_STORM=100:160 pytest tests/doors/test_slack_storm.py``.
"""

import asyncio
import os
import random
import time
import uuid
from collections import Counter

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from tests.doors.slack_house import Relay
from tests.doors.slack_site import Site, site

METHODS = (
    "chat.postMessage",
    "chat.postEphemeral",
    "chat.update",
    "views.open",
    "conversations.create",
    "conversations.invite",
    "conversations.set",
    "files|upload",
    "apps.connections.open",
    "pins.add",
    "auth.test",
)
CALLS = ("latency", "status", "rate_limit", "error", "drop", "error_after_commit", "drop_after_commit")
DELIVERIES = ("duplicate", "unacknowledged", "late")
MOMENTS = (
    "",
    "first post",
    "first post after commit",
    "create",
    "create after commit",
    "start form",
    "click",
    "click undelivered",
    "card update",
    "worker",
    "temporal away",
    "slack away",
    "sockets",
)
HOLDS = {
    "first post": ("hold", "chat.postMessage"),
    "first post after commit": ("hold_after_commit", "chat.postMessage"),
    "create": ("hold", "conversations.create"),
    "create after commit": ("hold_after_commit", "conversations.create"),
    "card update": ("hold", "chat.update"),
}


def seeds():
    first, _, last = os.environ.get("STANCH_STORM", "").partition(":")
    return range(int(first), int(last)) if last else SHORT


SHORT = (7,)
"""The click that is acknowledged and not delivered when both processes die; more than that takes too long here."""


class Story:
    """One run with its troubles."""

    def __init__(self, staged: Site, relay: Relay, seed: int) -> None:
        self.site, self.relay, self.rng = staged, relay, random.Random(seed)
        self.moment = MOMENTS[seed % len(MOMENTS)]
        self.user = staged.range.world.org.add_user("storm@acme.example", "Storm").id
        self.told: list[str] = [self.moment]
        self.expected = Counter({("amal", "go", "approve"): 1, ("bo", "go", "approve"): 1})

    def trouble(self, count: int) -> None:
        """Rules that strike once or twice each."""
        for _ in range(count):
            if self.rng.random() < 0.25:
                kind, method = self.rng.choice(DELIVERIES), "interactive|slash_commands"
            else:
                kind, method = self.rng.choice(CALLS), self.rng.choice(METHODS)
            given = {"times": self.rng.randint(1, 2), "skip": self.rng.randint(0, 2)}
            given["seconds"] = self.rng.choice((1.0, 2.0))
            self.site.peer.faults.add(kind, method=method, **given)
            self.told.append(f"{kind} {method} {given}")

    async def die(self, *names: str) -> None:
        """SIGKILL and start again."""
        for name in names:
            self.site.kill(name)
        self.site.peer.faults.release()
        await asyncio.sleep(self.rng.random())
        for name in names:
            self.site.begin(name)
        if "serve" in names:
            await self.site.serving()

    async def held(self) -> None:
        """Die in the middle of a call."""
        if self.moment in HOLDS:
            await self.site.until(lambda: self.site.peer.faults.held)
            self.site.peer.faults.rules[:] = [r for r in self.site.peer.faults.rules if not r.kind.startswith("hold")]
            await self.die("serve", *(["worker"] if self.rng.random() < 0.3 else []))

    def hold(self, *moments: str) -> None:
        """Hold the call of this story, if it is one of these."""
        if self.moment in moments:
            kind, method = HOLDS[self.moment]
            self.site.peer.faults.add(kind, method=method)

    async def play(self) -> None:
        """From the form to the end."""
        here, cleo = self.site, self.site.person("cleo")
        assert here.range.slack is not None
        self.trouble(self.rng.randint(1, 5))
        self.hold("first post", "first post after commit", "create", "create after commit")

        async def form() -> None:
            if cleo.view is None:
                await cleo.command("/stanch start freeze-some", here.range.slack.channel)
                await cleo.until(lambda: cleo.view, 4)

        await here.insist(form)
        # Its answer may be lost: then the person looks first, as people do.
        try:
            await cleo.submit({"text": "Users are to be frozen", "field:users": self.user})
        except Exception as error:
            self.told.append(f"submit: {error}")
        if self.moment == "start form":
            await asyncio.sleep(self.rng.random() * 0.2)
            await self.die("serve")
        if self.moment in ("first post", "first post after commit", "create", "create after commit"):
            await self.held()
        await self.away()
        if self.moment == "worker":
            await self.die("worker")
        self.hold("card update")
        if self.moment == "click undelivered":
            await here.until(lambda: self.seen("amal"))
            here.suspend("worker")
            await here.click("amal", "decide:approve")
            await self.die("serve", "worker")
        else:
            await here.click("amal", "decide:approve")
            if self.moment == "click":
                await asyncio.sleep(self.rng.random() * 0.1)
                await self.die("serve", *(["worker"] if self.rng.random() < 0.3 else []))
        if self.moment == "card update":
            await self.held()
        await self.until_voted(1)
        await here.click("bo", "decide:approve")
        await self.until_voted(2)
        incident = here.read("SELECT id FROM incidents")[0][0]
        await here.incident_until(incident, lambda shown: shown["runs"][0]["status"] in ("done", "failed"))
        here.peer.faults.clear()
        await here.until(lambda: not here.unsettled() or None, 90)

    def seen(self, name: str) -> bool:
        try:
            return bool(self.site.card(name, "decide:approve"))
        except Exception:
            return False

    async def until_voted(self, count: int) -> None:
        await self.site.until(lambda: len(self.site.journal("decision.accepted")) >= count, 90)

    async def away(self) -> None:
        """Temporal, Slack or the sockets go for a while."""
        if self.moment == "temporal away":
            self.relay.cut()
            await asyncio.sleep(3)
            self.relay.mend()
        elif self.moment == "slack away":
            self.site.peer.faults.take_down()
            await asyncio.sleep(4)
            self.site.peer.faults.bring_up()
        elif self.moment == "sockets":
            for _ in range(3):
                self.site.peer.drop_sockets()
                await asyncio.sleep(0.3)


@pytest.fixture
async def relay(temporal_server):
    """A way to Temporal that can be cut, and a namespace there."""
    async with Relay(temporal_server.address).serving() as way:
        way.namespace = f"t{uuid.uuid4().hex[:12]}"
        admin = await Client.connect(temporal_server.address)
        await admin.workflow_service.register_namespace(
            RegisterNamespaceRequest(
                namespace=way.namespace, workflow_execution_retention_period=Duration(seconds=24 * 3600)
            )
        )
        yield way


@pytest.mark.parametrize("seed", seeds())
async def test_whatever_happens_nothing_is_lost_or_doubled(relay, tmp_path, seed):
    began = time.monotonic()
    async with site(tmp_path / "home", relay.address, relay.namespace, http=seed // len(MOMENTS) % 2 == 1) as staged:
        staged.begin("worker")
        staged.begin("serve")
        await staged.serving()
        await staged.working()
        story = Story(staged, relay, seed)
        try:
            await story.play()
            wrong = staged.wrong(story.expected)
        finally:
            print(f"\nseed {seed}: {time.monotonic() - began:.1f} s; {story.told}")
            print(staged.unsettled())
        assert not wrong, wrong
        assert staged.secrets_in_logs() == []
