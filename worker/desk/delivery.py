"""Getting an update to a workflow that may be continuing as new just now, exactly once in effect."""

import asyncio
import logging
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from worker.desk.refusals import DeskRefusal

log = logging.getLogger(__name__)

R = TypeVar("R", bound=BaseModel)

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
PATIENCE = 15.0
ONE_TRY = timedelta(seconds=10)
LOST_TASK = "unexpected workflow task failure"
ABORTED = "aborted by closing"


def _again(error: Exception) -> bool:
    """Whether the same update may simply be sent again (continue-as-new got in its way)."""
    if isinstance(error, WorkflowUpdateRPCTimeoutOrCancelledError):
        return True
    if isinstance(error, WorkflowUpdateFailedError):
        return getattr(error.cause, "type", None) == "AcceptedUpdateCompletedWorkflow"
    if isinstance(error, RPCError):
        if error.status == RPCStatusCode.FAILED_PRECONDITION:
            return LOST_TASK in error.message
        if error.status == RPCStatusCode.NOT_FOUND:
            return ABORTED in error.message
        return error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)
    return False


async def deliver(
    client: Client,
    workflow_id: str,
    update: str,
    body: BaseModel,
    answer: type[R],
    update_id: str,
    *,
    patience: float = PATIENCE,
    one_try: timedelta = ONE_TRY,
) -> R:
    """Send an update by workflow id, never by run id, and return the workflow's answer.

    The same body and update id are sent again after a refusal that only means that the workflow was
    continuing as new: 50 ms, doubling, for up to ``patience`` seconds.

    Raises:
        DeskRefusal: ``closed``, ``no_worker``, ``engine_unreachable`` or ``bad_value``.
    """
    handle = client.get_workflow_handle(workflow_id)
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + patience, FIRST_PAUSE
    while True:
        try:
            found: R = await handle.execute_update(update, body, id=update_id, result_type=answer, rpc_timeout=one_try)
            return found
        except (RPCError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            failure: Exception = error
        if not _again(failure) or loop.time() + pause > until:
            raise await _refusal(client, workflow_id, failure) from None
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def _refusal(client: Client, workflow_id: str, failure: Exception) -> DeskRefusal:
    if isinstance(failure, WorkflowUpdateFailedError):
        log.warning("update of %s was not understood: %s", workflow_id, type(failure.cause).__name__)
        return DeskRefusal("bad_value", "The workflow could not read this request. Nothing was counted.")
    if isinstance(failure, RPCError) and failure.status == RPCStatusCode.NOT_FOUND:
        return await _gone(client, workflow_id)
    if isinstance(failure, WorkflowUpdateRPCTimeoutOrCancelledError) or (
        isinstance(failure, RPCError) and failure.status == RPCStatusCode.DEADLINE_EXCEEDED
    ):
        return DeskRefusal(
            "no_worker",
            "No worker took the request in time. It is not confirmed and may still be counted.",
            "Check that `stanch worker` runs, then look with `stanch incident show`.",
        )
    return DeskRefusal("engine_unreachable", "Temporal did not take the request. Nothing was counted.")


async def _gone(client: Client, workflow_id: str) -> DeskRefusal:
    try:
        found = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            return DeskRefusal("engine_unreachable", "Temporal does not answer. Nothing was counted.")
        return DeskRefusal("closed", "This has ended and is no longer kept by Temporal. Nothing was counted.")
    if found.status == WorkflowExecutionStatus.RUNNING:
        return DeskRefusal("engine_unreachable", "The run did not take the request. Nothing was counted.")
    return DeskRefusal("closed", "This has already ended. Nothing was counted.")
