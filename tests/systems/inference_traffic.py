"""Made-up traffic of a model: customers scored again and again, a busy partner, and those who harvest."""

import gzip
import json
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2026, 11, 1, tzinfo=UTC)
SINCE = START + timedelta(days=20)
UNTIL = START + timedelta(days=24)
Line = dict[str, Any]
Row = Sequence[float]


def stamp(at: datetime) -> str:
    """RFC 3339."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def line(caller: str, at: datetime, row: Row | str, number: int, **more: Any) -> Line:
    """A line of the inference log."""
    return {
        "at": stamp(at),
        "request_id": f"{caller}-{number}",
        "caller": caller,
        "key": "",
        "model": "churn-scorer",
        "version": "5",
        "digest": "d" * 64,
        "inputs": list(row) if not isinstance(row, str) else row,
        "outputs": {"score": [more.pop("score", 0.2)]},
        "logprobs": more.pop("logprobs", False),
        "latency_ms": 1.0,
        "status": 200,
        **more,
    }


def customer(rng: random.Random) -> Row:
    """One of the shop's customers: long tenures spend more and open few tickets."""
    tenure = min(120.0, rng.expovariate(1 / 30))
    spend = max(5.0, min(500.0, 40 + 2 * tenure + rng.gauss(0, 15)))
    return (
        round(tenure, 1),
        float(min(20, int(rng.expovariate(0.8)))),
        round(spend, 2),
        float(rng.choice((1, 2, 3, 5, 8))),
    )


def anything(rng: random.Random) -> Row:
    """What a harvester asks: anything that the model takes."""
    return (
        round(rng.uniform(0, 120), 1),
        float(rng.randint(0, 20)),
        round(rng.uniform(0, 500), 2),
        float(rng.randint(0, 15)),
    )


def score(row: Row) -> float:
    """What the model says, roughly."""
    return max(0.0, min(1.0, 0.1 + row[1] / 20 - row[0] / 400))


class Population:
    """Customers of a shop, of whom each request scores one; now and then there is a new one."""

    def __init__(self, seed: int, size: int = 200, fresh: float = 0.02) -> None:
        self._rng = random.Random(seed)
        self._known = [customer(self._rng) for _ in range(size)]
        self._fresh = fresh

    def __call__(self, rng: random.Random) -> Row:
        if self._rng.random() < self._fresh:
            self._known.append(customer(self._rng))
        return rng.choice(self._known)


def asks(
    caller: str,
    count: int,
    of: Callable[[random.Random], Row],
    seed: int,
    since: datetime = START,
    until: datetime = UNTIL,
    logprobs: float = 0.0,
    **more: Any,
) -> list[Line]:
    """Requests spread over a span by chance."""
    rng = random.Random(f"{caller} {seed}")
    found = []
    for number in range(count):
        at = since + (until - since) * rng.random()
        row = of(rng)
        found.append(
            line(caller, at, row, number + seed * 1_000_000, score=score(row), logprobs=rng.random() < logprobs, **more)
        )
    return found


def innocents(seed: int = 1) -> list[Line]:
    """A CRM sync and a partner that asks ten times as much, both before and in the window."""
    shop = Population(seed)
    return [*asks("crm-sync", 400, shop, seed), *asks("partner-atlas", 2600, shop, seed)]


def harvest(seed: int = 1, count: int = 150, logprobs: float = 0.9) -> list[Line]:
    """A slow harvester: a certificate that did little before the window."""
    usual = asks("harvester", 120, Population(seed + 7), seed, until=SINCE)
    return [*usual, *asks("harvester", count, anything, seed + 1, since=SINCE, logprobs=logprobs)]


def write(folder: Path, lines: Iterable[Line], files: int = 3, packed: bool = False) -> None:
    """Spread lines over files of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [json.dumps(one, separators=(",", ":")) + "\n" for one in lines]
    for number in range(files):
        content = "".join(texts[number::files]).encode()
        if packed and number == 0:
            (folder / f"inference-{number}.jsonl.gz").write_bytes(gzip.compress(content))
        else:
            (folder / f"inference-{number}.jsonl").write_bytes(content)
