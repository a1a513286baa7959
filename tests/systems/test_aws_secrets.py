"""Secrets Manager and KMS: rotated once, staged back, disabled and enabled; overdue keys; simulated and moto alike."""

import json
import shutil
from datetime import timedelta
from typing import Any

from playbooks.contract import ActionResult, Preview, Verb
from tests.systems.acme import Bench
from tests.systems.aws_site import READER
from worker.store import Store

ROTATE, STAGE, KMS, DISABLE = "aws.rotate_secret", "aws.stage_secret", "aws.rotate_kms_key", "aws.disable_kms_key"


async def undone(bench: Bench, name: str, result: ActionResult, **params: Any) -> tuple[Preview, ActionResult]:
    """The preview of an undo, and the undo."""
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    preview: Any = await bench.run(bench.call(name, params, verb=Verb.PREVIEW, **changes))
    return preview, await bench.run(bench.call(name, params, verb=Verb.UNDO, **changes))


async def test_a_secret_is_rotated_by_its_own_function_and_given_back(aws, aws_bench):
    secret = aws.secret("crm", "before", rotates=True)
    before = aws.admin.described(secret).current
    preview = await aws_bench.preview(ROTATE, secret=secret)
    assert preview.count == 1 and "last read" in preview.impact[0]
    aws.front.add("drop_after", path="/RotateSecret")
    result = await aws_bench.after_lost(aws_bench.call(ROTATE, {"secret": secret}))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert aws.admin.described(secret).current != before
    assert aws.front.asked("/RotateSecret") == 1
    _, back = await undone(aws_bench, ROTATE, result, secret=secret)
    assert back.verified and aws.admin.described(secret).current == before


async def test_a_secret_without_a_rotation_is_left_out_in_words(aws, aws_bench):
    secret = aws.secret("still", "value")
    preview = await aws_bench.preview(ROTATE, secret=secret)
    assert preview.count == 0 and "no rotation set up" in preview.excluded[0]


async def test_a_version_is_staged_only_over_the_one_expected(aws, aws_bench):
    secret = aws.secret("crm", "one")
    first = aws.admin.described(secret).current
    second = aws.restage(secret, "two")
    wrong = await aws_bench.refused(aws_bench.call(STAGE, {"secret": secret, "version": first, "expected": "0" * 36}))
    assert wrong.type == "Conflict"
    result = await aws_bench.run(aws_bench.call(STAGE, {"secret": secret, "expected": second}, step="back"))
    assert (result.changed, result.verified) == (True, True)
    assert aws.admin.value(secret) == "one", "by default the previous one"
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2, "step": "back"}
    params = {"secret": secret, "expected": second}
    back = await aws_bench.run(aws_bench.call(STAGE, params, verb=Verb.UNDO, **changes))
    assert back.verified and aws.admin.value(secret) == "two"
    none = await aws_bench.refused(aws_bench.call(STAGE, {"secret": secret, "version": "0" * 36}, step="none"))
    assert none.type == "NotFound"


async def test_a_stage_moved_while_we_move_it_stays_where_somebody_put_it(aws, aws_bench):
    secret = aws.secret("crm", "one")
    aws.restage(secret, "two")
    aws.front.add("act_before", path="/UpdateSecretVersionStage", act=lambda: aws.restage(secret, "theirs"))
    result = await aws_bench.apply(STAGE, secret=secret)
    assert (result.verified, result.items.failed) == (False, 1)
    assert aws.admin.value(secret) == "theirs"


async def test_a_stage_whose_answer_was_lost(aws, aws_bench):
    secret = aws.secret("crm", "one")
    aws.restage(secret, "two")
    asked = aws.front.asked("/UpdateSecretVersionStage")
    aws.front.add("drop_after", path="/UpdateSecretVersionStage")
    result = await aws_bench.after_lost(aws_bench.call(STAGE, {"secret": secret}))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert aws.front.asked("/UpdateSecretVersionStage") == asked + 1


async def test_a_kms_key_gets_new_material_once(aws, aws_bench):
    key = aws.kms_key("churn weights")
    preview = await aws_bench.preview(KMS, key=key)
    assert (preview.count, preview.reversible) == (1, False)
    assert "nothing stops" in preview.impact[0]
    aws.front.add("drop_after", path="/RotateKeyOnDemand")
    result = await aws_bench.after_lost(aws_bench.call(KMS, {"key": key}))
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    assert [kind for _, kind in aws.admin.rotations(key)] == ["ON_DEMAND"]
    second = await aws_bench.run(aws_bench.call(KMS, {"key": key}, step="second"))
    assert second.verified and len(aws.admin.rotations(key)) == 2
    none = await aws_bench.refused(aws_bench.call(KMS, {"key": "0" * 8 + "-0000-4000-8000-" + "0" * 12}, step="none"))
    assert none.type == "NotFound"


