"""The Web API of the simulated workspace answers as Slack's documentation says, to the real client."""

import asyncio
import time

import httpx
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncConnectionErrorRetryHandler
from slack_sdk.http_retry.builtin_interval_calculators import FixedValueRetryIntervalCalculator
from slack_sdk.web.async_client import AsyncWebClient

from worker.slack.peer.delivery import NotAcknowledged
from worker.slack.peer.driver import Person
from worker.slack.peer.screen import said
from worker.slack.peer.server import SlackPeer


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


CLOCK = Clock()


@pytest.fixture(scope="module")
def peer():
    """A workspace whose time the tests move."""
    with SlackPeer(clock=CLOCK) as served:
        served.rates.limited = False
        yield served


@pytest.fixture(scope="module")
def ann(peer):
    """Ann."""
    return Person(peer, peer.add_user("ann", "Ann Ode", "ann@acme.example"))


@pytest.fixture(scope="module")
def channel(peer, ann):
    """A channel with Ann and the app."""
    return peer.add_channel("ops", (ann.id,))


@pytest.fixture(scope="module")
def web(peer):
    """The real client."""
    return AsyncWebClient(token=peer.bot_token, base_url=peer.api_url)


@pytest.fixture
def faults(peer):
    """Faults, none left over."""
    yield peer.faults
    peer.faults.clear()


async def refused(call) -> str:
    """The error of a call that Slack refuses."""
    with pytest.raises(SlackApiError) as error:
        await call
    return str(error.value.response["error"])


def posts(peer, key: str) -> list:
    """The log of posts with a key."""
    return [each for each in peer.calls if each.method == "chat.postMessage" and each.key == key]


def keyed(key: str) -> dict:
    """Metadata with a key."""
    return {"event_type": "stanch", "event_payload": {"key": key}}


async def test_channels_have_names_members_and_an_end(peer, web, ann):
    made = await web.conversations_create(name="inc-1-crm")
    id_ = made["channel"]["id"]
    assert await refused(web.conversations_create(name="inc-1-crm")) == "name_taken"
    for name, error in (
        ("Inc", "invalid_name_specials"),
        ("a b", "invalid_name_specials"),
        ("-_-", "invalid_name_punctuation"),
        ("x" * 81, "invalid_name_maxlength"),
        ("", "invalid_name_required"),
    ):
        assert await refused(web.conversations_create(name=name)) == error
    await web.conversations_invite(channel=id_, users=[ann.id])
    assert await refused(web.conversations_invite(channel=id_, users=[ann.id])) == "already_in_channel"
    assert await refused(web.conversations_invite(channel=id_, users=["U0NOBODY"])) == "user_not_found"
    stranger = peer.add_user("eve", "Eve", "eve@far.example", stranger=True)
    bob = peer.add_user("bob", "Bob", "bob@acme.example")
    assert await refused(web.conversations_invite(channel=id_, users=[bob, stranger])) == "cant_invite"
    some = await web.conversations_invite(channel=id_, users=[bob, stranger], force=True)
    assert [each["user"] for each in some["errors"]] == [stranger]
    assert set((await web.conversations_members(channel=id_))["members"]) == {peer.state.bot_user_id, ann.id, bob}
    await web.conversations_setTopic(channel=id_, topic="SEV1")
    assert (await web.conversations_info(channel=id_))["channel"]["topic"]["value"] == "SEV1"
    posted = await web.chat_postMessage(channel=id_, text="last")
    await web.conversations_archive(channel=id_)
    assert await refused(web.conversations_archive(channel=id_)) == "already_archived"
    assert await refused(web.chat_postMessage(channel=id_, text="late")) == "is_archived"
    assert await refused(web.chat_update(channel=id_, ts=posted["ts"], text="late")) == "is_inactive"
    assert await refused(web.conversations_create(name="inc-1-crm")) == "name_taken"


async def test_a_private_channel_is_unknown_to_who_is_not_in_it(peer, web, ann):
    secret = peer.add_channel("secret", (ann.id,), private=True, bot=False)
    assert await refused(web.conversations_info(channel=secret)) == "channel_not_found"
    assert await refused(web.chat_postMessage(channel=secret, text="x")) == "channel_not_found"
    public = peer.add_channel("lobby", (ann.id,), bot=False)
    assert await refused(web.conversations_history(channel=public)) == "not_in_channel"
    peer.state.scopes.discard("chat:write.public")
    assert await refused(web.chat_postMessage(channel=public, text="x")) == "not_in_channel"
    peer.state.scopes.add("chat:write.public")
    await web.chat_postMessage(channel=public, text="x")


