"""The pump: makes Slack show what is wanted, as fast as it may and exactly once. It never fails outwards."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from worker.slack.blocks import Message
from worker.slack.channels import MAIN, PERSON, Channels
from worker.slack.client import SlackClient
from worker.slack.lanes import LaneWorker, Lost, Pace
from worker.store import Store
from worker.store.slack import Card
from worker.store.slack_outgoing import OFF

log = logging.getLogger(__name__)

DOOR = "slack"
SHORT = 5.0
"""A lane that has to wait longer is given back meanwhile."""


class Pump:
    """What should stand in Slack goes in by ``want…``; ``keep_pumping`` makes it stand.

    Any number of processes may pump over one store.

    Args:
        store: Holds what is wanted, and how far it is true.
        client: Slack.
        workspace: Team id by which people's identities are found.
        main: The main channel, by id or name.
        pace: How fast.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        client: SlackClient,
        *,
        workspace: str,
        main: str | None = None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._out = store, store.slack.out
        self._workspace, self._clock, self._pace = workspace, clock, pace or Pace()
        self._owner = secrets.token_hex(8)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._stirs: dict[str, asyncio.Event] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        channels = Channels(store, client, clock)
        self._worker = LaneWorker(
            store, client, channels, self._pace, self._owner, clock, busy=lambda: max(1, len(self._tasks))
        )
        if main is not None:
            self._out.want_channel(MAIN, None, {"channel": main})
        self.main = main

    def want(
        self,
        key: str,
        incident: str,
        channel: str | None,
        message: Message,
        *,
        parent: str | None = None,
        pin: bool = False,
        notices: Sequence[str] = (),
    ) -> None:
        """Want a message to stand in the incident's channel, or in the main one (``channel="main"``).

        ``parent`` is the key of the message in whose thread it belongs; ``notices`` are delivered when it stands.
        """
        lane = MAIN if channel == MAIN else incident
        if self._out.want(key, lane, incident, _content(message), parent=parent, pin=pin, notices=notices):
            self._stir(lane)

    def want_dm(
        self, key: str, person: str, message: Message, *, incident: str = "", notices: Sequence[str] = ()
    ) -> bool:
        """Want one person to have a direct message; ``False`` if they cannot be reached so: they are not known in
        this workspace, or Slack is switched off."""
        user = self._user(person)
        if user is None or self._store.slack.off.get() is not None:
            return False
        lane = f"{PERSON}{person}"
        self._out.want_channel(lane, None, {"user": user})
        if self._out.want(key, lane, incident, _content(message), notices=notices):
            self._stir(lane)
        return True

    def want_file(self, key: str, incident: str, name: str, title: str, content: bytes) -> None:
        """Want a file in the incident's channel. Its name has to change with its content (``files.versioned``)."""
        if self._out.want_file(key, incident, name, title, content):
            self._stir(incident)

    def want_channel(self, incident: str, wanted: Mapping[str, Any]) -> None:
        """Want an incident's channel to be so (``Channels``)."""
        if self._out.want_channel(incident, incident, wanted):
            self._stir(incident)

    def say(self, key: str, incident: str, message: Message) -> None:
        """Say something in an incident's channel, once under its key."""
        self.want(key, incident, None, message)

    def card(self, id_: str) -> Card | None:
        """The question behind a button."""
        return self._store.slack.cards.find(id_)

    def stands(self, message_key: str) -> tuple[str, str] | None:
        """Channel and timestamp of the message with this key, once it is posted."""
        row = self._out.get(message_key)
        return (row.channel, row.ts) if row is not None and row.channel and row.ts else None

    def refused(self, message_key: str) -> str | None:
        """Slack's code, if it refuses this message for good."""
        row = self._out.get(message_key)
        return row.error if row is not None and row.state == "refused" else None

    def incident_in(self, channel: str) -> str | None:
        """The incident whose channel it is."""
        lane = self._out.lane_in(channel)
        return lane.incident if lane is not None else None

    async def keep_pumping(self) -> None:
        """Make it so, until cancelled. What goes wrong is logged, and tried again."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._wake.clear()
                wait = self._pace.tick
                try:
                    off = await self._store.call(self._store.slack.off.get) is not None
                    wait = min(wait, self._begin(await self._store.call(self._out.due, OFF if off else "")))
                except Exception:
                    log.exception("what is wanted in Slack cannot be read; trying again")
                await _happens(self._wake, max(0.005, wait))
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, due: dict[str, float]) -> float:
        """Set the lanes that are due to work; seconds until the next one is."""
        now, wait = self._clock(), self._pace.tick
        for lane, at in due.items():
            if lane in self._tasks:
                continue
            if at > now:
                wait = min(wait, at - now)
                continue
            task = asyncio.create_task(self._work(lane))
            self._tasks[lane] = task
            task.add_done_callback(partial(self._ended, lane))
        return wait

    async def _work(self, lane: str) -> None:
        now = self._clock()
        try:
            if not await self._store.call(self._out.claim, lane, self._owner, now, now + self._pace.lease):
                await asyncio.sleep(self._pace.tick)
                return
            living = asyncio.create_task(self._keep_holding(lane))
            try:
                wait: float | None = 0.0
                while wait is not None and wait <= SHORT:
                    await self._rest(lane, wait)
                    wait = await self._worker.step(lane)
            finally:
                living.cancel()
                await asyncio.gather(living, return_exceptions=True)
                self._out.release(lane, self._owner)
        except Lost:
            log.info("another process shows %s in Slack now", lane)
        except Exception:
            log.exception("%s cannot be shown in Slack; trying again", lane)
            await asyncio.sleep(self._pace.tick)

    async def _keep_holding(self, lane: str) -> None:
        """A sign of life while a call takes its time. Whether the lane was lost is seen before the next call."""
        while True:
            await asyncio.sleep(self._pace.lease / 3)
            await self._store.call(self._out.renew, lane, self._owner, self._clock() + self._pace.lease)

    def _stir(self, lane: str) -> None:
        """Something new is wanted: whoever waits for time to pass looks again. From any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._look_again, lane)

    def _look_again(self, lane: str) -> None:
        self._wake.set()
        if lane in self._stirs:
            self._stirs[lane].set()

    async def _rest(self, lane: str, seconds: float) -> None:
        if seconds > 0:
            stirred = self._stirs[lane] = asyncio.Event()
            try:
                await _happens(stirred, seconds)
            finally:
                self._stirs.pop(lane, None)

    def _ended(self, lane: str, _task: asyncio.Task[None]) -> None:
        self._tasks.pop(lane, None)
        self._wake.set()

    def _user(self, person: str) -> str | None:
        known = self._store.people.get(person)
        found = [one[2] for one in known.identities if one[:2] == (DOOR, self._workspace)] if known else []
        return found[0] if found else None


def _content(message: Message) -> dict[str, object]:
    return {"text": message.text, "blocks": list(message.blocks)}


async def _happens(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
