"""The rest of an incident's life: pause, cancel, facts, clocks, close, and the hold over everything."""

import secrets

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from playbooks.contract import Json
from playbooks.digest import sha256_hex
from worker.desk.decisions import Actor
from worker.desk.delivery import deliver
from worker.desk.entries import entry_of
from worker.desk.open_incidents import note_in_open
from worker.desk.refusals import DeskRefusal
from worker.desk.rights import require
from worker.desk.times import stamp
from worker.desk.views import Views, hold_document, slack_document
from worker.store import Store
from worker.wording import ENDED
from workflows.messages import ClockChange, CloseRequest, EventGiven, FactChange, PauseRequest, Receipt

CLOCK_VERBS = frozenset({"confirm", "correct", "submit", "dismiss", "handover"})
NEEDS_REASON = frozenset({"correct", "dismiss", "handover"})
NEEDS_INSTANT = frozenset({"correct", "submit"})
MAX_FACT = 32 * 1024


class Life:
    """What people do to incidents and runs beside deciding. Every method checks the person's right first."""

    def __init__(self, store: Store, client: Client, views: Views) -> None:
        self._store, self._client, self._views = store, client, views

    async def pause(self, incident: str, actor: Actor, run: str | None, reason: str) -> Receipt:
        """Start no further step of the incident's running runs, or of one."""
        return await self._each_run(incident, actor, "pause", run, reason)

    async def resume(self, incident: str, actor: Actor, run: str | None, reason: str) -> Receipt:
        """Go on after a pause."""
        return await self._each_run(incident, actor, "resume", run, reason)

    async def cancel(self, incident: str, actor: Actor, run: str | None, reason: str) -> Receipt:
        """Cancel the incident's running runs, or one; each then offers to undo what can be undone.

        Raises:
            DeskRefusal: ``wrong_role``, ``not_found``, ``closed``, ``no_change`` or ``engine_unreachable``.
        """
        require(actor.name, actor.roles, "cancel")
        asked = await self._open_runs(incident, run)
        before = {each["run"]: each["cancelled"] for each in await self._views.runs(incident) if each.get("cancelled")}
        runs = [each for each in asked if each not in before]
        if not runs:
            told = ", ".join(f"{each} (by {before[each]['by'] or 'somebody unknown'})" for each in asked)
            raise DeskRefusal(
                "no_change",
                f"Cancelled already: {told}. Nothing was changed.",
                "Only what must be done in any case goes on; `stanch incident show` says what it waits for.",
            )
        for each in runs:
            self._note(incident, actor, "run.cancel_requested", {"run": each}, reason)
            try:
                await self._client.get_workflow_handle(each).cancel()
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    raise DeskRefusal("closed", f"{each} has already ended. Nothing was cancelled.") from None
                raise DeskRefusal(
                    "engine_unreachable", f"The Temporal server did not take the cancel of {each}."
                ) from None
        return Receipt(accepted=True, message=f"Cancel was asked of {', '.join(runs)}.")

    async def take(self, incident: str, actor: Actor, reason: str) -> Receipt:
        """Become the incident's commander."""
        require(actor.name, actor.roles, "take")
        return await self._ask(incident, actor, "take", PauseRequest(person=actor.name, reason=reason))

    def ack(self, incident: str, actor: Actor) -> Receipt:
        """Record that somebody has seen the incident; its pages stop."""
        require(actor.name, actor.roles, "ack")
        self._views.known(incident)
        with self._store.transaction():
            stopped = self._store.pages.end(incident, "acknowledged", by=actor.name)
            body: dict[str, Json] = {"pages": list(stopped)} if stopped else {}
            self._note(incident, actor, "incident.acknowledged", body, "")
        pages = f" {len(stopped)} page(s) stopped." if stopped else ""
        return Receipt(accepted=True, message=f"Recorded: {actor.name} has seen {incident}.{pages}")

    async def set_fact(self, incident: str, actor: Actor, fact: str, value: Json, reason: str = "") -> Receipt:
        """Set a fact by a person's word, the strongest there is; ``None`` clears it."""
        require(actor.name, actor.roles, "set")
        if len(str(value)) > MAX_FACT:
            raise DeskRefusal("too_large", "The value is over 32 KB. Nothing was set.")
        change = FactChange(
            fact=fact,
            value=value,
            trust="person",
            by=actor.name,
            reason=reason,
            source=actor.door,
            at=stamp(),
            nonce=secrets.token_urlsafe(16),
        )
        return await self._ask(incident, actor, "set_fact", change)

    async def event(
        self,
        incident: str,
        actor: Actor,
        name: str,
        body: dict[str, Json],
        run: str | None = None,
        nonce: str | None = None,
    ) -> Receipt:
        """Deliver an event to the incident's running runs that wait for its name, or to one.

        ``nonce`` is the sender's name for this very event: delivered again, it counts once.

        Raises:
            DeskRefusal: ``wrong_role``, ``not_found`` or ``closed``.
        """
        require(actor.name, actor.roles, "event")
        given = EventGiven(
            name=name,
            body=body,
            person=actor.name,
            door=actor.door,
            nonce=f"{actor.name}:{nonce or secrets.token_urlsafe(16)}",
        )
        update_id = f"event-{sha256_hex(given.nonce.encode())[:32]}"
        runs = await self._open_runs(incident, run)
        receipts = [await deliver(self._client, each, "event", given, Receipt, update_id) for each in runs]
        taken = [receipt.message for receipt in receipts if receipt.accepted]
        if taken:
            return Receipt(accepted=True, message=" ".join(taken))
        # A run that knows the event says more than one that does not.
        return min(receipts, key=lambda receipt: receipt.code == "unknown_event")

    async def clock(self, incident: str, actor: Actor, clock: str, verb: str, at: str | None, reason: str) -> Receipt:
        """Say of a legal clock: confirmed, corrected, submitted, dismissed, handed over.

        Raises:
            DeskRefusal: ``wrong_role``, or ``bad_value`` where the verb needs an instant or a reason.
        """
        require(actor.name, actor.roles, "clock")
        if verb not in CLOCK_VERBS:
            verbs = ", ".join(sorted(CLOCK_VERBS))
            raise DeskRefusal("bad_value", f"A clock takes one of: {verbs}. Nothing was changed.")
        if verb in NEEDS_REASON and not reason.strip():
            raise DeskRefusal("bad_value", f"To {verb} a clock needs a reason. Nothing was changed.")
        if verb in NEEDS_INSTANT and not at:
            raise DeskRefusal("bad_value", f"To {verb} a clock needs an instant. Nothing was changed.")
        change = ClockChange(
            clock=clock,
            verb=verb,
            person=actor.name,
            at=at,
            reason=reason,
            nonce=actor.once("clock"),
        )
        return await self._ask(incident, actor, "clock", change)

    async def close(self, incident: str, actor: Actor, status: str, reason: str) -> Receipt:
        """Close the incident, as ``closed`` or ``false_alarm``; the incident may refuse."""
        require(actor.name, actor.roles, "close")
        if status not in ("closed", "false_alarm"):
            raise DeskRefusal("bad_value", "An incident closes as closed or false_alarm. Nothing was closed.")
        receipt = await self._ask(
            incident, actor, "close", CloseRequest(person=actor.name, status=status, reason=reason)
        )
        if receipt.accepted:
            self._store.journal.sign_heads("close", incident)
        return receipt

    def hold_on(self, actor: Actor, reason: str) -> dict[str, Json]:
        """Stop every new effect everywhere, at once."""
        require(actor.name, actor.roles, "hold_on")
        if not reason.strip():
            raise DeskRefusal("bad_value", "A hold needs a reason. Nothing was held.", "Add --reason TEXT.")
        self._store.hold.set(reason, actor.name)
        note_in_open(self._store, actor.name, actor.door, "hold.set", text=reason)
        return hold_document(self._store)

    def hold_off(self, actor: Actor) -> dict[str, Json]:
        """Let effects go on."""
        require(actor.name, actor.roles, "hold_off")
        self._store.hold.clear(actor.name)
        note_in_open(self._store, actor.name, actor.door, "hold.cleared")
        return hold_document(self._store)

    def slack_off(self, actor: Actor, reason: str) -> dict[str, Json]:
        """Believe nothing that comes from Slack any more, and post nothing there; if it is off already it stays so.

        Raises:
            DeskRefusal: ``wrong_role``, or ``bad_value`` without a reason.
        """
        require(actor.name, actor.roles, "slack_off")
        if not reason.strip():
            raise DeskRefusal(
                "bad_value", "To switch Slack off needs a reason. It was not switched off.", "Add --reason TEXT."
            )
        with self._store.transaction():
            if self._store.slack.off.get() is None:
                self._store.slack.off.set(reason, actor.name)
                note_in_open(self._store, actor.name, actor.door, "slack.off", text=reason)
        return slack_document(self._store)

    def slack_on(self, actor: Actor) -> dict[str, Json]:
        """Believe Slack again, and show there what has come about meanwhile."""
        require(actor.name, actor.roles, "slack_on")
        with self._store.transaction():
            if self._store.slack.off.get() is not None:
                self._store.slack.off.clear(actor.name)
                note_in_open(self._store, actor.name, actor.door, "slack.on")
        return slack_document(self._store)

    async def _each_run(self, incident: str, actor: Actor, update: str, run: str | None, reason: str) -> Receipt:
        require(actor.name, actor.roles, update)
        told: list[str] = []
        for each in await self._open_runs(incident, run):
            receipt = await deliver(
                self._client,
                each,
                update,
                PauseRequest(person=actor.name, reason=reason),
                Receipt,
                actor.once(update),
            )
            if not receipt.accepted:
                return receipt
            told.append(receipt.message or f"{update}: {each}")
        return Receipt(accepted=True, message=" ".join(told))

    async def _open_runs(self, incident: str, run: str | None) -> list[str]:
        self._views.known(incident)
        runs = await self._views.runs(incident)
        if run is not None and run not in [each["run"] for each in runs]:
            raise DeskRefusal("not_found", f"{incident} has no run {run}. Nothing was done.")
        chosen = [each["run"] for each in runs if each["status"] not in ENDED and run in (None, each["run"])]
        if not chosen:
            raise DeskRefusal("closed", f"No run of {incident} is still going. Nothing was done.")
        return chosen

    async def _ask(
        self, incident: str, actor: Actor, update: str, body: FactChange | ClockChange | CloseRequest | PauseRequest
    ) -> Receipt:
        self._views.known(incident)
        return await deliver(self._client, f"incident/{incident}", update, body, Receipt, actor.once(update))

    def _note(self, incident: str, actor: Actor, kind: str, body: dict[str, Json], text: str) -> None:
        key = f"desk/{kind}/{actor.request}/{body.get('run', '')}" if actor.request else ""
        self._store.journal.append(incident, [entry_of(actor.name, actor.door, kind, body, text, key=key)])
