"""The pre-effect gate: what it lets through, and each way in which it refuses."""

from datetime import UTC, datetime

import pytest

from activities import gate
from activities.action import Proposal
from activities.errors import Expired, NoPermit, PlanChanged, Protected, Rejected, WrongMode
from playbooks.contract import ActionCall, Envelope, Mode, Permit, Preview, RunContext, Scope, TargetSet
from playbooks.digest import envelope_digest
from tests.lab import LabEndMatching, LabEndThings, LabRead

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SET = TargetSet(ref="sha256:" + "a" * 64, sha256="a" * 64, count=3).model_dump(mode="json")


def envelope(**changes) -> Envelope:
    fields = {
        "plan": "p",
        "step": "end",
        "action": "lab.end_things",
        "version": 1,
        "params": {"targets": SET},
        "scope": Scope.EXACT,
        "target_sha256": "a" * 64,
        "max_affected": 3,
        "mode": Mode.LIVE,
    }
    return Envelope(**{**fields, **changes})


def permit(given: Envelope, **changes) -> Permit:
    return Permit(**{"rule": "contain: 1", "envelope": given, "digest": envelope_digest(given), **changes})


def call(given: Permit | None, **changes) -> ActionCall:
    fields = {
        "action": "lab.end_things",
        "incident": "INC-2026-1",
        "run": "r",
        "lineage": "l",
        "step": "end",
        "plan_digest": "p",
        "params": {"targets": SET},
        "permit": given,
    }
    return ActionCall(**{**fields, **changes})


def live(count: int, **changes) -> Proposal:
    own = changes.pop("own", ())
    return Proposal(Preview(summary="", count=count, **changes), own=own)


def test_a_call_as_approved_passes():
    made = call(permit(envelope(), expires_at="2026-01-01T13:00:00Z"))
    gate.check_mode(made, Mode.LIVE)
    gate.check_version(made, LabEndThings.facts)
    gate.check_live(made, LabEndThings.facts, gate.check_permit(made, NOW), live(3))


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        (None, NoPermit),
        (Permit(rule="free"), NoPermit),
        (permit(envelope(), digest="0" * 64), NoPermit),
        (permit(envelope(plan="q")), NoPermit),
        (permit(envelope(step="other")), NoPermit),
        (permit(envelope(item="1")), NoPermit),
        (permit(envelope(action="lab.touch")), NoPermit),
        (permit(envelope(mode=Mode.EXERCISE)), NoPermit),
        (permit(envelope(params={"targets": ["a"]})), PlanChanged),
        (permit(envelope(version=2)), PlanChanged),
        (permit(envelope(), expires_at="2026-01-01T12:00:00Z"), Expired),
    ],
)
def test_a_permit_that_is_not_for_this_very_call_is_refused(given, refusal):
    with pytest.raises(refusal, match="Nothing was sent"):
        gate.check_permit(call(given), NOW)


def test_more_targets_than_approved_are_a_changed_plan():
    selected = envelope(action="lab.end_matching", params={"prefix": "x"}, scope=Scope.SELECTOR, target_sha256=None)
    made = call(permit(selected), action="lab.end_matching", params={"prefix": "x"})
    granted = gate.check_permit(made, NOW)
    gate.check_live(made, LabEndMatching.facts, granted, live(3))
    with pytest.raises(PlanChanged, match="At most 3 targets were approved, now there are 4") as refused:
        gate.check_live(made, LabEndMatching.facts, granted, live(4))
    assert refused.value.details["count"] == 4


def test_other_targets_than_approved_are_a_changed_plan():
    made = call(permit(envelope(target_sha256="b" * 64)))
    with pytest.raises(PlanChanged, match="not those that were approved"):
        gate.check_live(made, LabEndThings.facts, gate.check_permit(made, NOW), live(3))


def test_literal_targets_are_pinned_too():
    params = {"targets": ["a", "b"]}
    pinned = gate.targets_sha256(LabEndThings.facts, params)
    made = call(permit(envelope(params=params, target_sha256=pinned)), params=params)
    gate.check_live(made, LabEndThings.facts, gate.check_permit(made, NOW), live(2))
    assert pinned != gate.targets_sha256(LabEndThings.facts, {"targets": ["a", "c"]})


def test_protected_targets_need_an_approval_that_showed_them():
    made, shown = call(permit(envelope())), call(permit(envelope(), protected_allowed=True))
    with pytest.raises(Protected, match="one more approver"):
        gate.check_live(made, LabEndThings.facts, gate.check_permit(made, NOW), live(3, protected=("vip",)))
    gate.check_live(shown, LabEndThings.facts, gate.check_permit(shown, NOW), live(3, protected=("vip",)))


def test_stanch_itself_is_never_touched_whatever_was_approved():
    made = call(permit(envelope(), protected_allowed=True))
    with pytest.raises(Protected, match="never"):
        gate.check_live(made, LabEndThings.facts, gate.check_permit(made, NOW), live(3, own=("stanch",)))


@pytest.mark.parametrize(("mode", "worker"), [(Mode.EXERCISE, Mode.LIVE), (Mode.LIVE, Mode.EXERCISE)])
def test_a_worker_serves_its_own_mode_only(mode, worker):
    with pytest.raises(WrongMode, match="Nothing was sent"):
        gate.check_mode(call(None, context=RunContext(mode=mode)), worker)


def test_another_version_of_the_action_is_a_changed_plan():
    with pytest.raises(PlanChanged, match="planned for version 2"):
        gate.check_version(call(None, version=2), LabEndThings.facts)
    with pytest.raises(Rejected, match="planned for version 2"):
        gate.check_version(call(None, version=2), LabRead.facts)
