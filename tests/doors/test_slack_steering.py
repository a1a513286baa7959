"""Starting and steering from Slack: commands, forms, the message shortcut, reactions, the App Home."""

import asyncio

import pytest
import pytest_asyncio

from tests.doors.slack_house import around
from worker.slack.peer.screen import said
from worker.slack.peer.server import SlackPeer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def slack(house):
    """The house, with a workspace around it."""
    with SlackPeer() as peer:
        peer.rates.limited = False
        async with around(peer, house) as made:
            yield made


def kinds(slack, incident):
    """Kinds of an incident's entries, and their bodies, by kind."""
    return {entry["kind"]: entry for entry in slack.house.env.store.journal.entries(incident)}


def text_of(slack, entry):
    """The text that an entry refers to."""
    return slack.house.env.store.evidence.read(entry["body"]["text_ref"]).decode()


async def kept(slack, incident, kind):
    """The entry of that kind, once the run has written it."""
    for _ in range(200):
        if kind in kinds(slack, incident):
            return kinds(slack, incident)[kind]
        await asyncio.sleep(0.05)
    raise AssertionError(sorted(kinds(slack, incident)))


async def test_an_incident_is_started_decided_and_closed_by_forms(slack, house):
    """The picker, a typed form with an error at its field, deny with a reason, an answer, and close."""
    cleo, channel = slack.person("cleo"), slack.channel
    await cleo.command("start", channel)
    await cleo.until(lambda: cleo.view)
    await cleo.submit({"What should be done?": "contain-things"})
    assert cleo.view["callback_id"] == "start:run"
    await cleo.submit({"What happened, in a line": "Odd <!channel> things", "who": "someone"})
    told = said(await slack.told("cleo", "is open"))
    incident = told.split()[0]
    shown = (await house.ask("cleo", "GET", f"/v1/incidents/{incident}")).json()
    assert shown["title"] == "Odd <!channel> things" and shown["facts"]["opened_at"]["by"] == "cleo"

    ts = await slack.show(incident, await slack.waiting(incident, "go"))
    amal = slack.person("amal")
    await amal.click(channel, ts, "decide:deny")
    await amal.until(lambda: amal.view)
    await amal.submit({"Why not? Everybody in the incident reads it.": "Too early"})
    await slack.told("amal", "Denied")
    denied = await kept(slack, incident, "decision.accepted")
    assert text_of(slack, denied) == "Too early" and denied["body"]["verdict"] == "deny"

    ts = await slack.show(incident, await slack.waiting(incident, "data"))
    dara = slack.person("dara")
    await dara.click(channel, ts, "decide:form")
    await dara.until(lambda: dara.view)
    await dara.submit({"left": "Yes", "subjects": "7"})
    await slack.told("dara", "Recorded")
    ended = await house.ended(incident)
    assert [run["status"] for run in ended["runs"]] == ["done"]

    slack.board.channels[channel] = incident
    await cleo.command("take I have it", channel)
    await slack.told("cleo", "cleo")
    await house.clocks_closed(incident) if not ended["clocks"] else None
    await cleo.command("note The vendor &amp; we agree", channel)
    await slack.told("cleo", "Kept in the timeline")
    noted = kinds(slack, incident)["incident.note"]
    assert (noted["actor"], noted["door"], text_of(slack, noted)) == ("cleo", "slack", "The vendor & we agree")
    assert any(key.startswith(f"{incident}:said:") for key in slack.board.told)
    await cleo.command("handover", channel)
    await slack.told("cleo", "The hand-over stands in this channel.")
    (handed,) = [told for key, told in slack.board.told.items() if key.startswith(f"{incident}:handover:")]
    assert "commander cleo" in str(handed.blocks)
    await cleo.command("tell legal <Read> the drafts", channel)
    await slack.told("cleo", "Told to legal")
    (notice,) = [each for each in house.env.store.notices.of(incident) if each["body"].get("by") == "cleo"]
    assert notice["to"] == ["role:legal"] and notice["body"]["text"] == "cleo: <Read> the drafts"


