"""MLflow actions that contain: freeze a model's aliases, quarantine versions, roll an alias back.

Quarantine and freeze are tags: plain MLflow shows them and enforces nothing. What enforces them is what reads them,
such as these actions, an admission policy, or a front before the registry; the previews say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from activities.action import Applied, Proposal, Targets, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import InvalidParams
from activities.systems.mlflow.aliases import MoveAlias, MoveParams
from activities.systems.mlflow.declared import (
    OWNER,
    STATE,
    Counted,
    OfModel,
    one_by_one,
    refuse_barred,
    refuse_incomplete,
)
from activities.systems.mlflow.models import AliasName, Model, Version, VersionNumber
from playbooks.contract import Idempotency, Risk


@action(
    "mlflow.freeze_aliases",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("EDIT",),
)
class FreezeAliases(TargetAction[OfModel, Counted]):
    """Freeze the aliases of a model."""

    noun, done, undone = "model", "frozen", "thawed"

    def find(self, params: OfModel, ctx: ActionContext) -> list[Target]:
        """The model, with the tag that it has now."""
        model = ctx.client.model(params.model)
        now = model.tags.get(ctx.client.config.tags.frozen)
        return [
            Target(
                params.model,
                label=f"{len(model.aliases)} aliases",
                already=bool(now),
                names=(params.model,),
                before={"tag": now},
            )
        ]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What it does and does not do."""
        return [
            "Stanch stages and promotes no version of it for other incidents until it is thawed",
            "plain MLflow does not enforce this: whoever may edit the model can still move its aliases",
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Set the tag, unless another incident has meanwhile."""
        return one_by_one(targets, ctx, _freeze)

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Remove it."""
        return one_by_one(targets, ctx, _thaw)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether it is frozen by this incident."""
        tag = ctx.client.config.tags.frozen
        return {target.id: ctx.client.model(target.id).tags.get(tag) == ctx.call.incident for target in targets}


def _freeze(target: Target, ctx: ActionContext) -> ItemOutcome:
    tag = ctx.client.config.tags.frozen
    if ctx.client.model(target.id).tags.get(tag):
        return ItemOutcome(target.id, "already")
    ctx.client.set_model_tag(target.id, tag, ctx.call.incident)
    return ItemOutcome(target.id, "done")


def _thaw(target: Target, ctx: ActionContext) -> ItemOutcome:
    ctx.client.delete_model_tag(target.id, ctx.client.config.tags.frozen)
    return ItemOutcome(target.id, "done")


class QuarantineVersionsParams(OfModel):
    """Which versions of which model: numbers, or a target set of them."""

    targets: Targets


@action(
    "mlflow.quarantine_versions",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    needs_evidence=STATE,
    scopes=("EDIT",),
    timeout=timedelta(minutes=15),
)
class QuarantineVersions(TargetAction[QuarantineVersionsParams, Counted]):
    """Quarantine model versions."""

    noun, done, undone = "version", "quarantined", "released"

    def find(self, params: QuarantineVersionsParams, ctx: ActionContext) -> list[Target]:
        """Each as it is now, and which aliases point to it."""
        numbers = list(dict.fromkeys(_number(row["id"]) for row in ctx.rows(params.targets)))
        model = ctx.client.model(params.model)
        known = {version.number: version for version in ctx.client.versions(params.model)}
        return [self._target(params.model, number, model, known.get(number), ctx) for number in numbers]

    def _target(self, name: str, number: str, model: Model, version: Version | None, ctx: ActionContext) -> Target:
        if version is None:
            return Target(number, excluded="no such version in this model")
        now = version.tags.get(ctx.client.config.tags.quarantine)
        pointing = model.pointing_to(number)
        return Target(
            number,
            label=f"{name}/{number}" + (f" ({', '.join(pointing)})" if pointing else ""),
            already=bool(now),
            names=(name, f"{name}/{number}"),
            before={"model": name, "tag": now, "aliases": list(pointing)},
        )

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What is not served again, and what still is."""
        said = ["Stanch stages, promotes, signs and rolls back to none of them"] if targets else []
        return said + [
            f"{alias} still points to version {target.id}: it is served until that alias is moved"
            for target in targets
            for alias in target.before["aliases"]
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Set the tag, unless another incident has meanwhile."""
        return one_by_one(targets, ctx, _quarantine)

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Remove it."""
        return one_by_one(targets, ctx, _release)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is quarantined by this incident."""
        found: dict[str, bool] = {}
        tag = ctx.client.config.tags.quarantine
        for name in {str(target.before["model"]) for target in targets}:
            known = {version.number: version.tags.get(tag) for version in ctx.client.versions(name)}
            found |= {target.id: known[target.id] == ctx.call.incident for target in targets if target.id in known}
        return found

    def apply(self, params: QuarantineVersionsParams, ctx: ActionContext, proposal: Proposal) -> Applied[Counted]:
        """Tag them; what an alias still points to is said in a warning, because it is still served."""
        applied = super().apply(params, ctx, proposal)
        model = ctx.client.model(params.model)
        rows = {str(row["id"]) for row in ctx.rows(params.targets)}
        pointed = sorted(alias for alias, number in model.aliases.items() if number in rows)
        if not pointed:
            return applied
        said = f"{len(pointed)} aliases still point to quarantined versions, which are served until they are moved"
        return replace(applied, warnings=(*applied.warnings, said))


def _quarantine(target: Target, ctx: ActionContext) -> ItemOutcome:
    name, tag = str(target.before["model"]), ctx.client.config.tags.quarantine
    if ctx.client.version(name, target.id).tags.get(tag):
        return ItemOutcome(target.id, "already")
    ctx.client.set_version_tag(name, target.id, tag, ctx.call.incident)
    return ItemOutcome(target.id, "done")


def _release(target: Target, ctx: ActionContext) -> ItemOutcome:
    ctx.client.delete_version_tag(str(target.before["model"]), target.id, ctx.client.config.tags.quarantine)
    return ItemOutcome(target.id, "done")


def _number(value: object) -> str:
    text = str(value)
    if not text.isdigit() or not 0 < len(text) <= 10 or text.startswith("0"):
        raise InvalidParams("A value that should be the number of a model version is none. Nothing was done.")
    return text


class RollBackAliasParams(MoveParams):
    """Which alias of which model to which version; ``expected`` is the version that it must still point to."""

    alias: AliasName = "champion"
    expected: VersionNumber | None = None


@action(
    "mlflow.roll_back_alias",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    needs_evidence=STATE,
    scopes=("EDIT",),
    timeout=timedelta(minutes=30),
)
class RollBackAlias(MoveAlias[RollBackAliasParams, Counted]):
    """Roll an alias back to a version, as a whole release set."""

    def expected(self, params: RollBackAliasParams) -> str | None:
        """As read before."""
        return params.expected

    def fit(self, params: RollBackAliasParams, ctx: ActionContext, model: Model, version: Version) -> str:
        """Neither quarantined nor revoked, and every part of its release set there."""
        refuse_barred(ctx, version, "rolled back to")
        return refuse_incomplete(ctx, version)


ACTIONS = (FreezeAliases, QuarantineVersions, RollBackAlias)
