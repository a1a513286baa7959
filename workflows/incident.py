"""Incident: the facts with their provenance, the clocks, and the list of runs. Lives until people close it.

It only steers and remembers; runs do their work without it. All handlers are synchronous and change the state;
one loop acts on what changed.
"""

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, FailureError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from playbooks.contract import Json, NewEntry

from workflows.calls import Calls, Clock, stamp
from workflows.errors import PlaybookFailed
from workflows.gates import parse
from workflows.incident_rules import (
    CLOCK_VERBS,
    ENDED,
    clock_refusal,
    contained,
    not_closable,
    reminders,
    take_fact,
    take_report,
)
from workflows.messages import (
    AlertsAttached,
    Attach,
    ClockChange,
    ClocksInput,
    CloseRequest,
    FactChange,
    FactsSet,
    IncidentInput,
    LoadRun,
    PauseRequest,
    Receipt,
    RecordInput,
    ReviewOpened,
    ReviewRequest,
    RunChanged,
)
from workflows.reviews import open_review, take_review
from workflows.run import Budget
from workflows.state import STATE_VERSION, IncidentRun, IncidentState
from workflows.status import incident_status

CLOSED = frozenset({"closed", "false_alarm"})
FIRST_MOMENT = timedelta(seconds=0.3)
"""For so long the first steps of its run go before the incident's own books."""


