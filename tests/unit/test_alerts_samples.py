import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rfc8785

from worker.alerts.intake import Intake

DATA = Path(__file__).resolve().parent.parent / "data" / "alerts"
NOW = datetime(2024, 2, 2, 12, 0, tzinfo=UTC)
INTAKE = Intake.of({}, (), lambda _reference: "")


def samples(expected):
    files = sorted((DATA / "panther_apache2").glob("*.json"))
    found = [sample for file in files for sample in json.loads(file.read_text())]
    return [pytest.param(each["event"], id=each["name"]) for each in found if each["expected_alert"] is expected]


def check(event, now=NOW, source="file"):
    return INTAKE.check(json.dumps(event).encode(), source, now).check()


# Sample (by its user) to kind, severity, playbook and app: written down by hand from the samples' own names.
EXPECTED = {
    "fdokawnjf": ("crm.admin_abuse", 3, "crm-triage", None),
    "0055f00000CyENt": ("crm.api_anomaly", 5, "crm-triage", None),
    "0055f00000DzFPu": ("crm.api_anomaly", 3, "crm-triage", None),
    "0055f00000EzGQv": ("crm.api_anomaly", 5, "crm-triage", None),
    "0055f00000HyJSw": ("crm.bulk_exfiltration", 5, "crm-oauth-token-theft", None),
    "0055f00000IzKTx": ("crm.bulk_exfiltration", 3, "crm-oauth-token-theft", None),
    "0055f00000JzLUy": ("crm.bulk_exfiltration", 4, "crm-oauth-token-theft", None),
    "0055f00000KzMVz": ("crm.bulk_exfiltration", 1, None, None),
    "0055f00000RzTCE": ("crm.oauth_token_theft", 4, "crm-oauth-token-theft", "CompromisedApp"),
    "0055f00000SzUDF": ("crm.oauth_token_theft", 3, "crm-oauth-token-theft", "SuspiciousIntegration"),
    "0055f00000TzVEG": ("crm.oauth_token_theft", 4, "crm-oauth-token-theft", "HighVolumeApp"),
    "0055f00000UzWFH": ("crm.oauth_token_theft", 1, None, None),
    "0055f00000MyOXz": ("crm.oauth_token_theft", 4, "crm-oauth-token-theft", "ThirdPartyDataSync"),
    "0055f00000NzPYA": ("crm.oauth_token_theft", 3, "crm-oauth-token-theft", "NewMobileApp"),
    "0055f00000OzQZB": ("crm.oauth_token_theft", 3, "crm-oauth-token-theft", "Test-Integration-App"),
    "0055f00000PzRAC": ("crm.oauth_token_theft", 1, None, None),
}


def test_there_are_sixteen_alerts_and_five_others():
    assert len(samples(True)) == 16 and len(samples(False)) == 5


@pytest.mark.parametrize("event", samples(True))
def test_an_alert_is_read_rightly(event):
    kind, severity, playbook, app = EXPECTED[event["USER_ID"]]
    document = check(event)
    assert (document["format"], document["kind"], document["severity"]) == ("salesforce", kind, severity)
    assert document["action"] == "open" and document["verified"] == "not_checked"
    assert datetime.fromisoformat(document["first_seen"]) == datetime.fromisoformat(event["TIMESTAMP"] + "+00:00")
    found = {(each["kind"], each["id"]) for each in document["entities"]}
    for entity, column in (
        ("user", "USER_ID"),
        ("user", "DELEGATED_USER_ID"),
        ("oauth_app", "CONNECTED_APP_ID"),
        ("bulk_job", "JOB_ID"),
        ("object", "ENTITY_NAME"),
        ("org", "ORGANIZATION_ID"),
        ("session", "SESSION_KEY"),
    ):
        if column in event:
            assert (entity, event[column]) in found
    assert ("ip", event.get("SOURCE_IP") or event["CLIENT_IP"]) in found
    assert {each["trust"] for each in document["entities"]} == {"claimed"}
    assert (document["route"] or {}).get("playbook") == playbook
    if document["route"]:
        assert document["route"]["inputs"].get("app") == app


