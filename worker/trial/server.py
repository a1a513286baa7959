"""Virtual time: a workflow with its timers, activities, signals and updates, over as many executions as it takes.

Nothing waits. When the workflow has nothing to do, time moves on to the next timer or answer, so a run of a week
takes milliseconds, and always the same way.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from temporalio.api.common.v1 import Payload
from temporalio.bridge.proto.activity_result import ActivityResolution, Cancellation, Failure, Success
from temporalio.bridge.proto.child_workflow import ChildWorkflowResult
from temporalio.bridge.proto.child_workflow import Failure as ChildFailure
from temporalio.bridge.proto.child_workflow import Success as ChildSuccess
from temporalio.bridge.proto.workflow_activation import (
    CancelWorkflow,
    DoUpdate,
    FireTimer,
    ResolveActivity,
    ResolveChildWorkflowExecution,
    ResolveChildWorkflowExecutionStart,
    ResolveChildWorkflowExecutionStartSuccess,
    ResolveRequestCancelExternalWorkflow,
    ResolveSignalExternalWorkflow,
    SignalWorkflow,
    WorkflowActivationJob,
)
from temporalio.bridge.proto.workflow_commands import ScheduleActivity, WorkflowCommand
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    FailureError,
    RetryState,
    TimeoutError,
    TimeoutType,
)

from worker.trial.execution import Execution, TaskFailed, failure, payload, seconds, value

T = TypeVar("T")
MAX_TURNS = 100_000
FOREVER = 10 * 365 * 86_400.0
ENDS = frozenset(
    {
        "complete_workflow_execution",
        "fail_workflow_execution",
        "cancel_workflow_execution",
        "continue_as_new_workflow_execution",
    }
)
QUIET = frozenset({"set_patch_marker", "upsert_workflow_search_attributes", "modify_workflow_properties"})
"""Commands to which nothing answers."""


class Endless(Exception):
    """The run does not come to an end."""


@dataclass(frozen=True)
class Task:
    """An activity to perform: which attempt, and when."""

    name: str
    argument: Payload
    attempt: int
    at: datetime

    def read(self, type_: type[T]) -> T:
        """Its input."""
        return value(self.argument, type_)


@dataclass(frozen=True)
class Answer:
    """How one attempt of an activity ended, after how many seconds: with a result or an error."""

    result: Any = None
    error: FailureError | None = None
    seconds: float = 0


class Outside(Protocol):
    """Everything beyond the workflow."""

    def perform(self, task: Task) -> Answer:
        """Perform one attempt of an activity."""
        ...

    def child(self, kind: str, argument: Payload | None) -> Answer:
        """Run a workflow of another kind to its end."""
        ...

    def signalled(self, workflow_id: str, name: str, argument: Payload | None) -> FailureError | None:
        """Take a signal to another workflow; an error if there is none."""
        ...


@dataclass(order=True)
class _Due:
    at: datetime
    order: int
    do: Callable[[], None] = field(compare=False)
    mark: tuple[str, int] | None = field(compare=False, default=None)


class Server:
    """One workflow and its time.

    Args:
        kind: The workflow's class.
        workflow_id: Its id.
        given: Its input.
        outside: What performs its activities.
        now: The first instant.
        choose: Chooses among so many things that are due at the same instant, by number; else the first.
    """

    def __init__(
        self,
        kind: type,
        workflow_id: str,
        given: Any,
        outside: Outside,
        now: datetime,
        *,
        choose: Callable[[int], int] = lambda many: 0,
    ) -> None:
        self._kind, self._id, self._outside, self._choose = kind, workflow_id, outside, choose
        self.now, self.executions, self.turns = now, 0, 0
        self.result: Payload | None = None
        self.failed = ""
        self.ended = False
        self._agenda: list[_Due] = []
        self._order = itertools.count()
        self._updates: dict[str, Payload | str] = {}
        self._execution: Execution
        self._start([payload(given)])

    # --- what a caller does ------------------------------------------------------------------

    def step(self, until: datetime | None = None) -> bool:
        """Bring the next thing that is due; ``False`` if there is none (before ``until``).

        Raises:
            TaskFailed: The workflow's code broke off.
            Endless: It has taken far too many turns.
        """
        at = self.next_at()
        if at is None or (until is not None and at > until):
            return False
        due = self._next()
        self.now = max(self.now, due.at)
        due.do()
        return True

    def next_at(self) -> datetime | None:
        """When the next thing is due."""
        return self._agenda[0].at if self._agenda and not self.ended else None

    def update(self, name: str, argument: Any, result: type[T], update_id: str) -> T:
        """Send an update and return its answer.

        Raises:
            TaskFailed: It was not answered at once.
        """
        request = DoUpdate(
            id=update_id,
            protocol_instance_id=update_id,
            name=name,
            input=[payload(argument)],
            run_validator=True,
        )
        self._turn(0, do_update=request)
        answer = self._updates.pop(update_id, None)
        if not isinstance(answer, Payload):
            raise TaskFailed(f"The update {name} was not taken: {answer or 'no answer'}")
        return value(answer, result)

    def signal(self, name: str, argument: Any) -> None:
        """Send a signal."""
        self._turn(1, signal_workflow=SignalWorkflow(signal_name=name, input=[payload(argument)]))

    def cancel(self) -> None:
        """Request its cancellation."""
        self._turn(1, cancel_workflow=CancelWorkflow(reason="requested"))

    def query(self, name: str, result: type[T]) -> T:
        """Ask; works after its end, too."""
        return value(self._execution.query(name, self.now), result)

    def die(self) -> None:
        """Let the worker die and another one take over.

        Raises:
            Diverged: The code went another way over the same history.
        """
        if not self.ended:
            self._execution.die()

    def close(self) -> None:
        """Let go of the instance."""
        self._execution.close()

    # --- turns ---------------------------------------------------------------------------------

    def _start(self, arguments: list[Payload]) -> None:
        self._agenda.clear()
        self._execution = Execution(self._kind, self._id, self.executions, arguments, self.now)
        self.executions += 1
        self._obey(self._execution.start())

    def _next(self) -> _Due:
        due = heapq.heappop(self._agenda)
        same = [due]
        while self._agenda and self._agenda[0].at <= max(due.at, self.now):
            same.append(heapq.heappop(self._agenda))
        chosen = same.pop(self._choose(len(same)))
        for other in same:
            heapq.heappush(self._agenda, other)
        return chosen

    def _turn(self, events: int, **job: Any) -> None:
        self.turns += 1
        if self.turns > MAX_TURNS:
            raise Endless(f"The run took more than {MAX_TURNS} turns; it does not come to an end.")
        self._obey(self._execution.turn(WorkflowActivationJob(**job), at=self.now, events=events))

    def _obey(self, commands: list[WorkflowCommand]) -> None:
        ends = None
        for command in commands:
            if command.WhichOneof("variant") in ENDS:
                ends = command
            else:
                self._take(command)
        if ends is None:
            return
        if ends.HasField("continue_as_new_workflow_execution"):
            self._execution.close()
            self._start(list(ends.continue_as_new_workflow_execution.arguments))
            return
        self.ended = True
        self._agenda.clear()
        if ends.HasField("complete_workflow_execution"):
            self.result = ends.complete_workflow_execution.result
        elif ends.HasField("fail_workflow_execution"):
            self.failed = ends.fail_workflow_execution.failure.message
        else:
            self.failed = "cancelled"

    def _take(self, command: WorkflowCommand) -> None:
        kind = command.WhichOneof("variant")
        if kind == "start_timer":
            timer = command.start_timer
            fired = FireTimer(seq=timer.seq)
            self._put(seconds(timer.start_to_fire_timeout), ("timer", timer.seq), fire_timer=fired)
        elif kind == "cancel_timer":
            self._drop(("timer", command.cancel_timer.seq))
        elif kind == "schedule_activity":
            self._attempt(command.schedule_activity, 1, self.now)
        elif kind == "request_cancel_activity":
            seq = command.request_cancel_activity.seq
            self._drop(("activity", seq))
            gone = Cancellation(failure=failure(CancelledError("cancelled")))
            self._resolve(seq, 0, ActivityResolution(cancelled=gone))
        elif kind == "signal_external_workflow_execution":
            self._signal(command)
        elif kind == "start_child_workflow_execution":
            self._child(command)
        elif kind == "request_cancel_external_workflow_execution":
            seq = command.request_cancel_external_workflow_execution.seq
            asked = ResolveRequestCancelExternalWorkflow(seq=seq)
            self._put(0, None, resolve_request_cancel_external_workflow=asked)
        elif kind == "update_response":
            answer = command.update_response
            if answer.HasField("completed"):
                self._updates[answer.protocol_instance_id] = answer.completed
            elif answer.HasField("rejected"):
                self._updates[answer.protocol_instance_id] = answer.rejected.message
        elif kind not in QUIET:
            raise TaskFailed(f"Nothing here answers {kind}.")

    def _put(self, after: float, mark: tuple[str, int] | None, events: int = 1, **job: Any) -> None:
        self._later(after, lambda: self._turn(events, **job), mark)

    def _later(self, after: float, do: Callable[[], None], mark: tuple[str, int] | None) -> None:
        heapq.heappush(self._agenda, _Due(self.now + timedelta(seconds=after), next(self._order), do, mark))

    def _drop(self, mark: tuple[str, int]) -> None:
        self._agenda = [due for due in self._agenda if due.mark != mark]
        heapq.heapify(self._agenda)

    # --- activities and other workflows -----------------------------------------------------------

    def _attempt(self, wanted: ScheduleActivity, attempt: int, first: datetime) -> None:
        answer = self._outside.perform(Task(wanted.activity_type, wanted.arguments[0], attempt, self.now))
        if answer.error is None:
            done = ActivityResolution(completed=Success(result=payload(answer.result)))
            self._resolve(wanted.seq, answer.seconds, done)
            return
        pause = _pause(wanted, attempt, answer.error)
        spent = (self.now - first).total_seconds() + answer.seconds
        limit = seconds(wanted.schedule_to_close_timeout) or FOREVER
        if pause is not None and spent + pause < limit:
            again = partial(self._attempt, wanted, attempt + 1, first)
            self._later(answer.seconds + pause, again, ("activity", wanted.seq))
            return
        failed = Failure(failure=failure(_activity_error(wanted, answer.error)))
        self._resolve(wanted.seq, answer.seconds, ActivityResolution(failed=failed))

    def _resolve(self, seq: int, after: float, result: ActivityResolution) -> None:
        resolved = ResolveActivity(seq=seq, result=result)
        self._put(after, ("activity", seq), 2, resolve_activity=resolved)

    def _signal(self, command: WorkflowCommand) -> None:
        sent = command.signal_external_workflow_execution
        error = self._outside.signalled(
            sent.workflow_execution.workflow_id, sent.signal_name, sent.args[0] if sent.args else None
        )
        resolved = ResolveSignalExternalWorkflow(seq=sent.seq)
        if error is not None:
            resolved.failure.CopyFrom(failure(error))
        self._put(0, None, resolve_signal_external_workflow=resolved)

    def _child(self, command: WorkflowCommand) -> None:
        wanted = command.start_child_workflow_execution
        answer = self._outside.child(wanted.workflow_type, wanted.input[0] if wanted.input else None)
        begun = ResolveChildWorkflowExecutionStartSuccess(run_id=f"{wanted.workflow_id}#0")
        started = ResolveChildWorkflowExecutionStart(seq=wanted.seq, succeeded=begun)
        self._put(0, None, resolve_child_workflow_execution_start=started)
        if answer.error is None:
            result = ChildWorkflowResult(completed=ChildSuccess(result=payload(answer.result)))
        else:
            error = ChildWorkflowError(
                "child workflow failed",
                namespace="",
                workflow_id=wanted.workflow_id,
                run_id="",
                workflow_type=wanted.workflow_type,
                initiated_event_id=0,
                started_event_id=0,
                retry_state=RetryState.NON_RETRYABLE_FAILURE,
            )
            error.__cause__ = answer.error
            result = ChildWorkflowResult(failed=ChildFailure(failure=failure(error)))
        ended = ResolveChildWorkflowExecution(seq=wanted.seq, result=result)
        self._put(answer.seconds, None, resolve_child_workflow_execution=ended)


def _pause(wanted: ScheduleActivity, attempt: int, error: FailureError) -> float | None:
    """Seconds until the next attempt; ``None`` if there is none."""
    if isinstance(error, ApplicationError):
        if error.non_retryable:
            return None
        if error.next_retry_delay is not None:
            return error.next_retry_delay.total_seconds()
    elif not isinstance(error, TimeoutError) or error.type is not TimeoutType.START_TO_CLOSE:
        return None
    policy = wanted.retry_policy
    if policy.maximum_attempts and attempt >= policy.maximum_attempts:
        return None
    pause = seconds(policy.initial_interval) * policy.backoff_coefficient ** (attempt - 1)
    longest = seconds(policy.maximum_interval)
    return min(pause, longest) if longest else pause


def _activity_error(wanted: ScheduleActivity, cause: FailureError) -> ActivityError:
    error = ActivityError(
        "activity failed",
        scheduled_event_id=0,
        started_event_id=0,
        identity="trial",
        activity_type=wanted.activity_type,
        activity_id=wanted.activity_id,
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    error.__cause__ = cause
    return error
