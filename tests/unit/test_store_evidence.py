"""Evidence: files named by their content, whole when read, with custody in the journal."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chains import assert_chain, sha256
from worker.store import Store

INC = "INC-2026-1"
ABOUT = {"name": "login.csv", "media_type": "text/csv", "source": "salesforce", "actor": "stanch"}


def path_of(home: Path, sha: str) -> Path:
    """Where a file lies."""
    return home / "evidence" / sha[:2] / sha


def test_a_file_is_kept_under_its_digest_with_custody(store: Store, home: Path) -> None:
    ref = store.evidence.put(INC, b"a,b\n", **ABOUT)
    assert (ref.ref, ref.bytes, ref.name) == (f"sha256:{sha256(b'a,b' + bytes([10]))}", 4, "login.csv")
    assert store.evidence.read(ref.ref) == b"a,b\n"
    assert path_of(home, ref.sha256).stat().st_mode & 0o777 == 0o400
    (custody,) = store.evidence.of(INC)
    assert {key: custody[key] for key in ("sha256", "name", "source", "actor", "bytes")} == {
        "sha256": ref.sha256,
        "name": "login.csv",
        "source": "salesforce",
        "actor": "stanch",
        "bytes": 4,
    }
    (entry,) = store.journal.entries(INC)
    assert entry["kind"] == "evidence.kept" and entry["actor"] == "stanch"
    assert entry["body"] == {"sha256": ref.sha256, "bytes": 4, "media_type": "text/csv"}


def test_a_repeat_changes_nothing_and_another_source_is_custody_of_its_own(store: Store) -> None:
    first = store.evidence.put(INC, b"x", **ABOUT)
    assert store.evidence.put(INC, b"x", **ABOUT) == first
    store.evidence.put(INC, b"x", **{**ABOUT, "source": "slack"})
    store.evidence.put("INC-2026-2", b"x", **ABOUT)
    assert [row["source"] for row in store.evidence.of(INC)] == ["salesforce", "slack"]
    assert len(store.evidence.of("INC-2026-2")) == 1
    assert_chain(INC, store.journal.entries(INC))
    assert len(store.journal.entries(INC)) == 2


def test_a_large_file_comes_by_its_path(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "log").write_bytes(content)
    ref = store.evidence.put(INC, tmp_path / "log", **ABOUT)
    assert (ref.sha256, ref.bytes) == (sha256(content), len(content))
    assert store.evidence.read(ref.ref) == content
    with store.evidence.open(ref.ref) as file:
        assert file.read() == content


@pytest.mark.parametrize("damage", [b"", b"y", b"xx"])
def test_a_damaged_file_is_noticed_and_mended_by_the_next_put(store: Store, home: Path, damage: bytes) -> None:
    ref = store.evidence.put(INC, b"x", **ABOUT)
    path = path_of(home, ref.sha256)
    path.chmod(0o600)
    path.write_bytes(damage)
    with pytest.raises(ValueError, match="not what it was"):
        store.evidence.read(ref.ref)
    with pytest.raises(ValueError, match="not what it was"):
        list(store.evidence.rows(ref.ref))
    store.evidence.put(INC, b"x", **ABOUT)
    assert store.evidence.read(ref.ref) == b"x"
    assert len(store.journal.entries(INC)) == 1


@pytest.mark.parametrize(
    "ref", ["sha256:" + "0" * 64, "sha256:../../etc/passwd", "", "sha256:", "sha256:" + "A" * 64, "x" * 64]
)
def test_a_reference_to_nothing_reads_nothing(store: Store, ref: str) -> None:
    with pytest.raises(FileNotFoundError):
        store.evidence.read(ref)


def test_target_rows_keep_their_order_and_sample(store: Store) -> None:
    rows = [{"id": f"005{n:012}", "name": "Zürich\u2028x" if n == 3 else "x"} for n in range(50)]
    targets = store.evidence.put_rows(INC, iter(rows), name="users", source="salesforce", actor="stanch")
    assert (targets.count, len(targets.sample), targets.sample[0]) == (50, 20, rows[0]["id"])
    assert list(store.evidence.rows(targets.ref)) == rows
    again = store.evidence.put_rows(INC, rows, name="users", source="salesforce", actor="stanch")
    assert again.sha256 == targets.sha256
    assert [json.loads(line) for line in store.evidence.read(targets.ref).split(b"\n") if line] == rows


def test_an_empty_list_of_targets_is_a_file_too(store: Store) -> None:
    targets = store.evidence.put_rows(INC, [], name="none", source="s", actor="a")
    assert (targets.count, list(store.evidence.rows(targets.ref))) == (0, [])


def test_threads_that_keep_the_same_file_end_with_one(store: Store, home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        refs = set(pool.map(lambda _: store.evidence.put(INC, b"same", **ABOUT).ref, range(40)))
    assert len(refs) == 1 and len(store.journal.entries(INC)) == 1
    assert [path.name for path in (home / "evidence").rglob("*") if path.is_file()] == [refs.pop()[7:]]


def test_nothing_is_left_of_a_file_that_could_not_be_kept(store: Store, home: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.evidence.put(INC, tmp_path / "gone", **ABOUT)
    assert not [path for path in (home / "evidence").rglob("*") if path.is_file()]
    assert store.journal.entries(INC) == []
