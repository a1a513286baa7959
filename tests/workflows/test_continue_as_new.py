"""Continue-as-new: the same entries as without, whatever was going on; nothing forgotten, nothing done twice."""

import asyncio
from collections import defaultdict

import pytest
from temporalio.api.enums.v1 import EventType

from tests.stage import Running, Stage
from workflows.messages import Thresholds

LOW = Thresholds(soft_events=50, hard_events=200)
DRAIN = Thresholds(soft_events=50, hard_events=50)
VOLATILE = {"at", "attempt", "tries", "digest", "nonce", "sig", "decided_at", "run", "plan", "key", "result_ref"}

BUSY = """
stanch: 1
id: busy
version: 1.0.0
title: Busy
steps:
  - {id: first, action: lab.list_things, with: {prefix: a}}
  - parallel:
      people:
        - id: go
          approve: [one]
          by: {roles: [crm_owner], count: 2}
          within: 1h
          on_timeout: [deny]
        - {id: one, action: lab.touch_checked, with: {name: x}}
      clock:
        - {id: pause, wait: {for: 2s}}
        - {id: after, action: lab.read, with: {value: "{{ steps.first.count }}"}}
      work:
        - {id: slow, action: lab.read, with: {seconds: 1.2}}
        - id: many
          for_each: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
          at_once: 2
          action: lab.read
          with: {value: "{{ item * 2 }}"}
  - {id: sum, action: lab.read, with: {value: "{{ steps.many.outputs | length }}"}}
  - {set: {incident.seen: "{{ steps.sum.value }}"}}
always:
  - {id: duty, action: lab.read}
"""


def meant(run: Running) -> dict[str, list]:
    """Entries per step: kind, place and body, without instants, attempts and what hangs on an incident's id."""
    found = defaultdict(list)
    for entry in run.entries():
        body = {name: value for name, value in entry["body"].items() if name not in VOLATILE}
        if entry["kind"] in ("action.outcome", "action.intent"):
            body.pop("permit", None)
            (body.get("result") or {}).pop("evidence", None)
        if entry["kind"] == "run.started":
            body.pop("digest", None)
        if entry["kind"].startswith(("incident.", "run.expected", "clock.", "fact.", "run.adopted", "evidence.")):
            continue
        # Items of a loop are branches beside each other: the order counts within each.
        place = f"{body.get('step')}[{body.get('item')}]"
        found[place].append((entry["kind"], repr(sorted(body.items(), key=str))))
    return dict(found)


async def executions(run: Running) -> int:
    """How many executions the run took."""
    first, count = run.handle, 1
    current = (await first.describe()).run_id
    while True:
        handle = run.stage.client.get_workflow_handle(run.run, run_id=current)
        previous = None
        async for event in handle.fetch_history_events():
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                previous = event.workflow_execution_started_event_attributes.continued_execution_run_id
            break
        if not previous:
            return count
        current, count = previous, count + 1


async def played(stage: Stage, thresholds: Thresholds) -> Running:
    """The busy run with the same people deciding the same way."""
    run = await stage.start(BUSY, thresholds=thresholds)
    await run.decide("go", "amal")
    await asyncio.sleep(1)
    await run.decide("go", "bo")
    status = await run.ended(60)
    assert status["status"] == "done", status
    return run


@pytest.mark.parametrize("thresholds", [LOW, DRAIN], ids=["at a quiet moment", "drained"])
async def test_the_same_entries_with_an_approval_a_wait_and_a_branch_in_flight(
    stage: Stage, thresholds: Thresholds
) -> None:
    plain = await played(stage, Thresholds())
    stage.world.change("untouch", "x")
    split = await played(stage, thresholds)
    assert await executions(plain) == 1 and await executions(split) >= 3
    assert meant(split) == meant(plain)


async def test_sixty_steps_of_sixty_kilobytes(stage: Stage) -> None:
    steps = [f"  - {{id: s{number}, action: lab.big, with: {{bytes: 60000}}}}" for number in range(60)]
    steps.append(
        '  - {id: end, action: lab.read, with: {value: "{{ steps.s0.text | length + steps.s59.text | length }}"}}'
    )
    text = "stanch: 1\nid: big\nversion: 1.0.0\ntitle: Big\nsteps:\n" + "\n".join(steps) + "\n"
    run = await stage.start(text, thresholds=LOW)
    status = await run.ended(90)
    assert status["status"] == "done", status["reason"]
    ends = [entry for entry in run.entries() if entry["kind"] == "action.outcome" and entry["body"]["step"] == "end"]
    kept = ends[0]["body"]
    output = kept["result"]["output"] or stage.store.evidence.read(kept["result_ref"]).decode()
    assert "120000" in str(output)


async def test_cancel_close_to_continue_as_new_is_never_forgotten(stage: Stage) -> None:
    text = (
        "stanch: 1\nid: many\nversion: 1.0.0\ntitle: Many\nsteps:\n"
        "  - {id: many, for_each: ["
        + ", ".join(str(number) for number in range(60))
        + "], at_once: 1, action: lab.noop}\n"
        "always:\n  - {id: duty, action: lab.read}\n"
    )
    for delay in (0.2, 0.35, 0.5, 0.65):
        run = await stage.start(text, thresholds=LOW)
        await asyncio.sleep(delay)
        await run.handle.cancel()
        status = await run.ended()
        assert status["status"] == "cancelled"
        assert next(step["status"] for step in status["steps"] if step["path"] == "duty") == "done"


async def test_an_output_too_large_to_read_fails_with_words(stage: Stage) -> None:
    names = [f"s{number}" for number in range(8)]
    steps = [f"  - {{id: {name}, action: lab.big, with: {{bytes: 60000}}}}" for name in names]
    joined = " + ".join(f"(steps.{name}.text | length)" for name in names)
    steps.append(f'  - {{id: end, action: lab.read, with: {{value: "{{{{ {joined} }}}}"}}}}')
    run = await stage.start("stanch: 1\nid: big\nversion: 1.0.0\ntitle: Big\nsteps:\n" + "\n".join(steps) + "\n")
    status = await run.ended(60)
    assert status["status"] in ("done", "failed")
    if status["status"] == "failed":
        assert status["code"] == "output_too_large"
