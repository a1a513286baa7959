"""Salesforce actions that contain: abort jobs, end sessions, freeze users; tokens have a file of their own.

Order matters (facts §0.6, §2.2): freezing a user ends neither sessions nor tokens, and a running export goes
on after its token is gone. So jobs first, then tokens, sessions, users; each is read back.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from activities.action import Params, Proposal, Targets, action
from activities.batches import ItemOutcome, Target, TargetAction, earlier_targets
from activities.context import ActionContext
from activities.systems.salesforce.declared import LOGS, OWNER, Counted
from activities.systems.salesforce.models import JOB, SESSION, Job, RowAnswer, record_id
from activities.systems.salesforce.outcomes import in_one, one_by_one
from activities.systems.salesforce.targets import found_users
from playbooks.contract import Idempotency, Risk


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
    scopes=("ManageDataIntegrations",),
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
        """Whether each is aborted; of a deleted one that is not known."""
        jobs = [ctx.client.job(target.id, str(target.before["kind"])) for target in targets]
        return {job.id: job.state == "Aborted" for job in jobs if job is not None}

    def verify(self, params: AbortBulkJobsParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether none runs any more; its owner may have deleted an aborted one at once."""
        targets = self.targets_of(proposal, ctx)
        states = self.check(targets, ctx)
        return all(states.get(target.id, True) for target in targets)


class EndSessionsParams(TheseTargets):
    """Which sessions."""


@action(
    "salesforce.end_sessions",
    risk=Risk.CONTAIN,
    owner=OWNER,
    idempotency=Idempotency.NATURAL,
    irreversible="an ended session cannot be restored; the user signs in again",
    needs_evidence=LOGS,
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
        parents = {id_: str(row["parent"]) for id_, row in zip(ids, rows, strict=True) if row.get("parent")}
        for target in earlier_targets(ctx).values():
            parents |= dict.fromkeys(map(str, target.before["children"]), target.id)
        parents |= {session.id: session.parent for session in live.values() if session.parent}
        named = set(ids)
        roots = {id_: _root(id_, parents, named) for id_ in ids}
        families: dict[str, list[str]] = {}
        for id_, root in roots.items():
            if root != id_:
                families.setdefault(root, []).append(id_)
        mine = ctx.client.own_user()
        found = []
        for id_ in ids:
            session, root = live.get(id_), roots[id_]
            if root != id_ and (session is None or root in live):
                continue
            if session is None:
                found.append(Target(id_, already=True))
                continue
            found.append(
                Target(
                    id_,
                    label=session.type,
                    own=session.current or session.user == mine,
                    names=(session.user,),
                    before={"user": session.user, "type": session.type, "children": families.get(id_, [])},
                )
            )
        return found

    def impact(self, targets: Sequence[Target]) -> Sequence[str]:
        """Who is signed out."""
        users = len({target.before.get("user") for target in targets})
        children = sum(len(target.before.get("children", ())) for target in targets)
        lines = [f"{users} user{'' if users == 1 else 's'} signed out"] if targets else []
        more = "1 session that was made from one of them ends too"
        if children > 1:
            more = f"{children} sessions that were made from them end too"
        return [*lines, more] if children else lines

    def labels(self, targets: Sequence[Target], ctx: ActionContext) -> list[str]:
        """Whose session it is, and of which type."""
        names = ctx.client.usernames(sorted({str(target.before["user"]) for target in targets}))
        return [f"{names.get(str(target.before['user']), '')} {target.label}".strip() for target in targets]

    def change(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """One collections request; a session that has just gone counts as already ended."""
        return in_one(targets, ctx, ctx.client.end_sessions, gone_is_done=True)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is gone."""
        live = {session.id for session in ctx.client.sessions(ids=[target.id for target in targets])}
        return {target.id: target.id not in live for target in targets}

    def verify(self, params: EndSessionsParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether all are gone, with their children."""
        targets = self.targets_of(proposal, ctx)
        ids = [id_ for target in targets for id_ in (target.id, *map(str, target.before["children"]))]
        return not ctx.client.sessions(ids=ids)


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
        ids, missing = found_users(params.targets, ctx)
        logins = {login.user: login for login in ctx.client.logins(ids)}
        mine = ctx.client.own_user()
        found = [Target(name, excluded="no user of this name in this org") for name in missing]
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
        """Freeze; who was frozen by somebody else since the preview is not ours to count."""
        frozen = ctx.client.frozen([target.id for target in targets])
        same = [ItemOutcome(target.id, "already") for target in targets if frozen.get(target.id)]
        left = [target for target in targets if not frozen.get(target.id)]
        return [*same, *(self._set(left, ctx, frozen=True) if left else ())]

    def restore(self, targets: Sequence[Target], ctx: ActionContext) -> list[ItemOutcome]:
        """Unfreeze."""
        return self._set(targets, ctx, frozen=False)

    def check(self, targets: Sequence[Target], ctx: ActionContext) -> Mapping[str, bool]:
        """Whether each is frozen."""
        return dict(ctx.client.frozen([target.id for target in targets]))

    def _set(self, targets: Sequence[Target], ctx: ActionContext, *, frozen: bool) -> list[ItemOutcome]:
        users = {str(target.before["login"]): target.id for target in targets}

        def send(ids: Sequence[str]) -> list[RowAnswer]:
            login_of = {user: login for login, user in users.items()}
            rows = ctx.client.set_frozen({login_of[id_]: frozen for id_ in ids})
            return [RowAnswer(users[row.id], row.ok, row.code) for row in rows]

        return in_one(targets, ctx, send, gone_is_done=False)


def _root(id_: str, parents: Mapping[str, str], named: set[str]) -> str:
    """The topmost of a session's ancestors that is named too; itself if none is."""
    seen = {id_}
    while (parent := parents.get(id_)) in named and parent not in seen:
        seen.add(parent)
        id_ = parent
    return id_


def _job(target: Target) -> Job:
    return Job(**{name: str(value) for name, value in target.before.items()})


ACTIONS = (AbortBulkJobs, EndSessions, FreezeUsers)
