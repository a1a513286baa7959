"""Values within expressions: instants, durations, and the functions and filters over them, all bounded.

What goes in and what comes out is plain JSON. Instants are read from RFC 3339 text and written back as such;
durations are read from ``90s 15m 2h 3d`` and written as seconds (``5400s``).
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

from jinja2 import Undefined

from playbooks.contract import Json
from playbooks.expr_grammar import MAX_INTEGER
from playbooks.expr_text import ExprError

MAX_RESULT = 512 * 1024
"""Characters of a result, roughly as its JSON counts them; also of every value in between."""
MAX_ITEMS = 50_000
MAX_WORK = 250_000
"""Values that one evaluation may go through, in all its functions, filters and comparisons together."""
MAX_VALUE_DEPTH = 40
MAX_DAYS = 3650

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


_work_left: ContextVar[list[int]] = ContextVar("work_left")


@contextmanager
def bounded() -> Iterator[None]:
    """One evaluation: what happens within shares ``MAX_WORK``."""
    token = _work_left.set([MAX_WORK])
    try:
        yield
    finally:
        _work_left.reset(token)


def work(count: int) -> None:
    """Pay for going through so many values.

    Raises:
        ExprError: ``too_large``, when the evaluation has done enough.
    """
    left = _work_left.get(None)
    if left is not None:
        left[0] -= count
        if left[0] < 0:
            raise ExprError("too_large", "The expression goes through too many values; use several steps.")


class Instant(datetime):
    """An instant in UTC that also compares with its text."""

    @classmethod
    def of(cls, moment: datetime) -> "Instant":
        """The same instant in UTC."""
        utc = moment.astimezone(UTC)
        day = (utc.year, utc.month, utc.day)
        return cls(*day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=UTC)

    def __lt__(self, other: Any) -> bool:
        return super().__lt__(_comparable(other))

    def __le__(self, other: Any) -> bool:
        return super().__le__(_comparable(other))

    def __gt__(self, other: Any) -> bool:
        return super().__gt__(_comparable(other))

    def __ge__(self, other: Any) -> bool:
        return super().__ge__(_comparable(other))

    def __eq__(self, other: object) -> bool:
        return super().__eq__(_comparable(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = datetime.__hash__


def _comparable(other: Any) -> Any:
    return instant_in(other) or other


def instant_in(value: Any) -> Instant | None:
    """The instant that a value is or that its text writes with a zone; else ``None``."""
    if isinstance(value, Instant):
        return value
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        work(4)
        try:
            return Instant.of(datetime.fromisoformat(value))
        except (ValueError, OverflowError):
            return None
    return None


def duration_in(value: Any) -> timedelta | None:
    """The duration that a value is or that its text writes; else ``None``."""
    if isinstance(value, timedelta):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]]) if found else None


def instant_text(moment: datetime) -> str:
    """RFC 3339 in UTC, with six decimals where there is a fraction."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds" if utc.microsecond else "seconds") + "Z"


def kind_of(value: Any) -> str:
    """What a value is, in an author's words."""
    if value is None:
        return "nothing"
    words: dict[type, str] = {bool: "a boolean", int: "a number", float: "a number", str: "text"}
    for kind, word in words.items():
        if isinstance(value, kind):
            return word
    if isinstance(value, datetime):
        return "an instant"
    if isinstance(value, timedelta):
        return "a duration"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def mismatch(message: str) -> ExprError:
    """Values of types that do not go together."""
    return ExprError("type", message)


def too_large(what: str = "The result") -> ExprError:
    """A value beyond the limits."""
    return ExprError("too_large", f"{what} is too large: at most {MAX_RESULT} characters or {MAX_ITEMS} items.")


class _Budget:
    def __init__(self) -> None:
        self.left, self.items = MAX_RESULT, MAX_ITEMS

    def spend(self, size: int) -> None:
        self.left -= size
        self.items -= 1
        if self.left < 0 or self.items < 0:
            raise too_large()


def plain(value: Any) -> Json:
    """A value as JSON has it.

    Raises:
        ExprError: ``undefined`` for one that is or holds something unset, ``too_large``, ``type``.
    """
    budget = _Budget()
    found = _plain(value, budget, 0)
    work(MAX_ITEMS - budget.items)
    return found


def _plain(value: Any, budget: _Budget, depth: int) -> Json:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if depth > MAX_VALUE_DEPTH:
        raise ExprError("too_large", "The result is nested too deeply.")
    if value is None or isinstance(value, bool):
        budget.spend(5)
        return value
    if isinstance(value, str):
        budget.spend(len(value) + 2)
        return str(value)
    if isinstance(value, int | float):
        budget.spend(8)
        return number(value)
    if isinstance(value, datetime):
        budget.spend(30)
        return instant_text(value)
    if isinstance(value, timedelta):
        budget.spend(10)
        return f"{round(value.total_seconds())}s"
    budget.spend(2)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise mismatch("The keys of a mapping must be text.")
        for key in value:
            budget.spend(len(key) + 4)
        return {str(key): _plain(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, budget, depth + 1) for item in value]
    raise mismatch(f"{type(value).__name__} is no plain value.")


