"""Slack over HTTP and over sockets that drop; the store, Temporal and Slack away; a death between click and result."""

import asyncio
import dataclasses
import threading
import time

import httpx
import pytest
from slack_sdk.signature import SignatureVerifier

from tests.doors.slack_house import Relay, around, door_of, healthy, refusals
from worker.api.app import create_app
from worker.desk.desk import Desk
from worker.slack.carrying import words_for
from worker.slack.deciding import Click, Deciding
from worker.slack.identity import actor
from worker.slack.inbox import Inbox, Outcome
from worker.slack.peer.delivery import NotAcknowledged
from worker.slack.peer.server import SlackPeer
from worker.start_http import listening
from worker.temporal import connect

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def peer():
    """A workspace without rate limits."""
    with SlackPeer() as served:
        served.rates.limited = False
        yield served


async def decided(house, incident):
    """Who has decided, as the waiting question says."""
    found = await house.desk.views.waiting(incident)
    return [vote["person"] for entry in found for vote in entry["decided"]]


async def accepted(house, incident, count):
    """The decisions that were counted, once there are so many in the journal."""
    for _ in range(400):
        entries = house.env.store.journal.entries(incident)
        found = sorted(entry["actor"] for entry in entries if entry["kind"] == "decision.accepted")
        if len(found) >= count:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def test_signed_http_is_heard_by_the_same_listeners_and_nothing_else_is_believed(peer, house):
    async with around(peer, house, socket=False, http=True) as slack:
        app = create_app(house.desk, slack.door.router)
        async with listening(app, "127.0.0.1", 0) as url, httpx.AsyncClient(trust_env=False) as http:
            peer.request_url = f"{url}/slack/events"
            assert await peer.inside(peer.delivery.verify(peer.request_url))
            incident = await house.start()
            ts = await slack.show(incident, await slack.waiting(incident, "go"))
            await slack.person("amal").click(slack.channel, ts, "decide:approve")
            await slack.told("amal", "Counted: 1 of 2.")
            # The very same signed request, by somebody who saw it.
            assert await peer.replay() == 200
            await slack.told("amal", "nonce_used")
            assert await peer.replay() == 200
            assert refusals(house.env.store, incident) == [("amal", "nonce_used")]
            _, headers, body = next(each for each in reversed(peer.sent) if each.type == "interactive").request
            old = str(int(time.time()) - 400)
            late = SignatureVerifier(peer.signing_secret).generate_signature(timestamp=old, body=body)
            wrong = [
                ({**headers, "X-Slack-Signature": "v0=" + "0" * 64}, body, 401),
                ({**headers, "X-Slack-Request-Timestamp": old, "X-Slack-Signature": late}, body, 401),
                ({name: value for name, value in headers.items() if "Signature" not in name}, body, 401),
                ({**headers}, body + b"x", 401),
                ({**headers}, b"\xff" * 10, 400),
                ({**headers}, b"x" * 300_000, 413),
            ]
            for given, content, status in wrong:
                answer = await http.post(peer.request_url, headers=given, content=content)
                assert answer.status_code == status, (status, answer.text)
            assert await decided(house, incident) == ["amal"]


async def test_sockets_that_drop_are_opened_anew(peer, house):
    async with around(peer, house) as slack:
        incident = await house.start()
        ts = await slack.show(incident, await slack.waiting(incident, "go"))
        peer.drop_sockets()
        await slack.person("amal").until(lambda: peer.connections == 0 or peer.connections == 1)
        await asyncio.sleep(0.1)
        await slack.person("amal").until(lambda: peer.connections == 1, 10)
        await slack.person("amal").click(slack.channel, ts, "decide:approve")
        await slack.told("amal", "Counted: 1 of 2.")
        await peer.refresh_sockets()
        await asyncio.sleep(0.1)
        await slack.person("bo").until(lambda: peer.connections == 1, 10)
        await slack.person("bo").click(slack.channel, ts, "decide:approve")
        await slack.told("bo", "Approved")
        assert await accepted(house, incident, 2) == ["amal", "bo"]


