"""Where the time of a workflow went, by the server's own instants in its history."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory

START = "asked to workflow started"


async def history_of(client: Client, workflow: str) -> WorkflowHistory:
    """A workflow's history so far."""
    return await client.get_workflow_handle(workflow).fetch_history()


def instant(event: HistoryEvent) -> float:
    """When an event happened, in seconds of the wall clock."""
    return event.event_time.seconds + event.event_time.nanos / 1e9


@dataclass(frozen=True)
class Walk:
    """Sums over a history, in milliseconds: waiting for a worker, and a worker at it."""

    events: int
    bytes: int
    tasks: int
    activities: int
    task_waiting: float
    task_at_work: float
    activity_waiting: float
    activity_at_work: float


def walk_of(history: WorkflowHistory) -> Walk:
    """Sums of one history."""
    tasks = list(_spans(history.events, "WORKFLOW_TASK"))
    activities = list(_spans(history.events, "ACTIVITY_TASK"))
    return Walk(
        events=len(history.events),
        bytes=sum(event.ByteSize() for event in history.events),
        tasks=len(tasks),
        activities=len(activities),
        task_waiting=sum(waited for waited, _ in tasks),
        task_at_work=sum(worked for _, worked in tasks),
        activity_waiting=sum(waited for waited, _ in activities),
        activity_at_work=sum(worked for _, worked in activities),
    )


def _spans(events: Sequence[HistoryEvent], what: str) -> Iterable[tuple[float, float]]:
    """For each task that was completed: milliseconds from scheduled to started, and on to completed."""
    of = {event.event_id: event for event in events}
    for event in events:
        if event.event_type != EventType.Value(f"EVENT_TYPE_{what}_COMPLETED"):
            continue
        named = getattr(event, f"{what.lower()}_completed_event_attributes")
        scheduled, started = of[named.scheduled_event_id], of[named.started_event_id]
        yield (instant(started) - instant(scheduled)) * 1000, (instant(event) - instant(started)) * 1000


def per_step(walks: Sequence[Walk], steps: int) -> dict[str, float]:
    """Means over several histories, per step."""

    def mean(name: str) -> float:
        return statistics.fmean(getattr(walk, name) for walk in walks) / steps

    return {
        "events": mean("events"),
        "workflow tasks": mean("tasks"),
        "activities": mean("activities"),
        "bytes of history": mean("bytes"),
        "workflow task waits for a worker": mean("task_waiting"),
        "workflow task at work": mean("task_at_work"),
        "activity waits for a worker": mean("activity_waiting"),
        "activity at work": mean("activity_at_work"),
    }


def to_first_body(history: WorkflowHistory, asked: float, body: float) -> dict[str, float]:
    """Milliseconds of each part of the way from asking for a workflow to the body of its first activity.

    ``asked`` and ``body`` are instants of the wall clock, which the server shares.
    """
    first: dict[int, HistoryEvent] = {}
    for event in history.events:
        first.setdefault(event.event_type, event)
    began = instant(first[EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED])
    taken = instant(first[EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED])
    planned = instant(first[EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED])
    return {
        START: (began - asked) * 1000,
        "its first task waits for a worker": (taken - began) * 1000,
        "its first task at work": (planned - taken) * 1000,
        "activity scheduled to its body": (body - planned) * 1000,
    }


def medians(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each part."""
    return {name: statistics.median(each[name] for each in found) for name in found[0]}
