"""Rerun: only what failed comes again, under the same keys, and the run goes on from there."""

import asyncio

import pytest

from tests.stage import Running, Stage, actor
from worker.desk.refusals import DeskRefusal
from workflows.messages import Thresholds
from workflows.state import STATE_VERSION

HEAD = "stanch: 1\nid: probe\nversion: 1.0.0\ntitle: Probe\n"
SEVERE = {"severity": 5}


def statuses(status: dict) -> dict[str, str]:
    """Step instance to its status."""
    return {step["path"] + (f"[{step['item']}]" if step["item"] else ""): step["status"] for step in status["steps"]}


async def rerun(stage: Stage, run: Running, person: str = "bo") -> Running:
    """The run that goes on."""
    asked = await stage.desk().aftermath.rerun(run.incident, actor(person), reason="mended")
    assert asked.accepted and asked.run
    return stage.running(run.incident, asked.run)


async def refused(stage: Stage, run: Running) -> str:
    """The code with which a rerun is refused."""
    with pytest.raises(DeskRefusal) as refusal:
        await stage.desk().aftermath.rerun(run.incident, actor("bo"))
    return refusal.value.code


async def test_items_branches_and_duties_that_are_done_are_not_done_again(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
steps:
  - {id: seen, action: lab.count, with: {name: first}}
  - id: both
    parallel:
      left:
        - {id: left, action: lab.touch, with: {name: left}}
      right:
        - id: each
          for_each: [a, b, c]
          at_once: 1
          on_failure: stop
          action: lab.touch_once
          with: {name: "{{ item }}"}
  - {id: after, action: lab.touch, with: {name: after}}
  - {id: told, note: "{{ steps.seen.count }}"}
always:
  - {id: duty, action: lab.count, with: {name: duty}}
""",
        facts=SEVERE,
    )
    await run.decide("each[0]", "amal")
    await run.waiting("each[1]")
    stage.world.fault("rejected", 1)
    await run.decide("each[1]", "amal")
    await run.decide("each[2]", "amal")
    first = await run.ended()
    assert first["status"] == "failed" and statuses(first)["each[1]"] == "failed"
    later = await rerun(stage, run)
    status = await later.ended()
    assert status["status"] == "done" and set(statuses(status).values()) == {"done"}
    assert [effect["id"] for effect in stage.world.effects()].count("a") == 1
    assert sorted(effect["id"] for effect in stage.world.effects()) == ["a", "after", "b", "c", "left"]
    assert [stage.world.count(name) for name in ("first", "duty")] == [2, 2]
    began = [entry["body"] for entry in run.entries() if entry["kind"] == "run.started"]
    assert [(body["digest"], body.get("of")) for body in began][1] == (began[0]["digest"], run.run)
    outcomes = [
        entry["body"] for entry in run.entries() if entry["kind"] == "action.intent" and entry["body"]["item"] == "1"
    ]
    assert len({body["key"] for body in outcomes}) == 1 and len(outcomes) == 2
    shown = await stage.desk().views.incident(run.incident)
    assert [each.get("followed_by", {}).get("verb") for each in shown["runs"]] == ["rerun", None]
    assert await refused(stage, run) == "nothing_failed"


async def test_of_a_mass_action_only_the_failed_targets_come_again(stage: Stage) -> None:
    stage.world.fault("rejected", 1)
    run = await stage.start(
        HEAD + "steps:\n  - {id: end, action: lab.end_things, with: {targets: [a, b]}, on_failure: stop}\n",
        facts=SEVERE,
    )
    assert (await run.ended())["status"] == "failed"
    assert [effect["id"] for effect in stage.world.effects()] == ["a"]
    later = await rerun(stage, run)
    status = await later.ended()
    assert status["status"] == "done" and status["steps"][0]["affected"]["count"] == 2
    assert [effect["id"] for effect in stage.world.effects()] == ["a", "b"]
    undo = await stage.desk().aftermath.undo(run.incident, actor("bo"))
    last = stage.running(run.incident, undo.run or "")
    await last.decide("@undo", "amal")
    assert (await last.ended())["status"] == "undone"
    assert sorted(effect["id"] for effect in stage.world.effects()[2:]) == ["a", "b"]
    shown = await stage.desk().views.incident(run.incident)
    assert [each["status"] for each in shown["runs"]] == ["failed", "undone", "undone"]


async def test_a_valid_approval_still_counts_and_the_reruner_s_own_does_not(stage: Stage) -> None:
    for person, asks in (("bo", False), ("amal", True)):
        stage.world.fault("rejected", 1)
        name = f"t-{person}"
        run = await stage.start(
            HEAD
            + f"""
steps:
  - {{id: go, approve: [one], by: {{roles: [crm_owner]}}, within: 1h, on_timeout: [deny]}}
  - {{id: one, action: lab.touch, with: {{name: {name}}}, on_failure: stop}}
  - id: look
    when: "{{{{ steps.one.meta.status == 'done' }}}}"
    action: lab.read
"""
        )
        await run.decide("go", "amal")
        assert (await run.ended())["status"] == "failed"
        later = await rerun(stage, run, person)
        if asks:
            gate = await later.waiting("one")
            assert gate["difference"] == ["Who approved it asks for the run now, so somebody else must approve it."]
            assert (await later.decide("one", "bo")).accepted
        status = await later.ended()
        assert statuses(status) == {"go": "done", "one": "done", "look": "done"}
        assert stage.world.touched(name)


async def test_what_nobody_decided_in_time_is_asked_again_and_what_was_skipped_for_a_failure_runs(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
steps:
  - {id: go, approve: [one], by: {roles: [crm_owner]}, within: 1s, on_timeout: [deny]}
  - {id: one, action: lab.touch, with: {name: x}}
  - {id: bad, require: "{{ incident.wanted is defined }}", message: nobody set it, on_failure: continue}
  - {id: then, when: "{{ steps.bad.meta.status == 'done' }}", action: lab.read, with: {value: 1}}
  - {id: never, when: "{{ 1 == 2 }}", action: lab.read, with: {value: 1}}
""",
    )
    first = await run.ended()
    assert statuses(first) == {"go": "done", "one": "denied", "bad": "failed", "then": "skipped", "never": "skipped"}
    await stage.desk().life.set_fact(run.incident, actor("cleo"), "wanted", 7)
    for _ in range(200):
        if "wanted" in stage.store.incidents.get(run.incident)["facts"]:
            break
        await asyncio.sleep(0.05)
    later = await rerun(stage, run)
    gate = await later.waiting("go")
    assert (await later.decide("go", "amal", digest=gate["digest"])).accepted
    status = await later.ended()
    assert statuses(status) == {"go": "done", "one": "done", "bad": "done", "then": "done", "never": "skipped"}
    assert status["status"] == "done" and status["warnings"] == []


