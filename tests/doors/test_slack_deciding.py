"""Deciding by a click in Slack, over the socket, as people do, and every way to be refused."""

import asyncio

import pytest
import pytest_asyncio

from tests.doors.slack_house import around, refusals
from worker.desk.decisions import Actor
from worker.slack.peer.driver import together
from worker.slack.peer.server import SlackPeer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def slack(house):
    """The house, with a workspace around it."""
    with SlackPeer() as peer:
        peer.rates.limited = False
        async with around(peer, house) as made:
            yield made


async def journaled(slack, incident, *wanted):
    """Wait until these refusals are in the journal."""
    for _ in range(300):
        if set(wanted) <= set(refusals(slack.house.env.store, incident)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(refusals(slack.house.env.store, incident))


async def test_two_people_approve_by_a_click_and_each_is_told_what_was_counted(slack, house):
    incident = await house.start()
    ts = await slack.show(incident, await slack.waiting(incident, "go"))
    await slack.person("amal").click(slack.channel, ts, "decide:approve")
    await slack.told("amal", "Counted: 1 of 2.")
    await slack.person("bo").click(slack.channel, ts, "decide:approve")
    await slack.told("bo", "Approved")
    assert incident in slack.board.poked
    (step,) = [s for s in (await house.ended_steps(incident)) if s["id"] == "end"]
    assert step["status"] == "done"
    doors = {e["door"] for e in house.env.store.journal.entries(incident) if e["kind"] == "decision.accepted"}
    assert doors == {"slack"}


async def test_of_ten_who_click_at_once_two_count_and_eight_are_told_why_not(slack, house):
    people = [slack.link(f"owner{n}", ("crm_owner",)) for n in range(10)]
    incident = await house.start()
    ts = await slack.show(incident, await slack.waiting(incident, "go"))
    answers = await together(*(person.click(slack.channel, ts, "decide:approve") for person in people))
    assert not [each for each in answers if isinstance(each, BaseException)]
    for n in range(10):
        await slack.person(f"owner{n}").until(lambda n=n: slack.private(f"owner{n}"), 15)
    told = [text for n in range(10) for text in slack.private(f"owner{n}")]
    assert sum("Not done" not in text for text in told) == 2
    assert sum("Not done" in text for text in told) == 8
    await house.card(incident, "data")
    entries = house.env.store.journal.entries(incident)
    assert sum(entry["kind"] == "decision.accepted" for entry in entries) == 2


async def test_each_refusal_is_told_privately_and_journaled(slack, house):
    """Requester, wrong role, delegated away, already decided, stale, forwarded, replayed, closed."""
    incident = await house.start("amal", inputs={"who": "y"})
    ts = await slack.show(incident, await slack.waiting(incident, "go"))
    house.desk.people.delegate("bo", "crm_owner", "cleo", "1h", by="bo", door="api")
    expected = {"amal": "requester", "dara": "wrong_role", "bo": "delegated_away"}
    for name, code in expected.items():
        await slack.person(name).click(slack.channel, ts, "decide:approve")
        await slack.told(name, code)
    # Cleo decides in Bo's place, and a second time.
    for wanted in ("Counted: 1 of 2.", "already_decided"):
        await slack.person("cleo").click(slack.channel, ts, "decide:approve")
        await slack.told("cleo", wanted)
    house.desk.people.end_delegation("bo", "crm_owner", by="bo", door="api")
    other = slack.peer.add_channel("elsewhere", tuple(slack.users.values()))
    copied = await slack.person("bo").forward(slack.channel, ts, other)
    await slack.person("bo").click(other, copied, "decide:approve")
    await slack.person("bo").until_sees(other, "bad_signature")
    # The very same click, delivered again by somebody.
    await slack.peer.inside(slack.peer.delivery.send("interactive", slack.peer.sent[-1].payload))
    await slack.person("bo").until_sees(other, "nonce_used")
    await slack.person("bo").click(slack.channel, ts, "decide:approve")
    await slack.told("bo", "Approved")
    late = slack.link("late", ("crm_owner",))
    await late.click(slack.channel, ts, "decide:approve")
    await slack.told("late", "closed")
    wanted = [*expected.items(), ("cleo", "already_decided"), ("bo", "bad_signature"), ("bo", "nonce_used")]
    await journaled(slack, incident, *wanted, ("late", "closed"))


async def test_a_card_of_what_was_shown_before_is_refused(slack, house):
    incident = await house.start()
    entry = await slack.waiting(incident, "go")
    ts = await slack.show(incident, {**entry, "digest": "0" * 64})
    await slack.person("amal").click(slack.channel, ts, "decide:approve")
    await slack.told("amal", "digest_mismatch")
    earlier = await slack.show(incident, {**entry, "round": entry["round"] - 1})
    await slack.person("bo").click(slack.channel, earlier, "decide:approve")
    await slack.told("bo", "digest_mismatch")
    await journaled(slack, incident, ("amal", "digest_mismatch"), ("bo", "digest_mismatch"))


async def test_strangers_and_other_workspaces_see_and_can_do_nothing(slack, house):
    incident = await house.start()
    ts = await slack.show(incident, await slack.waiting(incident, "go"))
    eve = slack.peer.add_user("eve", "Eve", "eve@far.example", stranger=True)
    slack.peer.do(lambda: slack.peer.state.channels[slack.channel].members.append(eve))
    slack.users["eve"] = eve
    await slack.person("eve").click(slack.channel, ts, "decide:approve")
    await slack.told("eve", "unknown_person")
    # Amal's own user id, but from another workspace.
    await slack.person("amal").click(slack.channel, ts, "decide:approve", team="T0OTHER001")
    await slack.told("amal", "unknown_person")
    answer = await slack.person("eve").command("list", slack.channel)
    assert "does not know you" in str(answer) and incident not in str(answer)
    await journaled(slack, incident, ("unknown", "unknown_person"))
    (entry,) = [e for e in await house.desk.views.waiting(incident) if e["step"] == "go"]
    assert entry["decided"] == []


async def test_slacks_own_repeats_are_dropped_without_a_word(slack, house):
    incident = await house.start()
    ts = await slack.show(incident, await slack.waiting(incident, "go"))
    slack.peer.faults.add("duplicate", method="interactive")
    await slack.person("amal").click(slack.channel, ts, "decide:approve")
    await slack.told("amal", "Counted: 1 of 2.")
    await asyncio.sleep(0.2)
    assert len(slack.private("amal")) == 1
    assert refusals(house.env.store, incident) == []


async def test_a_decision_that_comes_too_late_is_told_so(slack, house):
    incident = await house.start(playbook="hasty")
    ts = await slack.show(incident, await slack.waiting(incident, "go"))
    await slack.waiting(incident, "data")
    await slack.person("amal").click(slack.channel, ts, "decide:approve")
    await slack.told("amal", "The time to decide has passed")
    await slack.told("amal", "expired")
    await journaled(slack, incident, ("amal", "expired"))


async def test_a_card_of_what_does_not_wait_yet_is_refused(slack, house):
    incident = await house.start()
    entry = await slack.waiting(incident, "go")
    for step, who in (("data", "dara"), ("nowhere", "amal")):
        ts = await slack.show(incident, {**entry, "step": step})
        await slack.person(who).click(slack.channel, ts, "decide:approve")
        await slack.told(who, "not_waiting")
    await journaled(slack, incident, ("dara", "not_waiting"))


async def test_what_has_changed_since_it_was_approved_is_asked_anew_and_the_old_card_is_refused(slack, house):
    """More targets than approved: the plan has changed, so the digest that was shown is nobody's any more."""
    incident = await house.start()
    entry = await slack.waiting(incident, "go")
    ts = await slack.show(incident, entry)
    house.env.world.add(*[f"t-new{number}" for number in range(20)])
    for name in ("amal", "bo"):
        await slack.person(name).click(slack.channel, ts, "decide:approve")
    asked = await slack.waiting(incident, "end")
    assert asked["difference"]
    stale = await slack.show(incident, {**asked, "digest": entry["digest"]})
    await slack.person("amal").click(slack.channel, stale, "decide:approve")
    await slack.told("amal", "digest_mismatch")
    await slack.person("bo").click(slack.channel, ts, "decide:approve")
    await slack.told("bo", "closed")
    await journaled(slack, incident, ("amal", "digest_mismatch"), ("bo", "closed"))
    changed = [e for e in house.env.store.journal.entries(incident) if e["kind"] == "approval.plan_changed"]
    assert changed


async def test_who_approves_under_a_hold_is_told_that_nothing_happens_yet(slack, house):
    incident = await house.start()
    ts = await slack.show(incident, await slack.waiting(incident, "go"))
    house.desk.life.hold_on(Actor("amal", ("crm_owner",), "api"), "look first")
    await slack.person("amal").click(slack.channel, ts, "decide:approve")
    await slack.told("amal", "There is a hold: nothing changes before it is lifted")
    await slack.person("bo").click(slack.channel, ts, "decide:approve")
    await slack.told("bo", "There is a hold: nothing changes before it is lifted")
    for _ in range(100):
        steps = (await house.ask("cleo", "GET", f"/v1/incidents/{incident}")).json()["steps"]
        if any(step["waiting_for"] == "held" for step in steps):
            break
        await asyncio.sleep(0.05)
    assert any(step["waiting_for"] == "held" for step in steps)
    assert house.env.world.effects() == []
