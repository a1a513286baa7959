"""One execution of a workflow, in this process: Temporal's own workflow instance, with the server's part played here.

The only module that knows how Temporal drives workflow code (activations in, commands out). It relies on parts of the
SDK that are not promised to stay; the version is pinned, and ``docs/decisions`` says why this is worth it.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from google.protobuf.duration_pb2 import Duration
from temporalio import workflow
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.bridge.proto.workflow_activation import (
    InitializeWorkflow,
    NotifyHasPatch,
    QueryWorkflow,
    RemoveFromCache,
    WorkflowActivation,
    WorkflowActivationJob,
)
from temporalio.bridge.proto.workflow_commands import WorkflowCommand
from temporalio.common import Priority, SearchAttributes, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DefaultFailureConverter
from temporalio.exceptions import FailureError
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInterceptorClassInput
from temporalio.worker._workflow_instance import WorkflowInstance, WorkflowInstanceDetails

from worker.interceptors import WellFormed

T = TypeVar("T")
NAMESPACE = "trial"
QUEUE = "trial"
EVENT_BYTES = 120
"""What an event weighs in a history beside its payloads, roughly."""
CONVERTER = pydantic_data_converter.payload_converter_class()
FAILURES = DefaultFailureConverter()
DOOR = WellFormed().workflow_interceptor_class(WorkflowInterceptorClassInput(unsafe_extern_functions={}))


class TaskFailed(Exception):
    """The workflow's code broke off where it never may: a bug, which would leave a real run standing still."""


class Diverged(TaskFailed):
    """Run again over the same history, the workflow's code asked for something else."""


def payload(value: Any) -> Payload:
    """A value on the wire."""
    return CONVERTER.to_payload(value)


def value(given: Payload, type_: type[T]) -> T:
    """A value from the wire."""
    read: T = CONVERTER.from_payload(given, type_)
    return read


def failure(error: FailureError) -> Any:
    """A failure on the wire."""
    from temporalio.api.failure.v1 import Failure

    written = Failure()
    FAILURES.to_failure(error, CONVERTER, written)
    return written


def seconds(given: Duration) -> float:
    """A length of time on the wire."""
    return given.ToNanoseconds() / 1e9


@dataclass
class _Turn:
    """An activation, and the commands that it brought."""

    activation: WorkflowActivation
    commands: list[bytes]


@dataclass
class History:
    """How long a history is by now, as the server counts."""

    events: int = 1
    size: int = 0
    turns: list[_Turn] = field(default_factory=list)
    patches: list[str] = field(default_factory=list)


