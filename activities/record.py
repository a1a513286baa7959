"""What the runner writes of a call: who went first, what was intended, how it ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

from activities.context import stamp, world_time
from activities.errors import ActionError, Held, JournalUnavailable, StandingRevoked, Superseded
from activities.ports import Store
from playbooks.contract import ActionCall, ActionResult, Json, NewEntry

P = ParamSpec("P")
T = TypeVar("T")
_BUGS = (TypeError, AttributeError, LookupError, ValueError, AssertionError)


class CallRecord:
    """The journal's side of one call under one idempotency key."""

    def __init__(self, store: Store, call: ActionCall, key: str, fence: int, wait: float) -> None:
        """``fence`` orders attempts: a higher one has taken over. ``wait`` bounds waiting for the store."""
        self._store, self._call, self._key, self._fence, self._wait = store, call, key, fence, wait

    async def begin(self, *, effect: bool) -> ActionResult | None:
        """Write the entries that travelled with the call; the stored result if the call has ended already.

        A result that a person asks to improve (a read repeated, an effect that did not verify) is no end.
        """
        if not effect and self._fence % 1000 == 1:
            # Only an attempt before this one of the same activity could have left a result of this read.
            await self.entries_only()
            return None
        body = await self._reach(self._begin)
        if body is None:
            return None
        return await self._reach(result_of, self._store, body)

    async def entries_only(self) -> None:
        """Write the entries that travelled with a call that leaves no outcome."""
        if self._call.entries:
            await self._write(self._store.journal.append, self._call.incident, self._call.entries)

    async def open_intents(self) -> tuple[list[dict[str, Json]], int]:
        """Earlier intents that may have taken effect, oldest first; and how many intents this very activity has made,
        those that surely failed included. An intent whose call ended says so (``ended``), with the reference of its
        ``report``."""
        return await self._reach(self._open_intents)

    async def intend(self, body: Mapping[str, Json]) -> bool:
        """Write the intent, in one transaction with a last look at the hold.

        Raises:
            Held: effects are on hold.
            Superseded: an attempt that was thought lost has ended the call meanwhile.
        """
        # Not written together with others: between the intent and its effect nobody may come in to cancel.
        return await self._reach(self._intend, dict(body))

    async def overtaken(self) -> bool:
        """Whether a later attempt has written an intent of its own, so that this one may not act any more."""
        return await self._reach(self._overtaken)

    async def failed(self, error: ActionError) -> None:
        """Record that this attempt surely changed nothing."""
        body = {"key": self._key, "code": error.code, "attempt": self._fence, **self._place()}
        await self._write(
            self._store.journal.append,
            self._call.incident,
            [
                NewEntry(
                    key=f"{self._key}/failed/{self._fence}",
                    kind="action.failed",
                    at=stamp(world_time(self._call.context, datetime.now(UTC))),
                    door="activity",
                    body=body,
                )
            ],
        )

    async def ended(self, result: ActionResult, *, inline: bool, effect: bool, good: bool) -> None:
        """Record the outcome; ``inline`` whether the output may stand in the journal itself, ``good``
        whether it ends the call for ever (an effect that does not verify may be tried again)."""
        await self._write(self._ended, result, inline, effect, good)

    def _place(self) -> dict[str, Json]:
        call = self._call
        place = {"action": call.action, "version": call.version, "verb": call.verb.value, "step": call.step}
        return {**place, "pass": call.pass_, "item": call.item, "run": call.run, "facts": call.facts_version}

    def _begin(self) -> dict[str, Json] | None:
        call, journal = self._call, self._store.journal
        if call.entries:
            journal.append(call.incident, call.entries)
        return self._outcome()

    def _outcome(self) -> dict[str, Json] | None:
        call, journal = self._call, self._store.journal
        again = journal.outcome(call.incident, f"{self._key}/{call.tries}")
        if again is not None:
            return again
        body = journal.outcome(call.incident, self._key)
        if body is not None and not body.get("effect") and body.get("tries") != call.tries:
            return None
        return body

    def _overtaken(self) -> bool:
        intents = self._store.journal.intents(self._call.incident, self._key)
        return any(intent["attempt"] > self._fence for intent in intents)

    def _open_intents(self) -> tuple[list[dict[str, Json]], int]:
        call, journal = self._call, self._store.journal
        intents = journal.intents(call.incident, self._key)
        if not intents:
            return [], 0
        failed = {
            entry["body"]["attempt"]
            for entry in journal.entries(call.incident)
            if entry["kind"] == "action.failed" and entry["body"].get("key") == self._key
        }
        made = sum(intent["attempt"] // 1000 == call.tries for intent in intents)
        return [self._with_end(intent) for intent in intents if intent["attempt"] not in failed], made

    def _with_end(self, intent: dict[str, Json]) -> dict[str, Json]:
        """An intent with the report per target of the call that made it, if that call ended."""
        outcome = self._store.journal.outcome(self._call.incident, f"{self._key}/{intent['attempt'] // 1000}")
        if outcome is None:
            return intent
        items = outcome["result"].get("items")
        report = {"report": items["report"]["ref"]} if items and items.get("report") else {}
        return {**intent, "ended": True, **report}

    def _intend(self, body: dict[str, Json]) -> bool:
        with self._store.transaction():
            hold = self._store.hold.get()
            if hold is not None:
                raise Held("A person put every effect on hold. Nothing was sent. It goes on after `stanch hold off`.")
            self._check_standing()
            if self._outcome() is not None:
                raise Superseded("An attempt that was thought lost has ended the step. Nothing was sent again.")
            whole = {**self._place(), **body, "key": self._key, "attempt": self._fence}
            return self._store.journal.intent(self._call.incident, self._key, self._fence, whole)

    def _check_standing(self) -> None:
        permit = self._call.permit
        now = stamp(world_time(self._call.context, datetime.now(UTC)))
        for id_ in permit.standing if permit is not None else ():
            if not self._store.standing.in_force(id_, now):
                said = f"The standing approval {id_} is no longer in force."
                raise StandingRevoked(f"{said} Nothing was sent. It is asked anew.", {"difference": [said]})

    def _ended(self, result: ActionResult, inline: bool, effect: bool, good: bool) -> None:
        call, store = self._call, self._store
        shown = result.model_dump(mode="json")
        ref = None
        if not inline and result.output:
            ref = store.evidence.put(
                call.incident,
                result.model_dump_json().encode(),
                name=f"{call.action}.result",
                media_type="application/json",
                source=f"{call.action}@{call.version} {call.step}",
                actor="stanch",
            ).ref
            shown["output"] = {}
        body = {
            **self._place(),
            "key": self._key,
            "attempt": self._fence,
            "tries": call.tries,
            "effect": effect,
            "changed": result.changed,
            "verified": result.verified,
            "result": shown,
            "result_ref": ref,
        }
        key, first = self._key, not effect and call.tries <= 1 and self._fence % 1000 == 1
        with store.transaction():
            if effect and self._overtaken():
                raise Superseded("A later attempt of the same step has taken over; its outcome counts.")
            if not good or (not first and store.journal.outcome(call.incident, key) is not None):
                key = f"{key}/{call.tries}"
            store.journal.record_outcome(call.incident, key, self._fence, body)

    async def _reach(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the store, waiting a while if it is away; the activity goes on beating meanwhile."""
        return await self._patiently(lambda: self._store.call(fn, *args, **kwargs))

    async def _write(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``_reach``, for what writes."""
        return await self._patiently(lambda: self._store.write(fn, *args, **kwargs))

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        until, pause = time.monotonic() + self._wait, 0.1
        while True:
            try:
                return await ask()
            except (ActionError, *_BUGS):
                raise
            except Exception as error:
                if time.monotonic() + pause > until:
                    away = JournalUnavailable(
                        f"The journal cannot be written ({type(error).__name__}), so nothing was done. It is "
                        "tried again; look at the disk and the database of the store."
                    )
                    away.retry_after = timedelta(seconds=1)
                    raise away from None
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)


def result_of(store: Store, body: Mapping[str, Json]) -> ActionResult:
    """The result that an outcome holds, fetched from evidence where it lies there."""
    if body.get("result_ref"):
        return ActionResult.model_validate_json(store.evidence.read(str(body["result_ref"])))
    return ActionResult.model_validate(body["result"])
