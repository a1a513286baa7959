"""Actions that train a clean version: start a job with pinned inputs, follow it to its end, collect its metrics.

What a job uses is pinned before it starts (dataset, code, base version, rows left out) and named by one digest, so
that a version can be traced to exactly what it was made of (facts §6.1, G2 and G4; NIST AI 600-1, provenance).
"""

import json
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import Field

from activities.action import Action, Applied, Params, Proposal, Result, Targets, action
from activities.context import ActionContext
from activities.errors import Conflict, Rejected, Timeout, Unavailable
from activities.systems.training.actions_hold import OWNER
from activities.systems.training.models import Dataset, Job, Order, Pipeline
from playbooks.contract import Affected, Idempotency, Items, Json, Preview, Risk

PATIENCE = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)
"""Seconds between looks at a job while the service does not answer; then the attempt ends as not answered."""


class StartJobParams(Params):
    """What to train on what.

    ``exclude`` are rows that the job must not use. ``trainer`` is the person in whose name it trains, who may not
    approve the release. ``dataset_digest``: refuse to start on another state of the dataset than this. ``not_on`` are
    builders that must not build it; ``builds``, on how many different ones it is built, each for itself.
    """

    pipeline: str
    model: str
    dataset: str
    base_version: str
    exclude: Targets | None = None
    trainer: str = "stanch"
    dataset_digest: str | None = None
    not_on: list[str] = []
    builds: int = Field(default=1, ge=1, le=3)


class JobStarted(Result):
    """The job, and the digest of all that it uses."""

    job: str
    inputs_digest: str


