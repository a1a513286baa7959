"""The record's way out: one incident as a signed bundle that anybody can verify without a server or a store."""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from playbooks.contract import Json, NewEntry
from playbooks.digest import jcs
from worker.bundle_format import (
    CUSTODY,
    EVIDENCE,
    HEADS,
    INCIDENT,
    JOURNAL,
    MANIFEST,
    SIGNATURE,
    JournalFacts,
    Manifest,
    Member,
    Missing,
    Signer,
    member_name,
)
from worker.bundle_histories import Histories
from worker.store import Store
from worker.store.database import stamp
from worker.store.keys import SigningKey

CHUNK = 1024 * 1024
MADE = (1980, 1, 1, 0, 0, 0)
"""Every member's time: when it was made stands in the record, and the container says nothing twice."""


class ExportRefused(Exception):
    """No bundle was written; the message says why."""

    code = "export_refused"


@dataclass
class _Snapshot:
    """What the store held at one moment: members by name, and what should be there but is not."""

    record: dict[str, Json]
    members: dict[str, bytes]
    evidence: list[str]
    journal: JournalFacts
    missing: list[Missing] = field(default_factory=list)


def export(store: Store, incident: str, target: Path, histories: Histories, *, by: NewEntry | None = None) -> None:
    """Write an incident's bundle to ``target``; ``by`` is the journal entry about the export itself.

    Raises:
        ExportRefused: the installation has no signing key, or there is no such incident.
    """
    if store.signer is None:
        raise ExportRefused("This installation has no signing key, so nothing was exported.")
    snapshot = _snapshot(store, incident, by)
    snapshot.missing.extend(Missing(member=name, why=why) for name, why in histories.missing)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as file:
            _write(file, store, snapshot, histories, store.signer)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _snapshot(store: Store, incident: str, by: NewEntry | None) -> _Snapshot:
    """Everything but the files of evidence, which never change, read within one transaction."""
    with store.transaction():
        record = store.incidents.get(incident)
        if record is None:
            raise ExportRefused(f"There is no incident {incident}, so nothing was exported.")
        if by is not None:
            store.journal.append(incident, [by])
        store.journal.sign_heads("export", incident)
        entries, heads = store.journal.entries(incident), store.journal.signed(incident)
        custody = store.evidence.of(incident)
        snapshots = store.incidents.snapshots(incident)
        status = (snapshots.pop(f"incident/{incident}", None) or {}).get("status")
        record["alerts"], record["snapshot"] = store.incidents.alerts(incident), status
        record["notices"] = store.notices.of(incident)
        members = {
            INCIDENT: _document(record),
            JOURNAL: _lines(entries),
            HEADS: _lines(heads),
            CUSTODY: _lines(custody),
        }
        found = _Snapshot(
            record=record,
            members=members,
            evidence=sorted({row["sha256"] for row in custody}),
            journal=JournalFacts(entries=len(entries), head=entries[-1]["hash"] if entries else "", heads=len(heads)),
        )
        _add_drafts(found, store, incident)
        _add_runs(found, store, incident, {run: held["status"] for run, held in snapshots.items()})
    return found


def _add_runs(found: _Snapshot, store: Store, incident: str, statuses: Mapping[str, Json]) -> None:
    for run in store.incidents.runs(incident):
        name = run.removeprefix(f"run/{incident}/").replace("/", "-")
        held, plan = store.incidents.plan(run), member_name("plans", name, ".json")
        if held is None:
            found.missing.append(Missing(member=plan, why="the store holds no plan of this run"))
        else:
            found.members[plan] = jcs(held["plan"])
        told = {"run": run, "plan_digest": held and held["digest"], "status": statuses.get(run)}
        found.members[member_name("runs", name, ".json")] = _document(told)


def _add_drafts(found: _Snapshot, store: Store, incident: str) -> None:
    for draft in store.drafts.of(incident):
        stem = Path(draft["path"]).stem
        name = member_name("drafts", stem, ".md")
        found.members[member_name("drafts", stem, ".json")] = _document(draft)
        try:
            found.members[name] = store.drafts.text(draft["path"]).encode()
        except (OSError, UnicodeDecodeError) as error:
            why = f"the draft's file cannot be read ({type(error).__name__})"
            found.missing.append(Missing(member=name, why=why))


def _write(file: BinaryIO, store: Store, snapshot: _Snapshot, histories: Histories, signer: SigningKey) -> None:
    kept: list[Member] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as bundle:
        for name, content in snapshot.members.items():
            kept.append(_add(bundle, name, len(content), [content]))
        for sha in snapshot.evidence:
            why = _why_unreadable(store, sha)
            if why:
                snapshot.missing.append(Missing(member=EVIDENCE + sha, why=why))
                continue
            with store.evidence.open(sha) as blob:
                kept.append(_add(bundle, EVIDENCE + sha, os.fstat(blob.fileno()).st_size, _chunks(blob)))
        for name, content in histories.held.items():
            kept.append(_add(bundle, name, len(content), [content]))
        manifest = jcs(_manifest(snapshot, kept, signer))
        signature = {"algorithm": "Ed25519", "key_id": signer.key_id, "of": MANIFEST, "sig": signer.sign(manifest)}
        _add(bundle, MANIFEST, len(manifest), [manifest])
        signed = jcs(signature)
        _add(bundle, SIGNATURE, len(signed), [signed])


def _manifest(snapshot: _Snapshot, kept: Sequence[Member], signer: SigningKey) -> Manifest:
    return Manifest(
        incident=str(snapshot.record["incident"]),
        mode=snapshot.record["mode"],
        exported_at=stamp(),
        journal=snapshot.journal,
        members=list(kept),
        missing=snapshot.missing,
        signer=Signer(key_id=signer.key_id, public=signer.public_hex),
    )


def _add(bundle: zipfile.ZipFile, name: str, size: int, content: Iterable[bytes]) -> Member:
    info = zipfile.ZipInfo(name, MADE)
    info.create_system, info.external_attr, info.file_size = 3, 0o600 << 16, size
    digest, written = hashlib.sha256(), 0
    with bundle.open(info, "w") as member:
        for chunk in content:
            digest.update(chunk)
            written += len(chunk)
            member.write(chunk)
    return Member(name=name, bytes=written, sha256=digest.hexdigest())


def _why_unreadable(store: Store, sha: str) -> str:
    try:
        with store.evidence.open(sha) as blob:
            digest = hashlib.sha256()
            for chunk in _chunks(blob):
                digest.update(chunk)
    except OSError as error:
        return f"the evidence folder does not give it ({type(error).__name__})"
    return "" if digest.hexdigest() == sha else "its bytes in the evidence folder are not what they were"


def _chunks(blob: BinaryIO) -> Iterator[bytes]:
    while chunk := blob.read(CHUNK):
        yield chunk


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(jcs(row) + b"\n" for row in rows)


def _document(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n"
