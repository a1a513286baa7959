"""Undo that people ask for, in a run that goes on and in one that has ended."""

import pytest

from tests.stage import Running, Stage, actor
from worker.desk.refusals import DeskRefusal

HEAD = "stanch: 1\nid: probe\nversion: 1.0.0\ntitle: Probe\n"
TWO = (
    HEAD
    + """
steps:
  - {id: one, action: lab.touch, with: {name: x}}
  - {id: keyed, action: lab.touch_keyed, with: {name: k}}
  - {id: kept, action: lab.touch, with: {name: z}, undo: {no: the owner wants it so}}
  - {id: two, action: lab.touch, with: {name: y}}
"""
)
SEVERE = {"severity": 5}


def step_of(status: dict, path: str) -> dict:
    """A step of a status."""
    return next(step for step in status["steps"] if step["path"] == path)


def undone(stage: Stage) -> list[str]:
    """What was untouched, in order."""
    return [effect["id"] for effect in stage.world.effects() if effect["kind"] == "untouch"]


async def started(stage: Stage, text: str) -> Running:
    """A run whose one keyed effect, which always asks, is approved."""
    run = await stage.start(text, facts=SEVERE, starters=("cleo",))
    if "touch_keyed" in text:
        await run.decide("keyed", "amal")
    return run


async def test_an_ended_run_is_undone_newest_first_and_says_what_cannot_be(stage: Stage) -> None:
    desk = stage.desk()
    run = await started(stage, TWO)
    assert (await run.ended())["status"] == "done"
    asked = await desk.aftermath.undo(run.incident, actor("bo"), reason="wrong app")
    assert asked.accepted and asked.run == f"run/{run.incident}/probe/2"
    later = stage.running(run.incident, asked.run)
    gate = await later.waiting("@undo")
    assert [part["step"] for part in gate["preview"]] == ["two", "one"]
    assert gate["question"] == "bo asks to undo what it did, newest first: “wrong app”. Undo it?"
    assert {need["why"] for need in gate["who"]["needs"]} == {
        "an undo takes one of the target's owners, though policy leaves the effect free "
        "(contain: reversible at severity 5, free)"
    }
    assert gate["remains"] == [
        "kept (lab.touch): the owner wants it so",
        "keyed (lab.touch_keyed): the lab forgets nothing",
    ]
    assert set(gate["who"]["excluded"]) == {"cleo", "bo"}
    assert (await later.decide("@undo", "bo")).code == "requester"
    assert (await later.decide("@undo", "amal")).accepted
    status = await later.ended()
    assert status["status"] == "undone" and undone(stage) == ["y", "x"]
    assert status["after"] == {"verb": "undo", "of": run.run, "person": "bo", "step": None}
    first, second = (await desk.views.incident(run.incident))["runs"]
    assert (first["status"], first["followed_by"]["run"]) == ("done", asked.run), "two effects are left"
    assert second["status"] == "undone"
    steps = [
        (step["path"], step["status"])
        for step in (await desk.views.incident(run.incident))["steps"]
        if step["run"] == run.run
    ]
    assert steps == [("one", "undone"), ("keyed", "done"), ("kept", "done"), ("two", "undone")]
    again = await desk.aftermath.undo(run.incident, actor("bo"))
    assert (again.accepted, again.code) == (False, "nothing_to_undo") and "already undone" in again.message
    assert {"run.undo_asked", "step.undone", "undo.finished"} <= set(run.kinds())


async def test_one_effect_is_undone_and_the_rest_later(stage: Stage) -> None:
    desk = stage.desk()
    run = await stage.start(TWO.replace("lab.touch_keyed", "lab.read").replace("{name: k}", "{}"), facts=SEVERE)
    await run.ended()
    asked = await desk.aftermath.undo(run.incident, actor("bo"), step="one")
    later = stage.running(run.incident, asked.run)
    await later.decide("@undo", "amal")
    assert (await later.ended())["status"] == "undone" and undone(stage) == ["x"]
    assert (await desk.views.incident(run.incident))["runs"][0]["status"] == "done"
    rest = await desk.aftermath.undo(run.incident, actor("bo"), run=run.run)
    assert rest.run == f"run/{run.incident}/probe/3"
    last = stage.running(run.incident, rest.run)
    await last.decide("@undo", "amal", "deny")
    assert (await last.ended())["status"] == "denied" and undone(stage) == ["x"]


