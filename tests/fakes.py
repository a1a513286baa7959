"""A store in memory that keeps the contract of ``activities/ports.py``, with a switch that takes it away."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from playbooks.contract import EvidenceRef, NewEntry, Notice, TargetSet


class StoreAway(Exception):
    """What a database's driver would raise."""


class MemoryStore:
    """Journal, evidence and hold of one process."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.evidence = MemoryEvidence()
        self.hold = MemoryHold()
        self.notices = MemoryNotices()
        self.standing = MemoryStanding()
        self.incidents = MemoryIncidents()
        self.drafts = MemoryDrafts()
        self.away = 0
        """How many calls still find the store away."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    async def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.away:
            self.away -= 1
            raise StoreAway("database is locked")
        return fn(*args, **kwargs)

    write = call


class MemoryStanding:
    """Ids of standing approvals that are in force."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def in_force(self, id_: str, now: str) -> bool:
        return id_ in self.ids


class MemoryJournal:
    """Entries unique by (incident, key); intents fenced by attempt."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}
        self.signed: list[str] = []

    def append(self, incident: str, entries: Sequence[NewEntry]) -> list[int]:
        fresh = [entry for entry in entries if (incident, entry.key) not in self.rows]
        for entry in fresh:
            body = json.loads(json.dumps(entry.body))
            self.rows[incident, entry.key] = {"key": entry.key, "kind": entry.kind, "body": body}
        return list(range(len(fresh)))

    def entries(self, incident: str, after: int = 0) -> list[dict[str, Any]]:
        return [row for (of, _), row in self.rows.items() if of == incident][after:]

    def kinds(self, incident: str) -> list[str]:
        return [row["kind"] for row in self.entries(incident)]

    def outcome(self, incident: str, key: str) -> dict[str, Any] | None:
        row = self.rows.get((incident, f"outcome/{key}"))
        return row["body"] if row else None

    def record_outcome(self, incident: str, key: str, attempt: int, body: dict[str, Any]) -> None:
        row = {"key": key, "kind": "action.outcome", "body": json.loads(json.dumps(body))}
        self.rows.setdefault((incident, f"outcome/{key}"), row)

    def intent(self, incident: str, key: str, attempt: int, body: dict[str, Any]) -> bool:
        if any(intent["attempt"] > attempt for intent in self.intents(incident, key)):
            return False
        row = {"key": key, "kind": "action.intent", "body": {**json.loads(json.dumps(body)), "attempt": attempt}}
        self.rows[incident, f"intent/{key}/{attempt}"] = row
        return True

    def intents(self, incident: str, key: str) -> list[dict[str, Any]]:
        rows = [row for (of, name), row in self.rows.items() if of == incident and name.startswith(f"intent/{key}/")]
        return sorted((row["body"] for row in rows), key=lambda body: body["attempt"])

    def sign_heads(self, reason: str, incident: str | None = None) -> None:
        self.signed.append(reason)


class MemoryEvidence:
    """Files by their hash."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, incident: str, content: bytes, *, name: str, media_type: str, source: str, actor: str) -> EvidenceRef:
        sha = hashlib.sha256(content).hexdigest()
        self.files[f"sha256:{sha}"] = content
        return EvidenceRef(ref=f"sha256:{sha}", sha256=sha, bytes=len(content), name=name, media_type=media_type)

    def read(self, ref: str) -> bytes:
        return self.files[ref]

    def rows(self, ref: str) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for line in self.files[ref].splitlines())

    def put_rows(
        self, incident: str, rows: Iterable[Mapping[str, Any]], *, name: str, source: str, actor: str
    ) -> TargetSet:
        kept = [dict(row) for row in rows]
        content = b"".join(json.dumps(row, sort_keys=True).encode() + b"\n" for row in kept)
        ref = self.put(incident, content, name=name, media_type="application/jsonl", source=source, actor=actor)
        sample = tuple(str(row["id"]) for row in kept[:20])
        return TargetSet(ref=ref.ref, sha256=ref.sha256, count=len(kept), sample=sample)


class MemoryHold:
    """The switch."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def get(self) -> str | None:
        return self.reason


class MemoryNotices:
    """The outbox."""

    def __init__(self) -> None:
        self.kept: dict[str, Notice] = {}

    def put(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self.kept.setdefault(notice.id, notice)


class MemoryIncidents:
    """Snapshots and inputs of runs."""

    def __init__(self) -> None:
        self.snapshots: dict[str, tuple[int, dict[str, Any]]] = {}
        self.runs: dict[str, dict[str, Any]] = {}

    def save_snapshot(
        self, run: str, incident: str, status: dict[str, Any], state: dict[str, Any] | None, version: int
    ) -> None:
        if version >= self.snapshots.get(run, (0, {}))[0]:
            self.snapshots[run] = (version, status)

    def load_run(self, run: str) -> dict[str, Any] | None:
        return self.runs.get(run)


class MemoryDrafts:
    """Drafts by incident."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, dict[str, Any], str]] = []

    def save(self, incident: str, draft: dict[str, Any], markdown: str) -> None:
        self.kept.append((incident, draft, markdown))


class FixedSystems:
    """Clients given by hand."""

    def __init__(self, **clients: Any) -> None:
        self._clients = clients

    async def client(self, system: str) -> Any:
        return self._clients[system]
