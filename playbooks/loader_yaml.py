"""Reading YAML strictly: plain mappings, lists and scalars, each with its place. No tags, no anchors, no floods.

Scalars are resolved as YAML 1.2 does, and narrower: ``true false null``, decimal numbers; all else is text as
written. So ``no``, ``on``, ``012``, ``1:30``, ``0x1F`` and ``2026-01-31`` stay what the author sees.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from playbooks.contract import Json

Loc = tuple[str | int, ...]
Place = tuple[int, int]
"""Line and column, from 1."""

MAX_DEPTH = 40
MAX_NODES = 20_000
MAX_INTEGER = 2**53 - 1

_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+([eE][-+]?[0-9]{1,4})?")
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2028\u2029\u202a-\u202e\u2060-\u2064\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)
_HINTS = {
    "mapping values are not allowed": "Put text that contains a colon and a space in quotes.",
    "cannot start any token": "Indent with spaces, never with tabs; put text that begins with @, ` or % in quotes.",
    "expected <block end>": "Check the indentation; text that begins with a quote or a brace must be quoted whole.",
    "could not find expected ':'": "Check the indentation, and that each key is followed by a colon.",
}


class YamlDefect(Exception):
    """The text is refused. ``code`` is a problem's code."""

    def __init__(self, code: str, message: str, place: Place, hint: str = "") -> None:
        """``place`` is where it stands."""
        super().__init__(message)
        self.code, self.message, self.place, self.hint = code, message, place, hint


@dataclass
class Document:
    """A document's value, and where its parts stand: ``keys`` of entries, ``values`` of everything."""

    value: Json = None
    keys: dict[Loc, Place] = field(default_factory=dict)
    values: dict[Loc, Place] = field(default_factory=dict)

    def where(self, loc: Loc, *, key: bool = False) -> Place:
        """Place of a part: of a scalar its value, of an entry that holds more its key, of a list's entry its start.

        With ``key`` always the key. A part that does not exist has the place of what should hold it.
        """
        while loc and loc not in self.values:
            loc = loc[:-1]
        if loc in self.keys and (key or isinstance(self.at(loc), dict | list)):
            return self.keys[loc]
        return self.values.get(loc, (1, 1))

    def at(self, loc: Loc) -> Json:
        """The value of a part; ``None`` if there is none."""
        value = self.value
        for step in loc:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def read(text: str) -> Document:
    """Read one document.

    Raises:
        YamlDefect: ``yaml_syntax``, ``yaml_tag``, ``yaml_too_big``, or ``bad_value`` for a number out of range.
    """
    text = text.removeprefix("\ufeff")
    _refuse_invisible(text)
    try:
        return _Composer(text).document()
    except yaml.MarkedYAMLError as error:
        problem = error.problem or str(error)
        hint = next((hint for sign, hint in _HINTS.items() if sign in problem), "")
        mark = error.problem_mark
        if mark is not None and mark.index >= len(text.rstrip()) and error.context_mark is not None:
            # What is missing at the end of the file belongs to what was opened.
            mark = error.context_mark
        line, column = _place(mark)
        line = min(line, text.count("\n") + 1)
        raise YamlDefect("yaml_syntax", f"This is not valid YAML: {problem}.", (line, column), hint) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise YamlDefect("yaml_syntax", f"This is not valid YAML: {said}.", (1, 1)) from None


def _place(mark: Any) -> Place:
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _refuse_invisible(text: str) -> None:
    found = _INVISIBLE.search(text)
    if found:
        start = found.start()
        place = (text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))
        said = f"The character U+{ord(found.group()):04X} cannot be seen by a reviewer and is not allowed."
        raise YamlDefect("yaml_syntax", said, place, "Remove it.")


class _Composer:
    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_PARSER))
        self._text = text
        self._nodes = 0
        self._found = Document()

    def document(self) -> Document:
        next(self._events)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise YamlDefect("yaml_syntax", "The file is empty.", (1, 1))
        if start.tags:
            raise YamlDefect("yaml_tag", "Tags are not allowed, nor is declaring them.", _place(start.start_mark))
        self._found.value = self._node(next(self._events), (), 1)
        next(self._events)
        more = next(self._events)
        if not isinstance(more, yaml.StreamEndEvent):
            said = "The file holds more than one document."
            raise YamlDefect("yaml_syntax", said, _place(more.start_mark), "Put each playbook into its own file.")
        return self._found

    def _node(self, event: Any, loc: Loc, depth: int) -> Json:
        place = self._checked(event, depth)
        self._found.values[loc] = place
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(loc, depth)
        return self._mapping(loc, depth)

    def _checked(self, event: Any, depth: int) -> Place:
        place = _place(event.start_mark)
        self._nodes += 1
        if event.anchor is not None or isinstance(event, yaml.AliasEvent):
            said = "Anchors and aliases are not allowed: with them a small file can grow without bound."
            raise YamlDefect("yaml_too_big", said, place, "Write the value out where it is needed.")
        if event.tag is not None:
            raise YamlDefect("yaml_tag", f"The tag {event.tag[:60]} is not allowed.", place, "Remove it.")
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            limit = f"more than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"more than {MAX_NODES} values"
            raise YamlDefect("yaml_too_big", f"The file has {limit}.", place, "Split it into several playbooks.")
        return place

    def _scalar(self, event: Any, place: Place) -> Json:
        text: str = event.value
        if not event.implicit[0]:
            if _INVISIBLE.search(text):
                raise YamlDefect("yaml_syntax", "The text holds an invisible character, by an escape.", place)
            return text
        if text in _NULLS:
            return None
        if text in _WORDS:
            return _WORDS[text]
        number: float | None = int(text) if _INTEGER.fullmatch(text[:40]) and len(text) <= 40 else None
        if number is None and _FLOAT.fullmatch(text):
            number = float(text)
        if number is None:
            return text
        if not math.isfinite(number) or abs(number) > MAX_INTEGER:
            raise YamlDefect(
                "bad_value", f"The number {text[:40]} is too large.", place, "Is it an id? Put it in quotes."
            )
        return number

    def _sequence(self, loc: Loc, depth: int) -> list[Json]:
        items: list[Json] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*loc, len(items)), depth + 1))
        return items

    def _mapping(self, loc: Loc, depth: int) -> dict[str, Json]:
        entries: dict[str, Json] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, loc, depth)
            if key in entries:
                said = f"The key {key[:60]} stands here twice."
                raise YamlDefect("yaml_syntax", said, _place(event.start_mark), "Remove or rename one of them.")
            entries[key] = None
            self._found.keys[(*loc, key)] = _place(event.start_mark)
            entries[key] = self._node(next(self._events), (*loc, key), depth + 1)
        return entries

    def _key(self, event: Any, loc: Loc, depth: int) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            if isinstance(event, yaml.MappingStartEvent) and event.anchor is None and event.tag is None:
                said = "A text that begins with {{ must be in quotes."
                raise YamlDefect("yaml_syntax", said, self._found.values[loc], 'Write "{{ ... }}".')
            self._checked(event, depth)
            raise YamlDefect("yaml_syntax", "A key must be a word.", _place(event.start_mark))
        place = self._checked(event, depth)
        if event.implicit[0] and event.value == "<<":
            raise YamlDefect("yaml_syntax", "Merging mappings (<<) is not allowed.", place, "Write the keys out.")
        if _INVISIBLE.search(event.value):
            raise YamlDefect("yaml_syntax", "The key holds an invisible character, by an escape.", place)
        key: str = event.value
        return key
