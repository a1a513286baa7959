"""A user that was denied everything works again, but not while an inactive key is left; simulated and moto alike."""

from tests.systems.aws_site import READER
from tests.systems.test_aws_keys import DEACTIVATE, DELETE, DENY, tried, undone

ALLOW = "aws.allow_user"


async def test_it_works_again_once_the_stolen_key_is_deleted(aws, aws_bench):
    held = aws.user("svc-inference", READER)
    name = aws.name("svc-inference")
    await aws_bench.apply(DEACTIVATE, targets=[held.id])
    await aws_bench.apply(DENY, user=name)
    early = await aws_bench.preview(ALLOW, user=name)
    assert early.count == 0 and "is inactive, not deleted" in early.excluded[0]
    assert "StanchDenyAll" in aws.policies("svc-inference")
    await aws_bench.apply(DELETE, targets=[held.id])
    result = await aws_bench.apply(ALLOW, user=name)
    assert (result.affected.count, result.verified) == (1, True)
    assert "StanchDenyAll" not in aws.policies("svc-inference")
    again = await aws_bench.run(aws_bench.call(ALLOW, {"user": name}, step="again"))
    assert (again.changed, again.affected.count) == (False, 0)
    assert not (await tried(aws_bench, aws, held, "sagemaker:ListEndpoints", "thief"))["works"]


async def test_it_is_taken_back_by_denying_again(aws, aws_bench):
    aws.user("svc-inference", READER)
    name = aws.name("svc-inference")
    await aws_bench.apply(DENY, user=name)
    result = await aws_bench.apply(ALLOW, user=name)
    _, back = await undone(aws_bench, ALLOW, result, user=name)
    assert back.verified and "StanchDenyAll" in aws.policies("svc-inference")


async def test_a_policy_of_somebody_else_stays(aws, aws_bench):
    aws.user("svc-inference", READER)
    name = aws.name("svc-inference")
    other = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
    aws.admin.put_policy("User", name, "StanchDenyAll", other)
    preview = await aws_bench.preview(ALLOW, user=name)
    assert preview.count == 0 and "not Stanch's" in preview.excluded[0]
