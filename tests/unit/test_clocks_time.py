"""Instants and periods: the published examples of the law, and what must hold for all of them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.clocks_time import (
    Moment,
    TimeError,
    Workdays,
    end_of_period,
    moment,
    plus_hours,
    plus_hours_1182,
    rfc3339,
    zone,
)

ZONES = ("Europe/Berlin", "Europe/Dublin", "Europe/Athens", "Atlantic/Azores", "Asia/Kolkata", "America/New_York")
instants = st.datetimes(datetime(2018, 5, 25), datetime(2040, 12, 31)).map(lambda at: at.replace(tzinfo=UTC))


def at(local: str, where: str = "Europe/Berlin") -> Moment:
    return moment(local, (zone(where),))


def local(found: Moment, where: str = "Europe/Berlin") -> str:
    assert found.earliest == found.latest
    return found.earliest.astimezone(ZoneInfo(where)).isoformat(timespec="minutes")


@pytest.mark.parametrize(
    ("aware", "where", "strict", "outer"),
    [
        ("2026-03-27T14:20", "Europe/Berlin", "2026-03-30T15:20+02:00", "2026-03-30T16:00+02:00"),
        ("2026-10-23T14:20", "Europe/Berlin", "2026-10-26T13:20+01:00", "2026-10-26T14:00+01:00"),
        ("2026-11-27T17:42", "Europe/Dublin", "2026-11-30T17:42+00:00", "2026-11-30T18:00+00:00"),
        ("2020-12-22T12:17", "Europe/Berlin", "2020-12-25T12:17+01:00", "2020-12-25T13:00+01:00"),
        ("2026-12-24T09:05", "Europe/Berlin", "2026-12-27T09:05+01:00", "2026-12-27T10:00+01:00"),
    ],
)
def test_72_hours_of_the_worked_examples(aware: str, where: str, strict: str, outer: str) -> None:
    start = at(aware, where)
    assert local(plus_hours(start, 72), where) == strict
    assert local(plus_hours_1182(start, 72, zone(where)), where) == outer


@pytest.mark.parametrize(
    ("event", "number", "unit", "strict", "outer"),
    [
        ("2026-11-26T10:00", 1, "month", date(2026, 12, 26), date(2026, 12, 28)),
        ("2027-01-31T10:00", 1, "month", date(2027, 2, 28), date(2027, 3, 1)),
        ("2028-01-31T10:00", 1, "month", date(2028, 2, 29), date(2028, 2, 29)),
        ("2027-12-03T10:00", 2, "cal_day", date(2027, 12, 5), date(2027, 12, 7)),
        ("2027-12-10T10:00", 15, "cal_day", date(2027, 12, 25), date(2027, 12, 27)),
        ("2026-12-11T10:00", 14, "cal_day", date(2026, 12, 25), date(2026, 12, 28)),
    ],
)
def test_days_and_months_of_the_worked_examples(event, number, unit, strict, outer) -> None:
    start, places = at(event), (zone("Europe/Berlin"),)

    def last_day(found: Moment) -> date:
        end = found.earliest.astimezone(ZoneInfo("Europe/Berlin"))
        assert (end.hour, end.minute) == (0, 0)
        return end.date() - timedelta(days=1)

    assert last_day(end_of_period(start, number, unit, places)) == strict
    # Second Christmas Day 2026 is a Saturday; 27 December 2027 a plain Monday.
    assert last_day(end_of_period(start, number, unit, places, Workdays("DE"))) == outer


@given(instants, st.integers(1, 2000), st.sampled_from(ZONES))
def test_hours_are_elapsed_hours_wherever_they_start(start: datetime, hours: int, where: str) -> None:
    begun = Moment(start, start)
    strict, outer = plus_hours(begun, hours), plus_hours_1182(begun, hours, zone(where))
    assert strict.earliest - start == timedelta(hours=hours)
    assert timedelta(0) < outer.earliest - strict.earliest <= timedelta(hours=1)
    shown = outer.earliest.astimezone(zone(where))
    assert (shown.minute, shown.second, shown.microsecond) == (0, 0, 0)


@given(instants, st.integers(1, 36), st.sampled_from(ZONES), st.sampled_from(["month", "cal_day"]))
def test_a_roll_only_ever_moves_later_and_to_a_working_day(start, number, where, unit) -> None:
    begun, places = Moment(start, start), (zone(where),)
    raw = end_of_period(begun, number, unit, places)
    rolled = end_of_period(begun, number, unit, places, Workdays())
    assert raw.earliest <= rolled.earliest <= raw.earliest + timedelta(days=5)
    last = rolled.earliest.astimezone(zone(where)).date() - timedelta(days=1)
    assert last.weekday() < 5
    assert raw.earliest > start


@given(instants, st.sampled_from(ZONES))
def test_a_month_ends_on_the_same_number_or_the_months_last_day(start: datetime, where: str) -> None:
    event = start.astimezone(zone(where)).date()
    found = end_of_period(Moment(start, start), 1, "month", (zone(where),))
    last = found.earliest.astimezone(zone(where)).date() - timedelta(days=1)
    assert (last.year * 12 + last.month) - (event.year * 12 + event.month) == 1
    assert last.day == event.day or (last + timedelta(days=1)).day == 1
    assert last.day <= event.day


@given(st.dates(date(2018, 6, 1), date(2040, 1, 1)), st.sampled_from(ZONES), st.integers(1, 100))
def test_what_is_known_to_the_day_gives_an_interval_that_holds_each_instant_of_it(day, where, hours) -> None:
    known = moment(day.isoformat(), (zone(where),))
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone(where)).astimezone(UTC)
    assert known.earliest <= noon < known.latest
    due = plus_hours(known, hours)
    assert due.earliest <= noon + timedelta(hours=hours) < due.latest


def test_an_hour_that_a_clock_change_repeats_is_an_interval() -> None:
    found = at("2026-10-25T02:30")
    assert found.latest - found.earliest == timedelta(hours=1)


def test_a_month_is_an_interval() -> None:
    found = at("2026-11")
    assert found.document() == {"earliest": "2026-10-31T23:00:00Z", "latest": "2026-11-30T23:00:00Z"}


def test_an_unknown_place_spans_all_of_its_zones() -> None:
    found = moment("2026-11-24", (zone("Europe/Helsinki"), zone("Atlantic/Azores")))
    assert found.document() == {"earliest": "2026-11-23T22:00:00Z", "latest": "2026-11-25T01:00:00Z"}


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "2026-02-30", "24.11.2026", "2026-1-1", "0000-01-01"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(TimeError) as caught:
        moment(text)
    assert caught.value.code == "bad_instant"


def test_a_local_time_without_a_place_is_refused() -> None:
    with pytest.raises(TimeError) as caught:
        moment("2026-11-24T10:00")
    assert caught.value.code == "zone_missing"


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "", "Europe", "tzdata.zi", "Europe/../UTC"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(TimeError) as caught:
        zone(name)
    assert caught.value.code == "bad_zone"


@pytest.mark.parametrize(("name", "code"), [("XX", "bad_holidays"), ("DE-ZZ", "bad_holidays")])
def test_an_unknown_holiday_calendar_is_refused(name: str, code: str) -> None:
    with pytest.raises(TimeError) as caught:
        Workdays(name)
    assert caught.value.code == code


def test_a_year_that_the_pinned_holidays_lack_is_no_holiday_free_year() -> None:
    with pytest.raises(TimeError) as caught:
        Workdays("DE").working(date(2400, 1, 3))
    assert caught.value.code == "holidays_unknown"


def test_a_region_has_its_own_holidays() -> None:
    assert Workdays("DE").working(date(2026, 1, 6))
    assert not Workdays("DE-BY").working(date(2026, 1, 6))


def test_fractions_are_written_only_where_there_are_any() -> None:
    assert rfc3339(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"
    assert rfc3339(datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC)) == "2026-01-01T00:00:00.000005Z"