async def test_a_dead_token_or_slack_away_keeps_nothing_from_working(peer, house):
    peer.faults.add("error", method="auth.test", code="invalid_auth", times=2)
    async with around(peer, house) as slack:
        # It was refused twice, and is open all the same.
        assert slack.door.health()["ok"]
        peer.faults.take_down()
        await slack.person("amal").until(lambda: not slack.door.health()["ok"], 10)
        house.desk.doors["slack"] = slack.door.health
        health = (await house.ask("cleo", "GET", "/v1/health")).json()
        assert health["ok"] and not health["slack"]["ok"]
        assert health["slack"]["problems"]
        incident = await house.start()
        card = await house.card(incident, "go")
        assert (await house.decide(incident, "amal", card, "approve")).status_code == 200
        peer.faults.bring_up()
        await healthy(slack.door, 20)


async def test_nothing_is_acknowledged_while_the_store_is_away(peer, house):
    """Somebody holds the store's lock for writing, as a full disk or a lost server would."""
    held, over = threading.Event(), threading.Event()

    def hold():
        with house.env.store.transaction():
            held.set()
            over.wait(20)

    async with around(peer, house) as slack:
        incident = await house.start()
        ts = await slack.show(incident, await slack.waiting(incident, "go"))
        peer.delivery.ack_seconds = 0.5
        holding = asyncio.create_task(asyncio.to_thread(hold))
        await asyncio.to_thread(held.wait, 10)
        try:
            with pytest.raises(NotAcknowledged):
                await slack.person("amal").click(slack.channel, ts, "decide:approve")
        finally:
            over.set()
            await holding
        peer.delivery.ack_seconds = 3.0
        await slack.person("bo").click(slack.channel, ts, "decide:approve")
        await slack.told("bo", "ounted")


async def test_temporal_away_is_acknowledged_told_and_made_up_for(peer, house):
    """The real client, on a server that is out of reach for a while."""
    env = house.env
    async with Relay(env.server.address).serving() as relay:
        client = await connect(env.settings, env.ring, address=relay.address, namespace=env.client.namespace)
        decisions = house.desk.decisions
        through = Desk(env.store, client, house.desk.installation, decisions._key, decisions._key_id)
        async with around(peer, dataclasses.replace(house, desk=through)) as slack:
            incident = await house.start()
            ts = await slack.show(incident, await slack.waiting(incident, "go"))
            relay.cut()
            began = time.monotonic()
            await slack.person("amal").click(slack.channel, ts, "decide:approve")
            assert time.monotonic() - began < 3
            await slack.told("amal", "Kept, but not done yet")
            assert await decided(house, incident) == []
            relay.mend()
            await slack.told("amal", "Counted: 1 of 2.", 20)
            assert await decided(house, incident) == ["amal"]
            assert len(slack.private("amal")) == 2


async def test_what_was_kept_before_a_death_is_done_once_and_told(peer, house):
    """Killed after the click was acknowledged, and again between the decision and telling of it."""
    async with around(peer, house) as slack:
        incident = await house.start()
        ts = await slack.show(incident, await slack.waiting(incident, "go"))
    store = house.env.store
    # The door is gone; what it had kept is in the store.
    card = next(iter(slack.board.cards))
    click = {"do": "decide", "channel": slack.channel, "ts": ts, "card": card, "verdict": "approve"}
    for name in ("amal", "bo"):
        store.inbox.keep(f"click/{name}", "e", {**click, "user": slack.users[name], "team": peer.team_id})
    first = door_of(slack)
    # This one dies while it tells: Slack does not answer it.
    hold = peer.faults.add("hold", method="chat.postEphemeral", times=0)
    async with first.opened():
        await accepted(house, incident, 2)
        await slack.person("amal").until(lambda: len(peer.faults.held) == 2)
    assert [one.outcome is not None for one in store.inbox.open()] == [True, True]
    peer.faults.remove(hold)
    peer.faults.release()
    async with door_of(slack).opened():
        await slack.person("amal").until(lambda: not store.inbox.open(), 15)
    told = " ".join(slack.private("amal") + slack.private("bo"))
    assert "Counted: 1 of 2." in told and "Approved" in told
    assert await accepted(house, incident, 2) == ["amal", "bo"]
    assert refusals(store, incident) == []


