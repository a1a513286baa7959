import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.alerts import readers, salesforce
from worker.alerts.intake import Intake
from worker.alerts.model import KINDS
from worker.alerts.values import dig, identity, instant, number, stamp, text

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
INTAKE = Intake.of({}, (), lambda _reference: "")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["2024-01-30 17:45:30", "crm.oauth_token_theft", "\ud800", "0055f00000CyENt", "\u202e{{ 7*7 }}"])
)
NAMES = [
    *("EVENT_TYPE", "USER_ID", "CONNECTED_APP_ID", "JOB_ID", "TIMESTAMP", "RECORDS_PROCESSED", "SCORE", "STATUS"),
    *("class_uid", "finding_info", "evidences", "resources", "observables", "actor", "time", "severity_id", "attacks"),
    *("kind", "severity", "entities", "detail", "detail-type", "source", "data", "specversion", "event", "id", "type"),
    *("expected_alert", "payload", "attributes", "p_log_type", "action", "org", "title", "is_alert", "types", "name"),
]
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner),
    max_leaves=20,
)
EVENTS = st.dictionaries(st.sampled_from(NAMES), JSON | st.sampled_from(list(salesforce.mapping()["events"])))


def read(event, **options):
    return readers.read(event, source="s", received=NOW, **options)


@settings(max_examples=300, deadline=None)
@given(
    event=EVENTS, seed=st.sampled_from([{}, {"class_uid": 2004}, {"kind": "key.exposed"}, {"EVENT_TYPE": "LoginAs"}])
)
def test_no_json_breaks_a_reader(event, seed):
    alert = INTAKE.routes.choose(read({**event, **seed}), NOW).alert
    document = alert.check()
    assert document["kind"] in KINDS and 0 <= document["severity"] <= 5
    assert (document["route"] is None) or document["severity"] >= 2
    json.dumps(document).encode("utf-8")
    json.dumps(document, ensure_ascii=False).encode("utf-8")
    for part in ("first_seen",):
        assert datetime.fromisoformat(document[part]).tzinfo is not None
    assert len(document["dedupe_key"]) == 64 and len(document["title"]) <= 200


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200))
def test_no_bytes_break_parsing(body):
    code = ""
    try:
        parsed = readers.parse(body)
    except readers.BodyRefused as refused:
        parsed, code = {}, refused.code
    assert isinstance(parsed, dict) and code in {"", "bad_json", "batch", "not_an_object"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"\xff\xfe", "bad_json"),
        (b'{"a": NaN}', "bad_json"),
        (b'{"a": -Infinity}', "bad_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "bad_json"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "too_deep"),
        (b"[" * 40 + b"]" * 40, "too_deep"),
        (b'[{"kind": "key.exposed"}]', "batch"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
    ],
)
def test_what_is_no_alert_is_refused_with_a_code(body, code):
    with pytest.raises(readers.BodyRefused) as caught:
        readers.parse(body)
    assert caught.value.code == code


def test_thirty_two_levels_are_fine():
    assert readers.parse(b'{"a":' * 32 + b"1" + b"}" * 32)


def test_a_wide_body_is_read_in_time():
    wide = json.dumps(
        {"kind": "key.exposed", "severity": 4, "entities": [{"kind": "ip", "id": str(n)} for n in range(40_000)]}
    )
    started = time.perf_counter()
    alert = read(readers.parse(wide.encode()))
    assert time.perf_counter() - started < 2
    assert len(alert.entities) == 100


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024-01-30 17:45:30.123", "2024-01-30T17:45:30.123000Z"),
        ("2026-11-20T09:12:33Z", "2026-11-20T09:12:33.000000Z"),
        ("2026-11-20T10:12:33+01:00", "2026-11-20T09:12:33.000000Z"),
        ("20240130174530.5", "2024-01-30T17:45:30.500000Z"),
        ("20240130174530", "2024-01-30T17:45:30.000000Z"),
        ("2024-01-30", "2024-01-30T00:00:00.000000Z"),
        (1795165953000, "2026-11-20T09:12:33.000000Z"),
        (1795165953, "2026-11-20T09:12:33.000000Z"),
        ("1795165953", "2026-11-20T09:12:33.000000Z"),
        ("20241330174530", None),
        ("yesterday", None),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-23:00", None),
        (1e300, None),
        (True, None),
        ({"t": 1}, None),
    ],
)
def test_instants(written, expected):
    found = instant(written)
    assert (stamp(found) if found else None) == expected


def test_values_are_never_trusted():
    assert dig({"a": [{"b": 1}]}, "a.0.b") == 1 and dig({"a": [1]}, "a.5.b") is None and dig(3, "a") is None
    assert (
        text("\ud800x\x00y") == "\ufffdx\ufffdy" and text(150000.0) == "150000" and text([1]) == "" and text(True) == ""
    )
    assert number("150,000") == 150000 and number("x") is None and number(True) is None and number("1e999") is None
    assert identity("7505f000008xKLmAAM") == "7505f000008xKLm" and identity("not/an id") == "not/an id"


