"""The clocks of an incident: candidates, decisions, submissions, reminders."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from playbooks.clocks import CLOSED, compute
from playbooks.digest import jcs
from playbooks.regimes_loader import shipped
from workflows.messages import ClocksInput, ClocksResult

DETECTED = "2026-11-24T02:00:00Z"
IN_SCOPE = {"gdpr": True, "zone": "Europe/Berlin", "holidays": "DE", "nis2_entity": "important"}
PERSONAL = {"personal_data": True, "gdpr_role": "controller", "risk_to_people": "risk"}
SA = "eu_gdpr_art33/sa_notification"
WARNING = "eu_nis2_art23/early_warning"
NOTIFICATION = "eu_nis2_art23/incident_notification"
FINAL = "eu_nis2_art23/final_report"
LETTER = "eu_gdpr_art34/subject_communication"


def clocks(facts=None, *, dated=None, decisions=None, now="2026-11-24T10:00:00Z", organisation=None):
    request = {
        "incident": "INC-2026-1",
        "facts": {"id": "INC-2026-1", "detected_at": DETECTED, **(facts or {})},
        "dated": dated or {},
        "decisions": decisions or {},
        "now": now,
    }
    result = compute(request, shipped(), organisation)
    return {clock["id"]: clock for clock in result["clocks"]}


def decided(state: str, **more) -> dict[str, str]:
    return {"state": state, "at": "2026-11-24T09:00:00Z", "person": "vera", "reason": "", **more}


def test_on_opening_every_duty_that_may_apply_is_a_candidate_from_detection() -> None:
    found = clocks()
    for name, due in ((SA, "2026-11-27T02:00:00Z"), (WARNING, "2026-11-25T02:00:00Z"), (LETTER, None)):
        clock = found[name]
        assert clock["candidate"]
        assert clock["start"]["fact"] == "incident.detected_at"
        assert clock["start"]["provisional"]
        assert clock["due"] == due
    assert found[SA]["state"] == "candidate"
    assert found[FINAL]["state"] == "waiting"
    assert found[FINAL]["strict_due"] is None


def test_open_questions_name_the_fact_and_who_could_know() -> None:
    clock = clocks({"personal_data": True})[SA]
    assert clock["applies"] == "not_known"
    asked = {entry["fact"]: entry for entry in clock["undecided"]}
    assert set(asked) == {"organisation.gdpr", "incident.gdpr_role", "incident.risk_to_people"}
    assert asked["incident.gdpr_role"]["who"] == "privacy_officer"


def test_facts_and_a_dated_awareness_make_it_run() -> None:
    clock = clocks(PERSONAL, dated={"awareness": "2026-11-24T08:20:00Z"}, organisation=IN_SCOPE)[SA]
    assert (clock["state"], clock["applies"], clock["candidate"]) == ("running", "yes", False)
    assert clock["strict_due"]["earliest"] == "2026-11-27T08:20:00Z"
    assert clock["outer_due"]["earliest"] == "2026-11-27T09:00:00Z"
    assert clock["to_record"] == ["submission"]


def test_an_unlikely_risk_ends_the_duty_and_says_why() -> None:
    clock = clocks({**PERSONAL, "risk_to_people": "unlikely"}, organisation=IN_SCOPE)[SA]
    assert clock["state"] == "not_applicable"
    assert clock["because"] == [
        "incident.risk_to_people is unlikely (needed: a risk to people that is not unlikely, Art. 33(1))"
    ]
    assert clock["reminders"] == []


@pytest.mark.parametrize("fact", [{"personal_data": False}, {**PERSONAL, "risk_to_people": "unlikely"}])
def test_what_only_an_alert_claims_switches_nothing_off(fact) -> None:
    told = {name: {"value": value, "trust": "alert", "by": "", "source": "s", "at": ""} for name, value in fact.items()}
    assert clocks(told, organisation=IN_SCOPE)[SA]["state"] == "candidate"
    assert clocks(fact, organisation=IN_SCOPE)[SA]["state"] == "not_applicable"


def test_a_start_that_only_an_alert_claims_stays_provisional() -> None:
    told = {"awareness": {"value": "2026-11-24T01:00:00Z", "trust": "alert", "by": "", "source": "", "at": ""}}
    clock = clocks({**PERSONAL, **told}, organisation=IN_SCOPE)[SA]
    assert clock["due"] == "2026-11-27T01:00:00Z"
    assert clock["start"]["provisional"]
    assert clock["candidate"]


def test_an_exemption_counts_when_a_person_knows_it_not_before() -> None:
    high = {**PERSONAL, "risk_to_people": "high"}
    assert clocks(high, organisation=IN_SCOPE)[LETTER]["applies"] == "yes"
    assert clocks({**high, "unintelligible": True}, organisation=IN_SCOPE)[LETTER]["state"] == "not_applicable"
    alert = {"unintelligible": {"value": True, "trust": "alert", "by": "", "source": "", "at": ""}}
    assert clocks({**high, **alert}, organisation=IN_SCOPE)[LETTER]["applies"] == "yes"


def test_a_malicious_compromise_at_a_marketplace_is_significant_at_any_size() -> None:
    facts = {"malicious": True, "compromise": True}
    found = clocks(facts, organisation={**IN_SCOPE, "nis2_services": ["online_marketplace"]})
    assert found[WARNING]["applies"] == "yes"
    assert clocks(facts, organisation={**IN_SCOPE, "nis2_services": ["dns"]})[WARNING]["applies"] == "not_known"
    assessed = {**facts, "nis2_significant": False}
    marketplace = {**IN_SCOPE, "nis2_services": ["online_marketplace"]}
    assert clocks(assessed, organisation=marketplace)[WARNING]["state"] == "not_applicable"
    assert clocks(facts, organisation={**IN_SCOPE, "nis2_entity": "none"})[WARNING]["state"] == "not_applicable"


def test_a_trust_service_has_24_hours_for_the_notification() -> None:
    trust = {**IN_SCOPE, "nis2_services": ["trust_service"]}
    assert clocks(organisation=trust)[NOTIFICATION]["due"] == "2026-11-25T02:00:00Z"
    assert clocks(organisation=IN_SCOPE)[NOTIFICATION]["due"] == "2026-11-27T02:00:00Z"


def test_states_over_time() -> None:
    def state(now: str) -> tuple:
        clock = clocks(PERSONAL, dated={"awareness": DETECTED}, now=now, organisation=IN_SCOPE)[SA]
        return clock["state"], clock["late"]

    assert state("2026-11-25T02:00:00Z") == ("running", False)
    assert state("2026-11-26T02:00:00Z") == ("due_soon", False)
    assert state("2026-11-27T01:59:59Z") == ("due_soon", False)
    # The hour of awareness may not count: late only after the best case, overdue at once.
    assert state("2026-11-27T02:30:00Z") == ("overdue", None)
    assert state("2026-11-27T03:00:01Z") == ("overdue", True)


def test_asap_has_an_age_and_never_an_instant() -> None:
    clock = clocks({**PERSONAL, "risk_to_people": "high"}, now="2027-11-24T10:00:00Z", organisation=IN_SCOPE)[LETTER]
    assert (clock["due"], clock["strict_due"], clock["outer_due"]) == (None, None, None)
    assert clock["late"] is None
    assert clock["age_seconds"] == (365 * 24 + 8) * 3600
    assert [entry["kind"] for entry in clock["reminders"]] == ["after-24h", "after-72h"]


def test_the_final_report_is_a_calendar_month_after_the_recorded_submission() -> None:
    filed = decided("submitted", at="2026-11-26T09:00:00Z", reason="BSI-2026-77")
    found = clocks(decisions={NOTIFICATION: filed}, organisation=IN_SCOPE)
    assert found[NOTIFICATION]["submission"] == {
        "at": "2026-11-26T09:00:00Z",
        "by": "vera",
        "reference": "BSI-2026-77",
        "late": False,
    }
    final = found[FINAL]
    assert final["start"]["fact"] == "incident_notification_submitted"
    assert final["strict_due"]["earliest"] == "2026-12-26T23:00:00Z"
    assert final["outer_due"]["earliest"] == "2026-12-28T23:00:00Z"
    assert any("not confirmed" in point for point in final["not_confirmed"])
    assert [rule["confirmed"] for rule in final["rules"]] == [True, False]


def test_an_unknown_zone_alarms_at_the_earliest_end_of_the_day() -> None:
    filed = decided("submitted", at="2026-11-26T12:00:00Z")
    final = clocks(decisions={NOTIFICATION: filed})[FINAL]
    assert final["strict_due"] == {"earliest": "2026-12-26T22:00:00Z", "latest": "2026-12-27T01:00:00Z"}
    assert final["due"] == "2026-12-26T22:00:00Z"
    assert final["zone"] is None


def test_a_person_corrects_confirms_and_submits() -> None:
    corrected = decided("corrected", at="2026-11-23T20:00:00Z", reason="mail of the vendor")
    clock = clocks(decisions={SA: corrected})[SA]
    assert clock["due"] == "2026-11-26T20:00:00Z"
    assert clock["start"]["because"] == "vera: mail of the vendor"
    assert not clock["candidate"]
    submitted = decided("submitted", at="2026-11-26T21:30:00Z", history=[corrected])
    clock = clocks(decisions={SA: submitted})[SA]
    assert clock["due"] == "2026-11-26T20:00:00Z"
    assert (clock["state"], clock["late"]) == ("submitted", True)
    assert clock["delay_reasons_due"]
    assert "delay_reasons" in clock["to_record"]
    assert not clocks(decisions={SA: decided("confirmed")})[SA]["candidate"]


def test_a_later_confirmation_opens_a_dismissed_clock_again() -> None:
    dismissed = decided("dismissed", reason="no personal data")
    assert clocks(decisions={SA: dismissed})[SA]["state"] == "dismissed"
    assert clocks(decisions={SA: [dismissed, decided("confirmed")]})[SA]["state"] == "running"


def test_a_dismissed_clock_says_when_the_facts_turn_against_it() -> None:
    clock = clocks(PERSONAL, decisions={SA: decided("dismissed", reason="x")}, organisation=IN_SCOPE)[SA]
    assert clock["state"] == "dismissed"
    assert "now say that it applies" in " ".join(clock["warnings"])


def test_a_submission_without_a_name_is_asked_for() -> None:
    found = clocks(dated={"eu_nis2_art23.early_warning_submitted": "2026-11-24T09:00:00Z"})
    assert found[WARNING]["state"] == "submitted"
    assert "submission.by" in found[WARNING]["to_record"]


def test_known_to_the_day_cannot_tell_whether_it_was_late() -> None:
    def verdict(at: str):
        filed = decided("submitted", at=at)
        return clocks(dated={"awareness": "2026-11-20"}, decisions={SA: filed}, organisation=IN_SCOPE)[SA]["late"]

    assert verdict("2026-11-22T22:59:59Z") is False
    assert verdict("2026-11-23T12:00:00Z") is None
    assert verdict("2026-11-24T01:00:00Z") is True


def test_reminders_come_in_order_before_the_strict_instant_and_page_at_it() -> None:
    reminders = clocks()[SA]["reminders"]
    assert [entry["kind"] for entry in reminders] == ["before-24h", "before-12h", "before-4h", "before-1h", "due"]
    assert reminders[-1]["at"] == "2026-11-27T02:00:00Z"
    assert reminders[-1]["urgency"] == "page"
    assert reminders[-1]["to"] == "privacy_officer"
    later = clocks(dated={"awareness": "2026-11-24T05:00:00Z"})[SA]["reminders"]
    assert not {entry["id"] for entry in reminders} & {entry["id"] for entry in later}


def test_a_bad_fact_or_zone_stops_no_clock() -> None:
    request = {"incident": "I", "facts": {"detected_at": DETECTED, "subjects": "lots"}, "now": DETECTED}
    result = compute(request, shipped(), {"zone": "Mars/Olympus", "holidays": "XX"})
    assert [problem["fact"] for problem in result["problems"]] == ["incident.subjects"]
    clock = next(clock for clock in result["clocks"] if clock["id"] == SA)
    assert clock["due"] == "2026-11-27T02:00:00Z"
    assert len(clock["warnings"]) == 2


def test_a_corrected_start_that_is_no_instant_is_told_and_not_taken() -> None:
    clock = clocks(decisions={SA: decided("corrected", at="soon")})[SA]
    assert clock["start"]["fact"] == "incident.detected_at"
    assert any("soon" in warning for warning in clock["warnings"])


def test_the_workflows_shapes_fit() -> None:
    request = ClocksInput(incident="INC-2026-1", facts={"detected_at": DETECTED}, now=DETECTED)
    result = compute(request, shipped())
    assert ClocksResult.model_validate(result).clocks == tuple(result["clocks"])
    assert set(result["versions"]) >= {"tzdata", "holidays", "arithmetic", "eu_gdpr_art33"}
    assert all(isinstance(value, str) for value in result["versions"].values())


values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.just("high"), st.just(DETECTED))
names = st.sampled_from(
    ["personal_data", "gdpr_role", "risk_to_people", "awareness", "unintelligible", "malicious", "compromise"]
)
verbs = st.sampled_from(["confirmed", "corrected", "submitted", "dismissed", "handed_over", "nonsense"])
stages = st.sampled_from([SA, LETTER, WARNING, NOTIFICATION, FINAL])
seconds = st.integers(0, 400 * 24 * 3600)


@settings(deadline=None)
@example(facts={}, said={}, after=86400)
@given(st.dictionaries(names, values), st.dictionaries(stages, st.lists(verbs, max_size=3)), seconds)
def test_any_facts_and_decisions_give_the_same_plain_clocks_twice(facts, said, after) -> None:
    from datetime import UTC, datetime, timedelta

    now = (datetime(2026, 11, 24, 2, tzinfo=UTC) + timedelta(seconds=after)).isoformat()
    decisions = {name: [decided(verb) for verb in told] for name, told in said.items()}
    once, twice = (clocks(facts, decisions=decisions, now=now, organisation=IN_SCOPE) for _ in range(2))
    assert jcs(once) == jcs(twice)
    assert json.loads(json.dumps(once)) == once
    for clock in once.values():
        assert clock["open"] == (clock["state"] not in CLOSED)
        assert bool(clock["reminders"]) <= clock["open"]
        if clock["strict_due"]:
            assert clock["start"]["earliest"] < clock["strict_due"]["earliest"] <= clock["outer_due"]["latest"]
        if clock["state"] == "overdue":
            assert clock["late"] is not False
