"""How fast a Temporal server takes steps: a short workflow of its own, on a queue of its own, and its history.

A server's tuning cannot be asked for. With the defaults one workflow makes about ten steps a second, whatever
the machine, once it has used up a first allowance; that shows in the time from a step's end to the next one's.
"""

import itertools
import statistics
import uuid
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType, TaskQueueKind
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import ListTaskQueuePartitionsRequest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

STEPS = 60
SPARED = 45
"""Steps that are not measured: a server that is not tuned takes its first ones as fast as any."""
LIMIT = timedelta(seconds=60)


@activity.defn(name="stanch.doctor_step")
async def step() -> None:
    """Do nothing."""


@workflow.defn(name="StanchDoctor")
class Probe:
    """Takes a few steps, one after the other."""

    @workflow.run
    async def run(self) -> None:
        """Take them."""
        for _ in range(STEPS):
            await workflow.execute_activity(step, start_to_close_timeout=LIMIT)


async def milliseconds_a_step(client: Client) -> float:
    """Median time from a step's end to the next one's, as the server recorded it.

    Raises:
        RPCError, WorkflowFailureError: the server did not take the workflow, or it took too long.
    """
    name = f"stanch-doctor-{uuid.uuid4().hex[:12]}"
    async with Worker(
        client,
        task_queue=name,
        workflows=[Probe],
        activities=[step],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=1,
    ):
        handle = await client.start_workflow(Probe.run, id=name, task_queue=name, execution_timeout=LIMIT)
        await handle.result()
    done = [
        event.event_time.ToNanoseconds() / 1e6
        async for event in handle.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    ]
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(done[SPARED:]))


async def partitions(client: Client, queue: str) -> int:
    """Into how many partitions the server splits a queue; one is fastest on a single machine."""
    answer = await client.workflow_service.list_task_queue_partitions(
        ListTaskQueuePartitionsRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL),
        )
    )
    return max(1, len(answer.workflow_task_queue_partitions))
