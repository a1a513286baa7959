"""Moments and periods: how a regulator's hours, days and months are counted.

Instants are aware UTC datetimes. What is known only to the day or month is an interval, and so is every
instant that follows from it. Hours are added to UTC, never to a local wall clock. Days and months end at
24:00 local.

Rules: Regulation (EEC, Euratom) No 1182/71, Article 3. Time zones come from the pinned ``tzdata`` package and
public holidays from the pinned ``holidays`` package, so that the same facts give the same instants anywhere.
"""

import calendar
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib import metadata, resources
from zoneinfo import ZoneInfo

import holidays

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MONTH = re.compile(r"\d{4}-\d{2}")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
_ROLL_LIMIT = 60
_MAX_UNITS = 100_000
_FIRST_YEAR, _LAST_YEAR = 1900, 9000


class TimeError(ValueError):
    """An instant, zone or holiday calendar that cannot be used; ``code`` is stable."""

    def __init__(self, code: str, message: str) -> None:
        """``message`` says what is wrong and what to write instead."""
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Moment:
    """A point in time as well as it is known: from ``earliest`` to ``latest``, both UTC.

    ``precision`` is ``instant``, ``day`` or ``month``; for an instant both ends are equal (unless the time
    zone is not known). The end of a day is 24:00, the next midnight.
    """

    earliest: datetime
    latest: datetime
    precision: str = "instant"

    def document(self) -> dict[str, str]:
        """``earliest`` and ``latest`` as RFC 3339 UTC."""
        return {"earliest": rfc3339(self.earliest), "latest": rfc3339(self.latest)}

    def shifted(self, by: timedelta) -> "Moment":
        """The same interval, so much absolute time later."""
        try:
            return Moment(self.earliest + by, self.latest + by, self.precision)
        except OverflowError:
            raise TimeError("bad_instant", "The period ends outside the calendar. Check the year.") from None


def rfc3339(instant: datetime) -> str:
    """RFC 3339 UTC; fractions only where there are any."""
    text = instant.astimezone(UTC).isoformat(timespec="auto" if instant.microsecond else "seconds")
    return text.replace("+00:00", "Z")


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """Return an IANA time zone from the pinned ``tzdata``, whatever the machine has.

    Raises:
        TimeError: ``bad_zone`` for a name that tzdata does not have.
    """
    if isinstance(name, str) and _ZONE.fullmatch(name):
        place = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
        if place.is_file():
            with place.open("rb") as file:
                try:
                    return ZoneInfo.from_file(file, key=name)
                except ValueError:
                    pass
    raise TimeError("bad_zone", f"No such time zone: {str(name)[:60]!r}. Write one like Europe/Berlin.")


def versions() -> dict[str, str]:
    """Versions of what the instants depend on beside the rules: ``tzdata`` and ``holidays``."""
    return {name: _version(name) for name in ("tzdata", "holidays")}


@lru_cache
def _version(name: str) -> str:
    # Reading a distribution's description takes longer than counting all clocks.
    return metadata.version(name)


def _midnight(day: date, where: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=where).astimezone(UTC)


def _span(first: date, after: date, zones: Sequence[ZoneInfo], precision: str) -> Moment:
    return Moment(
        min(_midnight(first, where) for where in zones),
        max(_midnight(after, where) for where in zones),
        precision,
    )


def moment(value: object, zones: Sequence[ZoneInfo] = ()) -> Moment:
    """Read an instant, a day or a month.

    Args:
        value: ``2026-11-24T10:00:00Z``, with any offset, or without one if ``zones`` is given;
            ``2026-11-24``; ``2026-11``; or an aware datetime.
        zones: Where local times are read. More than one means that the place is not known: the result then
            covers all of them.

    Raises:
        TimeError: ``bad_instant`` or ``zone_missing``.
    """
    if isinstance(value, Moment):
        return value
    text = value.isoformat() if isinstance(value, (datetime, date)) else str(value).strip()
    places = tuple(zones) or (ZoneInfo("UTC"),)
    try:
        if _DAY.fullmatch(text):
            day = date.fromisoformat(text)
            _check_year(day.year)
            return _span(day, day + timedelta(days=1), places, "day")
        if _MONTH.fullmatch(text):
            first = date.fromisoformat(f"{text}-01")
            _check_year(first.year)
            return _span(first, _plus_months(first, 1), places, "month")
        found = datetime.fromisoformat(text)
        _check_year(found.year)
    except (ValueError, OverflowError):
        raise TimeError(
            "bad_instant",
            f"Not an instant, a day or a month: {text[:60]!r}. Write 2026-11-24T10:00:00Z, 2026-11-24 or 2026-11.",
        ) from None
    if found.tzinfo is not None:
        instant = found.astimezone(UTC)
        return Moment(instant, instant)
    if not zones:
        raise TimeError("zone_missing", f"{text[:60]!r} has no offset. Add Z or +02:00, or say the time zone.")
    # An hour that a clock change repeats names two instants, and a wall clock without a known place several.
    read = [found.replace(tzinfo=where, fold=fold).astimezone(UTC) for where in zones for fold in (0, 1)]
    return Moment(min(read), max(read))


