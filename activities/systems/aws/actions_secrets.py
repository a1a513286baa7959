"""AWS actions on Secrets Manager and KMS: rotate a secret, move its stage; rotate and disable a key."""

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

from activities.action import P, Params, action
from activities.batches import ItemOutcome, Target, earlier_targets
from activities.context import ActionContext
from activities.errors import Conflict, NotFound, Rejected
from activities.systems.aws.declared import OWNER, AwsTargets, Counted, one_by_one
from activities.systems.aws.models import CURRENT, PREVIOUS, Secret, text_of
from playbooks.contract import Idempotency, Risk

ROTATION_SECONDS = 90.0
"""How long a rotation function is waited for; it does four steps, each a call of its own."""
MOVED = "stage_moved_since"


class SecretParams(Params):
    """Which secret, by name or ARN."""

    secret: str


class _Stage(AwsTargets[P, Counted]):
    """What both share: AWSCURRENT goes from ``before.current`` to ``before.version``, and back."""

    noun, undone = "secret", "given back its version"

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """When it was last read."""
        return [target.label for target in targets]

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Move the label back."""
        return one_by_one(targets, ctx, lambda target, ctx: self._move(target, ctx, to="current", away="version"))

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether the version wanted is the current one."""
        return {target.id: self._current(target, ctx) == target.before["version"] for target in targets}

    def _current(self, target: Target, ctx: ActionContext) -> str:
        found: Secret = ctx.client.described(target.id)
        return found.current

    def _move(self, target: Target, ctx: ActionContext, *, to: str, away: str) -> ItemOutcome:
        before = target.before
        try:
            ctx.client.move_stage(target.id, stage=CURRENT, to=str(before[to]), away_from=str(before[away]))
        except Rejected:
            # AWS refuses to take the label from a version that does not hold it: somebody else moved it, or a lost
            # attempt of ours.
            if self._current(target, ctx) != before[to]:
                return ItemOutcome(target.id, "failed", MOVED)
        return ItemOutcome(target.id, "done")


