"""The AWS action that lets a user work again, once what was stolen of theirs is gone."""

from collections.abc import Mapping, Sequence

from activities.action import Params, action
from activities.batches import ItemOutcome, Target
from activities.context import ActionContext
from activities.systems.aws.declared import OWNER, AwsTargets, Counted, one_by_one
from activities.systems.aws.models import DENY_ALL, deny_all, principal, same_document
from playbooks.contract import Idempotency, Risk


class AllowUserParams(Params):
    """Which IAM user, by name or ARN."""

    user: str


@action(
    "aws.allow_user",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("iam:GetUserPolicy", "iam:PutUserPolicy", "iam:DeleteUserPolicy", "iam:ListAccessKeys"),
)
class AllowUser(AwsTargets[AllowUserParams, Counted]):
    """Let a user work again that was denied everything.

    Deletes the inline policy ``StanchDenyAll``, if it says what ``aws.deny_user`` wrote. A user with an inactive key is
    left out: wherever an inactive key is honoured, only that policy refuses it.
    """

    noun, done, undone = "user", "no longer denied", "denied everything again"

    def find(self, params: AllowUserParams, ctx: ActionContext) -> list[Target]:
        """The user with its keys; a foreign policy of the same name is not deleted."""
        name = principal(params.user)
        was = ctx.client.policy("User", name, DENY_ALL)
        asleep = [key.id for key in ctx.client.keys_of(name) if not key.active]
        excluded = None
        if was is not None and not same_document(was, deny_all()):
            excluded = f"it has another policy named {DENY_ALL}, which is not Stanch's"
        elif was is not None and asleep:
            excluded = f"its key {asleep[0]} is inactive, not deleted: delete it first"
        return [Target(name, already=was is None, before={"document": was}, excluded=excluded)]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Delete the policy."""
        return one_by_one(targets, ctx, _allow)

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Write it again."""
        return one_by_one(targets, ctx, _deny)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether it is gone."""
        return {target.id: ctx.client.policy("User", target.id, DENY_ALL) is None for target in targets}

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who works again."""
        return [f"every active key of {target.id} works again, with all that its policies allow" for target in targets]


def _allow(target: Target, ctx: ActionContext) -> ItemOutcome:
    ctx.client.delete_policy("User", target.id, DENY_ALL)
    return ItemOutcome(target.id, "done")


def _deny(target: Target, ctx: ActionContext) -> ItemOutcome:
    ctx.client.put_policy("User", target.id, DENY_ALL, deny_all())
    return ItemOutcome(target.id, "done")


ACTIONS = (AllowUser,)
