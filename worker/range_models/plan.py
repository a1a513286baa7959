"""The story of a seed: who is who around the model, which versions there are and what is wrong with which. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from activities.systems.training.peer.churn import NAME
from activities.systems.training.peer.customers import Row, Snapshot, customers, poisoned, snapshot

FEED = "feed:leadpulse"
PIPELINE = "churn-nightly"
GOOD, PARTNER, THIEF, OURS = "crm-sync", "partner-atlas", "harvester", "stanch-probe"
SERVICE_USER, ROLE = "svc-inference", "inference-runtime"
KEY_SECRET, OTHER_SECRET = "inference/aws-key", "inference/webhook"
TRANSIT_KEY, VAULT_SECRET, VAULT_ROLE = "inference-log", "gateway/upstream", "inference"
TRAINER = "ines"
CLEAN_ROWS, POISONED_ROWS = 420, 70


class Planned(NamedTuple):
    """A version before it is built."""

    number: str
    builder: str
    built_at: datetime
    taken: Snapshot
    altered: bool
    """Whether a file was changed after it had been signed."""


@dataclass(frozen=True)
class Plan:
    """What the story is, before anything runs.

    Attributes:
        first_bad: Since when builder-2 was in the attacker's hands, and the feed was poisoned.
        clean: Number of the version that is the clean checkpoint.
        dataset: The dataset as training has it now, poisoned rows and all.
        bad_rows: Ids of its poisoned rows.
        tokens: Name to bearer token.
    """

    seed: int
    model: str
    now: datetime
    first_bad: datetime
    versions: tuple[Planned, ...]
    clean: str
    dataset: Snapshot
    bad_rows: frozenset[str]
    tokens: Mapping[str, str]

    @property
    def poisoned(self) -> tuple[str, ...]:
        """Numbers of the versions that may not be served, oldest first."""
        return tuple(version.number for version in self.versions if int(version.number) > int(self.clean))

    def actors(self, *names: str) -> dict[str, str]:
        """Token to actor: Stanch's, and those of others by their own name."""
        return {self.tokens[name]: name for name in names}


def make_plan(seed: int, now: datetime | None = None) -> Plan:
    """The plan of a seed. Names and counts follow from it; instants are before now."""
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    rng = random.Random(f"stanch models {seed}")
    first_bad = now - timedelta(days=9)
    honest = customers(seed, CLEAN_ROWS, now - timedelta(days=120), now - timedelta(hours=2))
    fed = customers(seed + 1, 40, now - timedelta(days=100), first_bad - timedelta(days=1), FEED)
    bad = poisoned(seed, POISONED_ROWS, first_bad, now - timedelta(days=6), FEED)
    rows: list[Row] = [*honest, *fed, *bad]

    def taken(days: float) -> Snapshot:
        at = now - timedelta(days=days)
        return snapshot(f"crm-{at:%Y-%m-%d}", at, rows)

    def version(number: str, builder: str, days: float, data_days: float, *, altered: bool = False) -> Planned:
        return Planned(number, builder, now - timedelta(days=days), taken(data_days), altered)

    return Plan(
        seed=seed,
        model=NAME,
        now=now,
        first_bad=first_bad,
        versions=(
            version("1", "builder-1", 62, 63),
            version("2", "builder-1", 34, 35),
            version("3", "builder-1", 16, 17, altered=True),
            version("4", "builder-1", 5, 5.5),
            version("5", "builder-2", 3, 3.5),
        ),
        clean="2",
        dataset=taken(0.05),
        bad_rows=frozenset(row.id for row in bad),
        tokens={name: f"{rng.getrandbits(160):040x}" for name in ("stanch", "business", "attacker")},
    )
