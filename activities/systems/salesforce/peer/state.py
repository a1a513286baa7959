"""The simulated org: users, apps, grants, sessions, jobs, logs, and what happens to them."""

import random
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

ALL_PERMISSIONS = frozenset(
    {
        "ApiEnabled",
        "CustomizeApplication",
        "FreezeUsers",
        "ManageDataIntegrations",
        "ManageUsers",
        "ViewEventLogFiles",
        "ViewSetup",
    }
)
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECK = string.ascii_uppercase + "012345"


class Recorder(Protocol):
    """The range's one record, over all its systems."""

    def change(self, *, actor: str, system: str, kind: str, target: str, caused: list[str]) -> None:
        """A state change of one target, with what it brought along."""

    def log(self, *, actor: str, system: str, method: str, path: str, status: int, read: list[str]) -> None:
        """A request that was answered."""


@dataclass
class User:
    """A user with its UserLogin."""

    id: str
    username: str
    name: str
    login_id: str
    active: bool = True
    frozen: bool = False
    user_type: str = "Standard"
    permissions: frozenset[str] = frozenset({"ApiEnabled"})


@dataclass
class App:
    """A connected or external client app. ``certificate`` is the PEM public key for the JWT flow."""

    id: str
    name: str
    consumer_key: str
    consumer_secret: str
    certificate: str | None = None
    run_as: str | None = None
    preauthorised: set[str] = field(default_factory=set)
    blocked: bool = False


@dataclass
class Grant:
    """A refresh token and its delete token: one row of OauthToken. ``actor`` is who holds it."""

    id: str
    app: str
    user: str
    refresh_token: str
    delete_token: str
    created: datetime
    actor: str
    last_used: datetime | None = None
    uses: int = 0


@dataclass
class Session:
    """A row of AuthSession; ``token`` is its access token, or the cookie of a browser session."""

    id: str
    user: str
    type: str
    token: str
    created: datetime
    actor: str
    app: str | None = None
    grant: str | None = None
    parent: str | None = None
    source_ip: str = "192.0.2.10"
    login_type: str = "Remote Access 2.0"
    seconds_valid: int = 7200
    used: datetime | None = None


@dataclass
class Job:
    """A Bulk API 2.0 job."""

    id: str
    kind: str
    operation: str
    object: str
    user: str
    state: str
    created: datetime
    query: str = ""
    processed: int = 0
    app: str | None = None


@dataclass
class Event:
    """A line of the event log: it stays whatever happens to what it tells of."""

    type: str
    at: datetime
    user: str
    fields: dict[str, Any]


@dataclass
class Principal:
    """Who made a request."""

    user: User
    session: Session

    @property
    def actor(self) -> str:
        """``stanch``, ``attacker``, ``business`` or ``person``."""
        return self.session.actor


