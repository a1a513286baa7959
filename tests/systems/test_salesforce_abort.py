"""Aborting bulk jobs: only what still runs, too late is said, an owner who deletes the job does not matter."""

from playbooks.contract import TargetSet
from tests.systems.acme import Bench
from tests.systems.test_salesforce_lists import job

ABORT = "salesforce.abort_bulk_jobs"


async def listed(bench: Bench, **params) -> TargetSet:
    """Jobs by reference."""
    result = await bench.apply("salesforce.list_bulk_jobs", **params)
    return TargetSet.model_validate(result.output["targets"])


async def test_running_jobs_are_aborted_once(acme, bench):
    (user,) = acme.users(1)
    query, ingest, waiting = job(acme, user), job(acme, user, "Open", kind="ingest"), job(acme, user, "UploadComplete")
    targets = await listed(bench, states=["InProgress", "UploadComplete", "Open"])
    preview = await bench.preview(ABORT, targets=targets)
    assert preview.count == 3
    assert preview.impact == ("3 query of Case stop",)
    assert not preview.reversible and preview.irreversible_because
    assert acme.effects() == []
    result = await bench.apply(ABORT, targets=targets)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 3)
    assert result.output == {"count": 3}
    assert {each.state for each in (query, ingest, waiting)} == {"Aborted"}
    assert sorted(acme.effects("bulk_job.aborted")) == sorted([query.id, ingest.id, waiting.id])


async def test_a_literal_id_is_found_in_either_resource(acme, bench):
    (user,) = acme.users(1)
    ingest = job(acme, user, kind="ingest")
    result = await bench.apply(ABORT, targets=[ingest.id[:15]])
    assert (result.affected.count, ingest.state) == (1, "Aborted")


async def test_finished_and_deleted_jobs_are_left_out_and_said(acme, bench):
    (user,) = acme.users(1)
    late, gone, running = job(acme, user, "JobComplete"), job(acme, user), job(acme, user)
    targets = await listed(bench)
    del acme.org.jobs[gone.id]
    preview = await bench.preview(ABORT, targets=targets)
    assert (preview.count, preview.sample) == (1, (running.id,))
    assert set(preview.excluded) == {
        f"{late.id}: too late, it is JobComplete",
        f"{gone.id}: deleted by its owner; its traces are in the event log",
    }
    result = await bench.apply(ABORT, targets=targets)
    assert (result.affected.count, result.verified) == (1, True)
    assert result.warnings == ("targets were left out; the preview says which and why",)
    assert late.state == "JobComplete"


async def test_a_job_that_ends_just_before_it_is_aborted_is_too_late(acme, bench):
    (user,) = acme.users(1)
    one, two = job(acme, user), job(acme, user)

    def end_two() -> None:
        two.state = "JobComplete"

    bench.before_change = end_two
    result = await bench.apply(ABORT, targets=[one.id, two.id])
    assert (result.items.done, result.items.failed, result.verified) == (1, 1, False)
    assert result.items.failures == (f"{two.id}: too_late",)


async def test_a_job_that_somebody_aborts_first_is_not_counted_as_ours(acme, bench):
    (user,) = acme.users(1)
    one, two, three = job(acme, user), job(acme, user), job(acme, user, "Aborted")

    def abort_two() -> None:
        two.state = "Aborted"

    bench.before_change = abort_two
    result = await bench.apply(ABORT, targets=[one.id, two.id, three.id])
    assert (result.affected.count, result.items.already, result.verified) == (1, 2, True)
    assert acme.effects() == [one.id]


async def test_a_job_deleted_under_our_hands_fails_for_itself(acme, bench):
    (user,) = acme.users(1)
    one, two = job(acme, user), job(acme, user)
    bench.before_change = lambda: acme.org.jobs.pop(one.id)
    result = await bench.apply(ABORT, targets=[one.id, two.id])
    assert (result.items.done, result.items.failures) == (1, (f"{one.id}: deleted",))
    assert result.verified is False


async def test_an_attacker_who_deletes_the_aborted_job_does_not_undo_the_verification(acme, bench):
    (user,) = acme.users(1)
    running = job(acme, user)
    peer, answer = acme.peer, acme.org.changed

    def changed(who: str, kind: str, target: str, *rest) -> None:
        answer(who, kind, target, *rest)
        acme.org.jobs.pop(target, None)

    acme.org.changed = changed
    result = await bench.apply(ABORT, targets=[running.id])
    assert peer.org.jobs == {}
    assert (result.affected.count, result.verified) == (1, True)


async def test_a_second_step_changes_nothing(acme, bench):
    (user,) = acme.users(1)
    running = job(acme, user)
    await bench.apply(ABORT, targets=[running.id])
    again = await bench.run(bench.call(ABORT, {"targets": [running.id]}, step="other"))
    assert (again.changed, again.verified, again.items.already, again.output) == (False, True, 1, {"count": 1})
    assert acme.effects() == [running.id]


async def test_our_own_job_is_never_aborted(acme, bench):
    ours, theirs = job(acme, acme.me), job(acme, acme.users(1)[0])
    result = await bench.apply(ABORT, targets=[ours.id, theirs.id])
    assert (result.affected.count, ours.state) == (1, "InProgress")
    preview = await bench.preview(ABORT, targets=[ours.id])
    assert preview.excluded == (f"{ours.id}: Stanch's own integration",)


async def test_a_protected_users_job_is_shown_as_protected(acme, bench):
    (user,) = acme.users(1)
    running = job(acme, user)
    bench.protected = (user.id,)
    assert (await bench.preview(ABORT, targets=[running.id])).protected == (running.id,)


async def test_without_the_permission_nothing_is_aborted(acme, bench):
    (user,) = acme.users(1)
    jobs = [job(acme, user) for _ in range(3)]
    call = bench.call(ABORT, {"targets": [each.id for each in jobs]})

    def lose_the_right() -> None:
        acme.me.permissions -= {"ManageDataIntegrations"}

    bench.before_change = lose_the_right
    refused = await bench.refused(call)
    assert (refused.type, refused.non_retryable) == ("Forbidden", True)
    assert acme.effects() == []
    assert len(acme.asked("/jobs/query/", "PATCH")) == 1, "it will be no better with the next one"


async def test_one_refusal_among_successes_reports_the_rest_as_not_done(acme, bench):
    (user,) = acme.users(1)
    jobs = [job(acme, user) for _ in range(3)]
    acme.fault("status", method="PATCH", skip=1, status=403, code="INSUFFICIENT_ACCESS_OR_READONLY", times=0)
    result = await bench.apply(ABORT, targets=[each.id for each in jobs])
    assert (result.items.done, result.items.failed, result.affected.count) == (1, 2, 1)
    assert result.verified is False
    assert acme.effects() == [jobs[0].id]
