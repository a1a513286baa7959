"""Approvals in advance in a run: nobody is asked for what fits; what does not, or fits no more, is asked."""

from datetime import UTC, datetime, timedelta
from typing import Any

from playbooks.contract import StandingApproval
from tests.stage import Stage
from tests.workflows.test_approvals import COVERED

PAUSED = COVERED.replace("  - {id: end,", "  - {id: pause, action: lab.read, with: {seconds: 1.5}}\n  - {id: end,")


def instant(days: float) -> str:
    """An instant as the wire has it, so many days from now."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def given(stage: Stage, person: str, action: str, role: str = "crm_owner", **more: Any) -> StandingApproval:
    """A standing approval in the store, as a start takes it."""
    stage.store.people.add(person, [role])
    fields = {"max_affected": 5, "given_at": instant(-1), "until": instant(1), **more}
    return stage.store.standing.give(StandingApproval(person=person, roles=(role,), action=action, **fields), "nights")


def both(stage: Stage, *people: str, **more: Any) -> tuple[StandingApproval, ...]:
    """Standing approvals of both effects."""
    return tuple(given(stage, who, what, **more) for who in people for what in ("lab.end_matching", "lab.touch"))


async def test_what_enough_people_approved_in_advance_runs_at_once_and_says_so(stage: Stage) -> None:
    stage.world.add("t1", "t2")
    standing = both(stage, "amal", "bo")
    run = await stage.start(COVERED, standing=standing)
    status = await run.ended()
    assert status["status"] == "done" and len(stage.world.effects()) == 3
    (entry,) = [entry for entry in run.entries() if entry["kind"] == "approval.standing"]
    assert (entry["body"]["step"], entry["body"]["by"]) == ("go", ["amal", "bo"])
    assert set(entry["body"]["standing"]) == {approval.id for approval in standing}
    permits = [entry["body"]["permit"] for entry in run.entries() if entry["kind"] == "action.intent"]
    ids = ", ".join(entry["body"]["standing"])
    assert [permit["rule"] for permit in permits] == [f"the playbook; contain: 1 of crm_owner; in advance by {ids}"] * 2
    assert all(permit["by"] == ["amal", "bo"] and permit["standing"] for permit in permits)
    assert "gate.opened" not in run.kinds()


async def test_one_of_two_is_not_enough_and_who_started_does_not_count(stage: Stage) -> None:
    run = await stage.start(COVERED, standing=both(stage, "amal"))
    await run.waiting("go")
    started = await stage.start(COVERED, standing=both(stage, "amal", "bo"), starters=("bo",))
    gate = await started.waiting("go")
    assert gate["decided"] == [], "what was given in advance is no vote where people are asked"
    for each in (run, started):
        await each.decide("go", "amal", "deny")
        await each.ended()
    assert stage.world.effects() == []


async def test_what_was_revoked_meanwhile_is_asked_anew(stage: Stage) -> None:
    stage.world.add("t1")
    standing = both(stage, "amal", "bo")
    run = await stage.start(PAUSED, standing=standing)
    await run.until(lambda status: any(step["path"] == "go" and step["status"] == "done" for step in status["steps"]))
    stage.store.standing.revoke(standing[0].id, "amal", "not tonight")
    gate = await run.waiting("end")
    assert gate["difference"] == [f"The standing approval {standing[0].id} is no longer in force."]
    assert stage.world.effects() == []
    await run.decide("end", "amal", "deny")
    await run.waiting("one")
    await run.decide("one", "amal", "deny")
    assert (await run.ended())["status"] == "done"


async def test_an_effect_that_asks_by_itself_is_approved_in_advance_too(stage: Stage) -> None:
    book = (
        "stanch: 1\nid: bare\nversion: 1.0.0\ntitle: Bare\nsteps:\n  - {id: one, action: lab.touch, with: {name: x}}\n"
    )
    run = await stage.start(book, standing=(given(stage, "amal", "lab.touch", params={"name": "x"}),))
    assert (await run.ended())["status"] == "done" and len(stage.world.effects()) == 1
    assert "gate.opened" not in run.kinds()
    other = await stage.start(book, standing=(given(stage, "amal", "lab.touch", params={"name": "y"}),))
    await other.decide("one", "amal", "deny")
    await other.ended()
    assert len(stage.world.effects()) == 1


async def test_more_than_was_approved_in_advance_is_asked(stage: Stage) -> None:
    stage.world.add("t1")
    run = await stage.start(PAUSED, standing=both(stage, "amal", "bo"))
    await run.until(lambda status: any(step["path"] == "go" and step["status"] == "done" for step in status["steps"]))
    stage.world.add(*[f"t-new{number}" for number in range(7)])
    gate = await run.waiting("end")
    assert gate["difference"] == ["At most 5 targets were approved, now there are 8."]
    await run.decide("end", "amal", "deny")
    await run.ended()
