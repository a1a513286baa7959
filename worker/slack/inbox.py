"""The inbox at work: what people did is carried out after it was kept, once, and they are told what came of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from playbooks.contract import Json
from worker.desk.refusals import DeskRefusal
from worker.slack.deliveries import Delivery
from worker.store import Store
from worker.store.inbox import Kept

log = logging.getLogger(__name__)

AWAY = frozenset({"engine_unreachable", "no_worker", "store_unreachable"})
"""Refusals that only mean: not now."""
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
PATIENCE = 3600.0
"""Seconds for which something is tried; a decision, whose question has its own time, is tried as long as it takes."""
TELLING = 900.0
SLOW = 4.0
"""Seconds after which whoever asked is told that it takes longer."""
REMEMBERED = timedelta(days=30)
AT_ONCE = 32
TRIES = 3
LEFT = 60.0
"""Seconds after which what nobody here works on is looked for: another process may have died over it."""


@dataclass(frozen=True)
class Outcome:
    """What came of a request: ``text`` and ``blocks`` for who asked; nothing to say if ``text`` is empty."""

    text: str = ""
    blocks: tuple[dict[str, Any], ...] = ()

    def document(self) -> dict[str, Json]:
        """As the store keeps it."""
        return {"text": self.text, "blocks": list(self.blocks)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Outcome":
        """Back from the store."""
        return cls(str(document.get("text", "")), tuple(document.get("blocks", ())))


Carry = Callable[[Kept], Awaitable[Outcome]]
"""Carries out a request and returns what came of it; a repeat has no further effect.

Raises ``DeskRefusal`` with a code of ``AWAY`` where it could not be tried.
"""
Tell = Callable[[Kept, Outcome], Awaitable[bool]]
"""Tells who asked, privately; whether it could."""
Words = Callable[[DeskRefusal | None, bool], Outcome]
"""What is said of something that waits (``True``); of what is given up (``False``): with the refusal, or, if it is
``None``, that it failed."""


class Inbox:
    """Keeps, carries out, tells.

    Args:
        store: Where the requests are kept.
        carry: Carries one out.
        tell: Tells who asked.
        words: What is said where it could not be carried out.
        left: See ``LEFT``.
    """

    def __init__(self, store: Store, carry: Carry, tell: Tell, words: Words, *, left: float = LEFT) -> None:
        self._store, self._carry, self._tell, self._words = store, carry, tell, words
        self._left = left
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._open = False
        self._fresh: set[str] | None = set()
        """What came in before the store was read for what a death left; ``None`` once it was."""

    async def keep(self, by: Delivery, what: Mapping[str, Json]) -> tuple[Kept, str]:
        """Keep a request before it is acknowledged: ``new``, a ``repeat`` by Slack, or a ``replay`` by somebody.

        Raises:
            Exception: the store did not take it; then it must not be acknowledged.
        """
        kept, new = await self._store.write(self._store.inbox.keep, by.id, by.envelope, what)
        if new:
            self._begin(kept)
            return kept, "new"
        return kept, "repeat" if by.repeats(kept.envelope) else "replay"

    async def keep_carrying(self) -> None:
        """Carry out what is kept, what a death left unfinished first, until cancelled."""
        self._open = True
        try:
            await self._resume()
            while True:
                await asyncio.sleep(self._left)
                await self._take_over()
        finally:
            self._open = False
            tasks = [*self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until nothing that was kept is under way."""
        while self._tasks:
            await asyncio.wait([*self._tasks.values()])
            await asyncio.sleep(0)

    async def _resume(self) -> None:
        for pause in (*PAUSES, *(PAUSES[-1:] * 1000)):
            try:
                await self._store.write(self._store.inbox.forget, _stamp(datetime.now(UTC) - REMEMBERED))
                left = await self._store.call(self._store.inbox.open)
            except Exception:
                log.exception("the inbox of Slack cannot be read; trying again")
                await asyncio.sleep(pause)
                continue
            # What came in while the store was read may be in it as unfinished, and be finished by now.
            fresh, self._fresh = self._fresh or set(), None
            for kept in left:
                if kept.id not in fresh:
                    self._begin(kept)
            return

    async def _take_over(self) -> None:
        try:
            left = await self._store.call(self._store.inbox.open)
        except Exception:
            log.exception("the inbox of Slack cannot be read; trying again")
            return
        before = _stamp(datetime.now(UTC) - timedelta(seconds=self._left))
        for kept in left:
            if kept.at < before:
                self._begin(kept)

    def _begin(self, kept: Kept) -> None:
        if self._open and kept.id not in self._tasks:
            if self._fresh is not None:
                self._fresh.add(kept.id)
            task = asyncio.create_task(self._finish(kept))
            self._tasks[kept.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(kept.id, None))

    async def _finish(self, kept: Kept) -> None:
        try:
            outcome = Outcome.of(kept.outcome) if kept.outcome is not None else await self._carried_out(kept)
            await self._surely(self._store.inbox.carried_out, kept.id, outcome.document())
            if not (kept.again and await self._store.call(self._store.inbox.is_done, kept.id)):
                await self._told(kept, outcome)
            await self._surely(self._store.inbox.done, kept.id)
        except Exception:
            # It stays in the inbox, and is tried again later.
            log.exception("%s of Slack was not finished", kept.id)

    async def _carried_out(self, kept: Kept) -> Outcome:
        loop = asyncio.get_running_loop()
        # Its age counts, not the process's: what was asked an hour ago is not wanted any more.
        since = loop.time() - max(0.0, (datetime.now(UTC) - datetime.fromisoformat(kept.at)).total_seconds())
        tried = failed = 0
        while True:
            try:
                return await self._tried(replace(kept, again=kept.again or tried > 0), first=tried == 0)
            except DeskRefusal as refusal:
                if refusal.code not in AWAY or (not _patient(kept) and loop.time() - since > PATIENCE):
                    return self._words(refusal, False)
            except Exception:
                log.exception("%s of Slack failed", kept.id)
                failed += 1
                if failed >= TRIES:
                    return self._words(None, False)
            await asyncio.sleep(PAUSES[min(tried, len(PAUSES) - 1)])
            tried += 1

    async def _tried(self, kept: Kept, *, first: bool) -> Outcome:
        """Carry it out; whoever asked is told once, and early, if that takes long or cannot be now."""
        async with self._turns:
            work = asyncio.ensure_future(self._carry(kept))
            try:
                done, _ = await asyncio.wait([work], timeout=SLOW if first else None)
                away = bool(done) and isinstance(found := work.exception(), DeskRefusal) and found.code in AWAY
                if first and (not done or away):
                    await self._tell(kept, self._words(None, True))
                return await work
            finally:
                work.cancel()

    async def _told(self, kept: Kept, outcome: Outcome) -> None:
        if not outcome.text:
            return
        until, tried = asyncio.get_running_loop().time() + TELLING, 0
        while not await self._tell(kept, outcome):
            if asyncio.get_running_loop().time() > until:
                log.warning("%s of Slack was carried out, but who asked could not be told", kept.id)
                return
            await asyncio.sleep(PAUSES[min(tried, len(PAUSES) - 1)])
            tried += 1

    async def _surely(self, write: Callable[..., None], *arguments: Any) -> None:
        for pause in PAUSES:
            try:
                await self._store.write(write, *arguments)
            except Exception:
                log.exception("the inbox of Slack cannot be written; trying again")
                await asyncio.sleep(pause)
            else:
                return
        await self._store.write(write, *arguments)


def _patient(kept: Kept) -> bool:
    return kept.what.get("do") == "decide"


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
