"""One lane of Slack at work: the next thing to do, done, and how long to wait for the one after it."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from worker.slack import files
from worker.slack.channels import Channels
from worker.slack.client import LACKING, LOST, Later, Refused, SlackClient, Uncertain
from worker.store import Store
from worker.store.slack_outgoing import OFF, Lane, Wanted

log = logging.getLogger(__name__)

EVENT = "stanch"
PAGE, PAGES = 200, 20
MOST_LOST = 5
"""Channels that an incident is given anew; what people take away again and again stays away."""
SKEW = 600.0
"""How much Slack's clock may differ from ours, in seconds."""


class Lost(Exception):
    """Another process took the lane over."""


@dataclass(frozen=True)
class Pace:
    """How fast, in seconds.

    Attributes:
        post: Between two posts in a channel.
        card: Between two edits of a status card.
        settle: After an open outcome, until it is looked for: Slack may still be at it.
        base: The first wait after a failure; it doubles up to ``ceiling``.
        lease: How long a lane is held without a sign of life; so long it is silent after a death.
        tick: How often the store is asked for what others want.
    """

    post: float = 1.0
    card: float = 3.0
    settle: float = 10.0
    base: float = 1.0
    ceiling: float = 60.0
    lease: float = 15.0
    tick: float = 1.0


