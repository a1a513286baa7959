"""Checks of ``stanch doctor`` about watches: each is scheduled, looked lately, and its last look could see."""

from datetime import UTC, datetime, timedelta

from temporalio.client import Client, ScheduleActionExecutionStartWorkflow, ScheduleDescription, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from worker.settings import Settings, SettingsError
from worker.start_findings import Finding
from worker.watches.definition import every, watches_of
from worker.watches.schedules import schedule_id
from workflows.watch import Looked

UNSEEN = "What it looks for may be there unseen. Mend the system's settings or its rights."
SLACK = timedelta(minutes=15)
"""Looks may be so much later than their time."""


async def examine_watches(client: Client, settings: Settings) -> list[Finding]:
    """A finding for each watch of the settings."""
    try:
        wanted = watches_of(settings)
    except SettingsError as error:
        return [Finding("watches", "fail", str(error), "Mend [watches.NAME] in stanch.toml.")]
    return [await _guarded(client, settings, name) for name in wanted]


async def _guarded(client: Client, settings: Settings, name: str) -> Finding:
    title = f"watch {name}"
    try:
        return await _watch(client, settings, name)
    except RPCError as error:
        said = f"What its last look found cannot be read ({error.status.name}); the server may keep it no longer."
        return Finding(title, "warn", said)
    except Exception as error:
        # A payload key that is gone, above all: the other checks are worth having all the same.
        return Finding(title, "warn", f"What its last look found cannot be read ({type(error).__name__}).")


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
        mend = f"temporal schedule toggle --unpause --namespace {client.namespace} --schedule-id {known.id}"
        why = known.schedule.state.note or "no reason was given"
        return Finding(title, "warn", f"It is paused and does not look: {why}.", mend)
    return await _last(client, known, title, every(settings.file.watches[name]))


async def _last(client: Client, known: ScheduleDescription, title: str, span: int) -> Finding:
    upcoming = f" Next look {_when(known.info.next_action_times[0])}." if known.info.next_action_times else ""
    if not known.info.recent_actions:
        return Finding(title, "ok", f"It has not looked yet.{upcoming}")
    begun = known.info.recent_actions[-1]
    action, at = begun.action, _when(begun.started_at)
    assert isinstance(action, ScheduleActionExecutionStartWorkflow)
    if datetime.now(UTC) - begun.started_at > 2 * timedelta(seconds=span) + SLACK:
        return Finding(title, "fail", f"It has not looked since {at}.{upcoming}", UNSEEN)
    handle = client.get_workflow_handle(
        action.workflow_id, first_execution_run_id=action.first_execution_run_id, result_type=Looked
    )
    if (await handle.describe()).close_time is None:
        return Finding(title, "ok", f"It has been looking since {at}.{upcoming}")
    try:
        looked: Looked = await handle.result()
    except WorkflowFailureError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return Finding(title, "fail", f"Its look {at} failed: {str(cause)[:300]}{upcoming}", UNSEEN)
    found = f"opened or joined {looked.incident}" if looked.found else "nothing to open an incident for"
    return Finding(title, "ok", f"Looked {at}: {looked.summary}; {found}.{upcoming}")


def _when(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
