"""A training service's things as Stanch knows them: pipelines, datasets, jobs and their pinned inputs. No I/O."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from activities.errors import InvalidParams
from playbooks.contract import Json
from playbooks.digest import jcs

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ENDED = ("succeeded", "failed", "cancelled")
STATES = ("queued", "running", *ENDED)


def name(text: Any, what: str) -> str:
    """A name that may stand in a path: letters, digits, ``.``, ``_`` and ``-``, at most 128.

    Raises:
        InvalidParams: It is none.
    """
    if not isinstance(text, str) or not NAME.fullmatch(text):
        raise InvalidParams(f"The {what} that was given is no name that a training service has. Nothing was done.")
    return text


def digest_of(inputs: Mapping[str, Json]) -> str:
    """SHA-256, in hex, of the canonical JSON (RFC 8785) of a job's inputs."""
    return hashlib.sha256(jcs(dict(inputs))).hexdigest()


@dataclass(frozen=True)
class Mark:
    """Somebody's hold of a dataset or pause of a pipeline. ``mark`` is the key of the request that made it."""

    holder: str
    mark: str
    reason: str
    since: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Mark":
        """From the service's answer."""
        return cls(str(row["holder"]), str(row["mark"]), str(row.get("reason", "")), str(row["since"]))


@dataclass(frozen=True)
class Pipeline:
    """A training pipeline. ``code_digest`` pins the code that its jobs run."""

    name: str
    code_digest: str
    running: tuple[str, ...]
    pauses: tuple[Mark, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Pipeline":
        """From the service's answer."""
        return cls(
            str(row["pipeline"]),
            str(row["code_digest"]),
            tuple(map(str, row["running"])),
            tuple(map(Mark.of, row["pauses"])),
        )


@dataclass(frozen=True)
class Dataset:
    """A snapshot of training data. ``digest`` is the SHA-256 of its rows as JSON lines."""

    name: str
    digest: str
    rows: int
    taken_at: str
    holds: tuple[Mark, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Dataset":
        """From the service's answer."""
        return cls(
            str(row["dataset"]),
            str(row["digest"]),
            int(row["rows"]),
            str(row["taken_at"]),
            tuple(map(Mark.of, row["holds"])),
        )


@dataclass(frozen=True)
class Order:
    """What a job is asked to do.

    Attributes:
        exclude: Ids of rows that it must not use.
        holder: The incident; its own holds and pauses do not stop the job.
        dataset_digest: The dataset as it was looked at; the service refuses another.
        code_digest: The pipeline's code, likewise.
        not_on: Builders that must not build it.
        builds: On how many different builders it is built, each for itself; the first one's version is registered.
    """

    pipeline: str
    model: str
    dataset: str
    base_version: str
    exclude: tuple[str, ...]
    trainer: str
    holder: str
    dataset_digest: str
    code_digest: str
    not_on: tuple[str, ...] = ()
    builds: int = 1

    def body(self) -> dict[str, Json]:
        """As it is sent."""
        return {
            "pipeline": self.pipeline,
            "model": self.model,
            "dataset": self.dataset,
            "base_version": self.base_version,
            "exclude": sorted(self.exclude),
            "trainer": self.trainer,
            "holder": self.holder,
            "not_on": sorted(self.not_on),
            "builds": self.builds,
            "expect": {"dataset_digest": self.dataset_digest, "code_digest": self.code_digest},
        }


@dataclass(frozen=True)
class Build:
    """What one builder made. ``isolated``: on a machine made for it, that reached nothing but its pinned inputs."""

    builder: str
    isolated: bool
    release_digest: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Build":
        """From the service's answer; what it does not say of isolation is not so."""
        return cls(str(row["builder"]), row.get("isolated") is True, str(row["release_digest"]))


@dataclass(frozen=True)
class Job:
    """A job. ``metrics``, ``version``, ``run`` and ``builds`` are there once it has succeeded."""

    id: str
    state: str
    phase: str
    inputs: Mapping[str, Json]
    inputs_digest: str
    version: str | None = None
    run: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    finished_at: datetime | None = None
    builds: tuple[Build, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Job":
        """From the service's answer.

        Raises:
            ValueError: A state that the contract does not know.
        """
        if row["state"] not in STATES:
            raise ValueError("an unknown state")
        result, error, finished = row.get("result") or {}, row.get("error") or {}, row.get("finished_at")
        return cls(
            id=str(row["id"]),
            state=row["state"],
            phase=str(row.get("phase", "")),
            inputs=dict(row["inputs"]),
            inputs_digest=str(row["inputs_digest"]),
            version=str(result["version"]) if result.get("version") is not None else None,
            run=str(result["run"]) if result.get("run") is not None else None,
            metrics={str(key): float(value) for key, value in (result.get("metrics") or {}).items()},
            problem=str(error.get("code"))[:60] if error.get("code") else None,
            finished_at=_instant(finished) if finished else None,
            builds=tuple(map(Build.of, result.get("builds") or ())),
        )

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED

    @property
    def pinned(self) -> bool:
        """Whether the digest is that of the inputs which the service lists."""
        return digest_of(self.inputs) == self.inputs_digest

    def trusted(self, not_on: Iterable[str]) -> bool:
        """Whether every build was made in isolation, on a builder that is none of these."""
        barred = {builder.casefold() for builder in not_on}
        return bool(self.builds) and all(
            build.isolated and build.builder.casefold() not in barred for build in self.builds
        )

    @property
    def reproduced(self) -> bool:
        """Whether two different builders made the very same release."""
        builders = {build.builder.casefold() for build in self.builds}
        digests = {build.release_digest for build in self.builds}
        return len(builders) > 1 and len(digests) == 1 and digests != {""}


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)
