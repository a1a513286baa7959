"""The interpreter's only way out: time, activities by name, signals to the incident.

Every timer and every ``now()`` of a run goes through ``Clock``, so that an exercise can pass time at its own
rate.
"""

from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy

from playbooks.contract import ActionCall, ActionFacts, ActionResult, Preview, RunContext
from workflows.gates import parse
from workflows.messages import (
    COMPUTE_CLOCKS,
    LOAD_OUTPUTS,
    LOAD_RUN,
    RECORD,
    WRITE_DRAFTS,
    ClocksInput,
    ClocksResult,
    DraftsInput,
    DraftsResult,
    LoadedOutputs,
    LoadInput,
    LoadRun,
    RecordInput,
    RecordResult,
    RunInput,
)

T = TypeVar("T")
NO_WORKER_AFTER = timedelta(seconds=60)
"""A task that nobody takes for so long means that no worker serves its queue."""

FOREVER = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=10),
)
QUICK = timedelta(seconds=10)


def stamp(instant: datetime) -> str:
    """RFC 3339 UTC with six decimals."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Clock:
    """World time: equal to real time in a live run, faster in a scaled exercise."""

    def __init__(self, context: RunContext) -> None:
        """``context.world_start`` is the world's instant at ``context.real_start``."""
        self._rate = context.rate
        self._world = parse(context.world_start) if context.world_start else None
        self._real = parse(context.real_start) if context.real_start else None

    def now(self) -> datetime:
        """The world's instant now."""
        real = workflow.now()
        if self._world is None or self._real is None:
            return real
        return self._world + (real - self._real) * self._rate

    def stamp(self) -> str:
        """The world's instant now, as text."""
        return stamp(self.now())

    def after(self, seconds: float) -> str:
        """The instant in so many world seconds."""
        return stamp(self.now() + timedelta(seconds=seconds))

    def real_until(self, instant: str) -> timedelta:
        """Real time left until a world instant, never negative."""
        left = (parse(instant) - self.now()) / self._rate
        return max(left, timedelta(0))


class Calls:
    """Activities by name, on the queues of one installation."""

    def __init__(self, queue_prefix: str) -> None:
        """Built-ins run on the queue ``queue_prefix``, actions on ``queue_prefix-DOMAIN``."""
        self._prefix = queue_prefix

    async def preview(self, facts: ActionFacts, call: ActionCall) -> Preview:
        """What the action would do now."""
        return await self._action(facts, call, Preview, None)

    async def act(self, facts: ActionFacts, call: ActionCall, within: float | None) -> ActionResult:
        """Apply, verify or undo. ``within`` bounds it with its retries, in seconds."""
        return await self._action(facts, call, ActionResult, within)

    async def _action(self, facts: ActionFacts, call: ActionCall, result_type: type[T], within: float | None) -> T:
        bound = timedelta(seconds=within or max(300, 4 * facts.timeout_seconds))
        answer: T = await workflow.execute_activity(
            call.action,
            call,
            result_type=result_type,
            task_queue=f"{self._prefix}-{facts.queue}",
            start_to_close_timeout=timedelta(seconds=facts.timeout_seconds),
            schedule_to_close_timeout=bound,
            schedule_to_start_timeout=min(NO_WORKER_AFTER, bound),
            heartbeat_timeout=timedelta(seconds=facts.heartbeat_seconds) if facts.heartbeat_seconds else None,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=500),
                backoff_coefficient=2,
                maximum_interval=timedelta(seconds=15),
            ),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        return answer

    async def record(self, entries: RecordInput) -> RecordResult:
        """Write entries, notices and a snapshot; waits as long as the store is away."""
        return await self._builtin(RECORD, entries, RecordResult)

    async def load_outputs(self, wanted: LoadInput) -> LoadedOutputs:
        """Outputs that were stored by reference."""
        return await self._builtin(LOAD_OUTPUTS, wanted, LoadedOutputs)

    async def load_run(self, wanted: LoadRun) -> RunInput:
        """A run's saved input."""
        return await self._builtin(LOAD_RUN, wanted, RunInput)

    async def compute_clocks(self, wanted: ClocksInput) -> ClocksResult:
        """Every regulator's clock of an incident."""
        return await self._builtin(COMPUTE_CLOCKS, wanted, ClocksResult)

    async def write_drafts(self, wanted: DraftsInput) -> DraftsResult:
        """Drafts of notifications, stored; nothing is sent."""
        return await self._builtin(WRITE_DRAFTS, wanted, DraftsResult)

    async def _builtin(self, name: str, argument: BaseModel, result_type: type[T]) -> T:
        answer: T = await workflow.execute_activity(
            name,
            argument,
            result_type=result_type,
            task_queue=self._prefix,
            start_to_close_timeout=QUICK,
            retry_policy=FOREVER,
        )
        return answer
