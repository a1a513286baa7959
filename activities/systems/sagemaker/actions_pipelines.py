"""SageMaker actions on pipelines: start one with its inputs pinned, follow it to its end."""

import hashlib
import re
import time
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field, field_validator

from activities.action import Action, Applied, Params, Proposal, Result, action
from activities.context import ActionContext
from activities.systems.aws.declared import OWNER
from playbooks.contract import Affected, Idempotency, Preview, Risk

RUNNING = ("Executing", "Stopping")
LONGEST_PAUSE = 15.0


class StartPipelineParams(Params):
    """Which pipeline, and its parameters as ``NAME=VALUE``."""

    pipeline: str
    parameters: list[str] = Field(default=[])

    @field_validator("parameters")
    @classmethod
    def _pairs(cls, pairs: list[str]) -> list[str]:
        if any(not re.match(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}=", pair) for pair in pairs):
            raise ValueError("write each as NAME=VALUE")
        return pairs


class PipelineStarted(Result):
    """ARN of the execution."""

    execution: str


@action(
    "sagemaker.start_pipeline",
    risk=Risk.CHANGE,
    owner=OWNER,
    idempotency=Idempotency.KEYED,
    irreversible="what a pipeline has used and made by then stays; stop what still runs with StopPipelineExecution",
    scopes=(
        "sagemaker:DescribePipeline",
        "sagemaker:ListPipelineExecutions",
        "sagemaker:StartPipelineExecution",
        "sagemaker:DescribePipelineExecution",
    ),
)
class StartPipeline(Action[StartPipelineParams, PipelineStarted]):
    """Start a pipeline.

    Its execution's display name is derived from the step, so that a retry finds it and starts no second one.
    """

    def preview(self, params: StartPipelineParams, ctx: ActionContext) -> Proposal:
        """That it is there, and with what it would run."""
        ctx.client.pipeline(params.pipeline)
        names = ", ".join(pair.partition("=")[0] for pair in params.parameters)
        preview = Preview(
            summary="Start a pipeline: 1 execution",
            count=1,
            sample=(params.pipeline,),
            impact=(f"one execution of {params.pipeline} with {names or 'its default parameters'}",),
            irreversible_because=self.facts.irreversible_because,
        )
        return Proposal(preview)

    def apply(self, params: StartPipelineParams, ctx: ActionContext, proposal: Proposal) -> Applied[PipelineStarted]:
        """Start it, unless a lost attempt did."""
        name, token = _names(ctx)
        arn = ctx.client.started(params.pipeline, name) if ctx.prior else None
        fresh = arn is None
        if arn is None:
            pairs = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in params.parameters]
            arn = ctx.client.start(params.pipeline, name, token, pairs)
            ctx.sent()
        return Applied(
            PipelineStarted(execution=arn),
            changed=True,
            summary="1 execution started" if fresh else "1 execution, started by an attempt whose answer was lost",
            affected=Affected(count=1, sample=(arn,)),
        )

    def verify(self, params: StartPipelineParams, ctx: ActionContext, proposal: Proposal) -> bool | None:
        """Whether the execution is there."""
        return ctx.client.started(params.pipeline, _names(ctx)[0]) is not None


def _names(ctx: ActionContext) -> tuple[str, str]:
    """Display name and request token of the step's execution: the same in each of its attempts."""
    digest = hashlib.sha256(ctx.key.encode()).hexdigest()
    return f"stanch-{digest[:16]}", digest


class FollowPipelineParams(Params):
    """Which execution, by ARN."""

    execution: str


class PipelineEnded(Result):
    """How it ended: ``succeeded``, ``failed`` or ``stopped``."""

    status: str
    finished_at: datetime | None = None


@action(
    "sagemaker.follow_pipeline",
    risk=Risk.READ,
    owner=OWNER,
    scopes=("sagemaker:DescribePipelineExecution",),
    timeout=timedelta(hours=2),
)
class FollowPipeline(Action[FollowPipelineParams, PipelineEnded]):
    """Follow a pipeline's execution to its end."""

    def apply(self, params: FollowPipelineParams, ctx: ActionContext, proposal: Proposal) -> Applied[PipelineEnded]:
        """Look again and again, ever more seldom."""
        pause = 0.1
        while True:
            found: Any = ctx.client.execution(params.execution)
            ctx.progress({"status": found.status})
            if found.status not in RUNNING:
                break
            if ctx.stopping():
                return Applied(summary="stopped early", final=False)
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        ended = PipelineEnded(status=found.status.lower(), finished_at=found.ended)
        return Applied(ended, summary=f"the execution ended: {ended.status}")


ACTIONS = (StartPipeline, FollowPipeline)
