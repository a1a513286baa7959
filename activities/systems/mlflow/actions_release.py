"""MLflow actions that change what may be released: revoke, sign, stage, promote."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import StringConstraints

from activities.action import action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import Conflict, NotFound, Rejected
from activities.systems.mlflow import signing
from activities.systems.mlflow.aliases import MoveAlias, MoveParams
from activities.systems.mlflow.declared import (
    OWNER,
    Counted,
    OfVersion,
    one_by_one,
    refuse_barred,
    refuse_frozen,
    refuse_incomplete,
)
from activities.systems.mlflow.models import AliasName, Model, Version, VersionNumber
from playbooks.contract import Idempotency, Risk

MOST_KEPT = 1_000_000
"""Bytes of a former signature up to which it is kept to be restored."""


class RevokeVersionParams(OfVersion):
    """Which version, and why, in a sentence that whoever uses it may read."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]


@action(
    "mlflow.revoke_version",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    irreversible="downstream was told",
    scopes=("EDIT",),
)
class RevokeVersion(TargetAction[RevokeVersionParams, Counted]):
    """Mark a model version as revoked."""

    noun, done = "version", "revoked"

    def find(self, params: RevokeVersionParams, ctx: ActionContext) -> list[Target]:
        """The version, and who uses the model."""
        model, version = ctx.client.model(params.model), ctx.client.version(params.model, params.version)
        tags = ctx.client.config.tags
        return [
            Target(
                version.number,
                label=f"{params.model}/{version.number}",
                already=bool(version.tags.get(tags.revoked)),
                names=(params.model, f"{params.model}/{version.number}"),
                before={
                    "model": params.model,
                    "reason": params.reason,
                    "aliases": list(model.pointing_to(version.number)),
                    "consumers": model.tags.get(tags.consumers, ""),
                },
            )
        ]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who must stop using it, and what still serves it."""
        said = []
        for target in targets:
            consumers = str(target.before["consumers"])
            said.append(f"told to its consumers: {consumers[:200]}" if consumers else "its consumers are not on record")
            said += [f"{alias} still points to it" for alias in target.before["aliases"]]
        return said

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """The reason first, so that nobody finds the mark without it."""
        return one_by_one(targets, ctx, _revoke)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether it is marked."""
        tag = ctx.client.config.tags.revoked
        found = {target.id: ctx.client.version(str(target.before["model"]), target.id) for target in targets}
        return {id_: bool(version.tags.get(tag)) for id_, version in found.items()}


def _revoke(target: Target, ctx: ActionContext) -> ItemOutcome:
    name, tags = str(target.before["model"]), ctx.client.config.tags
    if ctx.client.version(name, target.id).tags.get(tags.revoked):
        return ItemOutcome(target.id, "already")
    ctx.client.set_version_tag(name, target.id, tags.revoked_reason, str(target.before["reason"]))
    ctx.sent()
    ctx.client.set_version_tag(name, target.id, tags.revoked, ctx.call.incident)
    return ItemOutcome(target.id, "done")


