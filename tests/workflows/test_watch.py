"""Watches: a look keeps nothing but what it finds, a finding opens one incident, schedules follow the settings."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowFailureError

from tests.conftest import WorkerEnv
from worker.codec import KeyRing
from worker.temporal import connect
from worker.watches.schedules import align, schedule_id
from workflows.watch import Looked, Watch, WatchInput

DAY = 24 * 3600
FOUND = {"finds": "result.count > 0", "params": {"prefix": "t"}}


def watch(action: str = "lab.list_things", **changes: Any) -> WatchInput:
    """A watch of the lab; by default it finds things whose names begin with t."""
    given = {
        "name": "things",
        "action": action,
        "queue": "stanch-lab",
        "seconds": 20,
        "kind": "key.overdue",
        "severity": 2,
        "title": "Things that should not be there",
        "route": {"rule": "key-overdue", "playbook": "key-overdue", "inputs": {"systems": ["aws"]}},
        "effect": True,
        **FOUND,
        **changes,
    }
    return WatchInput(**given)


@pytest_asyncio.fixture(loop_scope="session")
async def env(worker_env: WorkerEnv) -> AsyncIterator[WorkerEnv]:
    """An installation at work."""
    async with worker_env.workers():
        yield worker_env


async def look(env: WorkerEnv, given: WatchInput, id_: str = "look") -> Looked:
    """One look, begun as a schedule begins it."""
    return await env.client.execute_workflow(Watch.run, given, id=id_, task_queue=env.prefix)


async def refused(env: WorkerEnv, given: WatchInput) -> str:
    """Why a look failed."""
    with pytest.raises(WorkflowFailureError) as failed:
        await look(env, given)
    cause: BaseException = failed.value
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return str(cause)


async def test_a_look_that_finds_nothing_leaves_only_what_it_says(env: WorkerEnv) -> None:
    looked = await look(env, watch())
    assert looked == Looked(found=False, summary=looked.summary) and looked.summary
    assert env.store.incidents.list() == [] and env.store.alerts.pending_starts() == []


async def test_a_finding_opens_one_incident_until_that_is_closed(env: WorkerEnv) -> None:
    env.world.add("t1", "t2")
    first, again = await look(env, watch()), await look(env, watch(), "again")
    assert first.found and first.incident == again.incident
    (incident,) = env.store.incidents.list()
    assert incident["incident"] == first.incident and incident["kind"] == "key.overdue" and incident["severity"] == 2
    assert incident["title"] == f"Things that should not be there: {first.summary}"
    assert env.store.incidents.alerts(incident["incident"])["count"] == 2
    (start,) = env.store.alerts.pending_starts()
    assert (start["playbook"], start["inputs"]) == ("key-overdue", {"systems": ["aws"]})
    # Others that find something are another happening.
    other = await look(env, watch(name="others"), "other")
    assert other.incident != first.incident
    env.store.incidents.save_snapshot(first.incident, first.incident, {"status": "closed"}, None, 1)
    assert (await look(env, watch(), "later")).incident not in (first.incident, other.incident)


async def test_what_is_found_after_the_run_has_ended_is_told_anew_though_nobody_closed(env: WorkerEnv) -> None:
    env.world.add("t1")
    first = await look(env, watch())
    run = f"run/{first.incident}/key-overdue/1"
    env.store.incidents.save_run(run, first.incident, {})
    env.store.incidents.save_snapshot(run, first.incident, {"status": "waiting"}, None, 1)
    assert (await look(env, watch(), "meanwhile")).incident == first.incident
    env.store.incidents.save_snapshot(run, first.incident, {"status": "done"}, None, 2)
    second = await look(env, watch(), "after")
    assert second.incident != first.incident
    assert (await look(env, watch(), "and again")).incident == second.incident


async def test_a_finding_waits_for_a_store_that_is_away_and_the_system_is_not_read_anew(env: WorkerEnv) -> None:
    given = watch("lab.count", params={}, finds="result.count > 0")
    with sqlite3.connect(env.settings.home / "stanch.db", isolation_level=None) as database:
        database.execute("ALTER TABLE raw_alerts RENAME TO away")
        looking = asyncio.create_task(look(env, given))
        await asyncio.sleep(4)
        assert not looking.done()
        database.execute("ALTER TABLE away RENAME TO raw_alerts")
    looked = await looking
    assert looked.found and env.store.incidents.get(looked.incident) is not None
    assert env.world.count("calls") == 2, "it was asked once, and this is the second time"


async def test_an_input_that_says_since_when_is_filled_at_the_finding(env: WorkerEnv) -> None:
    env.world.add("t1")
    route = {"rule": "model-triage", "playbook": "model-triage", "inputs": {"model": "m"}}
    await look(env, watch(route=route, since=("since",)))
    (start,) = env.store.alerts.pending_starts()
    since = datetime.fromisoformat(start["inputs"]["since"])
    assert start["inputs"]["model"] == "m" and timedelta(hours=23) < datetime.now(UTC) - since < timedelta(hours=25)


async def test_the_incident_keeps_what_was_found_and_no_other_word(env: WorkerEnv) -> None:
    env.world.add("t1", "t2", "other")
    looked = await look(env, watch())
    journal = env.store.journal.entries(looked.incident)
    admitted = next(entry["body"] for entry in journal if entry["kind"] == "alert.admitted")
    kept = json.loads(env.store.evidence.read(admitted["raw"]))
    assert [row["id"] for row in kept["rows"]["targets"]] == ["t1", "t2"]
    assert (kept["watch"], kept["action"], kept["params"]) == ("things", "lab.list_things", {"prefix": "t"})
    assert "t1" not in json.dumps(journal)


async def test_severity_one_opens_an_incident_that_waits_for_people(env: WorkerEnv) -> None:
    env.world.add("t1")
    looked = await look(env, watch(severity=1, route=None))
    (start,) = env.store.alerts.pending_starts()
    assert start["incident"] == looked.incident and "playbook" not in start


async def test_what_does_not_only_read_is_never_done(env: WorkerEnv) -> None:
    said = await refused(env, watch("lab.touch", params={"name": "x"}, finds="result.count > 0"))
    assert "lab.touch is no action here that only reads" in said
    assert env.world.effects() == [] and env.store.incidents.list() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"action": "lab.fail", "params": {"kind": "permanent"}}, "The lab refuses."),
        ({"action": "lab.fail", "params": {"kind": "broken"}}, "lab.fail broke off (KeyError)"),
        ({"params": {"prefix": ["t"]}}, "The parameters do not fit"),
        ({"finds": "result.missing > 0"}, "missing is not set"),
    ],
)
async def test_a_look_that_cannot_see_fails_with_the_reason(env: WorkerEnv, changes: Any, reason: str) -> None:
    said = await refused(env, watch(**changes))
    assert reason in said and "hunter2" not in said
    assert env.store.incidents.list() == []


# Schedules


async def actions(client: Client, name: str) -> int:
    """How often a schedule began a look."""
    described = await client.get_schedule_handle(schedule_id("stanch", name)).describe()
    return described.info.num_actions


async def schedules(client: Client) -> set[str]:
    """The ids that the server lists."""
    return {known.id async for known in await client.list_schedules()}


async def until(ready: Callable[[], Any]) -> None:
    """Wait for what the server comes to in its own time."""
    for _ in range(200):
        if await ready():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not reached")


async def test_schedules_follow_the_settings(env: WorkerEnv) -> None:
    client = env.client

    async def follow(**wanted: WatchInput) -> None:
        await align(client, "stanch", wanted, dict.fromkeys(wanted, DAY))

    async def listed(*names: str) -> None:
        async def same() -> bool:
            return await schedules(client) == {schedule_id("stanch", name) for name in names}

        await until(same)

    async def began(name: str, count: int) -> None:
        async def so_often() -> bool:
            return await actions(client, name) == count

        await until(so_often)

    env.world.add("t1")
    await follow(one=watch(name="one"), two=watch(name="two"))
    await began("one", 1)
    await until(lambda: asyncio.to_thread(lambda: len(env.store.incidents.list()) == 2))
    await listed("one", "two")
    # The same again is nothing new; what changed is looked at anew; what is gone looks no more.
    await follow(one=watch(name="one"), two=watch(name="two", severity=3))
    await began("two", 2)
    assert await actions(client, "one") == 1
    await client.get_schedule_handle(schedule_id("stanch", "one")).pause(note="keys are being moved")
    await follow(one=watch(name="one", severity=4))
    await listed("one")
    described = await client.get_schedule_handle(schedule_id("stanch", "one")).describe()
    assert described.schedule.state.paused and described.info.num_actions == 1
    assert described.schedule.state.note == "keys are being moved"
    # Under a new payload key it is written anew, so that the old one can go.
    before, ring = described.schedule.action.id, KeyRing.fresh()
    other = await connect(env.settings, ring, address=env.server.address, namespace=client.namespace)
    await align(other, "stanch", {"one": watch(name="one", severity=4)}, {"one": DAY}, ring.current)
    described = await client.get_schedule_handle(schedule_id("stanch", "one")).describe()
    assert described.schedule.action.id != before
    # Those of an exercise on the same server are its own.
    await align(client, "stanch-exercise", {}, {})
    await listed("one")
