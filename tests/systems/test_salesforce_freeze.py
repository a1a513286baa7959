"""Freezing users: what is shown is what is done, once; what was so before, is ours, or is gone stays as it is."""

from playbooks.contract import TargetSet, Verb
from tests.systems.acme import APP, Acme, Bench

FREEZE = "salesforce.freeze_users"


def frozen(acme: Acme) -> set[str]:
    """Ids of frozen users."""
    return {user.id for user in acme.org.users.values() if user.frozen}


async def undone(bench: Bench, result, *, attempt: int = 1, **params):
    """The undo of a freeze, and its preview."""
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    preview = await bench.run(bench.call(FREEZE, params, verb=Verb.PREVIEW, **changes))
    call = bench.call(FREEZE, params, verb=Verb.UNDO, **changes)
    return preview, await bench.run(call, attempt=attempt)


async def test_the_preview_shows_what_apply_does(acme, bench):
    one, two, three, vip = acme.users(4)
    three.frozen = True
    bench.protected = (vip.username,)
    targets = [one.id, two.username, three.id, vip.id, acme.me.id, "nobody@acme.example"]
    preview = await bench.preview(FREEZE, targets=targets)
    assert (preview.count, preview.already) == (3, 1)
    assert set(preview.sample) == {one.id, two.id, vip.id}
    assert preview.protected == (vip.id,)
    assert preview.reversible
    assert preview.impact[0].startswith("3 users cannot sign in")
    assert set(preview.excluded) == {
        f"{acme.me.id}: Stanch's own integration",
        "nobody@acme.example: no user of this name in this org",
    }
    assert acme.effects() == [], "a preview changes nothing"

    result = await bench.apply(FREEZE, targets=targets)
    assert (result.changed, result.verified) == (True, True)
    assert set(acme.effects("user.frozen")) == set(preview.sample)
    assert result.affected.count == len(acme.effects()) == 3
    assert (result.items.done, result.items.already, result.items.failed) == (3, 1, 0)
    assert result.output == {"count": 4}
    assert result.summary == "3 users frozen, 1 already"
    assert result.warnings == ("targets were left out; the preview says which and why",)
    assert not acme.me.frozen


async def test_a_second_step_changes_nothing(acme, bench):
    users = acme.users(3)
    await bench.apply(FREEZE, targets=[user.id for user in users])
    again = await bench.run(bench.call(FREEZE, {"targets": [user.id for user in users]}, step="other"))
    assert (again.changed, again.verified, again.affected.count) == (False, True, 0)
    assert (again.items.already, again.output) == (3, {"count": 3})
    assert again.undo_args is None
    assert len(acme.effects()) == 3


async def test_the_users_of_a_list_are_taken_by_reference(acme, bench):
    users = acme.users(3)
    acme.grants(users, each=2)
    listed = await bench.apply("salesforce.list_oauth_tokens", app=APP)
    result = await bench.apply(FREEZE, targets=TargetSet.model_validate(listed.output["users"]))
    assert result.affected.count == 3
    assert frozen(acme) == {user.id for user in users}


async def test_an_empty_set_is_nothing_to_do(acme, bench):
    nobody = (await bench.apply("salesforce.list_oauth_tokens", app=APP)).output["users"]
    for step, targets in (("a", TargetSet.model_validate(nobody)), ("b", [])):
        result = await bench.run(bench.call(FREEZE, {"targets": targets}, step=step))
        assert (result.changed, result.verified, result.output) == (False, True, {"count": 0})
        assert result.warnings == ()
    assert acme.effects() == []


async def test_an_id_that_is_not_in_the_org_is_left_out_and_said(acme, bench):
    result = await bench.apply(FREEZE, targets=["005000000000001AAA"])
    assert (result.changed, result.output) == (False, {"count": 0})
    assert result.warnings


async def test_one_user_given_in_three_ways_is_one_target(acme, bench):
    (user,) = acme.users(1)
    result = await bench.apply(FREEZE, targets=[user.id, user.id[:15], user.username])
    assert (result.affected.count, acme.effects()) == (1, [user.id])


async def test_freezing_goes_to_the_login_not_to_the_user(acme, bench):
    (user,) = acme.users(1)
    await bench.apply(FREEZE, targets=[user.id])
    written = [asked for asked in acme.asked("/composite/sobjects", "PATCH")]
    assert [asked["status"] for asked in written] == [200]
    assert user.frozen and user.active


async def test_a_row_that_is_locked_for_a_moment_is_tried_again(acme, bench):
    users = acme.users(3)
    acme.org.locked[users[1].login_id] = 2
    result = await bench.apply(FREEZE, targets=[user.id for user in users])
    assert (result.affected.count, result.items.failed, result.verified) == (3, 0, True)
    assert sorted(acme.effects()) == sorted(user.id for user in users), "each once"


