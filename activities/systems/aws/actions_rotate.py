"""The rotation of an IAM access key: made, put where its users fetch it, and taken back.

    make key -> write it as a version of a known id under a label of ours -> move AWSCURRENT to it

Each step is found again after a lost answer. The version's id is derived from the call, so that its retry sees what
was written. A key whose secret was lost with the answer is deleted before another is made: IAM allows two per user.
AWSCURRENT is moved by naming the version that must hold it, so that a move of somebody else's makes AWS refuse ours.
"""

import contextlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from activities.action import Applied, Params, Proposal, Result, action
from activities.batches import ItemOutcome, Target, earlier_targets
from activities.context import ActionContext
from activities.errors import Ambiguous, Conflict, ConnectorError, NotFound, Permanent, Rejected
from activities.systems.aws.account import Credential
from activities.systems.aws.client import Aws
from activities.systems.aws.declared import OWNER, AwsTargets
from activities.systems.aws.models import CURRENT, AccessKey, principal
from playbooks.contract import Idempotency, Json, Risk, TargetSet

MOVED = "stage_moved_since"
"""Somebody gave the secret another current version: ours is not put over it."""
LABEL = "STANCH"
"""Staging label of the version that a rotation is writing; nobody reads by it."""
MOST = 2
"""Access keys per user (IAM quotas)."""
PLAIN = re.compile(r"[A-Z0-9]{16,128}:\S+")
ID_NAMES = ("accesskeyid", "awsaccesskeyid", "keyid", "accesskey", "awsaccesskey")
SECRET_NAMES = ("secretaccesskey", "awssecretaccesskey", "secretkey", "awssecretkey")


class RotateAccessKeyParams(Params):
    """Of which IAM user; and the secret of Secrets Manager that its programs fetch the key from."""

    user: str
    secret: str


class KeyRotated(Result):
    """``count`` is 1 once the secret holds a new key; ``key`` is its id, ``version`` the secret's version."""

    count: int
    key: str | None = None
    version: str | None = None
    previous: TargetSet | None = None
    """The user's older keys, to be made inactive once the new one is in use."""


