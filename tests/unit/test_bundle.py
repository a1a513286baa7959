"""A bundle: what is in it, that it verifies anywhere, and what it says of what it could not hold."""

import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import HEADS, JOURNAL, MANIFEST, PLAN, SIGNATURE, exported, filled, histories, members, packed
from tests.chains import assert_chain, entry, sha256
from worker.bundle import ExportRefused, export
from worker.bundle_format import NotIntact, member_name, references, safe_name
from worker.bundle_histories import Histories
from worker.bundle_verify import bundle_is_intact, verify
from worker.store.keys import known_signers


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a bundle."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def bundle(place: Path) -> Path:
    """The bundle."""
    return exported(place)


def test_it_holds_the_whole_record(bundle: Path) -> None:
    held = members(bundle)
    incident = bundle.stem
    entries = [json.loads(line) for line in held[JOURNAL].splitlines()]
    assert_chain(incident, entries)
    assert entries[-1]["kind"] == "incident.exported"
    kept = {found["body"]["sha256"] for found in entries if found["kind"] == "evidence.kept"}
    assert {name[9:] for name in held if name.startswith("evidence/")} == kept and len(kept) == 3
    assert all(sha256(held[f"evidence/{sha}"]) == sha for sha in kept)
    said = next(found["body"]["text_ref"] for found in entries if "text_ref" in found["body"])
    assert held[f"evidence/{said[7:]}"] == b"Mrs Example called"
    assert json.loads(held["plans/crm-oauth-token-theft-1.json"]) == PLAN
    assert sha256(held["plans/crm-oauth-token-theft-1.json"]) == entries[0]["body"]["plan"]
    assert json.loads(held["runs/crm-oauth-token-theft-1.json"])["status"]["status"] == "done"
    shown = json.loads(held["incident.json"])
    assert (shown["incident"], shown["status"], len(shown["notices"])) == (incident, "contained", 1)
    assert held["drafts/gdpr-authority.md"] == b"# Draft\n"
    assert json.loads(held["drafts/gdpr-authority.json"])["regime"] == "gdpr"
    custody = [json.loads(line) for line in held["custody.jsonl"].splitlines()]
    assert {row["name"] for row in custody} == {"login.csv", "users", "text"}
    assert sum(name.startswith("histories/") for name in held) == 3


def test_its_manifest_lists_every_member_with_digest_and_size(bundle: Path) -> None:
    held = members(bundle)
    manifest = json.loads(held[MANIFEST])
    listed = {row["name"]: (row["bytes"], row["sha256"]) for row in manifest["members"]}
    rest = {name: content for name, content in held.items() if name not in (MANIFEST, SIGNATURE)}
    assert listed == {name: (len(content), sha256(content)) for name, content in rest.items()}
    assert [row["name"] for row in manifest["members"]] == list(rest)
    entries = held[JOURNAL].splitlines()
    head = json.loads(entries[-1])["hash"]
    assert manifest["journal"] == {"entries": len(entries), "head": head, "heads": 2}


def test_the_head_is_signed_first(bundle: Path) -> None:
    held = members(bundle)
    last = json.loads(held[HEADS].splitlines()[-1])
    assert (last["reason"], last["seq"]) == ("export", len(held[JOURNAL].splitlines()))


def test_it_verifies_in_its_home_and_says_by_whom_it_was_signed(bundle: Path, place: Path) -> None:
    found = verify(bundle, known_signers(place))
    assert (found.incident, found.mode, found.signer) == (bundle.stem, "live", "this home")
    assert (found.entries, found.heads) == (len(members(bundle)[JOURNAL].splitlines()), 2)
    assert found.missing == [] and bundle_is_intact(bundle, place)


def test_it_verifies_without_the_store_that_it_came_from(bundle: Path, place: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "signing.json").write_bytes((place / "keys" / "signing.json").read_bytes())
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert verify(bundle, known_signers(tmp_path)).signer == "this home"
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_what_it_says_only_this_bundle_says(tmp_path: Path) -> None:
    """Two exports of the same record differ in their manifest only; members come in the same order."""
    store, incident = filled(tmp_path)
    for name in ("one", "two"):
        export(store, incident, tmp_path / name, histories(incident))
    store.close()
    one, two = members(tmp_path / "one"), members(tmp_path / "two")
    assert list(one) == list(two)
    assert {name for name in one if one[name] != two[name]} <= {MANIFEST, SIGNATURE}
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_packed_anew_it_is_the_same_record(bundle: Path, place: Path, tmp_path: Path, how: int) -> None:
    (tmp_path / "again.zip").write_bytes(packed(members(bundle), how=how))
    assert verify(tmp_path / "again.zip", known_signers(place)) == verify(bundle, known_signers(place))


def test_no_secret_is_in_it(tmp_path: Path) -> None:
    store, incident = filled(tmp_path)
    store.people.add("amal", ["crm_owner"])
    token = store.people.issue_token("amal")
    export(store, incident, tmp_path / "b.zip", histories(incident))
    store.close()
    content = (tmp_path / "b.zip").read_bytes()
    private = json.loads((tmp_path / "keys" / "signing.json").read_text())["private"]
    for secret in (token, token.removeprefix("stanch_"), private, "secret", "amal"):
        assert secret.encode() not in content


