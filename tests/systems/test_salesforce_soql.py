"""The subset of SOQL that the simulated org understands; everything else is refused as Salesforce would."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simple_salesforce.format import format_soql

from activities.systems.salesforce.peer.soql import QueryError, parse
from activities.systems.salesforce.peer.state import suffix
from activities.systems.salesforce.peer.tables import check

ROWS = [
    {"Id": "001", "Name": "alpha", "Size": 1, "Made": datetime(2026, 1, 1, tzinfo=UTC), "Open": True, "Note": None},
    {"Id": "002", "Name": "Beta", "Size": 2, "Made": datetime(2026, 2, 1, tzinfo=UTC), "Open": False, "Note": "x"},
    {"Id": "003", "Name": "it's", "Size": 3, "Made": datetime(2026, 3, 1, tzinfo=UTC), "Open": True, "Note": "y"},
]


def found(soql: str) -> list[str]:
    """Ids of the rows that a query selects."""
    return [row["Id"] for row in parse(soql).select(ROWS)]


@pytest.mark.parametrize(
    ("rest", "ids"),
    [
        ("", ["001", "002", "003"]),
        ("WHERE Name = 'ALPHA'", ["001"]),
        ("where name='alpha' and size < 2", ["001"]),
        ("WHERE Name = 'it\\'s'", ["003"]),
        ("WHERE Name IN ('alpha','beta')", ["001", "002"]),
        ("WHERE Name NOT IN ('alpha')", ["002", "003"]),
        ("WHERE NOT Name = 'alpha' AND Open = true", ["003"]),
        ("WHERE Size >= 2 AND Size <= 2", ["002"]),
        ("WHERE Size != 2", ["001", "003"]),
        ("WHERE Size <> 2", ["001", "003"]),
        ("WHERE Size > 2 OR Name = 'alpha'", ["001", "003"]),
        ("WHERE (Size = 1 OR Size = 2) AND Open = false", ["002"]),
        ("WHERE Size = 3 OR Size = 1 AND Open = false", ["003"]),
        ("WHERE Made >= 2026-02-01T00:00:00Z", ["002", "003"]),
        ("WHERE Made < 2026-02-01T01:00:00+01:00", ["001"]),
        ("WHERE Made < 2026-02-01T01:00:00.000+0100", ["001"]),
        ("WHERE Note = null", ["001"]),
        ("WHERE Note != null", ["002", "003"]),
        ("WHERE Note > 'x'", ["003"]),
        ("WHERE Name LIKE '%ta'", ["002"]),
        ("WHERE Name LIKE '_lpha'", ["001"]),
        ("ORDER BY Size DESC", ["003", "002", "001"]),
        ("ORDER BY Open, Size DESC", ["002", "003", "001"]),
        ("ORDER BY Name ASC NULLS LAST LIMIT 2", ["001", "002"]),
        ("LIMIT 1 OFFSET 1", ["002"]),
        ("LIMIT 0", []),
    ],
)
def test_what_the_subset_selects(rest, ids):
    assert found(f"SELECT Id FROM Thing {rest}") == ids


def test_counting_names_no_field():
    query = parse("SELECT COUNT() FROM Thing WHERE Size > 1")
    assert (query.fields, len(query.select(ROWS))) == ((), 2)


@pytest.mark.parametrize(
    "soql",
    [
        "",
        "SELECT",
        "SELECT * FROM Thing",
        "SELECT Id Thing",
        "SELECT Id FROM Thing WHERE",
        "SELECT Id FROM Thing WHERE Size",
        "SELECT Id FROM Thing WHERE Size = ",
        "SELECT Id FROM Thing WHERE Size == 1",
        "SELECT Id FROM Thing WHERE Name = alpha",
        "SELECT Id FROM Thing WHERE Name = 'alpha",
        "SELECT Id FROM Thing WHERE Name IN ()",
        "SELECT Id FROM Thing WHERE Name IN (SELECT Name FROM Other)",
        "SELECT Id FROM Thing WHERE Name LIKE 3",
        "SELECT Id FROM Thing GROUP BY Name",
        "SELECT Id FROM Thing WHERE Size = 1 HAVING Size = 1",
        "SELECT Id, (SELECT Id FROM Children) FROM Thing",
        "SELECT MAX(Size) FROM Thing",
        "SELECT Id FROM Thing LIMIT -1",
        "SELECT Id FROM Thing LIMIT ten",
        "SELECT Id FROM Thing FOR UPDATE",
        "SELECT Id FROM Thing; DELETE",
        "SELECT Id FROM Thing WHERE Made > LAST_N_DAYS:3",
        "SELECT Id FROM Thing WHERE Made > 2026-13-45T00:00:00Z",
        "SELECT Id FROM Thing ORDER BY Name NULLS MIDDLE",
        "SELECT Id FROM Thing USING SCOPE mine",
        "DELETE FROM Thing",
        "UPDATE Thing SET Name = 'x'",
    ],
)
def test_everything_else_is_malformed(soql):
    with pytest.raises(QueryError) as caught:
        parse(soql)
    assert caught.value.code == "MALFORMED_QUERY"


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Id, Colour FROM User", "INVALID_FIELD"),
        ("SELECT Id FROM User WHERE Colour = 'red'", "INVALID_FIELD"),
        ("SELECT Id FROM User ORDER BY Colour", "INVALID_FIELD"),
        ("SELECT Id FROM LoginHistory WHERE LoginTime > '2026-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM User WHERE Username = 2026-01-01T00:00:00Z", "INVALID_FIELD"),
    ],
)
def test_objects_fields_and_types_are_checked(soql, code):
    with pytest.raises(QueryError) as caught:
        check(parse(soql))
    assert caught.value.code == code


def test_names_are_read_without_regard_to_case():
    assert check(parse("select id, USERNAME from user where ISACTIVE = true")) == "User"


@given(st.text(max_size=40))
def test_a_quoted_value_is_only_ever_a_value(text):
    row = {"Id": "1", "Name": text}
    query = parse(format_soql("SELECT Id FROM Thing WHERE Name = {}", text))
    assert [found["Id"] for found in query.select([row, {"Id": "2", "Name": f"{text}!"}])] == ["1"]
    assert len(query.named) == 1


@given(st.lists(st.text(max_size=20), min_size=1, max_size=10))
def test_a_list_of_values_selects_each_of_them(texts):
    query = parse(format_soql("SELECT Id FROM Thing WHERE Name IN {}", texts))
    assert len(query.select([{"Id": "1", "Name": text} for text in texts])) == len(texts)


@given(st.text(max_size=60))
def test_no_text_does_anything_but_parse_or_be_refused(text):
    with contextlib.suppress(QueryError):
        parse(text)


def test_ids_match_in_both_lengths_and_by_case():
    one, two = "005AB000001cdeF", "005AB000001cdEf"
    rows = [{"Id": id_ + suffix(id_)} for id_ in (one, two)]
    for id_ in (one, one + suffix(one)):
        assert parse(f"SELECT Id FROM User WHERE Id = '{id_}'").select(rows) == rows[:1]
