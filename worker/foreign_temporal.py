"""The server that workflows of others are started on."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.common import WorkflowIDReusePolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.errors import Ambiguous, ConnectorError, Forbidden, NotFound, Rejected, Unavailable
from activities.foreign import ForeignType
from playbooks.contract import Json

ENDS = {
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.CANCELED: "was cancelled",
    WorkflowExecutionStatus.TERMINATED: "was terminated",
    WorkflowExecutionStatus.TIMED_OUT: "ran out of its time",
}
REFUSALS: dict[RPCStatusCode, type[ConnectorError]] = {
    RPCStatusCode.NOT_FOUND: NotFound,
    RPCStatusCode.PERMISSION_DENIED: Forbidden,
    RPCStatusCode.UNAUTHENTICATED: Forbidden,
    RPCStatusCode.INVALID_ARGUMENT: Rejected,
}


class TemporalForeign:
    """Starts and watches them by Stanch's own connection.

    Their inputs are plain JSON, unless a type is declared to read Stanch's encryption.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def _of(self, kind: ForeignType) -> Client:
        config = self._client.config()
        config["namespace"] = kind.namespace or self._client.namespace
        if not kind.encrypted:
            # The plugin would put the encrypting converter back.
            config["plugins"], config["data_converter"] = [], pydantic_data_converter
        return Client(**config)

    def _handle(self, kind: ForeignType, id: str) -> WorkflowHandle[Any, Any]:
        return self._of(kind).get_workflow_handle(id)

    async def start(self, kind: ForeignType, id: str, given: dict[str, Json]) -> None:
        """Start it, or find that it is started already."""
        try:
            await self._of(kind).start_workflow(
                kind.workflow,
                given,
                id=id,
                task_queue=kind.queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                execution_timeout=timedelta(seconds=kind.run_seconds),
            )
        except WorkflowAlreadyStartedError:
            return
        except RPCError as error:
            raise _told(kind, error, Ambiguous) from None

    async def exists(self, kind: ForeignType, id: str) -> bool:
        """Whether the server knows it."""
        try:
            await self._handle(kind, id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise _told(kind, error, Unavailable) from None
        return True

    async def end(self, kind: ForeignType, id: str, seconds: float) -> tuple[str, Json] | None:
        """Wait so long for its end."""
        handle = self._handle(kind, id)
        try:
            return "completed", await asyncio.wait_for(handle.result(), seconds)
        except TimeoutError:
            return None
        except WorkflowFailureError as failure:
            return await self._how(kind, handle, failure), None
        except RPCError as error:
            raise _told(kind, error, Unavailable) from None

    async def _how(self, kind: ForeignType, handle: WorkflowHandle[Any, Any], failure: WorkflowFailureError) -> str:
        try:
            status = (await handle.describe()).status
        except RPCError as error:
            raise _told(kind, error, Unavailable) from None
        said = ENDS.get(status, "did not end well") if status is not None else "did not end well"
        cause = failure.cause
        # What a failure says may hold anything; its type is a name.
        return f"{said} ({cause.type})" if isinstance(cause, ApplicationError) and cause.type else said


def _told(kind: ForeignType, error: RPCError, otherwise: type[ConnectorError]) -> ConnectorError:
    name = error.status.name if error.status else "unknown"
    said = f"The Temporal server answered {name} for {kind.title}."
    return REFUSALS.get(error.status, otherwise)(said)
