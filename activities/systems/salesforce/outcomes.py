"""Requests for a batch of targets, and how each fared: one by one, or in one collections request."""

import random
import time
from collections.abc import Callable, Sequence
from functools import partial

from activities.batches import ItemOutcome, Target
from activities.context import ActionContext
from activities.errors import AuthFailed, Forbidden, Permanent, Unavailable
from activities.systems.salesforce.models import RowAnswer

GONE = ("entity_is_deleted", "not_found", "invalid_cross_reference_key")
LOCKED = "unable_to_lock_row"
LOCK_PAUSES = (0.2, 0.6, 1.5)


def one_by_one(
    targets: Sequence[Target], ctx: ActionContext, work: Callable[[Target, ActionContext], ItemOutcome]
) -> list[ItemOutcome]:
    """A request for each target. What concerns one target fails that one; lacking rights ends the batch."""
    outcomes: list[ItemOutcome] = []
    for number, target in enumerate(targets):
        try:
            outcome = _unlocked(partial(work, target, ctx))
        except (AuthFailed, Forbidden) as error:
            if not outcomes:
                raise
            rest = [ItemOutcome(left.id, "failed", error.code) for left in targets[number:]]
            return [*outcomes, *rest]
        except Permanent as error:
            outcome = ItemOutcome(target.id, "failed", error.code)
        if outcome.status == "done":
            # Said after each: an error at a later target must not look as if nothing was changed.
            ctx.sent()
        outcomes.append(outcome)
    return outcomes


def in_one(
    targets: Sequence[Target],
    ctx: ActionContext,
    send: Callable[[Sequence[str]], list[RowAnswer]],
    *,
    gone_is_done: bool,
) -> list[ItemOutcome]:
    """One collections request, and again for the rows that were locked."""
    outcomes: dict[str, ItemOutcome] = {}
    todo = [target.id for target in targets]
    for pause in (*LOCK_PAUSES, None):
        try:
            rows = send(todo)
        except Permanent as error:
            if not outcomes:
                raise
            # Those of the first request stand, whatever becomes of the locked ones.
            outcomes |= {id_: ItemOutcome(id_, "failed", error.code) for id_ in todo}
            break
        for row in rows:
            if row.ok:
                outcomes[row.id] = ItemOutcome(row.id, "done")
            elif gone_is_done and row.code in GONE:
                outcomes[row.id] = ItemOutcome(row.id, "already")
            else:
                outcomes[row.id] = ItemOutcome(row.id, "failed", row.code)
        if any(outcome.status == "done" for outcome in outcomes.values()):
            ctx.sent()
        todo = [id_ for id_, outcome in outcomes.items() if outcome.code == LOCKED]
        if not todo or pause is None:
            break
        time.sleep(pause * random.uniform(0.5, 1.5))
    return list(outcomes.values())


def _unlocked(work: Callable[[], ItemOutcome]) -> ItemOutcome:
    """Try again shortly while somebody else holds the row."""
    for pause in LOCK_PAUSES:
        try:
            return work()
        except Unavailable:
            time.sleep(pause * random.uniform(0.5, 1.5))
    return work()
