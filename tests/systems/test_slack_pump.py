"""The pump against a simulated Slack that fails in every way: nothing lost, nothing doubled, in order."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from playbooks.contract import Notice
from tests.chains import AT
from tests.systems.pumping import INC, QUICK, WANTED, channel_of, make_pump, pumping, said, settled, texts, until
from worker.slack.channels import channel_name
from worker.slack.files import versioned
from worker.slack.peer.server import SlackPeer
from worker.store import Store

TEN = [f"message {number}" for number in range(10)]


@pytest.fixture
def peer() -> Iterator[SlackPeer]:
    """A workspace without limits."""
    with SlackPeer() as made:
        made.rates.limited = False
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in which an incident's channel is wanted."""
    made = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path)
    made.slack.out.want_channel(INC, INC, WANTED)
    yield made
    made.close()


def want_ten(store: Store) -> None:
    """Ten messages in order."""
    for number, text in enumerate(TEN):
        store.slack.out.want(f"{INC}:{number}", INC, INC, {"text": text, "blocks": list(said(text).blocks)})


async def test_posts_come_in_order_with_their_threads_and_the_card_is_pinned(store: Store, peer: SlackPeer) -> None:
    pump = make_pump(store, peer)
    pump.want("status", INC, None, said("status"), pin=True)
    pump.want("gate", INC, None, said("decide"))
    pump.want("vote", INC, None, said("ana approved"), parent="gate")
    async with pumping(pump):
        await until(lambda: settled(store))
    channel = peer.state.channels[channel_of(store)]
    status, gate, vote = channel.standing()
    assert [status.text, gate.text, vote.text] == ["status", "decide", "ana approved"]
    assert vote.thread_ts == gate.ts and [pin["ts"] for pin in channel.pins] == [status.ts]
    assert channel.is_private and channel.name == WANTED["name"] and channel.topic == WANTED["topic"]
    assert pump.stands("gate") == (channel.id, gate.ts) and pump.incident_in(channel.id) == INC


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("error_after_commit", {"times": 4}),
        ("drop_after_commit", {"times": 4}),
        ("drop", {"times": 4}),
        ("status", {"status": 503, "times": 4}),
        ("error", {"code": "internal_error", "times": 4}),
        ("error", {"code": "token_revoked", "times": 3}),
        ("rate_limit", {"seconds": 1, "times": 1}),
        ("latency", {"seconds": 0.4, "times": 2}),
    ],
)
@pytest.mark.parametrize("method", ["chat.postMessage", "conversations.create", "chat.update"])
async def test_whatever_slack_does_each_message_stands_once(
    store: Store, peer: SlackPeer, kind: str, more: dict[str, object], method: str
) -> None:
    peer.faults.add(kind, method=method.replace(".", r"\."), **more)
    want_ten(store)
    # Slack may carry a call out after we have ceased to wait for it: looking comes after that.
    pump = make_pump(store, peer, patience=0.3, pace=replace(QUICK, settle=0.3))
    async with pumping(pump):
        await until(lambda: settled(store))
        pump.want(f"{INC}:9", INC, None, said("message nine"))
        await until(lambda: settled(store))
    assert texts(peer, channel_of(store)) == [*TEN[:9], "message nine"]
    assert sum(not each.is_im and each.name.startswith("inc-") for each in peer.state.channels.values()) == 1


async def test_an_hour_without_slack_loses_nothing_and_shows_only_the_newest(store: Store, peer: SlackPeer) -> None:
    now = [1_000_000.0]
    pump = make_pump(store, peer, clock=lambda: now[0])
    pump.want("gate", INC, None, said("decide"))
    pump.want("told", INC, None, said("told"))
    peer.faults.take_down()
    async with pumping(pump):
        await until(lambda: peer.calls)
        for minute in range(60):
            now[0] += 60
            pump.want("gate", INC, None, said(f"decide, {minute} minutes"))
        pump.want("gate", INC, None, said("approved by ana"))
        peer.faults.bring_up()

        def later() -> bool:
            now[0] += 1
            return settled(store)

        await until(later)
    assert texts(peer, channel_of(store)) == ["approved by ana", "told"]
    assert [call.method for call in peer.calls if call.committed].count("chat.update") == 0