def bulk(**changes):
    event = {"EVENT_TYPE": "BulkApiResultEventStore", "OPERATION_TYPE": "query", "TIMESTAMP": "2026-11-24 11:00:00"}
    return read({**event, "USER_ID": "005000000000001", **changes})


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"RECORDS_PROCESSED": 9999}, 1),
        ({"RECORDS_PROCESSED": 10_000}, 3),
        ({"RECORDS_PROCESSED": "50000"}, 4),
        ({"RECORDS_PROCESSED": 100_000, "OPERATION_TYPE": "queryAll"}, 5),
        ({"RECORDS_PROCESSED": 1000, "OPERATION_TYPE": "hardDelete"}, 3),
        ({"RECORDS_PROCESSED": 50_000, "OPERATION_TYPE": "insert"}, 4),
        ({}, 3),
        ({"RECORDS_PROCESSED": "many"}, 3),
    ],
)
def test_volume_decides_the_severity_and_an_unread_one_is_not_nothing(changes, severity):
    alert = bulk(**changes)
    assert alert.severity == severity
    assert ("severity_unread" in {problem.code for problem in alert.problems}) is (
        "RECORDS_PROCESSED" not in changes or changes["RECORDS_PROCESSED"] == "many"
    )


def test_an_anomaly_score_may_be_a_share():
    event = {
        "EVENT_TYPE": "ApiAnomalyEvent",
        "Score": 0.95,
        "EventDate": "2026-11-24T11:00:00Z",
        "UserId": "005" + "0" * 12,
    }
    alert = read(event)
    assert (alert.kind, alert.severity) == ("crm.api_anomaly", 5)
    assert [problem.code for problem in alert.problems] == ["score_scale"]


@pytest.mark.parametrize(
    ("shift", "code"),
    [
        (timedelta(minutes=-5), None),
        (timedelta(hours=-23), None),
        (timedelta(hours=-25), "time_old"),
        (timedelta(minutes=4), None),
        (timedelta(hours=1), "time_ahead"),
        (None, "time_missing"),
    ],
)
def test_odd_times_are_kept_and_flagged(shift, code):
    written = None if shift is None else (NOW + shift).isoformat()
    alert = read({"kind": "key.exposed", "severity": "high", "occurred_at": written})
    assert alert.time_suspect is (code is not None)
    assert [problem.code for problem in alert.problems] == ([code] if code else [])
    assert alert.first_seen == stamp(NOW + (shift or timedelta()))


def test_a_clock_of_the_law_does_not_start_at_a_doubtful_instant():
    old = read({"kind": "key.exposed", "severity": 4, "detected_at": "2020-01-01T00:00:00Z"})
    assert old.facts()["detected_at"]["value"] == stamp(NOW)
    new = read({"kind": "key.exposed", "severity": 4, "detected_at": "2026-11-24T11:30:00Z"})
    facts = new.facts()
    assert facts["detected_at"]["value"] == "2026-11-24T11:30:00.000000Z"
    assert set(facts) == {"kind", "severity", "title", "opened_at", "detected_at", "first_seen", "org"}
    assert {fact["trust"] for fact in facts.values()} == {"alert"}


def test_correlation_is_by_organisation_and_never_by_address():
    first = bulk(ORGANIZATION_ID="00D000000000001", JOB_ID="750000000000001AAA", SOURCE_IP="203.0.113.1")
    assert first.correlation == ("00D000000000001|bulk_job:750000000000001", "00D000000000001|user:005000000000001")
    elsewhere = bulk(ORGANIZATION_ID="00D000000000002", SOURCE_IP="203.0.113.1")
    assert not set(first.correlation) & set(elsewhere.correlation)
    assert bulk().correlation == ("source:s|user:005000000000001",)


def test_a_source_keeps_to_its_format():
    event = {"kind": "key.exposed", "severity": 4}
    assert read(event).format == "generic"
    kept = read(event, format_="ocsf")
    assert (kept.format, kept.severity) == ("ocsf", 0)


def test_the_plain_shape():
    event = {
        "kind": "crm.oauth_token_theft",
        "severity": "HIGH",
        "rule": "r7",
        "title": "Drift",
        "org": "00D000000000001",
        "app": "Drift",
        "user": "005000000000001",
        "occurred_at": "2026-11-24T11:00:00Z",
        "entities": [{"kind": "ip", "id": "203.0.113.1"}, {"kind": "spaceship", "id": "x"}, 7],
    }
    alert = read(event)
    assert (alert.severity, alert.rule) == (4, "r7")
    assert {(each.kind, each.role) for each in alert.entities} == {
        ("org", "target"),
        ("ip", "actor"),
        ("oauth_app", "actor"),
        ("user", "actor"),
    }
    assert [problem.code for problem in alert.problems] == ["entity_unread", "entity_unread"]
    assert read({**event, "severity": 0}).severity == 0
    assert read({**event, "severity": "urgent"}).severity == 3
