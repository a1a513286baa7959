"""Calling an action and understanding how it failed: wait and try again, ask, unknown, or failed."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType

from playbooks.contract import ActionCall, ActionFacts, ActionResult, Json, Permit, Preview, Urgency, Verb
from playbooks.digest import idempotency_key
from playbooks.plan import PlannedStep
from workflows.errors import Refusal, StepFailed
from workflows.gates import parse
from workflows.run import LONG_SECONDS, Run
from workflows.scope import Place
from workflows.state import StepRecord

T = TypeVar("T")
ASK_ANEW = frozenset({Refusal.PLAN_CHANGED, Refusal.EXPIRED, Refusal.PROTECTED, Refusal.STANDING})
POLL_SECONDS = 10
_WORDS = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass
class Trouble(Exception):
    """An activity that did not do what was asked. ``kind`` is ``failed unknown anew``."""

    kind: str
    code: str
    message: str
    difference: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__init__(self.message)


def code_of(error_type: str) -> str:
    """``RateLimited`` to ``rate_limited``."""
    return _WORDS.sub("_", error_type).lower()


class Attempts:
    """All calls of one step instance."""

    def __init__(self, run: Run, step: PlannedStep, place: Place, record: StepRecord, facts: ActionFacts) -> None:
        """``facts`` are of the action to call, which for a check is not the step's own."""
        self.run, self.step, self.place, self.record, self.facts = run, step, place, record, facts

    @property
    def pass_(self) -> int:
        """Number of the reading of a check, else the pass of the ``repeat`` around the step."""
        return self.record.passes or self.record.pass_

    def key(self, verb: Verb) -> str:
        """Idempotency key; the same in every execution and attempt."""
        run = self.run
        return idempotency_key(
            run.plan.context.mode,
            run.input.incident,
            run.input.lineage,
            self.step.path,
            self.pass_,
            self.place.item,
            verb,
            self.record.epoch,
        )

    def call(
        self,
        verb: Verb,
        params: dict[str, Json],
        permit: Permit | None = None,
        undo_args: dict[str, Json] | None = None,
    ) -> ActionCall:
        """The input of an activity of this step."""
        run = self.run
        return ActionCall(
            action=self.facts.name,
            version=self.facts.version,
            verb=verb,
            params=params,
            incident=run.input.incident,
            run=run.input.run,
            lineage=run.input.lineage,
            step=self.step.path,
            pass_=self.pass_,
            item=self.place.item,
            epoch=self.record.epoch,
            tries=self.record.tries,
            denied_tries=self.record.denied_tries,
            context=run.plan.context,
            plan_digest=run.input.plan_digest,
            facts_version=self.record.facts_version,
            permit=permit,
            undo_args=undo_args,
            entries=tuple(run.state.unrecorded),
        )

    async def preview(self, params: dict[str, Json], undo_args: dict[str, Json] | None = None) -> Preview:
        """What an effect would do now, or with ``undo_args`` its undo; changes nothing.

        Raises:
            Trouble: it cannot be told.
        """
        await self._until_turn()
        while True:
            call = self.call(Verb.PREVIEW, params, undo_args=undo_args)
            try:
                return await self._until_taken(
                    lambda call: self.run.calls.preview(self.facts, call), call, effect=False
                )
            except _Wait as wait:
                await self._hold(wait)

    async def act(
        self,
        verb: Verb,
        params: dict[str, Json],
        permit: Permit | None = None,
        undo_args: dict[str, Json] | None = None,
    ) -> ActionResult:
        """Apply, verify or undo.

        Raises:
            Trouble: failed, refused so that people must be asked anew, or nobody knows.
        """
        effect = verb is Verb.UNDO or (verb is Verb.APPLY and self.facts.risk.is_effect)

        def again() -> ActionCall:
            self.record.tries += 1
            return self.call(verb, params, permit, undo_args)

        await self._until_turn()
        call = again()
        while True:
            try:
                return await self._until_taken(
                    lambda call: self.run.calls.act(self.facts, call, self._left()), call, effect=effect
                )
            except _Wait as wait:
                await self._hold(wait)
                call = again()

    def _left(self) -> float | None:
        if self.step.timeout_seconds is None or self.record.timed is None:
            return None
        return max(1.0, self.step.timeout_seconds - self._spent())

    def _spent(self) -> float:
        began = self.record.timed or self.run.clock.stamp()
        return (self.run.clock.now() - parse(began)) / timedelta(seconds=1)

    async def _until_taken(self, start: Callable[[ActionCall], Awaitable[T]], call: ActionCall, *, effect: bool) -> T:
        long = self.facts.timeout_seconds > LONG_SECONDS
        while True:
            try:
                result = await self.run.activity(start(call), long=long)
            except ActivityError as error:
                trouble = self._understand(error, effect)
                if trouble is not None:
                    raise trouble from error
                self._nobody_serves()
                continue
            self.run.acknowledged(call.entries)
            if self.record.waiting_for and self.record.status == "waiting":
                self.record.status, self.record.waiting_for = "running", None
            return result

    def _nobody_serves(self) -> None:
        reason = f"no worker for {self.facts.queue}"
        if self.record.waiting_for != reason:
            self._page(reason, f"No worker serves {self.facts.queue}. Start one with `stanch worker`.")

    def _page(self, reason: str, text: str) -> None:
        self.record.status, self.record.waiting_for = "waiting", reason
        key = self.place.key(self.step.path)
        self.run.note("step.waiting", place=self.place, step=self.step, reason=reason)
        self.run.tell(
            f"{self.place.name(self.step.path)}:{reason}:{self.record.tries}",
            ("role:incident_commander",),
            Urgency.PAGE,
            step=key,
            kind="text",
            text=f"{self.step.title or self.step.path} waits: {text}",
        )

    @property
    def _turn(self) -> str:
        return f"{self.place.key(self.step.path)}:hold"

    async def _until_turn(self) -> None:
        """Wait for the next try of what is held up; its instant outlives this execution."""
        until = self.run.state.deadlines.get(self._turn)
        if until is not None:
            await self.run.wait(lambda: False, self.place, until)
            del self.run.state.deadlines[self._turn]

    async def _hold(self, wait: "_Wait") -> None:
        if self.record.waiting_for != wait.reason:
            self._page(wait.reason, wait.text)
        self.run.state.deadlines[self._turn] = self.run.clock.after(POLL_SECONDS * self.run.plan.context.rate)
        await self._until_turn()
        if self.step.timeout_seconds is not None and self._spent() >= self.step.timeout_seconds:
            raise StepFailed(self.step.path, "timeout", f"It waited too long: {wait.reason}.")

    def _understand(self, error: ActivityError, effect: bool) -> Exception | None:
        """Return what to raise; ``None`` where nobody took the task, which is then scheduled again."""
        cause = error.cause
        if isinstance(cause, TimeoutError):
            if cause.type is TimeoutType.SCHEDULE_TO_START:
                return None
            inner = cause.cause
            if isinstance(inner, ApplicationError) and inner.type in (Refusal.JOURNAL, Refusal.HELD):
                return self._application(inner, effect)
            if effect:
                return Trouble("unknown", "timeout", "It took too long; whether it happened is not known.")
            return Trouble("failed", "timeout", "It took too long.")
        if isinstance(cause, ApplicationError):
            return self._application(cause, effect)
        return Trouble("unknown" if effect else "failed", "activity_lost", "Its end was not reported.")

    def _application(self, cause: ApplicationError, effect: bool) -> Exception:
        kind = cause.type or "Failed"
        message = cause.message or kind
        details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
        code = str(details.get("code") or code_of(kind))
        if kind == Refusal.HELD:
            return _Wait("held", f"effects are on hold. {message}")
        if kind == Refusal.JOURNAL:
            return _Wait("journal", "the journal cannot be written, so nothing is applied.")
        # Protected targets may be approved anew; Stanch's own never are, so asking would be in vain.
        if effect and kind in ASK_ANEW and not details.get("own"):
            lines = details.get("difference")
            return Trouble("anew", code, message, tuple(map(str, lines)) if isinstance(lines, list) else (message,))
        if kind == Refusal.AMBIGUOUS and effect:
            return Trouble("unknown", code, message)
        return Trouble("failed", code, message)


class _Wait(Exception):
    """Nothing is wrong with the call: it is to be tried again later."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason, self.text = reason, text
