"""Two thousand users at once: batches, positions in the heartbeat, and going on where a lost attempt stood."""

import json

import pytest

from playbooks.contract import TargetSet, Verb
from tests.systems.acme import INCIDENT, Acme, Bench

FREEZE, BATCH, COUNT = "salesforce.freeze_users", 200, 800


def crowd_of(count: int, acme: Acme, bench: Bench) -> TargetSet:
    """Users by reference."""
    rows = [{"id": user.id} for user in acme.users(count)]
    return bench.store.evidence.put_rows(INCIDENT, rows, name="users", source="test", actor="stanch")


@pytest.fixture
def crowd(acme, bench) -> TargetSet:
    """Four batches of users."""
    return crowd_of(COUNT, acme, bench)


def writes(acme: Acme) -> int:
    """Requests that changed users."""
    return len(acme.asked("/composite/sobjects", "PATCH"))


def reads(acme: Acme) -> int:
    """Queries."""
    return len(acme.asked("/query"))


def freezing(bench: Bench, crowd: TargetSet):
    """The call."""
    return bench.call(FREEZE, {"targets": crowd}, at_most=crowd.count)


async def test_two_thousand_are_frozen_in_batches_and_reported_each(acme, bench):
    crowd = crowd_of(2000, acme, bench)
    result = await bench.run(freezing(bench, crowd))
    assert (result.affected.count, result.verified, result.output) == (2000, True, {"count": 2000})
    assert writes(acme) == 2000 // BATCH
    assert len(set(acme.effects())) == len(acme.effects()) == 2000
    report = bench.rows_of(result.items.report.ref)
    assert len(report) == 2000 and {row["status"] for row in report} == {"done"}
    assert len(result.affected.sample) == 20
    assert len(result.model_dump_json()) < 4000, "ids travel by reference"


async def test_a_lost_attempt_is_taken_up_at_its_last_heartbeat(acme, bench, crowd):
    call = freezing(bench, crowd)
    acme.fault("drop_after_commit", method="PATCH", skip=2)
    assert (await bench.refused(call)).type == "Ambiguous"
    (position,) = bench.beats[-1]
    assert position["at"] == 2 * BATCH
    assert len(json.dumps(position)) < 200
    before = reads(acme)
    result = await bench.run(call, attempt=2, resume=position)
    assert (result.affected.count, result.items.done, result.verified) == (COUNT, COUNT, True)
    assert writes(acme) == COUNT // BATCH, "what the lost attempt had done was not sent again"
    assert len(set(acme.effects())) == len(acme.effects()) == COUNT
    resumed = reads(acme) - before

    # Without the heartbeat the same, only with more reading.
    for user in acme.org.users.values():
        user.frozen = False
    acme.record.changes.clear()
    other = bench.call(FREEZE, {"targets": crowd}, at_most=COUNT, step="other")
    acme.fault("drop_after_commit", method="PATCH", skip=2)
    await bench.refused(other)
    before = reads(acme)
    again = await bench.run(other, attempt=2)
    assert (again.affected.count, again.verified) == (COUNT, True)
    assert len(set(acme.effects())) == len(acme.effects()) == COUNT
    assert reads(acme) - before > resumed


async def test_a_worker_that_shuts_down_hands_over_between_two_batches(acme, bench, crowd):
    call, changed = freezing(bench, crowd), acme.org.changed

    def count_and_stop(*what) -> None:
        changed(*what)
        if len(acme.record.changes) == 2 * BATCH:
            bench.env.worker_shutdown()

    acme.org.changed = count_and_stop
    stopped = await bench.refused(call)
    assert (stopped.type, stopped.non_retryable) == ("Unavailable", False)
    assert len(acme.effects()) == 2 * BATCH
    acme.org.changed = changed
    result = await bench.run(call, attempt=2, resume=bench.beats[-1][0])
    assert (result.affected.count, result.verified) == (COUNT, True)
    assert (len(acme.effects()), writes(acme)) == (COUNT, COUNT // BATCH)


async def test_a_position_of_other_targets_is_not_believed(acme, bench, crowd):
    position = {"of": "0" * 16, "at": COUNT, "bad": [], "same": []}
    result = await bench.run(freezing(bench, crowd), resume=position)
    assert (result.affected.count, len(acme.effects())) == (COUNT, COUNT)


async def test_failures_before_the_loss_are_still_reported_after_it(acme, bench, crowd):
    users = list(acme.org.users.values())[1:]
    acme.org.locked[users[10].login_id] = 99
    acme.fault("drop_after_commit", method="PATCH", skip=5)
    call = freezing(bench, crowd)
    assert (await bench.refused(call)).type == "Ambiguous"
    (position,) = bench.beats[-1]
    assert position["bad"] == [[users[10].id, "failed", "unable_to_lock_row"]]
    result = await bench.run(call, attempt=2, resume=position)
    assert (result.items.done, result.items.failed, result.verified) == (COUNT - 1, 1, False)
    assert result.affected.count == len(acme.effects()) == COUNT - 1


async def test_all_are_let_back_in_batches_and_undo_resumes_too(acme, bench, crowd):
    applied = await bench.run(freezing(bench, crowd))
    changes = {"undo_args": applied.undo_args, "epoch": 1, "tries": 2, "at_most": COUNT}
    call = bench.call(FREEZE, {"targets": crowd}, verb=Verb.UNDO, **changes)
    acme.fault("drop_after_commit", method="PATCH", skip=2)
    assert (await bench.refused(call)).type == "Ambiguous"
    result = await bench.run(call, attempt=2, resume=bench.beats[-1][0])
    assert (result.affected.count, result.items.unknown, result.verified) == (COUNT, 0, True)
    assert len(acme.effects("user.unfrozen")) == COUNT
    assert not any(user.frozen for user in acme.org.users.values())


async def test_five_hundred_literals_are_the_most(acme, bench):
    ids = [user.id for user in acme.users(501)]
    refused = await bench.refused(bench.call(FREEZE, {"targets": ids}))
    assert refused.type == "InvalidParams"
    assert (await bench.run(bench.call(FREEZE, {"targets": ids[:500]}, step="other"))).affected.count == 500