@action(
    "aws.rotate_secret",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.KEYED,
    reversible=True,
    scopes=(
        "secretsmanager:DescribeSecret",
        "secretsmanager:RotateSecret",
        "secretsmanager:UpdateSecretVersionStage",
    ),
    timeout=timedelta(minutes=5),
)
class RotateSecret(_Stage[SecretParams], AwsTargets[SecretParams, Counted]):
    """Rotate a secret by its own rotation function.

    Its undo gives programs the older value again; whether that is still accepted is up to what the function did.
    """

    done = "rotated"

    def find(self, params: SecretParams, ctx: ActionContext) -> list[Target]:
        """The secret; one without a rotation has nobody who could tell the other side."""
        earlier = earlier_targets(ctx)
        secret = ctx.client.described(params.secret)
        if secret.name in earlier:
            return [earlier[secret.name]]
        reason = "it has no rotation set up, so nothing would tell the other side" if not secret.rotates else None
        version = str(uuid.uuid5(uuid.NAMESPACE_URL, f"stanch:{ctx.key}:{secret.current}"))
        return [
            Target(
                secret.name,
                label=f"last read {text_of(secret.used)}",
                names=(secret.arn,),
                before={"current": secret.current, "version": version, "used": text_of(secret.used)},
                excluded="it is deleted" if secret.deleted else reason,
            )
        ]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who may stop."""
        return [f"programs that keep the old value of {target.id} stop; {target.label}" for target in targets]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Ask for it, and wait until the function has moved the label."""
        return one_by_one(targets, ctx, self._rotate)

    def _rotate(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        current, version = self._current(target, ctx), str(target.before["version"])
        if current not in (target.before["current"], version):
            return ItemOutcome(target.id, "failed", MOVED)
        ctx.client.rotate_secret(target.id, version)
        ctx.sent()
        until, pause = time.monotonic() + ROTATION_SECONDS, 0.1
        while self._current(target, ctx) != version:
            if time.monotonic() > until or ctx.stopping():
                return ItemOutcome(target.id, "unknown", "rotation_not_finished")
            time.sleep(pause)
            pause = min(pause * 2, 5.0)
        return ItemOutcome(target.id, "done")


class StageSecretParams(Params):
    """Which secret, which of its versions is to be current (default the previous one), and which must be now."""

    secret: str
    version: str | None = None
    expected: str | None = None


@action(
    "aws.stage_secret",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("secretsmanager:DescribeSecret", "secretsmanager:UpdateSecretVersionStage"),
)
class StageSecret(_Stage[StageSecretParams], AwsTargets[StageSecretParams, Counted]):
    """Make another version of a secret the current one."""

    done = "given another version"

    def find(self, params: StageSecretParams, ctx: ActionContext) -> list[Target]:
        """The secret, with the version that it has and the one that it is to have."""
        secret = ctx.client.described(params.secret)
        earlier = earlier_targets(ctx)
        if secret.name in earlier:
            return [earlier[secret.name]]
        version = params.version or secret.stages.get(PREVIOUS, "")
        if version not in secret.versions:
            raise NotFound("The secret has no such version. Nothing was changed. List its versions, then try again.")
        if params.expected is not None and secret.current not in (params.expected, version):
            raise Conflict(
                "The secret's current version is not the one expected. Nothing was changed. Look who moved it."
            )
        return [
            Target(
                secret.name,
                label=f"last read {text_of(secret.used)}",
                already=secret.current == version,
                names=(secret.arn,),
                before={"current": secret.current, "version": version},
            )
        ]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who gets another value."""
        return [f"programs that read {target.id} get another value; {target.label}" for target in targets]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Move the label."""
        return one_by_one(targets, ctx, lambda target, ctx: self._move(target, ctx, to="version", away="current"))


class KmsKeyParams(Params):
    """Which KMS key: id, ARN, or ``alias/NAME``."""

    key: str


class _KmsKey(AwsTargets[KmsKeyParams, Counted]):
    noun = "KMS key"

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """What it is for."""
        return [target.label for target in targets]


@action(
    "aws.rotate_kms_key",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.CHECK_FIRST,
    irreversible="new material is used from now on; what was encrypted with older material is still read",
    scopes=("kms:DescribeKey", "kms:ListKeyRotations", "kms:GetKeyRotationStatus", "kms:RotateKeyOnDemand"),
)
class RotateKmsKey(_KmsKey):
    """Rotate the material of a KMS key.

    What was encrypted before is still read: encrypt it anew where a thief may have copied it. AWS allows 25 rotations
    on demand in a key's life (KMS quotas).
    """

    done = "rotated"

    def find(self, params: KmsKeyParams, ctx: ActionContext) -> list[Target]:
        """The key; only symmetric ones with material of KMS can be rotated on demand."""
        key = ctx.client.kms_key(params.key)
        reason = None
        if not key.customer:
            reason = "AWS manages it"
        elif key.spec != "SYMMETRIC_DEFAULT" or key.origin != "AWS_KMS":
            reason = "KMS rotates only symmetric keys whose material it made itself"
        elif key.state != "Enabled":
            reason = f"it is {key.state}"
        made = 0 if reason else sum(kind == "ON_DEMAND" for _, kind in ctx.client.rotations(key.id))
        return [
            Target(key.id, label=key.description, names=(key.arn, params.key), before={"made": made}, excluded=reason)
        ]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What it does not do."""
        said = "nothing stops: what was encrypted before is still read, and new data gets the new material"
        return [said] if targets else []

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request a key."""

        def rotate(target: Target, ctx: ActionContext) -> ItemOutcome:
            ctx.client.rotate_kms(target.id)
            return ItemOutcome(target.id, "done")

        return one_by_one(targets, ctx, rotate)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether there is one rotation more than before, or it is under way."""
        return {target.id: self._rotated(target, ctx) for target in targets}

    def _rotated(self, target: Target, ctx: ActionContext) -> bool:
        made = sum(kind == "ON_DEMAND" for _, kind in ctx.client.rotations(target.id))
        return made > int(target.before["made"]) or bool(ctx.client.rotating(target.id))


@action(
    "aws.disable_kms_key",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("kms:DescribeKey", "kms:ListGrants", "secretsmanager:ListSecrets", "kms:DisableKey", "kms:EnableKey"),
)
class DisableKmsKey(_KmsKey):
    """Disable a KMS key.

    It is read back that the key's state is Disabled, not that a request with it is refused.
    """

    done, undone = "disabled", "enabled again"

    def find(self, params: KmsKeyParams, ctx: ActionContext) -> list[Target]:
        """The key with who uses it: holders of grants, and secrets."""
        key = ctx.client.kms_key(params.key)
        reason = "AWS manages it" if not key.customer else None
        if reason is None and key.state not in ("Enabled", "Disabled"):
            reason = f"it is {key.state}"
        grants = [] if reason else ctx.client.grantees(key.id)
        named = (key.id, key.arn, params.key)
        secrets = [] if reason else [secret.name for secret in ctx.client.secrets() if secret.key in named]
        return [
            Target(
                key.id,
                label=key.description,
                already=key.state == "Disabled",
                names=(key.arn, params.key),
                before={"state": key.state, "grants": sorted(set(grants))[:20], "secrets": secrets[:20]},
                excluded=reason,
            )
        ]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What can no longer be read."""
        lines = []
        for target in targets:
            lines.append(f"whatever {target.id} encrypted cannot be read until it is enabled again")
            lines += [f"holds a grant of it: {name}" for name in target.before["grants"]]
            lines += [f"secret that cannot be read any more: {name}" for name in target.before["secrets"]]
        return lines

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Disable."""
        return one_by_one(targets, ctx, lambda target, ctx: self._set(target, ctx, enabled=False))

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Enable."""
        return one_by_one(targets, ctx, lambda target, ctx: self._set(target, ctx, enabled=True))

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether it is disabled."""
        return {target.id: ctx.client.kms_key(target.id).state == "Disabled" for target in targets}

    def _set(self, target: Target, ctx: ActionContext, *, enabled: bool) -> ItemOutcome:
        ctx.client.enable_kms(target.id, enabled=enabled)
        return ItemOutcome(target.id, "done")


ACTIONS = (RotateSecret, StageSecret, RotateKmsKey, DisableKmsKey)