async def test_messages_are_edited_threaded_paged_and_found_by_metadata(web, channel, ann):
    first = await web.chat_postMessage(channel=channel, text="one", metadata=keyed("k1"))
    reply = await web.chat_postMessage(channel=channel, text="reply", thread_ts=first["ts"], metadata=keyed("k2"))
    for number in range(5):
        await web.chat_postMessage(channel=channel, text=f"more {number}")
    await web.chat_update(channel=channel, ts=first["ts"], text="one, edited")
    page = await web.conversations_history(channel=channel, limit=4, include_all_metadata=True)
    seen = list(page["messages"])
    while page.get("has_more"):
        cursor = page["response_metadata"]["next_cursor"]
        page = await web.conversations_history(channel=channel, limit=4, cursor=cursor, include_all_metadata=True)
        seen += page["messages"]
    assert [each["ts"] for each in seen] == sorted((each["ts"] for each in seen), reverse=True)
    assert reply["ts"] not in [each["ts"] for each in seen]
    found = next(each for each in seen if each.get("metadata", {}).get("event_payload") == {"key": "k1"})
    assert found["text"] == "one, edited" and found["reply_count"] == 1 and "edited" in found
    thread = await web.conversations_replies(channel=channel, ts=first["ts"])
    assert [each["text"] for each in thread["messages"]] == ["one, edited", "reply"]
    assert all("metadata" not in each for each in thread["messages"])
    later = await web.conversations_history(channel=channel, oldest=first["ts"], inclusive=True)
    assert len(later["messages"]) == 6
    assert await refused(web.chat_postMessage(channel=channel, text="x", thread_ts="1.000000")) == "thread_not_found"
    assert await refused(web.conversations_history(channel=channel, cursor="nonsense")) == "invalid_cursor"


async def test_blocks_that_an_update_leaves_out_stay_and_an_empty_list_takes_them_away(web, channel, ann):
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "shown"}}]
    posted = await web.chat_postMessage(channel=channel, text="plain", blocks=blocks)
    await web.chat_update(channel=channel, ts=posted["ts"], text="new")
    assert said(ann.sees(channel)[-1]) == "shown"
    await web.chat_update(channel=channel, ts=posted["ts"], text="new", blocks=[])
    assert said(ann.sees(channel)[-1]) == "new"
    assert await refused(web.chat_update(channel=channel, ts=posted["ts"], text="x" * 4001)) == "msg_too_long"


async def test_invalid_blocks_are_refused_in_slacks_words(peer, web, channel):
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
    with pytest.raises(SlackApiError) as error:
        await web.chat_postMessage(channel=channel, text="x", blocks=blocks)
    assert error.value.response["error"] == "invalid_blocks"
    assert error.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]
    long = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}] * 5
    assert await refused(web.chat_postMessage(channel=channel, text="x", blocks=long)) == "msg_blocks_too_long"
    assert await refused(web.api_call("chat.postMessage", json={"channel": channel})) == "no_text"
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{peer.api_url}chat.postMessage",
            headers={"Authorization": f"Bearer {peer.bot_token}"},
            data={"channel": channel, "text": "by form", "blocks": "[not json"},
        )
        assert answer.json()["error"] == "invalid_blocks_format"
        nobody = await http.post(f"{peer.api_url}auth.test")
        assert (nobody.status_code, nobody.json()) == (200, {"ok": False, "error": "not_authed"})
        token = {"token": peer.app_token}
        opened = await http.post(f"{peer.api_url}apps.connections.open", data=token)
        assert opened.json()["error"] == "invalid_auth"


async def test_pins_bookmarks_reactions_people_and_groups(peer, web, channel, ann):
    posted = await web.chat_postMessage(channel=channel, text="card")
    await web.pins_add(channel=channel, timestamp=posted["ts"])
    assert await refused(web.pins_add(channel=channel, timestamp=posted["ts"])) == "already_pinned"
    pinned = await web.pins_list(channel=channel)
    assert [each["message"]["ts"] for each in pinned["items"]] == [posted["ts"]]
    await web.pins_remove(channel=channel, timestamp=posted["ts"])
    await web.bookmarks_add(channel_id=channel, title="Run", type="link", link="https://stanch.example/run")
    assert (
        await refused(web.bookmarks_add(channel_id=channel, title="x", type="link", link="ftp://x")) == "invalid_link"
    )
    with pytest.raises(NotAcknowledged, match="No socket"):
        await ann.react(channel, posted["ts"], "pencil")
    shown = await web.reactions_get(channel=channel, timestamp=posted["ts"])
    assert shown["message"]["reactions"] == [{"name": "pencil", "users": [ann.id], "count": 1}]
    assert (await web.users_lookupByEmail(email="ANN@acme.example"))["user"]["id"] == ann.id
    assert await refused(web.users_lookupByEmail(email="no@acme.example")) == "users_not_found"
    group = peer.add_usergroup("ir", "Incident response", (ann.id,))
    assert (await web.usergroups_users_list(usergroup=group))["users"] == [ann.id]
    assert await refused(web.usergroups_users_list(usergroup="S0")) == "no_such_subteam"
    dm = await web.conversations_open(users=ann.id)
    direct = await web.chat_postMessage(channel=ann.id, text="you are paged")
    assert direct["channel"] == dm["channel"]["id"] == ann.dm()


