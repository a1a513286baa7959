"""Alerts in the store: kept, counted exactly, and joined to one incident, whatever comes at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from playbooks.contract import NewEntry
from tests.chains import AT, assert_chain
from worker.alerts.model import Alert, Route
from worker.store import Store

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


def alert(dedupe: str = "a", *correlation: str, **more: Any) -> Alert:
    """An alert of a happening named ``dedupe``."""
    return Alert(
        source="detector",
        format="panther",
        verified="valid",
        kind="crm.oauth_token_theft",
        severity=4,
        title="Token used",
        received_at=more.pop("at", AT),
        dedupe_key=dedupe * 64,
        correlation=correlation,
        **more,
    )


def status(store: Store, incident: str, word: str) -> None:
    """The incident's workflow says where it stands."""
    record = store.incidents.get(incident)
    assert record is not None
    document = {"status": word, "facts": record["facts"], "facts_version": 2}
    store.incidents.save_snapshot(incident, incident, document, None, record["facts_version"] + 1)


def test_the_first_alert_opens_an_incident_and_a_repeat_joins_it(store: Store) -> None:
    first = store.alerts.admit(alert(), NOW)
    again = store.alerts.admit(alert(at="2026-11-24T11:00:00.000000Z"), NOW)
    other = store.alerts.admit(alert("b"), NOW)
    assert (first.created, first.joined, first.count) == (True, False, 1)
    assert (again.incident, again.created, again.joined, again.count) == (first.incident, False, True, 2)
    assert other.created and other.incident != first.incident
    assert store.incidents.alerts(first.incident) == {
        "count": 2,
        "first": AT,
        "last": "2026-11-24T11:00:00.000000Z",
        "keys": ["a" * 64],
    }
    record = store.incidents.get(first.incident)
    assert record is not None and (record["kind"], record["severity"]) == ("crm.oauth_token_theft", 4)


def test_five_hundred_at_once_are_one_incident_that_counts_them_all(store: Store) -> None:
    with ThreadPoolExecutor(50) as pool:
        admitted = list(pool.map(lambda _: store.alerts.admit(alert("a", "org|app|x"), NOW), range(500)))
    (incident,) = {found.incident for found in admitted}
    assert [found.created for found in admitted].count(True) == 1
    assert sorted(found.count for found in admitted) == list(range(1, 501))
    assert store.incidents.alerts(incident)["count"] == 500
    assert [row["incident"] for row in store.incidents.list()] == [incident]
    assert [entry["kind"] for entry in store.journal.entries(incident)] == ["alert.admitted"]
    (start,) = store.alerts.pending_starts()
    assert (start["incident"], start["count"]) == (incident, 500)


def test_correlated_alerts_join_and_each_happening_is_journaled_once(store: Store) -> None:
    first = store.alerts.admit(alert("a", "org|app|x", "org|user|u"), NOW)
    second = store.alerts.admit(alert("b", "org|user|u"), NOW + timedelta(hours=23))
    third = store.alerts.admit(alert("b", "org|user|u"), NOW + timedelta(hours=23))
    assert {first.incident, second.incident, third.incident} == {first.incident}
    assert not second.created and third.count == 3
    entries = store.journal.entries(first.incident)
    assert_chain(first.incident, entries)
    assert [(entry["body"]["dedupe_key"][0], entry["body"]["created"]) for entry in entries] == [
        ("a", True),
        ("b", False),
    ]
    assert store.incidents.alerts(first.incident)["keys"] == ["a" * 64, "b" * 64]


@pytest.mark.parametrize(
    ("correlation", "later"),
    [
        ((), timedelta(0)),
        (("other|app|x",), timedelta(0)),
        (("org|app|y",), timedelta(0)),
        (("org|app|x",), timedelta(hours=24, seconds=1)),
    ],
    ids=["nothing in common", "another organisation", "another app", "over a day later"],
)
def test_what_is_not_correlated_is_an_incident_of_its_own(store: Store, correlation: Any, later: timedelta) -> None:
    first = store.alerts.admit(alert("a", "org|app|x"), NOW)
    second = store.alerts.admit(alert("b", *correlation), NOW + later)
    assert second.created and second.incident != first.incident


@pytest.mark.parametrize("word", ["closed", "false_alarm"])
def test_nothing_joins_a_closed_incident_and_it_keeps_its_own_alerts(store: Store, word: str) -> None:
    first = store.alerts.admit(alert("a", "org|app|x"), NOW)
    store.alerts.admit(alert("a", "org|app|x"), NOW)
    status(store, first.incident, word)
    same = store.alerts.admit(alert("a", "org|app|x"), NOW)
    related = store.alerts.admit(alert("b", "org|app|x"), NOW)
    assert same.created and same.incident != first.incident
    assert (related.incident, related.count) == (same.incident, 2)
    assert store.incidents.alerts(first.incident)["count"] == 2
    assert store.incidents.alerts(first.incident)["keys"] == ["a" * 64]
    assert store.incidents.alerts(same.incident)["keys"] == ["a" * 64, "b" * 64]


def test_an_incident_that_is_contained_still_takes_alerts(store: Store) -> None:
    first = store.alerts.admit(alert("a", "org|app|x"), NOW)
    status(store, first.incident, "contained")
    assert store.alerts.admit(alert("b", "org|app|x"), NOW).incident == first.incident


