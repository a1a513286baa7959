"""What a run takes over from an earlier one that has ended. Pure: a plan and a state in, a new state out.

What is done is never done again; what failed, what nobody knows and what was left out because of a failure comes
anew, under the same idempotency keys. An approval goes on to count as long as it is valid and was not given by
somebody who now asks for the run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from playbooks import expr
from playbooks.plan import ActionStep, ApproveStep, Frame, PlannedStep, RunPlan, RunStep
from workflows.scope import instance_of, nested, path_of
from workflows.state import FactsSnapshot, RunState, StepRecord, UndoAsked

DECIDED_SKIPS = frozenset({"when_false", "input_unanswered"})
"""Codes of a skipped step that no failure caused."""
_WORLD = {"records", "frames", "gates", "approvals", "deadlines", "own_facts", "dated", "undoable"}
KEPT = _WORLD | {"passes", "events", "event_nonces", "warnings"}
"""Of a state, what a later run takes over."""
ASKER = "Who approved it asks for the run now, so somebody else must approve it."


@dataclass(frozen=True)
class Stand:
    """Where a step stands in the plan: what encloses it, outermost first, sub-playbooks included."""

    step: PlannedStep
    above: tuple[PlannedStep, ...] = ()
    frame: str = ""


@dataclass
class Resumed:
    """A state to go on from, and the keys of what comes anew."""

    state: RunState
    again: list[str] = field(default_factory=list)


def stands(plan: RunPlan) -> dict[str, Stand]:
    """Every step of a plan by path, in order."""
    return {stand.step.path: stand for stand in _frame(plan.frame, ())}


def _frame(frame: Frame, above: tuple[PlannedStep, ...]) -> Iterator[Stand]:
    yield from _block((*frame.steps, *frame.always), frame.prefix, above)


def _block(steps: tuple[PlannedStep, ...], frame: str, above: tuple[PlannedStep, ...]) -> Iterator[Stand]:
    for step in steps:
        yield Stand(step, above, frame)
        for _, block in nested(step):
            yield from _block(block, frame, (*above, step))
        if isinstance(step.spec, RunStep):
            yield from _frame(step.spec.frame, (*above, step))


def for_undo(state: RunState, facts: FactsSnapshot, person: str, step: str | None) -> RunState:
    """The state of a run that only undoes what an ended one did."""
    seed = fresh(state, facts)
    seed.warnings = []
    seed.undos = [UndoAsked(key="@undo", person=person, step=step)]
    return seed


def for_rerun(plan: RunPlan, state: RunState, facts: FactsSnapshot, person: str) -> Resumed:
    """The state of a run that does again what failed in an ended one. ``again`` is empty if nothing did."""
    found = stands(plan)
    again = to_come_anew(found, state)
    seed = fresh(state, facts)
    seed.reported_phase = state.reported_phase
    reopen(found, seed, again)
    for key in again:
        own = seed.approvals.get(key)
        if own is not None and (not own.by or not own.approved) and seed.records[key].status != "unknown":
            del seed.approvals[key]
    for approval in seed.approvals.values():
        if person in approval.by:
            approval.void = ASKER
    return Resumed(seed, again)


def fresh(state: RunState, facts: FactsSnapshot) -> RunState:
    """A copy that begins anew in all that is a run's own: its record, reports, times, and how it ends."""
    seed = RunState.model_validate(state.model_dump(include=KEPT))
    seed.facts = facts
    for name, own in list(seed.own_facts.items()):
        theirs = facts.facts.get(name)
        if theirs is not None and theirs.at >= own.at:
            del seed.own_facts[name]
    for offers in (seed.records, seed.gates, seed.approvals):
        for key in [key for key in offers if key.startswith("@undo")]:
            del offers[key]
    return seed


def to_come_anew(found: dict[str, Stand], state: RunState) -> list[str]:
    """Keys of the step instances that failed, or were left out because of a failure, in the plan's order."""
    order = {path: number for number, path in enumerate(found)}
    keys = sorted((key for key in state.records if path_of(key) in order), key=lambda key: order[path_of(key)])
    silent = {path_of(key) for key, gate in state.gates.items() if gate.kind == "approve" and gate.status == "expired"}
    again: dict[str, None] = {}
    paths: set[str] = set()
    for key in keys:
        stand, record = found[path_of(key)], state.records[key]
        if _came_to_nothing(stand.step, record, silent) or (
            record.code == "when_false" and paths & {f"{stand.frame}/{name}" for name in _asks(stand.step)}
        ):
            again[key] = None
            paths.add(f"{stand.frame}/{stand.step.id}")
    return list(again)


