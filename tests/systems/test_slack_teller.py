"""What stands in Slack of an incident, as its document and its notices go on: with the real pump, store and peer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from playbooks.contract import Notice, Urgency
from tests.chains import AT
from tests.systems.pumping import QUICK, channel_of, settled, texts, until
from tests.unit.slack_documents import document, entry
from worker.settings_slack import SlackSettings
from worker.slack.outgoing import Showing
from worker.slack.peer.server import SlackPeer
from worker.store import Store

INC = f"INC-{datetime.now(UTC).year}-1"
RUN = f"run/{INC}/crm/1"
GATE = f"{INC}:gate:{RUN}:go:1"


def opened(store: Store, title: str) -> str:
    """A new incident."""
    return store.incidents.open(title=title, kind="unknown", severity=4, facts={}, opened_by="ana")


class Incident:
    """The desk's views of one incident: what a test says of it, and the store's notices."""

    def __init__(self, store: Store) -> None:
        self.store, self.version, self.asked = store, 0, 0
        runs = [{"id": RUN, "status": "waiting", "phase": "contain", "live": True}]
        self.said = document(incident=INC, runs=runs, reviews=[])

    async def incident(self, incident: str, *, live: bool = True) -> dict[str, Any]:
        """As ``desk.views``."""
        self.asked += 1
        notices, drafts = self.store.notices.of(incident), self.store.drafts.of(incident)
        return {**self.said, "notices": notices, "drafts": drafts}

    async def after_review(self, incident: str) -> str:
        """As ``desk.views``."""
        return f"# After-review of {incident}"

    def goes_on(self, **changes: Any) -> None:
        """Something changed, and there is a snapshot of it."""
        self.said = {**self.said, **changes}
        self.version += 1
        status = {"status": self.said["status"], "facts": {}}
        self.store.incidents.save_snapshot(INC, INC, status, None, self.version)

    def told(self, name: str, *to: str, urgency: Urgency = Urgency.NORMAL, **body: Any) -> None:
        """A notice of the run."""
        supersedes = body.pop("supersedes", None)
        made = Notice(
            id=f"{RUN}:{name}", incident=INC, run=RUN, step="go", to=to, urgency=urgency, body=body, at=AT
        ).model_copy(update={"supersedes": f"{RUN}:{supersedes}" if supersedes else None})
        self.store.notices.put([made])


@pytest.fixture
def peer() -> Iterator[SlackPeer]:
    """A workspace without limits, with three people and a main channel."""
    with SlackPeer() as made:
        made.rates.limited = False
        made.add_channel("incidents")
        for name in ("ana", "ben", "cho"):
            made.add_user(name, name.title(), f"{name}@acme.test")
        yield made


@pytest.fixture
def store(tmp_path: Path, peer: SlackPeer) -> Iterator[Store]:
    """A store that knows them, and ``dan`` who is not in Slack."""
    made = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path)
    users = {user.name: user.id for user in peer.state.users.values()}
    for name, role in (("ana", "crm_owner"), ("ben", "crm_owner"), ("cho", "incident_commander")):
        made.people.add(name, [role], [("slack", peer.team_id, users[name])])
    made.people.add("dan", ["crm_owner"])
    assert opened(made, "Stolen token") == INC
    yield made
    made.close()


def make(store: Store, peer: SlackPeer, incident: Incident, **more: Any) -> Showing:
    """The outgoing half."""
    settings = SlackSettings(
        bot_token="secret:env/BOT",
        app_token="secret:env/APP",
        workspace=peer.team_id,
        channel="#incidents",
        endpoint=peer.api_url,
        **more,
    )
    return Showing(store, incident, settings, peer.bot_token, pace=QUICK)


@pytest.fixture
def incident(store: Store) -> Incident:
    """An open incident."""
    return Incident(store)


@pytest_asyncio.fixture
async def showing(store: Store, peer: SlackPeer, incident: Incident) -> AsyncIterator[Showing]:
    """It is shown while the test runs."""
    made = make(store, peer, incident)
    task = asyncio.create_task(made.keep_showing())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def state(store: Store, name: str) -> str:
    """Of a notice."""
    return next(each["state"] for each in store.notices.of(INC) if each["id"] == f"{RUN}:{name}")


async def shown(showing: Showing, store: Store) -> None:
    """Tell, and wait until all stands."""
    showing.poke(INC)
    await asyncio.sleep(0.1)
    await until(lambda: settled(store))


def standing(peer: SlackPeer, store: Store) -> list[Any]:
    """The messages of the incident's channel."""
    return list(peer.state.channels[channel_of(store)].standing())


async def test_a_decision_is_asked_counted_and_rewritten_with_who(
    showing: Showing, store: Store, peer: SlackPeer, incident: Incident
) -> None:
    asked = entry(run=RUN, decided=[])
    incident.told("go:gate1", "role:crm_owner", kind="gate", gate="approve", question="Cut the app off?", digest="ab")
    incident.goes_on(waiting=[asked])
    await shown(showing, store)
    status, card, absent = standing(peer, store)
    assert INC in status.text and "Cut the app off?" in card.text and "dan" in absent.text
    assert state(store, "go:gate1") == "delivered"
    ids = {element["value"] for block in card.blocks for element in block.get("elements", ()) if "value" in element}
    (card_id,) = ids
    found = showing.card(card_id)
    assert found is not None and (found.round, found.digest, found.message_key) == (1, asked["digest"], GATE)
    assert found.channel == channel_of(store) and showing.stands(GATE) == (found.channel, card.ts)
    incident.goes_on(waiting=[{**asked, "decided": [{"person": "ana", "verdict": "approve", "at": AT}]}])
    await shown(showing, store)
    vote = standing(peer, store)[-1]
    assert vote.thread_ts == card.ts and "ana approved" in vote.text
    incident.told("go:result1", "role:crm_owner", kind="result", status="decided", verdict="approve", by=["ana", "ben"])
    incident.goes_on(waiting=[])
    await shown(showing, store)
    card = standing(peer, store)[1]
    assert "ana" in card.text and "ben" in card.text and not [b for b in card.blocks if b["type"] == "actions"]
    assert state(store, "go:result1") == "delivered" and len(standing(peer, store)) == 4


