import hashlib
import hmac
import json
import logging
import statistics
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from worker.alerts.intake import Intake, IntakeRefused
from worker.settings import Settings, SettingsError

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "alerts" / "panther_apache2"
NOW = datetime(2024, 2, 1, 15, 0, tzinfo=UTC)
TOKEN = "the-token-of-siem"
BEARER = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Cookie": "session=1"}
SECRETS = {
    "secret:env/SIEM": TOKEN,
    "secret:env/HOOK": "whsec_" + "QUJD" * 11,
    "secret:env/HMAC": "shared-secret-of-ci",
    "secret:env/PD": "pd-secret-1",
}
SOURCES = {
    "siem": {"scheme": "bearer", "secret": "secret:env/GONE secret:env/SIEM", "starts_per_hour": 20},
    "hook": {"scheme": "standard_webhooks", "secret": "secret:env/HOOK"},
    "ci": {"scheme": "hmac", "secret": "secret:env/HMAC", "org": "00D000000000009"},
    "pd": {"scheme": "pagerduty", "secret": "secret:env/PD"},
    "lost": {"scheme": "bearer", "secret": "secret:env/GONE"},
    "open": {"scheme": "none"},
    "small": {"scheme": "none", "max_bytes": 100},
    "calm": {"scheme": "none", "starts_per_hour": 2},
    "opener": {"scheme": "none", "starts_per_hour": 0},
}


@dataclass
class Admission:
    incident: str
    created: bool
    joined: bool
    count: int
    starts: bool = False
    raised: bool = False


class Shelf:
    """A store in memory, with the store's promises: all or none, first by key, then by correlation."""

    def __init__(self):
        self.alerts = self.journal = self.notices = self
        self.raw, self.admitted, self.incidents, self.broken = [], [], {}, None
        self.starts, self.entries, self.pages = [], [], []
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self):
        with self._lock:
            before = len(self.raw), len(self.admitted)
            try:
                yield
            except BaseException:
                del self.raw[before[0] :], self.admitted[before[1] :]
                raise

    def store_raw(self, source, headers, body):
        if self.broken == "raw":
            raise OSError("disk full at /secret/place")
        self.raw.append((source, dict(headers), body))
        return "sha256:" + hashlib.sha256(body).hexdigest()

    def admit(self, alert, now):
        if self.broken == "admit":
            raise OSError("disk full")
        self.admitted.append(alert)
        keys = {alert.dedupe_key, *alert.correlation}
        for incident, (known, count) in self.incidents.items():
            if known & keys:
                self.incidents[incident] = (known | keys, count + 1)
                return Admission(incident, False, True, count + 1)
        incident = f"INC-2024-{len(self.incidents) + 1}"
        self.incidents[incident] = (keys, 1)
        self.starts += [(alert.source, now)] if alert.route and alert.effect else []
        return Admission(incident, True, False, 1, starts=alert.route is not None)

    def effect_starts(self, source, since):
        return sum(source == whose and at > since for whose, at in self.starts)

    def append(self, incident, entries):
        self.entries += [(incident, entry) for entry in entries]

    def put(self, notices):
        self.pages += notices


def resolve(reference):
    return SECRETS[reference]


def intake(routes=()):
    return Intake.of(SOURCES, routes, resolve)


def sample(number, file="oauth_credential_abuse"):
    return json.loads((SAMPLES / f"{file}.json").read_text())[number]["event"]


def body(event):
    return json.dumps(event).encode()


REVOKED = sample(0)


def refused(taker, *arguments, **options):
    with pytest.raises(IntakeRefused) as caught:
        taker.receive(*arguments, **options)
    return caught.value


def test_an_alert_opens_an_incident_and_says_what_to_start():
    shelf = Shelf()
    receipt = intake().receive(shelf, "siem", BEARER, body(REVOKED), NOW)
    assert (receipt.incident, receipt.created, receipt.joined, receipt.count) == ("INC-2024-1", True, False, 1)
    assert receipt.status == 202
    assert receipt.start == {
        "rule": "crm-token-theft",
        "playbook": "crm-oauth-token-theft",
        "inputs": {"app": "CompromisedApp", "since": "2024-01-29T17:45:30.123000Z"},
    }
    alert = shelf.admitted[0]
    assert (alert.source, alert.verified, alert.kind) == ("siem", "valid", "crm.oauth_token_theft")
    assert alert.raw == "sha256:" + hashlib.sha256(shelf.raw[0][2]).hexdigest()
    document = receipt.document()
    assert document["ok"] and document["route"] == receipt.start and document["dedupe_key"] == alert.dedupe_key


