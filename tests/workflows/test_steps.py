"""Every kind of step, run on a real server: what it does, what it leaves, how it ends."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.stage import Stage

HEAD = "stanch: 1\nid: probe\nversion: 1.0.0\ntitle: Probe\n"


def status_of(status: dict, path: str, item: str | None = None) -> str:
    """A step's status."""
    return next(step["status"] for step in status["steps"] if step["path"] == path and step["item"] == item)


async def test_outputs_flow_through_blocks_loops_and_conditions(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
inputs:
  names: {type: {list: string}}
steps:
  - {id: first, action: lab.read, with: {value: "{{ inputs.names }}"}}
  - parallel:
      left:
        - {id: left, action: lab.read, with: {value: "{{ steps.first.value | length }}"}}
      right:
        - {id: right, action: lab.read, with: {value: "{{ inputs.names | first }}"}}
  - id: each
    for_each: "{{ steps.first.value }}"
    as: name
    action: lab.read
    with: {value: "{{ name | upper }}"}
  - id: way
    if: "{{ steps.left.value == 2 }}"
    then:
      - {id: taken, action: lab.read, with: {value: "{{ steps.each.outputs | length }}"}}
    else:
      - {id: untaken, action: lab.read}
  - {id: off, when: "{{ steps.left.value > 2 }}", action: lab.read}
  - {id: all, action: lab.read, with: {value: "{{ steps.each.items }}"}}
""",
        inputs={"names": ["a", "b"]},
    )
    status = await run.ended()
    assert status["status"] == "done"
    assert status_of(status, "taken") == "done" and status_of(status, "untaken") == "pending"
    assert status_of(status, "off") == "skipped"
    outcomes = {
        (entry["body"]["step"], entry["body"]["item"]): entry["body"]["result"]["output"]
        for entry in run.entries()
        if entry["kind"] == "action.outcome"
    }
    assert set(outcomes) >= {("first", None), ("each", "0"), ("each", "1"), ("taken", None), ("all", None)}


async def test_people_answer_and_their_answer_becomes_a_fact(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
steps:
  - id: question
    ask: Did personal data leave?
    by: {roles: [privacy_officer]}
    form:
      personal_data: {type: boolean}
      subjects: {type: integer, required: false}
    within: 1h
    on_timeout: [unanswered]
  - set: {incident.personal_data: "{{ steps.question.personal_data }}"}
    when: "{{ steps.question.personal_data is defined }}"
  - {note: "personal data: {{ incident.personal_data | default('?') }}"}
"""
    )
    gate = await run.waiting("question")
    assert gate["form"]["personal_data"]["type"] == "boolean"
    wrong = await run.decide("question", "dara", "answer", values={"personal_data": "yes"})
    assert (wrong.accepted, wrong.code) == (False, "bad_value")
    assert (await run.decide("question", "dara", "answer", values={"personal_data": True})).accepted
    assert (await run.ended())["status"] == "done"
    incident = stage.client.get_workflow_handle(f"incident/{run.incident}")
    facts = (await incident.query("status"))["facts"]
    assert facts["personal_data"]["value"] is True and facts["personal_data"]["by"] == "dara"


async def test_silence_escalates_and_ends_as_written(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
steps:
  - id: quiet
    ask: Anyone?
    by: {roles: [privacy_officer]}
    form: {x: {type: string}}
    within: 1s
    on_timeout: [{escalate: incident_commander, within: 1s}, {default: {x: nobody}}]
  - {id: after, action: lab.read, with: {value: "{{ steps.quiet.x }}"}}
"""
    )
    status = await run.ended()
    assert status["status"] == "done" and status_of(status, "after") == "done"
    kinds = run.kinds()
    assert kinds.count("gate.escalated") == 1
    pages = [notice for notice in stage.store.notices.of(run.incident) if notice["urgency"] == "page"]
    assert any("role:incident_commander" in notice["to"] for notice in pages)


async def test_a_human_step_ends_when_done_and_seen(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
steps:
  - id: block
    human: Block it in Setup
    owner: crm_owner
    verify: {action: lab.count, with: {name: seen}, until: "{{ result.count >= 3 }}", every: 1s}
    within: 1h
    on_timeout: [continue]
"""
    )
    assert (await run.decide("block", "amal", "done")).accepted
    status = await run.ended()
    assert status["status"] == "done"
    step = next(step for step in status["steps"] if step["path"] == "block")
    assert step["by"] == ["amal"] and step["verified"] is True


