"""A lost answer: the next attempt sends nothing twice, counts what the lost one did, and ends as it would have."""

from datetime import timedelta

import pytest

from activities.catalog import CATALOG
from playbooks.contract import Verb
from tests.systems.acme import APP, Acme, Bench
from tests.systems.test_salesforce_lists import job

LOSSES = ["drop_after_commit", "error_after_commit", "hold_after_commit", "drop"]
ABORT, REVOKE = "salesforce.abort_bulk_jobs", "salesforce.revoke_oauth_tokens"
REVOKE_APP, END, FREEZE = (
    "salesforce.revoke_oauth_tokens_of_app",
    "salesforce.end_sessions",
    "salesforce.freeze_users",
)
WRITES = {
    ABORT: {"method": "PATCH", "path": "/jobs/"},
    REVOKE: {"method": "POST", "path": "/oauth2/revoke"},
    REVOKE_APP: {"method": "POST", "path": "/oauth2/revoke"},
    END: {"method": "DELETE", "path": "/composite/sobjects"},
    FREEZE: {"method": "PATCH", "path": "/composite/sobjects"},
}


async def prepared(acme: Acme, bench: Bench, name: str) -> dict:
    """Four things to change and one that is so already; the parameters that name them."""
    bench.client = acme.client(read_timeout=0.4)
    users = acme.users(5)
    if name == ABORT:
        jobs = [job(acme, user) for user in users[:4]] + [job(acme, users[4], "Aborted")]
        return {"targets": [each.id for each in jobs]}
    if name in (REVOKE, REVOKE_APP):
        grants = acme.grants(users)
        listed = await bench.apply("salesforce.list_oauth_tokens", app=APP)
        acme.org.end_grant(grants[4].id)
        return {"app": APP} if name == REVOKE_APP else {"targets": listed.output["targets"]}
    if name == END:
        sessions = [acme.session(user) for user in users]
        child = acme.session(users[0], kind="Aura", parent=sessions[0].id)
        acme.org.end_session(sessions[4].id)
        return {"targets": [child.id, *(session.id for session in sessions)]}
    users[4].frozen = True
    return {"targets": [user.id for user in users]}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", WRITES)
async def test_the_next_attempt_ends_as_an_undisturbed_one_would_have(acme, bench, name, loss):
    params = await prepared(acme, bench, name)
    skip = 1 if name in (ABORT, REVOKE, REVOKE_APP) else 0
    acme.fault(loss, skip=skip, **WRITES[name])
    result = await bench.after_lost(bench.call(name, params))
    already = 0 if name == REVOKE_APP else 1
    assert (result.changed, result.verified) == (True, True)
    assert (result.items.done, result.items.already) == (4, already)
    assert (result.items.failed, result.items.unknown) == (0, 0)
    assert result.affected.count == 4 == len(acme.effects())
    assert len(set(acme.effects())) == 4, "each once"
    assert result.output == {"count": 4 + already}
    assert result.warnings == ()
    if name == FREEZE:
        rows = bench.rows(result.undo_args["targets"])
        assert {row["id"] for row in rows} == set(acme.effects()), "what is taken back is what was done"


@pytest.mark.parametrize("name", WRITES)
async def test_three_losses_in_a_row_change_nothing_of_the_end(acme, bench, name):
    params = await prepared(acme, bench, name)
    call = bench.call(name, params)
    for attempt in (1, 2, 3):
        acme.fault("drop_after_commit", **WRITES[name])
        if len(acme.effects()) < 4:
            lost = await bench.refused(call, attempt=attempt)
            assert lost.type == "Ambiguous"
        acme.peer.faults.clear()
    result = await bench.run(call, attempt=4)
    assert (result.verified, result.affected.count, len(acme.effects())) == (True, 4, 4)


@pytest.mark.parametrize("name", WRITES)
async def test_a_stored_outcome_is_returned_without_a_request(acme, bench, name):
    call = bench.call(name, await prepared(acme, bench, name))
    first = await bench.run(call)
    before = len(acme.asked())
    assert await bench.run(call, attempt=2) == first
    assert len(acme.asked()) == before


@pytest.mark.parametrize("name", WRITES)
async def test_a_person_may_have_an_unknown_outcome_verified(acme, bench, name):
    params = await prepared(acme, bench, name)
    if name in (ABORT, REVOKE, REVOKE_APP):
        acme.fault("drop_after_commit", skip=3, **WRITES[name])
    else:
        acme.fault("drop_after_commit", **WRITES[name])
    assert (await bench.refused(bench.call(name, params))).type == "Ambiguous"
    result = await bench.run(bench.call(name, params, verb=Verb.VERIFY, tries=2))
    assert (result.verified, result.affected.count, result.changed) == (True, 4, True)
    assert len(acme.effects()) == 4


async def test_verifying_what_did_not_happen_says_so(acme, bench):
    params = await prepared(acme, bench, FREEZE)
    acme.fault("drop", **WRITES[FREEZE])
    assert (await bench.refused(bench.call(FREEZE, params))).type == "Ambiguous"
    result = await bench.run(bench.call(FREEZE, params, verb=Verb.VERIFY, tries=2))
    assert (result.verified, acme.effects()) == (False, [])