async def test_a_tier_and_a_channel_have_their_pace(peer, channel):
    client = AsyncWebClient(token=peer.bot_token, base_url=peer.api_url)
    peer.rates.limited, peer.rates.burst = True, 2
    try:
        for _ in range(2):
            await client.chat_postMessage(channel=channel, text="x")
        with pytest.raises(SlackApiError) as error:
            await client.chat_postMessage(channel=channel, text="x")
        assert error.value.response.status_code == 429
        assert error.value.response.headers["Retry-After"] == "1"
        CLOCK.ahead += 1
        await client.chat_postMessage(channel=channel, text="x")
        for _ in range(20):
            await client.conversations_setTopic(channel=channel, topic="x")
        assert await refused(client.conversations_setTopic(channel=channel, topic="x")) == "ratelimited"
        CLOCK.ahead += 60
        await client.conversations_setTopic(channel=channel, topic="x")
    finally:
        peer.rates.limited = False


async def test_lost_answers_leave_the_message_and_lost_requests_do_not(peer, web, channel, faults):
    once = AsyncWebClient(token=peer.bot_token, base_url=peer.api_url, retry_handlers=[])
    for kind, error, stands in (
        ("error_after_commit", SlackApiError, 1),
        ("drop_after_commit", Exception, 1),
        ("drop", Exception, 0),
        ("status", SlackApiError, 0),
        ("error", SlackApiError, 0),
    ):
        faults.add(kind, method="chat.postMessage", channel=channel)
        with pytest.raises(error):
            await once.chat_postMessage(channel=channel, text=kind, metadata=keyed(kind))
        assert [each.committed for each in posts(peer, kind)] == [bool(stands)]
        found = [each for each in peer.state.channels[channel].standing() if each.metadata == keyed(kind)]
        assert len(found) == stands
    # The SDK's own handler of connection errors sends again what may stand: who must not post twice goes without it.
    again = AsyncConnectionErrorRetryHandler(interval_calculator=FixedValueRetryIntervalCalculator(fixed_internal=0))
    default = AsyncWebClient(token=peer.bot_token, base_url=peer.api_url, retry_handlers=[again])
    faults.add("drop_after_commit", method="chat.postMessage", channel=channel)
    await default.chat_postMessage(channel=channel, text="x", metadata=keyed("twice"))
    assert [each.committed for each in posts(peer, "twice")] == [True, True]
    faults.add("rate_limit", method="chat.postMessage", seconds=7)
    with pytest.raises(SlackApiError) as error:
        await web.chat_postMessage(channel=channel, text="x")
    assert (error.value.response.status_code, error.value.response.headers["Retry-After"]) == (429, "7")


async def test_while_it_is_down_nothing_answers_and_then_everything_is_as_before(peer, web, channel, ann, faults):
    before = len(ann.sees(channel))
    faults.take_down()
    once = AsyncWebClient(token=peer.bot_token, base_url=peer.api_url, retry_handlers=[])
    with pytest.raises(Exception, match=r"isconnected|reset"):
        await once.chat_postMessage(channel=channel, text="lost")
    faults.bring_up()
    assert len(ann.sees(channel)) == before
    await web.chat_postMessage(channel=channel, text="back")


async def test_a_held_call_waits_until_it_is_released(web, channel, ann, faults):
    faults.add("hold_after_commit", method="chat.postMessage")
    posting = asyncio.create_task(web.chat_postMessage(channel=channel, text="held"))
    await ann.until(lambda: faults.held)
    assert said(ann.sees(channel)[-1]) == "held" and not posting.done()
    assert faults.release() == 1
    await posting


async def test_the_control_side_tells_the_state_and_acts(peer, channel, ann, web):
    await web.chat_postEphemeral(channel=channel, user=ann.id, text="just for you")
    async with httpx.AsyncClient(base_url=peer.url, trust_env=False) as http:
        told = await http.post("/_peer/act", json={"user": ann.id, "do": "say", "channel": channel, "text": "hello"})
        ts = told.json()["result"]
        state = (await http.get("/_peer/state")).json()
        shown = next(each for each in state["channels"] if each["id"] == channel)
        assert shown["messages"][-1]["ts"] == ts and shown["messages"][-1]["text"] == "hello"
        assert shown["ephemerals"][-1]["seen_by"] == ann.id
        nothing = {"user": ann.id, "do": "click", "channel": channel, "ts": ts, "action": "Approve"}
        failed = await http.post("/_peer/act", json=nothing)
        assert failed.status_code == 409 and "0 elements" in failed.json()["error"]
        assert (await http.post("/_peer/faults", json={"kind": "nonsense"})).status_code == 400
        assert (await http.get("/_peer/calls")).json()[-1]["method"] == "chat.postEphemeral"
