"""Which keys are past their cryptoperiod, by NIST SP 800-57 Part 1 Rev. 5 Table 1."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.cryptoperiods import TABLE, KeyAge, KeyKind, after, judge, renewable

NOW = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)


def aged(kind: KeyKind, days: float, **more: datetime | str | bool | None) -> KeyAge:
    """A key of an age."""
    return KeyAge(id=f"{kind}-{days}", kind=kind, created=NOW - timedelta(days=days), **more)  # type: ignore[arg-type]


def test_the_table_has_the_nineteen_rows_of_its_source_once_each() -> None:
    assert set(TABLE) == set(KeyKind)
    assert sorted(period.row for period in TABLE.values()) == list(range(1, 20))


@pytest.mark.parametrize(
    ("kind", "within", "over"),
    [
        (KeyKind.PRIVATE_SIGNATURE, 1095, 1097),
        (KeyKind.SYMMETRIC_AUTHENTICATION, 730, 732),
        (KeyKind.DATA_ENCRYPTION, 730, 732),
        (KeyKind.KEY_WRAPPING, 730, 732),
        (KeyKind.MASTER, 365, 366.1),
        (KeyKind.PRIVATE_AUTHENTICATION, 730, 732),
        (KeyKind.SYMMETRIC_AUTHORIZATION, 730, 732),
    ],
)
def test_a_key_is_overdue_after_its_originator_usage_period(kind: KeyKind, within: float, over: float) -> None:
    late, good = judge([aged(kind, within), aged(kind, over)], NOW)
    assert (late.key.id, late.overdue, good.overdue) == (f"{kind}-{over}", True, False)
    assert "Table 1" in late.reason
    assert late.due is not None and good.due is not None and late.due < NOW <= good.due


def test_rotation_starts_the_period_anew() -> None:
    key = aged(KeyKind.DATA_ENCRYPTION, 3000, rotated=NOW - timedelta(days=10))
    assert not judge([key], NOW)[0].overdue


def test_old_material_that_can_still_be_read_with_is_overdue_after_three_more_years() -> None:
    fresh = NOW - timedelta(days=1)
    old = aged(KeyKind.DATA_ENCRYPTION, 3000, rotated=fresh, oldest=after(NOW, -61))
    good = aged(KeyKind.DATA_ENCRYPTION, 2000, rotated=fresh, oldest=after(NOW, -59))
    judged = {found.key.id: found for found in judge([old, good], NOW)}
    assert judged[old.id].overdue and "OUP + 3 years" in judged[old.id].reason
    assert not judged[good.id].overdue


def test_a_house_rule_may_be_shorter_but_never_longer() -> None:
    key = aged(KeyKind.SYMMETRIC_AUTHENTICATION, 100)
    assert judge([key], NOW, timedelta(days=90))[0].overdue
    assert "this house" in judge([key], NOW, timedelta(days=90))[0].reason
    assert judge([aged(KeyKind.SYMMETRIC_AUTHENTICATION, 800)], NOW, timedelta(days=9000))[0].overdue


def test_where_the_table_has_no_figure_only_a_house_rule_judges() -> None:
    key = aged(KeyKind.PUBLIC_SIGNATURE, 4000)
    assert not judge([key], NOW)[0].overdue
    assert judge([key], NOW, timedelta(days=3650))[0].overdue


def test_an_ephemeral_key_that_is_kept_is_overdue() -> None:
    assert judge([aged(KeyKind.PRIVATE_EPHEMERAL_AGREEMENT, 0.01)], NOW)[0].overdue


def test_an_unknown_or_future_age_is_overdue_and_says_so() -> None:
    unknown = KeyAge("a", KeyKind.MASTER, None)
    future = KeyAge("b", KeyKind.MASTER, NOW + timedelta(days=1))
    judged = {found.key.id: found for found in judge([unknown, future], NOW)}
    assert judged["a"].overdue and "Nobody knows" in judged["a"].reason
    assert judged["b"].overdue and "future" in judged["b"].reason
    # Clocks differ by some seconds.
    just_made = KeyAge("c", KeyKind.MASTER, NOW - timedelta(days=900), rotated=NOW + timedelta(seconds=3))
    assert not judge([just_made], NOW)[0].overdue


def test_only_keys_that_new_material_mends_are_renewable() -> None:
    used_up, fine = (aged(KeyKind.KEY_WRAPPING, days, renews=True) for days in (800, 10))
    other = aged(KeyKind.SYMMETRIC_AUTHENTICATION, 800)
    # Rotated yesterday, but it still reads with material of eight years ago.
    ago, yesterday = NOW - timedelta(days=3000), NOW - timedelta(days=1)
    reading = KeyAge("reading", KeyKind.KEY_WRAPPING, ago, rotated=yesterday, oldest=ago, renews=True)
    judged = judge([used_up, other, fine, reading], NOW)
    assert sum(one.overdue for one in judged) == 3
    assert renewable(judged) == [used_up.id]
    many = [KeyAge(str(number), KeyKind.MASTER, None, renews=True) for number in range(600)]
    assert len(renewable(judge(many, NOW))) == 500


def test_the_longest_overdue_comes_first_and_rows_are_plain() -> None:
    keys = [aged(KeyKind.MASTER, 10), aged(KeyKind.MASTER, 500), aged(KeyKind.MASTER, 900)]
    rows = [found.row() for found in judge(keys, NOW)]
    assert [row["id"] for row in rows] == ["master-900", "master-500", "master-10"]
    assert rows[0]["overdue"] is True and str(rows[0]["due"]).startswith("2024-09-2")


def test_months_end_on_the_last_day_of_a_shorter_month() -> None:
    assert after(datetime(2024, 2, 29, tzinfo=UTC), 12) == datetime(2025, 2, 28, tzinfo=UTC)
    assert after(datetime(2026, 1, 31, tzinfo=UTC), 1) == datetime(2026, 2, 28, tzinfo=UTC)
