"""Revoking tokens: named ones, and all of an app; matched by fingerprint, never by anything secret."""

import pytest

from activities.systems.salesforce.grants import CAP
from playbooks.contract import TargetSet
from tests.systems.acme import APP, Bench

REVOKE, REVOKE_APP = "salesforce.revoke_oauth_tokens", "salesforce.revoke_oauth_tokens_of_app"


async def listed(bench: Bench, **params) -> TargetSet:
    """Grants by reference."""
    result = await bench.apply("salesforce.list_oauth_tokens", **params)
    return TargetSet.model_validate(result.output["targets"])


async def test_all_tokens_of_an_app_are_revoked_with_their_sessions(acme, bench):
    one, two = acme.users(2)
    grants = acme.grants([one], each=2) + acme.grants([two])
    session = acme.session(one, kind="Oauth2", app=acme.app.id, grant=grants[0].id)
    child = acme.session(one, kind="Content", parent=session.id)
    browser = acme.session(one)
    (other,) = acme.grants([one], app=acme.org.add_app("Another"))
    preview = await bench.preview(REVOKE_APP, app=APP)
    assert (preview.count, preview.reversible) == (3, False)
    assert preview.impact == (f"{APP}: 3 tokens with all sessions made of them end", "2 users must authorise again")
    assert acme.effects() == []
    result = await bench.apply(REVOKE_APP, app=APP)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 3)
    assert result.output == {"count": 3}
    assert list(acme.org.grants) == [other.id], "the tokens of another app stay"
    assert browser.id in acme.org.sessions and session.id not in acme.org.sessions
    recorded = {effect["target"]: effect["caused"] for effect in acme.record.effects()}
    assert set(recorded) == {grant.id for grant in grants}
    assert recorded[grants[0].id] == (session.id, child.id), "what came along is no effect of its own"


async def test_named_tokens_are_revoked_by_reference_and_by_fingerprint(acme, bench):
    one, two = acme.users(2)
    first, second = acme.grants([one, two])
    await bench.run(bench.call(REVOKE, {"targets": await listed(bench, user=one.id)}, step="set"))
    assert acme.effects() == [first.id]
    (row,) = bench.rows((await listed(bench, user=two.id)).model_dump())
    result = await bench.run(bench.call(REVOKE, {"targets": [row["fp"]]}, step="literal"))
    assert result.affected.count == 1
    assert acme.effects() == [first.id, second.id]


async def test_a_second_step_changes_nothing(acme, bench):
    acme.grants(acme.users(2))
    targets = await listed(bench, app=APP)
    await bench.apply(REVOKE, targets=targets)
    again = await bench.run(bench.call(REVOKE, {"targets": targets}, step="other"))
    assert (again.changed, again.verified, again.items.already, again.output) == (False, True, 2, {"count": 2})
    of_app = await bench.apply(REVOKE_APP, app=APP)
    assert (of_app.changed, of_app.verified, of_app.output) == (False, True, {"count": 0})
    assert len(acme.effects()) == 2


async def test_an_app_without_tokens_is_said_to_have_none(acme, bench):
    acme.grants(acme.users(1))
    result = await bench.apply(REVOKE_APP, app="LeedPulse Sink")
    assert (result.changed, result.verified) == (False, True)
    assert result.warnings == ("no OAuth token was found; look whether the parameters are right",)


async def test_a_token_revoked_by_somebody_else_meanwhile_is_not_counted_as_ours(acme, bench):
    one, two = acme.grants(acme.users(2))
    bench.before_change = lambda: acme.org.end_grant(two.id)
    result = await bench.apply(REVOKE_APP, app=APP)
    assert (result.affected.count, result.items.already, result.output) == (1, 1, {"count": 2})
    assert acme.effects() == [one.id]


async def test_a_token_made_meanwhile_leaves_the_step_unverified(acme, bench):
    (user,) = acme.users(1)
    acme.grants([user])
    bench.before_change = lambda: acme.grants([user])
    result = await bench.apply(REVOKE_APP, app=APP)
    assert (result.affected.count, result.verified) == (1, False)
    bench.before_change = None
    again = await bench.run(bench.call(REVOKE_APP, {"app": APP}, tries=2))
    assert (again.affected.count, again.verified) == (2, True)
    assert len(acme.effects()) == 2


