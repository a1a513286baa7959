"""Rows and dependencies of a version: what is new, what to distrust, and what was too young."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.systems.mlflow.dependencies import NoLock, Package, judge, read_lock
from activities.systems.mlflow.lineage import NoLineage, Row, compare, read_manifest, read_rows

BAD = datetime(2026, 9, 10, tzinfo=UTC)
BEFORE, AFTER = "2026-09-01T00:00:00Z", "2026-09-11T00:00:00Z"


def row(id_: str, content: str = "", source: str = "crm", at: str = BEFORE) -> Row:
    """A row."""
    return Row(id_, hashlib.sha256((content or id_).encode()).hexdigest(), source, at)


def rows(*given_: Row) -> dict[str, Row]:
    """By id."""
    return {one.id: one for one in given_}


def test_suspects_are_rows_of_the_window_rows_that_changed_and_rows_a_model_wrote() -> None:
    trusted = rows(row("a"), row("b"), row("gone"), row("old-echo", source="model:churn-scorer"))
    now = rows(
        row("a"),
        row("b", "other"),
        row("new-before"),
        row("new-after", at=AFTER, source="feed:leadpulse"),
        row("new-undated", at=""),
        row("echo", source="model:churn-scorer"),
        row("old-echo", source="model:churn-scorer"),
        row("named", source="Churn-Scorer"),
    )
    found = compare(now, trusted, BAD, ["churn-scorer"])
    assert [one.id for one in found.added] == ["echo", "named", "new-after", "new-before", "new-undated"]
    assert (found.removed, [one.id for one in found.changed]) == (("gone",), ["b"])
    assert {suspect.row.id: suspect.reasons for suspect in found.suspects} == {
        "b": ("it is not what it was in the trusted dataset",),
        "echo": ("a model wrote it",),
        "named": ("a model wrote it",),
        "new-after": ("it came in the bad window",),
        "new-undated": ("it does not say when it came",),
        "old-echo": ("a model wrote it",),
    }


def test_a_row_exactly_at_the_first_bad_moment_is_in_the_window() -> None:
    found = compare(rows(row("x", at="2026-09-10T02:00:00+02:00")), {}, BAD)
    assert [suspect.row.id for suspect in found.suspects] == ["x"]


ids = st.dictionaries(st.text("abc", min_size=1, max_size=2), st.integers(0, 2), max_size=6)


@given(ids, ids)
def test_every_row_is_added_removed_changed_or_the_same(new: dict[str, int], old: dict[str, int]) -> None:
    found = compare(
        rows(*(row(id_, str(n)) for id_, n in new.items())), rows(*(row(id_, str(n)) for id_, n in old.items())), BAD
    )
    same = {id_ for id_ in new if old.get(id_) == new[id_]}
    added, changed = {one.id for one in found.added}, {one.id for one in found.changed}
    assert added | changed | same == set(new)
    assert added | set(found.removed) == set(new) ^ set(old)
    assert {suspect.row.id for suspect in found.suspects} == changed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "lists no rows"),
        (b'{"rows": {}}', "lists no rows"),
        (b'{"rows": [1]}', "no object"),
        (b'{"rows": [{"id": ""}]}', "no id"),
        (b'{"rows": [{"id": "a"}]}', "no SHA-256"),
        (json.dumps({"rows": [{"id": "a", "sha256": "0" * 64}] * 2}).encode(), "same id"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_manifest_that_is_none_is_said(content: bytes, said: str) -> None:
    with pytest.raises(NoLineage, match=said):
        read_manifest(content)


def test_both_forms_of_a_dataset_compare_with_each_other() -> None:
    lines = [json.dumps({"id": n, "x": n * 2, "source": "crm", "at": BEFORE}).encode() for n in range(3)]
    manifest = {"rows": [{"id": str(n), "sha256": hashlib.sha256(line).hexdigest()} for n, line in enumerate(lines)]}
    data, listed = read_rows(b"\n".join(lines) + b"\n\n"), read_manifest(json.dumps(manifest).encode())
    found = compare(data, listed, BAD)
    assert (found.added, found.removed, found.changed, found.suspects) == ((), (), (), ())
    with pytest.raises(NoLineage, match="a line"):
        read_rows(b"{}x")


USED = datetime(2026, 5, 13, 19, 20, tzinfo=UTC)


def package(name: str, age: timedelta | None, version: str = "1.0", digest: str = "0") -> Package:
    """A package that was so old when it was used."""
    return Package(name, version, digest * 64, None if age is None else USED - age)


def test_the_tanstack_packages_would_have_been_kept_out_by_four_days() -> None:
    # 84 packages in six minutes of 11 May 2026, a build two days later; provenance valid (facts §8, incident 3).
    lock = {"router": package("router", timedelta(days=2)), "old": package("old", timedelta(days=400))}
    found = judge(lock, USED, timedelta(days=4))
    assert (found.ok, found.young) == (False, ("router 1.0: 2 days old when it was used",))
    assert judge(lock, USED, timedelta(days=2)).ok


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(minutes=46), "less than an hour old"),
        (timedelta(hours=1), "1 hour old"),
        (timedelta(days=4, seconds=-1), "3 days old"),
        (None, "not said when"),
        (timedelta(seconds=-1), "after it was used"),
        (timedelta(days=4), ""),
    ],
)
def test_how_old_a_package_was_when_it_was_used(age: timedelta | None, said: str) -> None:
    found = judge({"p": package("p", age)}, USED, timedelta(days=4))
    assert found.ok is not bool(said)
    assert said in "".join(found.young)


def test_other_bytes_under_the_same_version_are_never_fine() -> None:
    old = timedelta(days=90)
    trusted = {name: package(name, old) for name in ("same", "newer", "gone", "swapped")}
    lock = {
        "same": package("same", old),
        "newer": package("newer", old, "1.1", "1"),
        "swapped": package("swapped", old, digest="1"),
        "extra": package("extra", old),
    }
    found = judge(lock, USED, timedelta(days=4), trusted)
    assert found.changed == (
        "swapped 1.0: other bytes under the same version",
        "extra 1.0: new",
        "gone 1.0: gone",
        "newer 1.1: was 1.0",
    )
    assert (found.ok, found.replaced) == (False, ("swapped 1.0: other bytes under the same version",))
    del lock["swapped"]
    assert judge(lock, USED, timedelta(days=4), trusted).ok


def lock_of(*entries: Any) -> bytes:
    """A lock file."""
    return json.dumps({"packages": list(entries)}).encode()


GOOD = {"name": "a", "version": "1", "sha256": "0" * 64, "published_at": BEFORE}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"nothing", "not JSON"),
        (b"{}", "no packages"),
        (lock_of(), "no packages"),
        (lock_of(1), "no object"),
        (lock_of({**GOOD, "version": None}), "no name or version"),
        (lock_of({**GOOD, "sha256": "0"}), "no SHA-256"),
        (lock_of(GOOD, {**GOOD, "name": "A"}), "twice"),
        (lock_of({**GOOD, "name": "x-y"}, {**GOOD, "name": "X_Y"}), "twice"),
    ],
)
def test_a_lock_file_that_is_none_is_said(content: bytes, said: str) -> None:
    with pytest.raises(NoLock, match=said):
        read_lock(content)


def test_a_lock_file_may_be_a_bare_list_and_leave_out_when() -> None:
    found = read_lock(json.dumps([GOOD, {**GOOD, "name": "b", "published_at": "soon"}]).encode())
    assert found["a"].published == datetime(2026, 9, 1, tzinfo=UTC)
    assert found["b"].published is None
