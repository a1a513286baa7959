"""What one execution of a run holds: its state, its budget of history, its waits, its record.

Everything that must outlive the execution is in ``RunState``; the rest is rebuilt by walking again.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow

from playbooks.contract import Json, NewEntry, Notice, Urgency
from playbooks.plan import PlannedStep, RunPlan
from workflows.calls import Calls, Clock, stamp
from workflows.errors import RunCancelled, StepFailed, Suspended
from workflows.gates import parse
from workflows.messages import RecordInput, RunInput, Thresholds
from workflows.reports import Reporter
from workflows.scope import Place, PlanIndex
from workflows.state import RunState, StepRecord
from workflows.status import status_of

LONG_SECONDS = 60
CARRY_SECONDS = 5
INLINE_LIMIT = 384 * 1024
STATE_LIMIT = 1_000_000
RECORD_BYTES = 400
"""What a step's record weighs beside its output, and what its undo needs, roughly."""

T = TypeVar("T")


class Budget:
    """History of this execution, counted from its own first task, and the activities in flight."""

    def __init__(self, thresholds: Thresholds) -> None:
        """Start counting now; the first activation can never be over."""
        self._limits = thresholds
        info = workflow.info()
        self._events, self._bytes = info.get_current_history_length(), info.get_current_history_size()
        self.in_flight = 0
        self.short_in_flight = 0

    def _used(self) -> tuple[int, int]:
        info = workflow.info()
        return info.get_current_history_length() - self._events, info.get_current_history_size() - self._bytes

    def soft(self) -> bool:
        """Whether to continue as new at the first quiet moment."""
        events, size = self._used()
        return events >= self._limits.soft_events or size >= self._limits.soft_bytes

    def hard(self) -> bool:
        """Whether to schedule nothing more."""
        events, size = self._used()
        return events >= self._limits.hard_events or size >= self._limits.hard_bytes


