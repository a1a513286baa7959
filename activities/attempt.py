"""One attempt as Temporal sees it: its number, its heartbeat, whether to stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from temporalio import activity

from playbooks.contract import ActionCall, Json

LONGEST_BEAT = 2.0
LONGEST_STORE_WAIT = 20.0


class Attempt:
    """The running attempt of an activity.

    Attributes:
        number: Temporal's count, from 1.
        fence: Orders attempts of one idempotency key over activities: ``tries * 1000`` plus the number.
        resume: The last position that an earlier attempt reported.
        store_wait: Seconds that it may wait for the store.
        was_sent: Whether the body said that something which may have an effect was sent.
    """

    def __init__(self, info: activity.Info, call: ActionCall) -> None:
        self.number = info.attempt
        self.fence = call.tries * 1000 + min(info.attempt, 999)
        self.resume: Json = info.heartbeat_details[0] if info.heartbeat_details else None
        limit = info.start_to_close_timeout or timedelta(seconds=60)
        self.store_wait = min(LONGEST_STORE_WAIT, limit.total_seconds() / 2)
        self.was_sent = False
        self._scheduled = info.scheduled_time
        self._position: Json = self.resume
        self._stopping = False
        self._beat = info.heartbeat_timeout

    @property
    def age(self) -> timedelta:
        """Time since the activity was scheduled."""
        return datetime.now(UTC) - self._scheduled

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled, as opposed to this worker going away, or the server having given the
        attempt up for lost: then another one goes on, and this one has nothing to conclude."""
        details = activity.cancellation_details()
        return self._stopping and details is not None and details.cancel_requested

    def stop(self) -> None:
        """Ask the body to stop at its next safe place."""
        self._stopping = True

    def stopping(self) -> bool:
        """Whether the body is to stop."""
        return self._stopping or activity.is_worker_shutdown()

    def progress(self, position: Json) -> None:
        """Keep a position for the next heartbeat."""
        self._position = position

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Heartbeat in the background: while the body works, and while it waits for the store."""
        if self._beat is None:
            yield
            return
        task = asyncio.create_task(self._beats(min(LONGEST_BEAT, self._beat.total_seconds() / 3)))
        try:
            yield
        finally:
            task.cancel()
            # The last position must reach a retry even if no beat fell between it and the failure.
            if self._position is not None:
                activity.heartbeat(self._position)

    async def _beats(self, every: float) -> None:
        while True:
            # Most actions end before the first beat, and then cost the server none.
            await asyncio.sleep(every)
            activity.heartbeat(*([] if self._position is None else [self._position]))
