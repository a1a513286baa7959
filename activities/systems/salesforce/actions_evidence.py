"""Salesforce actions that secure evidence before anything is changed."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from activities.action import Action, Applied, Params, Proposal, Result, Targets, action
from activities.context import ActionContext
from activities.errors import ConnectorError, NotFound
from activities.systems.salesforce.declared import LOGS, OWNER
from activities.systems.salesforce.grants import CUT_OFF
from activities.systems.salesforce.targets import found_users, not_found
from playbooks.contract import Risk

KEPT = timedelta(days=30)
"""How long event log files are kept with the add-on (facts §1.3)."""


class Secured(Result):
    """What was secured: records or files, and whether nothing is known to be missing."""

    count: int
    complete: bool


class CollectEventLogsParams(Params):
    """Which event log files. Without ``types`` all of them."""

    since: datetime
    until: datetime | None = None
    types: list[str] = Field(default=[])


@action(
    "salesforce.collect_event_logs",
    risk=Risk.READ,
    owner=OWNER,
    acquires=LOGS,
    scopes=("ViewEventLogFiles",),
    timeout=timedelta(minutes=15),
)
class CollectEventLogs(Action[CollectEventLogsParams, Secured]):
    """Secure Salesforce event log files."""

    def apply(self, params: CollectEventLogsParams, ctx: ActionContext, proposal: Proposal) -> Applied[Secured]:
        """Keep the bytes of each file, with its columns as listed, since they change with releases."""
        until = params.until or ctx.now()
        files = ctx.client.log_files(params.since, until, params.types)
        kept, missing, listing = 0, 0, []
        for number, file in enumerate(files):
            if ctx.stopping():
                return Applied(Secured(count=kept, complete=False), summary="stopped early", final=False)
            try:
                content = ctx.client.log_content(file)
            except NotFound:
                missing += 1
                continue
            whole = len(content) == file.length
            missing += not whole
            kept += 1
            day = file.log_date[:10]
            ref = ctx.put(content, name=f"EventLogFile-{file.event_type}-{day}-{file.id}.csv", media_type="text/csv")
            listing.append({**vars(file), "sha256": ref.sha256, "whole": whole})
            ctx.progress({"files": number + 1})
        _keep_lines(ctx, listing, "EventLogFile.jsonl")
        warnings = []
        if missing:
            warnings.append(f"{missing} of {len(files)} event log files could not be read whole")
        if ctx.now() - params.since > KEPT:
            warnings.append("event log files older than 30 days are kept by Salesforce for longer only by contract")
        unseen = sorted(set(params.types) - {file.event_type for file in files})
        if unseen:
            warnings.append(f"no file of {len(unseen)} of the types: {', '.join(unseen)[:200]}")
        return Applied(
            Secured(count=kept, complete=not missing and ctx.now() - params.since <= KEPT),
            summary=f"{kept} event log file{'' if kept == 1 else 's'} secured",
            warnings=tuple(warnings),
        )


class CollectLoginHistoryParams(Params):
    """Whose logins, since when; without ``users`` everybody's."""

    since: datetime
    users: Targets | None = None


@action(
    "salesforce.collect_login_history",
    risk=Risk.READ,
    owner=OWNER,
    acquires=LOGS,
    scopes=("ManageUsers",),
    timeout=timedelta(minutes=5),
)
class CollectLoginHistory(Action[CollectLoginHistoryParams, Secured]):
    """Secure the login history."""

    def apply(self, params: CollectLoginHistoryParams, ctx: ActionContext, proposal: Proposal) -> Applied[Secured]:
        """Rows of LoginHistory, oldest first."""
        soql = (
            "SELECT Id, UserId, LoginTime, SourceIp, LoginType, Status, Application, ClientVersion, ApiType, "
            "ApiVersion, LoginUrl, Browser, Platform FROM LoginHistory WHERE "
        )
        missing: list[str] = []
        if params.users is None:
            rows = ctx.client.query(f"{soql}LoginTime >= {{}}", params.since)
        else:
            ids, missing = found_users(params.users, ctx)
            rows = ctx.client.within(f"{soql}UserId IN {{}} AND LoginTime >= {{}}", ids, params.since)
        ordered = sorted(rows, key=lambda row: (row["LoginTime"], row["Id"]))
        return _secured(ctx, ordered, "LoginHistory", "logins", not_found(missing))