def _check_year(year: int) -> None:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ValueError(year)


def _plus_months(day: date, months: int) -> date:
    """Same-numbered day so many months later, the month's last day if it has none (1182/71 Art. 3(2)(c))."""
    year, index = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, index + 1, min(day.day, calendar.monthrange(year, index + 1)[1]))


class Workdays:
    """Which days are working days at one place: not Saturday, Sunday or public holiday (1182/71 Art. 2)."""

    def __init__(self, calendar_name: str | None = None) -> None:
        """``calendar_name`` is a country, or ``DE-BY`` for a region; ``None`` knows weekends only.

        Raises:
            TimeError: ``bad_holidays`` for a calendar that the pinned package does not have.
        """
        self.name = calendar_name
        self._country, _, self._region = (calendar_name or "").upper().partition("-")
        if calendar_name is not None:
            known = holidays.list_supported_countries()
            if self._country not in known or (self._region and self._region not in known[self._country]):
                raise TimeError(
                    "bad_holidays",
                    f"No public holidays known for {calendar_name[:20]!r}. Write a country (DE) or DE-BY.",
                )

    def working(self, day: date) -> bool:
        """Whether ``day`` is a working day.

        Raises:
            TimeError: ``holidays_unknown`` for a year that the pinned package does not cover.
        """
        if day.weekday() >= 5:
            return False
        return self.name is None or day not in _holidays_of(self._country, self._region, day.year)

    def next_working(self, day: date) -> date:
        """``day`` if it is a working day, else the next one."""
        for ahead in range(_ROLL_LIMIT):
            candidate = day + timedelta(days=ahead)
            if self.working(candidate):
                return candidate
        raise TimeError("holidays_unknown", f"No working day within {_ROLL_LIMIT} days of {day}.")

    def count(self, after: date, through: date) -> int:
        """Working days later than ``after``, up to and with ``through``."""
        days = (through - after).days
        return sum(self.working(after + timedelta(days=number)) for number in range(1, days + 1))


@lru_cache(maxsize=64)
def _holidays_of(country: str, region: str, year: int) -> frozenset[date]:
    found = holidays.country_holidays(country, subdiv=region or None, years=year, observed=True)
    if not found.start_year <= year <= found.end_year or not found:
        raise TimeError(
            "holidays_unknown",
            f"The public holidays of {country} in {year} are not known to this version. "
            "Update Stanch, or work out that day by hand.",
        )
    return frozenset(found)


def plus_hours(start: Moment, hours: int) -> Moment:
    """Absolute elapsed hours: weekends, holidays and clock changes neither add nor remove any."""
    _check_amount(hours)
    return start.shifted(timedelta(hours=hours))


def plus_hours_1182(start: Moment, hours: int, where: ZoneInfo) -> Moment:
    """Hours counted from the next full hour: the hour of the event is not counted (1182/71 Art. 3(1))."""
    _check_amount(hours)

    def next_full(instant: datetime) -> datetime:
        local = instant.astimezone(where)
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return instant - past + timedelta(hours=1)

    return Moment(next_full(start.earliest), next_full(start.latest), start.precision).shifted(timedelta(hours=hours))


def end_of_period(
    start: Moment, number: int, unit: str, zones: Iterable[ZoneInfo], workdays: Workdays | None = None
) -> Moment:
    """When a period of days or months ends: 24:00 local on its last day, the day of the event not counted.

    Args:
        start: The event; its end is exclusive where it is known to the day or month only.
        number: How many units.
        unit: ``cal_day`` or ``month``.
        zones: Where the civil day is taken; several give the span over all of them.
        workdays: Rolls a last day that is no working day to the next one, and stretches a period of two days
            or more until it holds two working days (1182/71 Art. 3(4), 3(5)). ``None`` rolls nothing.
    """
    _check_amount(number)
    inclusive = start.latest if start.precision == "instant" else start.latest - timedelta(microseconds=1)
    ends = [
        _midnight(_last_day(instant.astimezone(where).date(), number, unit, workdays) + timedelta(days=1), where)
        for instant in (start.earliest, inclusive)
        for where in zones
    ]
    return Moment(min(ends), max(ends), start.precision)


def _last_day(event: date, number: int, unit: str, workdays: Workdays | None) -> date:
    try:
        last = _plus_months(event, number) if unit == "month" else event + timedelta(days=number)
    except (ValueError, OverflowError):
        raise TimeError("bad_instant", "The period ends outside the calendar. Check the year.") from None
    if workdays is None:
        return last
    last = workdays.next_working(last)
    two_days = unit == "month" or number >= 2
    while two_days and workdays.count(event, last) < 2:
        last = workdays.next_working(last + timedelta(days=1))
    return last


def _check_amount(number: int) -> None:
    if not 0 < number <= _MAX_UNITS:
        raise TimeError("bad_period", f"A period of {number} units cannot be computed.")
