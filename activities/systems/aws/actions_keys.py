"""AWS actions on IAM access keys: deactivate, and delete for good."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from activities.action import Params, Targets, action
from activities.batches import ItemOutcome, Target
from activities.context import ActionContext
from activities.systems.aws.declared import IDENTITY, OWNER, AwsTargets, Counted, one_by_one
from activities.systems.aws.models import AccessKey, key_id
from playbooks.contract import Idempotency, Risk


class AccessKeysParams(Params):
    """Which access keys: a list step's target set, or at most 500 key ids."""

    targets: Targets


class _Keys(AwsTargets[AccessKeysParams, Counted]):
    """What both share: each key is looked up live, with whose it is and what it was last used for."""

    noun = "access key"

    def _target(self, key: AccessKey, ctx: ActionContext, *, already: bool, excluded: str | None = None) -> Target:
        mine = ctx.client.identity()
        return Target(
            key.id,
            label=f"{key.user}, {key.use()}",
            already=already,
            own=bool(mine.user) and key.user == mine.user,
            names=(key.user,),
            before={"user": key.user, "active": key.active, "use": key.use()},
            excluded=excluded,
        )

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """Whose key it is, and its last use."""
        return [target.label for target in targets]

    def _impact(self, targets: Sequence[Target], end: str) -> list[str]:
        lines = [
            f"{target.before['user']}: what uses {target.id} {end}; {target.before['use']}" for target in targets[:10]
        ]
        more = len(targets) - len(lines)
        return [*lines, f"{more} more keys"] if more > 0 else lines

    def _live(self, targets: Sequence[Target], ctx: ActionContext) -> dict[str, AccessKey]:
        """The keys of the targets' users that are there now."""
        users = sorted({str(target.before["user"]) for target in targets})
        return {key.id: key for user in users for key in ctx.client.keys_of(user)}


@action(
    "aws.deactivate_access_keys",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    needs_evidence=IDENTITY,
    scopes=("iam:GetAccessKeyLastUsed", "iam:ListAccessKeys", "iam:UpdateAccessKey"),
    timeout=timedelta(minutes=10),
)
class DeactivateAccessKeys(_Keys):
    """Make access keys inactive.

    Credentials that were made of a key with GetSessionToken or AssumeRole live on: deny the user and revoke the
    sessions of its roles as well, and try the key as its thief.
    """

    done, undone = "made inactive", "made active again"

    def find(self, params: AccessKeysParams, ctx: ActionContext) -> list[Target]:
        """Each key as it is now."""
        found = []
        for row in ctx.rows(params.targets):
            id_ = key_id(row["id"])
            key = ctx.client.key(id_)
            if key is None:
                found.append(Target(id_, excluded="no key of this id in this account; it may have been deleted"))
                continue
            found.append(self._target(key, ctx, already=not key.active))
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who stops working, and what inactive does not end."""
        if not targets:
            return []
        lines = self._impact(targets, "stops until it is made active again")
        return [*lines, "temporary credentials that were made of a key live on until they end or are denied"]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request a key."""
        return one_by_one(targets, ctx, lambda target, ctx: self._set(target, ctx, active=False))

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Make active again."""
        return one_by_one(targets, ctx, lambda target, ctx: self._set(target, ctx, active=True))

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is inactive; of a deleted one that is not known."""
        live = self._live(targets, ctx)
        return {target.id: not live[target.id].active for target in targets if target.id in live}

    def _set(self, target: Target, ctx: ActionContext, *, active: bool) -> ItemOutcome:
        ctx.client.set_key(str(target.before["user"]), target.id, active=active)
        return ItemOutcome(target.id, "done")


@action(
    "aws.delete_access_keys",
    risk=Risk.DESTROY,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    irreversible="a deleted access key cannot be restored; a new one is made with aws.rotate_access_key",
    needs_evidence=IDENTITY,
    scopes=("iam:GetAccessKeyLastUsed", "iam:ListAccessKeys", "iam:DeleteAccessKey"),
    timeout=timedelta(minutes=10),
)
class DeleteAccessKeys(_Keys):
    """Delete access keys that are inactive.

    An active one is left out: making it inactive first shows who still needs it, and can be taken back.
    """

    done = "deleted"

    def find(self, params: AccessKeysParams, ctx: ActionContext) -> list[Target]:
        """Each key as it is now; one that is not there is already deleted."""
        found = []
        for row in ctx.rows(params.targets):
            id_ = key_id(row["id"])
            key = ctx.client.key(id_)
            if key is None:
                found.append(Target(id_, already=True, before={"user": str(row.get("user") or "")}))
                continue
            active = "still active; make it inactive first and see who needs it" if key.active else None
            found.append(self._target(key, ctx, already=False, excluded=active))
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What is lost."""
        return self._impact(targets, "has to get a new key")

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request a key."""

        def delete(target: Target, ctx: ActionContext) -> ItemOutcome:
            gone = ctx.client.delete_key(str(target.before["user"]), target.id)
            return ItemOutcome(target.id, "done" if gone else "already")

        return one_by_one(targets, ctx, delete)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is gone."""
        live = self._live([target for target in targets if target.before.get("user")], ctx)
        return {target.id: target.id not in live for target in targets}


ACTIONS = (DeactivateAccessKeys, DeleteAccessKeys)
