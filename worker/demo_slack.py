"""The people of the unattended demo in Slack: they find the card in a channel, press its buttons, fill in its form.

What Slack does not show in time is decided through ``/v1``, as the same people would do with Slack down.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from worker.demo_people import Script
from worker.slack.names import DECIDE_FORM, DENY, FIELD, REASON, decide

if TYPE_CHECKING:
    from worker.range_slack import RangeSlack

Json = Mapping[str, Any]
PATIENCE, LOOK = 10.0, 0.1
OPENS = 30.0
"""Seconds within which a form opens, on a machine that also runs a whole company."""


@dataclass
class InSlack(Script):
    """Decides where the cards are.

    Attributes:
        slack: The workspace; None means that there is none.
    """

    slack: "RangeSlack | None" = None

    def _send(self, incident: str, name: str, entry: Json, body: Json) -> bool:
        if self.slack is None or not self.slack.peer.connections:
            return super()._send(incident, name, entry, body)
        verdict = str(body["verdict"])
        form = verdict == "answer" or (verdict == "done" and bool(entry.get("form")))
        action = DECIDE_FORM if form else decide(verdict)
        found = self._card(name, entry, action)
        if found is None:
            self.told(f"{name}: {entry['step']} was not to be seen in Slack; decided through /v1")
            return super()._send(incident, name, entry, body)
        asyncio.run(self._act(name, found, action, entry, body))
        return self._counted(incident, name, entry)

    def _card(self, name: str, entry: Json, action: str) -> tuple[str, str] | None:
        """Channel and ``ts`` of the card that this person sees and could use, waited for."""
        assert self.slack is not None
        person, digest = self.slack.person(name), f"digest {entry['digest'][:16]}"
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for channel in person.channels():
                for message in reversed(person.sees(channel)):
                    shown = json.dumps(message.get("blocks", ()), ensure_ascii=False)
                    if digest in shown and json.dumps(action) in shown:
                        return channel, message["ts"]
            time.sleep(LOOK)
        return None

    async def _act(self, name: str, card: tuple[str, str], action: str, entry: Json, body: Json) -> None:
        assert self.slack is not None
        person = self.slack.person(name)
        await person.click(*card, action)
        if action == DECIDE_FORM:
            await person.until(lambda: person.view, OPENS)
            fields = entry["form"]
            await person.submit({FIELD + key: entered(value, fields[key]) for key, value in body["values"].items()})
        elif action == DENY:
            await person.until(lambda: person.view, OPENS)
            await person.submit({REASON: body.get("reason", "")})

    def _counted(self, incident: str, name: str, entry: Json) -> bool:
        """Whether the record has the decision; looked for until it has, or Slack's patience is over."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            waiting = self.people[name].get("/v1/decisions", incident=incident)["decisions"]
            now = [each for each in waiting if all(each[key] == entry[key] for key in ("run", "step", "digest"))]
            if not now or any(vote["person"] == name for each in now for vote in each["decided"]):
                return True
            time.sleep(LOOK)
        self.told(f"{name}: {entry['step']}: pressed in Slack, and not counted in {PATIENCE:.0f} s; looks again")
        return False


def entered(value: Any, field: Json) -> Any:
    """A value as somebody gives it to the input that a field of this type becomes."""
    type_ = str(field.get("type", "string"))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if type_ == "datetime":
        return datetime.fromisoformat(str(value))
    if isinstance(value, list):
        if type_ == "list[choice]":
            return [str(each) for each in value]
        simple = value and not any("," in str(each) for each in value)
        return "\n".join(map(str, value)) if simple else json.dumps(value)
    return str(value)
