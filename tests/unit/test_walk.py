"""The walk over continue-as-new, cancels and stops, in virtual time: what random playbooks once got wrong."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.test_trial_server import book, finished, kinds
from worker.trial.people import Cast, Says
from worker.trial.stubs import Stub, Stubs
from worker.trial.trial import Trial

LATER = timedelta(minutes=5)


def again(
    steps: str, *, always: str = "", script: Any = None, stubs: Any = None, after: int = 6
) -> tuple[Trial, Trial]:
    """The same run, whole and continued as new."""
    trials = []
    for continue_after in (None, after):
        cast = Cast(
            script={step: [Says(verdict, after=LATER) for verdict in said] for step, said in (script or {}).items()}
        )
        trial = book(steps, always=always).trial(
            inputs={}, cast=cast, stubs=Stubs(stubs or {}), continue_after=continue_after
        )
        trial.finish()
        trial.close()
        trials.append(trial)
    assert trials[0].server.executions == 1 < trials[1].server.executions
    return trials[0], trials[1]


def test_a_condition_is_evaluated_once() -> None:
    """What happens inside a block does not take back that it was entered."""
    steps = """
- id: block
  when: "{{ steps.inner.meta.status != 'done' }}"
  do:
    - {id: inner, note: in}
    - {id: person, human: Do it., owner: platform_owner, within: 1h, on_timeout: [stop]}
    - {id: last, note: out}
"""
    whole, parted = again(steps, script={"person": ["done"]})
    assert kinds(whole) == kinds(parted) and ("note", "last", None) in kinds(parted)


def test_a_failed_duty_is_told_once_and_by_the_step_that_failed() -> None:
    always = """
- id: duties
  do:
    - {id: sure, require: "{{ incident.severity > 5 }}", message: It is not.}
- {id: person, human: Do it., owner: platform_owner, within: 1h, on_timeout: [stop]}
- {id: other, human: Do it., owner: platform_owner, within: 1h, on_timeout: [stop]}
"""
    whole, parted = again("- {id: a, note: x}", always=always, script={"person": ["done"], "other": ["done"]})
    for trial in (whole, parted):
        assert (trial.world.snapshot["status"], trial.world.snapshot["reason"]) == ("failed", "sure: It is not.")
        assert trial.world.snapshot["warnings"] == []


def test_a_denial_of_a_duty_is_told_once() -> None:
    always = """
- id: duties
  do:
    - {id: ask, approve: [cut], by: {roles: [platform_owner]}, within: 1h, on_timeout: [deny], on_deny: stop}
    - {id: cut, action: lab.cut, with: {targets: [a]}}
- {id: person, human: Do it., owner: platform_owner, within: 1h, on_timeout: [stop]}
"""
    _, parted = again("- {id: a, note: x}", always=always, script={"ask": ["deny"], "person": ["done"]})
    assert parted.world.snapshot["warnings"] == ["always: ask was denied."]


def test_a_reading_that_waits_is_the_same_pass() -> None:
    steps = """
- id: person
  human: Do it.
  owner: platform_owner
  verify: {action: lab.look, until: "{{ result.count > 0 }}", every: 5m}
  within: 1h
  on_timeout: [continue]
"""
    held = [Stub(fails="held", times=3)]
    whole, parted = again(steps, script={"person": ["done"]}, stubs={"lab.look": held})
    passes = [[call.pass_ for call in trial.world.tried] for trial in (whole, parted)]
    assert passes[0] == passes[1] == [1, 1, 1, 1, *range(2, len(passes[0]) - 2)]
    assert kinds(whole) == kinds(parted)


@pytest.mark.parametrize(("path", "end"), [("cut", ("failed", "require_failed")), ("block", ("skipped", "cancelled"))])
def test_a_cancel_ends_what_asks_after_a_failure(path: str, end: tuple[str, str]) -> None:
    trial = book(
        "- {id: block, do: [{id: cut, require: '{{ incident.severity > 5 }}', message: No., on_failure: ask}]}"
    ).trial(inputs={})
    trial.settle()
    trial.cancel()
    trial.finish()
    step = next(step for step in trial.status()["steps"] if step["path"] == path)
    assert (step["status"], step["code"]) == end
    trial.close()


def test_a_stop_ends_the_blocks_around_it() -> None:
    _, outcome = finished("- id: block\n  do:\n    - {id: over, stop: Enough.}\n- {id: next, note: x}")
    assert (outcome.status, outcome.reason) == ("done", "Enough.")
    assert {name: step["status"] for name, step in outcome.steps.items()} == {
        "block": "done",
        "over": "done",
        "next": "pending",
    }


def test_a_reading_is_never_asked_anew() -> None:
    _, outcome = finished("- {id: look, action: lab.look}", stubs={"look": [Stub(fails="plan_changed")]})
    assert (outcome.status, outcome.steps["look"]["code"]) == ("failed", "plan_changed")


def test_a_cancel_offers_what_was_done_by_then_and_no_more() -> None:
    always = """
- {id: person, human: Do it., owner: platform_owner, within: 1h, on_timeout: [continue]}
- {id: pause, action: lab.pause, with: {targets: [a]}}
- {id: other, human: Do it., owner: platform_owner, within: 1h, on_timeout: [continue]}
"""
    ends = []
    for continue_after in (None, 6):
        trial = book("- {id: a, note: x}", always=always).trial(
            inputs={}, incident={"severity": 4}, continue_after=continue_after
        )
        trial.settle()
        trial.cancel()
        trial.finish()
        ends.append(kinds(trial))
        trial.close()
    assert ends[0] == ends[1] and not [entry for entry in ends[0] if entry[1] == "@undo"]


@pytest.mark.parametrize(("said", "effects"), [([], []), (["approve"], ["pause"])])
def test_what_a_failed_approve_step_covers_is_still_to_be_approved(said: list[str], effects: list[str]) -> None:
    """Policy would let it pass at this severity; the playbook asks for more."""
    always = """
- {id: go, approve: [cut, pause], by: {roles: [platform_owner]}, within: 15m, on_timeout: [deny]}
- {id: cut, action: lab.cut, with: {targets: [a]}, on_failure: continue}
- {id: pause, action: lab.pause, with: {targets: [a]}}
"""
    trial = book("- {id: a, note: x}", always=always).trial(
        inputs={},
        incident={"severity": 5},
        stubs=Stubs({"cut": [Stub(fails="rejected", on="preview")]}),
        cast=Cast(script={"pause": [Says(verdict) for verdict in said]}),
    )
    trial.finish()
    trial.close()
    assert [effect.step for effect in trial.world.effects] == effects
    assert [asked.who for asked in trial.asked.values() if asked.step == "pause"] == ["1 of platform_owner"]


def test_an_approve_step_that_its_own_condition_leaves_out_asks_nobody() -> None:
    steps = """
- {id: go, when: "{{ incident.severity < 4 }}", approve: [pause], by: {roles: [platform_owner]}, within: 15m, on_timeout: [deny]}
- {id: pause, action: lab.pause, with: {targets: [a]}}
"""
    trial, outcome = finished(steps, incident={"severity": 5})
    assert [effect.step for effect in trial.world.effects] == ["pause"] and not outcome.asked
