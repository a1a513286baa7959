"""Ending sessions: families end with their head, what is gone is done, our own is never touched."""

import pytest

from playbooks.contract import TargetSet
from tests.systems.acme import APP, Acme, Bench

END = "salesforce.end_sessions"


async def listed(bench: Bench, users) -> TargetSet:
    """Sessions of users, by reference."""
    result = await bench.apply("salesforce.list_sessions", users=[user.id for user in users])
    return TargetSet.model_validate(result.output["targets"])


def family(acme: Acme, user):
    """A browser session with a child and a grandchild."""
    parent = acme.session(user)
    child = acme.session(user, kind="Aura", parent=parent.id)
    grandchild = acme.session(user, kind="Content", parent=child.id)
    return parent, child, grandchild


async def test_sessions_with_their_children_end_once(acme, bench):
    one, two = acme.users(2)
    parent, child, grandchild = family(acme, one)
    other = acme.session(two)
    targets = await listed(bench, [one, two])
    assert targets.count == 4
    preview = await bench.preview(END, targets=targets)
    assert (preview.count, preview.already) == (2, 0)
    assert set(preview.sample) == {parent.id, other.id}
    assert preview.impact == ("2 users signed out", "2 sessions that were made from them end too")
    assert preview.irreversible_because
    assert acme.effects() == []

    result = await bench.apply(END, targets=targets)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 2)
    assert result.output == {"count": 2}
    assert (result.items.failed, result.warnings, result.undo_args) == (0, (), None)
    recorded = {effect["target"]: effect["caused"] for effect in acme.record.effects()}
    assert recorded == {parent.id: (child.id, grandchild.id), other.id: ()}
    assert [session.actor for session in acme.org.sessions.values()] == ["stanch"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_a_family_is_one_target_in_whatever_order_it_is_named(acme, bench, order):
    sessions = family(acme, acme.users(1)[0])
    result = await bench.apply(END, targets=[sessions[place].id for place in order])
    assert (result.affected.count, result.items.failed, result.verified) == (1, 0, True)
    assert acme.effects() == [sessions[0].id]


async def test_a_child_named_without_its_parent_is_ended_for_itself(acme, bench):
    parent, child, grandchild = family(acme, acme.users(1)[0])
    result = await bench.apply(END, targets=[grandchild.id, child.id])
    assert (result.affected.count, acme.effects()) == (1, [child.id])
    assert parent.id in acme.org.sessions


async def test_sessions_that_went_with_a_token_between_list_and_end_are_already_ended(acme, bench):
    (user,) = acme.users(1)
    (grant,) = acme.grants([user])
    for _ in range(3):
        acme.session(user, kind="Oauth2", app=acme.app.id, grant=grant.id)
    browser = acme.session(user)
    targets = await listed(bench, [user])
    revoked = await bench.apply("salesforce.revoke_oauth_tokens_of_app", app=APP)
    result = await bench.apply(END, targets=targets)
    assert (result.affected.count, result.items.already, result.verified) == (1, 3, True)
    assert acme.effects("session.ended") == [browser.id]
    assert revoked.affected.count + result.affected.count == len(acme.effects()) == 2


async def test_a_whole_family_that_is_gone_is_one_thing_already_ended(acme, bench):
    (user,) = acme.users(1)
    parent, *_ = family(acme, user)
    targets = await listed(bench, [user])
    acme.org.end_session(parent.id)
    result = await bench.apply(END, targets=targets)
    assert (result.changed, result.items.already, result.output) == (False, 1, {"count": 1})
    assert acme.effects() == []


async def test_a_session_that_goes_after_the_preview_counts_as_already_ended(acme, bench):
    one, two = (acme.session(user) for user in acme.users(2))
    bench.before_change = lambda: acme.org.end_session(two.id)
    result = await bench.apply(END, targets=[one.id, two.id])
    assert (result.affected.count, result.items.already, result.items.failed) == (1, 1, 0)
    assert (result.verified, result.output) == (True, {"count": 2})
    assert acme.effects() == [one.id]


async def test_a_second_step_changes_nothing(acme, bench):
    (user,) = acme.users(1)
    family(acme, user)
    targets = await listed(bench, [user])
    first = await bench.apply(END, targets=targets)
    again = await bench.run(bench.call(END, {"targets": targets}, step="other"))
    assert (again.changed, again.verified, again.affected.count) == (False, True, 0)
    assert again.output == first.output
    assert len(acme.effects()) == 1


async def test_our_own_session_is_never_ended_though_it_is_named(acme, bench):
    theirs = acme.session(acme.users(1)[0])
    bench.client.own_user()
    ours = next(session for session in acme.org.sessions.values() if session.actor == "stanch")
    another = acme.session(acme.me, actor="person")
    targets = [ours.id, another.id, theirs.id]
    preview = await bench.preview(END, targets=targets)
    assert preview.count == 1
    assert set(preview.excluded) == {f"{id_}: Stanch's own integration" for id_ in (ours.id, another.id)}
    result = await bench.apply(END, targets=targets)
    assert (result.affected.count, acme.effects()) == (1, [theirs.id])
    assert {ours.id, another.id} <= set(acme.org.sessions)


async def test_a_protected_persons_sessions_are_shown_as_protected(acme, bench):
    (user,) = acme.users(1)
    session = acme.session(user)
    bench.protected = (user.id,)
    assert (await bench.preview(END, targets=[session.id])).protected == (session.id,)


async def test_locked_and_gone_rows_are_told_apart(acme, bench):
    one, two, three = (acme.session(user) for user in acme.users(3))
    acme.org.locked[two.id] = 99
    result = await bench.apply(END, targets=[one.id, two.id, three.id])
    assert (result.items.done, result.items.failed, result.verified) == (2, 1, False)
    assert result.items.failures == (f"{two.id}: unable_to_lock_row",)
    acme.org.locked.clear()
    again = await bench.run(bench.call(END, {"targets": [one.id, two.id, three.id]}, tries=2))
    assert (again.affected.count, again.verified) == (3, True)
    assert sorted(acme.effects()) == sorted([one.id, two.id, three.id])


async def test_rows_that_may_not_be_ended_fail_for_themselves(acme, bench):
    sessions = [acme.session(user) for user in acme.users(2)]
    call = bench.call(END, {"targets": [session.id for session in sessions]})

    def lose_the_right() -> None:
        acme.me.permissions -= {"ManageUsers"}

    bench.before_change = lose_the_right
    result = await bench.run(call)
    assert (result.changed, result.items.failed, result.verified) == (False, 2, False)
    assert "insufficient_access" in result.items.failures[0]
    assert acme.effects() == []


async def test_a_child_that_survives_its_parent_is_ended_at_the_next_try(acme, bench):
    (user,) = acme.users(1)
    parent, child, _ = family(acme, user)
    targets = await listed(bench, [user])
    kept = child

    def survive() -> None:
        kept.parent = None

    bench.before_change = survive
    first = await bench.apply(END, targets=targets)
    assert (first.affected.count, first.verified) == (1, False)
    bench.before_change = None
    again = await bench.run(bench.call(END, {"targets": targets}, tries=2))
    assert (again.affected.count, again.verified) == (2, True)
    assert acme.effects() == [parent.id, child.id]


async def test_more_than_one_request_of_sessions_in_one_step(acme, bench):
    users = acme.users(3)
    for user in users:
        for _ in range(150):
            acme.session(user)
    targets = await listed(bench, users)
    result = await bench.apply(END, targets=targets)
    assert (result.affected.count, result.verified) == (450, True)
    assert len(set(acme.effects())) == len(acme.effects()) == 450
    assert len(acme.asked("/composite/sobjects", "DELETE")) == 3


async def test_an_id_of_another_object_is_refused(acme, bench):
    (user,) = acme.users(1)
    refused = await bench.refused(bench.call(END, {"targets": [user.id]}))
    assert (refused.type, refused.non_retryable) == ("InvalidParams", True)
