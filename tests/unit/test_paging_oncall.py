"""Calendars: overlaps, recurrences with exceptions, zones and their summer time, gaps, and what is no calendar."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.paging.oncall import ScheduleUnreadable, gaps, on_shift

BERLIN = """BEGIN:VEVENT
UID:night
DTSTART;TZID=Europe/Berlin:20261023T200000
DTEND;TZID=Europe/Berlin:20261024T080000
RRULE:FREQ=DAILY;COUNT=5
EXDATE;TZID=Europe/Berlin:20261026T200000
SUMMARY:amal
END:VEVENT
BEGIN:VEVENT
UID:night
RECURRENCE-ID;TZID=Europe/Berlin:20261027T200000
DTSTART;TZID=Europe/Berlin:20261027T200000
DTEND;TZID=Europe/Berlin:20261028T080000
SUMMARY:bo
END:VEVENT
"""


def calendar(folder: Path, events: str) -> Path:
    """A file with these events."""
    path = folder / "x.ics"
    whole = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{events}END:VCALENDAR\n"
    path.write_bytes(whole.replace("\n", "\r\n").encode())
    return path


@pytest.mark.parametrize(
    ("at", "who"),
    [
        ("2026-10-24T17:59:59", []),
        ("2026-10-24T18:00:00", ["amal"]),
        ("2026-10-25T06:59:59", ["amal"]),  # the clocks went back: eight o'clock is an hour later in UTC
        ("2026-10-25T07:00:00", []),
        ("2026-10-25T18:30:00", []),
        ("2026-10-25T19:00:00", ["amal"]),
        ("2026-10-26T20:00:00", []),  # the exception
        ("2026-10-27T20:00:00", ["bo"]),  # changed for one night
    ],
)
def test_shifts_hold_in_their_own_zone(tmp_path: Path, at: str, who: list[str]) -> None:
    assert on_shift(calendar(tmp_path, BERLIN), datetime.fromisoformat(at).replace(tzinfo=UTC)) == who


def test_who_overlaps_is_on_call_together_attendees_first(tmp_path: Path) -> None:
    day = "DTSTART:20261124T000000Z\nDTEND:20261125T000000Z\n"
    events = f"BEGIN:VEVENT\nUID:1\n{day}SUMMARY:Owners\nATTENDEE:MAILTO:Amal@acme.example\nEND:VEVENT\n"
    events += f"BEGIN:VEVENT\nUID:2\n{day}SUMMARY:bo\nEND:VEVENT\n"
    found = on_shift(calendar(tmp_path, events), datetime(2026, 11, 24, 3, tzinfo=UTC))
    assert sorted(found) == ["amal@acme.example", "bo"]


def test_gaps_are_found(tmp_path: Path) -> None:
    events = "BEGIN:VEVENT\nUID:1\nDTSTART:20261124T000000Z\nDTEND:20261126T000000Z\nSUMMARY:bo\nEND:VEVENT\n"
    path, start = calendar(tmp_path, events), datetime(2026, 11, 24, tzinfo=UTC)
    assert gaps(path, start, 2) == []
    assert gaps(path, start, 7) == [datetime(2026, 11, 26, tzinfo=UTC)]


@pytest.mark.parametrize("raw", [b"", b"not a calendar", b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n", bytes(range(256))])
def test_what_is_no_calendar_is_said(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "x.ics"
    path.write_bytes(raw)
    with pytest.raises(ScheduleUnreadable):
        on_shift(path, datetime(2026, 11, 24, tzinfo=UTC))