@action(
    "aws.rotate_access_key",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.CHECK_FIRST,
    reversible=True,
    scopes=(
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:CreateAccessKey",
        "iam:UpdateAccessKey",
        "iam:DeleteAccessKey",
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    ),
    timeout=timedelta(minutes=5),
)
class RotateAccessKey(AwsTargets[RotateAccessKeyParams, KeyRotated]):
    """Make a new access key and put it into Secrets Manager.

    The old key stays as it is until its users have fetched the new one: make it inactive then. The new key's secret
    is in Secrets Manager only. To take back means that the secret holds the old key again and the new one is inactive.
    """

    noun, done, undone = "access key", "rotated", "taken back"

    def find(self, params: RotateAccessKeyParams, ctx: ActionContext) -> list[Target]:
        """The user and the secret as they are; refused where the rotation could not end well."""
        earlier = earlier_targets(ctx)
        if params.user in earlier:
            return [earlier[params.user]]
        client: Aws = ctx.client
        name, mine = principal(params.user), client.identity()
        keys = client.keys_of(name)
        if len(keys) >= MOST:
            raise Conflict(
                f"The user has {len(keys)} access keys, and IAM allows no third. No key was made. Delete one that "
                "nobody uses, then try again."
            )
        secret = client.described(params.secret)
        if secret.deleted or not secret.current:
            raise Conflict(
                "The secret is deleted or has no current version, so nobody could fetch the key. No key was made."
            )
        _filled(client.value(params.secret), Credential("ID", "SECRET"), {key.id for key in keys})
        return [
            Target(
                params.user,
                label="; ".join(f"{key.id} {client.used(key).use()}" for key in keys) or "no access key yet",
                own=bool(mine.user) and name == mine.user,
                names=(name, params.secret),
                before={
                    "name": name,
                    "secret": params.secret,
                    "keys": [key.id for key in keys],
                    "current": secret.current,
                    "version": _version(f"{ctx.key}:{secret.current}:{len(ctx.prior)}"),
                },
            )
        ]

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """The keys that there are, and their last use."""
        return [target.label for target in targets]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who has to fetch it."""
        lines = []
        for target in targets:
            lines.append(f"programs that read {target.before['secret']} get a new key; nothing stops yet")
            lines += [f"still good until it is made inactive: {part}" for part in target.label.split("; ") if part]
        return lines

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """From wherever a lost attempt stood."""
        return [self._rotate(target, ctx) for target in targets]

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """AWSCURRENT goes back to where it was; then the new key is made inactive."""
        return [self._back(target, ctx) for target in targets]

    def undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Applied[KeyRotated]:
        """As of every target action; first, a lost attempt's second half is done."""
        for target in earlier_targets(ctx).values():
            if ctx.client.described(str(target.before["secret"])).current == target.before["current"]:
                self._switch_off(target, ctx)
        return super().undo(undo_args, ctx)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether the secret's current version is ours, and holds an active key of the user."""
        return {target.id: self._holds(target, ctx) for target in targets}

    def apply(self, params: RotateAccessKeyParams, ctx: ActionContext, proposal: Proposal) -> Applied[KeyRotated]:
        """As of every target action; the output names the new key and the older ones."""
        return self._named(super().apply(params, ctx, proposal), ctx, proposal)

    def settled(self, params: RotateAccessKeyParams, ctx: ActionContext, proposal: Proposal) -> Applied[KeyRotated]:
        """What a lost attempt did, with the same output."""
        return self._named(super().settled(params, ctx, proposal), ctx, proposal)

    def _named(self, applied: Applied[KeyRotated], ctx: ActionContext, proposal: Proposal) -> Applied[KeyRotated]:
        targets = self.targets_of(proposal, ctx)
        if applied.result is None or applied.result.count != 1 or len(targets) != 1:
            return applied
        before = targets[0].before
        rows = [{"id": key, "label": str(before["name"]), "user": str(before["name"])} for key in before["keys"]]
        held = _key_in(ctx.client.value(str(before["secret"]), str(before["version"])))
        named = KeyRotated(
            count=1, key=held, version=str(before["version"]), previous=ctx.put_rows(rows, name="aws.previous_keys")
        )
        return replace(applied, result=named)

    def _holds(self, target: Target, ctx: ActionContext) -> bool:
        client, before = ctx.client, target.before
        secret = client.described(str(before["secret"]))
        if secret.current != before["version"]:
            return False
        held = _key_in(client.value(str(before["secret"]), str(before["version"])))
        return any(key.active and key.id == held for key in client.keys_of(str(before["name"])))

    def _rotate(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        client, before = ctx.client, target.before
        name, secret, version = str(before["name"]), str(before["secret"]), str(before["version"])
        now = client.described(secret)
        keys: list[AccessKey] = client.keys_of(name)
        if version not in now.versions:
            self._clear(client, name, keys, before, ctx)
            if now.current != before["current"]:
                return ItemOutcome(target.id, "failed", MOVED)
            self._make(client, name, before, ctx)
        held = _key_in(client.value(secret, version))
        if version in now.versions and held not in {key.id for key in keys}:
            return ItemOutcome(target.id, "failed", "key_deleted_since")
        if client.described(secret).current != version:
            try:
                client.move_stage(secret, stage=CURRENT, to=version, away_from=str(before["current"]))
            except Rejected:
                # Somebody else's version stays; nobody has our key, and it would fill the quota.
                client.delete_key(name, held)
                return ItemOutcome(target.id, "failed", MOVED)
            ctx.sent()
        return ItemOutcome(target.id, "done")

    def _clear(
        self, client: Aws, name: str, keys: Sequence[AccessKey], before: Mapping[str, Json], ctx: ActionContext
    ) -> None:
        """Delete the key of an attempt whose answer was lost: nobody has its secret, and it fills the quota."""
        for key in keys:
            if key.id in before["keys"]:
                continue
            if not ctx.prior or client.used(key).last_used is not None:
                raise Conflict(
                    "The user has an access key that was not there when this was approved, and Stanch did not make it. "
                    "No key was made. Look whose it is: a thief makes keys too."
                )
            client.delete_key(name, key.id)
            ctx.sent()

    def _make(self, client: Aws, name: str, before: Mapping[str, Json], ctx: ActionContext) -> None:
        """Make a key and write it under our label; where that fails for good the key is deleted again."""
        secret, version = str(before["secret"]), str(before["version"])
        held = client.value(secret)
        made = client.create_key(name)
        ctx.sent()
        try:
            value = _filled(held, made, set(map(str, before["keys"])))
            client.put_value(secret, value, version=version, stage=LABEL)
        except Ambiguous:
            # Written or not: its version id tells, here or in the next attempt.
            if version not in client.described(secret).versions:
                raise
        except ConnectorError as error:
            client.delete_key(name, made.id)
            if isinstance(error, Permanent):
                raise type(error)(f"{error.message} The key that was made for it is deleted again.") from None
            raise

    def _back(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        before = target.before
        try:
            ctx.client.move_stage(
                str(before["secret"]), stage=CURRENT, to=str(before["current"]), away_from=str(before["version"])
            )
        except Rejected:
            return ItemOutcome(target.id, "unknown", MOVED)
        ctx.sent()
        self._switch_off(target, ctx)
        return ItemOutcome(target.id, "done")

    def _switch_off(self, target: Target, ctx: ActionContext) -> None:
        """Make the key inactive that a rotation made; one that is gone is none."""
        before = target.before
        held = _key_in(ctx.client.value(str(before["secret"]), str(before["version"])))
        with contextlib.suppress(NotFound):
            ctx.client.set_key(str(before["name"]), held, active=False)


def _version(key: str) -> str:
    """The id of the version that a call writes: the same in each of its attempts, and a UUID as AWS wants it."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"stanch:{key}"))


def _plain(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _fields(held: Mapping[str, Json], known: set[str]) -> tuple[str, str]:
    """Names of the two fields of a secret that hold the id and the secret half of an access key."""
    ids = [name for name, value in held.items() if isinstance(value, str) and value in known]
    ids = ids or [name for name in held if _plain(name) in ID_NAMES]
    secrets = [name for name in held if _plain(name) in SECRET_NAMES]
    if len(ids) != 1 or len(secrets) != 1:
        raise Rejected(
            "The secret is JSON, but it does not show which of its fields hold an access key. No key was made. Name "
            "them access_key_id and secret_access_key."
        )
    return ids[0], secrets[0]


def _filled(held: str, made: Credential, known: set[str]) -> str:
    """The secret's value with the new key in it; every other field stays as it is."""
    if PLAIN.fullmatch(held.strip()):
        return f"{made.id}:{made.secret}"
    try:
        fields = json.loads(held)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise Rejected(
            "The secret holds neither JSON nor ID:SECRET, so what its programs expect is not known. No key was made. "
            'Give it the form {"access_key_id": …, "secret_access_key": …}.'
        )
    fields = fields or {"access_key_id": "", "secret_access_key": ""}
    id_field, secret_field = _fields(fields, known)
    return json.dumps({**fields, id_field: made.id, secret_field: made.secret})


def _key_in(held: str) -> str:
    """The id of the access key that a value holds; empty if none."""
    if PLAIN.fullmatch(held.strip()):
        return held.strip().partition(":")[0]
    try:
        fields = json.loads(held)
        return str(fields[_fields(fields, set())[0]])
    except (ValueError, KeyError, TypeError, AttributeError, Rejected):
        return ""


ACTIONS = (RotateAccessKey,)