@action(
    "training.start_job",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.KEYED,
    reversible=True,
    scopes=("start",),
    timeout=timedelta(minutes=2),
)
class StartJob(Action[StartJobParams, JobStarted]):
    """Start a training job."""

    def preview(self, params: StartJobParams, ctx: ActionContext) -> Proposal:
        """What it would use, read live; a job of this very step that was started before is found again."""
        order, dataset, pipeline = self._order(params, ctx)
        known = ctx.client.job_of(ctx.key)
        left = len(order.exclude)
        impact = [
            f"trains {order.model} on {dataset.rows} rows of {dataset.name} less {left} left out",
            f"from version {order.base_version}, in the name of {order.trainer}",
            *([f"on {order.builds} builders, each for itself, to compare them"] if order.builds > 1 else ()),
            *([f"not on {', '.join(order.not_on)}"] if order.not_on else ()),
            "a started job can be cancelled; the computing time it used is used",
        ]
        others = sorted({mark.holder for mark in (*dataset.holds, *pipeline.pauses)} - {order.holder})
        if others:
            impact.append("the service will refuse it: held or paused by another incident too")
        preview = Preview(
            summary=f"Start a training job of {order.pipeline} on {order.dataset} ({order.dataset_digest[:12]})",
            count=0 if known else 1,
            already=1 if known else 0,
            sample=(order.pipeline,),
            impact=tuple(impact),
            reversible=True,
        )
        return Proposal(preview, undo_args={"key": ctx.key})

    def apply(self, params: StartJobParams, ctx: ActionContext, proposal: Proposal) -> Applied[JobStarted]:
        """Start it under this step's key: however often it is asked, it is started once.

        Raises:
            Conflict: The service holds other inputs than it was asked to use. The job was cancelled.
        """
        known = ctx.client.job_of(ctx.key)
        if known is not None:
            return self._started(known, ctx)
        order, dataset, _ = self._order(params, ctx)
        job: Job = ctx.client.start(order, ctx.key)
        ctx.sent()
        wrong = _unlike(job, order)
        if wrong:
            if not job.ended:
                ctx.client.cancel(job.id)
            raise Conflict(
                f"The training service says that the job uses another {', '.join(wrong)} than it was asked to. "
                "The job was cancelled. Look at the service before anything is trained there."
            )
        absent = len(order.exclude) - (dataset.rows - int(job.inputs["rows"]))
        warnings = () if not absent else (f"{absent} of the rows to be left out are not in the dataset",)
        return self._started(job, ctx, warnings)

    def verify(self, params: StartJobParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether the job is there."""
        job = ctx.client.job_of(ctx.key)
        return job is not None and job.pinned

    def settled(self, params: StartJobParams, ctx: ActionContext, proposal: Proposal) -> Applied[JobStarted]:
        """The job that an attempt started whose answer was lost."""
        job = ctx.client.job_of(ctx.key)
        if job is None:
            raise Unavailable("The training service no longer shows the job that was started. Look there.")
        return self._started(job, ctx)

    def preview_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Proposal:
        """Whether there is still something to cancel."""
        job = ctx.client.job_of(str(undo_args["key"]))
        open_ = job is not None and not job.ended
        gone = () if open_ or job is None or job.state == "cancelled" else (f"{job.id}: it has {job.state} already",)
        summary = f"Cancel {'1 job' if open_ else 'no job'} of {self.facts.title.lower()}"
        sample = (job.id,) if job and open_ else ()
        return Proposal(Preview(summary=summary, count=int(open_), sample=sample, reversible=True, excluded=gone))

    def undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> Applied[JobStarted]:
        """Cancel the job. One that has ended stays as it ended: a version it registered is nowhere served by that."""
        job = ctx.client.job_of(str(undo_args["key"]))
        if job is None or job.state == "cancelled":
            return Applied(summary="no job was left to cancel", items=Items(already=1))
        if not job.ended:
            try:
                job = ctx.client.cancel(job.id)
                ctx.sent()
            except Conflict:
                job = ctx.client.job(job.id)
        if job.state == "cancelled":
            return Applied(
                changed=True,
                summary="1 job cancelled",
                affected=Affected(count=1, sample=(job.id,)),
                items=Items(done=1),
            )
        warning = f"the job had {job.state} before it could be cancelled"
        if job.version:
            warning += "; the version that it registered is still in the registry"
        failures = (f"{job.id}: ended_before",)
        return Applied(summary=warning, items=Items(unknown=1, failures=failures), warnings=(warning,))

    def verify_undo(self, undo_args: Mapping[str, Json], ctx: ActionContext) -> bool | None:
        """Whether no job goes on or has registered a version."""
        job = ctx.client.job_of(str(undo_args["key"]))
        return job is None or job.state in ("cancelled", "failed")

    def _order(self, params: StartJobParams, ctx: ActionContext) -> tuple[Order, Dataset, Pipeline]:
        dataset: Dataset = ctx.client.dataset(params.dataset)
        pipeline: Pipeline = ctx.client.pipeline(params.pipeline)
        if params.dataset_digest not in (None, dataset.digest):
            raise Conflict(
                f"The dataset {dataset.name} is not in the state that was asked for: its digest is another. "
                "Nothing was started. Compare it again, then start with the new digest."
            )
        exclude = tuple(str(row["id"]) for row in ctx.rows(params.exclude)) if params.exclude is not None else ()
        order = Order(
            pipeline=pipeline.name,
            model=params.model,
            dataset=dataset.name,
            base_version=params.base_version,
            exclude=tuple(dict.fromkeys(exclude)),
            trainer=params.trainer,
            holder=ctx.call.incident,
            dataset_digest=dataset.digest,
            code_digest=pipeline.code_digest,
            not_on=tuple(params.not_on),
            builds=params.builds,
        )
        return order, dataset, pipeline

    def _started(self, job: Job, ctx: ActionContext, warnings: tuple[str, ...] = ()) -> Applied[JobStarted]:
        _keep(job, ctx, "training.inputs")
        return Applied(
            JobStarted(job=job.id, inputs_digest=job.inputs_digest),
            changed=True,
            summary="1 training job started",
            affected=Affected(count=1, sample=(job.id,)),
            warnings=warnings,
        )


class OneJob(Params):
    """Which job."""

    job: str


class FollowJobParams(OneJob):
    """Which job; it is followed until it ends. ``not_on`` are builders whose work is not trusted."""

    not_on: list[str] = []


class JobEnded(Result):
    """How it ended: ``succeeded``, ``failed`` or ``cancelled``; version and run are empty text unless it succeeded.

    ``trusted``: every build was made in isolation by a builder that is not named in ``not_on``. ``reproduced``: two
    builders made the very same release, whose digest is ``release_digest``. Where the service says nothing, neither is.
    """

    status: str
    inputs_digest: str
    version: str = ""
    run: str = ""
    finished_at: datetime | None = None
    builders: list[str] = []
    trusted: bool = False
    reproduced: bool = False
    release_digest: str = ""


@action("training.follow_job", risk=Risk.READ, owner=OWNER, scopes=("read",), timeout=timedelta(hours=2))
class FollowJob(Action[FollowJobParams, JobEnded]):
    """Follow a training job to its end."""

    def apply(self, params: FollowJobParams, ctx: ActionContext, proposal: Proposal) -> Applied[JobEnded]:
        """Look until it has ended; a later attempt simply looks on.

        Raises:
            Rejected: The service lists other inputs than the digest names; nothing about the job can be relied on.
            Timeout, Unavailable: It has not answered for a minute.
        """
        silent = 0
        wait = 0.0
        while True:
            try:
                job: Job = ctx.client.job(params.job, wait)
            except (Timeout, Unavailable):
                if silent >= len(PATIENCE) or ctx.stopping():
                    raise
                _pause(PATIENCE[silent], ctx)
                silent += 1
                continue
            silent, wait = 0, ctx.client.config.poll_seconds
            ctx.progress({"job": job.id, "state": job.state, "phase": job.phase})
            if job.ended:
                return self._ended(job, params, ctx)
            if ctx.stopping():
                output = JobEnded(status=job.state, inputs_digest=job.inputs_digest)
                return Applied(output, summary=f"stopped following; the job is {job.state}", final=False)

    def _ended(self, job: Job, params: FollowJobParams, ctx: ActionContext) -> Applied[JobEnded]:
        if not job.pinned:
            raise Rejected(
                "The inputs that the training service lists are not those that the job's digest names. "
                "Do not use what it made. Look at the service."
            )
        _keep(job, ctx, "training.job")
        warnings = []
        if job.state != "succeeded":
            warnings.append(f"the job has {job.state}" + (f" ({job.problem})" if job.problem else ""))
        elif job.version is None or job.run is None:
            warnings.append("the job says that it succeeded, but names no version or run")
        return Applied(
            JobEnded(
                status=job.state,
                inputs_digest=job.inputs_digest,
                version=job.version or "",
                run=job.run or "",
                finished_at=job.finished_at,
                builders=[build.builder for build in job.builds],
                trusted=job.trusted(params.not_on),
                reproduced=job.reproduced,
                release_digest=job.builds[0].release_digest if job.builds else "",
            ),
            summary=f"the training job has {job.state}",
            warnings=tuple(warnings),
        )


class CollectMetricsParams(OneJob):
    """Which job."""


class MetricsCollected(Result):
    """What the job measured. For the gate, read them from the registry's run instead: a job praises itself."""

    metrics: dict[str, float]
    run: str
    version: str


@action("training.collect_metrics", risk=Risk.READ, owner=OWNER, scopes=("read",))
class CollectMetrics(Action[CollectMetricsParams, MetricsCollected]):
    """Collect what a training job measured."""

    def apply(self, params: CollectMetricsParams, ctx: ActionContext, proposal: Proposal) -> Applied[MetricsCollected]:
        """The metrics of a job that succeeded."""
        job: Job = ctx.client.job(params.job)
        _keep(job, ctx, "training.metrics")
        warnings = () if job.state == "succeeded" else (f"the job is {job.state}: there are no final metrics",)
        return Applied(
            MetricsCollected(metrics=dict(job.metrics), run=job.run or "", version=job.version or ""),
            summary=f"{len(job.metrics)} metrics read",
            warnings=warnings,
        )


def _unlike(job: Job, order: Order) -> list[str]:
    """What the service pinned otherwise than it was asked."""
    asked = {
        "pipeline": order.pipeline,
        "model": order.model,
        "dataset": order.dataset,
        "dataset_digest": order.dataset_digest,
        "code_digest": order.code_digest,
        "base_version": order.base_version,
        "exclude": sorted(order.exclude),
        "trainer": order.trainer,
    }
    wrong = [name for name, value in asked.items() if job.inputs.get(name) != value]
    return wrong if wrong or job.pinned else ["inputs_digest"]


def _keep(job: Job, ctx: ActionContext, name: str) -> None:
    kept = {
        "job": job.id,
        "state": job.state,
        "inputs": dict(job.inputs),
        "inputs_digest": job.inputs_digest,
        "version": job.version,
        "run": job.run,
        "metrics": dict(job.metrics),
        "builds": [vars(build) for build in job.builds],
    }
    ctx.put(json.dumps(kept, sort_keys=True).encode(), name=name)


def _pause(seconds: float, ctx: ActionContext) -> None:
    """Wait, in steps short enough to hear a stop."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not ctx.stopping():
        time.sleep(min(left, 0.5))


ACTIONS = (StartJob, FollowJob, CollectMetrics)
