"""A run in virtual time: the real workflow, without a server, always the same way."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow

from playbooks.loader import Library, load_text
from tests.books import ACTIONS, whole
from worker.trial.book import Book
from worker.trial.execution import Diverged, TaskFailed
from worker.trial.outcome import Outcome, named
from worker.trial.people import Cast, Says
from worker.trial.server import Server
from worker.trial.stubs import Stub, Stubs
from worker.trial.trial import START, Trial
from worker.trial.world import Unpermitted, World

CUT = """
- {id: look, action: lab.look}
- id: go
  approve: [cut]
  by: {roles: [platform_owner]}
  within: 15m
  on_timeout: [{escalate: incident_commander, within: 15m}, deny]
- {id: cut, action: lab.cut, with: {targets: "{{ steps.look.targets }}"}}
- {id: end, note: over}
"""
FOUND = {"lab.look": [Stub(output={"targets": ["a", "b"]})]}


def book(steps: str, **more: str) -> Book:
    """A playbook of these steps."""
    source, problems = load_text(whole(steps, **more))
    assert source is not None, problems
    return Book(source, Library([source]), actions=ACTIONS, safety=False)


def finished(steps: str, *, script: Any = None, stubs: Any = None, **more: Any) -> tuple[Trial, Outcome]:
    """A run at its end."""
    cast = Cast(script={step: [Says(verdict) for verdict in said] for step, said in (script or {}).items()})
    trial = book(steps).trial(inputs={}, cast=cast, stubs=Stubs(stubs or FOUND), **more)
    trial.finish()
    outcome = Outcome.of(trial)
    trial.close()
    return trial, outcome


def kinds(trial: Trial) -> list[tuple[Any, ...]]:
    """Every entry but for its instants."""
    return [(entry.kind, entry.body.get("step"), entry.body.get("item")) for entry in trial.world.entries.values()]


def test_silence_takes_its_time_and_no_more() -> None:
    _, outcome = finished(CUT)
    assert (outcome.status, outcome.steps["cut"]["status"]) == ("done", "denied")
    assert outcome.lasted == timedelta(minutes=30) and outcome.effects == []
    assert [notice["to"] for notice in outcome.notices if notice["urgency"] == "page"] == [["incident_commander"]]


def test_an_approval_lets_the_very_effect_through() -> None:
    _, outcome = finished(CUT, script={"go": ["approve"]})
    assert [named(effect) for effect in outcome.effects] == ["cut"]
    assert outcome.effects[0].count == 2 and outcome.effects[0].permit.approved_by == ("somebody 1",)
    assert outcome.lasted == timedelta(0)


@pytest.mark.parametrize("continue_after", [None, 12, 30])
def test_the_worker_may_die_at_any_moment(continue_after: int | None) -> None:
    script = {"go": ["approve"], "cut": ["retry"]}
    stubs = {**FOUND, "lab.cut": [Stub(fails="rejected", times=1)]}
    whole_trial, _ = finished(CUT, script=script, stubs=stubs)
    cast = Cast(script={step: [Says(verdict) for verdict in said] for step, said in script.items()})
    trial = book(CUT).trial(inputs={}, cast=cast, stubs=Stubs(stubs), continue_after=continue_after)
    trial.each_turn = trial.die
    trial.finish()
    trial.close()
    assert (trial.server.executions > 1) is (continue_after is not None)
    assert kinds(trial) == kinds(whole_trial)


def test_a_failure_waits_for_its_decision_over_a_continue_as_new() -> None:
    """The walk begins anew, the effect does not."""
    stubs = {**FOUND, "lab.cut": [Stub(fails="rejected", times=1)]}
    trial, outcome = finished(CUT, script={"go": ["approve"]}, stubs=stubs, continue_after=10)
    assert trial.server.executions > 2
    assert outcome.steps["cut"]["code"] == "rejected" and outcome.effects == []
    assert sum(call.action == "lab.cut" and call.verb == "apply" for call in trial.world.tried) == 1


def test_pauses_cancels_and_facts() -> None:
    steps = (
        "- {id: slow, wait: {until: '{{ incident.subjects is defined }}', every: 1m}, within: 2h, on_timeout: [stop]}\n"
    )
    trial = book(steps + "- {id: end, note: over}").trial(inputs={})
    trial.advance(timedelta(minutes=5))
    trial.set_facts({"subjects": 3}, by="amal")
    trial.pause()
    trial.advance(timedelta(minutes=5))
    assert trial.status()["status"] == "paused"
    trial.resume()
    trial.finish()
    assert trial.status()["status"] == "done" and trial.now - START == timedelta(minutes=10)
    trial.close()
    trial = book(steps).trial(inputs={})
    trial.settle()
    trial.cancel()
    trial.finish()
    assert trial.status()["status"] == "cancelled"
    trial.close()


def test_a_forged_permit_breaks_the_trial_off() -> None:
    trial = book(CUT).trial(inputs={}, cast=Cast(script={"go": [Says("approve")]}), stubs=Stubs(FOUND))
    taken = trial.world.perform

    def altered(task: Any) -> Any:
        if task.name == "lab.cut" and b'"verb":"apply"' in task.argument.data:
            task.argument.data = task.argument.data.replace(b'"step":"cut"', b'"step":"end"', 1)
        return taken(task)

    trial.server._outside = _Altered(trial.world, altered)
    with pytest.raises(Unpermitted, match="another step"):
        trial.finish()
    trial.close()


class _Altered:
    def __init__(self, world: World, perform: Any) -> None:
        self.perform, self.child, self.signalled = perform, world.child, world.signalled


def test_a_run_takes_no_part_of_a_loop_that_runs() -> None:
    async def inside() -> str:
        _, outcome = finished(CUT)
        await asyncio.sleep(0)
        return outcome.status

    assert asyncio.run(inside()) == "done"


LOT = {"number": 0}


@workflow.defn(name="Fickle")
class Fickle:
    """Goes another way each time that it is loaded."""

    @workflow.run
    async def run(self, given: dict[str, Any]) -> None:
        LOT["number"] += 1
        await workflow.sleep(timedelta(seconds=60 * LOT["number"]))
        if given.get("breaks"):
            raise KeyError("a bug")


class Nobody:
    """A world without systems."""

    def perform(self, task: Any) -> Any:
        raise AssertionError

    child = signalled = perform


def test_code_that_goes_another_way_is_found_out() -> None:
    server = Server(Fickle, "fickle", {}, Nobody(), START)
    with pytest.raises(Diverged, match="start_timer"):
        server.die()
    server.close()


def test_a_bug_in_the_workflow_is_told_at_once() -> None:
    server = Server(Fickle, "fickle", {"breaks": True}, Nobody(), START)
    with pytest.raises(TaskFailed, match="a bug"):
        server.step()
    server.close()
