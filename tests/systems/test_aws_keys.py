"""AWS identities: a stolen key is found, shown, contained and tried as its thief; simulated and moto alike."""

import json
from typing import Any

import pytest

from activities.systems.aws.account import Credential
from activities.systems.aws.models import may_assume
from activities.systems.aws.peer.state import FULL_ACCESS
from playbooks.contract import ActionResult, Preview, Verb
from tests.systems.acme import Bench
from tests.systems.aws_site import READER, Site

DEACTIVATE, DENY, DELETE = "aws.deactivate_access_keys", "aws.deny_user", "aws.delete_access_keys"
TRY, LIST, REVOKE = "aws.try_access_key", "aws.list_access_keys", "aws.revoke_role_sessions"


async def undone(bench: Bench, name: str, result: ActionResult, **params: Any) -> tuple[Preview, ActionResult]:
    """The preview of an undo, and the undo."""
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    preview: Any = await bench.run(bench.call(name, params, verb=Verb.PREVIEW, **changes))
    return preview, await bench.run(bench.call(name, params, verb=Verb.UNDO, **changes))


async def tried(bench: Bench, aws: Site, held: Credential, action: str, step: str) -> dict[str, Any]:
    """What AWS says to whoever holds a key."""
    result = await bench.run(bench.call(TRY, {"credential": aws.thief(held), "action": action}, step=step))
    return dict(result.output)


@pytest.fixture
def stolen(aws: Site) -> Credential:
    """The key of ``svc-inference``, in a thief's hands."""
    return aws.user("svc-inference", READER)


async def test_keys_are_listed_with_whose_they_are_and_their_last_use(aws, aws_bench, stolen):
    await tried(aws_bench, aws, stolen, "sagemaker:ListEndpoints", "use")
    listed = await aws_bench.apply(LIST, key_ids=[stolen.id, "AKIANOBODYNOBODY0000"])
    assert (listed.output["count"], listed.output["active"]) == (1, 1)
    assert listed.output["users"] == [aws.name("svc-inference")]
    (row,) = aws_bench.rows(listed.output["targets"])
    assert (row["id"], row["user"], row["service"]) == (stolen.id, aws.name("svc-inference"), "sagemaker")
    assert row["last_used"] and row["created"]
    assert listed.warnings == ("1 key that was named is not there",)
    of_user = await aws_bench.run(aws_bench.call(LIST, {"user": aws.name("svc-inference")}, step="of_user"))
    assert of_user.output["count"] == 1
    every = await aws_bench.run(aws_bench.call(LIST, {}, step="every"))
    assert every.output["count"] >= 3


async def test_the_preview_says_who_stops_working(aws, aws_bench, stolen):
    await tried(aws_bench, aws, stolen, "sagemaker:ListEndpoints", "use")
    preview = await aws_bench.preview(DEACTIVATE, targets=[stolen.id])
    assert (preview.count, preview.reversible) == (1, True)
    assert aws.name("svc-inference") in preview.impact[0]
    assert "for sagemaker in eu-central-1" in preview.impact[0]
    assert any("temporary credentials" in line for line in preview.impact)
    assert aws.keys("svc-inference") == {stolen.id: True}, "a preview changes nothing"
    denied = await aws_bench.preview(DENY, user=aws.name("svc-inference"))
    assert any("for sagemaker" in line for line in denied.impact)


async def test_inactive_then_denied_the_thief_is_out(aws, aws_bench, stolen):
    before = await tried(aws_bench, aws, stolen, "sagemaker:ListEndpoints", "before")
    assert before == {"works": True, "code": "OK"}
    result = await aws_bench.apply(DEACTIVATE, targets=[stolen.id])
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert aws.keys("svc-inference") == {stolen.id: False}
    after = await tried(aws_bench, aws, stolen, "sagemaker:ListEndpoints", "after")
    assert after["works"] is aws.real, "moto lets an inactive key through, so it must not end there"
    result = await aws_bench.apply(DENY, user=aws.name("svc-inference"))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    at_last = await tried(aws_bench, aws, stolen, "sagemaker:ListEndpoints", "at_last")
    assert at_last["works"] is False
    assert at_last["code"] == ("AccessDenied" if aws.real else "UnrecognizedClientException")


async def test_a_key_that_works_though_inactive_is_stopped_by_the_denial(aws, aws_bench, stolen):
    if aws.account is not None:
        aws.account.inactive_works = True
    await aws_bench.apply(DEACTIVATE, targets=[stolen.id])
    assert (await tried(aws_bench, aws, stolen, "sagemaker:ListEndpoints", "inactive"))["works"]
    await aws_bench.apply(DENY, user=aws.name("svc-inference"))
    assert not (await tried(aws_bench, aws, stolen, "sagemaker:ListEndpoints", "denied"))["works"]
    alive = await tried(aws_bench, aws, stolen, "sts:GetCallerIdentity", "alive")
    assert alive == {"works": True, "code": "OK"}, "AWS answers this one whatever a policy says"