async def test_a_rerun_is_refused_with_its_reason(stage: Stage) -> None:
    run = await stage.start(HEAD + "steps:\n  - {id: bad, action: lab.fail}\n  - {id: wait, wait: {for: 1h}}\n")
    first = await run.ended()
    assert first["status"] == "failed"
    saved = stage.store.incidents.state(run.run)
    newer = {**saved, "state_version": STATE_VERSION + 1}
    stage.store.incidents.save_snapshot(run.run, run.incident, first, newer, 10_000)
    assert await refused(stage, run) == "unsupported_version"
    stage.store.incidents.save_snapshot(run.run, run.incident, first, None, 10_001)
    assert await refused(stage, run) == "no_snapshot"
    stage.store.incidents.save_snapshot(run.run, run.incident, first, saved, 10_002)
    later = await rerun(stage, run)
    assert (await later.ended())["status"] == "failed"
    stage.store.incidents.save_snapshot(run.incident, run.incident, {"status": "closed"}, None, 10_000)
    assert await refused(stage, run) == "closed"


async def test_a_person_s_word_that_it_did_not_happen_lets_a_once_only_effect_be_sent_again(stage: Stage) -> None:
    stage.world.fault("lost", 1)
    run = await stage.start(HEAD + "steps:\n  - {id: one, action: lab.touch_once, with: {name: x}, on_failure: stop}\n")
    await run.decide("one", "amal")
    await run.waiting("one", kind="unknown")
    await run.decide("one", "amal", "not_happened")
    assert (await run.ended())["code"] == "did_not_happen"
    later = await rerun(stage, run)
    assert (await later.ended())["status"] == "done"
    assert len(stage.world.effects()) == 2


