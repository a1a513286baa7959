"""Channels: an incident's own, the main one, one person's direct messages. Made once, adopted only if ours."""

import re
import secrets
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from worker.slack.client import Refused, SlackClient
from worker.store import Store
from worker.store.slack_outgoing import Lane

MAIN = "main"
PERSON = "person:"
LONGEST = 80
TOPIC = 250
SUFFIXES = 20
JUST = 600
"""Seconds within which a channel without a purpose can be the one that we have just made."""
IDS = re.compile(r"[CG][A-Z0-9]{2,30}\Z")
COME = frozenset({"already_in_channel", "cant_invite_self"})


def channel_name(incident: str, title: str, mode: str) -> str:
    """``inc-2026-1-short-title`` by Slack's rules: lower-case letters, digits and hyphens, at most 80."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    head = ("ex-" if mode == "exercise" else "") + incident.lower()
    short = words if len(words) <= 40 else words[:41].rpartition("-")[0] or words[:40]
    return f"{head}-{short}".strip("-")[: LONGEST - 4].rstrip("-")


class Channels:
    """Makes a lane's channel as it is wanted, in steps that can each be taken again.

    Wanted of an incident's: ``name private topic purpose people`` (user ids) and ``archive``. Of the main one:
    ``channel`` (id or name). Of a person's: ``user``.
    """

    def __init__(self, store: Store, client: SlackClient, clock: Callable[[], float] = time.time) -> None:
        self._store, self._client, self._clock = store, client, clock

    async def make_so(self, lane: Lane) -> bool:
        """Bring a channel to where messages can be posted, one step of it; whether there is another.

        Raises:
            Refused, Later, Uncertain: as Slack answers.
        """
        if not lane.wanted:
            return False
        if lane.channel is None:
            await self._find_or_make(lane)
            return True
        if lane.incident is None:
            await self._store.call(self._store.slack.out.settle, lane, lane.done)
            return False
        wanted, done = lane.wanted, lane.done
        if done.get("purpose") is None:
            purpose = f"{wanted['purpose']} {_marker(done)}"
            await self._client.call("conversations_setPurpose", channel=lane.channel, purpose=purpose[-TOPIC:])
            return await self._done(lane, purpose=wanted["purpose"])
        if done.get("topic") != wanted["topic"]:
            await self._client.call("conversations_setTopic", channel=lane.channel, topic=wanted["topic"][:TOPIC])
            return await self._done(lane, topic=wanted["topic"])
        missing = [user for user in wanted["people"] if user not in (*done.get("invited", ()), *done.get("barred", {}))]
        if missing:
            return await self._invite(lane, missing[0])
        if not wanted.get("archive"):
            await self._store.call(self._store.slack.out.settle, lane, done)
        return False

    async def finish(self, lane: Lane) -> bool:
        """Archive a channel in which all stands, if that is wanted; never more to do."""
        if lane.channel is not None and lane.wanted.get("archive"):
            try:
                await self._client.call("conversations_archive", channel=lane.channel)
            except Refused as error:
                if error.code != "already_archived":
                    raise
            await self._store.call(self._store.slack.out.settle, lane, {**lane.done, "archived": True})
        return False

    async def _find_or_make(self, lane: Lane) -> None:
        if "user" in lane.wanted:
            opened = await self._client.call("conversations_open", users=lane.wanted["user"])
            await self._is(lane, str(opened["channel"]["id"]))
        elif "channel" in lane.wanted:
            await self._is(lane, await self._known(str(lane.wanted["channel"])))
        else:
            await self._make(lane)

    async def _known(self, channel: str) -> str:
        if IDS.match(channel):
            return channel
        found = await self._named(channel.removeprefix("#"))
        if found is None:
            raise Refused("channel_not_found")
        return str(found["id"])

    async def _make(self, lane: Lane) -> None:
        done = lane.done
        if "token" not in done:
            # Before the first try: a channel that was made without our knowing it is known by this.
            await self._done(lane, token=secrets.token_hex(6), begun=int(self._clock()))
            done = (await self._store.call(self._store.slack.out.lane, lane.lane) or lane).done
        for number in range(1, SUFFIXES + 1):
            name = lane.wanted["name"] + (f"-{number}" if number > 1 else "")
            try:
                made = await self._client.call("conversations_create", name=name, is_private=lane.wanted["private"])
                channel = made["channel"]
            except Refused as error:
                if error.code != "name_taken":
                    raise
                held = await self._named(name)
                if held is None or not await self._ours(held, done):
                    continue
                channel = held
            await self._store.call(
                self._store.slack.out.change_lane, lane.lane, channel=str(channel["id"]), name=name, error=None
            )
            return
        raise Refused("name_taken")

    async def _ours(self, channel: Mapping[str, Any], done: Mapping[str, Any]) -> bool:
        purpose = str((channel.get("purpose") or {}).get("value") or "")
        if channel.get("creator") != await self._client.bot():
            return False
        if _marker(done) in purpose:
            return True
        return not purpose and int(channel.get("created") or 0) >= int(done["begun"]) - JUST

    async def _named(self, name: str) -> dict[str, Any] | None:
        given: dict[str, Any] = {"types": "public_channel,private_channel", "limit": 1000, "exclude_archived": True}
        while True:
            answer = await self._client.call("conversations_list", **given)
            for channel in answer.get("channels") or ():
                if channel.get("name") == name:
                    return dict(channel)
            given["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor")
            if not given["cursor"]:
                return None

    async def _invite(self, lane: Lane, user: str) -> bool:
        invited, barred = list(lane.done.get("invited", ())), dict(lane.done.get("barred", {}))
        try:
            await self._client.call("conversations_invite", channel=lane.channel, users=user)
            invited.append(user)
        except Refused as error:
            if error.code in COME:
                invited.append(user)
            else:
                barred[user] = error.code
        return await self._done(lane, invited=invited, barred=barred)

    async def _is(self, lane: Lane, channel: str) -> None:
        await self._store.call(self._store.slack.out.change_lane, lane.lane, channel=channel, error=None)

    async def _done(self, lane: Lane, **more: Any) -> bool:
        kept = replace(lane, done={**lane.done, **more})
        await self._store.call(self._store.slack.out.change_lane, lane.lane, done=kept.done, attempts=0, error=None)
        return True


def _marker(done: Mapping[str, Any]) -> str:
    return f"[stanch {done['token']}]"
