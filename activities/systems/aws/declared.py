"""What AWS actions declare alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from activities.action import P, Proposal, R, Result
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import AuthFailed, Forbidden, Permanent

OWNER = "platform_owner"
"""Role that owns every target."""
IDENTITY = ("identity_state",)
"""What evidence actions acquire, and what those that change an identity need."""


class Counted(Result):
    """Targets that are now as wanted, changed by this step or already so."""

    count: int


class AwsTargets(TargetAction[P, R]):
    """An effect on targets of an account; its settings may protect some by name."""

    batch_size = 100

    def preview(self, params: P, ctx: ActionContext) -> Proposal:
        """As for every target action, with the account's own protected ones among the protected."""
        proposal = super().preview(params, ctx)
        names = {name.casefold() for name in ctx.client.config.protected}
        if not names or proposal.targets is None:
            return proposal
        shown = proposal.preview
        held = set(shown.sample) if shown.count <= len(shown.sample) else None
        protected = [
            target.id
            for target in self.targets_of(proposal, ctx)
            if (held is None or target.id in held)
            and any(name.casefold() in names for name in (target.id, *target.names))
        ]
        whole = tuple(dict.fromkeys([*shown.protected, *protected]))
        return replace(proposal, preview=shown.model_copy(update={"protected": whole}))


def one_by_one(
    targets: Sequence[Target], ctx: ActionContext, work: Callable[[Target, ActionContext], ItemOutcome]
) -> list[ItemOutcome]:
    """A request for each target. What concerns one target fails that one; lacking rights ends the batch."""
    outcomes: list[ItemOutcome] = []
    for number, target in enumerate(targets):
        try:
            outcome = work(target, ctx)
        except (AuthFailed, Forbidden) as error:
            if not outcomes:
                raise
            rest = [ItemOutcome(left.id, "failed", error.code) for left in targets[number:]]
            return [*outcomes, *rest]
        except Permanent as error:
            if len(targets) == 1:
                # Alone, its reason is the whole step's, with words.
                raise
            outcome = ItemOutcome(target.id, "failed", error.code)
        if outcome.status == "done":
            # Said after each: an error at a later target must not look as if nothing was changed.
            ctx.sent()
        outcomes.append(outcome)
    return outcomes


def plural(count: int, noun: str) -> str:
    """``1 key``, ``2 keys``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
