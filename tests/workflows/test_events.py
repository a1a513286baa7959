"""Waiting for an event: taken once, early or late, by whoever waits first; refused where nobody waits for it."""

import asyncio

from tests.stage import Running, Stage, shown
from tests.workflows.test_continue_as_new import LOW, executions
from tests.workflows.test_passes import output_of, statuses
from workflows.messages import EventGiven, Receipt, Thresholds

HEAD = "stanch: 1\nid: events\nversion: 1.0.0\ntitle: Events\nsteps:\n"
WAITS = """
  - {id: vendor, wait: {event: confirmed}, within: WITHIN, on_timeout: [continue]}
  - {id: end, action: lab.read, with: {value: "{{ steps.vendor.answer | default('nothing') }}"}}
"""


async def tell(run: Running, name: str, nonce: str, person: str = "amal", /, **body: object) -> Receipt:
    """Deliver an event."""
    given = EventGiven(name=name, body=body, person=person, nonce=nonce)
    return await run.stage.client.get_workflow_handle(run.run).execute_update("event", given, result_type=Receipt)


async def waits(run: Running, step: str) -> None:
    """Until the step waits for its event."""
    await run.until(lambda status: statuses(status)[step] == "waiting")


async def test_an_event_ends_the_wait_with_its_body(stage: Stage) -> None:
    run = await stage.start(HEAD + WAITS.replace("WITHIN", "1h"))
    await waits(run, "vendor")
    step = next(step for step in (await run.status())["steps"] if step["path"] == "vendor")
    assert step["waiting_for"] == "event confirmed"
    refused = await tell(run, "confirmd", "1", answer="no")
    assert (refused.accepted, refused.code) == (False, "unknown_event") and "confirmed" in refused.message
    assert (await tell(run, "confirmed", "2", answer="{{ steps }}")).accepted
    status = await run.ended()
    assert status["status"] == "done" and output_of(run, "end") == "{{ steps }}"
    received = [entry for entry in run.entries() if entry["kind"] == "event.received"]
    assert [(entry["actor"], entry["body"]["event"], entry["body"]["fields"]) for entry in received] == [
        ("amal", "confirmed", ["answer"])
    ]
    assert "{{" not in str(received[0]["body"])
    assert next(step["by"] for step in status["steps"] if step["path"] == "vendor") == ["amal"]


async def test_an_early_event_is_kept_and_counts_once(stage: Stage) -> None:
    twice = (
        WAITS.replace("WITHIN", "3s")
        + "  - {id: again, wait: {event: confirmed}, within: 1s, on_timeout: [continue]}\n"
    )
    run = await stage.start(HEAD + "  - {id: slow, action: lab.read, with: {seconds: 1}}\n" + twice)
    for _ in range(2):
        assert (await tell(run, "confirmed", "one", answer="yes")).accepted
    status = await run.ended()
    assert (output_of(run, "end"), statuses(status)["again"]) == ("yes", "failed"), shown(status)
    assert run.kinds().count("event.received") == 1


async def test_silence_leads_where_the_playbook_says(stage: Stage) -> None:
    run = await stage.start(HEAD + WAITS.replace("WITHIN", "1s"))
    status = await run.ended()
    assert (status["status"], output_of(run, "end")) == ("done", "nothing")
    assert next(step["code"] for step in status["steps"] if step["path"] == "vendor") == "timeout"
    run = await stage.start(HEAD + WAITS.replace("WITHIN", "1s").replace("[continue]", "[stop]"))
    assert (await run.ended())["status"] == "failed"


async def test_two_steps_that_wait_for_one_name_take_one_each(stage: Stage) -> None:
    steps = """
  - parallel:
      a: [{id: a, wait: {event: confirmed}, within: 1h, on_timeout: [stop]}]
      b: [{id: b, wait: {event: confirmed}, within: 1h, on_timeout: [stop]}]
  - {id: end, action: lab.read, with: {value: "{{ [steps.a.n | default(0), steps.b.n | default(0)] | sort }}"}}
"""
    run = await stage.start(HEAD + steps)
    await waits(run, "a")
    await waits(run, "b")
    await tell(run, "confirmed", "1", n=1)
    await run.until(lambda status: sorted((statuses(status)["a"], statuses(status)["b"])) == ["done", "waiting"])
    await tell(run, "confirmed", "2", n=2)
    await run.ended()
    assert output_of(run, "end") == [1, 2]


async def test_whoever_sent_it_does_not_approve_what_it_leads_to(stage: Stage) -> None:
    steps = """
  - {id: vendor, wait: {event: confirmed}, within: 1h, on_timeout: [stop]}
  - {id: go, approve: [touch], by: {roles: [crm_owner]}, within: 1h, on_timeout: [deny]}
  - {id: touch, action: lab.touch, with: {name: "{{ steps.vendor.name | default('none') }}"}}
"""
    run = await stage.start(HEAD + steps)
    await tell(run, "confirmed", "1", "amal", name="x")
    assert (await run.decide("go", "amal")).code == "requester"
    assert (await run.decide("go", "bo")).accepted
    assert (await run.ended())["status"] == "done"


async def test_too_much_is_refused(stage: Stage) -> None:
    run = await stage.start(HEAD + "  - {wait: {for: 1h}}\n" + WAITS.replace("WITHIN", "1h"))
    assert (await tell(run, "confirmed", "large", text="x" * 17_000)).code == "too_large"
    codes = [(await tell(run, "confirmed", f"{number}", text="x" * 15_000)).code for number in range(18)]
    assert codes == ["ok"] * 17 + ["too_many_events"]
    await run.handle.cancel()
    await run.ended()


async def test_an_event_outlives_the_execution_that_took_it_in(stage: Stage) -> None:
    many = f"  - {{id: many, for_each: {list(range(30))}, at_once: 1, action: lab.noop}}\n"
    run = await stage.start(HEAD + many + WAITS.replace("WITHIN", "1m"), thresholds=LOW)
    await tell(run, "confirmed", "early", answer="yes")
    status = await run.ended()
    assert await executions(run) >= 2 and output_of(run, "end") == "yes", shown(status)
    waited = await stage.start(
        HEAD + WAITS.replace("WITHIN", "1h"), thresholds=Thresholds(soft_events=8, hard_events=200)
    )
    await waits(waited, "vendor")
    await asyncio.sleep(1)
    await tell(waited, "confirmed", "late", answer="late")
    await waited.ended()
    assert output_of(waited, "end") == "late"