def test_a_missing_secret_is_logged_once_and_unnamed(caplog):
    taker = intake()
    for _ in range(5):
        taker.receive(Shelf(), "siem", BEARER, body(REVOKED), NOW)
    assert [record.getMessage() for record in caplog.records] == [
        "a secret of alert source siem cannot be read: KeyError"
    ]


def test_a_second_one_joins_and_starts_nothing():
    shelf, taker = Shelf(), intake()
    taker.receive(shelf, "siem", BEARER, body(REVOKED), NOW)
    receipt = taker.receive(shelf, "siem", BEARER, body({**REVOKED, "p_row_id": "x"}), NOW)
    assert (receipt.created, receipt.joined, receipt.count, receipt.start) == (False, True, 2, None)


def test_the_bytes_are_kept_as_they_came_and_no_credential_beside_them():
    shelf, content = Shelf(), body(REVOKED) + b" \n"
    intake().receive(shelf, "siem", BEARER, content, NOW)
    source, headers, kept = shelf.raw[0]
    assert (source, headers, kept) == ("siem", {"content-type": "application/json"}, content)


def test_what_no_rule_matches_is_recorded_only():
    shelf = Shelf()
    receipt = intake().receive(shelf, "siem", BEARER, body(sample(4)), NOW)
    assert (receipt.incident, receipt.start, receipt.status) == (None, None, 200)
    assert len(shelf.raw) == 1 and not shelf.admitted
    assert receipt.document()["problems"][0]["code"] == "unmatched"


def test_severity_one_opens_an_incident_and_starts_nothing():
    receipt = intake().receive(Shelf(), "siem", BEARER, body(sample(3)), NOW)
    assert receipt.created and receipt.incident and receipt.start is None


def test_a_closing_alert_neither_opens_nor_closes():
    shelf = Shelf()
    event = {"kind": "key.exposed", "severity": 5, "action": "close"}
    assert intake().receive(shelf, "open", {}, body(event), NOW).incident is None
    assert len(shelf.raw) == 1 and not shelf.admitted


@pytest.mark.parametrize(
    ("source", "headers", "code", "status"),
    [
        ("siem", {}, "signature_missing", 401),
        ("siem", {"authorization": "Bearer wrong-token-here"}, "signature_invalid", 401),
        ("ci", {"x-hub-signature-256": "sha256=" + "0" * 64}, "signature_invalid", 401),
        ("hook", BEARER, "signature_missing", 401),
        ("lost", BEARER, "no_secret", 503),
        ("nobody", BEARER, "unknown_source", 404),
        ("small", {}, "too_large", 413),
    ],
)
def test_who_is_not_proven_leaves_nothing(source, headers, code, status, caplog):
    shelf = Shelf()
    with caplog.at_level(logging.CRITICAL):
        refusal = refused(intake(), shelf, source, headers, body(REVOKED), NOW)
    assert (refusal.code, refusal.status) == (code, status)
    assert not shelf.raw and not shelf.admitted
    told = f"{refusal} {refusal.next_step}"
    assert "Nothing was kept or opened." in told and refusal.next_step
    assert TOKEN not in told and "wrong-token" not in told and REVOKED["CONNECTED_APP_NAME"] not in told


@pytest.mark.parametrize("content", [b"not json", b"[]", b"3", b"[" * 5000])
def test_unreadable_bytes_of_a_proven_sender_are_kept(content):
    shelf = Shelf()
    refusal = refused(intake(), shelf, "siem", BEARER, content, NOW)
    assert refusal.status == 422 and refusal.raw and refusal.raw in refusal.next_step
    assert [kept for _, _, kept in shelf.raw] == [content] and not shelf.admitted


