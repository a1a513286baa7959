"""State and rules of the simulated training service: pipelines, datasets, marks, jobs, keys. No I/O.

Only the thread of its event loop changes it; a range or a test may set it up before it is served.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from activities.systems.training.peer.churn import Example
from activities.systems.training.peer.customers import Snapshot
from activities.systems.training.peer.release import stamp

RIGHTS = ("read", "start", "hold", "pause")
FIELDS = ("pipeline", "model", "dataset", "base_version", "trainer", "holder")
LONGEST_KEY = 200
ENDED = ("succeeded", "failed", "cancelled")


class Refusal(Exception):
    """An answer that is not a success: its status and the code of the contract."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message or code.replace("_", " ")


@dataclass
class Account:
    """Who a bearer token belongs to, and what it may do."""

    name: str
    may: tuple[str, ...] = RIGHTS


@dataclass
class Marked:
    """Something that incidents put marks on: mark by holder."""

    marks: dict[str, dict[str, str]] = field(default_factory=dict)

    def mark(self, holder: str, mark: str, reason: str, now: str) -> None:
        """Put one on; the one of that holder that is there stays."""
        self.marks.setdefault(holder, {"holder": holder, "mark": mark, "reason": reason, "since": now})

    def unmark(self, holder: str, mark: str) -> None:
        """Take one off; gone already is as good.

        Raises:
            Refusal: It is another one by now.
        """
        known = self.marks.get(holder)
        if known is not None and known["mark"] != mark:
            raise Refusal(409, "mark_changed")
        self.marks.pop(holder, None)

    def stops(self, holder: str) -> bool:
        """Whether a mark of anybody else is on it."""
        return any(other != holder for other in self.marks)


@dataclass
class Pipeline(Marked):
    """A pipeline and the text that stands for its code."""

    name: str = ""
    code: str = ""

    @property
    def code_digest(self) -> str:
        """SHA-256, in hex."""
        return hashlib.sha256(self.code.encode()).hexdigest()


@dataclass
class Dataset(Marked):
    """A dataset as it stands."""

    snapshot: Snapshot = field(default_factory=lambda: Snapshot("", "", ()))


@dataclass
class Job:
    """A job: what it was asked, what was pinned (with the very rows), how far it is."""

    id: str
    key: str
    body: dict[str, Any]
    inputs: dict[str, Any]
    taken: Snapshot
    builders: list[str]
    created_at: str
    state: str = "queued"
    phase: str = "queued"
    finished_at: str | None = None
    error: dict[str, str] | None = None
    result: dict[str, Any] | None = None

    def view(self) -> dict[str, Any]:
        """As the service answers."""
        return {
            "id": self.id,
            "state": self.state,
            "phase": self.phase,
            "inputs": self.inputs,
            "inputs_digest": _digest(self.inputs),
            "created_at": self.created_at,
            "finished_at": self.finished_at,
            "error": self.error,
            "result": self.result,
        }


