"""Salesforce actions that contain: abort jobs, revoke tokens, end sessions, freeze users.

Order matters (facts §0.6, §2.2): freezing a user ends neither sessions nor tokens, and a running export goes
on after its token is gone. So jobs first, then tokens, sessions, users; each is read back.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated

from activities.action import FieldType, Params, Proposal, Result, Targets, action
from activities.batches import ItemOutcome, Target, TargetAction
from activities.context import ActionContext
from activities.systems.salesforce.models import JOB, SESSION, Job, RowAnswer, record_id
from activities.systems.salesforce.outcomes import in_one, one_by_one
from activities.systems.salesforce.targets import user_ids
from playbooks.contract import Idempotency, Risk, TargetSet

OWNER = "crm_owner"
NEEDS = ("access_logs",)


class Counted(Result):
    """Targets that are now as wanted, changed by this step or already so."""

    count: int


class TheseTargets(Params):
    """A list step's target set, or at most 500 ids."""

    targets: Targets


class AbortBulkJobsParams(TheseTargets):
    """Which bulk jobs."""


@action(
    "salesforce.abort_bulk_jobs",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    irreversible="an aborted job cannot be resumed; whoever owns it starts a new one",
    preauthorised="jobs_read_from_org",
    scopes=("DataManagement",),
    timeout=timedelta(minutes=15),
)
class AbortBulkJobs(TargetAction[AbortBulkJobsParams, Counted]):
    """Abort bulk jobs."""

    noun, done, batch_size = "bulk job", "aborted", 100

    def find(self, params: AbortBulkJobsParams, ctx: ActionContext) -> list[Target]:
        """Each job as it is now; only what the org itself lists can be aborted."""
        found = []
        mine = ctx.client.own_user()
        for row in ctx.rows(params.targets):
            id_ = record_id(row["id"], JOB)
            job = ctx.client.job(id_, row.get("kind"))
            if job is None:
                found.append(Target(id_, excluded="deleted by its owner; its traces are in the event log"))
                continue
            late = None if job.running or job.state == "Aborted" else f"too late, it is {job.state}"
            found.append(
                Target(
                    id_,
                    label=f"{job.operation} {job.object}",
                    already=job.state == "Aborted",
                    own=job.user == mine,
                    names=(job.user,),
                    before=vars(job).copy(),
                    excluded=late,
                )
            )
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """What stops."""
        kinds = Counter((str(target.before["operation"]), str(target.before["object"])) for target in targets)
        return [f"{count} {operation} of {name} stop" for (operation, name), count in sorted(kinds.items())]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One request a job."""
        return one_by_one(targets, ctx, self._abort)

    def _abort(self, target: Target, ctx: ActionContext) -> ItemOutcome:
        if ctx.client.abort_job(_job(target)):
            return ItemOutcome(target.id, "done")
        now = ctx.client.job(target.id, str(target.before["kind"]))
        if now is not None and now.state == "Aborted":
            return ItemOutcome(target.id, "already")
        return ItemOutcome(target.id, "failed", "deleted" if now is None else "too_late")

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is aborted."""
        jobs = [ctx.client.job(target.id, str(target.before["kind"])) for target in targets]
        return {job.id: job.state == "Aborted" for job in jobs if job is not None}


class RevokeOAuthTokensParams(Params):
    """Grants of a list step, or at most 500 of their fingerprints."""

    targets: Annotated[TargetSet | list[str], FieldType("grants")]


class _Revocation(TargetAction):
    """What both revocations share. A grant is matched by its fingerprint, re-read each time."""

    noun, done, batch_size = "OAuth token", "revoked", 100

    def _target(self, grant, ctx: ActionContext) -> Target:
        return Target(
            grant.fp,
            label=grant.app,
            own=grant.user == ctx.client.own_user() or grant.app == ctx.client.config.app,
            names=(grant.user, grant.app),
            before={"app": grant.app, "user": grant.user, "created": grant.created},
        )

    def _live(self, targets: Sequence[Target], ctx: ActionContext) -> dict:
        users = sorted({str(target.before["user"]) for target in targets})
        grants, _ = ctx.client.grants(None, users)
        return {grant.fp: grant for grant in grants}

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
        live = self._live(targets, ctx)

        def revoke(target: Target, ctx: ActionContext) -> ItemOutcome:
            grant = live.get(target.id)
            gone = grant is None or not ctx.client.revoke(grant)
            return ItemOutcome(target.id, "already" if gone else "done")

        return one_by_one(targets, ctx, revoke)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is gone."""
        live = self._live(targets, ctx)
        return {target.id: target.id not in live for target in targets}


_REVOKE = {
    "risk": Risk.CONTAIN,
    "owner": OWNER,
    "idempotency": Idempotency.NATURAL,
    "irreversible": "a revoked token cannot be restored; the app is authorised anew",
    "needs_evidence": NEEDS,
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
        grants, _ = ctx.client.grants(None, users if users and all(row.get("user") for row in rows) else None)
        live = {grant.fp: grant for grant in grants}
        return [
            self._target(live[row["id"]], ctx) if row["id"] in live else Target(str(row["id"]), already=True)
            for row in rows
        ]


class RevokeOAuthTokensOfAppParams(Params):
    """Of which connected app, by name."""

    app: str


@action("salesforce.revoke_oauth_tokens_of_app", selector=True, **_REVOKE)
class RevokeOAuthTokensOfApp(_Revocation, TargetAction[RevokeOAuthTokensOfAppParams, Counted]):
    """Revoke all OAuth tokens of an app."""

    def find(self, params: RevokeOAuthTokensOfAppParams, ctx: ActionContext) -> list[Target]:
        """All that are live now."""
        grants, _ = ctx.client.grants(params.app)
        return [self._target(grant, ctx) for grant in grants]

    def verify(self, params: RevokeOAuthTokensOfAppParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether the app has none, also none that was made meanwhile."""
        return super().verify(params, ctx, proposal) and ctx.client.count_grants(params.app) == 0


