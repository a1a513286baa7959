"""The durable outbox: what people are told is kept first, then brought out by a channel, then marked."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from worker.desk.times import stamp
from worker.store import Store

log = logging.getLogger(__name__)

TICK = 1.0
TERMINAL = "terminal"

Bring = Callable[[Sequence[dict[str, Any]]], None]
"""Brings notices to people; what it raises leaves them undelivered."""


class Outbox:
    """Brings pending notices to one channel; delivered only when the channel took them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def bring(self, channel: str, send: Bring) -> int:
        """Bring all that waits, superseded notices left out; how many were brought.

        A notice that a newer pending one supersedes is not sent: people get the newest state once. It is
        marked with the delivery of the one that replaced it.
        """
        pending = [_plain(notice) for notice in self._store.notices.pending(channel)]
        if not pending:
            return 0
        replaced = {notice["supersedes"] for notice in pending if notice.get("supersedes")}
        shown = [notice for notice in pending if notice["id"] not in replaced]
        try:
            send(shown)
        except OSError as error:
            for notice in pending:
                self._store.notices.failed(notice["id"], channel, stamp(), type(error).__name__)
            return 0
        at = stamp()
        for notice in pending:
            self._store.notices.delivered(notice["id"], channel, at)
        return len(shown)

    async def keep_bringing(self, channel: str, send: Bring, *, every: float = TICK) -> None:
        """Bring what waits, again and again, until cancelled. A burst within a tick goes out together."""
        while True:
            try:
                await self._store.call(self.bring, channel, send)
            except Exception:
                # The store may be away for a while; the notices wait in it.
                log.exception("notices could not be brought to %s; trying again", channel)
            await asyncio.sleep(every)


def _plain(notice: Any) -> dict[str, Any]:
    return notice if isinstance(notice, dict) else notice.model_dump(mode="json")
