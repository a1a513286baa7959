"""Who is on call for a role: from an iCal file, or from PagerDuty. A schedule that cannot be read silences nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from worker.paging.channels import Undelivered
from worker.paging.pagerduty import PagerDuty
from worker.store.people import Person

MOMENT = timedelta(seconds=1)
AROUND = timedelta(days=1)
MAX_BYTES = 5 * 1024 * 1024


class ScheduleUnreadable(Exception):
    """A schedule cannot be read; everybody with the role is paged instead."""


class OnCall:
    """The schedules of an installation.

    Args:
        calendars: Role to an iCal file.
        schedules: Role to a PagerDuty schedule's id.
        pagerduty: The account that has the schedules.
    """

    def __init__(
        self, calendars: Mapping[str, Path], schedules: Mapping[str, str], pagerduty: PagerDuty | None
    ) -> None:
        self._calendars, self._schedules, self._pagerduty = calendars, schedules, pagerduty

    @property
    def roles(self) -> list[str]:
        """Roles that have a schedule."""
        return sorted({*self._calendars, *self._schedules})

    async def names(
        self, role: str, at: datetime, people: Sequence[Person], contacts: Mapping[str, Mapping[str, str]]
    ) -> list[str]:
        """Who is on call, by name, in the order of the schedule; empty in a gap or where there is no schedule.

        Raises:
            ScheduleUnreadable: with the reason.
        """
        if role in self._calendars:
            said = await asyncio.to_thread(on_shift, self._calendars[role], at)
            return _known(said, people, contacts, "mail")
        if role in self._schedules and self._pagerduty is not None:
            try:
                users = await self._pagerduty.on_call(self._schedules[role], at)
            except Undelivered as error:
                raise ScheduleUnreadable(str(error)) from None
            return _known(users, people, contacts, "pagerduty")
        return []

    async def next_change(self, role: str, at: datetime) -> datetime | None:
        """When the next shift of a calendar begins; ``None`` if it is not known."""
        path = self._calendars.get(role)
        return None if path is None else await asyncio.to_thread(_next, path, at)


def on_shift(path: Path, at: datetime) -> list[str]:
    """Whom a calendar names at an instant: mail addresses of attendees, else summaries.

    Raises:
        ScheduleUnreadable: the file cannot be read, or is no calendar.
    """
    found: list[str] = []
    for event in _events(path, at, at + MOMENT):
        if not _start(event) <= at < _end(event):
            continue
        given = event.get("ATTENDEE") or []
        attendees = given if isinstance(given, list) else [given]
        named = [str(each).lower().removeprefix("mailto:") for each in attendees]
        found += named or [str(event.get("SUMMARY") or "").strip()]
    return list(dict.fromkeys(each for each in found if each))


def _next(path: Path, at: datetime) -> datetime | None:
    later = [_start(event) for event in _events(path, at, at + timedelta(days=35))]
    return min((start for start in later if start > at), default=None)


def gaps(path: Path, start: datetime, days: int = 7) -> list[datetime]:
    """Instants in the next days from which nobody is on call.

    Raises:
        ScheduleUnreadable: as ``on_shift``.
    """
    end = start + timedelta(days=days)
    found, covered = [], start
    for begins, ends in sorted((_start(event), _end(event)) for event in _events(path, start, end)):
        if begins > covered:
            found.append(covered)
        covered = max(covered, ends)
    return [*found, covered] if covered < end else found


def _events(path: Path, start: datetime, end: datetime) -> list[Any]:
    import icalendar
    import recurring_ical_events  # type: ignore[import-untyped]

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ScheduleUnreadable(f"{path.name} is over 5 MB")
        calendar = icalendar.Calendar.from_ical(path.read_bytes())
        # Asked for more than is wanted: in the night of a change of clocks the library's own bounds are an hour off.
        near = recurring_ical_events.of(calendar).between(start - AROUND, end + AROUND)
        return [event for event in near if _start(event) < end and _end(event) > start]
    except ScheduleUnreadable:
        raise
    except Exception as error:
        # Whatever a strange file provokes in the reader: people must be woken all the same.
        raise ScheduleUnreadable(f"{path.name} cannot be read: {type(error).__name__}") from None


def _start(event: Any) -> datetime:
    return _instant(event["DTSTART"].dt)


def _end(event: Any) -> datetime:
    return _instant(event["DTEND"].dt) if "DTEND" in event else _start(event)


def _instant(value: Any) -> datetime:
    """An instant; a day begins, and a time without a zone is, in UTC."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _known(
    said: Sequence[str], people: Sequence[Person], contacts: Mapping[str, Mapping[str, str]], by: str
) -> list[str]:
    found = []
    for one in said:
        for person in people:
            known = contacts.get(person.name, {}).get(by, "")
            if one.lower() == person.name.lower() or (known and one.lower() == known.lower()):
                found.append(person.name)
    return list(dict.fromkeys(found))