class EndSessionsParams(TheseTargets):
    """Which sessions."""


@action(
    "salesforce.end_sessions",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    irreversible="an ended session cannot be restored; the user signs in again",
    needs_evidence=NEEDS,
    scopes=("ManageUsers",),
    timeout=timedelta(minutes=15),
)
class EndSessions(TargetAction[EndSessionsParams, Counted]):
    """End sessions."""

    noun, done, batch_size = "session", "ended", 200

    def find(self, params: EndSessionsParams, ctx: ActionContext) -> list[Target]:
        """Each as it is now. A child goes with its parent, so it is no target of its own."""
        rows = ctx.rows(params.targets)
        ids = [record_id(row["id"], SESSION) for row in rows]
        live = {session.id: session for session in ctx.client.sessions(ids=ids)}
        mine = ctx.client.own_user()
        found = []
        for id_ in ids:
            session = live.get(id_)
            if session is None:
                found.append(Target(id_, already=True))
                continue
            children = [other.id for other in live.values() if other.parent == id_]
            found.append(
                Target(
                    id_,
                    label=session.type,
                    own=session.current or session.user == mine,
                    names=(session.user,),
                    before={"user": session.user, "type": session.type, "children": children},
                    excluded=f"ends with {session.parent}" if session.parent in live else None,
                )
            )
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who is signed out."""
        users = len({target.before.get("user") for target in targets})
        children = sum(len(target.before.get("children", ())) for target in targets)
        lines = [f"{users} user{'' if users == 1 else 's'} signed out"] if targets else []
        return [*lines, f"{children} child sessions end with them"] if children else lines

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One collections request; a session that has just gone counts as already ended."""
        return in_one(targets, ctx, ctx.client.end_sessions, gone_is_done=True)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is gone, with its children."""
        family = {target.id: [target.id, *target.before.get("children", ())] for target in targets}
        live = {session.id for session in ctx.client.sessions(ids=[id_ for ids in family.values() for id_ in ids])}
        return {id_: live.isdisjoint(ids) for id_, ids in family.items()}


class FreezeUsersParams(Params):
    """Which users: a list step's target set, or at most 500 ids or user names."""

    targets: Targets


@action(
    "salesforce.freeze_users",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    reversible=True,
    scopes=("ManageUsers", "FreezeUsers"),
    timeout=timedelta(minutes=15),
)
class FreezeUsers(TargetAction[FreezeUsersParams, Counted]):
    """Freeze users."""

    noun, done, undone, batch_size = "user", "frozen", "unfrozen", 200

    def find(self, params: FreezeUsersParams, ctx: ActionContext) -> list[Target]:
        """Each with its UserLogin, which is what freezing changes (not the User)."""
        ids = user_ids(params.targets, ctx)
        logins = {login.user: login for login in ctx.client.logins(ids)}
        mine = ctx.client.own_user()
        found = []
        for id_ in ids:
            login = logins.get(id_)
            if login is None:
                found.append(Target(id_, own=id_ == mine, excluded="has no login in this org"))
                continue
            found.append(
                Target(
                    id_,
                    label=login.username,
                    already=login.frozen,
                    own=id_ == mine,
                    names=(login.username,),
                    before={"login": login.id, "frozen": login.frozen},
                )
            )
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who cannot sign in, and what freezing does not do."""
        if not targets:
            return []
        people = f"{len(targets)} user{'' if len(targets) == 1 else 's'}"
        return [f"{people} cannot sign in until unfrozen", "freezing ends no session and no token by itself"]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Freeze."""
        return self._set(targets, ctx, frozen=True)

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Unfreeze those that were not frozen before."""
        return self._set(targets, ctx, frozen=False)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is frozen."""
        return {login.user: login.frozen for login in ctx.client.logins([target.id for target in targets])}

    def _set(self, targets: Sequence[Target], ctx: ActionContext, *, frozen: bool) -> list[ItemOutcome]:
        users = {str(target.before["login"]): target.id for target in targets}

        def send(ids: Sequence[str]) -> list[RowAnswer]:
            login_of = {user: login for login, user in users.items()}
            rows = ctx.client.set_frozen({login_of[id_]: frozen for id_ in ids})
            return [RowAnswer(users[row.id], row.ok, row.code) for row in rows]

        return in_one(targets, ctx, send, gone_is_done=False)


def _job(target: Target) -> Job:
    return Job(**{name: str(value) for name, value in target.before.items()})


ACTIONS = (AbortBulkJobs, RevokeOAuthTokens, RevokeOAuthTokensOfApp, EndSessions, FreezeUsers)
