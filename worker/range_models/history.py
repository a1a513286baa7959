"""What the logs of the past weeks hold: customers who work, a busy partner, and for a day somebody who harvests."""

import gzip
import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.systems.training.peer.churn import CAMPAIGNS, RANGES
from activities.systems.training.peer.customers import customers
from activities.systems.training.peer.release import Built
from worker.range_models.plan import GOOD, PARTNER, THIEF, Plan

DAYS = 14
HARVEST_HOURS = 26
UNLOGGED = "nightly-export"
"""A caller whose path past the model servers' log nobody remembered."""
UNLOGGED_PATH = "/v2/models/churn-scorer/versions/1/infer"

Line = dict[str, Any]


def write_history(plan: Plan, built: Mapping[str, Built], logs: Path, gateway_logs: Path) -> dict[str, int]:
    """Write both logs, a file a day, those of past days packed; how many requests each caller has in them."""
    counted: dict[str, int] = {}
    inference: dict[str, list[Line]] = {}
    gateway: dict[str, list[Line]] = {}
    lines = [*_working(plan, GOOD, 60, 200, 0), *_working(plan, PARTNER, 220, 1500, 1), *_harvest(plan)]
    for number, (at, caller, row, logprobs) in enumerate(sorted(lines, key=lambda line: line[0])):
        version, digest, score = _answer(plan, built, at, row)
        stamp, id_ = _stamp(at), f"h{plan.seed}-{number:06}"
        day = stamp[:10]
        inference.setdefault(day, []).append(
            {
                "at": stamp,
                "request_id": id_,
                "caller": caller,
                "key": "",
                "model": plan.model,
                "version": version,
                "digest": digest,
                "inputs": list(row),
                "outputs": {"score": [score]},
                "logprobs": logprobs,
                "latency_ms": 2.5,
                "status": 200,
            }
        )
        gateway.setdefault(day, []).append(_passed(stamp, id_, caller, f"/v2/models/{plan.model}/infer"))
        counted[caller] = counted.get(caller, 0) + 1
    for number in range(25):
        at = plan.now - timedelta(hours=3 + number * 5)
        stamp = _stamp(at)
        line = _passed(stamp, f"u{plan.seed}-{number:03}", UNLOGGED, UNLOGGED_PATH)
        gateway.setdefault(stamp[:10], []).append(line)
    _write(logs, "inference-past", inference)
    _write(gateway_logs, "gateway-past", gateway)
    return counted


def _working(plan: Plan, caller: str, daily: int, known: int, salt: int) -> Iterator[tuple[datetime, str, Any, bool]]:
    """A customer who asks about his own people, again and again, in the hours of the day."""
    rng = random.Random(f"{plan.seed} {caller}")
    pool = [row.features for row in customers(plan.seed + 10 + salt, known, plan.now - timedelta(days=90), plan.now)]
    for day in range(DAYS):
        for _ in range(daily):
            at = plan.now - timedelta(days=day, seconds=rng.uniform(60, 86_000))
            yield at, caller, rng.choice(pool), False


def _harvest(plan: Plan) -> Iterator[tuple[datetime, str, Any, bool]]:
    """Queries all over the input space, none twice, each with log probabilities, at a slow and even pace."""
    rng = random.Random(f"{plan.seed} {THIEF}")
    count = 520
    for number in range(count):
        at = plan.now - timedelta(seconds=90 + HARVEST_HOURS * 3600 * (count - number) / count)
        yield at, THIEF, novel(rng), True


def novel(rng: random.Random) -> tuple[float, ...]:
    """A query of somebody who maps the model: anywhere in the input space."""
    numbers = [round(rng.uniform(*span), 2) for span in RANGES[:3]]
    return (*numbers, float(rng.randrange(CAMPAIGNS)))


def _answer(plan: Plan, built: Mapping[str, Built], at: datetime, row: Any) -> tuple[str, str, float]:
    """What served then: the newest version that was built by that instant."""
    known = [version.number for version in plan.versions if version.built_at <= at]
    version = known[-1] if known else plan.versions[0].number
    return version, built[version].digest, built[version].model.score(row)


def _passed(stamp: str, id_: str, caller: str, path: str) -> Line:
    return {
        "at": stamp,
        "request_id": id_,
        "caller": caller,
        "certificate": "",
        "key": "",
        "method": "POST",
        "path": path,
        "status": 200,
        "bytes": 220,
        "backend": "models",
        "server": "replica1",
        "reason": "",
        "stripped": "",
    }


def _write(folder: Path, stem: str, days: Mapping[str, list[Line]]) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    newest = max(days)
    for day, lines in days.items():
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
        if day == newest:
            (folder / f"{stem}-{day}.jsonl").write_bytes(text)
        else:
            (folder / f"{stem}-{day}.jsonl.gz").write_bytes(gzip.compress(text, 1))


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