async def test_two_pumps_at_once_post_nothing_twice(store: Store, peer: SlackPeer) -> None:
    async with pumping(make_pump(store, peer)):
        await until(lambda: settled(store))
    want_ten(store)
    peer.faults.add("latency", method=r"chat\.", seconds=0.1, times=0)
    async with pumping(make_pump(store, peer), make_pump(store, peer)):
        await until(lambda: settled(store))
    assert texts(peer, channel_of(store)) == TEN


async def test_what_was_in_flight_when_the_process_died_is_looked_for(store: Store, peer: SlackPeer) -> None:
    want_ten(store)
    peer.faults.add("hold_after_commit", method="chat.postMessage", skip=3)
    dying = asyncio.create_task(make_pump(store, peer, patience=10.0).keep_pumping())
    await until(lambda: peer.faults.held)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    peer.faults.release()
    assert store.slack.out.open(INC)[0].state == "flight"
    async with pumping(make_pump(store, peer)):
        await until(lambda: settled(store))
    assert texts(peer, channel_of(store)) == TEN


async def test_a_process_that_is_killed_while_it_posts_loses_and_doubles_nothing(
    store: Store, peer: SlackPeer, tmp_path: Path
) -> None:
    want_ten(store)
    peer.faults.add("hold_after_commit", method="chat.postMessage", skip=3)
    command = [sys.executable, "-m", "tests.systems.pump_process", f"sqlite:///{tmp_path / 'stanch.db'}", str(tmp_path)]
    given = {**os.environ, "TOKEN": peer.bot_token, "ENDPOINT": peer.api_url}
    process = await asyncio.create_subprocess_exec(*command, env=given)
    await until(lambda: peer.faults.held)
    process.kill()
    await process.wait()
    peer.faults.release()
    async with pumping(make_pump(store, peer)):
        await until(lambda: settled(store))
    assert texts(peer, channel_of(store)) == TEN


async def test_nothing_below_the_pump_sends_again_what_may_stand(store: Store, peer: SlackPeer) -> None:
    peer.faults.add("drop_after_commit", method=r"chat\.postMessage")
    pump = make_pump(store, peer, patience=10.0)
    pump.want("told", INC, None, said("told"))
    async with pumping(pump):
        await until(lambda: settled(store))
    assert texts(peer, channel_of(store)) == ["told"]


async def test_two_hundred_changes_are_few_edits_and_the_last_one_stands(store: Store, peer: SlackPeer) -> None:
    pump = make_pump(store, peer)
    pump.want("status", INC, None, said("status"), pin=True)
    async with pumping(pump):
        await until(lambda: settled(store))
        began = time.monotonic()
        for number in range(200):
            pump.want("status", INC, None, said(f"status {number}"), pin=True)
            await asyncio.sleep(0.002)
        await until(lambda: settled(store))
    edits = [call for call in peer.calls if call.method == "chat.update"]
    assert texts(peer, channel_of(store)) == ["status 199"]
    assert 1 < len(edits) <= (time.monotonic() - began) / QUICK.card + 1 and len(edits) < 100


async def test_one_slow_channel_holds_up_no_other(store: Store, peer: SlackPeer) -> None:
    pump = make_pump(store, peer)
    async with pumping(pump):
        await until(lambda: settled(store))
        held = channel_of(store)
        rule = peer.faults.add("rate_limit", method="chat.postMessage", channel=held, seconds=60, times=0)
        pump.want("slow", INC, None, said("slow"))
        await until(lambda: rule.struck)
        store.slack.out.want_channel("INC-2026-2", "INC-2026-2", {**WANTED, "name": "inc-2026-2"})
        pump.want("quick", "INC-2026-2", None, said("quick"))
        await until(lambda: pump.stands("quick"))
    assert pump.stands("slow") is None and rule.struck == 1


