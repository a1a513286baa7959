"""A small simulated org served over a real loopback socket, and calls of actions on it as a workflow makes them."""

import dataclasses
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.catalog import CATALOG
from activities.context import Guarded
from activities.runner import Runner
from activities.surroundings import Surroundings
from activities.systems.salesforce.client import Salesforce, connect
from activities.systems.salesforce.peer.app import SalesforcePeer
from activities.systems.salesforce.peer.state import ALL_PERMISSIONS, App, Grant, Org, Session, User
from playbooks.contract import ActionCall, ActionResult, Envelope, Mode, Permit, Preview, Scope, TargetSet, Verb
from playbooks.digest import envelope_digest
from tests.fakes import FixedSystems
from worker.range_record import Record
from worker.range_server import LoopbackServer
from worker.secrets import Secrets
from worker.store import Store

INCIDENT = "INC-2026-7"
APP = "LeadPulse Sync"


class Acme:
    """An org with Stanch's integration and one more app, on a port of 127.0.0.1.

    The test's thread may change the state while no request is under way.
    """

    def __init__(self, private: str, public: str, seed: int = 1) -> None:
        self.record = Record()
        self.org = Org(random.Random(seed), self.record, "acme.my.salesforce.com")
        self.private = private
        self.me = self.org.add_user("stanch@acme.example", "Stanch Integration", permissions=ALL_PERMISSIONS)
        self.integration = self.org.add_app("Stanch", certificate=public, run_as=self.me.id)
        self.integration.preauthorised.add(self.me.id)
        self.app = self.org.add_app(APP)
        self.peer = SalesforcePeer(self.org, {self.integration.consumer_key: "stanch"})
        self.server = LoopbackServer(self.peer)
        self.url = ""
        self._clients: list[Salesforce] = []

    def __enter__(self) -> "Acme":
        self.url = self.server.open()
        return self

    def __exit__(self, *error: object) -> None:
        for client in self._clients:
            client.close()
        self.server.run(self.peer.faults.clear)
        self.server.close()

    def users(self, count: int, name: str = "user") -> list[User]:
        """New users."""
        return [self.org.add_user(f"{name}{n}@acme.example", f"{name} {n}") for n in range(count)]

    def grants(self, users: Sequence[User], each: int = 1, app: App | None = None) -> list[Grant]:
        """Authorisations of the app."""
        made = self.org.started - timedelta(days=30)
        return [
            self.org.authorise(app or self.app, user, "attacker", made + timedelta(minutes=n))
            for user in users
            for n in range(each)
        ]

    def session(self, user: User, **more: Any) -> Session:
        """A browser session."""
        return self.org.open_session(user, more.pop("kind", "UI"), more.pop("actor", "attacker"), **more)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """What ``[systems.salesforce]`` holds; the private key is in the variable ``KEY``."""
        return {
            "instance_url": f"https://{self.org.host}",
            "endpoint": self.url,
            "consumer_key": self.integration.consumer_key,
            "username": self.me.username,
            "private_key": "secret:env/KEY",
            **changes,
        }

    def client(self, env: dict[str, str] | None = None, **changes: Any) -> Salesforce:
        """A client of the integration; closed with the org."""
        secrets = {"KEY": self.private, "SECRET": self.integration.consumer_secret, **(env or {})}
        client = connect(self.settings(**changes), Secrets(secrets, Path()))
        self._clients.append(client)
        return client

    def fault(self, kind: str, **rule: Any) -> None:
        """A new fault rule; by default one request of Stanch's."""
        self.peer.faults.add({"kind": kind, "actor": "stanch", **rule})

    def effects(self, kind: str | None = None) -> list[str]:
        """Targets that Stanch changed, in order."""
        return [effect["target"] for effect in self.record.effects() if kind in (None, effect["kind"])]

    def asked(self, path: str = "", method: str = "") -> list[dict[str, Any]]:
        """Requests whose path contains a text."""
        return [asked for asked in self.record.requests() if path in asked["path"] and method in ("", asked["method"])]

    def sign_ins(self) -> int:
        """Sign-ins that were tried."""
        return len(self.asked("/services/oauth2/token"))


