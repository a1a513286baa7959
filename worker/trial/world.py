"""Everything beyond the workflow in a trial: systems that answer by stubs or for real, the record, the incident.

Every effect passes the same gate as at work. An effect without a permit, or with one that was made out for something
else, is a bug of Stanch or a hole in it: the trial breaks off at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError, FailureError

from activities import gate
from activities.errors import ActionError, Expired, PlanChanged, Refused, WorkflowFailed, to_application_error
from playbooks.clocks import compute
from playbooks.contract import (
    FOREIGN,
    ActionCall,
    ActionFacts,
    ActionResult,
    Json,
    NewEntry,
    Notice,
    Permit,
    Preview,
    Verb,
)
from playbooks.digest import idempotency_key
from playbooks.drafting import DraftError, drafts
from playbooks.regimes_model import RegimeLibrary
from worker.trial.server import Answer, Task
from worker.trial.stubs import Stub, Stubs, error_of, preview_of, proposal_of, result_of
from workflows.messages import (
    COMPUTE_CLOCKS,
    LOAD_OUTPUTS,
    LOAD_RUN,
    RECORD,
    WRITE_DRAFTS,
    ClocksInput,
    ClocksResult,
    DraftsInput,
    DraftsResult,
    LoadedOutputs,
    LoadInput,
    RecordInput,
    RecordResult,
)

Actual = Callable[[ActionCall, int], Preview | ActionResult]
"""Performs one attempt of a call for real."""


class Unpermitted(Exception):
    """An effect came to its system without the permit that policy demands."""


@dataclass(frozen=True)
class Effect:
    """A change that a run made on a system, in the order in which it made them. ``verb`` is ``apply`` or ``undo``."""

    step: str
    item: str | None
    action: str
    verb: str
    params: Mapping[str, Json]
    count: int
    at: datetime
    permit: Permit
    protected: int = 0
    """Protected targets among what it changed."""


@dataclass
class World:
    """Stubbed systems, and what a run leaves: entries, notices, snapshots, effects.

    ``actual`` performs calls for real where it takes them (see ``worker.trial.peers``).
    """

    actions: Mapping[str, ActionFacts]
    stubs: Stubs
    regimes: Callable[[], RegimeLibrary]
    organisation: Mapping[str, Json] = field(default_factory=dict)
    actual: Actual | None = None
    children: Mapping[str, Stub] = field(default_factory=dict)
    entries: dict[str, NewEntry] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)
    snapshot: dict[str, Json] = field(default_factory=dict)
    snapshots: int = 0
    state: dict[str, Json] | None = None
    effects: list[Effect] = field(default_factory=list)
    tried: list[ActionCall] = field(default_factory=list)
    """Every call of an action, each attempt of it, in order."""
    outcomes: dict[str, Json] = field(default_factory=dict)
    drafts: list[dict[str, Json]] = field(default_factory=list)
    signals: list[tuple[str, str]] = field(default_factory=list)

    def perform(self, task: Task) -> Answer:
        """Perform one attempt of an activity."""
        if task.name == RECORD:
            return Answer(self._record(task.read(RecordInput)))
        if task.name == LOAD_OUTPUTS:
            refs = task.read(LoadInput).refs
            return Answer(LoadedOutputs(values={ref: self.outcomes[ref] for ref in refs}))
        if task.name == WRITE_DRAFTS:
            return self._drafts(task.read(DraftsInput))
        if task.name == COMPUTE_CLOCKS:
            found = compute(task.read(ClocksInput), self.regimes(), self.organisation)
            return Answer(ClocksResult(clocks=tuple(found["clocks"]), versions=found["versions"]))
        if task.name == LOAD_RUN:
            raise AssertionError("a run does not load another one")
        return self._action(task)

    def child(self, kind: str, argument: Payload | None) -> Answer:
        """A workflow of another kind, by its stub."""
        stub = self.children.get(kind, Stub())
        if stub.fails is not None:
            return Answer(error=ApplicationError(f"{kind} failed.", type="Failed", non_retryable=True))
        return Answer(dict(stub.output), seconds=stub.seconds)

    def signalled(self, workflow_id: str, name: str, argument: Payload | None) -> FailureError | None:
        """The incident takes every report."""
        self.signals.append((workflow_id, name))
        return None

    # --- the record ------------------------------------------------------------------------------

    def _record(self, given: RecordInput) -> RecordResult:
        written = self._keep(given.entries)
        for notice in given.notices:
            self.notices.setdefault(notice.id, notice)
        if given.snapshot is not None:
            self.snapshot, self.snapshots = given.snapshot, self.snapshots + 1
        self.state = given.state or self.state
        return RecordResult(written=written)

    def _keep(self, entries: tuple[NewEntry, ...]) -> int:
        before = len(self.entries)
        for entry in entries:
            self.entries.setdefault(entry.key, entry)
        return len(self.entries) - before

    def _note(self, call: ActionCall, kind: str, at: datetime, **body: Json) -> None:
        place: dict[str, Json] = {"action": call.action, "verb": call.verb.value, "step": call.step}
        place |= {"pass": call.pass_, "item": call.item, "run": call.run}
        key = f"{kind}/{len(self.entries)}"
        stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.entries[key] = NewEntry(key=key, kind=kind, at=stamp, door="activity", body=place | body)

    def _drafts(self, given: DraftsInput) -> Answer:
        try:
            written = drafts(given, self.regimes(), self.organisation)
        except DraftError as error:
            code = {"code": error.code}
            return Answer(error=ApplicationError(error.message, code, type="DraftError", non_retryable=True))
        results = [draft.result(f"drafts/{draft.name}.md") for draft in written]
        self.drafts += results
        return Answer(DraftsResult(drafts=tuple(results)))

    # --- systems ---------------------------------------------------------------------------------

    def _action(self, task: Task) -> Answer:
        call = task.read(ActionCall)
        facts = self.actions[call.action]
        self.tried.append(call)
        self._keep(call.entries)
        effect = facts.risk.is_effect and call.verb in (Verb.APPLY, Verb.UNDO)
        gate.check_mode(call, call.context.mode)
        gate.check_version(call, facts)
        try:
            permit = _permit(call, task.at) if effect else None
        except Expired as error:
            return Answer(error=to_application_error(error))
        if self.actual is not None and not self.stubs.answers(call):
            return self._actual(call, task, permit)
        return self._stubbed(call, facts, task, permit)

    def _stubbed(self, call: ActionCall, facts: ActionFacts, task: Task, permit: Permit | None) -> Answer:
        key, stub = self.stubs.of(call)
        if self.stubs.strikes(key, stub, call.verb):
            error, seconds = error_of(stub.fails or "", facts, task.attempt)
            final = getattr(error, "non_retryable", True)
            if stub.fails == "unknown" and permit is not None and stub.happened and final:
                self._changed(call, stub, facts, task.at, permit)
            if final and stub.times is None:
                self.stubs.answered(call)
            if final and permit is not None:
                self._note(call, "action.failed", task.at, code=stub.fails)
            return Answer(error=error, seconds=seconds)
        if call.verb is Verb.PREVIEW:
            return Answer(preview_of(stub, call, facts))
        if call.verb is Verb.VERIFY:
            happened = stub.happened if stub.verified is None else stub.verified
            if facts.system == FOREIGN and not happened:
                # Nobody would wait for ever: what does not end well is ended by its declared time-out.
                return Answer(error=to_application_error(WorkflowFailed(f"{facts.title} did not end well.")))
            result = result_of(stub, call, facts, task.at) if happened else ActionResult()
            return Answer(result.model_copy(update={"verified": happened}), seconds=stub.seconds)
        if permit is not None:
            try:
                gate.check_live(call, facts, permit, proposal_of(stub, call, facts))
            except Refused as error:
                return Answer(error=to_application_error(error))
        self.stubs.answered(call)
        result = result_of(stub, call, facts, task.at)
        if permit is not None:
            self._changed(call, stub, facts, task.at, permit)
        return Answer(self._ended(call, result, task), seconds=stub.seconds)

    def _changed(self, call: ActionCall, stub: Stub, facts: ActionFacts, at: datetime, permit: Permit) -> None:
        self._note(call, "action.intent", at, digest=permit.digest)
        count = result_of(stub, call, facts, at).affected.count
        self._effect(call, count, at, permit, len(stub.protected))

    def _effect(self, call: ActionCall, count: int, at: datetime, permit: Permit, protected: int = 0) -> None:
        self.effects.append(
            Effect(call.step, call.item, call.action, call.verb.value, call.params, count, at, permit, protected)
        )

    def _actual(self, call: ActionCall, task: Task, permit: Permit | None) -> Answer:
        assert self.actual is not None
        try:
            result = self.actual(call, task.attempt)
        except ApplicationError as error:
            return Answer(error=error)
        if isinstance(result, Preview):
            return Answer(result)
        if permit is not None:
            self._effect(call, result.affected.count, task.at, permit)
        return Answer(self._ended(call, result, task))

    def _ended(self, call: ActionCall, result: ActionResult, task: Task) -> ActionResult:
        self._note(call, "action.outcome", task.at, changed=result.changed, verified=result.verified)
        key = idempotency_key(
            call.context.mode, call.incident, call.lineage, call.step, call.pass_, call.item, call.verb, call.epoch
        )
        self.outcomes[f"outcome:{key}/{call.tries}"] = result.output
        return result


def _permit(call: ActionCall, now: datetime) -> Permit:
    """The permit of an effect, judged by the gate's own rule.

    Raises:
        Unpermitted: There is none for this very call.
        Expired: It was given too long ago, which asks anew.
    """
    try:
        return gate.check_permit(call, now.astimezone(UTC))
    except Expired:
        raise
    except (PlanChanged, Refused, ActionError) as error:
        raise Unpermitted(f"{call.step}: {call.action} {call.verb.value}: {error.message}") from error