def _asks(step: PlannedStep) -> set[str]:
    """Ids of the steps that a step's condition looks at."""
    chains = expr.names(step.when) if step.when else ()
    return {chain[1] for chain in chains if chain[0] == "steps" and len(chain) > 1}


def _came_to_nothing(step: PlannedStep, record: StepRecord, silent: set[str]) -> bool:
    if record.status == "failed":
        return True
    if not record.finished:
        # Of a block that is still open nothing is known but what its steps say.
        return not _is_block(step)
    if record.status == "skipped":
        return record.code not in DECIDED_SKIPS
    if isinstance(step.spec, ApproveStep):
        return step.path in silent and record.output.get("approved") is not True
    if record.status == "denied" and isinstance(step.spec, ActionStep):
        return step.path in silent or step.spec.covered_by in silent
    return False


def _is_block(step: PlannedStep) -> bool:
    return isinstance(step.spec, RunStep) or any(True for _ in nested(step))


def reopen(found: dict[str, Stand], seed: RunState, again: list[str]) -> None:
    """Make step instances come anew, with all that encloses them; what is done in there stays done."""
    for key in again:
        step = found[path_of(key)].step
        own = step.spec
        _reset(seed, key, decided=_is_block(step))
        if isinstance(own, ApproveStep):
            seed.approvals.pop(key, None)
        indices, used = _indices(key), 0
        for around in found[path_of(key)].above:
            _open(seed, around.path, indices[:used])
            if around.for_each is not None:
                used += 1
                _open(seed, around.path, indices[:used])
            if isinstance(around.spec, RunStep):
                _open_frame(seed, instance_of(around.spec.frame.prefix, indices[:used]))
        if isinstance(own, RunStep):
            _open_frame(seed, instance_of(own.frame.prefix, indices))
        # A loop's own record encloses those of its items.
        for length in range(used, len(indices)):
            _open(seed, path_of(key), indices[:length])
    _open_frame(seed, "")
    about = {*again, "always"}
    seed.warnings = [line for line in seed.warnings if line.partition(": ")[0] not in about]


def again_inside(state: RunState, is_inside: Callable[[str], bool]) -> None:
    """Let what failed inside of a block come anew, because the block is tried again; what is done in there stays
    done, and a failure that its author passes over stays one. Until it has its turn a step shows how it ended."""
    for key in [key for key in state.records if is_inside(key)]:
        record = state.records[key]
        record.again = record.again or (record.status == "failed" and record.stops)
    for key in [key for key in state.frames if is_inside(key)]:
        if state.frames[key].outcome == "failed":
            _open_frame(state, key)


def begin_again(state: RunState, key: str) -> None:
    """Begin a step that comes anew. Its closed questions stay: their rounds go on."""
    gate = state.gates.get(key)
    _reset(state, key, decided=True)
    if gate is not None:
        state.gates[key] = gate


def _indices(key: str) -> list[int]:
    return [int(part.rstrip("]")) for part in key.partition("#")[0].split("[")[1:]]


def _reset(seed: RunState, key: str, *, decided: bool) -> None:
    record = seed.records[key]
    if record.status == "unknown":
        # It stays unknown; the question is asked anew by whoever goes on.
        seed.gates.pop(key, None)
        return
    decided = decided or record.decided
    fresh = StepRecord(status="pending", decided=decided, changed=record.changed, affected=record.affected)
    # What names its effects, and where it stood, stays.
    for name in ("tries", "denied_tries", "epoch", "passes", "pass_", "items", "each", "branch"):
        setattr(fresh, name, getattr(record, name))
    seed.records[key] = fresh
    seed.gates.pop(key, None)
    if record.branch is not None:
        # Which way it went, and of a repeat how many passes it had and when the next begins.
        fresh.output = record.output
        return
    for name in [name for name in seed.deadlines if name == key or name.startswith(f"{key}:")]:
        del seed.deadlines[name]


def _open(seed: RunState, path: str, indices: list[int]) -> None:
    key = instance_of(path, indices)
    record = seed.records.get(key)
    if record is not None and (record.finished or record.started_at is not None):
        _reset(seed, key, decided=True)


def _open_frame(seed: RunState, key: str) -> None:
    frame = seed.frames.get(key)
    if frame is not None:
        frame.part, frame.outcome, frame.code, frame.reason = "steps", None, None, ""
