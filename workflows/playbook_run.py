"""PlaybookRun: one run of one plan. Thin: it starts the walk, takes decisions, and ends or continues as new."""

import asyncio
import re
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from playbooks.contract import Decision, DecisionReceipt, Json
    from playbooks.plan import PLAN_VERSION

from workflows.compensation import ask_undo, asked_undo, offer_undo
from workflows.decisions import decide
from workflows.errors import PlaybookFailed, Suspended, WalkEnded
from workflows.events import take_event
from workflows.frames import end_of
from workflows.handover import close_gates, hand_over
from workflows.interpreter import Interpreter
from workflows.messages import EventGiven, HandOverRequest, PauseRequest, Receipt, RunInput, RunResult, UndoRequest
from workflows.run import Run
from workflows.state import STATE_VERSION, FactsSnapshot, RunState, UndoAsked
from workflows.status import status_of

PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")
UNDO_ENDS: dict[str, tuple[str, str | None, str]] = {
    "undone": ("undone", None, "All that could be taken back is."),
    "partly": (
        "failed",
        "undo_incomplete",
        "Not all of it could be taken back; the warnings say what is left. Mend the cause, then ask for it again.",
    ),
    "cancelled": ("cancelled", "cancelled", "The undo was cancelled, so nothing was taken back."),
    "declined": ("denied", "denied", "The undo was not approved, so nothing was taken back."),
}
"""How a run ends that only undoes: status, code, reason."""


