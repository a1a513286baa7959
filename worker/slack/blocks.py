"""Slack's blocks, each made by one constructor that makes its text safe; there is no other way to make one.

A line is a sequence of spans: ``str``, :class:`Bold`, :class:`Code`, :class:`When` (an instant, shown in the reader's
own time) and :class:`Who` (a person, mentioned where Slack knows them).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from worker.slack.text import fallback, short, shown

Block = dict[str, Any]

HEADER, SECTION, CONTEXT, BUTTON, TITLE, LABEL = 150, 2900, 1900, 75, 24, 1900
CONFIRM_TITLE, CONFIRM_TEXT, CONFIRM_BUTTON, PLACEHOLDER = 100, 300, 30, 150
MESSAGE_TEXT, PERSON = 2900, 80
MESSAGE_SIZE = 13_000


@dataclass(frozen=True)
class Message:
    """A message: ``text`` is what a lock screen shows and must do by itself; ``blocks`` are Block Kit's."""

    text: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class People:
    """Persons and their Slack user ids."""

    ids: Mapping[str, str] = field(default_factory=dict)

    def mention(self, person: str) -> "Who":
        """A person as a span: mentioned, or by name where Slack does not know them."""
        return Who(person, self.ids.get(person))


@dataclass(frozen=True)
class Bold:
    """Text that is to be seen first."""

    text: str


@dataclass(frozen=True)
class Code:
    """Text to be copied as it is, such as an id or a command."""

    text: str


@dataclass(frozen=True)
class When:
    """An instant (ISO 8601), in the reader's own time zone; in UTC where a client cannot."""

    instant: str
    format: str = "{time}, {date_short_pretty}"


@dataclass(frozen=True)
class Who:
    """A person, with the Slack user id if there is one."""

    person: str
    user: str | None = None


@dataclass(frozen=True)
class Channel:
    """A channel, as a link to it."""

    id: str


Span = str | Bold | Code | When | Who | Channel
Line = Sequence[Span]


def message(text: str, blocks: Iterable[Block]) -> Message:
    """A message of blocks, with its plain fallback."""
    return Message(short(fallback(text), MESSAGE_TEXT), tuple(blocks))


def header(text: str) -> Block:
    """A heading in large letters."""
    return {"type": "header", "text": _plain(text, HEADER)}


def divider() -> Block:
    """A rule across."""
    return {"type": "divider"}


def small(text: str) -> Block:
    """Grey small text."""
    return {"type": "context", "elements": [_plain(text, CONTEXT)]}


def paragraph(*lines: Line) -> Block:
    """Lines of spans, one below the other."""
    return {"type": "rich_text", "elements": [_section(line) for line in lines]}


def bullets(heading: Line | None, items: Iterable[Line]) -> Block:
    """A list below an optional line; at least one item."""
    listed = {"type": "rich_text_list", "style": "bullet", "elements": [_section(item) for item in items]}
    return {"type": "rich_text", "elements": [*([_section(heading)] if heading else []), listed]}


def actions(*elements: Block) -> Block:
    """A row of buttons."""
    return {"type": "actions", "elements": list(elements)}


def button(label: str, action_id: str, value: str, *, style: str = "", confirm: Block | None = None) -> Block:
    """A button; ``style`` is empty, ``primary`` or ``danger``; ``value`` is an id and nothing else."""
    made: Block = {"type": "button", "text": _plain(label, BUTTON), "action_id": action_id, "value": value}
    return made | ({"style": style} if style else {}) | ({"confirm": confirm} if confirm else {})


def confirm(title: str, text: str, yes: str, no: str, *, danger: bool = False) -> Block:
    """The dialog that asks once more; ``text`` must be whole at 300 units."""
    return {
        "title": _plain(title, CONFIRM_TITLE),
        "text": _plain(text, CONFIRM_TEXT, lines=True),
        "confirm": _plain(yes, CONFIRM_BUTTON),
        "deny": _plain(no, CONFIRM_BUTTON),
        "style": "danger" if danger else "primary",
    }


def modal(title: str, callback_id: str, blocks: Iterable[Block], *, submit: str = "", metadata: str = "") -> Block:
    """A modal; without ``submit`` it can only be closed."""
    view: Block = {
        "type": "modal",
        "callback_id": callback_id,
        "title": _plain(title, TITLE),
        "close": _plain("Cancel" if submit else "Close", TITLE),
        "private_metadata": metadata,
        "blocks": list(blocks),
    }
    return view | ({"submit": _plain(submit, TITLE)} if submit else {})


def asked(
    block_id: str, label: str, element: Block, *, hint: str = "", optional: bool = False, live: bool = False
) -> Block:
    """An input with its label; ``live`` sends a change at once."""
    made: Block = {
        "type": "input",
        "block_id": block_id,
        "label": _plain(label, LABEL),
        "element": element,
        "optional": optional,
    }
    return made | ({"hint": _plain(hint, LABEL)} if hint else {}) | ({"dispatch_action": True} if live else {})


def options(pairs: Iterable[tuple[str, str]]) -> list[Block]:
    """Choices as ``(value, label)``; a long label goes on in its description."""
    made = []
    for value, label in pairs:
        text = shown(label)
        option: Block = {"text": _plain(text, BUTTON, safe=True), "value": value}
        rest = text[len(option["text"]["text"]) - 1 :] if option["text"]["text"] != text else ""
        made.append(option | ({"description": _plain("…" + rest, BUTTON, safe=True)} if rest else {}))
    return made


def plain(text: str, most: int) -> Block:
    """A text object for an element's own parts (placeholders, labels of groups)."""
    return _plain(text, most)


def utc(instant: str) -> str:
    """An instant in words, in UTC."""
    return datetime.fromisoformat(instant).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def size(block: Block) -> int:
    """Characters of a block as JSON, which is what Slack counts of a message: at most ``MESSAGE_SIZE`` together."""
    return len(json.dumps(block, ensure_ascii=False, separators=(",", ":"))) + 1


def _plain(text: str, most: int, *, lines: bool = False, safe: bool = False) -> Block:
    said = text if safe else shown(text, lines=lines)
    return {"type": "plain_text", "text": short(said, most) or "-", "emoji": False}


def _section(line: Line) -> Block:
    return {"type": "rich_text_section", "elements": [_span(span) for span in line if _filled(span)] or [_span("-")]}


def _filled(span: Span) -> bool:
    return bool(span) if isinstance(span, str) else True


def _span(span: Span) -> Block:
    if isinstance(span, When):
        at = int(datetime.fromisoformat(span.instant).timestamp())
        return {"type": "date", "timestamp": at, "format": span.format, "fallback": utc(span.instant)}
    if isinstance(span, Who) and span.user and re.fullmatch(r"[UW][A-Z0-9]{2,20}", span.user):
        return {"type": "user", "user_id": span.user}
    if isinstance(span, Who):
        return {"type": "text", "text": short(shown(span.person), PERSON) or "-", "style": {"bold": True}}
    if isinstance(span, Channel):
        return {"type": "channel", "channel_id": span.id}
    raw = span if isinstance(span, str) else span.text
    edges = (" " if raw[:1] == " " else "", " " if len(raw) > 1 and raw[-1:] == " " else "")
    text = short(f"{edges[0]}{shown(raw)}{edges[1]}", SECTION) or "-"
    style = {"bold": True} if isinstance(span, Bold) else {"code": True} if isinstance(span, Code) else None
    return {"type": "text", "text": text} | ({"style": style} if style else {})
