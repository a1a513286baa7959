"""Checks of ``stanch doctor`` that ask Temporal: reachable, new enough, tuned, and who works on the queues."""

import asyncio
from typing import Literal

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetSystemInfoRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from activities.catalog import CATALOG
from worker.cli.client import engine as embedded
from worker.codec import KeyRing
from worker.edge import key_ring
from worker.embedded import OLDEST
from worker.settings import Settings
from worker.start_findings import PATIENCE, Finding, has_keys
from worker.start_probe import milliseconds_a_step, partitions
from worker.temporal import connect
from worker.watches.checks import examine_watches

SLOW_STEP = 60.0
"""Milliseconds. Tuned, a step takes 10 to 20; a server with its defaults takes 100 on any machine."""


async def engine(settings: Settings) -> list[Finding]:
    """Temporal, and the workers on it."""
    client, found = await _reachable(settings)
    if client is None:
        return [found]
    tuned, workers = await _tuned(client, settings), await _workers(client, settings)
    return [found, tuned, *workers, *await examine_watches(client, settings)]


async def _reachable(settings: Settings) -> tuple[Client | None, Finding]:
    mend = "Start a server and set TEMPORAL_ADDRESS, or use `stanch up`, which brings its own."
    # Looking makes nothing: where no key is yet, one for this moment will do.
    ring = key_ring(settings) if has_keys(settings) else KeyRing.fresh()
    try:
        async with asyncio.timeout(PATIENCE):
            client = await connect(settings, ring, address=embedded(settings.home, settings.environment))
            answer = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    except Exception as error:
        return None, Finding("temporal", "fail", str(error)[:300] or type(error).__name__, mend)
    version = answer.server_version
    numbers = tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
    if numbers[:2] < OLDEST:
        return client, Finding("temporal", "fail", f"Server {version}.", "Use server 1.29 or newer.")
    try:
        await client.count_workflows("ExecutionStatus = 'Running'")
    except RPCError as error:
        message = f"Server {version}, namespace {client.namespace}: {error.message[:200]}"
        mend = f"temporal operator namespace create -n {client.namespace} --retention 720h"
        return None, Finding("temporal", "fail", message, mend)
    return client, Finding("temporal", "ok", f"Server {version}, namespace {client.namespace}.")


async def _tuned(client: Client, settings: Settings) -> Finding:
    mend = "docs/operations.md names the server's settings that matter; or this machine is busy."
    try:
        async with asyncio.timeout(PATIENCE):
            span = await milliseconds_a_step(client)
            split = await partitions(client, settings.queue_prefix)
    except (RPCError, WorkflowFailureError, TimeoutError) as error:
        return Finding("temporal speed", "warn", f"It could not be measured ({type(error).__name__}).", mend)
    queues = "" if split == 1 else f"; its queues have {split} partitions, one is enough for a small installation"
    state: Literal["ok", "warn"] = "ok" if span <= SLOW_STEP else "warn"
    return Finding("temporal speed", state, f"{span:.0f} ms a step{queues}.", mend)


async def _workers(client: Client, settings: Settings) -> list[Finding]:
    prefix = settings.queue_prefix
    wanted = {prefix: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW}
    for domain in CATALOG.domains():
        wanted[f"{prefix}-{domain}"] = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    return [await _polled(client, queue, kind) for queue, kind in wanted.items()]


async def _polled(client: Client, queue: str, kind: "TaskQueueType.ValueType") -> Finding:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    try:
        answer = await client.workflow_service.describe_task_queue(request)
    except RPCError as error:
        return Finding(f"worker {queue}", "warn", error.message[:200])
    if answer.pollers:
        return Finding(f"worker {queue}", "ok", f"{len(answer.pollers)} poll it.")
    mend = "Start `stanch worker` with the credentials of that system."
    return Finding(f"worker {queue}", "warn", "Nobody works on it.", mend)
