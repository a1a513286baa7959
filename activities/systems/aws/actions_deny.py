"""AWS actions that deny: everything to a user, or to the sessions of a role that were made before now.

An explicit deny wins over every allow (IAM user guide, policy evaluation logic). Both are inline policies of a known
name, so that people see in IAM's console what was done, and by whom.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from activities.action import P, Params, action
from activities.batches import ItemOutcome, Target
from activities.context import ActionContext
from activities.errors import Conflict, NotFound
from activities.systems.aws.declared import IDENTITY, OWNER, AwsTargets, Counted, one_by_one
from activities.systems.aws.models import (
    DENY_ALL,
    OLDER_SESSIONS,
    deny_all,
    document_of,
    instant_of,
    older_sessions,
    principal,
    same_document,
    text_of,
)
from playbooks.contract import Idempotency, Json, Risk


class _Policy(AwsTargets[P, Counted]):
    """What both share: a target's ``before`` holds the document that we write, and the one that was there."""

    kind = "User"
    policy = ""

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Write the document."""
        return one_by_one(targets, ctx, self._put)

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Put back what was there before, or nothing."""
        return one_by_one(targets, ctx, self._back)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether the policy says exactly what we wrote."""
        return {target.id: self._holds(target, ctx) for target in targets}

    def _holds(self, target: Target, ctx: ActionContext) -> bool:
        try:
            found = ctx.client.policy(self.kind, target.id, self.policy)
        except NotFound:
            return False
        return found is not None and same_document(found, target.before["document"])

    def _put(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        try:
            ctx.client.put_policy(self.kind, target.id, self.policy, _mapping(target.before["document"]))
        except Conflict as error:
            raise Conflict(
                f"{error.message} If the quota of inline policies is used up, attach the managed policy "
                "AWSDenyAll by hand."
            ) from None
        return ItemOutcome(target.id, "done")

    def _back(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        was = target.before["was"]
        if was:
            ctx.client.put_policy(self.kind, target.id, self.policy, _mapping(was))
        else:
            ctx.client.delete_policy(self.kind, target.id, self.policy)
        return ItemOutcome(target.id, "done")


class DenyUserParams(Params):
    """Which IAM user, by name or ARN."""

    user: str


@action(
    "aws.deny_user",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    needs_evidence=IDENTITY,
    scopes=("iam:GetUser", "iam:GetUserPolicy", "iam:PutUserPolicy", "iam:DeleteUserPolicy", "iam:ListAccessKeys"),
)
class DenyUser(_Policy[DenyUserParams], AwsTargets[DenyUserParams, Counted]):
    """Deny a user everything.

    By the inline policy ``StanchDenyAll``. It also denies temporary credentials of GetSessionToken; sessions of roles
    that the user assumed go on. AWS answers sts:GetCallerIdentity even then.
    """

    noun, done, undone, policy = "user", "denied everything", "no longer denied", DENY_ALL

    def find(self, params: DenyUserParams, ctx: ActionContext) -> list[Target]:
        """The user with its keys; a foreign policy of the same name is not overwritten."""
        name, mine = principal(params.user), ctx.client.identity()
        was = ctx.client.policy("User", name, DENY_ALL)
        keys = [ctx.client.used(key) for key in ctx.client.keys_of(name)]
        already = was is not None and same_document(was, deny_all())
        other = was is not None and not already
        return [
            Target(
                name,
                label="; ".join(f"{key.id} {key.use()}" for key in keys) or "no access key",
                already=already,
                own=bool(mine.user) and name == mine.user,
                names=(mine.arn,) if name == mine.user else (),
                before={"document": deny_all(), "was": None, "uses": [f"{key.id}: {key.use()}" for key in keys]},
                excluded=f"it has another policy named {DENY_ALL}, which is not Stanch's" if other else None,
            )
        ]

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """Its keys, and their last use."""
        return [target.label for target in targets]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who stops working, and what goes on."""
        if not targets:
            return []
        lines = [f"everything that acts as {target.id} stops until the policy is deleted" for target in targets]
        lines += [str(use) for target in targets for use in target.before["uses"][:10]]
        return [*lines, "sessions of roles that it assumed go on: revoke those of the roles too"]


class RevokeRoleSessionsParams(Params):
    """Of which role, by name or ARN."""

    role: str


@action(
    "aws.revoke_role_sessions",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    needs_evidence=IDENTITY,
    scopes=("iam:GetRole", "iam:GetRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"),
)
class RevokeRoleSessions(_Policy[RevokeRoleSessionsParams], AwsTargets[RevokeRoleSessionsParams, Counted]):
    """Revoke the sessions of a role that were made before now.

    By the inline policy ``AWSRevokeOlderSessions``, as IAM's console does it: credentials whose
    ``aws:TokenIssueTime`` is older are denied. Whoever may assume the role gets new ones.
    """

    noun, done, undone, kind, policy = "role", "with older sessions denied", "restored", "Role", OLDER_SESSIONS

    def find(self, params: RevokeRoleSessionsParams, ctx: ActionContext) -> list[Target]:
        """The role. It is never already so: sessions may have been made since the last time."""
        name, mine = principal(params.role), ctx.client.identity()
        role = ctx.client.role(name)
        was = ctx.client.policy("Role", name, OLDER_SESSIONS)
        used = role.get("RoleLastUsed") or {}
        when, where = instant_of(used.get("LastUsedDate")), str(used.get("Region") or "")
        last = f"last used {text_of(when)}{' in ' + where if where and when else ''}"
        if was is not None and not _ours(was):
            return [Target(name, excluded=f"it has a policy named {OLDER_SESSIONS} that says something else")]
        return [
            Target(
                name,
                label=last,
                own=bool(mine.role) and name == mine.role,
                before={"document": older_sessions(datetime.now(UTC)), "was": was, "last": last},
            )
        ]

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """When and where the role was last used."""
        return [target.label for target in targets]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who has to come back."""
        lines = [
            f"who holds credentials of {target.id} from before now must assume the role anew; {target.before['last']}"
            for target in targets
        ]
        return [*lines, "AWS services fetch new ones by themselves, in minutes to hours"] if targets else []


def _ours(document: Any) -> bool:
    """Whether a policy only denies older sessions, so that a later instant may take its place."""
    statements = document_of(document).get("Statement")
    rows = statements if isinstance(statements, list) else [statements]
    return all(
        isinstance(row, dict)
        and row.get("Effect") == "Deny"
        and "aws:TokenIssueTime" in ((row.get("Condition") or {}).get("DateLessThan") or {})
        for row in rows
    )


def _mapping(document: Json) -> dict[str, Any]:
    return dict(document)


ACTIONS = (DenyUser, RevokeRoleSessions)
