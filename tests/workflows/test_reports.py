"""What a run tells its incident: the last word arrives, the first steps do not wait for it, nothing is said twice."""

from temporalio.api.enums.v1 import EventType

from tests.stage import Stage

QUICK = """
stanch: 1
id: quick
version: 1.0.0
title: Three phases in no time
steps:
  - {id: first, phase: triage, action: lab.read}
  - {id: second, phase: contain, action: lab.read}
  - {set: {incident.name: x}}
  - {id: third, phase: eradicate, action: lab.read}
"""
SIGNAL = EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED


async def test_a_report_that_is_not_on_its_way_is_overtaken_by_a_newer_one(stage: Stage) -> None:
    run = await stage.start(QUICK)
    assert (await run.ended())["status"] == "done"
    known = await stage.client.get_workflow_handle(f"incident/{run.incident}").query("status")
    assert known["runs"][run.run] == {"status": "done", "phase": "eradicate"}
    assert known["facts"]["name"]["value"] == "x"
    kinds = [event.event_type for event in await _events(stage, run.run)]
    # All that came before the fact in one, the fact, all that came after it in one.
    assert kinds.count(SIGNAL) <= 3


async def test_the_first_action_goes_before_the_first_report(stage: Stage) -> None:
    run = await stage.start(QUICK.replace("lab.read}", "lab.read, with: {seconds: 1}}", 1))
    await run.ended()
    kinds = [event.event_type for event in await _events(stage, run.run)]
    assert kinds.index(SCHEDULED) < kinds.index(SIGNAL)
    # It came while the action was at work, so that the incident need not start the run itself.
    assert kinds.index(SIGNAL) < kinds.index(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)


async def _events(stage: Stage, name: str) -> list:
    return list((await stage.client.get_workflow_handle(name).fetch_history()).events)
