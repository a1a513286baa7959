"""What the registry answers, as far as the actions use it, checked and typed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from playbooks.contract import Json

ModelName = Annotated[str, StringConstraints(pattern=r"^[^/:'\"\\\x00-\x1f]{1,256}$")]
"""Name of a registered model; MLflow itself refuses slashes and colons, quotes would end a filter."""
VersionNumber = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,9}$")]
"""Number of a model version, as text."""


def _not_reserved(alias: str) -> str:
    if re.fullmatch(r"(?i)v[0-9]+|latest", alias):
        raise ValueError("MLflow reserves this alias")
    return alias


AliasName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,255}$"), AfterValidator(_not_reserved)]
"""Name of an alias; MLflow reserves ``latest`` and ``v1``, ``v2`` …"""
MAX_PATH = 1024


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        model: Name of the registered model.
        number: Its number, as text.
        source: Where its artifacts are said to lie.
        run: Id of the run that logged it, if it names one.
        status: ``READY``, or what it is instead.
        created: When it was registered.
        tags: By name.
    """

    model: str
    number: str
    source: str = ""
    run: str = ""
    status: str = "READY"
    created: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Version":
        """From an answer's ``model_version``."""
        return cls(
            model=str(row["name"]),
            number=str(row["version"]),
            source=str(row.get("source") or ""),
            run=str(row.get("run_id") or ""),
            status=str(row.get("status") or ""),
            created=instant(row.get("creation_timestamp")),
            tags=pairs(row.get("tags")),
        )

    def row(self) -> dict[str, Json]:
        """As it may stand in evidence."""
        created = self.created.isoformat() if self.created else None
        return {
            "id": self.number,
            "model": self.model,
            "source": self.source,
            "run": self.run,
            "status": self.status,
            "created": created,
            "tags": dict(self.tags),
        }


@dataclass(frozen=True)
class Model:
    """A registered model: its tags, and version numbers by alias."""

    name: str
    tags: Mapping[str, str]
    aliases: Mapping[str, str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Model":
        """From an answer's ``registered_model``."""
        aliases = {str(alias["alias"]): str(alias["version"]) for alias in row.get("aliases") or ()}
        return cls(str(row["name"]), pairs(row.get("tags")), aliases)

    def pointing_to(self, number: str) -> list[str]:
        """Aliases that point to a version, sorted."""
        return sorted(alias for alias, version in self.aliases.items() if version == number)


@dataclass(frozen=True)
class Artifact:
    """A file of a version: its path below the version's own folder, with slashes, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class TrackedRun:
    """A run of the tracking server: the latest value of each metric, parameters and tags by name.

    A metric that is not a number (``NaN``, infinities) stays one: no comparison with it holds.
    """

    id: str
    status: str
    started: datetime | None
    ended: datetime | None
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "TrackedRun":
        """From an answer's ``run``."""
        info, data = row["info"], row.get("data") or {}
        return cls(
            id=str(info["run_id"]),
            status=str(info.get("status") or ""),
            started=instant(info.get("start_time")),
            ended=instant(info.get("end_time")),
            metrics={str(metric["key"]): float(metric.get("value", 0.0)) for metric in data.get("metrics") or ()},
            params=pairs(data.get("params")),
            tags=pairs(data.get("tags")),
        )


def pairs(rows: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """``[{"key": …, "value": …}]`` as a mapping; MLflow leaves out what is empty."""
    return {str(row["key"]): str(row.get("value", "")) for row in rows or ()}


def instant(milliseconds: Any) -> datetime | None:
    """Milliseconds since 1970, which MLflow writes as a number or as text."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


def is_safe_path(path: str) -> bool:
    """Whether a relative path stays below its folder on any file system."""
    parts = path.split("/")
    return (
        0 < len(path) <= MAX_PATH
        and all(part not in ("", ".", "..") for part in parts)
        and not re.search(r"[\\:\x00-\x1f\x7f]", path)
    )