@workflow.defn(name="Incident")
class Incident:
    """One incident. Its id is ``incident/INC-…``."""

    @workflow.init
    def __init__(self, given: IncidentInput) -> None:
        """Take over a state, or open."""
        self._given = given
        self._clock = Clock(given.context)
        self._calls = Calls(given.queue_prefix)
        self._budget = Budget(given.thresholds)
        self._state = given.state or self._open(given)
        self._told_facts: dict[str, int] = {}
        self._dirty = given.state is None

    def _open(self, given: IncidentInput) -> IncidentState:
        self._state = IncidentState(opened_at=self._clock.stamp(), facts=given.facts)
        self._note("incident.opened", facts=sorted(given.facts.facts), mode=given.context.mode.value)
        return self._state

    @workflow.run
    async def run(self, given: IncidentInput) -> str:
        """Steer until closed. Returns ``closed`` or ``false_alarm``.

        Raises:
            PlaybookFailed: the state was written by a newer Stanch.
        """
        state = self._state
        if state.state_version > STATE_VERSION:
            message = f"The incident's state has version {state.state_version}; this Stanch knows {STATE_VERSION}."
            raise PlaybookFailed(message, "unsupported_version")
        if given.state is None:
            with suppress(TimeoutError):
                await workflow.wait_condition(lambda: state.status in CLOSED, timeout=FIRST_MOMENT / given.context.rate)
        while True:
            if await self._act():
                continue
            if state.status in CLOSED:
                break
            if self._budget.soft() or self._budget.hard():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(given.model_copy(update={"state": state}))
            await self._pause()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return state.status

    async def _pause(self) -> None:
        """Sleep until something changed, an instant came, or the history is long."""
        instants = [self._adopt_at(run) for run in self._expected().values()]
        instants += [reminder.at for reminder in reminders(self._state)][:1]
        timeout = self._clock.real_until(min(instants, key=parse)) if instants else None
        with suppress(TimeoutError):
            await workflow.wait_condition(self._work, timeout=timeout)

    def _work(self) -> bool:
        state = self._state
        behind = any(self._told_facts.get(name) != state.facts.version for name in self._listening())
        return self._dirty or state.clocks_stale or behind or self._budget.soft()

    async def _act(self) -> bool:
        """Do one thing that is due; ``False`` when nothing is."""
        now, state = self._clock.now(), self._state
        for name, run in self._expected().items():
            if parse(self._adopt_at(run)) <= now:
                await self._adopt(name, run)
                return True
        if state.clocks_stale:
            state.clocks_stale = False
            await self._compute()
            return True
        for name in self._listening():
            if self._told_facts.get(name) != state.facts.version:
                self._told_facts[name] = state.facts.version
                await self._tell_run(name)
                return True
        if self._remind():
            return True
        if self._dirty or state.unrecorded or state.notices:
            self._dirty = False
            await self._record()
            return True
        return False

    # --- runs -----------------------------------------------------------------------------------

    def _expected(self) -> dict[str, IncidentRun]:
        return {name: run for name, run in self._state.runs.items() if run.status == "expected"}

    def _listening(self) -> list[str]:
        """Runs that hold an older snapshot of the facts than the incident's."""
        if self._state.facts.version == 1:
            return []
        return [name for name, run in self._state.runs.items() if run.seq and run.status not in ENDED]

    def _adopt_at(self, run: IncidentRun) -> str:
        return stamp(parse(run.expected_at) + timedelta(seconds=self._given.adopt_after_seconds))

    async def _adopt(self, name: str, run: IncidentRun) -> None:
        """Start a run that the desk announced but that has not reported; already started is adopted."""
        try:
            given = await self._calls.load_run(LoadRun(incident=self._given.incident, run=name))
        except ActivityError:
            run.status = "failed"
            self._note("run.not_started", run=name, code="run_not_saved")
            return
        if run.status != "expected":
            return
        run.status, run.child = "running", True
        try:
            await workflow.start_child_workflow(
                "PlaybookRun",
                given,
                id=name,
                task_queue=self._given.queue_prefix,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )
            self._note("run.adopted", run=name, started=True)
        except WorkflowAlreadyStartedError:
            self._note("run.adopted", run=name, started=False)

    async def _tell_run(self, name: str) -> None:
        run = workflow.get_external_workflow_handle(name)
        try:
            await run.signal("facts_changed", self._state.facts)
        except FailureError:
            workflow.logger.info("%s no longer takes facts", name)

    # --- clocks ---------------------------------------------------------------------------------

    async def _compute(self) -> None:
        state = self._state
        result = await self._calls.compute_clocks(
            ClocksInput(
                incident=self._given.incident,
                facts={name: fact.model_dump(mode="json") for name, fact in state.facts.facts.items()},
                dated=dict(state.dated),
                decisions=dict(state.clock_decisions),
                now=self._clock.stamp(),
            )
        )
        known = {str(clock["id"]) for clock in state.clocks}
        state.clocks, state.clock_versions = list(result.clocks), dict(result.versions)
        for clock in state.clocks:
            if str(clock["id"]) not in known:
                self._note("clock.started", clock=clock["id"], state=clock.get("state"), due=clock.get("due"))
        self._dirty = True

    def _remind(self) -> bool:
        """Give what is due; of several past ones of a clock only the last is told."""
        now = self._clock.now()
        past = [reminder for reminder in reminders(self._state) if parse(reminder.at) <= now]
        for reminder in {str(reminder.clock["id"]): reminder for reminder in past}.values():
            self._state.notices.append(reminder.notice(self._given.incident, self._clock.stamp()))
            self._note("clock.reminded", clock=reminder.clock["id"], reminder=reminder.id)
        self._state.reminded += [reminder.id for reminder in past]
        self._state.clocks_stale = self._state.clocks_stale or bool(past)
        return bool(past)

    # --- the record -----------------------------------------------------------------------------

    def _note(self, kind: str, *, actor: str = "stanch", text: str = "", **body: Json) -> None:
        state = self._state
        state.entry_count += 1
        state.unrecorded.append(
            NewEntry(
                key=f"incident/{self._given.incident}#{state.entry_count}",
                kind=kind,
                at=self._clock.stamp(),
                actor=actor,
                door="workflow" if actor == "stanch" else "desk",
                body=body,
                text=text,
            )
        )
        self._dirty = True

    async def _record(self) -> None:
        state = self._state
        entries, notices = tuple(state.unrecorded), tuple(state.notices)
        state.snapshot_count += 1
        await self._calls.record(
            RecordInput(
                incident=self._given.incident,
                entries=entries,
                notices=notices,
                snapshot=self.status(),
                version=state.snapshot_count,
                sign=state.status in CLOSED or any(entry.actor != "stanch" for entry in entries),
            )
        )
        written, told = {entry.key for entry in entries}, {notice.id for notice in notices}
        state.unrecorded = [entry for entry in state.unrecorded if entry.key not in written]
        state.notices = [notice for notice in state.notices if notice.id not in told]

    # --- doors ----------------------------------------------------------------------------------

    @workflow.update
    def attach(self, request: Attach) -> Receipt:
        """Join: another alert, or a run that the desk starts at the same time. A repeat changes nothing."""
        state = self._state
        if state.status in CLOSED:
            return Receipt(accepted=False, code="closed", message="The incident is closed.")
        state.alerts = max(state.alerts, request.count)
        if request.run is not None and request.run not in state.runs:
            state.runs[request.run] = IncidentRun(expected_at=self._clock.stamp())
            self._note("run.expected", run=request.run)
        return Receipt(accepted=True)

    @workflow.signal
    def run_changed(self, report: RunChanged) -> None:
        """A run's report; older ones than the last are ignored."""
        state = self._state
        if not take_report(state, report, self._clock.stamp()):
            return
        if state.status in ("open", "contained"):
            status = "contained" if contained(state) else "open"
            if status != state.status:
                state.status = status
                self._note(f"incident.{status}")
        self._dirty = True

    @workflow.signal
    def facts_set(self, report: FactsSet) -> None:
        """Facts and dated facts that a run's steps set."""
        if report.seq <= self._state.fact_seqs.get(report.run, 0):
            return
        self._state.fact_seqs[report.run] = report.seq
        for change in report.changes:
            self._take(change, run=report.run)
        for change in report.dated:
            self._date(change, run=report.run)

    @workflow.signal
    def review_opened(self, report: ReviewOpened) -> None:
        """Somebody broke the glass in a run; the incident stays open until somebody else has reviewed it."""
        notice = open_review(self._state, report, self._given.incident, self._clock.stamp())
        if notice is not None:
            self._state.notices.append(notice)
            self._note("review.opened", run=report.run, step=report.step, round=report.round, person=report.person)

    @workflow.update
    def review(self, request: ReviewRequest) -> Receipt:
        """What somebody else finds of a broken glass."""
        receipt, about = take_review(self._state, request, self._clock.stamp())
        kind = "review.done" if receipt.accepted else "review.refused"
        self._note(kind, actor=request.person, text=request.reason, **about)
        return receipt

    @workflow.signal
    def alerts_attached(self, report: AlertsAttached) -> None:
        """Further alerts of the same incident, at most one signal each five seconds."""
        self._state.alerts, self._state.last_alert = max(self._state.alerts, report.count), report.last
        for change in report.facts:
            self._take(change)
        self._dirty = True

    @workflow.update
    def set_fact(self, change: FactChange) -> Receipt:
        """A person sets a fact, or clears it with none."""
        repeat = self._seen(change.nonce)
        if repeat is not None:
            return repeat
        self._take(change.model_copy(update={"trust": "person", "at": change.at or self._clock.stamp()}))
        return self._keep(change.nonce, Receipt(accepted=True, message=f"{change.fact} is set."))

    def _take(self, change: FactChange, **where: Json) -> None:
        if take_fact(self._state, change):
            actor = change.by if change.trust == "person" and change.by else "stanch"
            version = self._state.facts.version
            self._note("fact.set", actor=actor, fact=change.fact, trust=change.trust, version=version, **where)

    def _date(self, change: FactChange, **where: Json) -> None:
        if self._state.dated.get(change.fact) == change.value:
            return
        self._state.dated[change.fact] = str(change.value)
        self._state.clocks_stale = True
        actor = change.by if change.trust == "person" and change.by else "stanch"
        self._note("clock.fact", actor=actor, fact=change.fact, at=change.value, text=change.reason, **where)

    @workflow.update
    def clock(self, change: ClockChange) -> Receipt:
        """What a person says of a clock: confirm, correct, submit, dismiss, hand over."""
        repeat = self._seen(change.nonce)
        if repeat is not None:
            return repeat
        refusal = clock_refusal(self._state, change)
        if refusal is not None:
            return Receipt(accepted=False, code=refusal[0], message=refusal[1])
        at = change.at or self._clock.stamp()
        last = dict(self._state.clock_decisions.get(change.clock) or {})
        history = [*last.pop("history", []), last] if last else []
        self._state.clock_decisions[change.clock] = {
            "history": history,
            "state": CLOCK_VERBS[change.verb],
            "at": at,
            "person": change.person,
            "reason": change.reason,
        }
        self._state.clocks_stale = True
        self._note(
            f"clock.{CLOCK_VERBS[change.verb]}",
            actor=change.person,
            clock=change.clock,
            at=at,
            text=change.reason,
        )
        return self._keep(change.nonce, Receipt(accepted=True, message=f"{change.clock}: {CLOCK_VERBS[change.verb]}."))

    @workflow.update
    def take(self, request: PauseRequest) -> Receipt:
        """Become the incident's commander."""
        self._state.commander = request.person
        self._note("incident.taken", actor=request.person, text=request.reason)
        return Receipt(accepted=True, message=f"{request.person} leads {self._given.incident}.")

    @workflow.update
    def close(self, request: CloseRequest) -> Receipt:
        """Close, unless something is still owed."""
        if self._state.status in CLOSED:
            return Receipt(accepted=False, code="closed", message="The incident is already closed.")
        refusal = not_closable(self._state, workflow.patched)
        if request.status not in CLOSED:
            refusal = "bad_value", "Close as closed or as false_alarm."
        if refusal is not None:
            self._note("incident.close_refused", actor=request.person, code=refusal[0])
            return Receipt(accepted=False, code=refusal[0], message=refusal[1])
        self._state.status, self._state.closed_at = request.status, self._clock.stamp()
        self._note(f"incident.{request.status}", actor=request.person, text=request.reason)
        return Receipt(accepted=True, message=f"{self._given.incident} is closed.")

    def _seen(self, nonce: str) -> Receipt | None:
        held = self._state.seen.get(nonce) if nonce else None
        return Receipt.model_validate(held) if held else None

    def _keep(self, nonce: str, receipt: Receipt) -> Receipt:
        if nonce:
            self._state.seen[nonce] = receipt.model_dump(mode="json")
        return receipt

    @workflow.query
    def status(self) -> dict[str, Json]:
        """The incident for display."""
        return incident_status(self._given, self._state, self._clock.stamp())
