"""What MLflow actions declare and refuse alike."""

from collections.abc import Callable, Sequence

from activities.action import Params, Result
from activities.batches import ItemOutcome, Target
from activities.context import ActionContext
from activities.errors import AuthFailed, Conflict, Forbidden, Permanent
from activities.systems.mlflow.models import Model, ModelName, Version, VersionNumber

OWNER = "model_owner"
"""Role that owns every target."""
STATE = ("registry_state",)
"""What ``snapshot_model`` acquires, and what those that change the registry in haste need."""


class OfModel(Params):
    """Which registered model."""

    model: ModelName


class OfVersion(OfModel):
    """Which version of which registered model."""

    version: VersionNumber


class Counted(Result):
    """Targets that are now as wanted, changed by this step or already so."""

    count: int


def barred(ctx: ActionContext, version: Version) -> str | None:
    """Why a version may not be put to use, if it is quarantined or revoked."""
    tags = ctx.client.config.tags
    for name, said in ((tags.revoked, "revoked"), (tags.quarantine, "quarantined")):
        if version.tags.get(name):
            return f"version {version.number} is {said} by {version.tags[name][:40]}"
    return None


def refuse_barred(ctx: ActionContext, version: Version, what: str) -> None:
    """Stop where a version is quarantined or revoked.

    Raises:
        Conflict: It is; nothing was done.
    """
    why = barred(ctx, version)
    if why is not None:
        raise Conflict(f"{why[0].upper()}{why[1:]}, so it is not {what}. Nothing was done. Choose another version.")


def refuse_frozen(ctx: ActionContext, model: Model) -> None:
    """Stop where another incident has frozen the model.

    Raises:
        Conflict: It has; nothing was done.
    """
    by = model.tags.get(ctx.client.config.tags.frozen)
    if by and by != ctx.call.incident:
        raise Conflict(
            f"The aliases of this model are frozen by {by[:40]}. Nothing was done. Have that incident thaw them first."
        )


def refuse_incomplete(ctx: ActionContext, version: Version) -> str:
    """Stop where a version's release set is not whole; its digest otherwise.

    Raises:
        Conflict: A part is missing or not what the release manifest says; nothing was done.
    """
    release, wrong = ctx.client.release(version)
    if release is None or wrong:
        said = "; ".join(wrong[:3])
        raise Conflict(
            f"The release set of version {version.number} is not whole: {said}. Nothing was done. Choose a version "
            "whose weights, adapter, tokenizer, prompt, index and serving configuration are all there."
        )
    return str(release.digest)


def one_by_one(
    targets: Sequence[Target], ctx: ActionContext, work: Callable[[Target, ActionContext], ItemOutcome]
) -> list[ItemOutcome]:
    """A request or more for each target. What concerns one fails that one; lacking rights ends the batch."""
    outcomes: list[ItemOutcome] = []
    for number, target in enumerate(targets):
        try:
            outcome = work(target, ctx)
        except (AuthFailed, Forbidden) as error:
            if not outcomes:
                raise
            return [*outcomes, *(ItemOutcome(left.id, "failed", error.code) for left in targets[number:])]
        except Permanent as error:
            outcome = ItemOutcome(target.id, "failed", error.code)
        if outcome.status == "done":
            # Said after each: an error at a later target must not look as if nothing was changed.
            ctx.sent()
        outcomes.append(outcome)
    return outcomes