async def test_an_inactive_key_becomes_active_again_and_one_that_was_so_before_stays(aws, aws_bench, stolen):
    other = aws.user("old-job")
    aws.admin.set_key(aws.name("old-job"), other.id, active=False)
    result = await aws_bench.apply(DEACTIVATE, targets=[stolen.id, other.id])
    assert (result.affected.count, result.items.already) == (1, 1)
    preview, back = await undone(aws_bench, DEACTIVATE, result, targets=[stolen.id, other.id])
    assert (preview.count, back.verified, back.affected.count) == (1, True, 1)
    assert aws.keys("svc-inference") == {stolen.id: True}
    assert aws.keys("old-job") == {other.id: False}


async def test_undo_leaves_a_key_that_somebody_made_active_or_deleted(aws, aws_bench, stolen):
    other = aws.user("other-job")
    result = await aws_bench.apply(DEACTIVATE, targets=[stolen.id, other.id])
    aws.admin.set_key(aws.name("svc-inference"), stolen.id, active=True)
    aws.admin.delete_key(aws.name("other-job"), other.id)
    preview, back = await undone(aws_bench, DEACTIVATE, result, targets=[stolen.id, other.id])
    assert preview.count == 0
    assert (back.items.done, back.items.unknown, back.verified) == (0, 2, False)


async def test_stanchs_own_key_and_user_are_never_touched(aws, aws_bench):
    for name, params in (
        (DEACTIVATE, {"targets": [aws.me.id]}),
        (DELETE, {"targets": [aws.me.id]}),
        (DENY, {"user": aws.name("stanch")}),
    ):
        refused = await aws_bench.refused(aws_bench.call(name, params))
        assert refused.type in ("Protected",), name
    other = aws.user("by-side")
    result = await aws_bench.apply(DEACTIVATE, targets=[aws.me.id, other.id])
    assert (result.affected.count, len(result.warnings)) == (1, 1)
    assert aws.keys("stanch") == {aws.me.id: True}
    assert not aws.policies("stanch") & {"StanchDenyAll"}


async def test_what_the_settings_protect_is_shown(aws, aws_bench, stolen):
    aws_bench.client = aws.client(protected=[aws.name("svc-inference")])
    assert (await aws_bench.preview(DEACTIVATE, targets=[stolen.id])).protected == (stolen.id,)
    assert (await aws_bench.preview(DENY, user=aws.name("svc-inference"))).protected == (aws.name("svc-inference"),)


async def test_a_key_of_nobody_is_left_out_and_said(aws, aws_bench):
    result = await aws_bench.apply(DEACTIVATE, targets=["AKIANOBODYNOBODY0000"])
    assert (result.changed, result.output, len(result.warnings)) == (False, {"count": 0}, 1)


@pytest.mark.parametrize("kind", ["drop_after", "status"])
async def test_a_lost_answer_is_read_back_and_counted_once(aws, aws_bench, stolen, kind):
    aws.front.add(kind, path="/UpdateAccessKey", status=500)
    result = await aws_bench.after_lost(aws_bench.call(DEACTIVATE, {"targets": [stolen.id]}))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert aws.keys("svc-inference") == {stolen.id: False}
    assert aws.front.asked("/UpdateAccessKey") == (1 if kind == "drop_after" else 2)


async def test_throttling_is_waited_for_and_changes_nothing(aws, aws_bench, stolen):
    body = b"<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
    aws.front.add("status", path="/UpdateAccessKey", status=400, body=body, headers={"content-type": "text/xml"})
    result = await aws_bench.after_lost(aws_bench.call(DEACTIVATE, {"targets": [stolen.id]}), kind="RateLimited")
    assert (result.changed, result.affected.count) == (True, 1)


async def test_without_the_permission_nothing_is_changed(aws, aws_bench, stolen):
    poor = aws.user("poor", READER)
    aws.hold("POOR_ID", poor.id)
    aws.hold("POOR_KEY", poor.secret)
    aws_bench.client = aws.client(access_key_id="secret:env/POOR_ID", secret_access_key="secret:env/POOR_KEY")
    refused = await aws_bench.refused(aws_bench.call(DEACTIVATE, {"targets": [stolen.id]}))
    assert (refused.type, refused.non_retryable) == ("Forbidden", True)
    assert aws.keys("svc-inference") == {stolen.id: True}


