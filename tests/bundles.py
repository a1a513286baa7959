"""Bundles for tests: one of a real store, and what a forger can do to its members."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rfc8785

from playbooks.contract import Notice
from tests.chains import AT, entry, sha256
from worker.bundle import export
from worker.bundle_histories import Histories
from worker.store import Store
from worker.store.keys import SigningKey

PLAN = {"plan_version": 1, "steps": [{"path": "a", "kind": "action"}], "title": "Zürich"}
MANIFEST, SIGNATURE, JOURNAL, HEADS = (
    "manifest.json",
    "signatures/manifest.json",
    "journal.jsonl",
    "signatures/heads.jsonl",
)
Members = dict[str, bytes]


def filled(home: Path, *, mode: str = "live") -> tuple[Store, str]:
    """A store with one incident that has something of everything, and other incidents beside it."""
    store = Store(f"sqlite:///{home / 'stanch.db'}", home, SigningKey.load(home), mode)
    incident = store.incidents.open(
        title="Token used", kind="crm.oauth_token_theft", severity=4, facts={}, opened_by="d"
    )
    run = f"run/{incident}/crm-oauth-token-theft/1"
    digest = sha256(rfc8785.dumps(PLAN))
    store.incidents.save_plan(incident, run, PLAN, digest)
    store.incidents.save_run(run, incident, {"run": run})
    store.journal.append(incident, [entry("start", kind="run.started", plan=digest)])
    about = {"source": "salesforce", "actor": "stanch"}
    log = store.evidence.put(incident, b"a,b\n" * 50, name="login.csv", media_type="text/csv", **about)
    rows = store.evidence.put_rows(incident, [{"id": f"005{n}"} for n in range(30)], name="users", **about)
    outcome = {"result": {"evidence": [log.model_dump()], "output": {"targets": rows.model_dump()}}}
    store.journal.record_outcome(incident, "k", 1, outcome)
    store.journal.sign_heads("decision")
    store.journal.append("INC-2020-1", [entry("elsewhere")])
    store.journal.sign_heads("minute")
    many = [
        entry(f"n{n}", text="Mrs Example called" if n == 5 else "", n=n, id="sha256:" + "0" * 64) for n in range(20)
    ]
    store.journal.append(incident, many)
    store.incidents.save_snapshot(run, incident, {"run": run, "status": "done"}, {"secret": "state"}, 3)
    store.incidents.save_snapshot(incident, incident, {"status": "contained", "facts": {}}, None, 2)
    store.drafts.save(incident, {"regime": "gdpr", "stage": "authority", "missing": []}, "# Draft\n")
    store.notices.put([Notice(id="n1", incident=incident, to=("channel",), body={"kind": "text"}, at=AT)])
    return store, incident


def histories(incident: str) -> Histories:
    """What Temporal gave: one execution of the incident, two of the run."""
    run = f"histories/run/{incident}/crm-oauth-token-theft/1"
    held = {f"{run}/001.json": b'{"events": [1]}', f"{run}/002.json": b'{"events": [2]}'}
    return Histories({f"histories/incident/{incident}/001.json": b'{"events": []}', **held})


def exported(home: Path, *, mode: str = "live") -> Path:
    """The bundle of such an incident."""
    store, incident = filled(home, mode=mode)
    target = home / f"{incident}.zip"
    export(store, incident, target, histories(incident), by=entry("exported", kind="incident.exported"))
    store.close()
    return target


def members(bundle: Path) -> Members:
    """Its members, in order."""
    with zipfile.ZipFile(bundle) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def packed(held: Members, *, how: int = zipfile.ZIP_STORED) -> bytes:
    """The members as a ZIP file that every tool accepts."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", how) as target:
        for name, content in held.items():
            target.writestr(name, content)
    return whole.getvalue()


def signed_anew(
    held: Members, key: SigningKey, change: Callable[[dict[str, Any]], object] = lambda manifest: None
) -> Members:
    """The members under a manifest that fits them, signed by a key: what somebody who has that key can do."""
    manifest = json.loads(held[MANIFEST])
    rest = {name: content for name, content in held.items() if name not in (MANIFEST, SIGNATURE)}
    manifest["members"] = [
        {"name": name, "bytes": len(content), "sha256": sha256(content)} for name, content in rest.items()
    ]
    manifest["signer"] = {"key_id": key.key_id, "public": key.public_hex}
    change(manifest)
    written = rfc8785.dumps(manifest)
    signature = {"algorithm": "Ed25519", "key_id": key.key_id, "of": MANIFEST, "sig": key.sign(written)}
    return {**rest, MANIFEST: written, SIGNATURE: rfc8785.dumps(signature)}
