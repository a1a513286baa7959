"""AWS actions that only look: an identity with all that it may do, access keys, a stolen key tried, overdue keys."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import Field, field_validator

from activities.action import Action, Applied, Params, Proposal, Result, action
from activities.context import ActionContext
from activities.cryptoperiods import SOURCE, KeyAge, KeyKind, judge, renewable
from activities.errors import Forbidden, NotFound
from activities.systems.aws.client import PROBES
from activities.systems.aws.declared import IDENTITY, OWNER, plural
from activities.systems.aws.models import AccessKey, key_id, may_assume, principal
from playbooks.contract import EvidenceRef, Json, Risk, TargetSet


class SnapshotIdentityParams(Params):
    """Which IAM user, by name or ARN."""

    user: str


class IdentitySnapshot(Result):
    """What was secured of a user: its access keys, policies, and the roles that it may assume."""

    keys: int
    policies: int
    roles: list[str]
    complete: bool


@action(
    "aws.snapshot_identity",
    risk=Risk.READ,
    owner=OWNER,
    acquires=IDENTITY,
    scopes=(
        "iam:GetUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:ListUserPolicies",
        "iam:GetUserPolicy",
        "iam:ListAttachedUserPolicies",
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:ListGroupsForUser",
        "iam:ListGroupPolicies",
        "iam:GetGroupPolicy",
        "iam:ListAttachedGroupPolicies",
        "iam:ListRoles",
    ),
    timeout=timedelta(minutes=10),
)
class SnapshotIdentity(Action[SnapshotIdentityParams, IdentitySnapshot]):
    """Secure what an IAM user has and may do."""

    def apply(
        self, params: SnapshotIdentityParams, ctx: ActionContext, proposal: Proposal
    ) -> Applied[IdentitySnapshot]:
        """Keep user, keys with last use, policies with documents, groups and roles that trust it."""
        client, name = ctx.client, principal(params.user)
        user = client.call("iam", "GetUser", doing="reading a user", UserName=name)["User"]
        missing: list[str] = []

        def part(what: str, read: Callable[[], list[Any]]) -> list[Any]:
            try:
                return read()
            except Forbidden:
                missing.append(what)
                return []

        def rows(operation: str, key: str, doing: str, **given: Any) -> list[Any]:
            return list(client.pages("iam", operation, key, doing=doing, **given))

        keys: list[AccessKey] = part("keys", lambda: [client.used(key) for key in client.keys_of(name)])
        inline = part(
            "inline policies",
            lambda: [
                {"name": policy, "document": client.policy("User", name, policy)}
                for policy in rows("ListUserPolicies", "PolicyNames", "listing policies", UserName=name)
            ],
        )
        attached = part(
            "attached policies",
            lambda: rows("ListAttachedUserPolicies", "AttachedPolicies", "listing policies", UserName=name),
        )
        groups = part("groups", lambda: rows("ListGroupsForUser", "Groups", "listing groups", UserName=name))
        documents = [policy["document"] for policy in inline if policy["document"]]
        documents += part("attached policies", lambda: [client.managed(str(row["PolicyArn"])) for row in attached])
        for group in groups:
            documents += part("policies of groups", partial(client.group_policies, str(group["GroupName"])))
        roles = part("roles", lambda: rows("ListRoles", "Roles", "listing roles"))
        trusted = [
            role
            for role in roles
            if may_assume(str(user["Arn"]), documents, str(role["Arn"]), role.get("AssumeRolePolicyDocument"))
        ]
        kept = {
            "user": user,
            "access_keys": [key.row() for key in keys],
            "inline_policies": inline,
            "attached_policies": attached,
            "groups": groups,
            "policies_in_effect": documents,
            "roles_that_trust_it": trusted,
            "not_read": missing,
        }
        ctx.put(json.dumps(kept, sort_keys=True, default=str).encode(), name="identity.json")
        warnings = [f"{what} could not be read: a permission is missing" for what in dict.fromkeys(missing)]
        return Applied(
            IdentitySnapshot(
                keys=len(keys),
                policies=len(inline) + len(attached),
                roles=sorted(str(role["RoleName"]) for role in trusted),
                complete=not missing,
            ),
            summary=f"{plural(len(keys), 'access key')}, {len(inline) + len(attached)} policies, "
            f"{plural(len(trusted), 'role')} secured",
            warnings=tuple(warnings),
        )


class ListAccessKeysParams(Params):
    """Whose keys, or which by id; without either those of every user."""

    user: str | None = None
    key_ids: list[str] | None = None


class AccessKeysListed(Result):
    """Access keys: ``users`` are the names of those that have one, ``active`` counts those that are."""

    targets: TargetSet
    users: list[str]
    count: int
    active: int


@action(
    "aws.list_access_keys",
    risk=Risk.READ,
    owner=OWNER,
    scopes=("iam:ListUsers", "iam:ListAccessKeys", "iam:GetAccessKeyLastUsed"),
    timeout=timedelta(minutes=10),
)
class ListAccessKeys(Action[ListAccessKeysParams, AccessKeysListed]):
    """List access keys with whose they are and their last use."""

    def apply(self, params: ListAccessKeysParams, ctx: ActionContext, proposal: Proposal) -> Applied[AccessKeysListed]:
        """By id, of a user, or all."""
        client, warnings = ctx.client, []
        if params.key_ids is not None:
            found = [client.key(key_id(id_)) for id_ in dict.fromkeys(params.key_ids)]
            keys = [key for key in found if key is not None]
            if params.user is not None:
                keys = [key for key in keys if key.user == principal(params.user)]
            if len(keys) < len(found):
                warnings.append(f"{plural(len(found) - len(keys), 'key')} that was named is not there")
        else:
            users = [principal(params.user)] if params.user is not None else client.users()
            keys = []
            for name in users:
                try:
                    keys += [client.used(key) for key in client.keys_of(name)]
                except NotFound:
                    # Deleted while we listed; named alone, it is an error.
                    if params.user is not None:
                        raise
        active = sum(key.active for key in keys)
        return Applied(
            AccessKeysListed(
                targets=ctx.put_rows([key.row() for key in keys], name="aws.access_keys"),
                users=sorted({key.user for key in keys}),
                count=len(keys),
                active=active,
            ),
            summary=f"{plural(len(keys), 'access key')}, {active} active",
            warnings=tuple(warnings),
        )


class TryAccessKeyParams(Params):
    """Which key, as a reference of a secret ``ID:SECRET``; and what to try with it."""

    credential: str
    action: str = "sts:GetCallerIdentity"

    @field_validator("credential")
    @classmethod
    def _reference(cls, text: str) -> str:
        if not text.startswith("secret:"):
            raise ValueError("write a reference such as secret:file/PATH, never the key itself")
        return text

    @field_validator("action")
    @classmethod
    def _known(cls, text: str) -> str:
        if text not in PROBES:
            raise ValueError(f"one of {', '.join(PROBES)}")
        return text


class KeyTried(Result):
    """Whether AWS let the key through, and the code of its answer."""

    works: bool
    code: str


@action("aws.try_access_key", risk=Risk.READ, owner=OWNER, timeout=timedelta(minutes=2))
class TryAccessKey(Action[TryAccessKeyParams, KeyTried]):
    """Try an access key as whoever holds it.

    sts:GetCallerIdentity shows whether the key is alive, and is answered even to a user that is denied everything; the
    other actions show whether it can still do anything. It leaves a line in CloudTrail under that key.
    """

    def apply(self, params: TryAccessKeyParams, ctx: ActionContext, proposal: Proposal) -> Applied[KeyTried]:
        """One read with that key."""
        works, code = ctx.client.try_key(params.credential, params.action)
        said = "is let through" if works else "is refused"
        return Applied(KeyTried(works=works, code=code), summary=f"{params.action} {said} ({code})")


class CheckCryptoperiodsParams(Params):
    """A house rule shorter than NIST's periods, if there is one."""

    at_most: timedelta | None = Field(default=None, gt=timedelta(0))