class CollectSetupAuditParams(Params):
    """Since when."""

    since: datetime


@action(
    "salesforce.collect_setup_audit",
    risk=Risk.READ,
    owner=OWNER,
    acquires=LOGS,
    scopes=("ViewSetup",),
    timeout=timedelta(minutes=5),
)
class CollectSetupAudit(Action[CollectSetupAuditParams, Secured]):
    """Secure the setup audit trail."""

    def apply(self, params: CollectSetupAuditParams, ctx: ActionContext, proposal: Proposal) -> Applied[Secured]:
        """Rows of SetupAuditTrail, oldest first."""
        rows = ctx.client.query(
            "SELECT Id, Action, Section, Display, CreatedDate, CreatedById, DelegateUser FROM SetupAuditTrail "
            "WHERE CreatedDate >= {} ORDER BY CreatedDate",
            params.since,
        )
        return _secured(ctx, rows, "SetupAuditTrail", "setup changes")


class SnapshotAccessParams(Params):
    """Of which app, of which users; without either of the whole org."""

    app: str | None = None
    users: Targets | None = None


@action(
    "salesforce.snapshot_access",
    risk=Risk.READ,
    owner=OWNER,
    acquires=LOGS,
    scopes=("ManageUsers", "CustomizeApplication"),
    timeout=timedelta(minutes=10),
)
class SnapshotAccess(Action[SnapshotAccessParams, Secured]):
    """Secure who has access now: tokens, sessions, jobs, logins, apps."""

    def apply(self, params: SnapshotAccessParams, ctx: ActionContext, proposal: Proposal) -> Applied[Secured]:
        """These exist live only: once revoked and ended they are gone. Tokens go in by fingerprint."""
        org = ctx.client
        chosen, missing = found_users(params.users, ctx) if params.users is not None else (None, [])
        grants, complete = org.grants(params.app, chosen)
        if chosen is None and params.app is not None:
            chosen = sorted({grant.user for grant in grants})
        warnings = [*not_found(missing), *(() if complete else (CUT_OFF,))]
        count = _keep_lines(ctx, (grant.row() for grant in grants), "OauthToken.jsonl")
        count += _keep_lines(ctx, map(vars, org.sessions(users=chosen)), "AuthSession.jsonl")
        jobs = [job for job in org.jobs() if chosen is None or job.user in chosen]
        count += _keep_lines(ctx, map(vars, jobs), "BulkJob.jsonl")
        if chosen is not None:
            count += _keep_lines(ctx, map(vars, org.logins(chosen)), "UserLogin.jsonl")
        try:
            fields = "Id, Name, OptionsAllowAdminApprovedUsersOnly, CreatedDate, LastModifiedDate"
            where, values = (" WHERE Name = {}", [params.app]) if params.app else ("", [])
            apps = org.query(f"SELECT {fields} FROM ConnectedApplication{where}", *values)
            count += _keep_lines(ctx, map(_plain, apps), "ConnectedApplication.jsonl")
        except ConnectorError as error:
            # A newer External Client App is not listed there; the rest of the snapshot is what matters.
            warnings.append(f"connected apps could not be listed ({error.code})")
        return Applied(
            Secured(count=count, complete=complete), summary=f"{count} records secured", warnings=tuple(warnings)
        )


def _secured(
    ctx: ActionContext, rows: Iterable[Mapping[str, Any]], name: str, noun: str, warnings: tuple[str, ...] = ()
) -> Applied[Secured]:
    count = _keep_lines(ctx, map(_plain, rows), f"{name}.jsonl")
    return Applied(Secured(count=count, complete=True), summary=f"{count} {noun} secured", warnings=warnings)


def _keep_lines(ctx: ActionContext, rows: Iterable[Mapping[str, Any]], name: str) -> int:
    lines = [json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows]
    # An empty file is evidence too: it says that nothing was there.
    ctx.put("".join(f"{line}\n" for line in lines).encode(), name=name, media_type="application/jsonl")
    return len(lines)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "attributes"}


ACTIONS = (CollectEventLogs, CollectLoginHistory, CollectSetupAudit, SnapshotAccess)
