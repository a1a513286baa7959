"""Starting an incident from Slack, also from a message: what it says is evidence, and nobody's word."""

from collections.abc import Mapping
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from worker.desk.decisions import Actor
from worker.desk.desk import Desk
from worker.desk.entries import entry_of
from worker.desk.rights import require
from worker.slack.answers import FAILURES
from worker.slack.blocks import Code, Line, Message, message, paragraph
from worker.slack.ports import Shown

TITLE = 150


class Starting:
    """Starts what a form asked for."""

    def __init__(self, desk: Desk, web: AsyncWebClient, shown: Shown) -> None:
        self._desk, self._web, self._shown = desk, web, shown

    async def carry(self, what: Mapping[str, Any], actor: Actor) -> Message:
        """Open the incident and start its playbook; repeated with the same request, it is the same incident.

        Raises:
            DeskRefusal: It was not started.
        """
        require(actor.name, actor.roles, "start")
        started = await self._desk.starts.by_person(
            actor.name,
            str(what["playbook"]),
            what.get("inputs") or {},
            title=" ".join(str(what.get("title") or "").split())[:TITLE],
            severity=int(what.get("severity") or 3),
            door=actor.door,
            request=f"slack/{actor.request}",
        )
        if what.get("message_ts"):
            await self._attach(started.incident, what, actor)
        self._shown.poke(started.incident)
        told: Line = [Code(started.incident), f" is open, and {started.playbook} "]
        ends = "runs." if started.confirmed else "starts as soon as Temporal answers."
        lines: list[Line] = [[*told, ends]]
        lines += [[str(warning.get("message", ""))] for warning in started.warnings]
        return message(f"{started.incident} is open, and {started.playbook} {ends}", [paragraph(*lines)])

    async def _attach(self, incident: str, what: Mapping[str, Any], actor: Actor) -> None:
        """Keep the message as evidence, with its author and where it stands."""
        said = what.get("message") or {}
        channel, ts = str(what["channel"]), str(what["message_ts"])
        try:
            link = str((await self._web.chat_getPermalink(channel=channel, message_ts=ts))["permalink"])
        except FAILURES:
            link = ""
        body = {"channel": channel, "ts": ts, "author": str(said.get("author") or ""), "permalink": link}
        entry = entry_of(
            actor.name,
            actor.door,
            "incident.message_attached",
            body,
            str(said.get("text") or ""),
            key=f"desk/message/{channel}/{ts}",
        )
        self._desk.store.journal.append(incident, [entry])
