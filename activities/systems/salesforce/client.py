"""The client of one Salesforce org: the few calls that the actions need, typed, through simple-salesforce.

Synchronous and thread-safe: each thread has its own HTTP session, all share one token broker. It knows
nothing of Temporal.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from simple_salesforce.api import Salesforce as RestClient
from simple_salesforce.exceptions import SalesforceExpiredSession
from simple_salesforce.format import format_soql

from activities.connecting import settings_of
from activities.errors import Forbidden, NotFound, Rejected
from activities.ports import Vault
from activities.systems.salesforce.adapter import (
    Expired,
    PinnedSession,
    ReadingSession,
    error_code,
    mapped,
    of_answer,
    unauthorised,
)
from activities.systems.salesforce.broker import AccessToken, TokenBroker
from activities.systems.salesforce.config import PERMISSIONS, SalesforceConfig
from activities.systems.salesforce.grants import GrantReader
from activities.systems.salesforce.models import Grant, Job, LogFile, Login, RowAnswer, Session, record_id

T = TypeVar("T")
COLLECTION = 200
"""Records per collections request, and at most as many values per ``IN`` list."""
LONGEST_LIST = 4_200
"""Characters of an ``IN`` list, which keeps the URL under 16 KB even where each has to be encoded."""
SESSION_FIELDS = (
    "Id, UsersId, SessionType, LoginType, SourceIp, ParentId, IsCurrent, CreatedDate, LastModifiedDate, NumSecondsValid"
)
FILE_FIELDS = (
    "Id, EventType, Interval, Sequence, LogDate, CreatedDate, LogFileLength, LogFileFieldNames, LogFileFieldTypes"
)


def connect(config: Mapping[str, Any] | SalesforceConfig, vault: Vault) -> "Salesforce":
    """A client; nothing is sent before its first use.

    Raises:
        AuthFailed: The settings of the org cannot be used; the message says which.
    """
    return Salesforce(settings_of(SalesforceConfig, "salesforce", config), vault)


def connect_reading(config: Mapping[str, Any] | SalesforceConfig, vault: Vault) -> "Salesforce":
    """A client that can only read: any other request is refused before it leaves this process.

    It signs in with the reading credential of the settings if there is one, and still knows whom the integration
    acts as.

    Raises:
        AuthFailed: As of ``connect``.
    """
    config = settings_of(SalesforceConfig, "salesforce", config)
    return Salesforce(config.for_reading(), vault, session=ReadingSession, acts_as=config.username)


class Salesforce:
    """One org, as Stanch's integration sees it."""

    def __init__(
        self,
        config: SalesforceConfig,
        vault: Vault,
        *,
        session: type[PinnedSession] = PinnedSession,
        acts_as: str | None = None,
    ) -> None:
        """``acts_as`` is the user name of the integration where this client signs in as somebody else."""
        self.config = config
        self._broker = TokenBroker(config, vault, session)
        self._session_type = session
        self._acts_as = acts_as if acts_as and acts_as != config.username else None
        self._acting: str | None = None
        self._local = threading.local()
        self._sessions: list[PinnedSession] = []
        self._sessions_lock = threading.Lock()
        self._grants = GrantReader(self, self._broker.fingerprint)

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._sessions_lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()

    def ping(self) -> str:
        """Sign in and look what the integration's user may do; a sentence for ``stanch doctor``.

        Raises:
            Forbidden: A permission is missing; the message says which.
        """
        user = self.own_user()
        known = self.permissions()
        missing = [name for name, granted in known.items() if not granted]
        if missing:
            raise Forbidden(f"Signed in as {user}, but these permissions are missing: {', '.join(missing)}.")
        untold = [name for name in PERMISSIONS if name not in known]
        if untold:
            return f"Signed in as {user}; this org does not say whether it has {', '.join(untold)}."
        return f"Signed in as {user}, with every permission that the actions need."

    def permissions(self) -> dict[str, bool]:
        """Whether the integration's user has each permission; one that this org does not know is left out."""

        def ask(names: Sequence[str]) -> dict[str, bool]:
            fields = ", ".join(f"Permissions{name}" for name in names)
            rows = self.query(f"SELECT {fields} FROM UserPermissionAccess", doing="looking at permissions")
            return {name: bool(row[f"Permissions{name}"]) for row in rows for name in names}

        try:
            return ask(PERMISSIONS)
        except Rejected:
            found: dict[str, bool] = {}
            for name in PERMISSIONS:
                with contextlib.suppress(Rejected):
                    found |= ask([name])
            return found

    @property
    def own(self) -> tuple[str, ...]:
        """Names and ids of Stanch's own integration, as far as they are known without asking."""
        known = (self.config.app, self.config.username, self._broker.known_user, self._acts_as, self._acting)
        return tuple(name for name in known if name)

    def own_user(self) -> str:
        """Id of the user that Stanch acts as."""
        if self._acts_as is None:
            return record_id(self._broker.token().user)
        if self._acting is None:
            self._acting = self.user_ids([self._acts_as]).get(self._acts_as.casefold(), "")
        return self._acting or record_id(self._broker.token().user)

    # Reading

    def query(self, soql: str, *values: Any, doing: str = "querying") -> Iterator[dict[str, Any]]:
        """Rows of a query, over all its pages. ``{}`` in it are escaped values, never pasted text."""
        text = format_soql(soql, *values) if values else soql
        page = self._call(doing, lambda rest: rest.query(text))
        while True:
            yield from page["records"]
            if page["done"]:
                return
            more = page["nextRecordsUrl"]
            page = self._call(
                doing, partial(RestClient.query_more, next_records_identifier=more, identifier_is_url=True)
            )

    def count(self, soql: str, *values: Any, doing: str = "counting") -> int:
        """What ``SELECT COUNT()`` says."""
        text = format_soql(soql, *values) if values else soql
        return int(self._call(doing, lambda rest: rest.query(text))["totalSize"])

    def within(self, soql: str, ids: Sequence[str], *values: Any, doing: str = "querying") -> Iterator[dict[str, Any]]:
        """Rows of a query whose first ``{}`` is an ``IN`` list, asked in chunks."""
        # User names are as long as people like; ids are 18 characters.
        size = min(COLLECTION, max(1, LONGEST_LIST // (3 + max(map(len, ids), default=1))))
        for start in range(0, len(ids), size):
            yield from self.query(soql, list(ids[start : start + size]), *values, doing=doing)

    def grants(self, app: str | None = None, users: Sequence[str] | None = None) -> tuple[list[Grant], bool]:
        """Authorisations of an app, of users, or all; and whether none was cut off by Salesforce's caps."""
        return self._grants.read(app, users)

    def count_grants(self, app: str | None = None, user: str | None = None) -> int:
        """How many there are; counted by Salesforce, so no cap applies."""
        return self._grants.count(app, [user] if user else None)

    def sessions(self, *, users: Sequence[str] | None = None, ids: Sequence[str] | None = None) -> list[Session]:
        """Live sessions of users, or those of the given ids that are still there."""
        doing = "listing sessions"
        if ids is not None:
            soql = f"SELECT {SESSION_FIELDS} FROM AuthSession WHERE Id IN {{}}"
            return [Session.of(row) for row in self.within(soql, ids, doing=doing)]
        soql = f"SELECT {SESSION_FIELDS} FROM AuthSession"
        if users is None:
            return [Session.of(row) for row in self.query(soql, doing=doing)]
        return [Session.of(row) for row in self.within(f"{soql} WHERE UsersId IN {{}}", users, doing=doing)]

    def jobs(self) -> list[Job]:
        """Bulk API 2.0 jobs of the org that were not deleted: a deleted one is in the event log only."""
        found = []
        for kind in ("query", "ingest"):
            page = self._call("listing bulk jobs", partial(RestClient.restful, path=f"jobs/{kind}"))
            while page:
                found += [Job.of(row, kind) for row in page["records"]]
                more = None if page.get("done", True) else page.get("nextRecordsUrl")
                page = more and self._call("listing bulk jobs", partial(RestClient.restful, path=_relative(more)))
        return found

    def job(self, id_: str, kind: str | None = None) -> Job | None:
        """One job, ``None`` if it is gone. Without ``kind`` both resources are asked."""
        for resource in (kind,) if kind else ("query", "ingest"):
            path = f"jobs/{resource}/{record_id(id_, '750')}"
            try:
                row = self._call("reading a bulk job", partial(RestClient.restful, path=path))
            except NotFound:
                continue
            if row:
                return Job.of(row, resource)
        return None

    def frozen(self, users: Sequence[str]) -> dict[str, bool]:
        """Whether each user that has a UserLogin is frozen."""
        rows = self.within("SELECT UserId, IsFrozen FROM UserLogin WHERE UserId IN {}", users, doing="reading logins")
        return {record_id(row["UserId"]): bool(row["IsFrozen"]) for row in rows}

    def logins(self, users: Sequence[str]) -> list[Login]:
        """The UserLogin of each user that has one."""
        rows = self.within(
            "SELECT Id, UserId, IsFrozen FROM UserLogin WHERE UserId IN {}", users, doing="reading logins"
        )
        logins = {record_id(row["UserId"]): row for row in rows}
        names = self.usernames(list(logins))
        return [
            Login(record_id(row["Id"]), user, names.get(user, ""), bool(row["IsFrozen"]))
            for user, row in logins.items()
        ]

    def usernames(self, users: Sequence[str]) -> dict[str, str]:
        """User id to user name."""
        rows = self.within("SELECT Id, Username FROM User WHERE Id IN {}", users, doing="reading users")
        return {record_id(row["Id"]): row["Username"] for row in rows}

    def user_ids(self, names: Sequence[str]) -> dict[str, str]:
        """User name, without regard to case, to user id; a name that is not there is left out."""
        rows = self.within("SELECT Id, Username FROM User WHERE Username IN {}", names, doing="reading users")
        return {row["Username"].casefold(): record_id(row["Id"]) for row in rows}

    def log_files(self, since: datetime, until: datetime, types: Sequence[str]) -> list[LogFile]:
        """Event log files made for a span, oldest first.

        Hourly files are filtered by ``CreatedDate``: they are made hours after what they hold (facts §1.3).
        """
        where = "CreatedDate >= {} AND LogDate <= {}"
        values: list[Any] = [since, until]
        if types:
            where, values = f"{where} AND EventType IN {{}}", [*values, list(types)]
        soql = f"SELECT {FILE_FIELDS} FROM EventLogFile WHERE {where} ORDER BY CreatedDate, Id"
        return [LogFile.of(row) for row in self.query(soql, *values, doing="listing event log files")]

    def log_content(self, file: LogFile) -> bytes:
        """The bytes of an event log file (CSV), as Salesforce gave them."""
        path = f"sobjects/EventLogFile/{record_id(file.id)}/LogFile"

        def read(rest: RestClient) -> bytes:
            # Not ``restful``: it wants JSON.
            answer = rest.session.get(rest.base_url + path, headers=rest.headers)
            if answer.status_code == 401:
                raise Expired("reading an event log file")
            if answer.status_code != 200:
                raise of_answer(answer.status_code, answer.content, "reading an event log file", write=False)
            return answer.content

        return self._call("reading an event log file", read)

    # Changing

    def revoke(self, grant: Grant) -> bool:
        """End a grant with all its access tokens; ``False`` if it was gone already.

        By the delete token in a form body: ``sf.oauth2`` would put it into the URL (facts §0.5).
        """

        def post(rest: RestClient) -> bool:
            answer = rest.session.post(
                f"{self.config.instance_url}/services/oauth2/revoke",
                data={"token": grant.delete_token},
                headers={"Authorization": rest.headers["Authorization"]},
            )
            if answer.status_code == 200:
                return True
            if answer.status_code == 400 and error_code(answer.content) == "invalid_token":
                return False
            raise of_answer(answer.status_code, answer.content, "revoking a token", write=True, session=self._session())

        return self._call("revoking a token", post, write=True)

    def end_sessions(self, ids: Sequence[str]) -> list[RowAnswer]:
        """End at most 200 sessions, each reported for itself. A child goes with its parent."""
        params = {"ids": ",".join(record_id(id_, "0Ak") for id_ in ids), "allOrNone": "false"}
        rows = self._call(
            "ending sessions",
            lambda rest: rest.restful("composite/sobjects", params=params, method="DELETE"),
            write=True,
        )
        return _answers(ids, rows)

    def set_frozen(self, logins: Mapping[str, bool]) -> list[RowAnswer]:
        """Freeze or unfreeze at most 200 logins (UserLogin ids), each reported for itself."""
        values = {login: {"IsFrozen": frozen} for login, frozen in logins.items()}
        return self.update_records("UserLogin", values, doing="freezing users")

    def update_records(
        self, object_: str, values: Mapping[str, Mapping[str, Any]], *, doing: str = "updating records"
    ) -> list[RowAnswer]:
        """Set fields of at most 200 records of an object (id to field to value), each reported for itself."""
        ids = list(values)
        records = [{"attributes": {"type": object_}, "id": record_id(id_), **values[id_]} for id_ in ids]
        body = {"allOrNone": False, "records": records}
        rows = self._call(
            doing,
            lambda rest: rest.restful("composite/sobjects", method="PATCH", json=body),
            write=True,
        )
        return _answers(ids, rows)

    def abort_job(self, job: Job) -> bool:
        """Abort a job; ``False`` if its state does not allow it any more."""
        path = f"jobs/{job.kind}/{record_id(job.id, '750')}"
        try:
            self._call(
                "aborting a bulk job",
                lambda rest: rest.restful(path, method="PATCH", json={"state": "Aborted"}),
                write=True,
            )
        except (Rejected, NotFound):
            return False
        return True

    # The way out

    def _call(self, doing: str, work: Callable[[RestClient], T], *, write: bool = False) -> T:
        """Run a piece of work with a token; once more with a fresh one if it is refused."""
        session = self._session()
        for _ in range(2):
            token = self._broker.token()
            try:
                with mapped(doing, write=write, session=session):
                    return work(self._rest(token, session))
            except (Expired, SalesforceExpiredSession):
                self._broker.refused(token)
        raise unauthorised(doing)

    def _rest(self, token: AccessToken, session: PinnedSession) -> RestClient:
        known = getattr(self._local, "rest", None)
        if known is None or known[0] != token.value:
            rest = RestClient(
                session_id=token.value,
                instance_url=self.config.instance_url,
                session=session,
                version=self.config.api_version,
                object_pairs_hook=dict,
            )
            known = self._local.rest = (token.value, rest)
        return known[1]

    def _session(self) -> PinnedSession:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._session_type(self.config)
            with self._sessions_lock:
                self._sessions.append(session)
        return session


def _relative(url: str) -> str:
    """What follows ``/services/data/vXX.0/``, so that the version and host in use stay ours."""
    return url.partition("/services/data/")[2].partition("/")[2]


def _answers(ids: Sequence[str], rows: Any) -> list[RowAnswer]:
    """Per-row answers; HTTP 200 says nothing about them, and a delete's row may lack its id."""
    found = []
    for id_, row in zip(ids, rows or [], strict=True):
        errors = row.get("errors") or [{}]
        code = str(errors[0].get("statusCode") or "rejected").lower()
        found.append(RowAnswer(id_, bool(row.get("success")), "" if row.get("success") else code[:60]))
    return found
