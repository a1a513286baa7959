"""What stands before the workflows' doors: a message that is not what its door takes never reaches the code.

Anyone who may speak to Temporal can send anything there. An update of another shape is refused to its sender, a
signal is dropped; without this the workflow's task would fail on it again and again, and the run stand still.
"""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

TAKEN = {
    "alerts_attached": "AlertsAttached",
    "attach": "Attach",
    "clock": "ClockChange",
    "close": "CloseRequest",
    "decide": "Decision",
    "desk_keys_changed": "dict",
    "event": "EventGiven",
    "facts_changed": "FactsSnapshot",
    "facts_set": "FactsSet",
    "hand_over": "HandOverRequest",
    "pause": "PauseRequest",
    "resume": "PauseRequest",
    "review": "ReviewRequest",
    "review_opened": "ReviewOpened",
    "run_changed": "RunChanged",
    "set_fact": "FactChange",
    "take": "PauseRequest",
    "undo": "UndoRequest",
}
"""Update or signal to the one thing that it takes. By name: in the sandbox of tests the classes are others."""


def fits(door: str, given: Sequence[Any]) -> bool:
    """Whether these arguments are what the update or signal of this name takes."""
    return len(given) == 1 and type(given[0]).__name__ == TAKEN.get(door)


class WellFormed(Interceptor):
    """Lets well-formed messages through to workflows, and nothing else."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """The inbound side."""
        return _WellFormedInbound


class _WellFormedInbound(WorkflowInboundInterceptor):
    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        if not fits(input.update, input.args):
            raise ApplicationError("This is not what the workflow takes here. Nothing was done.", type="bad_value")
        return await super().handle_update_handler(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        if not fits(input.signal, input.args):
            workflow.logger.warning("a signal %s of another shape was dropped", input.signal[:64])
            return
        await super().handle_signal(input)