async def test_blocks_that_slack_refuses_are_said_as_text_and_what_it_refuses_for_good_is_told(
    store: Store, peer: SlackPeer, caplog: pytest.LogCaptureFixture
) -> None:
    pump = make_pump(store, peer)
    store.notices.put([Notice(id=name, incident=INC, at=AT) for name in ("n1", "n2")])
    broken = replace(said("wake up"), blocks=({"type": "nonsense"},))
    pump.want("broken", INC, None, broken, notices=["n1"])
    async with pumping(pump):
        await until(lambda: settled(store))
        peer.faults.add("error", method="chat.postMessage", code="no_text", times=2)
        pump.want("never", INC, None, said("never"), notices=["n2"])
        pump.want("next", INC, None, said("next"))
        await until(lambda: settled(store))
    assert texts(peer, channel_of(store)) == ["wake up", "next"]
    assert pump.refused("never") == "no_text" and pump.refused("broken") is None
    states = {notice["id"]: notice["state"] for notice in store.notices.of(INC)}
    assert states == {"n1": "delivered", "n2": "undelivered"}
    assert "refuses never for good: no_text" in caplog.text and peer.bot_token not in caplog.text


async def test_a_deleted_card_is_posted_anew_when_it_changes(store: Store, peer: SlackPeer) -> None:
    pump = make_pump(store, peer)
    pump.want("status", INC, None, said("one"))
    async with pumping(pump):
        await until(lambda: settled(store))
        channel = peer.state.channels[channel_of(store)]
        next(channel.standing()).deleted = True
        pump.want("status", INC, None, said("two"))
        await until(lambda: settled(store))
    assert texts(peer, channel_of(store)) == ["two"]


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
async def test_a_file_is_there_once(store: Store, peer: SlackPeer, method: str) -> None:
    peer.faults.add("drop_after_commit", method=method.replace(".", r"\."), times=2)
    name = versioned("gdpr-initial.md", b"# Draft")
    pump = make_pump(store, peer)
    pump.want_file("file", INC, name, "GDPR, initial", b"# Draft")
    async with pumping(pump):
        await until(lambda: settled(store))
    (message,) = peer.state.channels[channel_of(store)].standing()
    (file,) = [peer.state.files[each["id"]] for each in message.files]
    assert (file.name, file.title, file.content) == (name, "GDPR, initial", b"# Draft")


async def test_a_taken_name_gets_a_number_unless_the_channel_is_ours(store: Store, peer: SlackPeer) -> None:
    peer.add_channel(str(WANTED["name"]), bot=False)
    async with pumping(make_pump(store, peer)):
        await until(lambda: settled(store))
    assert peer.state.channels[channel_of(store)].name == f"{WANTED['name']}-2"


@pytest.mark.parametrize("how", ["archived", "deleted", "put out"])
async def test_an_incident_whose_channel_is_taken_away_gets_another_one(
    store: Store, peer: SlackPeer, how: str
) -> None:
    pump = make_pump(store, peer)
    pump.want("status", INC, None, said("status"), pin=True)
    pump.want("gate", INC, None, said("decide"))
    pump.want("over", INC, None, said("over"))
    async with pumping(pump):
        await until(lambda: settled(store))
        old = channel_of(store)
        if how == "archived":
            peer.state.channels[old].archived = True
        elif how == "deleted":
            peer.do(lambda: peer.state.channels.pop(old))
        else:
            peer.state.channels[old].members.remove(peer.state.bot_user_id)
        pump.want("gate", INC, None, said("decided"))
        pump.want("next", INC, None, said("next"))
        await until(lambda: settled(store) and pump.stands("next"))
        new = channel_of(store)
    assert new != old and peer.state.channels[new].name == f"{WANTED['name']}{'' if how == 'deleted' else '-2'}"
    # What nobody waits for is not told a second time.
    assert texts(peer, new) == ["status", "decided", "next"]
    assert len(peer.state.channels[new].pins) == 1


async def test_channels_that_are_taken_away_again_and_again_are_not_made_for_ever(
    store: Store, peer: SlackPeer
) -> None:
    store.notices.put([Notice(id="n", incident=INC, at=AT)])
    peer.faults.add("error", method="chat.postMessage", code="is_archived", times=0)
    pump = make_pump(store, peer)
    pump.want("never", INC, None, said("never"), notices=["n"])
    async with pumping(pump):
        await until(lambda: pump.refused("never"))
    assert sum(each.method == "conversations.create" for each in peer.calls) < 25
    assert store.notices.of(INC)[0]["state"] == "undelivered"