async def test_commands_answer_privately_and_refuse_by_role(slack, house):
    incident = await house.start(title="Looked at")
    channel, amal, cleo = slack.channel, slack.person("amal"), slack.person("cleo")
    await amal.command("list", channel)
    assert incident in said(await slack.told("amal", "Looked at"))
    await slack.waiting(incident, "go")
    await amal.command("mine", channel)
    assert incident in said(await slack.told("amal", "1 waits for you"))
    for line, answer in (
        (f"clock {incident} some/clock submit yesterday Sent", "yesterday is no instant. Nothing was changed."),
        (f"clock {incident} some/clock submit 2026-11-25T14:30:00 Sent", "is no instant"),
        (f"clock {incident} some/clock dismiss", "needs a reason"),
        (f"clock {incident} some/clock dismiss No duty", "some/clock"),
    ):
        await cleo.command(line, channel)
        await slack.told("cleo", answer)
    await amal.command(f"status {incident}", channel)
    await slack.told("amal", "Contain things")
    await amal.command("status", channel)
    await slack.told("amal", "This is no incident's channel")
    await amal.command(f"resume {incident}", channel)
    await slack.told("amal", "it takes incident_commander")
    await amal.command(f"pause {incident} look first", channel)
    await slack.told("amal", "paus")
    await cleo.command(f"resume {incident}", channel)
    await slack.person("cleo").until(lambda: slack.private("cleo"))
    await amal.command("hold on it spreads", channel)
    await slack.told("amal", "Every new effect is held")
    assert house.env.store.hold.get().reason == "it spreads"
    await amal.command("hold off", channel)
    await slack.told("amal", "it takes incident_commander")
    await cleo.command("hold off", channel)
    await slack.told("cleo", "The hold is over")
    answer = await amal.command("stauts", channel)
    assert "/stanch status" in str(answer)
    assert slack.private("bo") == []
    shown = [each for each in slack.person("bo").sees(channel) if "Looked at" in said(each)]
    assert shown == []
    await amal.command(f"ack {incident}", channel)
    await slack.told("amal", "has seen")
    assert kinds(slack, incident)["incident.acknowledged"]["actor"] == "amal"


async def test_a_message_starts_an_incident_and_a_reaction_keeps_one(slack, house):
    """What a message says is evidence, with its author, and never anybody's word."""
    channel, bo, cleo = slack.channel, slack.person("bo"), slack.person("cleo")
    ts = await bo.say(channel, "Somebody reads all accounts & more")
    await cleo.shortcut("start:message", channel, ts)
    await cleo.until(lambda: cleo.view)
    await cleo.submit({"What should be done?": "contain-things"})
    title = next(b for b in cleo.view["blocks"] if b.get("block_id") == "text")["element"]["initial_value"]
    assert title == "Somebody reads all accounts & more"
    await cleo.submit({})
    incident = said(await slack.told("cleo", "is open")).split()[0]
    await bo.until(lambda: "incident.message_attached" in kinds(slack, incident))
    attached = kinds(slack, incident)["incident.message_attached"]
    assert attached["body"]["author"] == slack.users["bo"] and attached["body"]["ts"] == ts
    assert attached["body"]["permalink"].startswith("https://")
    assert text_of(slack, attached) == "Somebody reads all accounts &amp; more"

    slack.board.channels[channel] = incident
    marked = await bo.say(channel, "The vendor has called")
    await cleo.react(channel, marked, "pushpin")
    await slack.told("cleo", "Kept in the timeline")
    await slack.person("amal").react(channel, marked, "memo")
    await slack.told("amal", "already")
    notes = [e for e in house.env.store.journal.entries(incident) if e["kind"] == "incident.note"]
    assert len(notes) == 1 and notes[0]["body"]["author"] == "bo" and notes[0]["body"]["marked_by"] == "cleo"
    assert text_of(slack, notes[0]) == "The vendor has called"


async def test_the_home_shows_what_needs_somebody_and_a_stranger_nothing(slack, house):
    incident = await house.start(title="At home")
    await slack.waiting(incident, "go")
    amal = slack.person("amal")
    await amal.open_home()
    home = await amal.until(lambda: amal.home)
    assert "At home" in str(home) and "1 needs you" in str(home)
    eve = slack.peer.add_user("eve", "Eve", "eve@far.example", stranger=True)
    slack.users["eve"] = eve
    await slack.person("eve").open_home()
    shown = await slack.person("eve").until(lambda: slack.person("eve").home)
    assert "does not know you" in str(shown) and incident not in str(shown)


async def test_glass_is_broken_only_with_a_reason_and_the_review_is_a_form(slack, house):
    incident = await house.start("amal")
    channel, cleo = slack.channel, slack.person("cleo")
    ts = await slack.show(incident, await slack.waiting(incident, "go"))
    await cleo.click(channel, ts, "decide:break_glass")
    await cleo.until(lambda: cleo.view)
    (label,) = [b["label"]["text"] for b in cleo.view["blocks"] if b["type"] == "input"]
    await cleo.submit({label: "   "})
    assert cleo.errors == {label: "A reason is needed."}
    await cleo.submit({label: "Nobody is there"})
    await slack.told("cleo", "Approved")
    (review,) = await _reviews(house, incident)
    ts = await slack.show(incident, {"round": 1, **review})
    bo = slack.person("bo")
    for person, label in ((cleo, "Justified"), (bo, "Not justified")):
        await person.click(channel, ts, "decide:form")
        await person.until(lambda person=person: person.view)
        await person.submit({"Was it right?": label, "Why do you say so?": "Bo was at hand"})
        await person.until(lambda person=person: person.view is None)
    await slack.told("cleo", "Not done")
    await slack.told("bo", "not_justified")
    shown = (await house.ask("bo", "GET", f"/v1/incidents/{incident}")).json()
    assert [(each["verdict"], each["by"]) for each in shown["reviews"]] == [("not_justified", "bo")]


async def _reviews(house, incident):
    for _ in range(200):
        found = [e for e in await house.desk.views.waiting(incident) if e.get("kind") == "review"]
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(await house.desk.views.incident(incident))