class Org:
    """The org's state. Used from one thread: the loop of the server that shows it."""

    system = "salesforce"

    def __init__(self, rng: random.Random, record: Recorder, host: str, now: datetime | None = None) -> None:
        self.rng, self.record, self.host = rng, record, host
        self.started = now or datetime.now(UTC)
        self._made = 0
        self._pod = "".join(rng.choices(string.ascii_letters, k=2))
        self.id = self.mint("00D")
        self.users: dict[str, User] = {}
        self.by_login: dict[str, User] = {}
        self.apps: dict[str, App] = {}
        self.grants: dict[str, Grant] = {}
        self.sessions: dict[str, Session] = {}
        self.jobs: dict[str, Job] = {}
        self.events: list[Event] = []
        self.logins: list[dict[str, Any]] = []
        self.audit: list[dict[str, Any]] = []
        self.rows: dict[str, list[dict[str, Any]]] = {"Account": [], "Contact": [], "Case": []}
        self.history: list[dict[str, Any]] = []
        """Rows of AccountHistory, in the order of writing."""
        self.tracked = {"Churn_Score__c", "Churn_Model__c"}
        """Fields of an account whose history is kept."""
        self.api_used, self.api_limit = 0, 100_000
        self.page_size = 2000
        self.holders: dict[str, str] = {}
        """Who got each access and refresh token, also of those that have ended."""
        self.locked: dict[str, int] = {}
        """Record id to how many writes find its row locked."""

    def now(self) -> datetime:
        """The org's clock."""
        return datetime.now(UTC)

    def mint(self, prefix: str) -> str:
        """A new id of 18 characters with its checksum; the number in it keeps it distinct."""
        self._made += 1
        number = "".join(_DIGITS[self._made // 62**place % 62] for place in (2, 1, 0))
        body = f"{prefix}{self._pod}0{''.join(self.rng.choices(_DIGITS, k=6))}{number}"
        return body + suffix(body)

    def secret(self, length: int = 60) -> str:
        """An opaque token."""
        return "".join(self.rng.choices(string.ascii_letters + string.digits + "._", k=length))

    # Making the world

    def add_user(self, username: str, name: str, **more: Any) -> User:
        """A new user."""
        user = User(self.mint("005"), username, name, self.mint("0Yw"), **more)
        self.users[user.id] = self.by_login[user.login_id] = user
        return user

    def add_app(self, name: str, **more: Any) -> App:
        """A new app."""
        app = App(self.mint("0H4"), name, f"3MVG9{self.secret(70)}", self.secret(64).upper(), **more)
        self.apps[app.id] = app
        return app

    def authorise(self, app: App, user: User, actor: str, created: datetime) -> Grant:
        """A user's authorisation of an app, from earlier."""
        grant = Grant(self.mint("0CX"), app.id, user.id, f"5Aep{self.secret()}", self.secret(), created, actor)
        self.grants[grant.id] = grant
        self.holders[grant.refresh_token] = actor
        return grant

    def open_session(self, user: User, kind: str, actor: str, **more: Any) -> Session:
        """A new session with its access token, logged as a login unless it is a child."""
        token = f"{self.id[:15]}!{self.secret(80)}"
        session = Session(self.mint("0Ak"), user.id, kind, token, self.now(), actor, **more)
        self.sessions[session.id] = session
        self.holders[token] = actor
        if session.parent is None:
            self.log_login(user, session, "Success")
        return session

    def log_login(self, user: User, session: Session, status: str) -> None:
        """A row of LoginHistory and a line of the event log."""
        app = self.apps[session.app].name if session.app else "Browser"
        self.logins.append(
            {
                "Id": self.mint("0Ya"),
                "UserId": user.id,
                "LoginTime": session.created,
                "SourceIp": session.source_ip,
                "LoginType": session.login_type,
                "Status": status,
                "Application": app,
            }
        )
        self.log_event("Login", user, LOGIN_STATUS=status, CLIENT_IP=session.source_ip, APPLICATION=app)

    def log_event(self, type_: str, user: User, at: datetime | None = None, **fields: Any) -> None:
        """A line of the event log."""
        self.events.append(Event(type_, at or self.now(), user.id, fields))

    # What changes it

    def write_account(self, id_: str, by: str, fields: Mapping[str, Any], at: datetime | None = None) -> bool:
        """Set fields of an account as a user does, with history of those that are tracked; whether any changed.

        Raises:
            KeyError: There is no such account.
        """
        row = next((row for row in self.rows["Account"] if row["Id"][:15] == id_[:15]), None)
        if row is None:
            raise KeyError(id_)
        when, changed = at or self.now(), {name: new for name, new in fields.items() if row.get(name) != new}
        for name, new in changed.items():
            if name in self.tracked:
                kind = "Double" if isinstance(new, float) else "Text"
                entry = {
                    "AccountId": row["Id"],
                    "Field": name,
                    "DataType": kind,
                    "CreatedDate": when,
                    "CreatedById": by,
                }
                self.history.append({"Id": self.mint("017"), **entry, "OldValue": row.get(name), "NewValue": new})
            row[name] = new
        if changed:
            row |= {"LastModifiedDate": when, "LastModifiedById": by}
        return bool(changed)

    def by_token(self, token: str) -> Principal | None:
        """Who an access token stands for; freezing its user does not matter to it, age does."""
        for session in self.sessions.values():
            if session.token == token:
                user = self.users[session.user]
                last = session.used or session.created
                if not user.active or self.now() > last + timedelta(seconds=session.seconds_valid):
                    return None
                return Principal(user, session)
        return None

    def end_session(self, id_: str) -> list[str]:
        """End a session; its children go too. Ids of those children."""
        del self.sessions[id_]
        gone = []
        for child in [session.id for session in self.sessions.values() if session.parent == id_]:
            if child in self.sessions:
                gone += [child, *self.end_session(child)]
        return gone

    def end_grant(self, id_: str) -> list[str]:
        """End a refresh token; every session made of it goes too. Ids of those sessions."""
        del self.grants[id_]
        gone = []
        for session in [session.id for session in self.sessions.values() if session.grant == id_]:
            if session in self.sessions:
                gone += [session, *self.end_session(session)]
        return gone

    def block_app(self, app: App) -> list[str]:
        """What Setup's Block button does: its sessions end and it gets no new ones. There is no API for it."""
        app.blocked = True
        gone = []
        for session in [session.id for session in self.sessions.values() if session.app == app.id]:
            if session in self.sessions:
                gone += [session, *self.end_session(session)]
        self.audit.append(
            {
                "Id": self.mint("0Ym"),
                "Action": "blockConnectedApplication",
                "Section": "Connected Apps",
                "Display": f"Blocked connected app {app.name}",
                "CreatedDate": self.now(),
                "CreatedById": None,
                "DelegateUser": None,
            }
        )
        self.record.change(actor="person", system=self.system, kind="app.blocked", target=app.id, caused=gone)
        return gone

    def changed(self, who: str, kind: str, target: str, caused: list[str] | None = None) -> None:
        """Enter a state change in the range's record."""
        self.record.change(actor=who, system=self.system, kind=kind, target=target, caused=caused or [])

    def find(self, table: Mapping[str, Any], id_: str) -> Any:
        """A record by its 15- or 18-character id."""
        return table.get(id_ if len(id_) == 18 else id_ + suffix(id_)) if len(id_) in (15, 18) else None

    def view(self) -> dict[str, Any]:
        """Everything that a test may look at; no secret."""
        names = {app.id: app.name for app in self.apps.values()}
        return {
            "tokens": [
                {"id": grant.id, "app": names[grant.app], "user": grant.user, "actor": grant.actor}
                for grant in self.grants.values()
            ],
            "sessions": [
                {
                    "id": session.id,
                    "user": session.user,
                    "type": session.type,
                    "app": names.get(session.app or ""),
                    "parent": session.parent,
                    "actor": session.actor,
                }
                for session in self.sessions.values()
            ],
            "jobs": [
                {
                    "id": job.id,
                    "kind": job.kind,
                    "operation": job.operation,
                    "object": job.object,
                    "user": job.user,
                    "state": job.state,
                    "app": names.get(job.app or ""),
                }
                for job in self.jobs.values()
            ],
            "users": [
                {"id": user.id, "username": user.username, "frozen": user.frozen, "active": user.active}
                for user in self.users.values()
            ],
            "apps": [{"id": app.id, "name": app.name, "blocked": app.blocked} for app in self.apps.values()],
        }


def suffix(id15: str) -> str:
    """Checksum of a 15-character id."""
    bits = [sum(1 << place for place, char in enumerate(id15[at : at + 5]) if "A" <= char <= "Z") for at in (0, 5, 10)]
    return "".join(_CHECK[value] for value in bits)
