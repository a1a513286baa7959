"""Who is woken in a real run, when and by what; what stops it; what is said when nobody answers."""

import asyncio
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from tests.doors.paging_house import woken
from tests.doors.test_cli_decisions import Shell

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def night(worker_env, request):
    """Everybody sleeps."""
    async with woken(worker_env, getattr(request, "param", 600)) as made:
        yield made


def kinds(night, incident):
    """Kinds of entries about pages in the record."""
    entries = night.house.env.store.journal.entries(incident)
    return [entry["kind"] for entry in entries if entry["kind"].startswith("page.")]


GATE = [
    ("bo", "pagerduty", True),
    ("bo", "mail", True),
    ("bo", "pagerduty", True),
    ("bo", "mail", True),
    ("amal", "mail", True),
    ("amal", "webhook", True),
    ("amal", "mail", True),
    ("amal", "webhook", True),
    ("cleo", "webhook", True),
    ("cleo", "webhook", True),
]
ESCALATED = [
    ("dara", "slack", True),
    ("dara", "mail", True),
    ("dara", "slack", True),
    ("dara", "mail", True),
    ("cleo", "webhook", True),
    ("cleo", "webhook", True),
]
GAPS = [10, 10, 10, 10, 5, 10, 5, 10, 10]
"""World minutes between the attempts of the gate's page."""


@pytest.mark.parametrize("night", [3600], indirect=True)
async def test_nobody_answers(night, tmp_path):
    incident = await night.house.start(playbook="freeze")
    await night.until(lambda: night.page(incident, number=1).get("page", {}).get("status") == "unanswered")
    await night.until(lambda: night.page(incident)["page"]["status"] == "unanswered")
    assert night.tried(incident) == GATE and night.tried(incident, number=1) == ESCALATED
    asked, escalated = night.page(incident), night.page(incident, number=1)
    assert (asked["state"], escalated["state"]) == ("undelivered", "undelivered")
    at = [datetime.fromisoformat(each["at"]) for each in asked["page"]["attempts"]]
    begun = datetime.fromisoformat(asked["at"])
    assert timedelta(0) <= at[0] - begun < timedelta(hours=2), "it is urgent"
    assert all(later - sooner >= timedelta(minutes=gap) for sooner, later, gap in zip(at, at[1:], GAPS, strict=False))
    first = datetime.fromisoformat(escalated["page"]["attempts"][0]["at"])
    assert first - begun >= timedelta(hours=2)
    assert sorted(kinds(night, incident)) == sorted(
        ["page.opened", "page.unanswered"] * 2 + ["page.sent"] * (len(GATE) + len(ESCALATED))
    )
    # What really arrived.
    triggers = [event for event in night.pagerduty.events if event["event_action"] == "trigger"]
    assert len(triggers) == 2 and all(event["payload"]["custom_details"]["for"] == "bo" for event in triggers)
    assert (
        sorted(letter["to"].split("@")[0] for letter in night.letters.taken) == ["amal"] * 2 + ["bo"] * 2 + ["dara"] * 2
    )
    assert all(letter["subject"].startswith("EXERCISE, nothing is real: PAGE") for letter in night.letters.taken)
    assert sorted(hook["person"] for hook in night.hooks) == ["amal"] * 2 + ["cleo"] * 4
    (direct,) = [each for each in night.slack.state.channels.values() if each.is_im]
    assert len([each for each in direct.standing() if "PAGE" in each.text]) == 2
    (tmp_path / "cli").mkdir()
    shell = Shell(night.house, tmp_path / "cli")
    shown = await shell.fine("cleo", "incident", "show", incident)
    said = [row for row in shown["notices"] if "nobody answered" in str(row["body"].get("text"))]
    assert len(said) == 2
    for row in (asked, escalated):
        assert row["page"] == next(each for each in shown["notices"] if each["id"] == row["id"])["page"]
    whole = await shell.read("cleo", "incident", "show", incident)
    assert "paged bo by pagerduty, mail; amal by mail, webhook; cleo by webhook: nobody answered" in " ".join(
        whole.split()
    )


async def test_who_acknowledges_or_decides_stops_it_all(night):
    """One incident each: acknowledged in PagerDuty, over HTTP, decided."""
    house = night.house
    heard, seen, decided = [await house.start(playbook="freeze") for _ in range(3)]
    await night.until(lambda: all(night.tried(each) for each in (heard, seen, decided)))
    of = {incident: key for key, incident in opened(night).items()}
    night.pagerduty.acknowledge(of[heard], "PBO123")
    answer = await house.ask("vic", "POST", f"/v1/incidents/{seen}/ack")
    assert answer.status_code == 403, answer.text
    answer = await house.ask("amal", "POST", f"/v1/incidents/{seen}/ack")
    assert "1 page(s) stopped" in answer.json()["message"]
    card = await house.card(decided, "go")
    assert (await house.decide(decided, "amal", card, "approve")).status_code == 200
    await night.until(lambda: night.page(heard)["page"]["status"] == "acknowledged")
    await night.until(lambda: night.page(decided)["page"]["status"] == "acknowledged")
    by = {
        name: night.page(each)["page"]["by"] for name, each in (("heard", heard), ("seen", seen), ("decided", decided))
    }
    assert by == {"heard": "bo", "seen": "amal", "decided": "amal"}
    await asyncio.sleep(0.2)  # what was on its way
    before = [night.tried(each) for each in (heard, seen, decided)]
    assert all(len(tried) < len(GATE) for tried in before)
    await asyncio.sleep(1.3)  # thirteen world minutes, longer than any gap
    assert [night.tried(each) for each in (heard, seen, decided)] == before
    assert all(night.page(each)["state"] == "delivered" for each in (heard, seen, decided))
    await night.until(lambda: night.pagerduty.incidents[of[seen]]["status"] == "acknowledged")
    answer = await house.ask("cleo", "POST", f"/v1/incidents/{seen}/cancel", {"reason": "a drill"})
    assert answer.status_code in (200, 202), answer.text


async def test_slack_dead_wakes_people_all_the_same(night):
    incident = await night.house.start(playbook="freeze")
    await asyncio.to_thread(night.slack.stop)
    body = {"text": "Call the supplier.", "to": ["page", "legal"]}
    answer = await night.house.ask("amal", "POST", f"/v1/incidents/{incident}/tell", body)
    assert answer.status_code == 200, answer.text
    await night.until(lambda: ("dara", "mail", True) in night.tried(incident, step=None))
    assert night.tried(incident, step=None)[:2] == [("dara", "slack", False), ("dara", "mail", True)]
    (letter,) = [letter for letter in night.letters.taken if letter["to"] == "dara@acme.example"]
    assert "Call the supplier." in letter["subject"]
    told = night.page(incident, step=None)
    assert told["state"] == "delivered" and set(told["delivered"]) >= {"page:mail"}
    assert "page:slack" not in told["delivered"]


def opened(night):
    """Keys of PagerDuty's incidents to ours."""
    return {
        event["dedup_key"]: event["payload"]["custom_details"]["incident"]
        for event in night.pagerduty.events
        if event["event_action"] == "trigger"
    }
