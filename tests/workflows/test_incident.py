"""The incident: adopts a run that nobody started, merges facts by trust, keeps clocks, closes only when nothing is owed."""

import asyncio

from tests.stage import Stage
from workflows.messages import AlertsAttached, Attach, CloseRequest, FactChange, Receipt

PLAIN = "stanch: 1\nid: plain\nversion: 1.0.0\ntitle: Plain\nsteps:\n  - {id: one, action: lab.read}\n"


async def incident_until(stage: Stage, incident: str, ready, seconds: float = 60) -> dict:
    """The first status of an incident for which ``ready`` holds."""
    handle = stage.client.get_workflow_handle(f"incident/{incident}")
    for _ in range(int(seconds / 0.05)):
        status = await handle.query("status")
        if ready(status):
            return status
        await asyncio.sleep(0.05)
    raise AssertionError(status)


async def test_a_run_that_the_desk_could_not_start_is_started_by_its_incident(stage: Stage) -> None:
    run = await stage.start(PLAIN, incident_starts=False)
    await incident_until(stage, run.incident, lambda status: status["runs"][run.run]["status"] == "done")
    assert (await run.status())["status"] == "done"
    adopted = [entry["body"] for entry in run.entries() if entry["kind"] == "run.adopted"]
    assert adopted == [{"run": run.run, "started": True}]


async def test_what_a_person_said_is_not_overwritten_by_an_alert(stage: Stage) -> None:
    run = await stage.start(PLAIN)
    handle = stage.client.get_workflow_handle(f"incident/{run.incident}")
    change = FactChange(fact="personal_data", value=True, by="dara", nonce="n1")
    first = await handle.execute_update("set_fact", change, result_type=Receipt)
    again = await handle.execute_update("set_fact", change, result_type=Receipt)
    assert first == again and first.accepted
    await handle.signal(
        "alerts_attached",
        AlertsAttached(count=7, facts=(FactChange(fact="personal_data", value=False, trust="alert"),)),
    )
    status = await incident_until(stage, run.incident, lambda status: status["alerts"] == 7)
    assert status["facts"]["personal_data"]["value"] is True
    await run.ended()


async def test_clocks_run_and_hold_the_incident_open_until_each_is_settled(stage: Stage) -> None:
    run = await stage.start(PLAIN)
    await run.ended()
    handle = stage.client.get_workflow_handle(f"incident/{run.incident}")
    status = await incident_until(
        stage, run.incident, lambda status: status["clocks"] and status["runs"][run.run]["status"] == "done"
    )
    refused = await handle.execute_update("close", CloseRequest(person="cleo"), result_type=Receipt)
    assert (refused.accepted, refused.code) == (False, "clock_open")
    for number, clock in enumerate(clock for clock in status["clocks"] if clock["open"]):
        change = {"clock": clock["id"], "verb": "dismiss", "person": "dara", "reason": "a test", "nonce": f"c{number}"}
        assert (await handle.execute_update("clock", change, result_type=Receipt)).accepted
    await incident_until(stage, run.incident, lambda status: not any(clock["open"] for clock in status["clocks"]))
    closed = await handle.execute_update("close", CloseRequest(person="cleo", reason="drill"), result_type=Receipt)
    assert closed.accepted, closed
    assert await asyncio.wait_for(handle.result(), 10) == "closed"
    assert (await stage.client.get_workflow_handle(f"incident/{run.incident}").query("status"))["status"] == "closed"


async def test_attaching_twice_changes_nothing(stage: Stage) -> None:
    run = await stage.start(PLAIN)
    handle = stage.client.get_workflow_handle(f"incident/{run.incident}")
    for _ in range(2):
        assert (await handle.execute_update("attach", Attach(run=run.run, count=3), result_type=Receipt)).accepted
    status = await handle.query("status")
    assert list(status["runs"]) == [run.run] and status["alerts"] == 3
    await run.ended()