class Between:
    """Stop points at which something happens: between a step's intent and its change."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    async def reach(self, point: str, call: ActionCall, key: str) -> None:
        if point == "after_intent":
            self._act()

    def reach_in_thread(self, point: str, call: ActionCall, key: str) -> None:
        """Nothing happens while it is changing."""


class Bench:
    """The real runner and store around a system: calls of actions as a workflow makes them."""

    def __init__(self, client: Any, store: Store, system: str = "salesforce") -> None:
        self.client, self.store, self.system = client, store, system
        self.protected: tuple[str, ...] = ()
        self.beats: list[Any] = []
        self.env = ActivityEnvironment()
        self.before_change: Callable[[], None] | None = None
        """Called once, between a step's preview and its change."""

    def call(self, name: str, params: dict[str, Any], *, at_most: int = 500, **changes: Any) -> ActionCall:
        """A call with a permit, if it needs one."""
        facts = CATALOG.spec(name).facts
        plain = {
            key: value.model_dump(mode="json") if isinstance(value, TargetSet) else value
            for key, value in params.items()
        }
        call = ActionCall(
            action=name,
            version=facts.version,
            params=plain,
            incident=INCIDENT,
            run=f"run/{INCIDENT}/p/1",
            lineage="l",
            plan_digest="p" * 64,
            **{"step": name.partition(".")[2], "tries": 1, **changes},
        )
        if not facts.risk.is_effect or "permit" in changes:
            return call
        envelope = Envelope(
            plan=call.plan_digest,
            step=call.step,
            item=call.item,
            action=name,
            version=facts.version,
            params=plain,
            scope=Scope.SELECTOR if facts.selector else Scope.EXACT,
            max_affected=at_most,
            mode=call.context.mode,
        )
        permit = Permit(rule="r", envelope=envelope, digest=envelope_digest(envelope), protected_allowed=True)
        return call.model_copy(update={"permit": permit})

    async def run(self, call: ActionCall, *, attempt: int = 1, resume: Any = None) -> ActionResult:
        """One attempt."""
        env = self.env = ActivityEnvironment()
        env.info = dataclasses.replace(
            ActivityEnvironment.default_info(),
            attempt=attempt,
            heartbeat_details=[] if resume is None else [resume],
            heartbeat_timeout=timedelta(seconds=1),
            scheduled_time=datetime.now(UTC),
        )
        env.on_heartbeat = lambda *details: self.beats.append(details)
        guarded = Guarded(protected=self.protected, own=self.client.own)
        around = Surroundings(
            self.store,
            FixedSystems(**{self.system: self.client}),
            Mode.LIVE,
            guarded=lambda _: guarded,
            stops=Between(self.before_change) if self.before_change else None,
        )
        return await env.run(Runner(around).activity_of(CATALOG.spec(call.action)), call)

    async def apply(self, name: str, **params: Any) -> ActionResult:
        """The first attempt of an action."""
        return await self.run(self.call(name, params, at_most=params.pop("at_most", 5000)))

    async def preview(self, name: str, **params: Any) -> Preview:
        """What it would do."""
        found: Any = await self.run(self.call(name, params, verb=Verb.PREVIEW))
        return found

    async def refused(self, call: ActionCall, **how: Any) -> ApplicationError:
        """How an attempt failed."""
        with pytest.raises(ApplicationError) as caught:
            await self.run(call, **how)
        return caught.value

    async def after_lost(self, call: ActionCall, *, kind: str = "Ambiguous") -> ActionResult:
        """The attempt after one whose answer was lost; each starts without the other's heartbeat."""
        lost = await self.refused(call)
        assert (lost.type, lost.non_retryable) == (kind, False), lost
        return await self.run(call, attempt=2)

    def rows_of(self, ref: str) -> list[dict[str, Any]]:
        """The lines of a file of evidence."""
        return list(self.store.evidence.rows(ref))

    def rows(self, targets: Any) -> list[dict[str, Any]]:
        """The rows of an output that is a target set."""
        return self.rows_of(TargetSet.model_validate(targets).ref)

    def files(self) -> dict[str, bytes]:
        """Evidence by name; the last of each."""
        return {row["name"]: self.store.evidence.read(row["sha256"]) for row in self.store.evidence.of(INCIDENT)}

    def journal(self) -> str:
        """The whole journal as text."""
        return str(self.store.journal.entries(INCIDENT))
