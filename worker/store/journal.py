"""The journal: one hash chain per incident, and one chain of signed heads over all of them.

An entry is ``{seq, incident, at, kind, actor, door, body, prev, hash}``; see the design's section on the record.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from playbooks.contract import Json, NewEntry
from playbooks.digest import digest_of, entry_hash, genesis, jcs, normalised
from worker.store.database import Database, dumps, stamp
from worker.store.keys import SigningKey
from worker.store.schema import heads, journal

SIGN_EVERY = 100
FIELDS = ("seq", "incident", "at", "kind", "actor", "door", "body", "prev", "hash")
HEADS_GENESIS = digest_of("stanch/heads/1")
LARGEST = 2**53 - 1
_HALF = re.compile("[\ud800-\udfff]")

# Of every action's way: made once, because making one costs as much as running it.
_OF_INCIDENT = journal.c.incident == bindparam("incident")
_KNOWN = select(journal.c.seq).where(_OF_INCIDENT, journal.c.key == bindparam("key"))
_NEWEST = select(journal.c.seq, journal.c.hash).where(_OF_INCIDENT).order_by(journal.c.seq.desc()).limit(1)
_NEW = insert(journal)

KeepText = Callable[[str, str], str]
"""Keeps the text of an entry of an incident as evidence and returns its reference."""


class Journal:
    """Append-only. A repeated key is ignored, so that writing twice is writing once."""

    def __init__(self, database: Database, keep_text: KeepText, signer: SigningKey | None) -> None:
        """Without a signer no head is signed."""
        self._database, self._keep_text, self._signer = database, keep_text, signer

    def append(self, incident: str, entries: Sequence[NewEntry]) -> list[int]:
        """Write entries; the sequence numbers of the new ones."""
        written: list[int] = []
        with self._database.transaction() as connection:
            for entry in entries:
                if connection.execute(_KNOWN, {"incident": incident, "key": entry.key}).first() is not None:
                    continue
                body = _exact(entry.body)
                if entry.text:
                    body["text_ref"] = self._keep_text(incident, entry.text)
                written.append(self._write(connection, incident, entry, body))
            if any(seq % SIGN_EVERY == 0 for seq in written):
                self.sign_heads("hundred", incident)
        return written

    def _write(self, connection: Connection, incident: str, entry: NewEntry, body: dict[str, Json]) -> int:
        last = self._last(connection, incident)
        whole: dict[str, Json] = {
            "seq": last[0] + 1,
            "incident": incident,
            "at": entry.at,
            "kind": entry.kind,
            "actor": entry.actor,
            "door": entry.door,
            "body": body,
            "prev": last[1],
        }
        whole = normalised(whole)
        row = {**whole, "hash": entry_hash(whole), "body": dumps(whole["body"]), "key": entry.key}
        connection.execute(_NEW, row)
        return last[0] + 1

    @staticmethod
    def _last(connection: Connection, incident: str) -> tuple[int, str]:
        row = connection.execute(_NEWEST, {"incident": incident}).first()
        return (row.seq, row.hash) if row else (0, genesis(incident))

    def entries(self, incident: str, after: int = 0) -> list[dict[str, Any]]:
        """Entries with ``seq`` above ``after``, in order."""
        wanted = select(*(journal.c[name] for name in FIELDS)).where(
            journal.c.incident == incident, journal.c.seq > after
        )
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(journal.c.seq)).mappings().all()
        return [{**row, "body": json.loads(row["body"])} for row in rows]

    def head(self, incident: str) -> tuple[int, str]:
        """Sequence number and hash of the last entry; 0 and the genesis of an empty chain."""
        with self._database.reading() as connection:
            return self._last(connection, incident)

    def _body(self, incident: str, key: str) -> dict[str, Any] | None:
        wanted = select(journal.c.body).where(journal.c.incident == incident, journal.c.key == key)
        with self._database.reading() as connection:
            found = connection.execute(wanted).scalar()
        return json.loads(found) if found is not None else None

    def outcome(self, incident: str, key: str) -> dict[str, Any] | None:
        """Body of the outcome recorded for an idempotency key."""
        return self._body(incident, f"outcome/{key}")

    def record_outcome(self, incident: str, key: str, attempt: int, body: dict[str, Json]) -> None:
        """Record an outcome, once per key."""
        self.append(incident, [_of_action(f"outcome/{key}", "action.outcome", body)])

    def intent(self, incident: str, key: str, attempt: int, body: dict[str, Json]) -> bool:
        """Record an intent unless a higher attempt has one; ``False`` means do not act."""
        with self._database.transaction():
            if any(intent["attempt"] > attempt for intent in self.intents(incident, key)):
                return False
            entry = _of_action(f"intent/{key}/{attempt}", "action.intent", {**body, "attempt": attempt})
            self.append(incident, [entry])
        return True

    def intents(self, incident: str, key: str) -> list[dict[str, Any]]:
        """Bodies of the intents of a key, lowest attempt first."""
        low, high = f"intent/{key}/", f"intent/{key}0"
        wanted = select(journal.c.body).where(
            journal.c.incident == incident, journal.c.key >= low, journal.c.key < high
        )
        with self._database.reading() as connection:
            bodies = [json.loads(body) for body in connection.execute(wanted).scalars()]
        return sorted(bodies, key=lambda body: body["attempt"])

    def sign_heads(self, reason: str, incident: str | None = None) -> int:
        """Sign the heads of the chains (or of one) that changed since they were last signed; how many."""
        if self._signer is None:
            return 0
        newest = select(journal.c.incident, func.max(journal.c.seq).label("seq")).group_by(journal.c.incident)
        signed = select(heads.c.incident, func.max(heads.c.seq).label("seq")).group_by(heads.c.incident)
        if incident is not None:
            newest, signed = newest.where(journal.c.incident == incident), signed.where(heads.c.incident == incident)
        with self._database.transaction() as connection:
            done = {row.incident: row.seq for row in connection.execute(signed)}
            stale = [row.incident for row in connection.execute(newest) if row.seq > done.get(row.incident, 0)]
            for each in stale:
                self._sign(connection, each, reason, self._signer)
        return len(stale)

    def _sign(self, connection: Connection, incident: str, reason: str, signer: SigningKey) -> None:
        last = connection.execute(select(heads.c.n, heads.c.document).order_by(heads.c.n.desc()).limit(1)).first()
        seq, head = self._last(connection, incident)
        document: dict[str, Json] = {
            "n": (last.n if last else 0) + 1,
            "at": stamp(),
            "reason": reason,
            "incident": incident,
            "seq": seq,
            "head": head,
            "prev": json.loads(last.document)["hash"] if last else HEADS_GENESIS,
            "key_id": signer.key_id,
        }
        document["hash"] = digest_of(document)
        document["sig"] = signer.sign(jcs(document))
        connection.execute(
            insert(heads), {"n": document["n"], "incident": incident, "seq": seq, "document": dumps(document)}
        )

    def signed(self, incident: str) -> list[dict[str, Any]]:
        """Signed heads of an incident, oldest first."""
        wanted = select(heads.c.document).where(heads.c.incident == incident).order_by(heads.c.n)
        with self._database.reading() as connection:
            return [json.loads(document) for document in connection.execute(wanted).scalars()]


def _of_action(key: str, kind: str, body: Mapping[str, Json]) -> NewEntry:
    return NewEntry(key=key, kind=kind, at=stamp(), door="activity", body=dict(body))


def _exact(value: Any) -> Any:
    """A value that every writer writes the same: a whole float becomes an integer; other floats, and integers that
    JSON readers round, become text; half a character (a lone surrogate) becomes U+FFFD."""
    if isinstance(value, float):
        value = int(value) if value.is_integer() else repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) <= LARGEST else str(value)
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_exact(str(key)): _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    return value
