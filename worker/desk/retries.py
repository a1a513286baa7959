"""What a running step waits for between two tries of its action, which only the Temporal server knows."""

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.errors import RateLimited
from worker.desk.times import stamp


async def with_retries(client: Client, status: Mapping[str, Any], patience: timedelta) -> dict[str, Any]:
    """A run's status whose running actions say what they wait for: the system's limit or the next try, until when."""
    steps = list(status.get("steps", ()))
    if not any(_may_wait(step) for step in steps):
        return dict(status)
    try:
        found = await client.get_workflow_handle(status["run"]).describe(rpc_timeout=patience)
    except RPCError:
        return dict(status)
    tries: dict[str, list[str]] = {}
    for each in found.raw_description.pending_activities:
        if each.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED and each.HasField("last_failure"):
            tries.setdefault(each.activity_type.name, []).append(await _said(client, each))
    running = [step["action"] for step in steps if _may_wait(step)]
    # The server names the action, not the step: of several items it is said only where all of them wait.
    sure = {action: said[0] for action, said in tries.items() if len(said) >= running.count(action)}
    shown = [
        {**step, "waiting_for": sure[step["action"]]} if _may_wait(step) and step["action"] in sure else step
        for step in steps
    ]
    return {**status, "steps": shown}


def _may_wait(step: Mapping[str, Any]) -> bool:
    return step["status"] == "running" and step["action"] is not None and not step["waiting_for"]


async def _said(client: Client, pending: PendingActivityInfo) -> str:
    at = (
        pending.next_attempt_schedule_time if pending.HasField("next_attempt_schedule_time") else pending.scheduled_time
    )
    until = f"{stamp(at.ToDatetime(UTC))[:19]}Z"
    error = await client.data_converter.decode_failure(pending.last_failure)
    limit = isinstance(error, ApplicationError) and error.type == RateLimited.__name__
    what = "the system's limit" if limit else "the next try"
    answer = f"; the last answer: {error.message}" if isinstance(error, ApplicationError) else ""
    return f"{what}, until {until} (try {pending.attempt} comes then{answer})"
