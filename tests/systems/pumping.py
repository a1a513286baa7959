"""A pump over a real store and a simulated Slack, in one line, and what its channel shows."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from worker.slack.blocks import Message
from worker.slack.client import SlackClient
from worker.slack.lanes import Pace
from worker.slack.peer.server import SlackPeer
from worker.slack.pump import Pump
from worker.store import Store

INC = "INC-2026-1"
WANTED = {
    "name": "inc-2026-1-token-theft",
    "private": True,
    "topic": "Stolen token",
    "purpose": "Incident INC-2026-1",
    "people": [],
    "archive": False,
}
QUICK = Pace(post=0.0, card=0.1, settle=0.05, base=0.02, ceiling=0.2, lease=5.0, tick=0.05)


def said(text: str) -> Message:
    """A message of one section."""
    return Message(text, ({"type": "section", "text": {"type": "plain_text", "text": text}},))


def make_pump(store: Store, peer: SlackPeer, *, patience: float = 2.0, pace: Pace = QUICK, **more: Any) -> Pump:
    """A pump with its own client."""
    client = SlackClient(peer.bot_token, endpoint=peer.api_url, patience=patience)
    return Pump(store, client, workspace=peer.team_id, pace=pace, **more)


@contextlib.asynccontextmanager
async def pumping(*pumps: Pump) -> AsyncIterator[None]:
    """They pump while the block runs."""
    tasks = [asyncio.create_task(pump.keep_pumping()) for pump in pumps]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(true: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.01)


def settled(store: Store) -> bool:
    """Whether nothing is left to do."""
    return not store.slack.out.due()


def texts(peer: SlackPeer, channel: str) -> list[str]:
    """What stands in a channel, oldest first."""
    return [message.text for message in peer.state.channels[channel].standing()]


def channel_of(store: Store, lane: str = INC) -> str:
    """The channel of a lane."""
    held = store.slack.out.lane(lane)
    assert held is not None and held.channel is not None
    return held.channel