@pytest.mark.parametrize(
    ("broken", "content"), [("raw", body(REVOKED)), ("admit", body(REVOKED)), ("raw", b"not json")]
)
def test_without_the_store_the_sender_is_told_to_send_again(broken, content, caplog):
    shelf, taker = Shelf(), intake()
    shelf.broken = broken
    with caplog.at_level(logging.CRITICAL):
        refusal = refused(taker, shelf, "siem", BEARER, content, NOW)
    assert (refusal.code, refusal.status) == ("store_unreachable", 503) and "/secret" not in str(refusal)
    assert not shelf.raw and not shelf.admitted
    shelf.broken = None
    if content != b"not json":
        assert taker.receive(shelf, "siem", BEARER, content, NOW).created


def signed(content, delivery="m1", now=NOW):
    signature = Webhook(SECRETS["secret:env/HOOK"]).sign(delivery, now, content.decode())
    return {"webhook-id": delivery, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}


def test_a_replayed_delivery_is_not_counted_again():
    shelf, taker, content = Shelf(), intake(), body(REVOKED)
    first = taker.receive(shelf, "hook", signed(content), content, NOW)
    again = taker.receive(shelf, "hook", signed(content), content, NOW + timedelta(seconds=60))
    assert first.created and again.replayed and not again.created and again.start is None
    assert again.incident == first.incident and len(shelf.raw) == 1
    later = NOW + timedelta(seconds=301)
    assert refused(taker, shelf, "hook", signed(content), content, later).code == "timestamp_outside"
    fresh = taker.receive(shelf, "hook", signed(content, "m2", later), content, later)
    assert not fresh.replayed and fresh.count == 2


def test_a_delivery_that_failed_may_come_again():
    shelf, taker, content = Shelf(), intake(), body(REVOKED)
    shelf.broken = "admit"
    assert refused(taker, shelf, "hook", signed(content), content, NOW).status == 503
    shelf.broken = None
    assert taker.receive(shelf, "hook", signed(content), content, NOW).created