async def test_more_tokens_than_approved_are_not_revoked(acme, bench):
    acme.grants(acme.users(5))
    refused = await bench.refused(bench.call(REVOKE_APP, {"app": APP}, at_most=4))
    assert refused.type == "PlanChanged"
    assert acme.effects() == []


async def test_stanchs_own_tokens_are_never_revoked(acme, bench):
    (user,) = acme.users(1)
    (theirs,) = acme.grants([user])
    acme.grants([acme.me])
    (ours,) = acme.grants([user], app=acme.integration)
    preview = await bench.preview(REVOKE_APP, app=APP)
    assert preview.count == 1
    assert len(preview.excluded) == 1 and preview.excluded[0].endswith("Stanch's own integration")
    await bench.apply(REVOKE_APP, app=APP)
    fingerprint = bench.client._broker.fingerprint(ours.delete_token)
    for name, params in ((REVOKE_APP, {"app": "Stanch"}), (REVOKE, {"targets": [fingerprint]})):
        alone = await bench.refused(bench.call(name, params, step="alone"))
        assert alone.type == "Protected", "named alone it is refused with words"
    assert acme.effects() == [theirs.id]


async def test_protected_users_and_apps_are_shown(acme, bench):
    acme.grants(acme.users(2))
    bench.protected = (APP.upper(),)
    assert len((await bench.preview(REVOKE_APP, app=APP)).protected) == 2


async def test_fingerprints_of_another_credential_are_refused_instead_of_looking_revoked(acme, bench):
    acme.grants(acme.users(2))
    targets = await listed(bench, app=APP)
    bench.client = acme.client(fingerprint_key="secret:env/SECRET")
    refused = await bench.refused(bench.call(REVOKE, {"targets": targets}))
    assert (refused.type, refused.non_retryable) == ("Rejected", True)
    assert "List them again" in refused.message
    assert acme.effects() == []


async def test_above_the_cap_what_is_listed_is_revoked_and_the_rest_is_said(acme, bench):
    (user,) = acme.users(1)
    acme.grants([user], each=CAP + 2)
    preview = await bench.run(bench.call(REVOKE_APP, {"app": APP}, verb="preview"))
    assert preview.count == CAP
    assert "2,500" in preview.excluded[0]
    (unlisted,) = list(acme.org.grants.values())[-1:]
    fingerprint = bench.client._broker.fingerprint(unlisted.delete_token)
    row = {"id": fingerprint, "user": user.id, "app": APP}
    targets = bench.store.evidence.put_rows("INC-2026-7", [row], name="g", source="", actor="stanch")
    result = await bench.apply(REVOKE, targets=targets)
    assert (result.changed, len(result.warnings)) == (False, 1), "not listed is not revoked"
    assert len(acme.org.grants) == CAP + 2


async def test_a_grant_that_falls_out_of_a_cut_off_list_is_not_taken_for_revoked(acme, bench):
    (user,) = acme.users(1)
    (grant,) = acme.grants([user])
    targets = await listed(bench, app=APP)

    def flood() -> None:
        del acme.org.grants[grant.id]
        acme.grants([user], each=CAP)
        acme.org.grants[grant.id] = grant

    bench.before_change = flood
    result = await bench.apply(REVOKE, targets=targets)
    assert (result.changed, result.verified) == (False, False)
    assert result.items.failures[0].endswith("not_listed")
    assert grant.id in acme.org.grants


@pytest.mark.parametrize("name", [REVOKE, REVOKE_APP])
async def test_no_token_is_in_results_journal_or_evidence(acme, bench, name):
    grants = acme.grants(acme.users(2))
    targets = await listed(bench, app=APP)
    call = bench.call(name, {"app": APP} if name == REVOKE_APP else {"targets": targets})
    result = await bench.run(call)
    assert result.affected.count == 2
    seen = result.model_dump_json() + bench.journal() + call.model_dump_json() + str(bench.beats)
    seen += "".join(content.decode() for content in bench.files().values())
    for grant in grants:
        assert grant.delete_token not in seen and grant.refresh_token not in seen
    assert bench.client._broker.token().value not in seen
