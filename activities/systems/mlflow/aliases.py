"""Moving an alias, the base of rolling back, staging and promoting.

MLflow has no condition on what an alias points to when it is moved, so somebody else may move it at any moment.
It is therefore read before (against what the caller read), directly before writing, after writing, and when the
effect is verified.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from activities.action import Proposal, R
from activities.batches import ItemOutcome, Target, TargetAction, earlier_targets
from activities.context import ActionContext
from activities.errors import Conflict
from activities.systems.mlflow.declared import OfVersion, barred, one_by_one
from activities.systems.mlflow.models import AliasName, Model, Version
from playbooks.contract import Json, Preview, TargetSet

M = TypeVar("M", bound="MoveParams")


class MoveParams(OfVersion):
    """Which alias shall point to which version."""

    alias: AliasName


class MoveAlias(TargetAction[M, R]):
    """Point an alias to a version. A body says what the version must be fit for."""

    noun, done, undone = "alias", "moved", "moved back"

    def expected(self, params: M) -> str | None:
        """The version that the alias must still point to, if the caller says so."""
        return None

    def fit(self, params: M, ctx: ActionContext, model: Model, version: Version) -> str:
        """The digest of a version that may be pointed to.

        Raises:
            Conflict: It may not.
        """
        raise NotImplementedError

    def find(self, params: M, ctx: ActionContext) -> list[Target]:
        """The alias as it is now."""
        model = ctx.client.model(params.model)
        version = ctx.client.version(params.model, params.version)
        current = model.aliases.get(params.alias)
        id_ = f"{params.model}@{params.alias}"
        expected = self.expected(params)
        if expected is not None and current not in (expected, params.version):
            raise Conflict(
                f"The alias {params.alias} points to {_name(current)}, not to version {expected} as was read before: "
                "somebody moved it meanwhile. Nothing was done. Read the registry again, then decide anew."
            )
        if current != params.version or id_ not in earlier_targets(ctx):
            digest = self.fit(params, ctx, model, version)
        else:
            # A lost attempt of ours moved it; whether the version was fit was looked at then.
            digest = ""
        before: dict[str, Json] = {
            "model": params.model,
            "alias": params.alias,
            "from": current,
            "to": params.version,
            "digest": digest,
        }
        label = f"{params.alias}: {_name(current)} to version {params.version}"
        already = current == params.version
        return [Target(id_, label=label, already=already, names=(params.model, params.alias), before=before)]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What is loaded from now on."""
        return [
            f"whatever loads {target.before['alias']} gets version {target.before['to']} instead of "
            f"{_name(target.before['from'])}; what is loaded already stays until it is reloaded"
            for target in targets
        ]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Move it, unless it has been moved since the preview."""
        return one_by_one(targets, ctx, self._move)

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Point it to where it was, or remove it if it was not there."""
        return one_by_one(targets, ctx, self._move_back)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether it points to the version."""
        return {target.id: _now(target, ctx) == target.before["to"] for target in targets}

    def as_before(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether somebody, or the undo of a later move, has pointed it to where it was."""
        return {target.id: _now(target, ctx) == target.before["from"] for target in targets}

    def verify(self, params: M, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether it points to the version, and that version's release set is still whole."""
        if ctx.client.alias(params.model, params.alias) != params.version:
            return False
        _, wrong = ctx.client.release(ctx.client.version(params.model, params.version), digests=False)
        return not wrong

    def preview_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Proposal:
        """What would be loaded again, and whether that version is barred."""
        proposal = super().preview_undo(undo_args, ctx)
        said = []
        for target in self.targets_of(proposal, ctx):
            before = target.before
            said.append(
                f"{before['alias']} points to {_name(before['from'])} again; what is loaded stays until it is reloaded"
            )
            if before["from"] is not None:
                why = barred(ctx, ctx.client.version(str(before["model"]), str(before["from"])))
                said += [f"careful: {why}"] if why else []
        preview = proposal.preview.model_copy(update={"impact": tuple(said)})
        return replace(proposal, preview=preview)

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> bool | None:
        """Whether it points to where it was before."""
        kept = Proposal(Preview(summary=""), targets=TargetSet.model_validate(undo_args["targets"]))
        return all(_now(target, ctx) == target.before["from"] for target in self.targets_of(kept, ctx))

    def _move(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        wanted = str(target.before["to"])
        current = _now(target, ctx)
        if current == wanted:
            return ItemOutcome(target.id, "already")
        if current != target.before["from"]:
            return ItemOutcome(target.id, "failed", "moved_meanwhile")
        ctx.client.set_alias(str(target.before["model"]), str(target.before["alias"]), wanted)
        ctx.sent()
        return ItemOutcome(target.id, "done") if _now(target, ctx) == wanted else _taken_back(target)

    def _move_back(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        model, alias, former = str(target.before["model"]), str(target.before["alias"]), target.before["from"]
        if former is None:
            ctx.client.delete_alias(model, alias)
        else:
            ctx.client.set_alias(model, alias, str(former))
        ctx.sent()
        return ItemOutcome(target.id, "done") if _now(target, ctx) == former else _taken_back(target)


def _taken_back(target: Target) -> ItemOutcome:
    """Written, and somebody else wrote after us."""
    return ItemOutcome(target.id, "unknown", "moved_back")


def _now(target: Target, ctx: ActionContext) -> Any:
    return ctx.client.alias(str(target.before["model"]), str(target.before["alias"]))


def _name(number: Any) -> str:
    return "no version" if number is None else f"version {number}"