@pytest.mark.parametrize("name", WRITES)
async def test_an_error_that_came_before_the_change_is_no_lost_answer(acme, bench, name):
    params = await prepared(acme, bench, name)
    call = bench.call(name, params)
    acme.fault("status", status=429, code="TOO_MANY", seconds=3, **WRITES[name])
    refused = await bench.refused(call)
    assert (refused.type, refused.next_retry_delay) == ("RateLimited", timedelta(seconds=3))
    kinds = [entry["kind"] for entry in bench.store.journal.entries("INC-2026-7")]
    assert "action.failed" in kinds
    result = await bench.run(call, attempt=2)
    assert (result.affected.count, result.verified) == (4, True)


@pytest.mark.parametrize("name", WRITES)
async def test_a_limit_met_half_way_parks_the_step_and_it_goes_on_later(acme, bench, name):
    params = await prepared(acme, bench, name)
    call = bench.call(name, params)
    skip = 2 if name in (ABORT, REVOKE, REVOKE_APP) else 0
    acme.fault("status", status=403, code="REQUEST_LIMIT_EXCEEDED", skip=skip, times=0, **WRITES[name])
    before = len(acme.asked())
    refused = await bench.refused(call)
    assert (refused.type, refused.non_retryable) == ("RateLimited", False)
    assert refused.next_retry_delay >= timedelta(minutes=5), "it does not use up the limit by asking"
    assert len([asked for asked in acme.asked()[before:] if asked["status"] == 403]) == 1
    assert len(acme.effects()) == skip
    acme.peer.faults.clear()
    result = await bench.run(call, attempt=2)
    assert (result.affected.count, result.verified, len(acme.effects())) == (4, True, 4)


async def test_a_bug_after_the_intent_is_an_unknown_outcome_and_no_failure(acme, bench):
    params = await prepared(acme, bench, FREEZE)

    def break_off() -> None:
        raise ZeroDivisionError("hunter2")

    bench.before_change = break_off
    broken = await bench.refused(bench.call(FREEZE, params))
    assert (broken.type, broken.non_retryable) == ("Ambiguous", False)
    assert "hunter2" not in str(broken)
    bench.before_change = None
    result = await bench.run(bench.call(FREEZE, params), attempt=2)
    assert (result.affected.count, result.verified) == (4, True)


async def test_sessions_that_a_lost_attempt_ended_with_their_children_are_counted_as_heads_only(acme, bench):
    (user,) = acme.users(1)
    parent = acme.session(user)
    children = [acme.session(user, kind="Aura", parent=parent.id) for _ in range(3)]
    listed = await bench.apply("salesforce.list_sessions", users=[user.id])
    for step, targets in (("set", listed.output["targets"]), ("ids", [parent.id, *(child.id for child in children)])):
        if step == "ids":
            acme.org.sessions |= {session.id: session for session in (parent, *children)}
            acme.record.changes.clear()
        acme.fault("drop_after_commit", **WRITES[END])
        result = await bench.after_lost(bench.call(END, {"targets": targets}, step=step))
        assert (result.affected.count, result.items.already, result.output) == (1, 0, {"count": 1})
        assert acme.effects() == [parent.id]


@pytest.mark.parametrize("verb", [Verb.APPLY, Verb.UNDO])
async def test_a_lost_answer_that_no_later_attempt_can_read_back_is_unknown_and_no_failure(acme, bench, verb):
    user = acme.users(1)[0]
    call = bench.call(FREEZE, {"targets": [user.id]})
    if verb is Verb.UNDO:
        frozen = await bench.run(call)
        call = call.model_copy(update={"verb": verb, "undo_args": frozen.undo_args})
    acme.fault("drop_after_commit", **WRITES[FREEZE])
    assert (await bench.refused(call)).type == "Ambiguous"
    acme.fault("status", path="/query", times=0, status=503)
    between = await bench.refused(call, attempt=2)
    assert (between.type, between.non_retryable) == ("Unavailable", False)
    last = await bench.refused(call, attempt=9)
    assert (last.type, last.non_retryable) == ("Ambiguous", True)
    assert user.frozen is (verb is Verb.APPLY), "it had happened"


async def test_a_limit_that_never_ends_half_way_is_no_failure_that_changed_nothing(acme, bench):
    params = await prepared(acme, bench, REVOKE)
    acme.fault("status", times=0, skip=2, status=429, code="REQUEST_LIMIT_EXCEEDED", **WRITES[REVOKE])
    most = CATALOG.spec(REVOKE).facts.max_attempts
    *before, last = [await bench.refused(bench.call(REVOKE, params), attempt=1 + n) for n in range(most)]
    assert {(limited.type, limited.non_retryable) for limited in before} == {("RateLimited", False)}
    assert (last.type, last.non_retryable, len(acme.effects())) == ("Ambiguous", True, 2)