async def test_a_run_that_goes_on_offers_an_undo_beside_its_steps(stage: Stage) -> None:
    desk = stage.desk()
    text = (
        HEAD
        + "steps:\n  - {id: one, action: lab.touch, with: {name: x}}\n  - {id: q, human: Look, owner: crm_owner, within: 1h, on_timeout: [stop]}\n"
    )
    run = await stage.start(text, facts=SEVERE)
    await run.waiting("q")
    with pytest.raises(DeskRefusal) as refused:
        await desk.aftermath.undo(run.incident, actor("bo"), run="run/x/y/1")
    assert refused.value.code == "not_found"
    assert (await desk.aftermath.undo(run.incident, actor("bo"), step="q")).code == "nothing_to_undo"
    asked = await desk.aftermath.undo(run.incident, actor("bo"), step="one", reason="too early")
    assert asked.accepted and asked.run == run.run
    gate = await run.waiting("@undo1")
    assert gate["question"] == "bo asks to undo one: “too early”. Undo it?"
    assert (await desk.aftermath.undo(run.incident, actor("amal"))).code == "already_offered"
    assert (await run.decide("@undo1", "amal", digest=gate["digest"])).accepted
    status = await run.until(lambda status: step_of(status, "one")["status"] == "undone")
    assert status["status"] == "waiting"
    await run.decide("q", "amal", "done")
    status = await run.ended()
    assert status["status"] == "done" and status["warnings"] == ["one was undone; bo asked for it."]


async def test_what_is_no_longer_as_it_was_left_is_not_touched_and_said_so(stage: Stage) -> None:
    desk = stage.desk()
    text = (
        HEAD
        + "steps:\n  - {id: end, action: lab.end_things, with: {targets: [a, b]}}\n  - {id: one, action: lab.touch, with: {name: x}}\n"
    )
    run = await stage.start(text, facts=SEVERE)
    await run.ended()
    for name in ("a", "x"):
        stage.world.change("untouch", name)
    asked = await desk.aftermath.undo(run.incident, actor("bo"))
    later = stage.running(run.incident, asked.run)
    gate = await later.waiting("@undo")
    assert gate["preview"][1]["excluded"] == ["a: no longer as Stanch left it"]
    await later.decide("@undo", "amal")
    status = await later.ended()
    assert (status["status"], status["code"]) == ("failed", "undo_incomplete")
    assert [step_of(status, path)["code"] for path in ("end", "one")] == ["not_ours", "not_ours"]
    assert len(status["warnings"]) == 2 and undone(stage) == ["a", "x", "b"]
    (shown,) = status["undos"]
    assert (shown["key"], shown["person"], shown["end"]) == ("@undo", "bo", "partly")
    assert [line.partition(":")[0] for line in shown["left"]] == ["one", "end"]
    (told,) = [each for each in stage.store.notices.of(run.incident) if each["urgency"] == "page"]
    assert told["to"] == ["person:bo", "role:incident_commander"]
    assert told["body"]["text"].startswith("An undo is not complete. Left: one: It is no longer as Stanch left it;")
    assert (await desk.views.incident(run.incident))["runs"][0]["status"] == "done"


async def test_an_undo_whose_answer_is_lost_is_found_out_by_people(stage: Stage) -> None:
    desk = stage.desk()
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch, with: {name: x}}\n", facts=SEVERE)
    await run.ended()
    stage.world.fault("undo-lost", 9)
    asked = await desk.aftermath.undo(run.incident, actor("bo"))
    later = stage.running(run.incident, asked.run)
    await later.decide("@undo", "amal")
    gate = await later.waiting("one", kind="unknown")
    assert gate["question"].startswith("The undo of one was sent")
    assert step_of(await later.status(), "one")["status"] == "unknown"
    await later.decide("one", "amal", "verify")
    status = await later.ended()
    assert status["status"] == "undone" and step_of(status, "one")["status"] == "undone"


async def test_a_cancel_of_the_undo_itself_takes_nothing_back(stage: Stage) -> None:
    desk = stage.desk()
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch, with: {name: x}}\n", facts=SEVERE)
    await run.ended()
    asked = await desk.aftermath.undo(run.incident, actor("bo"))
    later = stage.running(run.incident, asked.run or "")
    await later.waiting("@undo")
    await later.handle.cancel()
    assert (await later.ended())["status"] == "cancelled" and undone(stage) == []
    assert (await desk.aftermath.undo(run.incident, actor("bo"))).accepted
