"""What a migration shows and keeps, for random plans and random ends."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.plan import ActionStep, ApproveStep, Frame, PlannedStep, Quorum, RunPlan, Terminal, Waiting
from tests.unit.test_resumption import FACTS, REF, ended
from workflows.migration import VOID, for_migration, mapping
from workflows.resumption import for_rerun, stands
from workflows.scope import path_of
from workflows.state import Approval, FactsSnapshot, FrameState, RunState, StepRecord, Undoable

GATE = Waiting(within_seconds=60, terminal=Terminal(outcome="deny"))


def action(name: str, **more: Any) -> PlannedStep:
    """An effect."""
    spec = ActionStep(name="lab.touch", with_=more.pop("with_", {}), covered_by=more.pop("covered_by", None))
    return PlannedStep(id=name, path=name, spec=spec, **more)


def plan(*steps: PlannedStep) -> RunPlan:
    """A plan of one frame."""
    return RunPlan(frame=Frame(playbook=REF, steps=steps), actions={"lab.touch": FACTS})


@given(ended())
@settings(max_examples=60, deadline=None)
def test_the_same_plan_changes_nothing_and_keeps_what_is_done(found: tuple[RunPlan, RunState]) -> None:
    same, state = found
    shown = mapping(same, same, state)
    assert {step["change"] for step in shown.steps} <= {"same"} and not shown.conflicts and not shown.free
    seed = for_migration(same, state, FactsSnapshot()).state
    actions = {path for path, stand in stands(same).items() if isinstance(stand.step.spec, ActionStep)}
    for key, before in state.records.items():
        if path_of(key) in actions and before.items is None and before.status in ("done", "undone"):
            assert seed.records[key] == before, key


@given(ended(), st.data())
@settings(max_examples=60, deadline=None)
def test_what_the_new_plan_has_not_is_gone_and_leaves_nothing(found: tuple[RunPlan, RunState], data: Any) -> None:
    old, state = found
    kept = data.draw(st.lists(st.sampled_from(old.frame.steps), unique_by=lambda step: step.path))
    new = old.model_copy(update={"frame": old.frame.model_copy(update={"steps": tuple(kept)})})
    there = set(stands(new))
    shown = {step["step"]: step["change"] for step in mapping(old, new, state).steps}
    assert shown == {path: "same" if path in there else "gone" for path in {*stands(old), *there}}
    seed = for_migration(new, state, FactsSnapshot()).state
    assert {path_of(key) for key in (*seed.records, *seed.gates, *seed.approvals)} <= there


def test_digests_tell_changes_apart() -> None:
    old, new, state = plan(action("one")), plan(action("one", with_={"name": "x"})), RunState()
    shown, other = mapping(old, new, state), mapping(old, old, state)
    assert shown.steps == [{"step": "one", "change": "changed", "now": "pending"}]
    assert len({shown.digest("run", "a", "b"), other.digest("run", "a", "b"), shown.digest("run", "a", "c")}) == 3


def test_a_part_that_is_done_of_a_step_that_changes_is_a_conflict() -> None:
    old, new = plan(action("one")), plan(action("one", with_={"name": "x"}))
    failed = StepRecord(status="failed", changed=True, started_at="2026-01-01T00:00:00.000000Z")
    state = RunState(records={"one": failed}, undoable=[Undoable(key="one", path="one", action="lab.touch")])
    assert [each["code"] for each in mapping(old, new, state).conflicts] == ["partly_done"]
    assert mapping(old, old, state).conflicts == []


def test_a_run_that_goes_on_is_where_the_other_one_was() -> None:
    """Paused before its first step, it must not look as if containment were over."""
    state = RunState(paused=True, reported_phase="contain", frames={"": FrameState()})
    seed = for_migration(plan(action("one")), state, FactsSnapshot()).state
    assert (seed.paused, seed.reported_phase) == (True, "contain")
    assert for_rerun(plan(action("one")), state, FactsSnapshot(), "amal").state.reported_phase == "contain"


def test_an_approval_whose_effects_are_not_all_done_is_asked_again_and_any_other_is_void() -> None:
    spec = ApproveStep(covers=("one", "two"), by=Quorum(roles=("o",)), waiting=GATE)
    go = PlannedStep(id="go", path="go", spec=spec)
    whole = plan(go, action("one", covered_by="go"), action("two", covered_by="go"))
    yes = StepRecord(status="done", output={"approved": True}, started_at="2026-01-01T00:00:00.000000Z")
    done = StepRecord(status="done", started_at="2026-01-01T00:00:00.000000Z")
    approval = Approval(path="go", approved=True, by=["amal"])
    frames = {"": FrameState(part="ended", outcome="failed")}
    part = RunState(records={"go": yes, "one": done}, approvals={"go": approval}, frames=frames)
    seed = for_migration(whole, part, FactsSnapshot()).state
    assert "go" not in seed.approvals and not seed.records["go"].finished and seed.records["one"].finished
    all_done = RunState(records={"go": yes, "one": done, "two": done}, approvals={"go": approval}, frames=frames)
    seed = for_migration(whole, all_done, FactsSnapshot()).state
    assert seed.records["go"].finished and seed.approvals["go"].void == VOID
