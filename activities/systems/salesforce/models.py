"""Salesforce's things as Stanch knows them: record ids, grants, sessions, jobs, logins, log files. No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.errors import InvalidParams
from playbooks.contract import Json

ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
USER, SESSION, JOB = "005", "0Ak", "750"
RUNNING = ("UploadComplete", "InProgress")
"""Job states in which an abort is possible (Bulk API 2.0, query_abort_job)."""
INGEST_RUNNING = ("Open", *RUNNING)


def record_id(text: Any, prefix: str | None = None) -> str:
    """The 18-character form of a record id, which compares safely without regard to case.

    Every id that goes into a URL or a query passes here: simple-salesforce joins ids with ``urljoin``, so
    that an id which is an absolute URL would carry the token to a foreign host.

    Args:
        text: 15 or 18 characters.
        prefix: The key prefix of the object that it must be, e.g. ``005`` for users.

    Raises:
        InvalidParams: It is no id, its checksum is wrong, or it is another object's.
    """
    if not isinstance(text, str) or not ID.fullmatch(text):
        raise InvalidParams("A value that should be a Salesforce id is none. Nothing was done. Check the input.")
    whole = text[:15] + checksum(text[:15])
    if len(text) == 18 and text[15:].upper() != whole[15:]:
        raise InvalidParams(f"{text}: the checksum of this Salesforce id is wrong. Nothing was done. Check the input.")
    if prefix is not None and not whole.startswith(prefix):
        raise InvalidParams(f"{text}: an id that starts with {prefix} was expected. Nothing was done.")
    return whole


def checksum(id15: str) -> str:
    """The three characters that tell upper from lower case: five bits for each group of five."""
    groups = (id15[start : start + 5] for start in (0, 5, 10))
    return "".join(_CHECK[sum(1 << place for place, char in enumerate(group) if char.isupper())] for group in groups)


def instant(text: str | None) -> datetime | None:
    """Salesforce's ``2026-11-20T09:12:33.000+0000`` as an aware instant."""
    if not text:
        return None
    found = datetime.fromisoformat(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text.replace("Z", "+00:00")))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Grant:
    """One user's authorisation of one app: a refresh token with the access tokens made of it.

    ``fp`` is a keyed fingerprint of the delete token and the only name that a grant has outside the worker,
    because the ``Id`` of an OauthToken is always null. ``delete_token`` never leaves the worker.
    """

    app: str
    user: str
    created: str
    last_used: str | None
    uses: int
    fp: str
    delete_token: str = field(repr=False, compare=False)

    def __reduce__(self) -> str:
        raise TypeError("a grant is never written down with its delete token; its row is")

    def row(self) -> dict[str, Json]:
        """As it may stand in evidence."""
        return {
            "id": self.fp,
            "app": self.app,
            "user": self.user,
            "created": self.created,
            "last_used": self.last_used,
            "uses": self.uses,
            "fp": self.fp,
        }


@dataclass(frozen=True)
class Session:
    """A row of AuthSession."""

    id: str
    user: str
    type: str
    parent: str | None
    current: bool
    source_ip: str
    created: str
    expires: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Session":
        """From a query's row."""
        seen, lasts = instant(row.get("LastModifiedDate")), row.get("NumSecondsValid")
        ends = (seen + timedelta(seconds=int(lasts))).isoformat() if seen and lasts else None
        return cls(
            id=record_id(row["Id"]),
            user=record_id(row["UsersId"]),
            type=row.get("SessionType") or "",
            parent=record_id(row["ParentId"]) if row.get("ParentId") else None,
            current=bool(row.get("IsCurrent")),
            source_ip=row.get("SourceIp") or "",
            created=row.get("CreatedDate") or "",
            expires=ends,
        )


@dataclass(frozen=True)
class Job:
    """A Bulk API 2.0 job; ``kind`` is ``query`` or ``ingest``, the two resources that jobs live under."""

    id: str
    kind: str
    state: str
    operation: str
    object: str
    user: str
    created: str

    @classmethod
    def of(cls, row: Mapping[str, Any], kind: str) -> "Job":
        """From the list of jobs or a job's own resource."""
        return cls(
            id=record_id(row["id"]),
            kind=kind,
            state=row.get("state") or "",
            operation=row.get("operation") or "",
            object=row.get("object") or "",
            user=record_id(row["createdById"]),
            created=row.get("createdDate") or "",
        )

    @property
    def running(self) -> bool:
        """Whether it can be aborted."""
        return self.state in (RUNNING if self.kind == "query" else INGEST_RUNNING)


@dataclass(frozen=True)
class Login:
    """A row of UserLogin with its user: what freezing changes."""

    id: str
    user: str
    username: str
    frozen: bool


@dataclass(frozen=True)
class LogFile:
    """A row of EventLogFile; the columns may change with each release, so they are kept beside the bytes."""

    id: str
    event_type: str
    log_date: str
    created: str
    interval: str
    sequence: int
    length: int
    field_names: str
    field_types: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "LogFile":
        """From a query's row."""
        return cls(
            id=record_id(row["Id"]),
            event_type=row["EventType"],
            log_date=row["LogDate"],
            created=row["CreatedDate"],
            interval=row.get("Interval") or "",
            sequence=int(row.get("Sequence") or 0),
            length=int(row.get("LogFileLength") or 0),
            field_names=row.get("LogFileFieldNames") or "",
            field_types=row.get("LogFileFieldTypes") or "",
        )


@dataclass(frozen=True)
class RowAnswer:
    """How one record of a collections request fared; ``code`` is Salesforce's, in lower case."""

    id: str
    ok: bool
    code: str = ""