def test_one_moment_is_exported_while_others_write(tmp_path: Path) -> None:
    store, incident = filled(tmp_path)
    stop = threading.Event()

    def write() -> None:
        for number in range(10_000):
            if stop.is_set():
                return
            store.journal.append(incident, [entry(f"w{number}", text=f"said {number}")])
            store.drafts.save(incident, {"regime": "gdpr", "stage": "authority", "n": number}, f"# {number}\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(6):
            export(store, incident, tmp_path / f"{number}.zip", histories(incident))
    finally:
        stop.set()
        writer.join()
    store.close()
    seen = []
    for number in range(6):
        found = verify(tmp_path / f"{number}.zip", known_signers(tmp_path))
        held = members(tmp_path / f"{number}.zip")
        draft = json.loads(held["drafts/gdpr-authority.json"])
        assert draft["sha256"] == sha256(held["drafts/gdpr-authority.md"])
        seen.append(found.entries)
    assert seen == sorted(seen) and seen[-1] > seen[0]


def damage(path: Path) -> None:
    """Some bytes of a file are lost."""
    path.chmod(0o600)
    path.write_bytes(b"rot")


@pytest.mark.parametrize("how", [damage, Path.unlink], ids=["damaged", "gone"])
def test_evidence_that_the_home_lost_is_told_and_never_passed_over(tmp_path: Path, how: Any) -> None:
    store, incident = filled(tmp_path)
    lost = next(row["sha256"] for row in store.evidence.of(incident) if row["name"] == "login.csv")
    how(tmp_path / "evidence" / lost[:2] / lost)
    export(store, incident, tmp_path / "b.zip", histories(incident))
    store.close()
    held = members(tmp_path / "b.zip")
    assert f"evidence/{lost}" not in held
    assert [row["member"] for row in json.loads(held[MANIFEST])["missing"]] == [f"evidence/{lost}"]
    with pytest.raises(NotIntact, match="could not be exported") as found:
        verify(tmp_path / "b.zip", known_signers(tmp_path))
    assert found.value.member == f"evidence/{lost}"


def test_an_entry_that_refers_to_evidence_nobody_kept_is_named(tmp_path: Path) -> None:
    store, incident = filled(tmp_path)
    (seq,) = store.journal.append(incident, [entry("x", result_ref="sha256:" + "5" * 64)])
    export(store, incident, tmp_path / "b.zip", histories(incident))
    store.close()
    with pytest.raises(NotIntact, match=f"entry {seq} refers to it") as found:
        verify(tmp_path / "b.zip", known_signers(tmp_path))
    assert (found.value.member, found.value.seq) == ("evidence/" + "5" * 64, seq)


def test_what_else_is_missing_is_listed_and_the_rest_is_intact(tmp_path: Path) -> None:
    store, incident = filled(tmp_path)
    (tmp_path / "drafts" / incident / "gdpr-authority.md").unlink()
    store.incidents.save_run(f"run/{incident}/other/1", incident, {})
    gone = Histories(missing=[("histories/x", "Temporal did not answer in time")])
    export(store, incident, tmp_path / "b.zip", gone)
    store.close()
    found = verify(tmp_path / "b.zip", known_signers(tmp_path))
    assert {row["member"]: row["why"] for row in found.missing} == {
        "drafts/gdpr-authority.md": "the draft's file cannot be read (FileNotFoundError)",
        "plans/other-1.json": "the store holds no plan of this run",
        "histories/x": "Temporal did not answer in time",
    }


def test_an_incident_without_an_entry_has_a_bundle_too(tmp_path: Path) -> None:
    store, _ = filled(tmp_path)
    empty = store.incidents.open(title="t", kind="unknown", severity=1, facts={}, opened_by="d")
    export(store, empty, tmp_path / "b.zip", Histories())
    store.close()
    found = verify(tmp_path / "b.zip", known_signers(tmp_path))
    assert (found.entries, found.head, found.heads) == (0, "", 0)


def test_nothing_is_exported_without_a_key_or_an_incident(tmp_path: Path) -> None:
    store, incident = filled(tmp_path)
    with pytest.raises(ExportRefused, match="no incident"):
        export(store, "INC-1999-1", tmp_path / "b.zip", Histories())
    store.signer = None
    with pytest.raises(ExportRefused, match="no signing key"):
        export(store, incident, tmp_path / "b.zip", Histories())
    store.close()
    assert not list(tmp_path.glob("*b.zip*"))


def test_only_what_stanch_itself_writes_is_a_reference() -> None:
    sha = "ab" * 32
    ref = {"ref": f"sha256:{sha}", "sha256": sha, "bytes": 1}
    assert references({"a": [{"b": ref}], "text_ref": f"sha256:{'1' * 64}"}) == {sha, "1" * 64}
    outside = {"id": f"sha256:{sha}", "ref": f"sha256:{sha}", "raw": 5, "text_ref": "sha256:zz", "result_ref": None}
    assert references(outside) == set() == references(None) == references([f"sha256:{sha}"])


@pytest.mark.parametrize("name", ["a b", "../x", "x\n", "é", ".hidden", "a" * 500, "", "a//b", "/a", "a\\b", "a:b"])
def test_a_name_that_no_path_should_have_is_replaced(name: str) -> None:
    assert not safe_name(f"drafts/{name}")
    assert safe_name(member_name("drafts", name, ".md"))
    assert member_name("drafts", name, ".md") != member_name("drafts", name + "x", ".md")


def test_an_unknown_home_knows_nobody(bundle: Path, tmp_path: Path) -> None:
    assert not bundle_is_intact(bundle, tmp_path)
    with pytest.raises(NotIntact) as found:
        verify(bundle, known_signers(tmp_path))
    assert found.value.code == "unknown_signer"
