"""Record ids: both lengths, the checksum, key prefixes, and what is no id and so never reaches a URL."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.errors import InvalidParams
from activities.systems.salesforce.models import USER, Job, checksum, instant, record_id
from activities.systems.salesforce.peer.state import suffix

ALPHABET = string.ascii_letters + string.digits
bodies = st.text(ALPHABET, min_size=15, max_size=15)
VECTORS = {
    "001A0000006Vm9u": "001A0000006Vm9uIAC",
    "005000000000001": "005000000000001AAA",
    "00DABCDEABCDEab": "00DABCDEABCDEab25H",
    "ABCDEABCDEABCDE": "ABCDEABCDEABCDE555",
}


@pytest.mark.parametrize(("short", "long"), VECTORS.items())
def test_the_long_form_of_known_ids(short, long):
    assert record_id(short) == record_id(long) == long


@given(bodies)
def test_both_lengths_name_the_same_record(body):
    whole = record_id(body)
    assert len(whole) == 18 and whole[:15] == body
    assert record_id(whole) == whole
    assert checksum(body) == suffix(body), "ours and the simulated org's agree"


@given(bodies, st.integers(0, 14))
def test_ids_that_differ_in_case_only_have_other_checksums(body, place):
    other = body[:place] + body[place].swapcase() + body[place + 1 :]
    assert (checksum(other) == checksum(body)) == (other == body)


@given(bodies, st.text(ALPHABET, min_size=3, max_size=3))
def test_a_wrong_checksum_is_refused(body, end):
    if end.upper() == checksum(body):
        assert record_id(body + end) == body + checksum(body)
    else:
        with pytest.raises(InvalidParams):
            record_id(body + end)


@given(st.one_of(st.text(max_size=40), st.none(), st.integers(), st.binary(max_size=20)))
def test_nothing_but_ids_passes(value):
    try:
        whole = record_id(value)
    except InvalidParams:
        return
    assert isinstance(value, str) and len(value) in (15, 18)
    assert set(whole) <= set(ALPHABET)


@pytest.mark.parametrize(
    "value",
    [
        "https://evil.example/services/data/v65.0/sobjects/User/005000000000001",
        "//evil.example/0050000000000",
        "../../query?q=SELECT",
        "005000000000001/",
        "005000000000001\n",
        " 005000000000001",
        "00500000000000%",
        "0050000000000é1",
        "",
        "005000000000001A",
    ],
)
def test_what_would_change_a_url_is_no_id(value):
    with pytest.raises(InvalidParams) as caught:
        record_id(value)
    assert "evil" not in str(caught.value), "what came from outside is not repeated"
    assert "Nothing was done" in str(caught.value)


def test_another_objects_id_is_refused_by_its_prefix():
    assert record_id("005000000000001", USER) == "005000000000001AAA"
    with pytest.raises(InvalidParams):
        record_id("0Ak000000000001", USER)


def test_instants_are_aware_in_every_spelling():
    for text in ("2026-11-20T09:12:33.000+0000", "2026-11-20T09:12:33.000Z", "2026-11-20T09:12:33+00:00"):
        assert instant(text).isoformat() == "2026-11-20T09:12:33+00:00"
    assert instant("2026-11-20T09:12:33").utcoffset().total_seconds() == 0
    assert instant(None) is None and instant("") is None


@pytest.mark.parametrize(
    ("kind", "state", "running"),
    [
        ("query", "UploadComplete", True),
        ("query", "InProgress", True),
        ("query", "Open", False),
        ("ingest", "Open", True),
        ("query", "JobComplete", False),
        ("ingest", "Failed", False),
        ("query", "Aborted", False),
    ],
)
def test_which_jobs_can_be_aborted(kind, state, running):
    job = Job("750000000000001AAA", kind, state, "query", "Case", "005000000000001AAA", "")
    assert job.running is running
