"""Every form of ``on_failure``, every end of an unknown effect, a pause in a wait, and a cancel in each phase."""

import asyncio

import pytest

from tests.stage import Stage

HEAD = "stanch: 1\nid: probe\nversion: 1.0.0\ntitle: Probe\n"
SEVERE = {"severity": 5}
PARTLY = (
    "  - {id: end, action: lab.end_things, with: {targets: [a, b]}, on_failure: %s}\n  - {id: next, action: lab.read}\n"
)


def step_of(status: dict, path: str) -> dict:
    """A step of a status."""
    return next(step for step in status["steps"] if step["path"] == path)


def changes(stage: Stage) -> list[tuple[str, str]]:
    """What was done to the world, in order."""
    return [(effect["kind"], effect["id"]) for effect in stage.world.effects()]


@pytest.mark.parametrize(
    ("form", "status", "next_", "warned"),
    [("stop", "failed", "pending", 0), ("continue", "done", "done", 1), ("undo", "failed", "pending", 0)],
)
async def test_what_follows_a_partial_effect(stage: Stage, form: str, status: str, next_: str, warned: int) -> None:
    stage.world.fault("rejected", 1)
    run = await stage.start(HEAD + "steps:\n" + PARTLY % form, facts=SEVERE)
    ended = await run.ended()
    assert (ended["status"], step_of(ended, "end")["status"]) == (status, "failed")
    assert step_of(ended, "next")["status"] == next_ and len(ended["warnings"]) == warned
    undone = [("untouch", "a")] if form == "undo" else []
    assert changes(stage) == [("touch", "a"), *undone]


async def test_the_owner_may_have_a_partial_effect_undone(stage: Stage) -> None:
    stage.world.fault("rejected", 1)
    run = await stage.start(HEAD + "steps:\n" + PARTLY % "ask", facts=SEVERE)
    gate = await run.waiting("end", kind="failure")
    assert gate["verdicts"] == ["retry", "skip", "undo", "stop"]
    await run.decide("end", "amal", "undo")
    ended = await run.ended()
    assert ended["status"] == "failed" and changes(stage) == [("touch", "a"), ("untouch", "a")]
    assert "step.undone" in run.kinds()


async def test_retries_come_before_the_question_and_silence_escalates_then_stops(stage: Stage) -> None:
    stage.world.fault("rejected", 3)
    run = await stage.start(
        HEAD
        + """
steps:
  - {id: one, action: lab.touch, with: {name: x}, retry: {times: 2, every: 1s, backoff: 1}}
always:
  - {id: duty, action: lab.read}
""",
        facts=SEVERE,
        rate=600,
    )
    gate = await run.waiting("one", kind="failure")
    assert sum(entry["kind"] == "action.failed" for entry in run.entries()) == 3
    assert gate["next"] == "If nobody answers, incident_commander is paged and may decide too."
    ended = await run.ended()
    assert (ended["status"], ended["code"]) == ("failed", "rejected") and step_of(ended, "duty")["status"] == "done"
    asked = [entry["body"] for entry in run.entries() if entry["kind"] == "gate.escalated"]
    assert [body["role"] for body in asked] == ["incident_commander"] and changes(stage) == []


@pytest.mark.parametrize(("verdict", "ends"), [("happened", "done"), ("not_happened", "failed")])
async def test_a_person_says_what_became_of_an_unknown_effect(stage: Stage, verdict: str, ends: str) -> None:
    stage.world.fault("lost", 1)
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch_once, with: {name: x}, on_failure: stop}\n")
    await run.decide("one", "amal")
    await run.waiting("one", kind="unknown")
    assert (await run.decide("one", "dara", verdict)).code == "wrong_role"
    await run.decide("one", "amal", verdict)
    ended = await run.ended()
    assert (ended["status"], step_of(ended, "one")["status"]) == (ends, ends)
    assert step_of(ended, "one")["code"] == (None if ends == "done" else "did_not_happen")


async def test_verifying_again_asks_until_it_shows(stage: Stage) -> None:
    stage.world.fault("lost", 1)
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch_once, with: {name: x}}\n")
    await run.decide("one", "amal")
    first = await run.waiting("one", kind="unknown")
    stage.world.change("untouch", "x")
    await run.decide("one", "amal", "verify")
    status = await run.until(lambda status: any(gate["digest"] != first["digest"] for gate in status["waiting"]))
    assert "does not show it" in status["waiting"][0]["question"]
    stage.world.change("touch", "x")
    await run.decide("one", "amal", "verify")
    assert (await run.ended())["status"] == "done"


async def test_a_pause_holds_a_wait_that_is_over_until_it_is_resumed(stage: Stage) -> None:
    run = await stage.start(HEAD + "steps:\n  - {id: wait, wait: {for: 1s}}\n  - {id: next, action: lab.read}\n")
    await run.until(lambda status: step_of(status, "wait")["status"] == "waiting")
    await run.handle.execute_update("pause", {"person": "cleo"})
    await run.until(lambda status: step_of(status, "wait")["status"] == "done")
    await asyncio.sleep(0.2)
    assert step_of(await run.status(), "next")["status"] == "pending"
    await run.handle.execute_update("resume", {"person": "cleo"})
    assert (await run.ended())["status"] == "done"


PHASES = {
    "approve": "  - {id: at, approve: [two], by: {roles: [crm_owner]}, within: 1h, on_timeout: [deny]}\n"
    "  - {id: two, action: lab.touch_once, with: {name: x}}\n",
    "ask": "  - {id: at, ask: Well?, by: {roles: [crm_owner]}, form: {yes: {type: boolean}}, within: 1h, on_timeout: [unanswered]}\n",
    "human": "  - {id: at, human: Look, owner: crm_owner, within: 1h, on_timeout: [stop]}\n",
    "failure": "  - {id: at, action: lab.fail, on_failure: ask}\n",
    "items": "  - {id: at, for_each: [1, 2], wait: {for: 1h}}\n",
    "block": "  - {id: at, parallel: {left: [{wait: {for: 1h}}], right: [{wait: {for: 1h}}]}}\n",
}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_cancel_ends_each_phase_and_duties_run(stage: Stage, phase: str) -> None:
    text = (
        HEAD
        + f"steps:\n{PHASES[phase]}  - {{id: next, action: lab.read}}\nalways:\n  - {{id: duty, action: lab.read}}\n"
    )
    run = await stage.start(text)
    await run.until(lambda status: any(step["status"] == "waiting" for step in status["steps"]))
    await run.handle.cancel()
    ended = await run.ended()
    assert (ended["status"], ended["waiting"]) == ("cancelled", [])
    assert step_of(ended, "at")["status"] == ("failed" if phase == "failure" else "skipped")
    assert step_of(ended, "next")["status"] == "pending"
    assert step_of(ended, "duty")["status"] == "done" and changes(stage) == []


async def test_a_cancel_among_the_duties_ends_none_of_them(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + "steps:\n  - {id: one, action: lab.read}\nalways:\n"
        + "  - {id: duty, human: Look, owner: crm_owner, within: 1h, on_timeout: [continue]}\n  - {id: last, action: lab.read}\n"
    )
    await run.waiting("duty")
    await run.handle.cancel()
    await asyncio.sleep(0.3)
    assert (await run.decide("duty", "amal", "done")).accepted
    ended = await run.ended()
    assert [step_of(ended, path)["status"] for path in ("one", "duty", "last")] == ["done", "done", "done"]