async def test_what_was_decided_while_slack_was_down_is_shown_as_decided_and_calls_nobody(
    showing: Showing, store: Store, peer: SlackPeer, incident: Incident
) -> None:
    peer.faults.take_down()
    incident.told("go:gate1", "role:crm_owner", kind="gate", gate="approve", question="Cut it off?", digest="ab")
    incident.told(
        "go:gate1.1", "role:incident_commander", urgency=Urgency.PAGE, kind="gate", question="Cut it off?", digest="ab"
    )
    incident.goes_on(waiting=[entry(run=RUN, decided=[])])
    showing.poke(INC)
    await until(lambda: peer.calls)
    assert state(store, "go:gate1") == "undelivered"
    incident.told(
        "go:result1", "role:crm_owner", kind="result", status="expired", verdict=None, by=[], supersedes="go:gate1"
    )
    incident.goes_on(waiting=[])
    showing.poke(INC)
    await until(lambda: "nobody" in str(store.slack.out.get(GATE)))
    peer.faults.bring_up()
    await shown(showing, store)
    said = [message.text for message in standing(peer, store) if "Cut it off?" in message.text]
    assert len(said) == 1 and "nobody decided" in said[0]
    assert {state(store, name) for name in ("go:gate1", "go:gate1.1", "go:result1")} == {"delivered"}


async def test_escalations_stand_in_the_thread_and_mention_who_is_meant(
    showing: Showing, store: Store, peer: SlackPeer, incident: Incident
) -> None:
    incident.told("go:gate1", "role:crm_owner", kind="gate", gate="approve", question="Cut it off?", digest="ab")
    incident.goes_on(waiting=[entry(run=RUN, decided=[])])
    await shown(showing, store)
    incident.told(
        "go:gate1.1", "role:incident_commander", urgency=Urgency.PAGE, kind="gate", question="Cut it off?", digest="ab"
    )
    await shown(showing, store)
    card, escalated = standing(peer, store)[1], standing(peer, store)[-1]
    (cho,) = [user.id for user in peer.state.users.values() if user.name == "cho"]
    assert escalated.thread_ts == card.ts and cho in str(escalated.blocks)


async def test_persons_are_told_alone_and_who_has_no_slack_in_the_channel(
    showing: Showing, store: Store, peer: SlackPeer, incident: Incident
) -> None:
    incident.told("a:tell", "person:ana", kind="text", text="only for ana")
    incident.told("b:tell", "person:dan", kind="text", text="only for dan")
    incident.told("c:tell", "mail", kind="text", text="only by mail")
    incident.goes_on()
    await shown(showing, store)
    assert "only for ana" in texts(peer, channel_of(store, "person:ana"))[0]
    everybody = " ".join(texts(peer, channel_of(store)))
    assert "only for dan" in everybody and "only for ana" not in everybody and "only by mail" not in everybody
    assert [state(store, name) for name in ("a:tell", "b:tell", "c:tell")] == ["delivered"] * 2 + ["undelivered"]


async def test_the_main_channel_hears_of_it_people_are_invited_and_drafts_are_files(
    showing: Showing, store: Store, peer: SlackPeer, incident: Incident
) -> None:
    store.drafts.save(INC, {"regime": "gdpr", "stage": "initial", "title": "GDPR, first notice"}, "# Draft")
    incident.goes_on(waiting=[entry(run=RUN, decided=[])], mode="exercise")
    await shown(showing, store)
    await until(lambda: showing.stands(f"{INC}:announced"))
    await until(lambda: settled(store))
    (announced,) = texts(peer, channel_of(store, "main"))
    channel = peer.state.channels[channel_of(store)]
    names = {peer.state.users[user].name for user in channel.members if user in peer.state.users}
    assert INC in announced and "EXERCISE" in announced and {"ana", "ben", "cho"} <= names
    assert channel.name == f"ex-{INC.lower()}-stolen-token" and channel.topic.startswith("EXERCISE")
    (file,) = peer.state.files.values()
    assert file.name.startswith("gdpr-initial-") and file.content == b"# Draft"
    store.drafts.save(INC, {"regime": "gdpr", "stage": "initial", "title": "GDPR, first notice"}, "# Newer")
    await shown(showing, store)
    assert len(peer.state.files) == 2


async def test_the_channel_is_archived_at_the_end_and_old_incidents_get_none(
    showing: Showing, store: Store, peer: SlackPeer, incident: Incident
) -> None:
    incident.goes_on()
    await shown(showing, store)
    incident.goes_on(status="closed")
    await shown(showing, store)
    channel = peer.state.channels[channel_of(store)]
    assert channel.archived and "closed" in standing(peer, store)[0].text
    old = opened(store, "Old")
    store.incidents.save_snapshot(old, old, {"status": "closed", "facts": {}}, None, 1)
    await shown(showing, store)
    assert store.slack.out.lane(old) is None


async def test_what_has_not_changed_is_not_asked_again(
    showing: Showing, store: Store, peer: SlackPeer, incident: Incident
) -> None:
    incident.goes_on()
    await shown(showing, store)
    await asyncio.sleep(1.2)
    asked = incident.asked
    await asyncio.sleep(1.2)
    assert incident.asked == asked