class Run:
    """The run's context, shared by all parts of the interpreter."""

    def __init__(self, given: RunInput) -> None:
        """Take over a state, or begin one."""
        self.input = given
        self.plan: RunPlan = given.plan
        self.state: RunState = given.state or given.seed or RunState()
        self.index = PlanIndex(given.plan)
        self.clock = Clock(given.plan.context)
        self.calls = Calls(given.queue_prefix)
        self.budget = Budget(given.thresholds)
        self.loaded: dict[str, dict[str, Json]] = {}
        self.suspending = False
        self.closing = False
        self.reporter = Reporter(self)
        self._flushing = asyncio.Lock()
        self.undoing = asyncio.Lock()
        """Held while an effect is taken back, so that two undos never take back the same one."""
        self._urgent = False
        if given.state is None:
            self._begin()

    def _begin(self) -> None:
        state, given = self.state, self.input
        state.started_at, state.world_started = stamp(workflow.now()), self.clock.stamp()
        state.facts, state.desk_keys = given.facts, dict(given.desk_keys)
        book, after = self.plan.frame.playbook, given.after
        goes_on: dict[str, Json] = {"after": after.verb, "of": after.of} if after else {}
        self.note(
            "run.started",
            playbook=book.id,
            version=book.version,
            digest=book.digest,
            plan=given.plan_digest,
            mode=self.plan.context.mode.value,
            **goes_on,
        )

    # --- suspension, cancel, pause -------------------------------------------------------------

    def must_suspend(self) -> bool:
        """Whether this execution ends here and a new one goes on. Sticky once true."""
        if not self.suspending and not self.closing:
            quiet = self.budget.in_flight == 0
            over = self.budget.hard() or (quiet and self.budget.soft())
            self.suspending = over or bool(self.state.handed_over)
        return self.suspending

    async def checkpoint(self, place: Place, step: PlannedStep | None = None) -> None:
        """Pass on only if a step may start or go on here.

        Raises:
            Suspended: this execution ends here.
            RunCancelled: somebody cancelled the run (never in an ``always`` part).
            StepFailed: the time of an enclosing block is over.
        """
        if self.must_suspend():
            raise Suspended
        self.over(place)
        if self.state.paused and not place.always:
            await self.wait(lambda: not self.state.paused, place)
        if step is not None and (step.timeout_seconds or 0) > LONG_SECONDS and self.budget.soft():
            await self.wait(lambda: self.budget.short_in_flight == 0, place)
        self.take_facts()

    def over(self, place: Place, *, cancel: bool = True) -> None:
        """Pass on only if nothing around the place has ended.

        Raises:
            RunCancelled, StepFailed: as ``checkpoint``.
        """
        if self.state.cancelled and cancel and not place.always:
            raise RunCancelled
        # First the time: branches of which it is over at one moment then all say so, whichever wakes first.
        if place.until is not None and self.clock.now() >= parse(place.until):
            raise StepFailed("", "timeout", "The time of the block around this step is over.")
        if place.halted:
            raise StepFailed("", "sibling_failed", "Another branch failed, and the block stops at the first failure.")

    async def wait(
        self,
        ready: Callable[[], bool],
        place: Place,
        until: str | None = None,
        *,
        ends_on_cancel: bool = True,
    ) -> bool:
        """Wait until ``ready()``; ``False`` when ``until`` (a world instant) came first.

        Raises as ``checkpoint`` does while it waits.
        """
        limits = [instant for instant in (until, place.until) if instant is not None]
        stops = ends_on_cancel and not place.always

        def wakes() -> bool:
            return ready() or self.must_suspend() or place.halted or (stops and self.state.cancelled)

        timeout = self.clock.real_until(min(limits, key=parse)) if limits else None
        if timeout is None or timeout > timedelta(0):
            try:
                await workflow.wait_condition(wakes, timeout=timeout)
            except TimeoutError:
                pass
        if ready():
            return True
        if self.must_suspend():
            raise Suspended
        if stops and self.state.cancelled:
            raise RunCancelled
        # What ends by itself at the same moment as what is around it has ended first, whichever wakes first.
        if until is None or self.clock.now() < parse(until):
            self.over(place, cancel=stops)
        return False

    async def activity(self, call: Awaitable[T], *, long: bool = False) -> T:
        """Await an activity, counted as in flight."""
        self.budget.in_flight += 1
        self.budget.short_in_flight += not long
        try:
            return await call
        finally:
            self.budget.in_flight -= 1
            self.budget.short_in_flight -= not long

    # --- facts ----------------------------------------------------------------------------------

    def take_facts(self) -> None:
        """Take over the newest facts of the incident; only ever between steps."""
        state = self.state
        if state.incoming is None or state.incoming.version <= state.facts.version:
            state.incoming = None
            return
        state.facts, state.incoming = state.incoming, None
        for name, own in list(state.own_facts.items()):
            theirs = state.facts.facts.get(name)
            if theirs is not None and theirs.at >= own.at:
                del state.own_facts[name]

    # --- the record -----------------------------------------------------------------------------

    def note(
        self,
        kind: str,
        *,
        place: Place | None = None,
        step: PlannedStep | None = None,
        pass_: int = 0,
        actor: str = "stanch",
        door: str = "workflow",
        text: str = "",
        **body: Json,
    ) -> None:
        """Add an entry for the journal; it travels with the next action, or is written after five seconds."""
        state = self.state
        state.entry_count += 1
        where: dict[str, Json] = {"run": self.input.run}
        if step is not None:
            where["step"] = step.path
            if place is not None and place.item is not None:
                where["item"] = place.item
            if number := place.pass_ if place is not None else pass_:
                where["pass"] = number
        entry = NewEntry(
            key=f"{self.input.run}#{state.entry_count}",
            kind=kind,
            at=self.clock.stamp(),
            actor=actor,
            door=door,
            body=where | body,
            text=text,
        )
        state.unrecorded.append(entry)

    def tell(self, notice_id: str, to: tuple[str, ...], urgency: Urgency, **more: Json) -> None:
        """Put a notice into the outbox; told at once, not after five seconds."""
        step = more.pop("step", None)
        supersedes = more.pop("supersedes", None)
        self.state.notices.append(
            Notice(
                id=f"{self.input.run}:{notice_id}",
                incident=self.input.incident,
                run=self.input.run,
                step=step,
                to=to,
                urgency=urgency,
                body=more,
                supersedes=f"{self.input.run}:{supersedes}" if supersedes else None,
                at=self.clock.stamp(),
            )
        )
        self._urgent = True

    def acknowledged(self, written: tuple[NewEntry, ...]) -> None:
        """Forget entries that an action carried into the journal."""
        keys = {entry.key for entry in written}
        self.state.unrecorded = [entry for entry in self.state.unrecorded if entry.key not in keys]

    async def flush(self, *, final: bool = False) -> None:
        """Write what is not yet recorded, with a snapshot of the run, and wait until it is."""
        async with self._flushing:
            state = self.state
            entries, notices = tuple(state.unrecorded), tuple(state.notices)
            if not (entries or notices or final):
                return
            self._urgent = False
            state.snapshot_count += 1
            record = RecordInput(
                incident=self.input.incident,
                run=self.input.run,
                entries=entries,
                notices=notices,
                snapshot=status_of(self, recorded=True),
                state=state.model_dump(mode="json") if final else None,
                version=state.snapshot_count,
                sign=any(entry.kind.startswith("decision.") for entry in entries),
            )
            await self.activity(self.calls.record(record))
            self.acknowledged(entries)
            told = {notice.id for notice in notices}
            state.notices = [notice for notice in state.notices if notice.id not in told]

    async def keep_recording(self) -> None:
        """Background: write at once what people must hear, and what no action carried within five seconds."""
        while True:
            await workflow.wait_condition(lambda: self._pending() or self._stopping())
            if self._stopping():
                return
            if not self._urgent:
                try:
                    await workflow.wait_condition(
                        lambda: self._urgent or not self._pending() or self._stopping(),
                        timeout=timedelta(seconds=CARRY_SECONDS),
                    )
                except TimeoutError:
                    pass
            if self._stopping():
                return
            await self.flush()

    def _pending(self) -> bool:
        return bool(self.state.unrecorded or self.state.notices)

    def _stopping(self) -> bool:
        return self.closing or self.suspending

    # --- size -----------------------------------------------------------------------------------

    def keep_small(self) -> None:
        """Replace the largest outputs by references while the state is too large to carry.

        Raises:
            StepFailed: what remains is over the limit of a state.
        """
        records = self.state.records
        inline = sum(record.output_bytes for record in records.values() if not record.output_ref)
        if inline > INLINE_LIMIT:
            spillable = [record for record in records.values() if record.outcome_key and not record.output_ref]
            for record in sorted(spillable, key=lambda record: -record.output_bytes):
                if inline <= INLINE_LIMIT:
                    break
                record.output_ref, record.output = f"outcome:{record.outcome_key}", {}
                inline -= record.output_bytes
        gates = sum(size_of(gate.preview) for gate in self.state.gates.values())
        events = sum(event.bytes for event in self.state.events)
        kept = RECORD_BYTES * (len(records) + len(self.state.undoable))
        if inline + gates + events + kept > STATE_LIMIT:
            raise StepFailed("", "state_too_large", "The run holds more than it can carry; shorten its outputs.")


def size_of(value: Json) -> int:
    """Bytes of a value as JSON."""
    return len(json.dumps(value, separators=(",", ":")))


def finish(record: StepRecord, status: str, at: str, *, code: str | None = None, message: str = "") -> None:
    """End a step instance."""
    record.status, record.finished_at, record.waiting_for = status, at, None
    record.code, record.message = code, message