class Cryptoperiods(Result):
    """How many keys and secrets are in use for too long; the ``report`` judges each.

    ``kms_keys`` are those of the overdue that ``aws.rotate_kms_key`` mends, at most 500.
    """

    overdue: int
    checked: int
    kms_keys: list[str]
    targets: TargetSet
    report: EvidenceRef
    complete: bool


@action(
    "aws.check_cryptoperiods",
    risk=Risk.READ,
    owner=OWNER,
    scopes=(
        "iam:ListUsers",
        "iam:ListAccessKeys",
        "kms:ListKeys",
        "kms:DescribeKey",
        "kms:ListKeyRotations",
        "kms:GetKeyRotationStatus",
        "secretsmanager:ListSecrets",
        "secretsmanager:ListSecretVersionIds",
    ),
    timeout=timedelta(minutes=15),
)
class CheckCryptoperiods(Action[CheckCryptoperiodsParams, Cryptoperiods]):
    """Find access keys, KMS keys and secrets in use for longer than NIST SP 800-57 suggests."""

    def apply(self, params: CheckCryptoperiodsParams, ctx: ActionContext, proposal: Proposal) -> Applied[Cryptoperiods]:
        """Access keys and secrets as authentication keys, KMS keys by what they are for."""
        missing: list[str] = []
        ages: list[KeyAge] = []
        for what, read in (("access keys", _access_keys), ("KMS keys", _kms_keys), ("secrets", _secrets)):
            try:
                for age in read(ctx):
                    if age is not None:
                        ages.append(age)
                    elif what not in missing:
                        missing.append(what)
            except Forbidden:
                missing.append(what)
        judged = judge(ages, ctx.now(), params.at_most)
        rows: list[dict[str, Json]] = [dict(found.row()) for found in judged]
        late = [row for row in rows if row["overdue"]]
        lines = b"".join(json.dumps(row, sort_keys=True).encode() + b"\n" for row in rows)
        report = ctx.put(lines, name="aws.cryptoperiods.jsonl", media_type="application/jsonl")
        return Applied(
            Cryptoperiods(
                overdue=len(late),
                checked=len(rows),
                kms_keys=renewable(judged),
                targets=ctx.put_rows(late, name="aws.overdue"),
                report=report,
                complete=not missing,
            ),
            summary=f"{len(late)} of {len(rows)} keys and secrets overdue by {SOURCE}"
            + (f"; {' and '.join(missing)} not read whole" if missing else ""),
            warnings=tuple(f"{what} could not all be read: a permission is missing" for what in missing),
        )