async def test_a_sub_playbook_is_a_frame_with_its_own_names(stage: Stage) -> None:
    from playbooks.loader import Library, load_text

    child, problems = load_text(
        "stanch: 1\nid: child\nversion: 1.0.0\ntitle: Child\ninputs:\n  word: {type: string}\n"
        'steps:\n  - {id: first, action: lab.read, with: {value: "{{ inputs.word }}"}}\n'
        "always:\n  - {id: last, action: lab.read, with: {value: done}}\n",
        "child.yaml",
    )
    assert child is not None, problems
    run = await stage.start(
        HEAD
        + """
steps:
  - {id: first, action: lab.read, with: {value: mine}}
  - id: sub
    for_each: [x, y]
    run: {playbook: child, with: {word: "{{ item }}"}}
""",
        library=Library([child]),
    )
    status = await run.ended()
    assert status["status"] == "done"
    assert [step["item"] for step in status["steps"] if step["path"] == "sub/first"] == ["0", "1"]
    assert [step["status"] for step in status["steps"] if step["path"] == "sub/last"] == ["done", "done"]


@pytest.mark.parametrize(
    ("step", "ends", "code"),
    [
        ("{stop: nothing to do}", "done", None),
        ('{require: "{{ 1 > 2 }}", message: one is not more than two}', "failed", "require_failed"),
        ("{id: bad, action: lab.fail}", "failed", "rejected"),
        ("{id: bad, action: lab.fail, on_failure: continue}", "done", None),
    ],
)
async def test_how_a_run_ends_and_always_runs(stage: Stage, step: str, ends: str, code: str | None) -> None:
    run = await stage.start(f"{HEAD}steps:\n  - {step}\nalways:\n  - {{id: duty, action: lab.read}}\n")
    status = await run.ended()
    assert (status["status"], status["code"]) == (ends, code)
    assert status_of(status, "duty") == "done"


async def test_a_failing_branch_never_cancels_its_sibling(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
steps:
  - parallel:
      bad:
        - {id: bad, action: lab.fail}
      good:
        - {id: slow, action: lab.read, with: {seconds: 0.3}}
        - {id: next, action: lab.read}
  - {id: never, action: lab.read}
"""
    )
    status = await run.ended()
    assert status["status"] == "failed"
    assert status_of(status, "next") == "done" and status_of(status, "never") == "pending"


async def test_an_authors_retry_tries_again(stage: Stage) -> None:
    run = await stage.start(
        HEAD
        + """
steps:
  - {id: flaky, action: lab.fail, with: {kind: permanent}, retry: {times: 2, every: 1s, backoff: 1}, on_failure: continue}
"""
    )
    await run.ended()
    tries = {entry["body"].get("attempt") for entry in run.entries() if entry["kind"] == "action.failed"}
    status = await run.status()
    assert status["warnings"] and len(tries) in (0, 3)


async def test_a_step_that_the_system_asked_to_come_back_later_says_until_when(stage: Stage) -> None:
    desk = stage.desk()
    run = await stage.start(HEAD + "steps:\n  - {id: read, action: lab.fail, with: {kind: limited}}\n")
    for _ in range(100):
        (step,) = (await desk.views.incident(run.incident))["steps"]
        if step["waiting_for"]:
            break
        await asyncio.sleep(0.1)
    found = re.fullmatch(
        r"the system's limit, until (\S+)Z \(try 2 comes then; the last answer: The lab's limit is used up\.\)",
        step["waiting_for"],
    )
    assert step["status"] == "running" and found is not None, step["waiting_for"]
    left = datetime.fromisoformat(found[1] + "+00:00") - datetime.now(UTC)
    assert timedelta(minutes=3) < left <= timedelta(minutes=4)
    await run.handle.terminate()