async def test_a_denial_is_taken_back_and_a_foreign_policy_is_not_overwritten(aws, aws_bench, stolen):
    name = aws.name("svc-inference")
    result = await aws_bench.apply(DENY, user=name)
    assert aws.policies("svc-inference") == {"access", "StanchDenyAll"}
    again = await aws_bench.run(aws_bench.call(DENY, {"user": name}, step="again"))
    assert (again.changed, again.items.already) == (False, 1)
    preview, back = await undone(aws_bench, DENY, result, user=name)
    assert (preview.count, back.verified) == (1, True)
    assert aws.policies("svc-inference") == {"access"}
    assert (await tried(aws_bench, aws, stolen, "sagemaker:ListEndpoints", "free"))["works"]
    aws.admin.put_policy("User", name, "StanchDenyAll", READER)
    third = await aws_bench.run(aws_bench.call(DENY, {"user": name}, step="third"))
    assert (third.changed, third.output) == (False, {"count": 0})
    assert aws.admin.policy("User", name, "StanchDenyAll") == READER


async def test_undo_leaves_a_denial_that_somebody_rewrote(aws, aws_bench, stolen):
    name = aws.name("svc-inference")
    result = await aws_bench.apply(DENY, user=name)
    aws.admin.put_policy("User", name, "StanchDenyAll", READER)
    _, back = await undone(aws_bench, DENY, result, user=name)
    assert (back.items.unknown, back.verified) == (1, False)
    assert aws.admin.policy("User", name, "StanchDenyAll") == READER


async def test_a_denial_whose_answer_was_lost(aws, aws_bench, stolen):
    aws.front.add("drop_after", path="/PutUserPolicy")
    result = await aws_bench.after_lost(aws_bench.call(DENY, {"user": aws.name("svc-inference")}))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert aws.front.asked("/PutUserPolicy") == 1