def number(value: int | float) -> int | float:
    """A number within the limits of JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ExprError("too_large", "A number in the expression is too large.")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ExprError("too_large", "A number in the expression is too large.")
    return value


def text(value: Any) -> str:
    """A value within a text: as it is, true and false in small letters, lists and mappings as JSON."""
    found = plain(value)
    if isinstance(found, str):
        return found
    return "none" if found is None else json.dumps(found, ensure_ascii=False, sort_keys=True)


def known(function: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse anything unset among the arguments, as such."""

    @wraps(function)
    def checked(*arguments: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, Undefined):
                argument._fail_with_undefined_error()
        return function(*arguments)

    return checked


def _words(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise mismatch(f"{name} takes text, not {kind_of(value)}.")
    return value


def _list(name: str, value: Any) -> list[Any]:
    if isinstance(value, Mapping) and "sha256" in value:
        raise mismatch(f"{name} takes a list; this one lies in evidence and is named only. Read its count or sample.")
    if not isinstance(value, list | tuple):
        raise mismatch(f"{name} takes a list, not {kind_of(value)}.")
    if len(value) > MAX_ITEMS:
        raise too_large("The list")
    work(len(value))
    return list(value)


def length(value: Any) -> int:
    """Characters of a text, entries of a list or mapping, targets of a list that lies in evidence."""
    if isinstance(value, Mapping) and {"ref", "sha256", "count"} <= value.keys():
        return int(value["count"])
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise mismatch(f"length takes text, a list or a mapping, not {kind_of(value)}.")


def _unique(value: Any) -> list[Any]:
    found: dict[str, Any] = {}
    for item in _list("unique", plain(value)):
        found.setdefault(json.dumps(item, sort_keys=True), item)
    return list(found.values())


def _first(value: Any) -> Any:
    items = _list("first", value)
    if not items:
        raise ExprError("undefined", "The list is empty: it has no first entry.")
    return items[0]


def _last(value: Any) -> Any:
    items = _list("last", value)
    if not items:
        raise ExprError("undefined", "The list is empty: it has no last entry.")
    return items[-1]


def _join(value: Any, separator: Any = "") -> str:
    between = _words("join", separator)
    items = [text(item) for item in _list("join", plain(value))]
    if sum(map(len, items)) + len(between) * len(items) > MAX_RESULT:
        raise too_large("The joined text")
    return between.join(items)


_INTEGER = re.compile(r"\s*[+-]?\d{1,16}\s*")


def _int(value: Any, *fallback: Any) -> Any:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return number(int(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(int(value))
    if fallback:
        return fallback[0]
    raise mismatch(f"int takes a number or its digits, not {kind_of(value)}.")


def _instant(value: Any) -> Instant:
    found = instant_in(value)
    if found is None:
        raise mismatch(f"{str(value)[:40]!r} is no instant; it takes RFC 3339 with a zone, 2026-01-31T10:00:00Z.")
    return found


def _default(value: Any, fallback: Any, falsy: Any = False) -> Any:
    return fallback if isinstance(value, Undefined) or (falsy and not value) else value


def _span(unit: str) -> Callable[[Any], timedelta]:
    def span(count: Any) -> timedelta:
        if isinstance(count, bool) or not isinstance(count, int | float):
            raise mismatch(f"{unit}() takes a number, not {kind_of(count)}.")
        found = timedelta(**{unit: count})
        if abs(found.days) > MAX_DAYS:
            raise ExprError("too_large", "The duration is longer than ten years.")
        return found

    return known(span)


def _extreme(name: str, choose: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def extreme(*values: Any) -> Any:
        items = _list(name, values[0]) if len(values) == 1 else list(values)
        if not items:
            raise ExprError("undefined", f"The list is empty: it has no {name}.")
        return choose(items)

    return known(extreme)


FILTER_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "lower": known(lambda value: _words("lower", value).lower()),
    "upper": known(lambda value: _words("upper", value).upper()),
    "trim": known(lambda value: _words("trim", value).strip()),
    "length": known(length),
    "first": known(_first),
    "last": known(_last),
    "sort": known(lambda value: sorted(_list("sort", value))),
    "unique": known(_unique),
    "join": known(_join),
    "int": known(_int),
    "string": known(text),
    "tojson": known(lambda value: json.dumps(plain(value), ensure_ascii=False, sort_keys=True)),
    "datetime": known(_instant),
}
PURE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "seconds": _span("seconds"),
    "minutes": _span("minutes"),
    "hours": _span("hours"),
    "days": _span("days"),
    "len": known(length),
    "min": _extreme("min", min),
    "max": _extreme("max", max),
}