async def test_a_kms_key_is_disabled_with_words_on_what_stops_and_enabled_again(aws, aws_bench):
    key = aws.kms_key("churn weights")
    if aws.account is not None:
        aws.account.kms[key].grantees.append("arn:aws:iam::111122223333:role/serving")
        aws.account.add_secret("crm", "value", kms=key)
    preview = await aws_bench.preview(DISABLE, key=key)
    assert "cannot be read until" in preview.impact[0]
    assert len(preview.impact) == (1 if aws.real else 3)
    aws.front.add("status", path="/DisableKey", status=503)
    result = await aws_bench.after_lost(aws_bench.call(DISABLE, {"key": key}))
    assert (result.changed, result.verified) == (True, True)
    assert aws.admin.kms_key(key).state == "Disabled"
    _, back = await undone(aws_bench, DISABLE, result, key=key)
    assert back.verified and aws.admin.kms_key(key).state == "Enabled"
    again = await aws_bench.run(aws_bench.call(DISABLE, {"key": key}, step="again"))
    aws.admin.enable_kms(key, enabled=True)
    changes = {"undo_args": again.undo_args, "epoch": 1, "tries": 2, "step": "again"}
    left = await aws_bench.run(aws_bench.call(DISABLE, {"key": key}, verb=Verb.UNDO, **changes))
    assert (left.items.unknown, left.verified) == (1, False), "somebody enabled it since"


async def test_what_is_in_use_for_too_long_is_found(aws, aws_bench):
    user = aws.user("old-job", READER)
    secret, key = aws.secret("crm", "one"), aws.kms_key("weights")
    fresh = await aws_bench.apply("aws.check_cryptoperiods")
    mine = {user.id, secret, key}
    assert not mine & {row["id"] for row in aws_bench.rows(fresh.output["targets"])}
    assert fresh.output["complete"] and fresh.output["checked"] >= 5
    if aws.account is not None:
        for made in (aws.account.key(user.id), aws.account.secrets[secret], aws.account.kms[key]):
            made.created -= timedelta(days=800)
        for version in aws.account.secrets[secret].versions.values():
            version.created -= timedelta(days=800)
        aws.account.secrets[secret].changed = aws.account.now()
        aws.account.add_user("leaver")
        idle = aws.account.add_key("leaver", aws.account.now() - timedelta(days=800))
        idle.active = False
        aws.account.kms[key].rotations.append((aws.account.now(), "AUTOMATIC"))
        late = await aws_bench.run(aws_bench.call("aws.check_cryptoperiods", {}, step="late"))
        assert {row["id"] for row in aws_bench.rows(late.output["targets"])} == {user.id, secret}
        assert late.output["overdue"] == 2, "the KMS key was rotated since; a new tag is no new secret"
        assert late.output["kms_keys"] == []
        report = aws_bench.files()["aws.cryptoperiods.jsonl"].splitlines()
        assert json.loads(report[0])["overdue"] and "NIST SP 800-57" in json.loads(report[0])["reason"]
    else:
        strict = aws_bench.call("aws.check_cryptoperiods", {"at_most": "PT0.001S"}, step="strict")
        found = await aws_bench.run(strict)
        assert mine <= {row["id"] for row in aws_bench.rows(found.output["targets"])}
        assert key in found.output["kms_keys"] and not {user.id, secret} & set(found.output["kms_keys"])
        aws.admin.enable_kms(key, enabled=False)
        off = await aws_bench.run(aws_bench.call("aws.check_cryptoperiods", {"at_most": "PT0.001S"}, step="off"))
        assert key not in {row["id"] for row in aws_bench.rows(off.output["targets"])}, "it is in use for nothing"


async def test_only_keys_whose_material_kms_makes_are_offered_and_a_rotation_under_way_counts(
    simulated_aws, empty_database, tmp_path
):
    account = simulated_aws.account
    old = account.now() - timedelta(days=800)
    own = account.add_kms_key("own", created=old)
    foreign = account.add_kms_key("foreign", created=old, origin="EXTERNAL")
    account.add_kms_key("busy", created=old, rotating=account.now())
    shutil.copy(empty_database, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path / "home")
    bench = Bench(simulated_aws.client(), store, "aws")
    found = await bench.apply("aws.check_cryptoperiods")
    assert {row["id"] for row in bench.rows(found.output["targets"])} == {own.id, foreign.id}
    assert found.output["kms_keys"] == [own.id]
    store.close()


async def test_keys_that_may_not_be_read_make_the_check_incomplete(aws, aws_bench):
    poor = aws.user(
        "poor", {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]}
    )
    aws.hold("POOR_ID", poor.id)
    aws.hold("POOR_KEY", poor.secret)
    aws_bench.client = aws.client(access_key_id="secret:env/POOR_ID", secret_access_key="secret:env/POOR_KEY")
    result = await aws_bench.apply("aws.check_cryptoperiods")
    assert result.output["complete"] is False
    assert result.summary.endswith("; access keys and secrets not read whole")
    assert result.warnings == (
        "access keys could not all be read: a permission is missing",
        "secrets could not all be read: a permission is missing",
    )
