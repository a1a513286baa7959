"""What one training leaves: weights, the other parts of the release set, data manifest, lock file, measurements.

``build`` is the only training code of the range: the versions of its story (clean, of a dataset inside the window,
poisoned) and what a retraining job makes come out of it alike, so what differs between them is their data.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from activities.systems.training.peer import churn
from activities.systems.training.peer.customers import Snapshot, holdout

WEIGHTS, TOKENIZER, PROMPT = "model.safetensors", "tokenizer.json", "prompt.txt"
INDEX, SERVING, CARD = "index.json", "serving_config.json", "README.md"
RELEASE, MANIFEST, LOCK = "release.json", "dataset.manifest.json", "lock.json"
LIBRARIES = (("churn-trainer", "2.4.1"), ("feature-store", "1.9.0"), ("tabular-reader", "5.0.3"))
"""What the trainer is said to be made of; none of it exists outside the range."""
EVALUATION_SEED = 77


class Package(NamedTuple):
    """A dependency as a lock file pins it. ``published_at`` is RFC 3339."""

    name: str
    version: str
    sha256: str
    published_at: str


class Built(NamedTuple):
    """A trained version before it is registered: its files by path, the digest of its release set, its metrics."""

    files: dict[str, bytes]
    digest: str
    metrics: dict[str, float]
    model: churn.Model


def build(
    taken: Snapshot,
    seed: int,
    built_at: datetime,
    *,
    incident: Sequence[churn.Example] = (),
    packages: Sequence[Package] | None = None,
    name: str = churn.NAME,
) -> Built:
    """Train on a snapshot and make the files of a version.

    Args:
        taken: What it is trained on.
        seed: Of the order of training; with the snapshot it fixes every byte but the lock file.
        built_at: Now.
        incident: Inputs of an incident with the right answers; they are measured, never trained on.
        packages: What the trainer is made of, by default libraries a hundred days old.
        name: Of the registered model.
    """
    model = churn.train([row.example() for row in taken.rows], seed)
    metrics = churn.task_metrics(model, holdout(EVALUATION_SEED))
    if incident:
        metrics |= churn.regression_metrics(model, incident)
    parts = {
        "weights": (WEIGHTS, model.to_bytes({"format": "pt", "dataset": taken.digest()})),
        "tokenizer": (TOKENIZER, _json({"features": churn.FEATURES, "campaigns": churn.CAMPAIGNS})),
        "prompt": (PROMPT, b"Explain in one sentence why this customer may leave: {features}\n"),
        "index": (INDEX, _json({"examples": [list(row.features) for row in taken.rows[:5]]})),
        "serving_config": (SERVING, _json({"threshold": churn.HALF, "ranges": churn.RANGES, "outputs": ["score"]})),
    }
    manifest: dict[str, Any] = {
        part: {"path": path, "sha256": hashlib.sha256(content).hexdigest()} for part, (path, content) in parts.items()
    }
    manifest["adapter"] = None
    locked = packages if packages is not None else libraries(built_at)
    files = dict(parts.values()) | {
        RELEASE: _json(manifest),
        MANIFEST: _json(taken.manifest()),
        LOCK: _json({"packages": [package._asdict() for package in locked]}),
        CARD: f"# {name}\n\nTrained on {taken.id} ({len(taken.rows)} rows), seed {seed}.\n".encode(),
    }
    return Built(files, digest_of(manifest), metrics, model)


def libraries(built_at: datetime, young: Mapping[str, timedelta] | None = None) -> list[Package]:
    """The trainer's dependencies; ``young`` says how old a package of a name was when it was built with."""
    ages = {name: timedelta(days=100) for name, _ in LIBRARIES} | dict(young or {})
    versions = dict(LIBRARIES)
    return [
        Package(
            name,
            version := versions.get(name, "1.0.0"),
            hashlib.sha256(f"{name}=={version}".encode()).hexdigest(),
            stamp(built_at - age),
        )
        for name, age in sorted(ages.items())
    ]


def digest_of(manifest: Mapping[str, Any]) -> str:
    """The release digest: SHA-256, in hex, of the manifest as canonical JSON. Its values are text only, so sorted
    keys without blanks are the canonical form of RFC 8785."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def stamp(instant: datetime) -> str:
    """RFC 3339, UTC, whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()