async def test_what_the_app_may_not_do_waits_until_it_may_and_a_file_holds_up_no_message(
    store: Store, peer: SlackPeer, caplog: pytest.LogCaptureFixture
) -> None:
    peer.faults.add("error", method="files.getUploadURLExternal", code="missing_scope", times=6)
    peer.faults.add("error", method="chat.postMessage", code="missing_scope", times=3, skip=1)
    pump = make_pump(store, peer)
    pump.want_file("file", INC, versioned("draft.md", b"# Draft"), "Draft", b"# Draft")
    pump.want("one", INC, None, said("one"))
    pump.want("two", INC, None, said("two"))
    async with pumping(pump):
        await until(lambda: settled(store))
    shown = texts(peer, channel_of(store))
    assert [each for each in shown if each] == ["one", "two"] and len(shown) == 3
    assert caplog.text.count("may show it in Slack: missing_scope") == 2


async def test_people_come_in_and_who_cannot_is_noted(store: Store, peer: SlackPeer) -> None:
    ana, guest = peer.add_user("ana", "Ana", "ana@acme.test"), peer.add_user("eve", "Eve", "e@x.test", stranger=True)
    store.slack.out.want_channel(INC, INC, {**WANTED, "people": [ana, guest]})
    async with pumping(make_pump(store, peer)):
        await until(lambda: settled(store))
    lane = store.slack.out.lane(INC)
    assert lane is not None and lane.done["invited"] == [ana] and list(lane.done["barred"]) == [guest]
    assert ana in peer.state.channels[channel_of(store)].members


async def test_a_channel_is_archived_after_its_last_message(store: Store, peer: SlackPeer) -> None:
    pump = make_pump(store, peer)
    want_ten(store)
    store.slack.out.want_channel(INC, INC, {**WANTED, "archive": True})
    async with pumping(pump):
        await until(lambda: settled(store))
    channel = peer.state.channels[channel_of(store)]
    assert channel.archived and [each.text for each in channel.standing()][:10] == TEN


async def test_a_person_gets_a_direct_message_once_and_a_stranger_none(store: Store, peer: SlackPeer) -> None:
    user = peer.add_user("ana", "Ana", "ana@acme.test")
    store.people.add("ana", ["crm_owner"], [("slack", peer.team_id, user)])
    peer.faults.add("drop_after_commit", method=r"chat\.postMessage")
    pump = make_pump(store, peer)
    assert pump.want_dm("page", "ana", said("wake up")) and not pump.want_dm("page2", "ben", said("wake up"))
    async with pumping(pump):
        await until(lambda: pump.stands("page"))
    assert texts(peer, channel_of(store, "person:ana")) == ["wake up"]


@pytest.mark.parametrize(
    ("title", "mode", "name"),
    [
        ("Stolen OAuth token", "live", "inc-2026-1-stolen-oauth-token"),
        ("Stolen OAuth token", "exercise", "ex-inc-2026-1-stolen-oauth-token"),
        ("Fuite de données à Zürich!", "live", "inc-2026-1-fuite-de-donnees-a-zurich"),
        ("漏えい", "live", "inc-2026-1"),
        ("A" * 200, "live", "inc-2026-1-" + "a" * 40),
    ],
)
def test_a_channel_is_named_by_slacks_rules(title: str, mode: str, name: str) -> None:
    assert channel_name(INC, title, mode) == name


async def test_a_page_is_not_taken_while_slack_is_switched_off(store: Store, peer: SlackPeer) -> None:
    store.people.add("ana", ["crm_owner"], [("slack", peer.team_id, peer.add_user("ana", "Ana", "ana@acme.example"))])
    pump = make_pump(store, peer)
    store.slack.off.set("stolen", "ana")
    assert pump.want_dm("page", "ana", said("wake up")) is False
    store.slack.off.clear("ana")
    assert pump.want_dm("page", "ana", said("wake up")) is True
