"""Evidence: files named by their content, with custody: who put which file when, for which incident."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import insert, select

from playbooks.contract import EvidenceRef, Json, NewEntry, TargetSet
from playbooks.digest import sha256_hex
from worker.store.database import Database, stamp
from worker.store.schema import evidence

SAMPLE = 20
LINES = "application/jsonl"
CHUNK = 1024 * 1024
Append = Callable[[str, list[NewEntry]], list[int]]


def lines(rows: Iterable[Mapping[str, Json]]) -> bytes:
    """Rows as JSON lines, the same rows always as the same bytes."""
    return b"".join(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n" for row in rows)


def target_set(ref: EvidenceRef, rows: Sequence[Mapping[str, Json]]) -> TargetSet:
    """Targets that lie in evidence as ``lines``, each with ``id``."""
    sample = tuple(str(row["id"]) for row in rows[:SAMPLE])
    return TargetSet(ref=ref.ref, sha256=ref.sha256, count=len(rows), sample=sample)


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
        sha, size = self._keep(content)
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
            "bytes": size,
            "actor": actor,
            "at": stamp(),
        }
        with self._database.transaction() as connection:
            if connection.execute(known).first() is None:
                connection.execute(insert(evidence), row)
                if incident:
                    self.append(incident, [_custody(row)])
        return EvidenceRef(ref=f"sha256:{sha}", sha256=sha, bytes=size, name=name, media_type=media_type)

    def put_rows(
        self, incident: str, rows: Iterable[Mapping[str, Json]], *, name: str, source: str, actor: str
    ) -> TargetSet:
        """Keep targets, one JSON line each, each with ``id``."""
        kept = [dict(row) for row in rows]
        ref = self.put(incident, lines(kept), name=name, media_type=LINES, source=source, actor=actor)
        return target_set(ref, kept)

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

    def _keep(self, content: bytes | Path) -> tuple[str, int]:
        """Bring content into the folder, unless it is there and whole; its digest and size."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mine = self._folder / f".{os.getpid()}.{os.urandom(8).hex()}"
        try:
            if isinstance(content, bytes):
                sha = sha256_hex(content)
                if self._holds(sha, len(content)):
                    return sha, len(content)
                chunks: Iterable[bytes] = (content,)
            else:
                chunks = _chunks(content)
            digest, size = hashlib.sha256(), 0
            with os.fdopen(os.open(mine, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o400), "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    size += file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            sha = digest.hexdigest()
            if not self._holds(sha, size):
                self._place(mine, sha)
        finally:
            mine.unlink(missing_ok=True)
        return sha, size

    def _holds(self, sha: str, size: int) -> bool:
        """Whether the file is there and whole; one that was damaged is put anew."""
        path = self._path(sha)
        if not path.exists() or path.stat().st_size != size:
            return False
        digest = hashlib.sha256()
        for chunk in _chunks(path):
            digest.update(chunk)
        return digest.hexdigest() == sha

    def _place(self, file: Path, sha: str) -> None:
        path = self._path(sha)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        file.rename(path)
        # The custody that is written next must not outlive the name of what it is about.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _custody(row: Mapping[str, Any]) -> NewEntry:
    body = {name: row[name] for name in ("sha256", "bytes", "media_type")}
    key = f"evidence/{row['sha256']}/{sha256_hex(row['name'] + '|' + row['source'])[:16]}"
    return NewEntry(key=key, kind="evidence.kept", at=row["at"], actor=row["actor"], door="store", body=body)