async def test_older_sessions_of_a_role_are_revoked_and_given_back(aws, aws_bench):
    role = aws.role("deployer")
    assumed = aws.admin.call(
        "sts", "AssumeRole", doing="assuming", RoleArn=aws.admin.role(role)["Arn"], RoleSessionName="thief"
    )["Credentials"]
    old = Credential(assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"])
    reference = aws.hold(
        "SESSION", json.dumps({"access_key_id": old.id, "secret_access_key": old.secret, "session_token": old.token})
    )
    probe = {"credential": reference, "action": "kms:ListKeys"}
    assert (await aws_bench.run(aws_bench.call(TRY, probe, step="before"))).output["works"]
    if aws.account is not None:
        session = aws.account.sessions[old.id]
        session.issued = session.issued.replace(year=session.issued.year - 1)
    preview = await aws_bench.preview(REVOKE, role=role)
    assert "must assume the role anew" in preview.impact[0] and "last used" in preview.impact[0]
    result = await aws_bench.apply(REVOKE, role=role)
    assert (result.changed, result.verified) == (True, True)
    gone = await aws_bench.run(aws_bench.call(TRY, probe, step="after"))
    assert gone.output["works"] is False
    if aws.account is not None:
        fresh = aws.account.add_session(role, "good")
        fresh.issued = fresh.issued.replace(year=fresh.issued.year + 1)
        held = {"access_key_id": fresh.id, "secret_access_key": fresh.secret, "session_token": fresh.token}
        again = {"credential": aws.hold("FRESH", json.dumps(held)), "action": "kms:ListKeys"}
        assert (await aws_bench.run(aws_bench.call(TRY, again, step="fresh"))).output["works"]
    _, back = await undone(aws_bench, REVOKE, result, role=role)
    assert back.verified
    assert aws.admin.policy("Role", role, "AWSRevokeOlderSessions") is None


async def test_only_an_inactive_key_is_deleted_for_good(aws, aws_bench, stolen):
    preview = await aws_bench.preview(DELETE, targets=[stolen.id])
    assert preview.count == 0 and "still active" in preview.excluded[0]
    await aws_bench.apply(DEACTIVATE, targets=[stolen.id])
    aws.front.add("drop_after", path="/DeleteAccessKey")
    result = await aws_bench.after_lost(aws_bench.call(DELETE, {"targets": [stolen.id]}))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert aws.keys("svc-inference") == {}
    again = await aws_bench.run(aws_bench.call(DELETE, {"targets": [stolen.id]}, step="again"))
    assert (again.changed, again.items.already) == (False, 1)
    assert (await tried(aws_bench, aws, stolen, "sts:GetCallerIdentity", "dead"))["works"] is False


async def test_a_wrong_secret_shows_nothing_of_the_key(aws, aws_bench, stolen):
    refused = await aws_bench.refused(
        aws_bench.call(TRY, {"credential": aws.thief(Credential(stolen.id, "not-its-secret"))})
    )
    assert refused.type == "Rejected" and "shows nothing of the key" in refused.message
    aws.front.add("status", path="/GetCallerIdentity", status=503)
    away = await aws_bench.refused(aws_bench.call(TRY, {"credential": aws.thief(stolen)}, step="away"))
    assert away.type == "Unavailable", "a key that was not tried is not a refused one"
    unread = await aws_bench.refused(aws_bench.call(TRY, {"credential": "secret:env/NONE"}, step="unread"))
    assert unread.type == "AuthFailed"


async def test_a_keys_secret_reaches_neither_journal_nor_evidence(aws, aws_bench, stolen):
    await tried(aws_bench, aws, stolen, "sagemaker:ListEndpoints", "use")
    await aws_bench.apply("aws.snapshot_identity", user=aws.name("svc-inference"))
    await aws_bench.apply(DEACTIVATE, targets=[stolen.id])
    kept = b"".join(aws_bench.files().values()).decode() + aws_bench.journal()
    assert stolen.secret not in kept and aws.me.secret not in kept


async def test_an_identity_is_secured_with_what_it_may_do(aws, aws_bench, stolen):
    role = aws.role("helper")
    name = aws.name("svc-inference")
    result = await aws_bench.apply("aws.snapshot_identity", user=name)
    assert (result.output["keys"], result.output["policies"], result.output["complete"]) == (1, 1, True)
    assert role not in result.output["roles"], "its trust lets the account in, but no policy lets the user go there"
    kept = json.loads(aws_bench.files()["identity.json"])
    assert kept["access_keys"][0]["id"] == stolen.id
    assert kept["inline_policies"][0]["document"] == READER
    assume = {"Effect": "Allow", "Action": "sts:*", "Resource": f"arn:aws:iam::*:role/{role}"}
    aws.admin.put_policy("User", name, "assume", {"Version": "2012-10-17", "Statement": [assume]})
    again = await aws_bench.run(aws_bench.call("aws.snapshot_identity", {"user": name}, step="again"))
    assert again.output["roles"] == [role]
    missing = await aws_bench.refused(aws_bench.call("aws.snapshot_identity", {"user": "nobody"}, step="none"))
    assert missing.type == "NotFound"


async def test_policies_of_groups_and_managed_ones_count(aws, aws_bench, stolen):
    role, name = aws.role("helper"), aws.name("svc-inference")
    if aws.moto is not None:
        iam = aws.moto.client("iam")
        document = json.dumps({"Version": "2012-10-17", "Statement": [READER["Statement"][0]]})
        arn = iam.create_policy(PolicyName=aws.name("managed"), PolicyDocument=document)["Policy"]["Arn"]
        iam.attach_user_policy(UserName=name, PolicyArn=arn)
        iam.create_group(GroupName=aws.name("group"))
        iam.put_group_policy(GroupName=aws.name("group"), PolicyName="all", PolicyDocument=json.dumps(FULL_ACCESS))
        iam.add_user_to_group(GroupName=aws.name("group"), UserName=name)
    else:
        aws.account.managed["arn:aws:iam::aws:policy/Managed"] = READER
        aws.account.groups["all"] = {"all": FULL_ACCESS}
        aws.account.users[name].attached.append("arn:aws:iam::aws:policy/Managed")
        aws.account.users[name].groups.append("all")
    result = await aws_bench.apply("aws.snapshot_identity", user=name)
    assert (result.output["policies"], result.output["complete"]) == (2, True)
    assert role in result.output["roles"], "by its group"
    assert len(json.loads(aws_bench.files()["identity.json"])["policies_in_effect"]) == 3


def test_a_role_that_names_the_user_is_taken_without_a_policy() -> None:
    user = "arn:aws:iam::111122223333:user/team/svc"
    trust = {"Statement": {"Effect": "Allow", "Principal": {"AWS": [user]}, "Action": "sts:AssumeRole"}}
    assert may_assume(user, [], "arn:aws:iam::111122223333:role/r", json.dumps(trust))
    service = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}]}
    assert not may_assume(user, [FULL_ACCESS], "arn:aws:iam::111122223333:role/r", service)
    other = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "999988887777"}}]}
    assert not may_assume(user, [FULL_ACCESS], "arn:aws:iam::111122223333:role/r", other)
    denied = {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    anybody = {"Statement": [{"Effect": "Allow", "Principal": "*"}]}
    assert not may_assume(user, [denied], "arn:aws:iam::111122223333:role/r", anybody)
    assert may_assume(user, [denied, FULL_ACCESS], "arn:aws:iam::111122223333:role/r", anybody)
