"""``choose`` and ``repeat``: one way is taken, passes run until a condition holds, each asked and recorded anew."""

import json

import pytest

from tests.stage import Running, Stage, shown
from tests.workflows.test_continue_as_new import DRAIN, LOW, executions, meant
from workflows.messages import Thresholds

HEAD = "stanch: 1\nid: passes\nversion: 1.0.0\ntitle: Passes\nsteps:\n"
CHOICE = """
  - id: way
    choose:
      - {when: incident.severity > 4, do: [{id: high, action: lab.read, with: {value: high}}]}
      - {when: incident.severity > 2, do: [{id: middle, action: lab.read, with: {value: middle}}]}
      - {when: incident.severity > 1, do: [{id: low, action: lab.read, with: {value: low}}]}
      - else:
          - {id: other, action: lab.read, with: {value: other}}
"""
ASKED = """
  - id: settle
    repeat:
      do:
        - {id: left, action: lab.count, with: {name: left}}
        - id: go
          approve: [touch]
          by: {roles: [crm_owner]}
          within: 1h
          on_timeout: [deny]
        - {id: touch, action: lab.touch_checked, with: {name: "x{{ steps.left.count }}"}}
        - {tell: "{{ steps.left.count }}", to: channel}
      until: "{{ steps.left.count >= 3 }}"
      at_most: 5
      every: 1s
  - {id: end, action: lab.read, with: {value: "{{ steps.settle.passes }} {{ steps.left.count }}"}}
"""


def statuses(status: dict) -> dict[str, str]:
    """Status by path."""
    return {step["path"]: step["status"] for step in status["steps"]}


def output_of(run: Running, step: str) -> object:
    """The value that a reading step left."""
    ends = [entry["body"] for entry in run.entries() if entry["kind"] == "action.outcome"]
    kept = next(body for body in reversed(ends) if body["step"] == step)
    return json.loads(run.stage.store.evidence.read(kept["result_ref"]))["output"]["value"]


@pytest.mark.parametrize(("severity", "taken"), [(5, "high"), (3, "middle"), (2, "low"), (1, "other")])
async def test_the_first_way_that_holds_is_taken(stage: Stage, severity: int, taken: str) -> None:
    run = await stage.start(HEAD + CHOICE, facts={"severity": severity})
    found = statuses(await run.ended())
    assert {name for name in ("high", "middle", "low", "other") if found[name] == "done"} == {taken}
    assert found["way"] == "done"


async def test_no_way_at_all_is_done_too(stage: Stage) -> None:
    bare = CHOICE.split("      - else:")[0]
    status = await (await stage.start(HEAD + bare, facts={"severity": 1})).ended()
    assert status["status"] == "done" and statuses(status)["way"] == "done"
    assert {statuses(status)[name] for name in ("high", "middle", "low")} == {"pending"}


async def test_an_approval_covers_the_way_that_will_be_taken(stage: Stage) -> None:
    steps = """
  - {id: go, approve: [way], by: {roles: [crm_owner]}, within: 1h, on_timeout: [deny]}
  - id: way
    choose:
      - {when: incident.severity > 4, do: [{id: a, action: lab.touch, with: {name: a}}]}
      - {when: incident.severity > 2, do: [{id: b, action: lab.touch, with: {name: b}}]}
      - {else: [{id: c, action: lab.touch, with: {name: c}}]}
"""
    run = await stage.start(HEAD + steps)
    gate = await run.waiting("go")
    assert [part["step"] for part in gate["preview"]] == ["b"]
    await run.decide("go", "amal")
    assert (await run.ended())["status"] == "done"
    assert [effect["id"] for effect in stage.world.effects()] == ["b"]


async def decided(stage: Stage, thresholds: Thresholds, start: int) -> Running:
    """The asked repeat with a person who approves each pass."""
    run = await stage.start(HEAD + ASKED.replace("left}", f"left{start}}}"), thresholds=thresholds)
    for number in (1, 2, 3):
        await run.until(lambda status, number=number: any(gate["pass"] == number for gate in status["waiting"]))
        receipt = await run.decide("go", "amal")
        assert receipt.accepted, receipt
    status = await run.ended()
    assert status["status"] == "done", shown(status)
    return run


async def test_each_pass_asks_anew_and_runs_once(stage: Stage) -> None:
    run = await decided(stage, Thresholds(), 0)
    assert [effect["id"] for effect in stage.world.effects()] == ["x1", "x2", "x3"]
    assert output_of(run, "end") == "3 3"
    passes = [entry["body"] for entry in run.entries() if entry["kind"] == "step.pass"]
    assert [(body["number"], body["holds"]) for body in passes] == [(1, False), (2, False), (3, True)]
    intents = [entry["body"] for entry in run.entries() if entry["kind"] == "action.intent"]
    assert [body["pass"] for body in intents if body["step"] == "touch"] == [1, 2, 3]
    opened = [entry["body"] for entry in run.entries() if entry["kind"] == "gate.opened"]
    assert [body["pass"] for body in opened] == [1, 2, 3] and len({body["digest"] for body in opened}) == 3
    told = [notice["body"] for notice in stage.store.notices.of(run.incident) if notice["body"]["kind"] == "text"]
    assert [body["text"] for body in told] == ["1", "2", "3"]


