"""The words of ``/stanch``: what each does, how a line is read, and the nearest word to one that is unknown."""

import difflib
import re
from dataclasses import dataclass

from worker.slack.manifest import COMMAND

INCIDENT = re.compile(r"INC-[0-9]{4}-[0-9]+\Z", re.I)


@dataclass(frozen=True)
class Verb:
    """One word after the command: ``usage`` is the whole line, ``help`` what it does."""

    usage: str
    help: str
    of_incident: bool = False


VERBS = {
    "help": Verb("help", "this list"),
    "start": Verb("start [PLAYBOOK]", "start an incident with a playbook"),
    "list": Verb("list", "open incidents"),
    "status": Verb("status [ID]", "where an incident stands", of_incident=True),
    "mine": Verb("mine", "what waits for you"),
    "ack": Verb("ack [ID]", "you have seen it; pages to you stop", of_incident=True),
    "take": Verb("take [ID] [REASON]", "become its commander", of_incident=True),
    "note": Verb("note [ID] TEXT", "keep something in the timeline", of_incident=True),
    "tell": Verb("tell [ID] WHOM TEXT", "tell a role, channel, mail or page", of_incident=True),
    "handover": Verb("handover [ID]", "five lines for whoever takes over", of_incident=True),
    "hold": Verb("hold on REASON | off | status", "hold every new effect, everywhere"),
    "pause": Verb("pause [ID] [REASON]", "start no further step", of_incident=True),
    "resume": Verb("resume [ID] [REASON]", "go on after a pause", of_incident=True),
    "cancel": Verb("cancel [ID] [REASON]", "end its runs; undo is then offered", of_incident=True),
    "clock": Verb("clock [ID] [CLOCK VERB [INSTANT] REASON]", "legal clocks: list, or settle one", of_incident=True),
    "close": Verb("close [ID] [false_alarm] [REASON]", "close it", of_incident=True),
}
SLACK_ESCAPES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


@dataclass(frozen=True)
class Line:
    """A line as it is meant: the verb, the incident if one is named, and the rest."""

    verb: str
    incident: str = ""
    rest: str = ""


def read(text: str) -> Line:
    """Read what stands after the command; nothing is ``help``, and a word that is none stays as it is."""
    first, _, rest = plain(text).strip().partition(" ")
    verb, rest = first.lower() or "help", rest.strip()
    named, _, further = rest.partition(" ")
    if verb in VERBS and VERBS[verb].of_incident and INCIDENT.match(named):
        return Line(verb, named.upper(), further.strip())
    return Line(verb, "", rest)


def plain(text: str) -> str:
    """What was typed, without Slack's escapes."""
    for escaped, character in SLACK_ESCAPES:
        text = text.replace(escaped, character)
    return text


def nearest(word: str) -> str | None:
    """The word that was probably meant."""
    found = difflib.get_close_matches(word.lower(), VERBS, n=1, cutoff=0.5)
    return found[0] if found else None


def usage(verb: str) -> str:
    """The whole line of a verb."""
    return f"{COMMAND} {VERBS[verb].usage}"
