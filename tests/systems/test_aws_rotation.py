"""Rotation of an access key, of secrets and of KMS keys: once, through lost answers, beside others who do the same."""

import json
from typing import Any

import pytest

from activities.systems.aws.account import Credential
from playbooks.contract import ActionResult, Preview, Verb
from tests.systems.acme import Bench
from tests.systems.aws_site import READER, Site

ROTATE = "aws.rotate_access_key"
UNITED = {"access_key_id": "", "secret_access_key": ""}


async def undone(bench: Bench, name: str, result: ActionResult, **params: Any) -> tuple[Preview, ActionResult]:
    """The preview of an undo, and the undo."""
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    preview: Any = await bench.run(bench.call(name, params, verb=Verb.PREVIEW, **changes))
    return preview, await bench.run(bench.call(name, params, verb=Verb.UNDO, **changes))


@pytest.fixture
def exposed(aws: Site) -> Credential:
    """The key of ``svc-inference`` that has to be replaced."""
    return aws.user("svc-inference", READER)


@pytest.fixture
def secret(aws: Site, exposed: Credential) -> str:
    """Where the programs of ``svc-inference`` read their key from, with a field that is none of ours."""
    held = {"AWS_ACCESS_KEY_ID": exposed.id, "AWS_SECRET_ACCESS_KEY": exposed.secret, "region": "eu-central-1"}
    return aws.secret("svc-inference/aws", json.dumps(held))


def held(aws: Site, secret: str) -> dict[str, str]:
    """What programs get."""
    found: dict[str, str] = json.loads(aws.admin.value(secret))
    return found


async def works(bench: Bench, aws: Site, key: str, secret: str, step: str) -> bool:
    """Whether a key is let through."""
    credential = aws.thief(Credential(key, secret))
    tried = await bench.run(
        bench.call("aws.try_access_key", {"credential": credential, "action": "sagemaker:ListEndpoints"}, step=step)
    )
    return bool(tried.output["works"])


async def test_the_preview_says_who_fetches_a_new_key(aws, aws_bench, exposed, secret):
    preview = await aws_bench.preview(ROTATE, user=aws.name("svc-inference"), secret=secret)
    assert (preview.count, preview.reversible) == (1, True)
    assert secret in preview.impact[0] and "nothing stops yet" in preview.impact[0]
    assert exposed.id in preview.impact[1]
    assert list(aws.keys("svc-inference")) == [exposed.id], "a preview makes no key"


async def test_a_new_key_is_in_the_secret_and_nowhere_else(aws, aws_bench, exposed, secret):
    before = aws.admin.described(secret).current
    result = await aws_bench.apply(ROTATE, user=aws.name("svc-inference"), secret=secret)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    now = held(aws, secret)
    assert now["region"] == "eu-central-1", "other fields stay"
    assert now["AWS_ACCESS_KEY_ID"] == result.output["key"] != exposed.id
    assert aws.keys("svc-inference") == {exposed.id: True, result.output["key"]: True}
    described = aws.admin.described(secret)
    assert described.current == result.output["version"] and described.stages["AWSPREVIOUS"] == before
    assert [row["id"] for row in aws_bench.rows(result.output["previous"])] == [exposed.id]
    assert await works(aws_bench, aws, now["AWS_ACCESS_KEY_ID"], now["AWS_SECRET_ACCESS_KEY"], "new")
    kept = b"".join(aws_bench.files().values()).decode() + aws_bench.journal() + result.model_dump_json()
    assert now["AWS_SECRET_ACCESS_KEY"] not in kept and exposed.secret not in kept
    assert repr(Credential("ID", "the-secret")) == "Credential()"


@pytest.mark.parametrize("operation", ["CreateAccessKey", "PutSecretValue", "UpdateSecretVersionStage"])
@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "status"])
async def test_a_rotation_half_done_is_ended_with_one_new_key(aws, aws_bench, exposed, secret, operation, kind):
    aws.front.add(kind, path=f"/{operation}$", status=500)
    call = aws_bench.call(ROTATE, {"user": aws.name("svc-inference"), "secret": secret})
    if (operation, kind) == ("PutSecretValue", "drop_after"):
        # The version's id tells at once that it was written.
        result = await aws_bench.run(call)
    else:
        result = await aws_bench.after_lost(call)
    assert (result.changed, result.verified, result.affected.count) == (True, True, 1)
    keys = aws.keys("svc-inference")
    assert len(keys) == 2 and keys[exposed.id] and keys[result.output["key"]]
    now = held(aws, secret)
    assert now["AWS_ACCESS_KEY_ID"] == result.output["key"]
    assert await works(aws_bench, aws, now["AWS_ACCESS_KEY_ID"], now["AWS_SECRET_ACCESS_KEY"], "new")


async def test_a_secret_that_cannot_be_written_leaves_no_key_behind(aws, aws_bench, exposed, secret):
    body = b'{"__type": "AccessDeniedException", "message": "no"}'
    aws.front.add("status", path="/PutSecretValue", status=400, body=body)
    refused = await aws_bench.refused(aws_bench.call(ROTATE, {"user": aws.name("svc-inference"), "secret": secret}))
    assert refused.type == "Forbidden" and "deleted again" in refused.message
    assert list(aws.keys("svc-inference")) == [exposed.id]
    assert held(aws, secret)["AWS_ACCESS_KEY_ID"] == exposed.id


