"""Actions that keep training from doing harm meanwhile: a dataset on hold, a pipeline paused.

Both are marks under the incident's name, beside those of others: taking ours back leaves theirs. The service lets
jobs of the same incident through (``docs/job-api.md``), so that a clean version can be trained while all else waits.
"""

from collections.abc import Callable, Mapping, Sequence

from activities.action import Params, Result, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import Conflict
from activities.systems.training.models import Mark
from playbooks.contract import Idempotency, Risk

OWNER = "model_owner"


class Marked(Result):
    """Whether it is in force now: 1, set by this step or already so."""

    count: int


class HoldDatasetParams(Params):
    """Which dataset."""

    dataset: str


@action(
    "training.hold_dataset",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("hold",),
)
class HoldDataset(TargetAction[HoldDatasetParams, Marked]):
    """Hold a training dataset."""

    noun, done, undone = "dataset", "held", "released"

    def find(self, params: HoldDatasetParams, ctx: ActionContext) -> list[Target]:
        """The dataset as it is; a hold of another incident does not stand in for ours."""
        found = ctx.client.dataset(params.dataset)
        return [_target(found.name, f"{found.rows} rows, taken {found.taken_at}", found.holds, ctx)]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What is no longer possible."""
        if not targets:
            return []
        return ["nobody can change or delete it", "jobs that use it wait, except those of this incident"]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Set the mark."""
        return [_set(target, ctx, ctx.client.hold(target.id, *_mark(target), _reason(ctx)).holds) for target in targets]

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether the incident holds it."""
        return {target.id: _holds(ctx.client.dataset(target.id).holds, target) for target in targets}

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Remove the mark if it is still the one that was set."""
        return [_unset(target, ctx, ctx.client.release) for target in targets]


class PausePipelineParams(Params):
    """Which pipeline."""

    pipeline: str


@action(
    "training.pause_pipeline",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("pause",),
)
class PausePipeline(TargetAction[PausePipelineParams, Marked]):
    """Pause a training pipeline."""

    noun, done, undone = "pipeline", "paused", "resumed"

    def find(self, params: PausePipelineParams, ctx: ActionContext) -> list[Target]:
        """The pipeline as it is."""
        found = ctx.client.pipeline(params.pipeline)
        running = len(found.running)
        label = f"{running} job{'' if running == 1 else 's'} running"
        return [_target(found.name, label, found.pauses, ctx, running=running)]

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What stops."""
        if not targets:
            return []
        running = sum(int(target.before["running"]) for target in targets)
        lines = ["nothing is trained or promoted by it, except for this incident"]
        if running:
            lines.append(f"{running} running job{'' if running == 1 else 's'} will wait before registering a version")
        return lines

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Set the mark."""
        return [
            _set(target, ctx, ctx.client.pause(target.id, *_mark(target), _reason(ctx)).pauses) for target in targets
        ]

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether the incident pauses it."""
        return {target.id: _holds(ctx.client.pipeline(target.id).pauses, target) for target in targets}

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Remove the mark if it is still the one that was set."""
        return [_unset(target, ctx, ctx.client.resume) for target in targets]


def _target(name: str, label: str, marks: Sequence[Mark], ctx: ActionContext, **before: int) -> Target:
    holder = ctx.call.incident
    already = any(mark.holder == holder for mark in marks)
    return Target(name, label=label, already=already, before={"holder": holder, "mark": ctx.key, **before})


def _reason(ctx: ActionContext) -> str:
    return f"Stanch, {ctx.call.incident}, step {ctx.call.step}"


def _mark(target: Target) -> tuple[str, str]:
    return str(target.before["holder"]), str(target.before["mark"])


def _holds(marks: Sequence[Mark], target: Target) -> bool:
    return any(mark.holder == target.before["holder"] for mark in marks)


def _set(target: Target, ctx: ActionContext, marks: Sequence[Mark]) -> ItemOutcome:
    ctx.sent()
    mine = any((mark.holder, mark.mark) == _mark(target) for mark in marks)
    if mine:
        return ItemOutcome(target.id, "done")
    # Another step of this incident was there between our look and our request.
    return ItemOutcome(target.id, "already" if _holds(marks, target) else "unknown", "not_set")


def _unset(target: Target, ctx: ActionContext, remove: Callable[[str, str, str], object]) -> ItemOutcome:
    try:
        remove(target.id, *_mark(target))
    except Conflict:
        return ItemOutcome(target.id, "unknown", "changed_since")
    return ItemOutcome(target.id, "done")


ACTIONS = (HoldDataset, PausePipeline)