@action(
    "mlflow.sign_version",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("EDIT",),
    timeout=timedelta(minutes=60),
)
class SignVersion(TargetAction[OfVersion, Counted]):
    """Sign the files of a model version."""

    noun, done, undone = "version", "signed", "unsigned"

    def find(self, params: OfVersion, ctx: ActionContext) -> list[Target]:
        """The version with the signature that it has, if it may be signed at all."""
        version = ctx.client.version(params.model, params.version)
        refuse_barred(ctx, version, "signed")
        refuse_incomplete(ctx, version)
        config = ctx.client.config.signing
        if config.key is None:
            raise Rejected(
                "No key to sign with is set. Nothing was done. Set systems.mlflow.signing.key to a reference of a PEM "
                "private key."
            )
        key = ctx.client.secret(config.key)
        if signing.is_trusted(config, key) is False:
            raise Rejected(
                "The key to sign with is none of systems.mlflow.signing.trusted, so nobody here would accept its "
                "signature. Nothing was done. Add its public half there."
            )
        target = Target(
            version.number,
            label=f"{params.model}/{version.number}",
            names=(params.model, f"{params.model}/{version.number}"),
            before={"model": params.model, "former": _former(ctx, version), "by": config.key_name},
        )
        return [Target(**{**vars(target), "already": self.check([target], ctx)[target.id]})]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """With which key, and what it replaces."""
        said = []
        for target in targets:
            said.append(f"signed with the key “{target.before['by']}”; who trusts that key accepts the version")
            if target.before["former"]:
                said.append("the signature that it has now is replaced")
        return said

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Download, sign, write the signature beside the files."""
        return one_by_one(targets, ctx, _sign)

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Remove our signature; the former one comes back."""
        return one_by_one(targets, ctx, _unsign)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether it is signed with our key, and every file is as it was signed."""
        config = ctx.client.config.signing
        key = ctx.client.secret(config.key)
        found = {}
        for target in targets:
            version = ctx.client.version(str(target.before["model"]), target.id)
            if config.file not in {artifact.path for artifact in ctx.client.artifacts(version)}:
                found[target.id] = False
                continue
            with signing.downloaded(ctx.client, version) as folder:
                found[target.id] = signing.check_own(folder, config, key)
        return found


def _former(ctx: ActionContext, version: Version) -> str | None:
    """The signature that a version has, as text.

    Raises:
        Conflict: It is too large or no text, so that it could not be restored.
    """
    try:
        return str(ctx.client.content(version, ctx.client.config.signing.file, MOST_KEPT).decode())
    except NotFound:
        return None
    except (Rejected, UnicodeDecodeError):
        raise Conflict(
            f"The signature of version {version.number} is too large or no text, so it could not be restored. Nothing "
            "was done. Remove it by hand, then sign."
        ) from None


def _sign(target: Target, ctx: ActionContext) -> ItemOutcome:
    config = ctx.client.config.signing
    version = ctx.client.version(str(target.before["model"]), target.id)
    refuse_barred(ctx, version, "signed")
    with signing.downloaded(ctx.client, version) as folder:
        content = signing.sign(folder, config, ctx.client.secret(config.key))
    ctx.client.upload(version, config.file, content)
    return ItemOutcome(target.id, "done")


def _unsign(target: Target, ctx: ActionContext) -> ItemOutcome:
    version = ctx.client.version(str(target.before["model"]), target.id)
    file, former = ctx.client.config.signing.file, target.before["former"]
    if former is None:
        ctx.client.delete_artifact(version, file)
    else:
        ctx.client.upload(version, file, str(former).encode())
    return ItemOutcome(target.id, "done")


class StageVersionParams(MoveParams):
    """Which version of which model, and the alias that stages it."""

    alias: AliasName = "staged"


@action(
    "mlflow.stage_version",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("EDIT",),
    timeout=timedelta(minutes=30),
)
class StageVersion(MoveAlias[StageVersionParams, Counted]):
    """Stage a model version for release."""

    def fit(self, params: StageVersionParams, ctx: ActionContext, model: Model, version: Version) -> str:
        """Neither quarantined nor revoked, its release set whole, the model not frozen by another incident."""
        refuse_frozen(ctx, model)
        refuse_barred(ctx, version, "staged")
        return refuse_incomplete(ctx, version)


class PromoteVersionParams(MoveParams):
    """Which version of which model to which alias; ``expected`` is the version that it must still point to."""

    alias: AliasName = "champion"
    expected: VersionNumber | None = None


@action(
    "mlflow.promote_version",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("EDIT",),
    timeout=timedelta(minutes=60),
)
class PromoteVersion(MoveAlias[PromoteVersionParams, Counted]):
    """Promote a model version."""

    def expected(self, params: PromoteVersionParams) -> str | None:
        """As read before."""
        return params.expected

    def fit(self, params: PromoteVersionParams, ctx: ActionContext, model: Model, version: Version) -> str:
        """As for staging, and signed by a trusted signer."""
        refuse_frozen(ctx, model)
        refuse_barred(ctx, version, "promoted")
        digest = refuse_incomplete(ctx, version)
        with signing.downloaded(ctx.client, version) as folder:
            checked = signing.check(folder, ctx.client.config.signing)
        if not checked.valid:
            raise Conflict(
                f"Version {version.number} has no valid signature: {checked.why}. Nothing was done. Sign it first."
            )
        return digest


ACTIONS = (RevokeVersion, SignVersion, StageVersion, PromoteVersion)