async def test_a_stage_that_somebody_moves_meanwhile_is_not_overwritten(aws, aws_bench, exposed, secret):
    theirs = json.dumps({"AWS_ACCESS_KEY_ID": exposed.id, "AWS_SECRET_ACCESS_KEY": "theirs"})
    aws.front.add("act_before", path="/UpdateSecretVersionStage", act=lambda: aws.restage(secret, theirs))
    result = await aws_bench.apply(ROTATE, user=aws.name("svc-inference"), secret=secret)
    assert (result.verified, result.items.failed) == (False, 1)
    assert result.items.failures[0].endswith("stage_moved_since")
    assert held(aws, secret)["AWS_SECRET_ACCESS_KEY"] == "theirs"
    assert list(aws.keys("svc-inference")) == [exposed.id], "our key, which nobody has, is deleted again"
    aws.front.clear()
    params = {"user": aws.name("svc-inference"), "secret": secret}
    again = await aws_bench.run(aws_bench.call(ROTATE, params, tries=2))
    assert (again.changed, again.verified) == (True, True), "decided anew, on what it is now"
    assert held(aws, secret)["AWS_ACCESS_KEY_ID"] == again.output["key"]


async def test_a_stage_moved_between_two_attempts(aws, aws_bench, exposed, secret):
    aws.front.add("drop_before", path="/UpdateSecretVersionStage")
    call = aws_bench.call(ROTATE, {"user": aws.name("svc-inference"), "secret": secret})
    await aws_bench.refused(call)
    theirs = json.dumps({"AWS_ACCESS_KEY_ID": exposed.id, "AWS_SECRET_ACCESS_KEY": "theirs"})
    aws.restage(secret, theirs)
    result = await aws_bench.run(call, attempt=2)
    assert (result.verified, result.items.failed) == (False, 1)
    assert held(aws, secret)["AWS_SECRET_ACCESS_KEY"] == "theirs"
    assert list(aws.keys("svc-inference")) == [exposed.id]


async def test_a_key_that_a_thief_makes_meanwhile_is_not_taken_for_ours(aws, aws_bench, exposed, secret):
    name = aws.name("svc-inference")
    made: list[Credential] = []
    aws_bench.before_change = lambda: made.append(aws.admin.create_key(name))
    refused = await aws_bench.refused(aws_bench.call(ROTATE, {"user": name, "secret": secret}))
    assert refused.type == "Conflict" and "a thief makes keys too" in refused.message
    assert set(aws.keys("svc-inference")) == {exposed.id, made[0].id}
    assert held(aws, secret)["AWS_ACCESS_KEY_ID"] == exposed.id


async def test_what_could_not_end_well_is_refused_before_a_key_is_made(aws, aws_bench, exposed, secret):
    name = aws.name("svc-inference")
    odd = aws.secret("odd", "just a password")
    unclear = aws.secret("unclear", json.dumps({"user": "x", "password": "y"}))
    for step, params, kind in (
        ("none", {"user": name, "secret": "no-such-secret"}, "NotFound"),
        ("odd", {"user": name, "secret": odd}, "Rejected"),
        ("unclear", {"user": name, "secret": unclear}, "Rejected"),
        ("own", {"user": aws.name("stanch"), "secret": secret}, "Protected"),
    ):
        refused = await aws_bench.refused(aws_bench.call(ROTATE, params, step=step))
        assert refused.type == kind, step
    aws.admin.create_key(name)
    full = await aws_bench.refused(aws_bench.call(ROTATE, {"user": name, "secret": secret}, step="full"))
    assert full.type == "Conflict" and "allows no third" in full.message
    assert aws.front.asked("/CreateAccessKey") == 1, "only somebody else's"


async def test_a_key_as_plain_text_stays_plain_text(aws, aws_bench, exposed):
    secret = aws.secret("plain", f"{exposed.id}:{exposed.secret}")
    result = await aws_bench.apply(ROTATE, user=aws.name("svc-inference"), secret=secret)
    id_, _, key = aws.admin.value(secret).partition(":")
    assert id_ == result.output["key"]
    assert await works(aws_bench, aws, id_, key, "new")


async def test_a_rotation_is_taken_back(aws, aws_bench, exposed, secret):
    params = {"user": aws.name("svc-inference"), "secret": secret}
    result = await aws_bench.apply(ROTATE, **params)
    aws.front.add("drop_after", path="/UpdateSecretVersionStage")
    changes = {"undo_args": result.undo_args, "epoch": 1, "tries": 2}
    back = await aws_bench.after_lost(aws_bench.call(ROTATE, params, verb=Verb.UNDO, **changes))
    assert back.verified
    assert held(aws, secret)["AWS_ACCESS_KEY_ID"] == exposed.id
    assert aws.keys("svc-inference") == {exposed.id: True, result.output["key"]: False}


async def test_an_undo_does_not_overwrite_what_somebody_staged_since(aws, aws_bench, exposed, secret):
    params = {"user": aws.name("svc-inference"), "secret": secret}
    result = await aws_bench.apply(ROTATE, **params)
    theirs = json.dumps({"AWS_ACCESS_KEY_ID": exposed.id, "AWS_SECRET_ACCESS_KEY": "theirs"})
    aws.restage(secret, theirs)
    _, back = await undone(aws_bench, ROTATE, result, **params)
    assert (back.items.unknown, back.verified) == (1, False)
    assert held(aws, secret)["AWS_SECRET_ACCESS_KEY"] == "theirs"
    assert all(aws.keys("svc-inference").values())
