"""From what a playbook passes (target sets or literal ids) to Salesforce ids."""

from collections.abc import Sequence

from activities.context import ActionContext
from activities.systems.salesforce.models import USER, record_id
from playbooks.contract import TargetSet


def found_users(users: TargetSet | Sequence[str], ctx: ActionContext) -> tuple[list[str], list[str]]:
    """Ids of users given by a target set, by id or by user name (``name@host``); and names that are not there.

    Raises:
        InvalidParams: A value is neither; nothing was done.
    """
    given = [str(row["id"]) for row in ctx.rows(users)]
    named = ctx.client.user_ids([name for name in given if "@" in name])
    ids = [named.get(name.casefold(), "") if "@" in name else record_id(name, USER) for name in given]
    missing = [name for name, id_ in zip(given, ids, strict=True) if not id_]
    return [id_ for id_ in dict.fromkeys(ids) if id_], missing


def not_found(missing: Sequence[str]) -> tuple[str, ...]:
    """The warning of a step that was given user names which this org does not have."""
    if not missing:
        return ()
    names = "1 user name that was given is" if len(missing) == 1 else f"{len(missing)} user names that were given are"
    return (f"{names} not in this org",)