async def test_a_decision_that_was_counted_before_a_death_is_not_refused_after_it(peer, house):
    """Counted, and then killed before anything was written: the repeat finds what it did."""
    async with around(peer, house) as slack:
        incident = await house.start()
        ts = await slack.show(incident, await slack.waiting(incident, "go"))
    store, card = house.env.store, next(iter(slack.board.cards))
    what = {"do": "decide", "channel": slack.channel, "ts": ts, "card": card, "verdict": "deny", "reason": "no"}
    kept, _ = store.inbox.keep("click/amal", "e", {**what, "user": slack.users["amal"], "team": peer.team_id})
    person = store.people.get("amal")
    await Deciding(house.desk, slack.board).decide(Click.of(kept.what), actor(person, kept.token))
    await house.card(incident, "data")
    await house.decide(incident, "dara", await house.card(incident, "data"), "answer", values={"left": False})
    await house.ended(incident)
    async with door_of(slack).opened():
        await slack.told("amal", "counted")
    assert await accepted(house, incident, 2) == ["amal", "dara"]
    assert refusals(store, incident) == []


@pytest.mark.parametrize("way", ["response_url", "chat.postEphemeral"])
async def test_an_answer_that_may_have_been_seen_comes_once_more_where_it_can_be_looked_for(peer, house, way):
    """Slack takes it and drops the connection, each time: no client sends it again by itself."""
    if way != "response_url":
        peer.faults.add("status", method="response_url", times=0, status=404)
    peer.faults.add("drop_after_commit", method=way, times=0)
    async with around(peer, house) as slack:
        incident = await house.start()
        ts = await slack.show(incident, await slack.waiting(incident, "go"))
        await slack.person("amal").click(slack.channel, ts, "decide:approve")
        await slack.person("amal").until(lambda: not house.env.store.inbox.open(), 10)
        (answer,) = [each for key, each in slack.board.told.items() if key.startswith("answer:")]
        assert "Counted: 1 of 2." in answer.text
        assert len(slack.private("amal")) == 1


async def test_twenty_people_click_at_once_and_again_and_each_is_counted_or_told(peer, house):
    """Duplicates, late ones and lost acknowledgements among them: in time, and no vote twice."""
    async with around(peer, house) as slack:
        people = [f"p{number}" for number in range(20)]
        for name in people:
            slack.link(name, ("crm_owner",) if name in people[:10] else ("viewer",))
        incident = await house.start()
        ts = await slack.show(incident, await slack.waiting(incident, "go"))
        peer.faults.add("duplicate", method="interactive", times=20)
        peer.faults.add("late", method="interactive", times=10, seconds=0.5)
        peer.faults.add("unacknowledged", method="interactive", times=5, skip=20)
        took = []

        async def click(name):
            begun = time.monotonic()
            await slack.person(name).click(slack.channel, ts, "decide:approve")
            took.append(time.monotonic() - begun)

        ended = await asyncio.gather(*(click(name) for name in people * 2), return_exceptions=True)
        # Slack itself lost some acknowledgements; all others came in time.
        assert all("acknowledgement was lost" in str(each) for each in ended if each is not None)
        assert max(took) < 3.5, max(took)
        store = house.env.store
        await slack.person("amal").until(lambda: not store.inbox.open(), 30)
        votes = await accepted(house, incident, 2)
        assert len(votes) == len(set(votes)) == 2 and set(votes) <= set(people[:10])
        for name in people:
            assert slack.private(name), name
        codes = {code for _, code in refusals(store, incident)}
        assert codes <= {"already_decided", "closed", "wrong_role"}, codes


async def test_what_another_server_left_when_it_died_is_taken_over_by_this_one(house):
    store, carried, told = house.env.store, [], []

    async def carry(kept):
        carried.append((kept.id, kept.again))
        return Outcome("done")

    async def tell(kept, outcome):
        told.append((kept.id, outcome.text))
        return True

    inbox = Inbox(store, carry, tell, words_for, left=0.2)
    working = asyncio.create_task(inbox.keep_carrying())
    await asyncio.sleep(0.1)
    # Another process keeps this, acknowledges it, and is gone.
    store.inbox.keep("click/left", "e", {"do": "decide"})
    for _ in range(500):
        if not store.inbox.open():
            break
        await asyncio.sleep(0.01)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert carried == [("click/left", True)] and told == [("click/left", "done")]