RULES = {
    "ApiAnomalyEventStore": "api-anomaly",
    "ApiConnectedApp": "api-connected-app",
    "ApiTotalUsage": "api-total-usage",
    "BulkApiResultEventStore": "bulk-api-result",
    "ConnectedAppUsageEventStore": "connected-app-usage",
    "LoginAs": "login-as",
    "OAuthTokenRefreshFailed": "oauth-refresh-failed",
    "OAuthTokenRevoked": "oauth-token-revoked",
}


@pytest.mark.parametrize("event", samples(True))
def test_the_key_is_the_digest_that_the_contract_says(event):
    """SHA-256 over the canonical JSON of format, detector rule, primary entities and UTC day."""
    primary = {
        ("org", event["ORGANIZATION_ID"]),
        *(
            (kind, event[column])
            for kind, column in (
                ("user", "USER_ID"),
                ("user", "DELEGATED_USER_ID"),
                ("oauth_app", "CONNECTED_APP_ID"),
                ("bulk_job", "JOB_ID"),
            )
            if column in event
        ),
    }
    short = sorted([kind, name[:15] if len(name) == 18 and name.isalnum() else name] for kind, name in primary)
    whole = ["salesforce", RULES[event["EVENT_TYPE"]], short, event["TIMESTAMP"][:10]]
    assert check(event)["dedupe_key"] == hashlib.sha256(rfc8785.dumps(whole)).hexdigest()


@pytest.mark.parametrize("event", samples(True) + samples(False))
def test_the_document_has_the_parts_of_the_contract_and_no_others(event):
    document = check(event)
    assert list(document) == [
        *("format", "verified", "kind", "action", "severity", "dedupe_key", "title", "first_seen", "time_suspect"),
        *("entities", "route", "problems"),
    ]
    assert document["verified"] in ("valid", "invalid", "unsigned", "not_checked")
    assert isinstance(document["severity"], int) and 0 <= document["severity"] <= 5
    assert all(set(each) == {"kind", "id", "role", "trust"} for each in document["entities"])
    assert all(set(each) == {"code", "message"} for each in document["problems"])
    assert document["route"] is None or set(document["route"]) == {"rule", "playbook", "inputs"}


def test_the_key_of_an_event_without_an_instant_has_the_day_of_its_receipt():
    event = {"kind": "key.exposed", "severity": 4, "rule": "r", "user": "u"}
    whole = ["generic", "r", [["user", "u"]], "2024-02-02"]
    assert check(event)["dedupe_key"] == hashlib.sha256(rfc8785.dumps(whole)).hexdigest()
    assert check(event)["time_suspect"] is True


@pytest.mark.parametrize("event", samples(False))
def test_what_no_rule_matches_has_no_route(event):
    document = check(event)
    assert (document["kind"], document["severity"], document["route"]) == ("unknown", 0, None)
    assert [problem["code"] for problem in document["problems"]] == ["unmatched"]
    assert document["first_seen"].startswith(event["TIMESTAMP"][:10])


@pytest.mark.parametrize("event", samples(True))
def test_a_key_forgets_delivery_and_row_but_not_whom_or_when(event):
    key = check(event)["dedupe_key"]
    again = {**event, "p_row_id": "other", "REQUEST_ID": "other", "p_parse_time": event["TIMESTAMP"], "CPU_TIME": 1}
    assert check(again)["dedupe_key"] == key
    later = {**event, "TIMESTAMP": "2024-02-02 01:00:00.000", "TIMESTAMP_DERIVED": "2024-02-02 01:00:00.000"}
    if event["TIMESTAMP"][:10] != "2024-02-02":
        assert check(later)["dedupe_key"] != key
    assert check({**event, "USER_ID": "0055f00000AAAAA", "DELEGATED_USER_ID": "0055f00000AAAAA"})["dedupe_key"] != key


def test_all_keys_differ():
    events = [sample.values[0] for sample in samples(True)]
    assert len({check(event)["dedupe_key"] for event in events}) == len(events)


def test_the_long_and_the_short_form_of_an_id_are_one():
    event = samples(True)[4].values[0]
    short = {**event, "JOB_ID": event["JOB_ID"][:15], "USER_ID": event["USER_ID"] + "XYZ"}
    long, cut = (INTAKE.check(json.dumps(each).encode(), "file", NOW) for each in (event, short))
    assert long.dedupe_key == cut.dedupe_key and long.correlation == cut.correlation


