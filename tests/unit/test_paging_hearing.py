"""PagerDuty's incidents and our pages are kept alike, also over a new start and with PagerDuty away."""

from datetime import UTC, datetime

import pytest

from playbooks.contract import Urgency
from tests.unit.test_paging_pager import kinds, page, told
from worker.paging.oncall import OnCall
from worker.paging.pager import Pager
from worker.paging.pagerduty import PagerDuty
from worker.paging.peer.pagerduty import PagerDutyPeer
from worker.settings_paging import PagingSettings
from worker.store import Store


@pytest.fixture
def incident(store: Store) -> str:
    """An incident, and who owns it."""
    store.people.add("amal", ["crm_owner"])
    store.contacts.set("amal", {"pagerduty": "PAMAL1"})
    return store.incidents.open(title="T", kind="unknown", severity=4, facts={}, opened_by="amal")


def pager(store: Store, peer: PagerDutyPeer) -> Pager:
    """A pager of a process that has just started."""
    channel = PagerDuty(peer.routing_key, peer.api_token, lambda reference: reference, peer.url)
    return Pager(store, {"pagerduty": channel}, PagingSettings(rule="pagerduty 0m", times=1), OnCall({}, {}, None))


def close(store: Store, incident: str) -> None:
    """The incident is over."""
    store.incidents.save_snapshot(incident, incident, {"status": "closed"}, None, 9)


async def test_what_is_stopped_here_is_acknowledged_there_then_resolved_each_once(store: Store, incident: str) -> None:
    with PagerDutyPeer() as peer:
        store.notices.put([page(incident)])
        await pager(store, peer).turn(datetime.now(UTC))
        await pager(store, peer).listen()
        pager(store, peer).ack(incident, "bo")
        for _ in range(2):
            await pager(store, peer).listen()
        assert [event["event_action"] for event in peer.events] == ["trigger", "acknowledge"]
        close(store, incident)
        for _ in range(2):
            await pager(store, peer).listen()
        assert [event["event_action"] for event in peer.events] == ["trigger", "acknowledge", "resolve"]
        assert store.pages.unsettled("resolve") == []


async def test_who_acknowledges_there_stops_the_page_here(store: Store, incident: str) -> None:
    with PagerDutyPeer() as peer:
        store.notices.put([page(incident)])
        await pager(store, peer).turn(datetime.now(UTC))
        (key,) = peer.incidents
        peer.acknowledge(key, "PAMAL1")
        await pager(store, peer).listen()
        assert (told(store, incident)["page"]["status"], told(store, incident)["page"]["by"]) == (
            "acknowledged",
            "amal",
        )
        entry = next(each for each in store.journal.entries(incident) if each["kind"] == "page.acknowledged")
        assert (entry["actor"], entry["door"]) == ("amal", "pagerduty")


async def test_pagerduty_away_is_told_later(store: Store, incident: str) -> None:
    with PagerDutyPeer() as peer:
        store.notices.put([page(incident)])
        await pager(store, peer).turn(datetime.now(UTC))
        close(store, incident)
        await pager(store, peer).turn(datetime.now(UTC))
        assert "page.ended" in kinds(store, incident)
        listening, key = pager(store, peer), peer.routing_key
        peer.routing_key = "another, so that ours is refused"
        await listening.listen()
        assert [each.settled for each in store.pages.unsettled("resolve")] == [""]
        peer.routing_key = key
        await listening.listen()
        assert next(iter(peer.incidents.values()))["status"] == "resolved"


async def test_a_question_that_nobody_decided_in_time_is_resolved_there(store: Store, incident: str) -> None:
    with PagerDutyPeer() as peer:
        gate = {"run": "run/x", "step": "go", "body": {"kind": "gate", "question": "Go?"}}
        store.notices.put([page(incident, **gate)])
        await pager(store, peer).turn(datetime.now(UTC))
        store.notices.put(
            [page(incident, "n2", **{**gate, "urgency": Urgency.NORMAL, "body": {"kind": "result", "by": []}})]
        )
        await pager(store, peer).turn(datetime.now(UTC))
        await pager(store, peer).listen()
        assert [event["event_action"] for event in peer.events] == ["trigger", "resolve"]
