"""From what a playbook passes (target sets or literal ids) to Salesforce ids."""

from collections.abc import Sequence

from activities.context import ActionContext
from activities.systems.salesforce.models import USER, record_id
from playbooks.contract import TargetSet


def user_ids(users: TargetSet | Sequence[str], ctx: ActionContext) -> list[str]:
    """Ids of users given by a target set, by id or by user name (``name@host``).

    Raises:
        InvalidParams: A value is neither; nothing was done.
    """
    given = [str(row["id"]) for row in ctx.rows(users)]
    if any("@" in name for name in given):
        return list(ctx.client.user_ids(given))
    return list(dict.fromkeys(record_id(id_, USER) for id_ in given))