async def test_a_repeat_goes_on_in_its_pass_and_an_earlier_pass_can_be_undone(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
steps:
  - id: loop
    repeat:
      at_most: 2
      until: "{{ steps.seen.count >= 2 }}"
      do:
        - {id: one, action: lab.touch, with: {name: "x"}, on_failure: stop}
        - {id: seen, action: lab.count}
        - {id: bad, require: "{{ steps.seen.count < 2 or incident.mended is defined }}", message: not mended}
""",
        facts=SEVERE,
    )
    first = await run.ended()
    assert first["status"] == "failed" and statuses(first)["bad"] == "failed"
    await stage.desk().life.set_fact(run.incident, actor("cleo"), "mended", True)
    for _ in range(200):
        if "mended" in stage.store.incidents.get(run.incident)["facts"]:
            break
        await asyncio.sleep(0.05)
    later = await rerun(stage, run)
    assert (await later.ended())["status"] == "done"
    assert stage.world.count("calls") == 3
    asked = await stage.desk().aftermath.undo(run.incident, actor("bo"))
    last = stage.running(run.incident, asked.run or "")
    await last.decide("@undo", "amal")
    assert (await last.ended())["status"] == "undone" and not stage.world.touched("x")


async def test_a_rerun_and_its_undo_continue_as_new_like_any_run(stage: Stage) -> None:
    desk = stage.desk(Thresholds(soft_events=15))
    stage.world.fault("rejected", 9)
    text = """
steps:
  - id: each
    for_each: [a, b, c, d, e, f, g, h]
    on_failure: stop
    at_once: 2
    action: lab.touch
    with: {name: "{{ item }}"}
  - {id: then, for_each: [1, 2, 3, 4, 5, 6], at_once: 1, action: lab.count}
"""
    run = await stage.start(HEAD + text, facts=SEVERE)
    assert (await run.ended())["status"] == "failed"
    stage.world.fault("rejected", 1)
    asked = await desk.aftermath.rerun(run.incident, actor("bo"))
    middle = stage.running(run.incident, asked.run or "")
    assert [*statuses(await middle.ended()).values()].count("failed") == 2
    asked = await desk.aftermath.rerun(run.incident, actor("bo"))
    later = stage.running(run.incident, asked.run or "")
    status = await later.ended()
    assert status["status"] == "done" and set(statuses(status).values()) == {"done"}
    assert sorted(effect["id"] for effect in stage.world.effects()) == list("abcdefgh")
    asked = await desk.aftermath.undo(run.incident, actor("bo"))
    undo = stage.running(run.incident, asked.run or "")
    assert len((await undo.waiting("@undo"))["preview"]) == 8
    await undo.decide("@undo", "amal")
    assert (await undo.ended())["status"] == "undone"
    assert len(stage.world.effects()) == 16 and not any(stage.world.touched(name) for name in "abcdefgh")
    for name in (later.run, undo.run):
        events = [event async for event in stage.client.get_workflow_handle(name).fetch_history_events()]
        began = events[0].workflow_execution_started_event_attributes
        assert began.continued_execution_run_id, f"{name} never continued as new"
