"""A real run as people see it in Slack: asked, decided by a click on its own card, told, closed by a cancel."""

import asyncio

import pytest
import pytest_asyncio

from tests.doors.slack_house import SECRETS, healthy, settings
from tests.systems.pumping import QUICK, until
from worker.slack.door import SlackDoor
from worker.slack.outgoing import Showing
from worker.slack.peer.driver import Person
from worker.slack.peer.screen import said
from worker.slack.peer.server import SlackPeer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def peer(house):
    """A workspace with the house's people, and its whole door."""
    with SlackPeer() as peer:
        peer.rates.limited = False
        for person in house.desk.people.list():
            user = peer.add_user(person["name"], person["name"].title(), f"{person['name']}@acme.example")
            house.desk.people.add(person["name"], tuple(person["roles"]), [("slack", peer.team_id, user)])

        def outgoing(token):
            return Showing(house.env.store, house.desk.views, settings(peer), token, pace=QUICK)

        door = SlackDoor(settings(peer), lambda name: str(getattr(peer, SECRETS[name])), house.desk, outgoing)
        async with door.opened():
            await healthy(door)
            yield peer


def messages(peer, incident):
    """What stands in the incident's channel."""
    named = [each for each in peer.state.channels.values() if each.name.startswith(f"{incident.lower()}-")]
    return list(named[0].standing()) if named else []


def asks(message, action="decide:approve"):
    """Whether a message has that button."""
    return any(e.get("action_id") == action for b in message.blocks for e in b.get("elements", ()))


def user(peer, name):
    """Somebody at their client."""
    return Person(peer, next(each.id for each in peer.state.users.values() if each.name == name))


async def test_a_decision_goes_from_card_to_click_to_result_and_the_next_is_asked(house, peer):
    incident = await house.start()
    await until(lambda: any(asks(each) for each in messages(peer, incident)))
    (card,) = [each for each in messages(peer, incident) if asks(each)]
    await user(peer, "amal").click(card.channel, card.ts, "decide:approve")
    await until(lambda: any(each.thread_ts == card.ts for each in messages(peer, incident)))
    await user(peer, "bo").click(card.channel, card.ts, "decide:approve")
    await until(lambda: not asks(card))
    assert "amal" in card.text and "bo" in card.text
    await until(lambda: any("personal data" in each.text for each in messages(peer, incident)))
    notices = house.env.store.notices.of(incident)
    results = [each for each in notices if each["body"]["kind"] == "result"]
    assert results and all("slack" in each["delivered"] for each in results)
    status = next(each for each in messages(peer, incident) if incident in each.text)
    assert len(status.renderings) < 15


async def test_a_cancel_by_another_door_takes_the_buttons_away(house, peer):
    incident = await house.start()
    await until(lambda: any(asks(each) for each in messages(peer, incident)))
    (card,) = [each for each in messages(peer, incident) if asks(each)]
    answer = await house.ask("cleo", "POST", f"/v1/incidents/{incident}/cancel", {"reason": "a drill"})
    assert answer.status_code in (200, 202), answer.text
    await until(lambda: not asks(card))
    assert "Closed without a decision" in said({"text": card.text, "blocks": card.blocks})
    await asyncio.sleep(0.2)
    assert sum(asks(each) for each in messages(peer, incident)) == 0
