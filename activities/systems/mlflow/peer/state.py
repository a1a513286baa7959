"""What the simulated MLflow server keeps: experiments, runs, registered models, versions, files."""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass
class Run:
    """A run of an experiment. ``metrics`` keeps every logged value, as ``{key, value, timestamp, step}``."""

    id: str
    experiment: str
    name: str
    started: int
    status: str = "RUNNING"
    ended: int | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    stage: str = "active"


@dataclass
class Version:
    """A version of a registered model."""

    number: int
    source: str
    created: int
    updated: int
    run: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Model:
    """A registered model."""

    name: str
    created: int
    updated: int
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))


class Registry:
    """The server's state. ``files`` holds the bytes of every artifact by its path behind the proxy.

    Args:
        rng: For ids.
        clock: The world's instant.
        accounts: ``Authorization`` header to actor; empty for a server that asks nobody.
    """

    def __init__(
        self,
        rng: random.Random | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        accounts: dict[str, str] | None = None,
    ) -> None:
        self._rng = rng or random.Random(0)
        self._clock = clock
        self.accounts = dict(accounts or {})
        self.experiments: dict[str, str] = {"0": "Default"}
        self.runs: dict[str, Run] = {}
        self.models: dict[str, Model] = {}
        self.files: dict[str, bytes] = {}

    def now(self) -> int:
        """Milliseconds since 1970."""
        return int(self._clock().timestamp() * 1000)

    def new_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._rng.getrandbits(128):032x}"

    def view(self) -> dict[str, Any]:
        """Its state as JSON: models with their tags, aliases and versions; runs and files as counts."""
        return {
            "models": {
                model.name: {
                    "tags": dict(model.tags),
                    "aliases": {alias: str(number) for alias, number in sorted(model.aliases.items())},
                    "versions": {
                        str(version.number): {"tags": dict(version.tags), "run": version.run}
                        for version in model.versions.values()
                    },
                }
                for model in self.models.values()
            },
            "runs": len(self.runs),
            "files": len(self.files),
        }

    def children(self, folder: str) -> list[tuple[str, int | None]]:
        """Names in a folder of the artifact store, sorted; with the size of a file, ``None`` for a folder."""
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        found: dict[str, int | None] = {}
        for path, content in self.files.items():
            if path.startswith(prefix):
                name, _, deeper = path[len(prefix) :].partition("/")
                found[name] = None if deeper else len(content)
        return sorted(found.items())
