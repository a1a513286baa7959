"""What every card says alike: the mark of an exercise, time left, names, and counted lists. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.slack.blocks import Block, Bold, Code, Line, People, Span, When, paragraph, size
from worker.slack.text import short, shown, units

EXERCISE = "EXERCISE"
NAMES, NAME = 3, 60
FACT = 250
"""UTF-16 units of one fact; a longer one says that it is cut."""
CUT = " … (cut here)"
ROOM = 1000
"""Characters of one list, as JSON."""
SNAKE = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")
MINUTES = (1, 2, 5, 10, 15, 20, 30, 45, 60)


def marked(mode: str, text: str) -> str:
    """A text that says first whether this is an exercise."""
    return f"{EXERCISE} · {text}" if mode == "exercise" else text


def banner(mode: str) -> list[Block]:
    """The line that ends every message of an exercise."""
    if mode != "exercise":
        return []
    return [paragraph([Bold("🟦 EXERCISE: this is practice, not a live incident.")])]


def command(incident: str) -> Code:
    """Where the whole of it can be read."""
    return Code(f"stanch incident show {incident}")


def names(found: Sequence[str], count: int | None = None, most: int = NAMES) -> str:
    """The first names, and how many more: ``a, b, c and 37 more``; each name is whole and bounded."""
    whole = len(found) if count is None else max(count, len(found))
    said = [short(shown_once(name), NAME) for name in found[:most]]
    more = whole - len(said)
    return ", ".join(said) + (f" and {more:,} more" if more > 0 and said else "")


def shown_once(name: object) -> str:
    """A name on one line; constructors make it safe."""
    return " ".join(str(name).split())


def labelled(step: Mapping[str, Any]) -> list[str]:
    """Targets as people call them; an id where nobody has a name for it."""
    ids, labels = list(step.get("sample") or ()), list(step.get("labels") or ())
    labels += [""] * (len(ids) - len(labels))
    return [str(label or id_) for id_, label in zip(ids, labels, strict=False)]


def fact(text: object, most: int = FACT) -> str:
    """A fact on one line; one that is too long ends at a word and says so."""
    plain = shown_once(text)
    # Escapes of hidden characters make a text longer: what counts is what is shown.
    if len(plain) <= most and units(shown(plain)) <= most:
        return plain
    fits, over = 0, min(len(plain), most) + 1
    while over - fits > 1:
        middle = (fits + over) // 2
        if units(shown(plain[:middle])) <= most - len(CUT):
            fits = middle
        else:
            over = middle
    kept = plain[:fits]
    return (kept.rsplit(" ", 1)[0] if " " in kept[-40:] else kept) + CUT


def counted(items: Sequence[Line], most: int, what: str, incident: str, *, room: int = ROOM) -> list[Line]:
    """The first lines, as many as have room, and a line that counts the rest and points to it."""
    kept = fitting(items[:most], room)
    if kept == len(items):
        return list(items)
    return [*items[:kept], [f"and {len(items) - kept:,} more {what}: ", command(incident)]]


def fitting(lines: Sequence[Line], room: int) -> int:
    """How many of the lines have room; the first always has."""
    for at, line in enumerate(lines):
        room -= size(paragraph(line))
        if room < 0 and at:
            return at
    return len(lines)


def left(until: str | None, now: datetime) -> str:
    """Time left in steps that seldom change, so that a card is seldom edited."""
    if not until:
        return "no time limit"
    seconds = (datetime.fromisoformat(until) - now).total_seconds()
    if seconds <= 0:
        return "time is over"
    minutes = seconds / 60
    for step in MINUTES:
        if minutes <= step:
            return f"under {step} min left" if step > 1 else "under a minute left"
    hours = minutes / 60
    return f"about {round(hours)} h left" if hours < 48 else f"about {round(hours / 24)} days left"


def deadline(until: str | None, now: datetime) -> list[Span]:
    """Until when, and how long that is."""
    return [When(until), f" ({left(until, now)})"] if until else ["no time limit"]


def clock(at: str | None) -> str:
    """An instant for a lock screen."""
    return datetime.fromisoformat(at).astimezone(UTC).strftime("%H:%M UTC") if at else ""


def people_line(persons: Iterable[str], people: People, most: int = 5) -> list[Span]:
    """Persons, mentioned where Slack knows them."""
    listed = list(persons)
    spans: list[Span] = []
    for person in listed[:most]:
        spans += [", "] if spans else []
        spans.append(people.mention(person))
    return spans + ([f" and {len(listed) - most} more"] if len(listed) > most else [])


def role(name: str) -> str:
    """A role in words."""
    return str(name).replace("_", " ")


def worded(sentence: object) -> str:
    """A sentence of ours with its roles in words."""
    return SNAKE.sub(lambda found: role(found[0]), str(sentence))
