"""A reaction keeps a message in the timeline: who wrote it, and who marked it."""

from collections.abc import Mapping
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from worker.desk.decisions import Actor
from worker.desk.desk import Desk
from worker.desk.refusals import DeskRefusal
from worker.desk.rights import require
from worker.slack import words
from worker.slack.blocks import Message
from worker.slack.identity import Identities, Origin
from worker.slack.ports import Shown

MOST = 3000


class Reactions:
    """Keeps what was marked."""

    def __init__(self, desk: Desk, web: AsyncWebClient, shown: Shown, identities: Identities, workspace: str) -> None:
        self._desk, self._web, self._shown = desk, web, shown
        self._identities, self._workspace = identities, workspace

    async def carry(self, what: Mapping[str, Any], actor: Actor) -> Message | None:
        """Keep the marked message, once, whoever marks it; nothing outside of incidents' channels."""
        channel, ts = str(what["channel"]), str(what["ts"])
        incident = self._shown.incident_in(channel)
        if incident is None:
            return None
        require(actor.name, actor.roles, "note")
        found = await self._message(channel, ts)
        if found is None:
            raise DeskRefusal("not_found", "The marked message cannot be read here. Nothing was kept.")
        if found.get("bot_id"):
            raise DeskRefusal("bad_value", "What Stanch says is in the timeline already. Nothing was kept.")
        user = str(found.get("user") or what.get("author") or "")
        author = self._identities.person(Origin(self._workspace, user))
        body = {"channel": channel, "ts": ts, "author": author.name if author else user, "marked_by": actor.name}
        text = str(found.get("text") or "")[:MOST]
        kept = self._desk.notes.note(incident, actor, text, source=body, key=f"desk/marked/{channel}/{ts}")
        self._shown.poke(incident)
        return words.said(kept.message)

    async def _message(self, channel: str, ts: str) -> dict[str, Any] | None:
        # Of a thread's message its own thread is asked: the channel's history does not hold it.
        answer = await self._web.conversations_replies(channel=channel, ts=ts, latest=ts, inclusive=True, limit=1)
        return next((dict(each) for each in answer["messages"] if each.get("ts") == ts), None)