def _access_keys(ctx: ActionContext) -> Iterator[KeyAge | None]:
    for user in ctx.client.users():
        ctx.progress({"user": user})
        for key in ctx.client.keys_of(user):
            # An inactive one is in use for nothing.
            if key.active:
                label = f"access key of {key.user}"
                yield KeyAge(key.id, KeyKind.SYMMETRIC_AUTHENTICATION, key.created, label=label)


def _kms_keys(ctx: ActionContext) -> Iterator[KeyAge | None]:
    for id_ in ctx.client.kms_keys():
        ctx.progress({"kms": id_})
        try:
            yield from _kms_key(id_, ctx)
        except Forbidden:
            # Its own policy may keep us out, and of this key only.
            yield None


def _kms_key(id_: str, ctx: ActionContext) -> Iterator[KeyAge]:
    key = ctx.client.kms_key(id_)
    if not key.customer or key.state != "Enabled":
        # A disabled one is in use for nothing.
        return
    kind, rotated, renews = KeyKind.PRIVATE_SIGNATURE, None, False
    if key.spec == "SYMMETRIC_DEFAULT":
        # KMS replaces only the material that it made itself.
        kind, renews = KeyKind.KEY_WRAPPING, key.origin == "AWS_KMS"
        dates = [when for when, _ in ctx.client.rotations(id_) if when is not None]
        if renews and ctx.client.rotating(id_):
            dates.append(ctx.now())
        rotated = max(dates, default=None)
    elif key.spec.startswith("HMAC"):
        kind = KeyKind.SYMMETRIC_AUTHENTICATION
    yield KeyAge(key.id, kind, key.created, rotated=rotated, label=key.description or "KMS key", renews=renews)


def _secrets(ctx: ActionContext) -> Iterator[KeyAge | None]:
    for secret in ctx.client.secrets():
        if not secret.deleted:
            # Not since it was last changed: a new tag is a change, too.
            made = ctx.client.current_since(secret.arn)
            yield KeyAge(secret.name, KeyKind.SYMMETRIC_AUTHENTICATION, secret.created, rotated=made, label="secret")


ACTIONS = (SnapshotIdentity, ListAccessKeys, TryAccessKey, CheckCryptoperiods)