async def test_rows_that_fail_are_reported_each_and_the_rest_is_done(acme, bench):
    users = acme.users(4)
    acme.org.locked[users[1].login_id] = 99
    targets = [user.id for user in users]
    result = await bench.apply(FREEZE, targets=targets)
    assert (result.changed, result.verified) == (True, False)
    assert (result.items.done, result.items.failed) == (3, 1)
    assert result.items.failures == (f"{users[1].id}: unable_to_lock_row",)
    report = {row["id"]: row["status"] for row in bench.rows_of(result.items.report.ref)}
    assert report == {user.id: "failed" if user is users[1] else "done" for user in users}

    acme.org.locked.clear()
    again = await bench.run(bench.call(FREEZE, {"targets": targets}, tries=2))
    assert (again.affected.count, again.verified) == (4, True), "the step's whole effect, over both tries"
    assert len(acme.effects()) == 4
    assert TargetSet.model_validate(again.undo_args["targets"]).count == 4


async def test_what_failed_is_not_taken_back(acme, bench):
    one, two = acme.users(2)
    acme.org.locked[two.login_id] = 99
    result = await bench.apply(FREEZE, targets=[one.id, two.id])
    acme.org.locked.clear()
    preview, back = await undone(bench, result, targets=[one.id, two.id])
    assert (preview.count, preview.excluded) == (1, ())
    assert (back.items.done, back.items.unknown, back.verified) == (1, 0, True)
    assert acme.effects("user.unfrozen") == [one.id]


async def test_somebody_elses_freeze_between_two_tries_is_not_counted_as_ours(acme, bench):
    one, two = acme.users(2)
    acme.org.locked[two.login_id] = 99
    targets = [one.id, two.id]
    await bench.apply(FREEZE, targets=targets)
    two.frozen = True
    again = await bench.run(bench.call(FREEZE, {"targets": targets}, tries=2))
    assert (again.affected.count, again.items.already, again.verified) == (1, 1, True)
    assert len(acme.effects()) == 1
    assert TargetSet.model_validate(again.undo_args["targets"]).count == 1


async def test_somebody_elses_freeze_after_the_preview_is_not_counted_as_ours(acme, bench):
    one, two = acme.users(2)

    def freeze_two() -> None:
        two.frozen = True

    bench.before_change = freeze_two
    result = await bench.apply(FREEZE, targets=[one.id, two.id])
    assert (result.affected.count, result.items.already, result.output) == (1, 1, {"count": 2})
    assert acme.effects() == [one.id]


async def test_an_integration_without_the_permission_changes_nothing(acme, bench):
    users = acme.users(2)
    call = bench.call(FREEZE, {"targets": [user.id for user in users]})
    acme.fault("status", method="PATCH", status=403, code="INSUFFICIENT_ACCESS_OR_READONLY", times=0)
    refused = await bench.refused(call)
    assert (refused.type, refused.non_retryable) == ("Forbidden", True)
    assert acme.effects() == []


async def test_undo_unfreezes_whom_we_froze(acme, bench):
    one, two, before = acme.users(3)
    before.frozen = True
    targets = [one.id, two.id, before.id]
    result = await bench.apply(FREEZE, targets=targets)
    preview, back = await undone(bench, result, targets=targets)
    assert (preview.count, preview.reversible) == (2, True)
    assert (back.changed, back.verified, back.affected.count) == (True, True, 2)
    assert back.summary == "2 users unfrozen"
    assert sorted(acme.effects("user.unfrozen")) == sorted([one.id, two.id])
    assert frozen(acme) == {before.id}, "who was frozen before us stays frozen"


async def test_undo_leaves_alone_whom_somebody_unfroze_since(acme, bench):
    one, two = acme.users(2)
    targets = [one.id, two.id]
    result = await bench.apply(FREEZE, targets=targets)
    two.frozen = False
    preview, back = await undone(bench, result, targets=targets)
    assert (preview.count, preview.excluded) == (1, (f"{two.id}: no longer as Stanch left it",))
    assert (back.items.done, back.items.unknown) == (1, 1)
    assert back.items.failures == (f"{two.id}: changed_since",)
    assert back.verified is False, "a person looks at what is unknown"
    assert acme.effects("user.unfrozen") == [one.id]


async def test_undo_whose_answer_was_lost_is_told_apart_from_what_others_did(acme, bench):
    one, two, three = acme.users(3)
    targets = [one.id, two.id, three.id]
    result = await bench.apply(FREEZE, targets=targets)
    three.frozen = False
    acme.fault("drop_after_commit", method="PATCH")
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    back = await bench.after_lost(bench.call(FREEZE, {"targets": targets}, verb=Verb.UNDO, **changes))
    assert (back.items.done, back.items.unknown, back.affected.count) == (2, 1, 2)
    assert sorted(acme.effects("user.unfrozen")) == sorted([one.id, two.id])


async def test_a_second_undo_changes_nothing(acme, bench):
    (one,) = acme.users(1)
    result = await bench.apply(FREEZE, targets=[one.id])
    _, first = await undone(bench, result, targets=[one.id])
    _, again = await undone(bench, result, targets=[one.id], attempt=2)
    assert again == first
    assert acme.effects("user.unfrozen") == [one.id]


async def test_names_stay_out_of_the_journal(acme, bench):
    users = acme.users(2)
    result = await bench.apply(FREEZE, targets=[user.username for user in users])
    assert result.affected.count == 2
    for user in users:
        assert user.username not in bench.journal()