def test_the_bytes_of_an_alert_become_evidence_of_its_incident(store: Store) -> None:
    raw = store.alerts.store_raw("detector", {"content-type": "application/json"}, b'{"a": 1}')
    admitted = store.alerts.admit(alert(raw=raw), NOW)
    kept, told = store.journal.entries(admitted.incident)
    assert store.evidence.read(raw) == b'{"a": 1}'
    assert [row["sha256"] for row in store.evidence.of(admitted.incident)] == [raw[7:]]
    assert (kept["kind"], told["kind"], told["body"]["raw"]) == ("evidence.kept", "alert.admitted", raw)


def test_bytes_that_open_no_incident_are_kept_too(store: Store) -> None:
    refs = {store.alerts.store_raw("detector", {}, b"garbage \xff") for _ in range(3)}
    assert len(refs) == 1 and store.evidence.read(refs.pop()) == b"garbage \xff"


def test_what_an_incident_starts_waits_until_it_surely_runs(store: Store) -> None:
    route = Route(rule="tokens", playbook="crm-oauth-token-theft", inputs={"app": "x"})
    first = store.alerts.admit(alert(route=route), NOW)
    quiet = store.alerts.admit(alert("b"), NOW)
    starts = {start["incident"]: start for start in store.alerts.pending_starts()}
    assert starts[first.incident]["playbook"] == "crm-oauth-token-theft" and starts[first.incident]["count"] == 1
    assert starts[first.incident]["inputs"] == {"app": "x"}
    store.alerts.confirm_started(first.incident, route.playbook)
    assert [start["incident"] for start in store.alerts.pending_starts()] == [quiet.incident]


def test_starts_with_effect_are_counted_for_their_source_in_the_store(store: Store, store_url: str, home: Path) -> None:
    route = Route(rule="tokens", playbook="crm-oauth-token-theft", inputs={})
    for number in range(3):
        store.alerts.admit(alert("bcd"[number], route=route, effect=number > 0), NOW + timedelta(minutes=number))
    store.alerts.admit(alert("d", route=route, effect=True), NOW)
    reopened = Store(store_url, home)
    whose = alert().source
    assert reopened.alerts.effect_starts(whose, NOW - timedelta(hours=1)) == 2, "joining starts nothing"
    assert reopened.alerts.effect_starts(whose, NOW + timedelta(minutes=1)) == 1
    assert reopened.alerts.effect_starts("other", NOW - timedelta(hours=1)) == 0
    reopened.close()


def test_an_admission_that_fails_leaves_nothing(store: Store) -> None:
    def broken_off() -> None:
        with store.transaction():
            store.alerts.admit(alert(raw=store.alerts.store_raw("detector", {}, b"x")), NOW)
            raise LookupError

    with pytest.raises(LookupError):
        broken_off()
    assert store.incidents.list() == [] and store.alerts.pending_starts() == []
    assert store.alerts.admit(alert(), NOW).incident.endswith("-1")


def test_incident_ids_are_counted_within_their_year(store: Store) -> None:
    year = datetime.now(UTC).year
    opened = [store.incidents.open(title="t", kind="unknown", severity=3, facts={}, opened_by="amal") for _ in range(3)]
    assert opened == [f"INC-{year}-{number}" for number in (1, 2, 3)]
    assert [row["incident"] for row in store.incidents.list()] == opened[::-1]
    assert store.incidents.get("INC-1999-1") is None


def test_an_older_snapshot_never_replaces_a_newer_one(store: Store) -> None:
    incident = store.incidents.open(title="t", kind="unknown", severity=3, facts={}, opened_by="amal")
    for version, word in ((2, "contained"), (1, "open"), (2, "open")):
        store.incidents.save_snapshot(incident, incident, {"status": word, "facts": {}}, None, version)
    record = store.incidents.get(incident)
    assert record is not None and record["status"] == "contained"
    run = f"run/{incident}/x/1"
    for version in (5, 3):
        store.incidents.save_snapshot(run, incident, {"status": "running", "v": version}, {"v": version}, version)
    assert store.incidents.snapshot(run) == {"status": "running", "v": 5}
    assert store.incidents.snapshots(incident)[run]["state"] == {"v": 5}


def test_a_runs_input_and_plan_are_kept_once(store: Store) -> None:
    for number in (1, 2):
        store.incidents.save_run("run/INC-2026-1/x/1", "INC-2026-1", {"n": number})
        store.incidents.save_plan("INC-2026-1", "run/INC-2026-1/x/1", {"n": number}, f"d{number}")
    store.incidents.save_run("run/INC-2026-1/x/2", "INC-2026-1", {})
    assert store.incidents.load_run("run/INC-2026-1/x/1") == {"n": 1}
    assert store.incidents.plan("run/INC-2026-1/x/1") == {"digest": "d1", "plan": {"n": 1}}
    assert list(store.incidents.runs("INC-2026-1")) == ["run/INC-2026-1/x/1", "run/INC-2026-1/x/2"]
    assert store.incidents.load_run("run/INC-2026-1/y/1") is None and store.incidents.plan("y") is None


def test_an_entry_written_beside_an_admission_is_all_or_none_with_it(store: Store) -> None:
    with store.transaction():
        incident = store.alerts.admit(alert(), NOW).incident
        store.journal.append(incident, [NewEntry(key="x", kind="test.said", at=AT)])
    assert [entry["kind"] for entry in store.journal.entries(incident)] == ["alert.admitted", "test.said"]