class Execution:
    """From a start, or a continue-as-new, to the command that ends it.

    Args:
        kind: The workflow's class.
        workflow_id: Its id; ``number`` tells its executions apart.
        arguments: Its input on the wire.
        now: The instant of its start.
    """

    def __init__(self, kind: type, workflow_id: str, number: int, arguments: Sequence[Payload], now: datetime) -> None:
        definition = workflow._Definition.from_class(kind)
        assert definition is not None
        self._definition = definition
        self.workflow_id, self.run_id, self.started = workflow_id, f"{workflow_id}#{number}", now
        self.history = History(size=_size(arguments))
        self._instance = self._new()
        self._begin = InitializeWorkflow(
            workflow_type=definition.name or "",
            workflow_id=workflow_id,
            arguments=arguments,
            randomness_seed=1,
            attempt=1,
            first_execution_run_id=f"{workflow_id}#0",
        )
        self._begin.start_time.FromDatetime(now)

    def start(self) -> list[WorkflowCommand]:
        """Give it its first turn."""
        return self.turn(WorkflowActivationJob(initialize_workflow=self._begin), at=self.started, events=0)

    def turn(self, *jobs: WorkflowActivationJob, at: datetime, events: int) -> list[WorkflowCommand]:
        """Bring jobs, which stand for so many events of the history; the commands that they lead to.

        Raises:
            TaskFailed: The code broke off.
        """
        history = self.history
        history.events += events + 2
        history.size += EVENT_BYTES * (events + 2) + sum(job.ByteSize() for job in jobs)
        act = WorkflowActivation(
            run_id=self.run_id,
            jobs=jobs,
            history_length=history.events,
            history_size_bytes=history.size,
        )
        act.timestamp.FromDatetime(at)
        commands = self._activate(act)
        history.turns.append(_Turn(act, [command.SerializeToString(deterministic=True) for command in commands]))
        history.patches += [
            command.set_patch_marker.patch_id for command in commands if command.HasField("set_patch_marker")
        ]
        history.events += 1 + sum(not command.HasField("respond_to_query") for command in commands)
        history.size += EVENT_BYTES * (1 + len(commands)) + sum(command.ByteSize() for command in commands)
        return commands

    def query(self, name: str, at: datetime) -> Payload:
        """Ask, which leaves no trace."""
        job = WorkflowActivationJob(query_workflow=QueryWorkflow(query_id="q", query_type=name))
        act = WorkflowActivation(run_id=self.run_id, jobs=[job], history_length=self.history.events)
        act.timestamp.FromDatetime(at)
        for command in self._activate(act):
            if command.HasField("respond_to_query"):
                answer = command.respond_to_query
                if answer.HasField("succeeded"):
                    return answer.succeeded.response
                raise TaskFailed(answer.failed.message)
        raise TaskFailed(f"The query {name} was not answered.")

    def die(self) -> None:
        """Lose the instance as a worker's death does, and build it anew from the history.

        Raises:
            Diverged: The code went another way this time.
        """
        self.close()
        self._instance = self._new()
        for number, turn in enumerate(self.history.turns):
            act = WorkflowActivation()
            act.CopyFrom(turn.activation)
            act.is_replaying = True
            if number == 0:
                marks = [NotifyHasPatch(patch_id=name) for name in dict.fromkeys(self.history.patches)]
                act.jobs.extend(WorkflowActivationJob(notify_has_patch=mark) for mark in marks)
            again = self._activate(act)
            made = [command.SerializeToString(deterministic=True) for command in again]
            if made != turn.commands:
                raise Diverged(_difference(turn.commands, again, number))

    def close(self) -> None:
        """Let go of what the instance holds."""
        job = WorkflowActivationJob(remove_from_cache=RemoveFromCache(message="closed"))
        with _alone():
            self._instance.activate(WorkflowActivation(run_id=self.run_id, jobs=[job]))

    def _activate(self, act: WorkflowActivation) -> list[WorkflowCommand]:
        with _alone():
            done = self._instance.activate(act)
        if done.HasField("failed"):
            told = done.failed.failure
            while told.HasField("cause"):
                told = told.cause
            raise TaskFailed(f"{told.message}\n{told.stack_trace}")
        return list(done.successful.commands)

    def _new(self) -> WorkflowInstance:
        info = workflow.Info(
            attempt=1,
            continued_run_id=None,
            cron_schedule=None,
            execution_timeout=None,
            first_execution_run_id=f"{self.workflow_id}#0",
            headers={},
            namespace=NAMESPACE,
            original_execution_run_id=self.run_id,
            parent=None,
            root=None,
            priority=Priority.default,
            raw_memo={},
            retry_policy=None,
            run_id=self.run_id,
            run_timeout=None,
            search_attributes=_no_attributes(),
            start_time=self.started,
            task_queue=QUEUE,
            task_timeout=timedelta(seconds=10),
            typed_search_attributes=TypedSearchAttributes.empty,
            workflow_id=self.workflow_id,
            workflow_start_time=self.started,
            workflow_type=self._definition.name or "",
        )
        details = WorkflowInstanceDetails(
            payload_converter_factory=pydantic_data_converter.payload_converter_class,
            failure_converter_class=DefaultFailureConverter,
            interceptor_classes=[DOOR],
            defn=self._definition,
            info=info,
            randomness_seed=1,
            extern_functions={},
            disable_eager_activity_execution=True,
            worker_level_failure_exception_types=[],
            patch_activation_callback=None,
            last_completion_result=Payloads(),
            last_failure=None,
        )
        with _alone():
            return UnsandboxedWorkflowRunner().create_instance(details)


class _Nowhere:
    """Stands for a loop while an instance is made, which only hangs itself onto it."""


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hide a loop that runs in this thread: a workflow is a loop of its own, and takes the place of any other."""
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(cast(asyncio.AbstractEventLoop, _Nowhere()))
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)


def _no_attributes() -> SearchAttributes:
    return {}


def _size(payloads: Sequence[Payload]) -> int:
    return sum(given.ByteSize() for given in payloads)


def _difference(before: list[bytes], now: list[WorkflowCommand], turn: int) -> str:
    was = [WorkflowCommand.FromString(made) for made in before]
    for number, (old, new) in enumerate(zip(was, now, strict=False)):
        if old != new:
            return f"Turn {turn}, command {number}: it was {str(old)[:600]}\nand now is {str(new)[:600]}"
    kinds = [[str(command.WhichOneof("variant")) for command in commands] for commands in (was, now)]
    return f"Turn {turn}: the commands were {kinds[0]}, and now are {kinds[1]}"
