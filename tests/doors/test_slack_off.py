"""Slack switched off: what is clicked there does not count, one line says so, and all is shown once it is on again."""

import asyncio

import pytest
import pytest_asyncio

from tests.doors.slack_house import SECRETS, healthy, refusals, settings
from tests.systems.pumping import QUICK, until
from worker.slack.door import SlackDoor
from worker.slack.outgoing import Showing
from worker.slack.peer.driver import Person
from worker.slack.peer.server import SlackPeer

pytestmark = pytest.mark.asyncio(loop_scope="session")

WHY = "The bot token was seen in a paste"


@pytest_asyncio.fixture(loop_scope="session")
async def peer(house):
    """A workspace with the house's people and a stranger, and its whole door."""
    with SlackPeer() as peer:
        peer.rates.limited = False
        for person in house.desk.people.list():
            user = peer.add_user(person["name"], person["name"].title(), f"{person['name']}@acme.example")
            house.desk.people.add(person["name"], tuple(person["roles"]), [("slack", peer.team_id, user)])

        peer.add_channel("incidents")
        main = settings(peer).model_copy(update={"channel": "incidents"})

        def outgoing(token):
            return Showing(house.env.store, house.desk.views, main, token, pace=QUICK)

        door = SlackDoor(settings(peer), lambda name: str(getattr(peer, SECRETS[name])), house.desk, outgoing)
        house.desk.doors["slack"] = door.health
        async with door.opened():
            await healthy(door)
            yield peer


def channel(peer, incident):
    """The incident's channel, once it is there."""
    return next((each for each in peer.state.channels.values() if each.name.startswith(f"{incident.lower()}-")), None)


def cards(peer, incident):
    """Messages of its channel that can be approved."""
    found = channel(peer, incident)
    shown = list(found.standing()) if found else []
    return [
        m for m in shown if any(e.get("action_id") == "decide:approve" for b in m.blocks for e in b.get("elements", ()))
    ]


async def test_the_switch_by_the_command_line(acme):
    assert await acme.refused("vic", "slack", "off", "--reason", WHY) == "wrong_role"
    told = await acme.document("amal", "slack", "off", "--reason", WHY)
    try:
        assert (told["on"], told["person"], told["reason"]) == (False, "amal", WHY)
        assert await acme.refused("amal", "slack", "on") == "wrong_role"
        shown = await acme.stanch("vic", "slack", "status")
        assert "Slack is OFF, by amal" in shown.stdout and "has no [slack]" in shown.stdout
        assert await acme.refused("root", "slack", "link", "amal", "--user", "U0AMAL001") == "slack_not_configured"
    finally:
        assert await acme.document("cleo", "slack", "on") == {"on": True}


def user(peer, name):
    """Somebody at their client."""
    return Person(peer, next(each.id for each in peer.state.users.values() if each.name == name))


async def switch(house, person, method="PUT", reason=WHY):
    """Switch it off, or on (``DELETE``)."""
    return await house.ask(person, method, "/v1/slack/off", {"reason": reason} if method == "PUT" else None)