@workflow.defn(name="PlaybookRun")
class PlaybookRun:
    """Walks one RunPlan to its end, over as many executions as it takes."""

    @workflow.init
    def __init__(self, given: RunInput) -> None:
        """Gates live in the state from here on: a decision may arrive before the first step of the walk."""
        self._problem = _unreadable(given)
        self._run = Run(given)

    @workflow.run
    async def run(self, given: RunInput) -> RunResult:
        """Run to the end.

        Raises:
            PlaybookFailed: the plan or state was written by a newer Stanch.
        """
        if self._problem:
            raise PlaybookFailed(self._problem, "unsupported_version")
        run = self._run
        background = [
            asyncio.create_task(run.keep_recording()),
            asyncio.create_task(run.reporter.keep_sending()),
        ]
        if given.state is None:
            run.reporter.changed(always=True)
        walking = asyncio.create_task(self._walk())
        await self._until(walking)
        if run.suspending:
            await self._until(asyncio.gather(*background))
            if not run.state.handed_over:
                await self._continue(given)
            close_gates(run)
            run.suspending, background = False, [asyncio.create_task(run.reporter.keep_sending())]
        self._end(walking.result())
        run.closing = True
        # The last word to the incident and the last entries go out at the same time.
        await self._until(asyncio.gather(*background, run.flush(final=True)))
        while run.state.unrecorded or run.state.notices:
            await self._until(asyncio.create_task(run.flush(final=True)))
        await workflow.wait_condition(workflow.all_handlers_finished)
        state = run.state
        return RunResult(
            run=given.run,
            status=state.status,
            reason=state.reason,
            outputs=state.frames[run.plan.frame.prefix].outputs,
            warnings=tuple(state.warnings),
        )

    async def _until(self, task: "asyncio.Future[Any]") -> None:
        """Wait for a part of the run; a cancel of the workflow is remembered, and the parts wind down by it."""
        while not task.done():
            try:
                await workflow.wait_condition(task.done)
            except asyncio.CancelledError:
                self._run.state.cancelled = True

    async def _walk(self) -> WalkEnded | None:
        run = self._run
        end: WalkEnded | None = None
        offers = asyncio.create_task(self._offer_undos())
        try:
            if not self._only_undoes:
                await Interpreter(run).walk()
        except Suspended:
            await offer_ended(offers)
            return None
        except WalkEnded as ended:
            end = ended
        self._walked = True
        try:
            await offers
        except Suspended:
            return None
        return end

    _walked = False
    _offered = False

    @property
    def _only_undoes(self) -> bool:
        after = self._run.input.after
        return after is not None and after.verb == "undo"

    async def _offer_undos(self) -> None:
        """Beside the walk, offer what people ask to undo, one after the other, and on a cancel all that is left."""
        run, state = self._run, self._run.state
        while True:
            await workflow.wait_condition(
                lambda: self._walked or run.suspending or bool(_asked(run)) or self._offers_all()
            )
            if run.suspending:
                raise Suspended
            asked = _asked(run)
            if asked is not None:
                await asked_undo(run, asked)
            elif state.cancelled and not self._offered and not self._only_undoes:
                self._offered = True
                await offer_undo(run)
            else:
                return

    def _offers_all(self) -> bool:
        return self._run.state.cancelled and not self._offered and self._wound_down()

    def _wound_down(self) -> bool:
        """Whether the main steps have ended, so that no effect can still come."""
        main = self._run.state.frames.get(self._run.plan.frame.prefix)
        return main is not None and main.part != "steps"

    def _end(self, end: WalkEnded | None) -> None:
        run, state = self._run, self._run.state
        if state.handed_over:
            state.status, state.code = "cancelled", "migrated"
            state.reason = f"Another run goes on from here under version {state.handed_over}."
        elif self._only_undoes:
            state.status, state.code, state.reason = UNDO_ENDS[state.undos[-1].end]
        else:
            state.status, state.code, state.reason = end_of(end, state.frames[run.plan.frame.prefix])
        if state.undo_state == "undone":
            state.status = "undone"
        state.finished_at = run.clock.stamp()
        run.note("run.finished", status=state.status, code=state.code, warnings=len(state.warnings))
        run.reporter.changed(always=True)

    async def _continue(self, given: RunInput) -> None:
        run = self._run
        await workflow.wait_condition(lambda: run.budget.in_flight == 0 and workflow.all_handlers_finished())
        workflow.continue_as_new(given.model_copy(update={"state": run.state, "seed": None}))

    # --- doors ----------------------------------------------------------------------------------

    @workflow.update
    def decide(self, decision: Decision) -> DecisionReceipt:
        """Take a signed decision. No validator: a refusal leaves its trace in the journal, too."""
        info = workflow.current_update_info()
        return decide(self._run, decision, info.id if info else "")

    @workflow.update
    def pause(self, request: PauseRequest) -> Receipt:
        """Start no further step until resumed."""
        return self._paused(request, paused=True)

    @workflow.update
    def resume(self, request: PauseRequest) -> Receipt:
        """Go on."""
        return self._paused(request, paused=False)

    @workflow.update
    def event(self, given: EventGiven) -> Receipt:
        """Take an event that a step waits for, or will."""
        return take_event(self._run, given)

    def _paused(self, request: PauseRequest, *, paused: bool) -> Receipt:
        word = "paused" if paused else "resumed"
        if self._run.state.paused == paused:
            return Receipt(accepted=False, code="no_change", message=f"The run is already {word}.")
        self._run.state.paused = paused
        self._run.note(f"run.{word}", actor=request.person, door="desk", text=request.reason)
        self._run.reporter.changed(always=True)
        return Receipt(accepted=True, message=f"The run is {word}.")

    @workflow.update
    def undo(self, request: UndoRequest) -> Receipt:
        """Offer to take back what the run did, or one step of it; the run goes on meanwhile."""
        return ask_undo(self._run, request)

    @workflow.update
    def hand_over(self, request: HandOverRequest) -> Receipt:
        """End here without undoing anything; another run goes on from the state in which this one ends."""
        return hand_over(self._run, request)

    @workflow.query
    def state(self) -> RunState:
        """The whole state, for a migration to be judged by."""
        return self._run.state

    @workflow.signal
    def facts_changed(self, facts: FactsSnapshot) -> None:
        """Newer facts of the incident; taken over between steps."""
        held = self._run.state.incoming or self._run.state.facts
        if facts.version > held.version:
            self._run.state.incoming = facts

    @workflow.signal
    def desk_keys_changed(self, keys: dict[str, str]) -> None:
        """The desk's public keys were rotated; only these count from now on. What is no key changes nothing."""
        if not keys or not all(PUBLIC_KEY.fullmatch(str(key)) for key in keys.values()):
            workflow.logger.warning("a change of the desk's keys was dropped: it holds something that is no key")
            return
        self._run.state.desk_keys = dict(keys)
        self._run.note("desk_keys.changed", keys=sorted(keys))

    @workflow.query
    def status(self) -> dict[str, Json]:
        """The run for display; see ``workflows.status``."""
        return status_of(self._run)


def _asked(run: Run) -> UndoAsked | None:
    """The undo to offer next; where one's question is open already, that one."""
    return next((asked for asked in run.state.undos if not asked.end), None)


async def offer_ended(offer: "asyncio.Task[None]") -> None:
    """Let the offers of an undo end with its execution."""
    try:
        await offer
    except Suspended:
        return


def _unreadable(given: RunInput) -> str | None:
    if given.plan.plan_version > PLAN_VERSION:
        return f"The plan has version {given.plan.plan_version}; this Stanch reads up to {PLAN_VERSION}. Update it."
    if given.state is not None and given.state.state_version > STATE_VERSION:
        return f"The run's state has version {given.state.state_version}; this Stanch reads up to {STATE_VERSION}."
    return None
