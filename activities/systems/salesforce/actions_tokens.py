"""Salesforce actions that revoke OAuth tokens, named one by one or all of an app."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

from activities.action import FieldType, Params, Proposal, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.errors import Rejected
from activities.systems.salesforce.declared import LOGS, OWNER, Counted
from activities.systems.salesforce.grants import CUT_OFF
from activities.systems.salesforce.models import Grant
from activities.systems.salesforce.outcomes import one_by_one
from playbooks.contract import Idempotency, Json, Risk, TargetSet


class RevokeOAuthTokensParams(Params):
    """Grants of a list step, or at most 500 of their fingerprints."""

    targets: Annotated[TargetSet | list[str], FieldType("grants")]


class _Revocation(TargetAction[Any, Counted]):
    """What both revocations share. A grant is matched by its fingerprint, re-read each time."""

    noun, done, batch_size = "OAuth token", "revoked", 100

    def _target(self, grant: Grant, ctx: ActionContext) -> Target:
        return Target(
            grant.fp,
            label=grant.app,
            own=grant.user == ctx.client.own_user() or grant.app == ctx.client.config.app,
            names=(grant.user, grant.app),
            before={"app": grant.app, "user": grant.user, "created": grant.created},
        )

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """Who gave the token, and when."""
        names = ctx.client.usernames(sorted({str(target.before["user"]) for target in targets}))
        return [
            f"{names.get(str(target.before['user']), '')} since {str(target.before['created'])[:10]}".strip()
            for target in targets
        ]

    def _live(self, targets: Sequence[Target], ctx: ActionContext) -> tuple[dict[str, Grant], bool]:
        """Grants of the targets' users and apps that are there now, and whether none is missing."""
        live: dict[str, Grant] = {}
        whole = True
        for app in sorted({str(target.before["app"]) for target in targets}):
            users = sorted({str(target.before["user"]) for target in targets if target.before["app"] == app})
            grants, complete = ctx.client.grants(app, users)
            live |= {grant.fp: grant for grant in grants}
            whole = whole and complete
        return live, whole

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Whose connections end."""
        apps = Counter(str(target.before["app"]) for target in targets)
        users = len({target.before["user"] for target in targets})
        lines = [
            f"{app}: {count} token{'' if count == 1 else 's'} with all sessions made of them end"
            for app, count in sorted(apps.items())
        ]
        return [*lines, f"{users} user{'' if users == 1 else 's'} must authorise again"] if targets else []

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request a grant: Salesforce has no other way for connected apps."""
        live, whole = self._live(targets, ctx)

        def revoke(target: Target, ctx: ActionContext) -> ItemOutcome:
            grant = live.get(target.id)
            if grant is None and not whole:
                return ItemOutcome(target.id, "failed", "not_listed")
            gone = grant is None or not ctx.client.revoke(grant)
            return ItemOutcome(target.id, "already" if gone else "done")

        return one_by_one(targets, ctx, revoke)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is gone; not known of one that is not listed while the list is cut off."""
        live, whole = self._live(targets, ctx)
        return {target.id: target.id not in live for target in targets if whole or target.id in live}


_REVOKE: dict[str, Any] = {
    "risk": Risk.CONTAIN,
    "owner": OWNER,
    "idempotency": Idempotency.NATURAL,
    "irreversible": "a revoked token cannot be restored; the app is authorised anew",
    "needs_evidence": LOGS,
    "scopes": ("CustomizeApplication",),
    "timeout": timedelta(minutes=20),
}


@action("salesforce.revoke_oauth_tokens", **_REVOKE)
class RevokeOAuthTokens(_Revocation, TargetAction[RevokeOAuthTokensParams, Counted]):
    """Revoke OAuth tokens."""

    def find(self, params: RevokeOAuthTokensParams, ctx: ActionContext) -> list[Target]:
        """The grants named; one that is not there any more is already revoked."""
        rows = ctx.rows(params.targets)
        users = sorted({str(row["user"]) for row in rows if row.get("user")})
        grants, whole = ctx.client.grants(None, users if all(row.get("user") for row in rows) else None)
        live = {grant.fp: grant for grant in grants}
        self._same_key(rows, live)
        gone = {"already": True} if whole else {"excluded": "Salesforce does not list all tokens of its user"}
        return [
            self._target(live[row["id"]], ctx) if row["id"] in live else Target(str(row["id"]), **gone) for row in rows
        ]

    def _same_key(self, rows: Sequence[Mapping[str, Json]], live: Mapping[str, Grant]) -> None:
        """Refuse fingerprints of another key: no grant would be found by them, and all would look revoked."""
        named = {str(row["id"]) for row in rows}
        others = {(grant.app, grant.user, grant.created) for grant in live.values() if grant.fp not in named}
        if (
            rows
            and not named & live.keys()
            and any((row.get("app"), row.get("user"), row.get("created")) in others for row in rows)
        ):
            raise Rejected(
                "The tokens were listed with another credential of the integration than the one in use, so they "
                "cannot be told apart any more. Nothing was revoked. List them again."
            )


class RevokeOAuthTokensOfAppParams(Params):
    """Of which connected app, by name."""

    app: str


@action("salesforce.revoke_oauth_tokens_of_app", selector=True, **_REVOKE)
class RevokeOAuthTokensOfApp(_Revocation, TargetAction[RevokeOAuthTokensOfAppParams, Counted]):
    """Revoke all OAuth tokens of an app."""

    def find(self, params: RevokeOAuthTokensOfAppParams, ctx: ActionContext) -> list[Target]:
        """All that are live now."""
        grants, whole = ctx.client.grants(params.app)
        found = [self._target(grant, ctx) for grant in grants]
        return found if whole else [*found, Target(params.app, excluded=f"{CUT_OFF}; revoke again when these are gone")]

    def verify(self, params: RevokeOAuthTokensOfAppParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether the app has none, also none that was made meanwhile."""
        return super().verify(params, ctx, proposal) and ctx.client.count_grants(params.app) == 0


ACTIONS = (RevokeOAuthTokens, RevokeOAuthTokensOfApp)
