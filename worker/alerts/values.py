"""Reading values out of what others wrote: never fails, never trusts a type."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

MAX_TEXT = 256
MAX_TITLE = 200
REPLACEMENT = "\ufffd"
"""Stands where a character was that no store can keep; a text that holds it is no name of anything."""

_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")
_SALESFORCE_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_COMPACT = re.compile(r"(\d{14})(?:\.(\d{1,6}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST, _LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM = 100_000_000_000


def stamp(instant: datetime) -> str:
    """RFC 3339 UTC with six decimals, as the journal writes instants."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def dig(value: Any, path: str) -> Any:
    """The value at a dotted path of keys and list positions, or ``None``."""
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """A scalar as text without what no store can keep (lone surrogates, NUL), cut to ``limit`` characters.

    Nothing is escaped: what shows it does that, for its own medium.
    """
    if isinstance(value, bool) or value is None or isinstance(value, Mapping | list):
        return ""
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        if value.is_integer() and abs(value) < 1e15:
            value = int(value)
    if isinstance(value, int) and value.bit_length() > 256:
        return ""
    return _UNKEEPABLE.sub(REPLACEMENT, str(value).strip()[:limit])


def first(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """The first of ``columns`` that holds something, as text."""
    for column in columns:
        found = text(row.get(column))
        if found:
            return found
    return ""


def number(value: Any) -> float | None:
    """A number, also one written as text; ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value.strip().replace(",", "")) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def instant(value: Any) -> datetime | None:
    """An instant in UTC, from RFC 3339, ``YYYY-MM-DD HH:MM:SS``, ``YYYYMMDDHHMMSS.mmm`` or epoch seconds or
    milliseconds; one without a zone is taken as UTC, which is what these sources write."""
    found = _written(value.strip()[:64]) if isinstance(value, str) else None
    if found is None:
        found = _epoch(value)
    return found if found is not None and _EARLIEST <= found < _LATEST else None


def _written(value: str) -> datetime | None:
    compact = _COMPACT.fullmatch(value)
    try:
        if compact:
            moment = datetime.strptime(compact[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            return moment + timedelta(microseconds=int((compact[2] or "0").ljust(6, "0")))
        if "-" not in value[1:]:
            return None
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _epoch(value: Any) -> datetime | None:
    seconds = number(value)
    if seconds is None:
        return None
    if abs(seconds) >= _MILLISECONDS_FROM:
        seconds /= 1000
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None


def is_salesforce_id(value: str) -> bool:
    """Whether it has the form of a record id: 15 letters and digits, or 18 with the check letters."""
    return _SALESFORCE_ID.fullmatch(value) is not None


def identity(value: str) -> str:
    """The same thing has the same identity: the 15 significant characters of a Salesforce id, else as it is."""
    return value[:15] if is_salesforce_id(value) else value


def depth_over(value: Any, limit: int) -> bool:
    """Whether objects and lists are nested deeper than ``limit``; never recurses."""
    level: Sequence[Any] = [value]
    for _ in range(limit + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(item for item in each.values() if isinstance(item, dict | list))
            elif isinstance(each, list):
                below.extend(item for item in each if isinstance(item, dict | list))
        if not below:
            return False
        level = below
    return True
