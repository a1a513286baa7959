"""Evidence: files named by their content, with custody: who put which file when, for which incident."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import insert, select

from playbooks.contract import EvidenceRef, Json, NewEntry, TargetSet
from playbooks.digest import sha256_hex
from worker.store.database import Database, stamp
from worker.store.schema import evidence

SAMPLE = 20
Append = Callable[[str, list[NewEntry]], list[int]]


class Evidence:
    """Files under ``evidence/`` of the home; a file never changes and is checked whenever it is read."""

    def __init__(self, database: Database, home: Path) -> None:
        """``append`` of the journal is set by the store, since each needs the other."""
        self._database = database
        self._folder = home / "evidence"
        self.append: Append = lambda incident, entries: []

    def put(
        self, incident: str, content: bytes | Path, *, name: str, media_type: str, source: str, actor: str
    ) -> EvidenceRef:
        """Keep a file and write its custody, also into the incident's journal. A repeat changes nothing."""
        whole = content.read_bytes() if isinstance(content, Path) else content
        sha = sha256_hex(whole)
        self._keep(sha, whole)
        known = select(evidence.c.sha256).where(
            evidence.c.incident == incident,
            evidence.c.sha256 == sha,
            evidence.c.name == name,
            evidence.c.source == source,
        )
        row = {
            "incident": incident,
            "sha256": sha,
            "name": name,
            "source": source,
            "media_type": media_type,
            "bytes": len(whole),
            "actor": actor,
            "at": stamp(),
        }
        with self._database.transaction() as connection:
            if connection.execute(known).first() is None:
                connection.execute(insert(evidence), row)
                if incident:
                    self.append(incident, [_custody(row)])
        return EvidenceRef(ref=f"sha256:{sha}", sha256=sha, bytes=len(whole), name=name, media_type=media_type)

    def put_rows(
        self, incident: str, rows: Iterable[Mapping[str, Json]], *, name: str, source: str, actor: str
    ) -> TargetSet:
        """Keep targets, one JSON line each, each with ``id``."""
        kept = [dict(row) for row in rows]
        content = b"".join(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n" for row in kept)
        ref = self.put(incident, content, name=name, media_type="application/jsonl", source=source, actor=actor)
        sample = tuple(str(row["id"]) for row in kept[:SAMPLE])
        return TargetSet(ref=ref.ref, sha256=ref.sha256, count=len(kept), sample=sample)

    def read(self, ref: str) -> bytes:
        """A file's bytes.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: its bytes are not what they were.
        """
        sha = ref.removeprefix("sha256:")
        content = self._path(sha).read_bytes()
        if sha256_hex(content) != sha:
            raise ValueError(f"evidence {sha[:12]} is not what it was")
        return content

    def open(self, ref: str) -> BinaryIO:
        """A file, opened for reading; unchecked."""
        return self._path(ref.removeprefix("sha256:")).open("rb")

    def rows(self, ref: str) -> Iterator[dict[str, Any]]:
        """Its JSON lines."""
        return (json.loads(line) for line in self.read(ref).splitlines())

    def of(self, incident: str) -> list[dict[str, Any]]:
        """Custody of an incident's files, oldest first."""
        wanted = select(evidence).where(evidence.c.incident == incident).order_by(evidence.c.at, evidence.c.sha256)
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(wanted).mappings()]

    def _path(self, sha: str) -> Path:
        if len(sha) != 64 or not all(digit in "0123456789abcdef" for digit in sha):
            raise FileNotFoundError(f"{sha[:12]!r} names no file of evidence")
        return self._folder / sha[:2] / sha

    def _keep(self, sha: str, content: bytes) -> None:
        path = self._path(sha)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mine = path.with_name(f".{sha}.{os.getpid()}.{os.urandom(4).hex()}")
        with os.fdopen(os.open(mine, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o400), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mine.rename(path)


def _custody(row: Mapping[str, Any]) -> NewEntry:
    body = {name: row[name] for name in ("sha256", "bytes", "media_type")}
    key = f"evidence/{row['sha256']}/{sha256_hex(row['name'] + '|' + row['source'])[:16]}"
    return NewEntry(key=key, kind="evidence.kept", at=row["at"], actor=row["actor"], door="store", body=body)
