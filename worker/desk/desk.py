"""The desk: the one place that knows who a person is and what they may do now. Doors are thin views of it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import Client
from temporalio.service import RPCError

from playbooks.contract import Json
from worker.bundle import ExportRefused, export
from worker.bundle_histories import fetch_histories
from worker.desk.aftermath import Aftermath
from worker.desk.decisions import Actor, Decisions
from worker.desk.entries import entry_of
from worker.desk.life import Life
from worker.desk.migrations import Migrations
from worker.desk.notes import Notes
from worker.desk.outbox import Outbox
from worker.desk.people import People
from worker.desk.plans import Installation
from worker.desk.reconcile import Reconciler
from worker.desk.refusals import DeskRefusal
from worker.desk.slack_people import SlackPeople
from worker.desk.standing import StandingApprovals
from worker.desk.starts import Starts
from worker.desk.views import Views, hold_document
from worker.paging.desk import PagingDesk
from worker.store import Store

log = logging.getLogger(__name__)

SIGN_EVERY = 60.0
HEALTH = timedelta(seconds=3)


class Desk:
    """Everything that a door needs.

    Args:
        store: The installation's store.
        client: Temporal.
        installation: What every start shares.
        key: The desk's signing key; its public half is in ``installation.desk_keys`` under ``key_id``.
        key_id: Id of that key.
    """

    def __init__(
        self,
        store: Store,
        client: Client,
        installation: Installation,
        key: Ed25519PrivateKey,
        key_id: str,
    ) -> None:
        self.store, self.client, self.installation = store, client, installation
        self.people = People(store)
        self.views = Views(store, client)
        self.starts = Starts(store, client, installation)
        self.decisions = Decisions(store, client, self.views, key, key_id)
        self.life = Life(store, client, self.views)
        self.aftermath = Aftermath(store, client, self.views, self.starts)
        self.notes = Notes(store, self.views)
        self.standing = StandingApprovals(store, installation)
        self.migrations = Migrations(client, self.views, self.aftermath, installation)
        self.outbox = Outbox(store)
        self.reconciler = Reconciler(store, client, self.starts)
        self.doors: dict[str, Callable[[], dict[str, Json]]] = {}
        """Doors beside ``/v1`` by name, each telling how it is; none of them makes the process unhealthy."""
        self.slack = SlackPeople(self.people)
        """Who is who in Slack; of a workspace once one is configured."""
        self.paging: PagingDesk | None = None
        """Who is on call, and test pages; none in a process without settings of its own."""

    def actor(self, token: str, door: str) -> Actor:
        """Who holds this token, with the roles of this very moment.

        Raises:
            DeskRefusal: ``unknown_person``.
        """
        person = self.store.people.by_token(token) if token else None
        if person is None:
            raise DeskRefusal("unknown_person", "Nobody is known by this token. Nothing was done.")
        return Actor(name=person.name, roles=tuple(person.roles), door=door)

    async def export(self, incident: str, target: Path, actor: Actor) -> None:
        """Write the incident's signed bundle; that it was taken out, and by whom, is part of the record.

        Raises:
            DeskRefusal: ``not_found``, or ``export_refused`` where nothing can be signed.
        """
        self.views.known(incident)
        workflows = [f"incident/{incident}", *self.store.incidents.runs(incident)]
        histories = await fetch_histories(self.client, workflows)
        kept = {"histories": len(histories.held), "histories_missing": len(histories.missing)}
        entry = entry_of(actor.name, actor.door, "incident.exported", kept)
        try:
            await asyncio.to_thread(export, self.store, incident, target, histories, by=entry)
        except ExportRefused as error:
            raise DeskRefusal(error.code, str(error), "Start `stanch serve` in a home with its key.") from None

    async def health(self) -> dict[str, Any]:
        """What this process depends on; ``ok`` if it can do its work. Doors answer even when it cannot."""
        store, engine = await asyncio.gather(self._store_answers(), self._engine_answers())
        doors = {name: look() for name, look in self.doors.items()}
        held = hold_document(self.store)["on"]
        return {"ok": store and engine, "store": store, "temporal": engine, "hold": held, **doors}

    async def keep_signing(self, *, every: float = SIGN_EVERY) -> None:
        """Sign the heads of the chains that changed, each minute, until cancelled."""
        while True:
            await asyncio.sleep(every)
            try:
                await self.store.call(self.store.journal.sign_heads, "minute")
            except Exception:
                # The next minute signs what this one could not.
                log.exception("the heads of the journal could not be signed")

    async def _store_answers(self) -> bool:
        try:
            await self.store.call(self.store.hold.get)
        except Exception:
            log.exception("the store does not answer")
            return False
        return True

    async def _engine_answers(self) -> bool:
        try:
            return await self.client.service_client.check_health(timeout=HEALTH)
        except RPCError:
            return False