@dataclass
class LaneWorker:
    """Makes a lane's messages true, one call at a time.

    Every call is made only while the lease is held; what it comes to is in the store before the next one.
    """

    store: Store
    client: SlackClient
    channels: Channels
    pace: Pace
    owner: str
    clock: Callable[[], float] = time.time
    busy: Callable[[], int] = lambda: 1
    """How many lanes work now: the more, the rarer each status card is edited (one method has one limit)."""
    _posted: dict[str, float] = field(default_factory=dict)

    async def step(self, name: str) -> float | None:
        """Do the next thing; seconds until there may be another, ``None`` if there is none.

        While Slack is switched off that is only the line that says so.

        Raises:
            Lost: The lease is gone.
        """
        out = self.store.slack.out
        lane = await self.store.call(out.lane, name)
        if lane is None:
            return None
        now = self.clock()
        waits = []
        only = OFF if await self.store.call(self.store.slack.off.get) is not None else ""
        if lane.state == "due" and not only:
            if lane.next_try > now:
                waits.append(lane.next_try - now)
            else:
                await self._hold(name)
                if await self._channel(lane, self.channels.make_so):
                    return 0.0
                lane = await self.store.call(out.lane, name) or lane
        if lane.channel is None:
            return min(waits, default=None)
        rows = await self.store.call(out.open, name, only)
        chosen, wait = self._next(name, rows, now)
        if chosen is not None:
            await self._hold(name)
            await self._do(lane.channel, chosen)
            return 0.0
        if wait is not None:
            waits.append(wait)
        if not rows and lane.state == "due" and not waits and not only:
            await self._hold(name)
            return 0.0 if await self._channel(lane, self.channels.finish) else None
        return min(waits, default=None)

    async def _hold(self, name: str) -> None:
        if not await self.store.call(self.store.slack.out.renew, name, self.owner, self.clock() + self.pace.lease):
            raise Lost(name)

    async def _channel(self, lane: Lane, work: Any) -> bool:
        """Bring a channel one step on; whether there is more of that to do at once."""
        try:
            return bool(await work(lane))
        except (Later, Uncertain, Refused) as error:
            # The app may be given a missing right meanwhile, so nothing that people should see is given up here.
            after = getattr(error, "after", 0.0) or self._backoff(lane.attempts)
            if lane.error != error.code:
                log.warning("the Slack channel of %s is not as it should be: %s; trying again", lane.lane, error.code)
            await self.store.call(
                self.store.slack.out.change_lane,
                lane.lane,
                attempts=lane.attempts + 1,
                next_try=self.clock() + after,
                error=error.code,
            )
            return False

    def _next(self, lane: str, rows: list[Wanted], now: float) -> tuple[Wanted | None, float | None]:
        """What is due: edits of what people decide, the first of the posts, edits of the status card."""
        edits = [row for row in rows if row.stale]
        # Files need a right of their own; where the app lacks it, messages do not wait behind them.
        unsent = [row for row in rows if not row.stale]
        posts = [next(row for row in unsent if row.kind == kind) for kind in sorted({row.kind for row in unsent})[::-1]]
        gap = max(self.pace.card, self.pace.card * self.busy() / 2)
        at = [(max(row.next_try, row.shown_at + gap if row.pin else 0.0), row) for row in edits if not row.pin]
        at += [(self._post_at(lane, row), row) for row in posts]
        at += [(max(row.next_try, row.shown_at + gap), row) for row in edits if row.pin]
        due = next((row for when, row in at if when <= now), None)
        return due, min((when - now for when, _ in at), default=None)

    def _post_at(self, lane: str, row: Wanted) -> float:
        if row.state == "flight":
            return max(row.next_try, (row.begun or 0.0) + self.pace.settle)
        return max(row.next_try, self._posted.get(lane, 0.0) + self.pace.post)

    async def _do(self, channel: str, row: Wanted) -> None:
        call, out = self.store.call, self.store.slack.out
        try:
            if row.stale:
                await self._edit(row)
            elif row.state == "flight":
                await self._look(channel, row)
            elif row.kind == "file":
                await self._upload(channel, row)
            else:
                await self._post(channel, row)
        except Later as error:
            at = self.clock() + max(error.after, self._backoff(row.attempts))
            surely_not = row.state == "new"
            await call(out.not_sent if surely_not else out.later, row.key, at, error.code)
        except Uncertain as error:
            after = max(self.pace.settle, self._backoff(row.attempts))
            await call(out.later, row.key, self.clock() + after, error.code)
        except Refused as error:
            if error.code in LACKING:
                if row.error != error.code:
                    log.warning("%s waits until the app may show it in Slack: %s", row.key, error.code)
                await self._waits(row, error.code)
            elif error.code not in LOST or not await self._lost(channel, row, error.code):
                await self._refused(row, error.code)

    async def _waits(self, row: Wanted, code: str) -> None:
        out = self.store.slack.out
        later = out.not_sent if row.state == "new" else out.later
        await self.store.call(later, row.key, self.clock() + self._backoff(row.attempts), code)

    async def _lost(self, channel: str, row: Wanted, code: str) -> bool:
        """The channel is gone: an incident's is made anew, another one is looked for; ``False`` if it is to stay so."""
        out = self.store.slack.out
        lane = await self.store.call(out.lane, row.lane)
        if lane is None or lane.wanted.get("archive") or int(lane.done.get("lost", 0)) >= MOST_LOST:
            return False
        if row.stale and row.channel != channel:
            # It stands in the channel before this one, where nobody looks any more.
            await self.store.call(out.gone, row)
            return True
        at = self.clock() + self._backoff(row.attempts)
        log.warning("the Slack channel of %s is lost (%s); it is sought or made anew", row.lane, code)
        await self.store.call(out.lost, lane, row, at, code)
        return True

    async def _post(self, channel: str, row: Wanted) -> None:
        call, out = self.store.call, self.store.slack.out
        parent = await call(out.get, row.parent) if row.parent and row.error != "thread_not_found" else None
        thread = parent.ts if parent is not None and parent.channel == channel else None
        await call(out.begin, row.key, self.clock())
        self._posted[row.lane] = self.clock()
        more = {"thread_ts": thread} if thread else {}
        answer = await self.client.call(
            "chat_postMessage", channel=channel, **_said(row), unfurl_links=False, unfurl_media=False, **more
        )
        error = row.error if row.plain else None
        await call(out.stands, row, str(answer["channel"]), str(answer["ts"]), self.clock(), error)
        await self._pin(row, str(answer["channel"]), str(answer["ts"]))

    async def _edit(self, row: Wanted) -> None:
        assert row.channel is not None and row.ts is not None
        out = self.store.slack.out
        try:
            await self.client.call("chat_update", channel=row.channel, ts=row.ts, **_said(row))
        except Refused as error:
            if error.code != "message_not_found":
                raise
            await self.store.call(out.gone, row)
            return
        await self.store.call(out.stands, row, row.channel, row.ts, self.clock(), row.error if row.plain else None)

    async def _upload(self, channel: str, row: Wanted) -> None:
        call, out = self.store.call, self.store.slack.out
        content = await call(out.content, row.key)
        sent = await files.send(self.client, str(row.wanted["name"]), content)
        await call(out.begin, row.key, self.clock())
        await files.share(self.client, sent, str(row.wanted["title"]), channel)
        await call(out.stands, row, channel, sent, self.clock())

    async def _look(self, channel: str, row: Wanted) -> None:
        """Look whether what was in flight stands; if not, it is sent again."""
        call, out = self.store.call, self.store.slack.out
        try:
            found = await self._find(channel, row)
        except Refused as error:
            log.warning("Slack does not let us look for %s (%s); it may be posted twice", row.key, error.code)
            found = None
        if found is None:
            await call(out.not_sent, row.key, 0.0, "not_found")
            return
        ts, digest = found
        await call(out.found, row, channel, ts, digest, self.clock())
        await self._pin(row, channel, ts)

    async def _find(self, channel: str, row: Wanted) -> tuple[str, str] | None:
        parent = await self.store.call(self.store.slack.out.get, row.parent) if row.parent else None
        given: dict[str, Any] = {"channel": channel, "limit": PAGE, "include_all_metadata": True}
        given["oldest"] = f"{(row.begun or 0.0) - SKEW:.6f}"
        method = "conversations_history"
        if parent is not None and parent.ts and parent.channel == channel:
            method, given["ts"] = "conversations_replies", parent.ts
        for _ in range(PAGES):
            answer = await self.client.call(method, **given)
            for message in answer.get("messages") or ():
                if row.kind == "file":
                    file = files.named(message, str(row.wanted["name"]))
                    if file is not None:
                        return file, row.wanted_hash
                payload = (message.get("metadata") or {}).get("event_payload") or {}
                if payload.get("key") == row.key:
                    return str(message["ts"]), str(payload.get("hash") or "")
            given["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor")
            if not given["cursor"]:
                break
        return None

    async def _refused(self, row: Wanted, code: str) -> None:
        call, out = self.store.call, self.store.slack.out
        if row.kind == "message" and not row.plain and row.wanted.get("blocks"):
            log.warning("Slack refuses the blocks of %s: %s; its text is shown alone", row.key, code)
            await call(out.plainly, row, code)
            return
        log.error("Slack refuses %s for good: %s; it is not shown there", row.key, code)
        await call(out.refuse, row, code)

    async def _pin(self, row: Wanted, channel: str, ts: str) -> None:
        if row.pin:
            try:
                await self.client.call("pins_add", channel=channel, timestamp=ts)
            except (Later, Uncertain, Refused) as error:
                if error.code != "already_pinned":
                    log.warning("the status card of %s is not pinned: %s", row.incident, error.code)

    def _backoff(self, attempts: int) -> float:
        return min(self.pace.ceiling, self.pace.base * 2.0 ** min(attempts, 16)) * random.uniform(0.75, 1.0)


def _said(row: Wanted) -> dict[str, Any]:
    """What a message says, with the mark by which it is found again."""
    payload = {"key": row.key, "hash": row.wanted_hash}
    said: dict[str, Any] = {"text": row.wanted["text"], "metadata": {"event_type": EVENT, "event_payload": payload}}
    if row.wanted.get("blocks") and not row.plain:
        said["blocks"] = row.wanted["blocks"]
    return said
