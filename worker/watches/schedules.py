"""Schedules of Temporal that begin the looks: made, changed and taken away as the settings say."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from playbooks.digest import digest_of
from worker.edge import key_ring
from worker.settings import Settings
from worker.watches.definition import every, watches_of
from workflows.watch import Watch, WatchInput, longest

log = logging.getLogger(__name__)
AGAIN = 30.0


def schedule_id(prefix: str, name: str) -> str:
    """Of a watch; ``prefix`` is that of the task queues, which exercises have apart."""
    return f"{prefix}/watch/{name}"


async def keep_schedules(client: Client, settings: Settings) -> None:
    """Bring the server's schedules in line with the settings, trying until it answers.

    Raises:
        SettingsError: A watch is not as it must be.
    """
    wanted, key = watches_of(settings), key_ring(settings).current
    spans = {name: every(given) for name, given in settings.file.watches.items()}
    while True:
        try:
            return await align(client, settings.queue_prefix, wanted, spans, key)
        except RPCError as error:
            log.warning("watches are not scheduled yet, it is tried again: %s", error.status.name)
        except Exception:
            # Nobody waits for this task, so nothing else would tell of it.
            log.exception("watches are not scheduled yet, it is tried again")
        await asyncio.sleep(AGAIN)


async def align(
    client: Client, prefix: str, wanted: Mapping[str, WatchInput], spans: Mapping[str, int], key: str = ""
) -> None:
    """Make, change and delete schedules. A new or changed watch looks at once; one that a person paused stays so.

    Args:
        client: Connected.
        prefix: Of the task queues.
        wanted: Watches by name.
        spans: Seconds from one look of each to the next.
        key: Id of the payload key; where it is another one, the schedule is written anew under it.
    """
    kept = {schedule_id(prefix, name): (given, spans[name]) for name, given in wanted.items()}
    async for known in await client.list_schedules():
        if known.id.startswith(schedule_id(prefix, "")) and known.id not in kept:
            await client.get_schedule_handle(known.id).delete()
            log.info("%s is no longer in the settings: it looks no more", known.id)
    for id_, (given, span) in kept.items():
        made = _schedule(id_, prefix, given, span, key)
        try:
            await client.create_schedule(id_, made, trigger_immediately=True)
        except ScheduleAlreadyRunningError:
            await _change(client, id_, made)


def _schedule(id_: str, prefix: str, given: WatchInput, span: int, key: str) -> Schedule:
    # Its arguments are encrypted, so the id of its looks says what they are; its note belongs to whoever pauses it.
    mark = digest_of([given.model_dump(mode="json"), span, key])[:16]
    return Schedule(
        action=ScheduleActionStartWorkflow(
            Watch.run, given, id=f"{id_}/{mark}", task_queue=prefix, execution_timeout=2 * longest(given.seconds)
        ),
        spec=ScheduleSpec(
            intervals=[ScheduleIntervalSpec(every=timedelta(seconds=span))],
            jitter=timedelta(seconds=min(300, span // 10)),
        ),
        # The last look that a server which was down has missed is made up.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(seconds=span)),
    )


async def _change(client: Client, id_: str, made: Schedule) -> None:
    handle, changed = client.get_schedule_handle(id_), False

    async def updated(known: ScheduleUpdateInput) -> ScheduleUpdate | None:
        nonlocal changed
        before = known.description.schedule
        changed = _looks(before) != _looks(made)
        made.state = before.state
        return ScheduleUpdate(made) if changed else None

    await handle.update(updated)
    if changed and not made.state.paused:
        await handle.trigger()


def _looks(schedule: Schedule) -> str:
    return schedule.action.id if isinstance(schedule.action, ScheduleActionStartWorkflow) else ""
