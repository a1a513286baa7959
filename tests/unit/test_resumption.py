"""What a rerun takes over, for random plans and random ends: what is done stays, what failed comes, and nothing else."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.contract import ActionFacts, Idempotency, Risk
from playbooks.plan import (
    ActionStep,
    DoStep,
    Frame,
    IfStep,
    ParallelStep,
    PlannedStep,
    PlaybookRef,
    RunPlan,
    RunStep,
)
from workflows.resumption import for_rerun, stands
from workflows.scope import instance_of, path_of
from workflows.state import Approval, FactsSnapshot, FrameState, Gate, RunState, StepRecord, Undoable

REF = PlaybookRef(id="p", version="1.0.0", title="P", digest="0" * 64)
FACTS = ActionFacts(
    name="lab.touch",
    system="lab",
    title="t",
    risk=Risk.CONTAIN,
    idempotency=Idempotency.NATURAL,
    owner="o",
    queue="lab",
)
ENDS = st.sampled_from(["done", "failed", "skipped", "denied", "undone", "unknown"])


@st.composite
def steps(draw: Any, prefix: str, depth: int) -> tuple[PlannedStep, ...]:
    """A block of steps, some of them blocks and loops."""
    made = []
    for number in range(draw(st.integers(1, 3))):
        path = f"{prefix}s{number}"
        kind = draw(st.sampled_from(["action", "do", "if", "parallel", "run"] if depth else ["action"]))
        inner = draw(steps(f"{path}-" if kind != "run" else f"{path}/", depth - 1)) if kind != "action" else ()
        spec: Any = {
            "action": lambda: ActionStep(name="lab.touch"),
            "do": lambda inner=inner: DoStep(steps=inner),
            "if": lambda inner=inner: IfStep(condition="true", then=inner),
            "parallel": lambda inner=inner: ParallelStep(branches={"left": inner}),
            "run": lambda inner=inner, path=path: RunStep(frame=Frame(playbook=REF, prefix=f"{path}/", steps=inner)),
        }[kind]()
        loop = ["a", "b"] if draw(st.booleans()) else None
        made.append(PlannedStep(id=path, path=path, for_each=loop, spec=spec))
    return tuple(made)


@st.composite
def ended(draw: Any) -> tuple[RunPlan, RunState]:
    """A plan, and a state in which a run of it may have ended."""
    plan = RunPlan(frame=Frame(playbook=REF, steps=draw(steps("", 2))), actions={"lab.touch": FACTS})
    state = RunState(status="failed", frames={"": FrameState(part="ended", outcome="failed")})
    for stand in stands(plan).values():
        loops = sum(step.for_each is not None for step in stand.above)
        for indices in _indices(draw, loops):
            keys = [indices] if stand.step.for_each is None else [indices, [*indices, 0], [*indices, 1]]
            for place in keys:
                if draw(st.integers(0, 5)) == 0:
                    continue
                record = _record(draw, draw(ENDS))
                if stand.step.for_each is not None and place == indices:
                    record.items, record.each = ["a", "b"], ["a", "b"]
                state.records[instance_of(stand.step.path, place)] = record
            if isinstance(stand.step.spec, RunStep):
                prefix = stand.step.spec.frame.prefix
                for place in keys[1:] or keys:
                    state.frames[instance_of(prefix, place)] = FrameState(part="ended", outcome="failed")
    return plan, state


def _indices(draw: Any, loops: int) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for _ in range(loops):
        found = [[*indices, item] for indices in found for item in (0, 1)]
    return found


def _record(draw: Any, status: str) -> StepRecord:
    code = draw(st.sampled_from(["when_false", "input_unanswered", "cancelled", "rejected"]))
    return StepRecord(
        status=status,
        code=code if status in ("skipped", "failed") else None,
        started_at="2026-01-01T00:00:00.000000Z",
        tries=draw(st.integers(0, 4)),
        epoch=draw(st.integers(0, 2)),
        output={"kept": status},
        stops=status == "failed",
    )


@given(ended())
@settings(max_examples=80, deadline=None)
def test_a_rerun_repeats_nothing_that_is_done_and_all_that_failed(found: tuple[RunPlan, RunState]) -> None:
    plan, state = found
    resumed = for_rerun(plan, state, FactsSnapshot(), "bo")
    actions = {path for path, stand in stands(plan).items() if isinstance(stand.step.spec, ActionStep)}
    for key, before in state.records.items():
        after = resumed.state.records[key]
        assert (after.tries, after.epoch, after.items) == (before.tries, before.epoch, before.items), key
        if path_of(key) in actions and before.items is None and before.status in ("done", "undone", "denied"):
            assert after == before, key
        if before.status == "failed" or (before.status == "skipped" and before.code in ("cancelled", "rejected")):
            assert key in resumed.again and not after.finished and after.started_at is None, key
        if before.status == "unknown":
            assert not after.finished, key
    for key in resumed.again:
        for above in stands(plan)[path_of(key)].above:
            around = [name for name in resumed.state.records if path_of(name) == above.path and _encloses(name, key)]
            assert all(not resumed.state.records[name].finished for name in around), (key, around)


def _encloses(around: str, key: str) -> bool:
    outer, inner = around.split("[")[1:], key.split("[")[1:]
    return inner[: len(outer)] == outer


@given(ended())
@settings(max_examples=30, deadline=None)
def test_a_rerun_of_a_rerun_that_did_nothing_yet_takes_over_the_same(found: tuple[RunPlan, RunState]) -> None:
    plan, state = found
    first = for_rerun(plan, state, FactsSnapshot(), "bo")
    second = for_rerun(plan, first.state, FactsSnapshot(), "bo")
    leaves = {path for path, stand in stands(plan).items() if isinstance(stand.step.spec, ActionStep)}
    assert {key for key in first.again if path_of(key) in leaves} <= set(second.again)
    assert second.state.records == first.state.records


def test_a_rerun_begins_anew_in_what_is_a_run_s_own_and_keeps_what_was_approved() -> None:
    plan = RunPlan(
        frame=Frame(playbook=REF, steps=(PlannedStep(id="one", path="one", spec=ActionStep(name="lab.touch")),)),
        actions={"lab.touch": FACTS},
    )
    state = RunState(
        status="failed",
        cancelled=True,
        entry_count=9,
        report_count=4,
        records={"one": StepRecord(status="failed", code="rejected", tries=2)},
        frames={"": FrameState(part="ended", outcome="failed")},
        gates={"one": Gate(kind="failure", path="one", digest="d", question="q", verdicts=[], opened_at="")},
        approvals={
            "go": Approval(path="go", approved=True, by=["amal"]),
            "mine": Approval(path="mine", approved=True, by=["bo"]),
            "one": Approval(path="one", approved=True),
        },
        deadlines={"one": "x", "one:next": "x", "other": "x"},
        undoable=[Undoable(key="one", path="one", action="lab.touch")],
    )
    seed = for_rerun(plan, state, FactsSnapshot(version=7), "bo").state
    assert (seed.status, seed.cancelled, seed.entry_count, seed.report_count) == ("running", False, 0, 0)
    assert (seed.facts.version, seed.frames[""].part, seed.frames[""].outcome) == (7, "steps", None)
    assert seed.gates == {} and seed.deadlines == {"other": "x"} and seed.undoable == state.undoable
    assert {key: bool(approval.void) for key, approval in seed.approvals.items()} == {"go": False, "mine": True}