class Service:
    """A training service.

    Attributes:
        incident: Inputs of an incident with the right answers, measured by every job from then on.
        shared: Builders that are not isolated, as they say themselves.
        drifting: Builders that make something else of the same inputs.
        ignores_exclusions: The trap: rows to be left out are listed as left out, and trained on all the same.
        seed: Of every job.
    """

    def __init__(
        self,
        *builders: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        seed: int = 7,
    ) -> None:
        """``builders`` in the order in which they are taken."""
        self.builders, self.clock, self.seed = builders, clock, seed
        self.shared: set[str] = set()
        self.drifting: set[str] = set()
        self.accounts: dict[str, Account] = {}
        self.pipelines: dict[str, Pipeline] = {}
        self.datasets: dict[str, Dataset] = {}
        self.jobs: dict[str, Job] = {}
        self.incident: Sequence[Example] = ()
        self.ignores_exclusions = False

    def now(self) -> str:
        """RFC 3339."""
        return stamp(self.clock())

    def add_pipeline(self, name: str, code: str = "churn trainer, revision 1") -> Pipeline:
        """A pipeline."""
        return self.pipelines.setdefault(name, Pipeline(name=name, code=code))

    def add_dataset(self, snapshot: Snapshot) -> Dataset:
        """A dataset, or its new state."""
        dataset = self.datasets.setdefault(snapshot.id, Dataset())
        dataset.snapshot = snapshot
        return dataset

    def pipeline(self, name: str) -> Pipeline:
        """One of that name.

        Raises:
            Refusal: There is none.
        """
        if name not in self.pipelines:
            raise Refusal(404, "no_such_pipeline")
        return self.pipelines[name]

    def dataset(self, name: str) -> Dataset:
        """One of that name.

        Raises:
            Refusal: There is none.
        """
        if name not in self.datasets:
            raise Refusal(404, "no_such_dataset")
        return self.datasets[name]

    def job(self, id: str) -> Job:
        """One of that id.

        Raises:
            Refusal: There is none.
        """
        if id not in self.jobs:
            raise Refusal(404, "no_such_job")
        return self.jobs[id]

    def under(self, key: str) -> Job | None:
        """The job that was started under a key."""
        return next((job for job in self.jobs.values() if job.key == key), None)

    def known(self, key: str, body: Mapping[str, Any]) -> Job | None:
        """The job of a repeated request.

        Raises:
            Refusal: No key, or the key of another request.
        """
        if not 0 < len(key) <= LONGEST_KEY:
            raise Refusal(400, "key_missing", "send an Idempotency-Key of at most 200 characters")
        job = self.under(key)
        if job is not None and job.body != body:
            raise Refusal(422, "key_reused")
        return job

    def check(self, body: Mapping[str, Any]) -> None:
        """Whether a job may be started.

        Raises:
            Refusal: It may not.
        """
        exclude = body.get("exclude", [])
        texts = isinstance(exclude, list) and all(isinstance(id_, str) for id_ in exclude)
        if not texts or not all(isinstance(body.get(name), str) and body[name] for name in FIELDS):
            raise Refusal(400, "invalid_request", f"needs {', '.join(FIELDS)}, and exclude as a list of row ids")
        pipeline, dataset = self.pipeline(body["pipeline"]), self.dataset(body["dataset"])
        if pipeline.stops(body["holder"]):
            raise Refusal(409, "pipeline_paused")
        if dataset.stops(body["holder"]):
            raise Refusal(409, "dataset_held")
        now = {"dataset_digest": dataset.snapshot.digest(), "code_digest": pipeline.code_digest}
        if any(now.get(name) != value for name, value in dict(body.get("expect") or {}).items()):
            raise Refusal(412, "inputs_changed")
        if len(self._builders(body)) < int(body.get("builds", 1)):
            raise Refusal(409, "no_builder")

    def _builders(self, body: Mapping[str, Any]) -> list[str]:
        """Who builds a job."""
        free = [builder for builder in self.builders if builder not in body.get("not_on", [])]
        return free[: int(body.get("builds", 1))]

    def create(self, key: str, body: Mapping[str, Any], base_digest: str | None) -> Job:
        """A new job, its inputs pinned."""
        pipeline, dataset = self.pipeline(body["pipeline"]), self.dataset(body["dataset"])
        exclude = sorted(set(body.get("exclude", [])))
        inputs = {
            "pipeline": pipeline.name,
            "model": body["model"],
            "dataset": body["dataset"],
            "dataset_digest": dataset.snapshot.digest(),
            "rows": len(dataset.snapshot.without(exclude).rows),
            "exclude": exclude,
            "code_digest": pipeline.code_digest,
            "base_version": body["base_version"],
            "base_digest": base_digest,
            "seed": self.seed,
            "trainer": body["trainer"],
        }
        job = Job(
            f"job-{len(self.jobs) + 1:04}",
            key,
            dict(body),
            inputs,
            dataset.snapshot,
            self._builders(body),
            self.now(),
        )
        self.jobs[job.id] = job
        return job

    def cancel(self, job: Job) -> None:
        """Cancel a job; a cancelled one stays so.

        Raises:
            Refusal: It has ended otherwise, or is registering its version at this moment.
        """
        if job.state in ("succeeded", "failed") or job.phase == "registering":
            raise Refusal(409, "job_ended")
        self.end(job, "cancelled")

    def end(self, job: Job, state: str, *, error: str | None = None, result: dict[str, Any] | None = None) -> None:
        """Close a job."""
        job.state, job.phase, job.finished_at, job.result = state, "ended", self.now(), result
        job.error = {"code": error, "message": error.replace("_", " ")} if error else None

    def view(self) -> dict[str, Any]:
        """State without secrets."""
        return {
            "pipelines": {name: self.pipeline_view(pipeline) for name, pipeline in self.pipelines.items()},
            "datasets": {name: self.dataset_view(dataset) for name, dataset in self.datasets.items()},
            "jobs": [job.view() for job in self.jobs.values()],
        }

    def pipeline_view(self, pipeline: Pipeline) -> dict[str, Any]:
        """As the service answers."""
        open_ = [job.id for job in self.jobs.values() if job.state not in ENDED]
        running = [id_ for id_ in open_ if self.jobs[id_].inputs["pipeline"] == pipeline.name]
        return {
            "pipeline": pipeline.name,
            "code_digest": pipeline.code_digest,
            "running": running,
            "pauses": list(pipeline.marks.values()),
        }

    def dataset_view(self, dataset: Dataset) -> dict[str, Any]:
        """As the service answers."""
        taken = dataset.snapshot
        return {
            "dataset": taken.id,
            "digest": taken.digest(),
            "rows": len(taken.rows),
            "taken_at": taken.taken_at,
            "holds": list(dataset.marks.values()),
        }


def _digest(inputs: Mapping[str, Any]) -> str:
    """Of canonical JSON (RFC 8785): the inputs hold text, whole numbers and lists of text only."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
