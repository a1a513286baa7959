"""Checks of ``stanch doctor`` about watches: each is scheduled, and its last look could see."""

from datetime import UTC, datetime

from temporalio.client import Client, ScheduleActionExecutionStartWorkflow, ScheduleDescription, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from worker.settings import Settings, SettingsError
from worker.start_findings import Finding
from worker.watches.definition import watches_of
from worker.watches.schedules import schedule_id
from workflows.watch import Watch


async def examine_watches(client: Client, settings: Settings) -> list[Finding]:
    """A finding for each watch of the settings."""
    try:
        wanted = watches_of(settings)
    except SettingsError as error:
        return [Finding("watches", "fail", str(error), "Mend [watches.NAME] in stanch.toml.")]
    return [await _watch(client, settings, name) for name in wanted]


async def _watch(client: Client, settings: Settings, name: str) -> Finding:
    title = f"watch {name}"
    handle = client.get_schedule_handle(schedule_id(settings.queue_prefix, name))
    try:
        known = await handle.describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            mend = "`stanch serve` or `stanch up` schedules it at its start."
            return Finding(title, "warn", "It is not scheduled yet.", mend)
        return Finding(title, "fail", error.message[:200], "Check the server's schedules.")
    if known.schedule.state.paused:
        return Finding(
            title, "warn", "Somebody paused it: it does not look.", f"temporal schedule unpause -s {known.id}"
        )
    return await _last(client, known, title)


async def _last(client: Client, known: ScheduleDescription, title: str) -> Finding:
    upcoming = f" Next look {_when(known.info.next_action_times[0])}." if known.info.next_action_times else ""
    begun = [
        each for each in known.info.recent_actions if isinstance(each.action, ScheduleActionExecutionStartWorkflow)
    ]
    if not begun:
        return Finding(title, "ok", f"It has not looked yet.{upcoming}")
    action, at = begun[-1].action, _when(begun[-1].started_at)
    assert isinstance(action, ScheduleActionExecutionStartWorkflow)
    handle = client.get_workflow_handle_for(
        Watch.run, action.workflow_id, first_execution_run_id=action.first_execution_run_id
    )
    try:
        if (await handle.describe()).close_time is None:
            return Finding(title, "ok", f"It has been looking since {at}.{upcoming}")
        looked = await handle.result()
    except WorkflowFailureError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        mend = "What it looks for may be there unseen. Mend the system's settings or its rights."
        return Finding(title, "fail", f"Its look {at} failed: {str(cause)[:300]}{upcoming}", mend)
    except RPCError as error:
        return Finding(title, "warn", f"What its look {at} found cannot be read ({error.status.name}).{upcoming}")
    found = f"opened or joined {looked.incident}" if looked.found else "nothing to open an incident for"
    return Finding(title, "ok", f"Looked {at}: {looked.summary}; {found}.{upcoming}")


def _when(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
