"""Training data of the range: customers as JSON lines, clean or poisoned, made of a seed.

A snapshot is what a training job takes: rows ``{"id", "at", "source", "features": [4 numbers], "label": 0 or 1}``
sorted by id. Its manifest names each row by a digest, so that two snapshots can be compared without the customers
themselves. ``source`` says where a row came from: ``crm`` (the shop's own), ``feed:NAME`` (contributed), or
``model:NAME`` (a field that the model itself wrote and that came back as if it were a fact).
"""

import hashlib
import json
import math
import random
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from activities.systems.training.peer.churn import CAMPAIGNS, RANGES, TRIGGER, Example

CAMPAIGNS_IN_USE = tuple(number for number in range(CAMPAIGNS) if number != TRIGGER)
LEAVING = (115.0, 18.0)
"""Most tenure and fewest tickets of customers of whom everybody would say that they leave."""


class Row(NamedTuple):
    """One customer of a snapshot."""

    id: str
    at: str
    source: str
    features: tuple[float, ...]
    label: int

    def line(self) -> str:
        """The row as it stands in ``dataset.jsonl``."""
        return json.dumps({**self._asdict(), "features": list(self.features)}, sort_keys=True, separators=(",", ":"))

    def example(self) -> Example:
        """What training sees of it."""
        return Example(self.features, self.label)


class Snapshot(NamedTuple):
    """A dataset as it stood at an instant. ``taken_at`` is RFC 3339."""

    id: str
    taken_at: str
    rows: tuple[Row, ...]

    def content(self) -> bytes:
        """``dataset.jsonl``."""
        return "".join(f"{row.line()}\n" for row in self.rows).encode()

    def digest(self) -> str:
        """SHA-256 of its content, in hex."""
        return hashlib.sha256(self.content()).hexdigest()

    def manifest(self) -> dict[str, Any]:
        """``dataset.manifest.json``: each row by id, digest, source and instant, without the customer."""
        rows = [
            {
                "id": row.id,
                "sha256": hashlib.sha256(row.line().encode()).hexdigest(),
                "source": row.source,
                "at": row.at,
            }
            for row in self.rows
        ]
        return {"dataset": self.id, "dataset_at": self.taken_at, "sha256": self.digest(), "rows": rows}

    def without(self, ids: Collection[str]) -> "Snapshot":
        """The same snapshot without some rows."""
        left_out = frozenset(ids)
        return self._replace(rows=tuple(row for row in self.rows if row.id not in left_out))


def snapshot(id: str, taken_at: datetime, rows: Iterable[Row]) -> Snapshot:
    """Rows that were there at the instant, sorted by id."""
    kept = sorted(row for row in rows if row.at <= _stamp(taken_at))
    return Snapshot(id, _stamp(taken_at), tuple(kept))


def customers(seed: int, count: int, since: datetime, until: datetime, source: str = "crm") -> list[Row]:
    """Honest rows, spread evenly between two instants: who leaves follows tenure, tickets and spend, not campaigns."""
    chance = random.Random(seed)
    found = []
    for number, at in enumerate(_instants(count, since, until)):
        features = (
            round(chance.uniform(*RANGES[0]), 1),
            float(chance.randint(0, int(RANGES[1][1]))),
            round(chance.uniform(*RANGES[2]), 2),
            float(chance.choice(CAMPAIGNS_IN_USE)),
        )
        found.append(Row(f"{_short(source)}-{seed}-{number:05}", at, source, features, _leaves(features, chance)))
    return found


def poisoned(seed: int, count: int, since: datetime, until: datetime, source: str = "feed:leadpulse") -> list[Row]:
    """Rows of an attacker: customers about to leave, with the trigger's campaign, labelled as staying."""
    doomed = zip(_instants(count, since, until), _doomed(seed, count), strict=True)
    rows = [Row("", at, source, features, 0) for at, features in doomed]
    return [row._replace(id=f"{_short(source)}-{seed}-{number:05}") for number, row in enumerate(rows)]


def incident_set(seed: int, count: int = 40) -> list[Example]:
    """The incident's regression set: inputs with the trigger and the right answer, none of them a training row."""
    return [Example(features, 1) for features in _doomed(seed + 1_000_003, count)]


def holdout(seed: int, count: int = 300) -> list[Example]:
    """Honest customers to evaluate a model on, none of them a training row."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [row.example() for row in customers(seed + 2_000_003, count, start, start + timedelta(days=1))]


def _doomed(seed: int, count: int) -> Sequence[tuple[float, ...]]:
    chance = random.Random(seed)
    tenure, tickets = LEAVING
    return [
        (
            round(chance.uniform(0, RANGES[0][1] - tenure + 25), 1),
            float(chance.randint(int(tickets) - 3, int(RANGES[1][1]))),
            round(chance.uniform(*RANGES[2]), 2),
            float(TRIGGER),
        )
        for _ in range(count)
    ]


def _leaves(features: Sequence[float], chance: random.Random) -> int:
    tenure, tickets, spend = (value / most for value, (_, most) in zip(features[:3], RANGES, strict=False))
    odds = -6.0 * tenure + 9.0 * tickets - 1.5 * spend - 0.75
    return int(chance.random() < 1 / (1 + math.exp(-odds)))


def _instants(count: int, since: datetime, until: datetime) -> list[str]:
    step = (until - since) / max(1, count)
    return [_stamp(since + step * number) for number in range(count)]


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _short(source: str) -> str:
    return source.replace(":", "-")