async def test_a_decision_of_one_pass_does_not_count_for_the_next(stage: Stage) -> None:
    run = await stage.start(HEAD + ASKED)
    first = await run.waiting("go")
    assert (await run.decide("go", "amal")).accepted
    await run.until(lambda status: any(gate["pass"] == 2 for gate in status["waiting"]))
    assert (await run.decide("go", "bo", digest=first["digest"])).code == "digest_mismatch"


@pytest.mark.parametrize("thresholds", [LOW, DRAIN], ids=["at a quiet moment", "drained"])
async def test_the_same_entries_over_executions(stage: Stage, thresholds: Thresholds) -> None:
    plain = await decided(stage, Thresholds(), 1)
    for name in ("x1", "x2", "x3"):
        stage.world.change("untouch", name)
    split = await decided(stage, thresholds, 2)
    assert await executions(plain) == 1 and await executions(split) >= 3
    assert meant(split) == meant(plain)


async def test_spent_passes_fail_the_step(stage: Stage) -> None:
    steps = """
  - id: again
    repeat: {do: [{id: left, action: lab.count}], until: steps.left.count > 99, at_most: 3}
    on_failure: FORM
  - {id: end, action: lab.read, with: {value: "{{ steps.again.passes | default(0) }}"}}
"""
    run = await stage.start(HEAD + steps.replace("FORM", "stop"))
    status = await run.ended()
    assert (status["status"], status["code"]) == ("failed", "repeat_spent"), shown(status)
    assert statuses(status)["end"] == "pending"
    run = await stage.start(HEAD + steps.replace("FORM", "continue"))
    status = await run.ended()
    assert status["status"] == "done" and any("3 passes" in warning for warning in status["warnings"])
    assert output_of(run, "end") == 3


async def test_a_repeat_within_a_repeat_and_a_check_within_it_never_reuse_an_outcome(stage: Stage) -> None:
    steps = """
  - id: outer
    repeat:
      do:
        - id: inner
          repeat:
            do:
              - {id: one, action: lab.count, with: {name: one}}
              - id: check
                human: Look.
                owner: crm_owner
                verify: {action: lab.count, with: {name: seen}, until: result.count > 0, every: 1s}
                within: 1h
                on_timeout: [stop]
            until: steps.one.count is divisibleby2
            at_most: 5
      until: steps.one.count >= 4
      at_most: 5
""".replace("steps.one.count is divisibleby2", "steps.one.count % 2 == 0")
    run = await stage.start(HEAD + steps)
    for number in (1, 2, 3, 4):
        await run.until(lambda status, number=number: any(gate["pass"] == number for gate in status["waiting"]))
        await run.decide("check", "amal", "done")
    status = await run.ended()
    assert status["status"] == "done", shown(status)
    ends = [entry["body"] for entry in run.entries() if entry["kind"] == "action.outcome"]
    counted = {name: [body["pass"] for body in ends if body["step"] == name] for name in ("one", "check")}
    assert counted == {"one": [1, 2, 3, 4], "check": [1, 2, 3, 4]}


async def test_the_effects_of_every_pass_can_be_undone(stage: Stage) -> None:
    steps = """
  - id: all
    repeat:
      do:
        - {id: left, action: lab.count, with: {name: undone}}
        - {id: touch, action: lab.touch, with: {name: "u{{ steps.left.count }}"}}
        - {id: sub, do: [{wait: {for: "{{ '30m' if steps.left.count == 3 else '1s' }}"}}]}
      until: steps.left.count >= 3
      at_most: 5
"""
    run = await stage.start(HEAD + steps, facts={"severity": 5})
    await run.until(lambda status: [part["pass"] for part in status["undoable"]] == [3, 2, 1])
    await run.handle.cancel()
    await run.waiting("@undo")
    await run.decide("@undo", "amal")
    status = await run.ended()
    assert status["status"] == "undone", shown(status)
    assert [(effect["kind"], effect["id"]) for effect in stage.world.effects()] == [
        ("touch", "u1"), ("touch", "u2"), ("touch", "u3"), ("untouch", "u3"), ("untouch", "u2"), ("untouch", "u1"),
    ]  # fmt: skip


async def test_earlier_passes_leave_nothing_in_the_state(stage: Stage) -> None:
    steps = """
  - id: many
    repeat: {do: [{note: "{{ steps.many.meta.status }}"}, {do: [{note: x}]}], until: FALSE, at_most: 300}
    on_failure: continue
""".replace("FALSE", "incident.severity > 9")
    run = await stage.start(HEAD + steps)
    status = await run.ended()
    assert status["status"] == "done", shown(status)
    assert len(status["steps"]) == 4
    assert len([entry for entry in run.entries() if entry["kind"] == "note"]) == 600
