"""Salesforce actions that list and count what an incident may have to end."""

from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from activities.action import Action, Applied, Grants, Params, Proposal, Result, Targets, action
from activities.context import ActionContext
from activities.systems.salesforce.declared import OWNER
from activities.systems.salesforce.grants import CUT_OFF
from activities.systems.salesforce.models import instant
from activities.systems.salesforce.targets import found_users, not_found
from playbooks.contract import Risk, TargetSet


class WhichTokens(Params):
    """Tokens of an app, of a user (id or user name), of both, or all."""

    app: str | None = None
    user: str | None = None


class TokensListed(Result):
    """Grants by reference, and the users who gave them."""

    targets: Grants
    users: TargetSet
    count: int


@action(
    "salesforce.list_oauth_tokens",
    risk=Risk.READ,
    owner=OWNER,
    scopes=("CustomizeApplication",),
    timeout=timedelta(minutes=10),
)
class ListOAuthTokens(Action[WhichTokens, TokensListed]):
    """List OAuth tokens."""

    def apply(self, params: WhichTokens, ctx: ActionContext, proposal: Proposal) -> Applied[TokensListed]:
        """Stanch's own are left out: no step may touch them."""
        users, missing = found_users([params.user], ctx) if params.user is not None else (None, [])
        grants, complete = ctx.client.grants(params.app, users)
        mine = ctx.client.own_user()
        others = [grant for grant in grants if grant.user != mine and grant.app != ctx.client.config.app]
        ids = sorted({grant.user for grant in others})
        names = ctx.client.usernames(ids)
        targets = ctx.put_rows([grant.row() for grant in others], name="salesforce.grants")
        people = ctx.put_rows([{"id": id_, "label": names.get(id_, "")} for id_ in ids], name="salesforce.users")
        warnings = list(not_found(missing))
        if len(others) != len(grants):
            warnings.append(f"{len(grants) - len(others)} of Stanch's own tokens are left out")
        if not complete:
            warnings.append(CUT_OFF)
            targets = targets.model_copy(update={"complete": False})
        return Applied(
            TokensListed(targets=targets, users=people, count=len(others)),
            summary=f"{len(others)} tokens of {len(ids)} users",
            warnings=tuple(warnings),
        )


class TokensCounted(Result):
    """How many there are, Stanch's own included."""

    count: int


@action("salesforce.count_oauth_tokens", risk=Risk.READ, owner=OWNER, scopes=("CustomizeApplication",))
class CountOAuthTokens(Action[WhichTokens, TokensCounted]):
    """Count OAuth tokens."""

    def apply(self, params: WhichTokens, ctx: ActionContext, proposal: Proposal) -> Applied[TokensCounted]:
        """Counted by Salesforce, so that the caps of its lists do not matter."""
        users, missing = found_users([params.user], ctx) if params.user is not None else (None, [])
        if missing:
            return Applied(TokensCounted(count=0), summary="0 tokens", warnings=not_found(missing))
        count = ctx.client.count_grants(params.app, users[0] if users else None)
        return Applied(TokensCounted(count=count), summary=f"{count} tokens")


class WhoseSessions(Params):
    """Whose sessions."""

    users: Targets


class Listed(Result):
    """Targets by reference, the users they belong to, and how many targets there are."""

    targets: TargetSet
    users: TargetSet
    count: int


@action(
    "salesforce.list_sessions",
    risk=Risk.READ,
    owner=OWNER,
    scopes=("ManageUsers",),
    timeout=timedelta(minutes=5),
)
class ListSessions(Action[WhoseSessions, Listed]):
    """List live sessions."""

    def apply(self, params: WhoseSessions, ctx: ActionContext, proposal: Proposal) -> Applied[Listed]:
        """Stanch's own are left out."""
        mine = ctx.client.own_user()
        users, missing = found_users(params.users, ctx)
        found = ctx.client.sessions(users=users)
        others = [session for session in found if session.user != mine and not session.current]
        rows = [
            {"id": session.id, "user": session.user, "type": session.type, "parent": session.parent}
            for session in others
        ]
        left_out = len(found) - len(others)
        warnings = (f"{left_out} of Stanch's own sessions are left out",) if left_out else ()
        return _listed(ctx, rows, "session", (*warnings, *not_found(missing)))


class WhichJobs(Params):
    """Whose bulk jobs, in which states, since when; without any of them all jobs of the org."""

    users: Targets | None = None
    states: list[str] = Field(default=[])
    since: datetime | None = None


@action(
    "salesforce.list_bulk_jobs",
    risk=Risk.READ,
    owner=OWNER,
    scopes=("ManageDataIntegrations",),
    timeout=timedelta(minutes=5),
)
class ListBulkJobs(Action[WhichJobs, Listed]):
    """List bulk jobs."""

    def apply(self, params: WhichJobs, ctx: ActionContext, proposal: Proposal) -> Applied[Listed]:
        """A job that its owner deleted is not here; look for it in the event log."""
        users, missing = found_users(params.users, ctx) if params.users is not None else (None, [])
        chosen = set(users or ())
        rows = []
        for job in ctx.client.jobs():
            made = instant(job.created)
            if users is not None and job.user not in chosen:
                continue
            if params.states and job.state not in params.states:
                continue
            if params.since is not None and made is not None and made < params.since:
                continue
            rows.append(vars(job).copy())
        return _listed(ctx, rows, "bulk job", not_found(missing))


def _listed(ctx: ActionContext, rows: list[dict[str, Any]], noun: str, warnings: tuple[str, ...]) -> Applied[Listed]:
    targets = ctx.put_rows(rows, name=f"salesforce.{noun.replace(' ', '_')}s")
    users = ctx.put_rows([{"id": id_} for id_ in sorted({row["user"] for row in rows})], name="salesforce.users")
    return Applied(
        Listed(targets=targets, users=users, count=len(rows)),
        summary=f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'} of {users.count} users",
        warnings=warnings,
    )


ACTIONS = (ListOAuthTokens, CountOAuthTokens, ListSessions, ListBulkJobs)