def test_a_signed_id_in_the_body_counts_as_one_delivery():
    shelf, taker = Shelf(), intake()
    content = body({"kind": "key.exposed", "severity": 4, "event": {"id": "e1"}})
    proof = hmac.new(b"pd-secret-1", content, hashlib.sha256).hexdigest()
    headers = {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={proof}"}
    assert taker.receive(shelf, "pd", headers, content, NOW).created
    assert taker.receive(shelf, "pd", headers, content, NOW).replayed and len(shelf.raw) == 1


def test_hmac_and_the_organisation_of_the_source():
    shelf, content = Shelf(), body({"kind": "key.exposed", "severity": 4, "app": "ci"})
    proof = hmac.new(b"shared-secret-of-ci", content, hashlib.sha256).hexdigest()
    intake().receive(shelf, "ci", {"X-Hub-Signature-256": f"sha256={proof}"}, content, NOW)
    assert shelf.admitted[0].org == "00D000000000009"
    assert shelf.admitted[0].correlation == ("00D000000000009|oauth_app:ci",)


def test_a_person_may_send_by_hand():
    shelf = Shelf()
    receipt = intake().receive(shelf, "file", {}, body(REVOKED), NOW, person="ana")
    assert receipt.created and shelf.admitted[0].source == "file" and shelf.admitted[0].verified == "valid"


def test_an_alert_that_breaks_the_reader_still_reaches_people(caplog):
    def breaks(*_, **__):
        raise KeyError("a bug")

    shelf, taker = Shelf(), intake()
    taker.reader = breaks
    with caplog.at_level(logging.CRITICAL):
        receipt = taker.receive(shelf, "siem", BEARER, body(REVOKED), NOW)
    assert receipt.created and (receipt.alert.kind, receipt.alert.severity) == ("unknown", 3)
    assert "reader_failed" in {problem.code for problem in receipt.alert.problems}
    assert receipt.start["playbook"] == "crm-triage" and len(shelf.raw) == 1


def test_an_open_source_is_marked_unsigned():
    assert intake().receive(Shelf(), "open", {}, body(REVOKED), NOW).alert.verified == "unsigned"


def test_rules_of_the_settings_come_first():
    rule = {"rule": "mine", "kinds": ["crm.*"], "sources": ["siem"], "playbook": "own", "inputs": {"who": "user"}}
    taker = intake([rule])
    start = taker.receive(Shelf(), "siem", BEARER, body(REVOKED), NOW).start
    assert start == {"rule": "mine", "playbook": "own", "inputs": {"who": REVOKED["USER_ID"]}}
    assert taker.receive(Shelf(), "open", {}, body(REVOKED), NOW).start["rule"] == "crm-token-theft"
    none = intake([{"rule": "quiet", "kinds": ["*"], "playbook": "none"}])
    receipt = none.receive(Shelf(), "siem", BEARER, body(REVOKED), NOW)
    assert receipt.created and receipt.start is None


@pytest.mark.parametrize(
    "name",
    ["Drift\u202e", "Drift\n", "a" * 150 + "\x00b", "\x1b[2J", "Dri\u200bft", "b" * 300],
    ids=["rtl", "line", "nul", "esc", "zero", "long"],
)
def test_a_hostile_app_name_fills_no_input(name):
    receipt = intake().receive(Shelf(), "open", {}, body({**REVOKED, "CONNECTED_APP_NAME": "x" + name + "y"}), NOW)
    assert "app" not in receipt.start["inputs"]
    assert "input_unsafe" in {problem.code for problem in receipt.alert.problems}


def test_the_evidence_window_is_at_most_ninety_days():
    old = {**REVOKED, "TIMESTAMP": "2020-01-01 00:00:00", "TIMESTAMP_DERIVED": "2020-01-01 00:00:00"}
    ahead = {**REVOKED, "TIMESTAMP": "2024-03-01 00:00:00", "TIMESTAMP_DERIVED": "2024-03-01 00:00:00"}
    starts = [intake().receive(Shelf(), "open", {}, body(event), NOW).start for event in (old, ahead)]
    assert [start["inputs"]["since"] for start in starts] == [
        "2023-11-03T15:00:00.000000Z",
        "2024-01-31T15:00:00.000000Z",
    ]


def test_the_settings_file_says_all_of_a_source(tmp_path):
    (tmp_path / "stanch.toml").write_text(
        '[alerts.pd]\nscheme = "pagerduty"\nsecret = "secret:env/PD secret:env/OLD"\nformat = "ocsf"\n'
        'starts_per_hour = 3\ntolerance = 60\nmax_bytes = 2097152\norg = "00D000000000009"\n'
    )
    file = Settings.load({}, tmp_path).file
    source = Intake.of(file.alerts, file.routes, resolve).sources.get("pd")
    assert (source.scheme, source.secrets) == ("pagerduty", ("secret:env/PD", "secret:env/OLD"))
    assert (source.format, source.starts_per_hour, source.tolerance) == ("ocsf", 3, 60)
    assert (source.max_bytes, source.org) == (2 * 1024 * 1024, "00D000000000009")


def test_malformed_settings_are_refused_at_once():
    for sources, routes in (
        ({"x": {"scheme": "rot13"}}, ()),
        ({"x": {"format": "cef"}}, ()),
        ({}, [{"rule": "r", "kinds": ["*"], "playbook": "p", "input": {}}]),
        ({}, [{"rule": "r", "kinds": ["*"], "playbook": "p", "inputs": {"a": "title"}}]),
    ):
        with pytest.raises(SettingsError, match=r"^(alerts\.x|routes): \S+: .+\.$"):
            Intake.of(sources, routes, resolve)


def test_taking_an_alert_is_quick_and_five_hundred_at_once_are_one_incident():
    shelf, taker = Shelf(), intake()
    seconds, lock = [], threading.Lock()

    def send(number):
        content = body({**REVOKED, "p_row_id": str(number)})
        started = time.perf_counter()
        receipt = taker.receive(shelf, "siem", BEARER, content, NOW)
        with lock:
            seconds.append(time.perf_counter() - started)
            receipts.append(receipt)

    receipts = []
    for number in range(100):
        send(number)
    assert statistics.median(seconds) < 0.005
    threads = [threading.Thread(target=lambda first=first: [send(first + n) for n in range(50)]) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(receipt.created for receipt in receipts) == 1
    assert max(receipt.count for receipt in receipts) == 500 and len(shelf.incidents) == 1
