"""How people are reached: kept, changed, shown, refused."""

import asyncio
from pathlib import Path

import pytest

from worker.desk.people import People
from worker.desk.refusals import DeskRefusal
from worker.paging.checks import examine_paging
from worker.paging.peer.pagerduty import PagerDutyPeer
from worker.paging.trial import try_rule
from worker.settings import Settings, SettingsError
from worker.store import Store


def test_what_is_not_given_stays_and_an_empty_word_takes_away(store: Store) -> None:
    people = People(store)
    people.add("amal", ["crm_owner"])
    people.contact("amal", {"mail": "amal@acme.example", "rule": "mail 0m"})
    assert people.contact("amal", {"pagerduty": "PABC123", "rule": ""})["contact"] == {
        "mail": "amal@acme.example",
        "pagerduty": "PABC123",
    }
    assert people.list()[0]["contact"]["mail"] == "amal@acme.example"


@pytest.mark.parametrize(
    "given",
    [
        {"mail": "a@b\nBcc: c@d"},
        {"mail": "amal"},
        {"rule": "pigeon 0m"},
        {"webhook": "http://acme.example"},
        {"pagerduty": "R" * 32},
    ],
)
def test_what_cannot_reach_anybody_is_refused(store: Store, given: dict[str, str]) -> None:
    people = People(store)
    people.add("amal", [])
    with pytest.raises(DeskRefusal, match="Nothing was changed"):
        people.contact("amal", given)
    assert store.contacts.all() == {}


def settings(home: Path, mode: str, text: str) -> Settings:
    """Settings with this [paging]."""
    (home / "stanch.toml").write_text(f'mode = "{mode}"\n{text}')
    return Settings.load({"STANCH_HOME": str(home), "PD": "u+peer", "HOOK": "whsec_" + "QUJD" * 11}, home)


def test_a_live_process_refuses_a_simulated_pagerduty(home: Path) -> None:
    text = '[paging.pagerduty]\nendpoint = "http://127.0.0.1:1"\n'
    settings(home, "exercise", text).refuse_test_switches()
    with pytest.raises(SettingsError, match=r"paging\.pagerduty\.endpoint"):
        settings(home, "live", text).refuse_test_switches()


def test_doctor_tries_channels_and_finds_whom_nothing_reaches(store: Store, home: Path) -> None:
    store.people.add("amal", ["crm_owner"])
    store.people.add("vic", ["viewer"])
    with PagerDutyPeer() as peer:
        text = '[paging]\ncalendars = {crm_owner = "gone.ics"}\n[paging.pagerduty]\napi_token = "secret:env/PD"\n'
        given = settings(home, "exercise", text + f'endpoint = "{peer.url}"\n')
        assert given.file.paging is not None
        found = asyncio.run(examine_paging(given, given.file.paging, store.people.list(), store.contacts.all()))
        assert peer.events == []
    states = {finding.name: finding.state for finding in found}
    assert states == {"paging pagerduty": "ok", "on call crm_owner": "fail", "paging people": "warn"}
    assert "amal" in found[-1].message and "vic" not in found[-1].message


def test_a_test_page_goes_by_every_method_and_leaves_nothing_open(store: Store, home: Path) -> None:
    store.people.add("amal", ["crm_owner"])
    with PagerDutyPeer(routing_key="u+peer") as peer:
        text = '[paging]\nrule = "pagerduty 0m, mail 5m"\n[paging.pagerduty]\nrouting_key = "secret:env/PD"\n'
        given = settings(home, "exercise", text + f'endpoint = "{peer.url}"\n')
        assert given.file.paging is not None
        found = asyncio.run(try_rule(given, given.file.paging, store, "amal"))
        assert [(row["channel"], bool(row["error"])) for row in found] == [("pagerduty", False), ("mail", True)]
        assert "TEST for amal" in peer.events[0]["payload"]["summary"]
        assert [incident["status"] for incident in peer.incidents.values()] == ["resolved"]


SLACK = '[slack]\nworkspace = "T0001"\nbot_token = "secret:env/BOT"\napp_token = "secret:env/APP"\n'


@pytest.mark.parametrize(
    ("slack", "linked", "rule", "unlinked", "lost"),
    [
        (SLACK, "T0001", "slack 0m", False, False),
        (SLACK, "T0002", "slack 0m", True, True),
        ("", "T0001", "slack 0m", True, True),
        (SLACK, "T0002", "slack 0m, webhook 5m", True, False),
        (SLACK, "T0002", "webhook 0m", False, False),
    ],
)
def test_doctor_finds_whose_rule_names_slack_in_vain(
    store: Store, home: Path, slack: str, linked: str, rule: str, unlinked: bool, lost: bool
) -> None:
    store.people.add("amal", ["crm_owner"], [("slack", linked, "U1")])
    store.contacts.set("amal", {"rule": rule, "webhook": "https://hook.example"})
    text = slack + '[paging.webhook]\nsecret = "secret:env/HOOK"\n'
    given = settings(home, "live", text)
    assert given.file.paging is not None
    found = asyncio.run(examine_paging(given, given.file.paging, store.people.list(), store.contacts.all()))
    states = {finding.name: finding.state for finding in found}
    assert (states.get("paging slack") == "warn", states["paging people"] == "warn") == (unlinked, lost)


def test_contacts_are_shown_to_themselves_and_to_who_may_see_all(store: Store) -> None:
    people = People(store)
    for name in ("amal", "bo"):
        people.add(name, ["crm_owner"])
        people.contact(name, {"mail": f"{name}@acme.example"})
    assert [row["contact"]["mail"] for row in people.list()] == ["amal@acme.example", "bo@acme.example"]
    assert ["contact" in row for row in people.list("bo")] == [False, True]