async def test_while_it_is_off_nothing_counts_and_one_line_stands(house, peer):
    incident = await house.start()
    await until(lambda: cards(peer, incident))
    (card,) = cards(peer, incident)
    here, amal, cleo = channel(peer, incident), user(peer, "amal"), user(peer, "cleo")
    await cleo.click(here.id, card.ts, "decide:deny")
    await cleo.until(lambda: cleo.view)
    told = (await switch(house, "amal")).json()
    assert told["on"] is False and told["person"] == "amal" and told["reason"] == WHY
    await until(lambda: any("switched off in Slack since" in m.text for m in here.standing()))
    main = next(each for each in peer.state.channels.values() if each.name == "incidents")
    await until(lambda: sum("switched off" in m.text for m in main.standing()) == 1)
    before = [(m.ts, m.text) for m in here.standing()]

    await amal.click(here.id, card.ts, "decide:approve")
    await amal.until_sees(here.id, "switched off in Slack. Nothing is done")
    await amal.click(here.id, card.ts, "decide:approve")
    await cleo.submit({"Why not? Everybody in the incident reads it.": "No"})
    await cleo.until_sees(here.id, "switched off in Slack. Nothing is done")
    assert "switched off" in str(await cleo.command(f"close {incident}", here.id))
    answer = await house.ask("bo", "POST", f"/v1/incidents/{incident}/pause", {"reason": "by another door"})
    assert answer.status_code == 200
    house.env.store.slack.out.want(f"{incident}:wanted", incident, incident, {"text": "wanted before", "blocks": []})
    other = await house.start()
    await asyncio.sleep(0.5)
    assert [(m.ts, m.text) for m in here.standing()] == before and channel(peer, other) is None
    assert not any(WHY in m.text or WHY in str(m.blocks) for m in here.standing())
    assert refusals(house.env.store, incident) == [("amal", "slack_off"), ("cleo", "slack_off")]
    assert (await house.card(incident, "go"))["decided"] == []
    assert (await house.ask("vic", "GET", "/v1/slack")).json() == {
        **told,
        "workspace": None,
        "door": {"ok": True, "problems": []},
    }

    assert (await switch(house, "amal", "DELETE")).json()["code"] == "wrong_role"
    assert (await switch(house, "cleo", "DELETE")).json() == {"on": True}
    await until(lambda: {"wanted before"} <= {m.text for m in here.standing()} and cards(peer, other))
    await until(lambda: any("is on again" in m.text for m in here.standing()))
    assert sum("switched off" in m.text for m in here.standing()) == 1
    await amal.click(here.id, card.ts, "decide:approve")
    await until(lambda: any(m.thread_ts == card.ts and "amal" in m.text for m in here.standing()))
    kept = [e for e in house.env.store.journal.entries(incident) if e["kind"].startswith("slack.")]
    assert [(e["kind"], e["actor"]) for e in kept] == [("slack.off", "amal"), ("slack.on", "cleo")]
    assert WHY not in str(kept) and house.env.store.evidence.read(kept[0]["body"]["text_ref"]).decode() == WHY


async def test_the_home_says_so_until_it_is_on(house, peer):
    bo = user(peer, "bo")
    await switch(house, "bo")
    await bo.open_home()
    await bo.until(lambda: "switched off in Slack" in str(bo.home))
    await switch(house, "cleo", "DELETE")
    await bo.open_home()
    await bo.until(lambda: "Start an incident" in str(bo.home))


async def test_what_was_kept_before_and_not_yet_done_is_not_done(house, peer):
    """A death between the acknowledgement and the doing, and the switch in between."""
    await switch(house, "amal")
    amal = user(peer, "amal")
    place = {"user": amal.id, "team": peer.team_id, "channel": "", "response_url": ""}
    kept = {"do": "steer", **place, "verb": "hold", "incident": "", "rest": "on it spreads"}
    house.env.store.inbox.keep("kept-before", "E1", kept)
    door = SlackDoor(
        settings(peer),
        lambda name: str(getattr(peer, SECRETS[name])),
        house.desk,
        lambda token: Showing(house.env.store, house.desk.views, settings(peer), token, pace=QUICK),
    )
    async with door.opened():
        await until(lambda: not house.env.store.inbox.open())
    assert house.env.store.hold.get() is None
    direct = next(each for each in peer.state.channels.values() if each.is_im and amal.id in each.members)
    assert "switched off in Slack" in [each.text for each in direct.standing()][-1]


async def test_a_viewer_cannot_a_reason_is_needed_and_the_first_word_stays(house):
    assert (await switch(house, "vic")).json()["code"] == "wrong_role"
    assert (await switch(house, "amal", reason=" ")).json()["code"] == "bad_value"
    first = (await switch(house, "amal")).json()
    assert (await switch(house, "bo", reason="so do I")).json() == first
