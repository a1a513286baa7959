"""Migration: shown first, done by the digest of what was shown; what is done stays, approvals are asked anew."""

import pytest

from tests.stage import Running, Stage, actor
from worker.desk.refusals import DeskRefusal

HEAD = "stanch: 1\nid: probe\nversion: {version}\ntitle: Probe\n"
OLD = (
    HEAD.format(version="1.0.0")
    + """
steps:
  - {id: seen, action: lab.count, with: {name: seen}}
  - {id: go, approve: [one, two], by: {roles: [crm_owner]}, within: 1h, on_timeout: [deny]}
  - {id: one, action: lab.touch, with: {name: x}}
  - {id: look, human: Look, owner: crm_owner, within: 1h, on_timeout: [stop]}
  - {id: two, action: lab.touch, with: {name: y}}
  - {id: old, action: lab.read, with: {value: 1}}
"""
)
NEW = (
    HEAD.format(version="1.1.0")
    + """
steps:
  - {id: seen, action: lab.count, with: {name: seen}}
  - {id: go, approve: [one, two], by: {roles: [crm_owner]}, within: 1h, on_timeout: [deny]}
  - {id: one, action: lab.touch, with: {name: x}}
  - {id: fresh, action: lab.read, with: {value: 2}}
  - {id: look, human: Look closely, owner: crm_owner, within: 1h, on_timeout: [stop]}
  - {id: two, action: lab.touch, with: {name: z}}
  - {id: three, action: lab.touch, with: {name: w}}
"""
)


def statuses(status: dict) -> dict[str, str]:
    """Step to its status."""
    return {step["path"]: step["status"] for step in status["steps"]}


async def code(stage: Stage, run: Running, text: str = NEW, person: str = "cleo", **more: str) -> str:
    """The code with which a migration is refused."""
    desk = stage.desk()
    try:
        shown = await desk.migrations.show(run.incident, actor(person), None, text=text, **more)
        await desk.migrations.migrate(run.incident, actor(person), None, shown["digest"], text=text, **more)
    except DeskRefusal as refusal:
        return refusal.code
    raise AssertionError("it was migrated")


async def test_a_run_goes_on_under_a_new_version_from_where_it_stands(stage: Stage) -> None:
    desk = stage.desk()
    run = await stage.start(OLD)
    await run.decide("go", "amal")
    await run.waiting("look")
    assert await code(stage, run, person="amal") == "wrong_role"
    assert await code(stage, run, OLD) == "no_change"
    assert await code(stage, run, NEW.replace("id: probe", "id: other")) == "bad_value"
    assert await code(stage, run, "steps: [") == "playbook_problems"
    assert await code(stage, run, "", version="9.9.9") == "not_found"
    for text, wanted in (
        (NEW.replace("id: one, action: lab.touch,", "id: one, action: lab.touch_keyed,"), "action_changed"),
        (NEW.replace("{id: one, action: lab.touch, with: {name: x}}", "{id: one, note: no}").replace("[one, two]", "[two]"), "kind_changed"),
        (NEW.replace("{id: one,", "{id: one, for_each: [1],"), "loop_changed"),
        (NEW.replace("{id: one,", "{id: uno,").replace("[one, two]", "[uno, two]"), "effect_gone"),
        (NEW.replace("id: look", "id: watch"), "step_gone"),
    ):  # fmt: skip
        conflicts = (await desk.migrations.show(run.incident, actor("cleo"), None, text=text))["conflicts"]
        assert [each["code"] for each in conflicts] == [wanted], conflicts
        assert await code(stage, run, text) == "migration_conflict"

    shown = await desk.migrations.show(run.incident, actor("cleo"), None, text=NEW)
    assert {step["step"]: (step["change"], step["now"]) for step in shown["steps"]} == {
        "seen": ("same", "done"),
        "go": ("same", "done"),
        "one": ("same", "done"),
        "fresh": ("new", "pending"),
        "look": ("changed", "waiting"),
        "two": ("changed", "pending"),
        "three": ("new", "pending"),
        "old": ("gone", "pending"),
    }
    assert shown["free"] == ["three"] and shown["conflicts"] == []
    with pytest.raises(DeskRefusal) as refused:
        await desk.migrations.migrate(run.incident, actor("cleo"), None, "0" * 64, text=NEW)
    assert refused.value.code == "digest_mismatch" and "without --digest" in refused.value.next_step
    with pytest.raises(DeskRefusal, match=r"1 problem, first .* Nothing was migrated"):
        await desk.migrations.show(run.incident, actor("cleo"), None, text="steps: [")
    done = await desk.migrations.migrate(run.incident, actor("cleo"), None, shown["digest"][:12], "better", text=NEW)
    assert done.accepted and done.run == f"run/{run.incident}/probe/2"
    first = await run.status()
    assert (first["status"], first["code"], first["waiting"]) == ("cancelled", "migrated", [])

    later = stage.running(run.incident, done.run or "")
    gate = await later.waiting("go")
    assert [part["step"] for part in gate["preview"]] == ["two"]
    assert (await later.decide("go", "amal", digest=gate["digest"])).accepted
    assert (await later.waiting("look"))["question"] == "Look closely"
    await later.decide("look", "amal", "done")
    assert (await later.decide("three", "amal")).accepted
    status = await later.ended()
    assert status["status"] == "done" and set(statuses(status).values()) == {"done"}
    assert [effect["id"] for effect in stage.world.effects()] == ["x", "z", "w"]
    assert stage.world.count("seen") == 2
    body = next(entry["body"] for entry in run.entries() if entry["kind"] == "run.migrate_asked")
    assert (body["from"], body["to"]) == (shown["from"]["plan"], shown["to"]["plan"])
    assert (body["changed"], body["new"], body["gone"]) == (["look", "two"], ["fresh", "three"], ["old"])
    asked = await desk.aftermath.undo(run.incident, actor("bo"))
    last = stage.running(run.incident, asked.run or "")
    assert [part["step"] for part in (await last.waiting("@undo"))["preview"]] == ["three", "two", "one"]
    await last.decide("@undo", "amal")
    assert (await last.ended())["status"] == "undone"