def test_ocsf_detection_finding():
    event = json.loads((DATA / "own" / "ocsf_2004_detection_finding.json").read_text())
    now = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    alert = INTAKE.check(json.dumps(event).encode(), "file", now)
    document = alert.check()
    assert (document["format"], document["kind"], document["severity"]) == ("ocsf", "crm.bulk_exfiltration", 5)
    assert document["first_seen"] == "2026-11-20T09:09:11.000000Z"
    assert alert.detected_at == "2026-11-20T09:12:33.000000Z"
    assert document["time_suspect"] is False and document["problems"] == []
    assert {(each["kind"], each["id"]) for each in document["entities"]} == {
        ("org", "00DHs0000000001MAA"),
        ("object", "Case"),
        ("user", "005Hs00000AAAA1IAA"),
        ("oauth_app", "0H4Hs0000000001KAA"),
        ("bulk_job", "750Hs000000001AIAQ"),
        ("ip", "203.0.113.77"),
    }
    assert document["route"]["playbook"] == "crm-oauth-token-theft"
    assert document["route"]["inputs"] == {"app": "ChatWidget", "since": "2026-11-19T09:09:11.000000Z"}
    again = {**event, "metadata": {**event["metadata"], "uid": "evt-0002"}, "activity_id": 2}
    again["finding_info"] = {**event["finding_info"], "uid": "det-other"}
    update = check(again, now)
    assert update["action"] == "update" and update["dedupe_key"] == document["dedupe_key"]


@pytest.mark.parametrize(
    ("change", "severity", "route"),
    [
        ({"severity_id": 6}, 5, True),
        ({"severity_id": 2}, 1, False),
        ({"severity_id": 99, "severity": "Other"}, 3, True),
        ({"severity_id": 0}, 5, True),
        ({"activity_id": 3}, 5, False),
        ({"is_alert": False}, 0, False),
        ({"class_uid": 3002}, 0, False),
    ],
)
def test_ocsf_severity_and_action(change, severity, route):
    event = json.loads((DATA / "own" / "ocsf_2004_detection_finding.json").read_text()) | change
    document = check(event)
    assert document["severity"] == severity and bool(document["route"]) is route


def test_ocsf_of_no_known_kind_still_reaches_people():
    event = json.loads((DATA / "own" / "cloudevent_structured.json").read_text())
    document = check(event)
    assert (document["format"], document["kind"], document["severity"]) == ("ocsf", "unknown", 5)
    assert document["route"]["playbook"] == "crm-triage"
    assert "kind_unknown" in {problem["code"] for problem in document["problems"]}


def test_a_real_time_event_through_the_event_relay():
    payload = json.loads((DATA / "own" / "salesforce_bulkapiresultevent_payload.json").read_text())
    relayed = {
        "detail-type": "BulkApiResultEvent",
        "source": "aws.partner/salesforce.com/00DHs0000000001MAA/chn1",
        "detail": {"payload": payload},
    }
    document = check(relayed, datetime(2026, 11, 20, 10, tzinfo=UTC))
    assert (document["kind"], document["severity"]) == ("crm.bulk_exfiltration", 3)
    assert {problem["code"] for problem in document["problems"]} == {"severity_unread"}
    assert document["entities"][0]["id"] == payload["UserId"]
    assert ("org", "00DHs0000000001MAA") in {(each["kind"], each["id"]) for each in document["entities"]}
    assert document["first_seen"] == "2026-11-20T09:12:33.000000Z"


@pytest.mark.parametrize(
    "name",
    ["alertmanager_v4", "aws_guardduty_eventbridge", "pagerduty_events_v2_trigger", "splunk_webhook_alert"],
)
def test_formats_not_yet_read_are_recorded_with_a_reason(name):
    document = check(json.loads((DATA / "own" / f"{name}.json").read_text()))
    assert (document["kind"], document["severity"], document["route"]) == ("unknown", 0, None)
    assert "format is not known" in document["problems"][0]["message"]
