"""What a version was trained on, row by row, and what to distrust of it. Pure.

Two forms are read: ``dataset.manifest.json`` (``{"rows": [{"id", "sha256", "source", "at"}]}``) and ``dataset.jsonl``
(the rows themselves; ``source`` and ``at`` if they have them). G2 of facts §6.1: rows that came in the bad window, and
rows that the model itself wrote and that came back as if they were facts.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from activities.systems.mlflow.clean import instant
from playbooks.contract import Json

MANIFEST, ROWS = "dataset.manifest.json", "dataset.jsonl"
MOST_ROWS = 1_000_000
LONGEST = 256
WRITTEN = "model:"
"""``source`` of a row that a model wrote."""


class NoLineage(ValueError):
    """A dataset's description cannot be used; the message says why."""


@dataclass(frozen=True)
class Row:
    """A row of training data: what its bytes hash to, where it came from and when, as far as that is said."""

    id: str
    sha256: str
    source: str = ""
    at: str = ""


@dataclass(frozen=True)
class Suspect:
    """A row not to train on, and every reason."""

    row: Row
    reasons: tuple[str, ...]

    def as_row(self) -> dict[str, Json]:
        """As it stands in evidence."""
        return {
            "id": self.row.id,
            "sha256": self.row.sha256,
            "source": self.row.source,
            "at": self.row.at,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True)
class Difference:
    """How a dataset differs from a trusted one. ``removed`` are ids."""

    added: tuple[Row, ...]
    removed: tuple[str, ...]
    changed: tuple[Row, ...]
    suspects: tuple[Suspect, ...]


def read_manifest(content: bytes) -> dict[str, Row]:
    """Rows by id of a manifest.

    Raises:
        NoLineage: It is none.
    """
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError):
        raise NoLineage("the dataset's manifest is not JSON") from None
    rows = manifest.get("rows") if isinstance(manifest, dict) else None
    if not isinstance(rows, list):
        raise NoLineage("the dataset's manifest lists no rows")
    return _by_id(_row(entry, None) for entry in rows)


def read_rows(content: bytes) -> dict[str, Row]:
    """Rows by id of the data itself.

    Raises:
        NoLineage: It is none.
    """

    def rows() -> Iterable[Row]:
        for line in content.splitlines():
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                raise NoLineage("a line of the dataset is not JSON") from None
            yield _row(entry, hashlib.sha256(line.strip()).hexdigest())

    return _by_id(rows())


def compare(
    rows: Mapping[str, Row], trusted: Mapping[str, Row], first_bad: datetime | None, writers: Iterable[str] = ()
) -> Difference:
    """What is new, gone or changed, and which rows to distrust.

    Args:
        rows: Of the version in question.
        trusted: Of a version that is trusted.
        first_bad: Rows that came from then on are suspects, as are rows of no known time. The same row in the trusted
            dataset is none: it was there before.
        writers: Names of models whose output is not a fact; a row of any model is a suspect anyway.
    """
    added = tuple(row for id_, row in sorted(rows.items()) if id_ not in trusted)
    changed = tuple(row for id_, row in sorted(rows.items()) if id_ in trusted and row.sha256 != trusted[id_].sha256)
    removed = tuple(sorted(set(trusted) - set(rows)))
    names = {name.casefold() for name in writers}
    different = {row.id for row in added} | {row.id for row in changed}
    suspects = []
    for _, row in sorted(rows.items()):
        reasons = []
        if row.source.startswith(WRITTEN) or row.source.casefold() in names:
            reasons.append("a model wrote it")
        if row.id in different:
            reasons += _by_time(row, first_bad)
            if row.id in trusted:
                reasons.append("it is not what it was in the trusted dataset")
        if reasons:
            suspects.append(Suspect(row, tuple(reasons)))
    return Difference(added, removed, changed, tuple(suspects))


def _by_time(row: Row, first_bad: datetime | None) -> list[str]:
    if first_bad is None:
        return []
    at = instant(row.at)
    if at is None:
        return ["it does not say when it came"]
    return ["it came in the bad window"] if at >= first_bad else []


def _row(entry: Json, sha256: str | None) -> Row:
    if not isinstance(entry, dict):
        raise NoLineage("a row of the dataset is no object")
    id_, digest = entry.get("id"), sha256 or entry.get("sha256")
    if isinstance(id_, int) and not isinstance(id_, bool):
        id_ = str(id_)
    if not isinstance(id_, str) or not 0 < len(id_) <= LONGEST:
        raise NoLineage("a row of the dataset has no id")
    if not isinstance(digest, str) or len(digest) != 64:
        raise NoLineage("a row of the dataset has no SHA-256")
    return Row(id_, digest.lower(), _text(entry.get("source")), _text(entry.get("at")))


def _by_id(rows: Iterable[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        if found.setdefault(row.id, row) is not row:
            # Two rows of one id hide each other from a comparison.
            raise NoLineage("two rows of the dataset have the same id")
        if len(found) > MOST_ROWS:
            raise NoLineage(f"the dataset has over {MOST_ROWS} rows")
    return found


def _text(value: Json) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""


def sources(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows came from where, most first."""
    return dict(Counter(row.source or "not said" for row in rows).most_common())
