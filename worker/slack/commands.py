"""Carrying out what people asked with ``/stanch`` and with buttons that are no decisions."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from worker.desk.decisions import Actor
from worker.desk.desk import Desk
from worker.desk.handover import handover
from worker.desk.life import NEEDS_INSTANT
from worker.desk.refusals import DeskRefusal
from worker.desk.times import stamp
from worker.desk.views import hold_document
from worker.slack import words
from worker.slack.blocks import Bold, Channel, Code, Line, Message, People, When, message, paragraph
from worker.slack.identity import Identities
from worker.slack.marks import banner, fact, marked, worded
from worker.slack.ports import Shown
from worker.slack.status_card import status_card
from workflows.messages import Receipt

CLOSED = frozenset({"closed", "false_alarm"})
FOR_ALL = frozenset({"take", "pause", "resume", "cancel", "close"})
"""Said to everybody in the incident's channel, because it concerns them."""
MOST, WHY = 20, 500
DONE = {
    "take": "took command",
    "pause": "paused it: no further step starts",
    "resume": "let it go on",
    "cancel": "cancelled its runs",
    "close": "closed it",
}


class Commands:
    """One method for each word; each returns what the asker is told."""

    def __init__(self, desk: Desk, shown: Shown, identities: Identities) -> None:
        self._desk, self._shown, self._identities = desk, shown, identities
        self._verbs: dict[str, Callable[[Actor, str, str], Awaitable[Message]]] = {
            "list": self._list,
            "status": self._status,
            "mine": self._mine,
            "ack": self._ack,
            "take": self._take,
            "note": self._note,
            "tell": self._tell,
            "handover": self._handover,
            "hold": self._hold,
            "pause": self._pause,
            "resume": self._resume,
            "cancel": self._cancel,
            "clock": self._clock,
            "close": self._close,
        }

    async def carry(self, what: Mapping[str, Any], actor: Actor) -> Message:
        """Do it; repeated with the same request, it is done once.

        Raises:
            DeskRefusal: It was not done.
        """
        verb = str(what["verb"])
        here = self._shown.incident_in(str(what.get("channel") or ""))
        incident = str(what.get("incident") or "") or (here or "")
        told = await self._verbs[verb](actor, incident, str(what.get("rest") or ""))
        if verb == "handover" and here == incident:
            told = words.said("The hand-over stands in this channel.")
        if verb in FOR_ALL:
            who = self.people().mention(actor.name)
            mode = self._desk.installation.context.mode.value
            why = fact(_reason(verb, str(what.get("rest") or "")), WHY)
            did = DONE[verb]
            if verb == "close" and _status(str(what.get("rest") or "")) == "false_alarm":
                did += " as a false alarm"
            done = f" {did}: {why}" if why else f" {did}."
            told_all = message(marked(mode, f"{incident}: {actor.name}{done}"), [paragraph([who, done]), *banner(mode)])
            self._shown.say(f"{incident}:said:{actor.request}", incident, told_all)
        if incident:
            self._shown.poke(incident)
        return told

    def people(self) -> People:
        """Everybody with a user id here."""
        known = self._desk.store.people.list()
        return People({each.name: user for each in known if (user := self._identities.user(each.name))})

    def held(self) -> bool:
        """Whether every new effect is held now."""
        return bool(hold_document(self._desk.store)["on"])

    async def _list(self, _actor: Actor, _incident: str, _rest: str) -> Message:
        rows = [row for row in await self._desk.views.overview() if row["status"] not in CLOSED]
        if not rows:
            return words.said("No incident is open.")
        lines: list[Line] = [
            [Code(row["incident"]), f"  {row['title']}  ", Bold(row["status"]), f", {row['waiting']} waiting"]
            for row in rows[:MOST]
        ]
        if len(rows) > MOST:
            lines.append([f"and {len(rows) - MOST} more"])
        return message(f"{len(rows)} open incidents", [paragraph(*lines)])

    async def _status(self, _actor: Actor, incident: str, _rest: str) -> Message:
        document = await self._desk.views.incident(_named(incident))
        return status_card(document, people=self.people(), now=datetime.now(UTC))

    async def _mine(self, actor: Actor, _incident: str, _rest: str) -> Message:
        found = [entry for entry in await self._desk.views.waiting() if actor.name in entry["who"].get("may", ())]
        if not found:
            return words.said("Nothing waits for you.")
        lines: list[Line] = []
        for entry in found[:MOST]:
            until: Line = ["  until ", When(entry["until"])] if entry.get("until") else []
            asked = fact(entry.get("question") or entry["step"], 200)
            lane = await self._desk.store.call(self._desk.store.slack.out.lane, entry["incident"])
            where: Line = ["  in ", Channel(lane.channel)] if lane and lane.channel else []
            lines.append([Code(entry["incident"]), f"  {asked}", *until, *where])
            if entry.get("next"):
                lines.append([f"      {worded(entry['next'])}"])
        said = f"{len(found)} {'waits' if len(found) == 1 else 'wait'} for you"
        return message(said, [paragraph([Bold(said)], *lines)])

    async def _ack(self, actor: Actor, incident: str, _rest: str) -> Message:
        return words.received(self._desk.life.ack(_named(incident), actor))

    async def _take(self, actor: Actor, incident: str, rest: str) -> Message:
        return _done(await self._desk.life.take(_named(incident), actor, rest))

    async def _note(self, actor: Actor, incident: str, rest: str) -> Message:
        return _done(self._desk.notes.note(_named(incident), actor, rest))

    async def _tell(self, actor: Actor, incident: str, rest: str) -> Message:
        role, _, text = rest.partition(" ")
        return _done(self._desk.notes.tell(_named(incident), actor, text, [role] if role else []))

    async def _handover(self, actor: Actor, incident: str, _rest: str) -> Message:
        """Five lines for everybody in the incident's channel: whoever takes over reads them there."""
        document = await self._desk.views.incident(_named(incident))
        mode = self._desk.installation.context.mode.value
        lines = handover(document, datetime.now(UTC))
        text = f"Hand-over of {incident} by {actor.name}"
        who: Line = [Bold("Hand-over"), " by ", self.people().mention(actor.name)]
        blocks = [paragraph(who, *([line] for line in lines)), *banner(mode)]
        self._shown.say(f"{incident}:handover:{actor.request}", incident, message(marked(mode, text), blocks))
        return words.said(*lines)

    async def _hold(self, actor: Actor, _incident: str, rest: str) -> Message:
        word, _, reason = rest.partition(" ")
        if word == "on":
            self._desk.life.hold_on(actor, reason.strip())
            return words.said("Every new effect is held, everywhere.", "/stanch hold off ends it.")
        if word == "off":
            self._desk.life.hold_off(actor)
            return words.said("The hold is over: effects go on.")
        if word in ("", "status"):
            hold = hold_document(self._desk.store)
            if not hold["on"]:
                return words.said("There is no hold.")
            return words.said(f"{hold['person']} holds every new effect since {hold['at']}: {hold['reason']}")
        raise DeskRefusal("bad_value", f"A hold is on, off or status, not {word[:40]}.", "/stanch hold on REASON")

    async def _pause(self, actor: Actor, incident: str, rest: str) -> Message:
        return _done(await self._desk.life.pause(_named(incident), actor, None, rest))

    async def _resume(self, actor: Actor, incident: str, rest: str) -> Message:
        return _done(await self._desk.life.resume(_named(incident), actor, None, rest))

    async def _cancel(self, actor: Actor, incident: str, rest: str) -> Message:
        return _done(await self._desk.life.cancel(_named(incident), actor, None, rest))

    async def _close(self, actor: Actor, incident: str, rest: str) -> Message:
        return _done(await self._desk.life.close(_named(incident), actor, _status(rest), _reason("close", rest)))

    async def _clock(self, actor: Actor, incident: str, rest: str) -> Message:
        clock, _, asked = rest.partition(" ")
        if not clock:
            document = await self._desk.views.incident(_named(incident))
            open_ones = [each for each in document["clocks"] if each["open"]]
            lines: list[Line] = []
            for each in open_ones[:MOST]:
                due: Line = ["  due ", When(each["due"])] if each.get("due") else []
                lines.append([Code(each["id"]), f"  {each['state']}", *due])
            if not lines:
                return words.said("No legal clock is open.")
            said = f"{len(open_ones)} legal {'clock is' if len(open_ones) == 1 else 'clocks are'} open"
            return message(said, [paragraph([Bold(said)], *lines)])
        verb, _, reason = asked.strip().partition(" ")
        at = None
        if verb in NEEDS_INSTANT:
            at, _, reason = reason.strip().partition(" ")
            at = _instant(at)
        return _done(await self._desk.life.clock(_named(incident), actor, clock, verb, at, reason.strip()))