async def test_a_failed_run_is_mended_by_its_new_version_and_an_unknown_effect_stays_so(stage: Stage) -> None:
    desk = stage.desk()
    text = (
        HEAD.format(version="1.0.0")
        + "steps:\n  - {id: one, action: lab.touch, with: {name: x}}\n  - {id: bad, action: lab.fail}\n"
    )
    run = await stage.start(text, facts={"severity": 5})
    assert (await run.ended())["status"] == "failed"
    new = text.replace("1.0.0", "1.0.1").replace("lab.fail}", "lab.read}")
    shown = await desk.migrations.show(run.incident, actor("cleo"), None, text=new)
    assert [each["code"] for each in shown["conflicts"]] == ["action_changed"]
    new = new.replace("id: bad", "id: good")
    shown = await desk.migrations.show(run.incident, actor("cleo"), None, text=new)
    done = await desk.migrations.migrate(run.incident, actor("cleo"), None, shown["digest"], text=new)
    later = stage.running(run.incident, done.run or "")
    assert statuses(await later.ended()) == {"one": "done", "good": "done"}
    assert len(stage.world.effects()) == 1 and await code(stage, later, text) == "not_migratable"

    stage.world.fault("lost", 1)
    once = (
        HEAD.format(version="1.0.0")
        + """
steps:
  - {id: go, approve: [one], by: {roles: [crm_owner]}, within: 1h, on_timeout: [deny]}
  - {id: one, action: lab.touch_once, with: {name: o}}
"""
    )
    run = await stage.start(once)
    await run.decide("go", "amal")
    await run.waiting("one", kind="unknown")
    assert [each["code"] for each in (await desk.migrations.show(run.incident, actor("cleo"), None, text=once.replace("1.0.0", "2.0.0").replace("name: o", "name: p")))["conflicts"]] == ["unknown_changed"]  # fmt: skip
    new = once.replace("1.0.0", "2.0.0") + "  - {id: after, action: lab.read}\n"
    shown = await desk.migrations.show(run.incident, actor("cleo"), None, text=new)
    done = await desk.migrations.migrate(run.incident, actor("cleo"), None, shown["digest"], text=new)
    later = stage.running(run.incident, done.run or "")
    await later.waiting("one", kind="unknown")
    await later.decide("one", "amal", "verify")
    assert statuses(await later.ended()) == {"go": "done", "one": "done", "after": "done"}
    assert [effect["id"] for effect in stage.world.effects()] == ["x", "o"]


async def test_what_is_under_way_is_not_left(stage: Stage) -> None:
    desk = stage.desk()
    text = (
        HEAD.format(version="1.0.0")
        + "steps:\n  - {id: slow, action: lab.read, with: {seconds: 2}}\n  - {id: next, action: lab.read}\n"
    )
    run = await stage.start(text)
    await run.until(lambda status: statuses(status)["slow"] == "running")
    new = text.replace("1.0.0", "1.0.1")
    shown = await desk.migrations.show(run.incident, actor("cleo"), None, text=new)
    answer = await desk.migrations.migrate(run.incident, actor("cleo"), None, shown["digest"], text=new)
    assert (answer.accepted, answer.code) == (False, "step_in_flight")
    assert (await run.ended())["status"] == "done"