def _instant(text: str) -> str:
    """An instant as the record writes it; ``now`` is one.

    Raises:
        DeskRefusal: ``bad_value`` for what is none, or says no zone.
    """
    if text == "now":
        return stamp()
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise DeskRefusal(
            "bad_value",
            f"{text[:40] or 'Nothing'} is no instant. Nothing was changed.",
            "Write now, or as 2026-11-25T14:30:00+01:00.",
        )
    return stamp(instant)


def _status(rest: str) -> str:
    """As what an incident is closed."""
    return "false_alarm" if rest.split(" ")[0] == "false_alarm" else "closed"


def _reason(verb: str, rest: str) -> str:
    """Why, without the word that says how something is closed."""
    word, _, reason = rest.partition(" ")
    return reason.strip() if verb == "close" and word in CLOSED else rest.strip()


def _named(incident: str) -> str:
    """The incident that is meant.

    Raises:
        DeskRefusal: ``not_found`` where none is named and this is no incident's channel.
    """
    if not incident:
        raise DeskRefusal(
            "not_found", "This is no incident's channel. Nothing was done.", "Name the incident: INC-YEAR-NUMBER."
        )
    return incident


def _done(receipt: Receipt) -> Message:
    """What came of it.

    Raises:
        DeskRefusal: with the receipt's code, where it was not accepted.
    """
    if not receipt.accepted:
        raise DeskRefusal(receipt.code, receipt.message)
    return words.received(receipt)
