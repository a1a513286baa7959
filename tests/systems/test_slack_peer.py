"""The simulated workspace speaks to the real SDK and the real bolt, over a socket and over signed requests alike."""

import asyncio
import contextlib

import pytest
import uvicorn
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.routing import Route

from worker.slack.peer.delivery import NotAcknowledged
from worker.slack.peer.driver import Person, together
from worker.slack.peer.screen import CannotDo, said
from worker.slack.peer.server import SlackPeer


@pytest.fixture(scope="module")
def peer():
    """A workspace with Ann, Bob, a stranger, and a channel."""
    with SlackPeer() as served:
        served.rates.limited = False
        yield served


@pytest.fixture(scope="module")
def people(peer):
    """Ann and Bob in #general, Eve from elsewhere in it too."""
    ann = peer.add_user("ann", "Ann Ode", "ann@acme.example")
    bob = peer.add_user("bob", "Bob Ray", "bob@acme.example")
    eve = peer.add_user("eve", "Eve Far", "eve@far.example", stranger=True)
    channel = peer.add_channel("general", (ann, bob, eve))
    return Person(peer, ann), Person(peer, bob), Person(peer, eve), channel


@pytest.fixture(scope="module")
def web(peer):
    """The real client."""
    return AsyncWebClient(token=peer.bot_token, base_url=peer.api_url)


def text(said_: str) -> dict:
    """A plain text object."""
    return {"type": "plain_text", "text": said_}


def button(label: str, action: str, value: str = "1", **more) -> dict:
    """A block with one button."""
    element = {"type": "button", "text": text(label), "action_id": action, "value": value, **more}
    return {"type": "actions", "block_id": "b1", "elements": [element]}


VIEW = {
    "type": "modal",
    "callback_id": "why",
    "title": text("Why"),
    "submit": text("Send"),
    "private_metadata": '{"card":"c1"}',
    "notify_on_close": True,
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": text("Reason"),
            "element": {"type": "plain_text_input", "action_id": "text", "min_length": 3},
        },
        {
            "type": "input",
            "block_id": "scope",
            "label": text("Scope"),
            "optional": True,
            "element": {
                "type": "multi_static_select",
                "action_id": "some",
                "options": [{"text": text(each), "value": each.lower()} for each in ("One", "Two", "Three")],
            },
        },
    ],
}


class App:
    """A bolt app that notes every payload, and does one thing for each kind."""

    def __init__(self, peer: SlackPeer) -> None:
        """For this workspace."""
        self.got: list[dict] = []
        self.client = AsyncWebClient(token=peer.bot_token, base_url=peer.api_url)
        self.bolt = AsyncApp(client=self.client, signing_secret=peer.signing_secret)
        self.answer: dict = {}
        self.bolt.command("/stanch")(self._command)
        self.bolt.action("approve")(self._action)
        self.bolt.view("why")(self._view)
        self.bolt.view_closed("why")(self._seen)
        self.bolt.shortcut("incident")(self._seen)
        self.bolt.event("reaction_added")(self._seen)
        self.bolt.event("app_home_opened")(self._home)

    async def _seen(self, ack, body) -> None:
        self.got.append(body)
        await ack()

    async def _command(self, ack, body, client) -> None:
        self.got.append(body)
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=VIEW)

    async def _action(self, ack, body, respond) -> None:
        self.got.append(body)
        await ack()
        await respond("Approved by Ann", replace_original=True)

    async def _view(self, ack, body) -> None:
        self.got.append(body)
        await ack(**self.answer)

    async def _home(self, ack, body, client, event) -> None:
        self.got.append(body)
        await ack()
        view = {"type": "home", "blocks": [{"type": "section", "text": text("Nothing waits")}]}
        await client.views_publish(user_id=event["user"], view=view)


@contextlib.asynccontextmanager
async def over_socket(peer: SlackPeer):
    """An app connected in Socket Mode."""
    app = App(peer)
    handler = AsyncSocketModeHandler(app.bolt, peer.app_token, ping_interval=0.2)
    await handler.connect_async()
    try:
        yield app
    finally:
        await handler.close_async()


@contextlib.asynccontextmanager
async def over_http(peer: SlackPeer):
    """An app behind a request URL."""
    app = App(peer)
    handler = AsyncSlackRequestHandler(app.bolt)
    asgi = Starlette(routes=[Route("/slack/events", handler.handle, methods=["POST"])])
    server = uvicorn.Server(
        uvicorn.Config(asgi, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none", http="h11")
    )
    serving = asyncio.create_task(server.serve())
    for _ in range(2000):
        if server.started:
            break
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    peer.request_url = f"http://127.0.0.1:{port}/slack/events"
    try:
        yield app
    finally:
        peer.request_url = None
        server.should_exit = True
        await serving


async def a_day(peer, app, people) -> list[dict]:
    """Ann does one of each; what the app got."""
    ann, _, _, channel = people
    await ann.command("start crm", channel)
    await ann.until(lambda: ann.view)
    with pytest.raises(CannotDo, match="at least 3"):
        await ann.submit({"Reason": "x"})
    app.answer = {"response_action": "errors", "errors": {"reason": "say more"}}
    assert await ann.submit({"Reason": "because", "Scope": ["Two"]}) == {"Reason": "say more"}
    assert ann.view is not None
    app.answer = {}
    assert await ann.submit({"Reason": "because of that"}) == {}
    assert ann.view is None
    await ann.command("start crm", channel)
    await ann.until(lambda: ann.view)
    await ann.close()
    confirm = {"title": text("Sure?"), "text": text("412 sessions end"), "confirm": text("Yes"), "deny": text("No")}
    posted = await app.client.chat_postMessage(
        channel=channel, text="Approve?", blocks=[button("Approve", "approve", "card-1", confirm=confirm)]
    )
    assert await ann.click(channel, posted["ts"], "Approve", confirm=False) is None
    await ann.click(channel, posted["ts"], "Approve")
    assert ann.dialogs[-1]["text"]["text"] == "412 sessions end"
    await ann.until_sees(channel, "Approved by Ann")
    with pytest.raises(CannotDo):
        await ann.click(channel, posted["ts"], "Approve")
    await ann.click(channel, posted["ts"], "Approve", rendering=0)
    await ann.shortcut("incident", channel, posted["ts"])
    await ann.react(channel, posted["ts"], ":pencil:")
    await ann.open_home()
    await ann.until(lambda: ann.home)
    assert said(ann.home) == "Nothing waits"
    return app.got


def bare(payload):
    """A payload's shape, without what is new each time."""
    if isinstance(payload, dict):
        return {name: bare(each) for name, each in payload.items() if name not in ("view", "message")}
    return [bare(each) for each in payload] if isinstance(payload, list) else type(payload).__name__


async def test_bolt_gets_the_same_payloads_over_a_socket_and_over_http(peer, people):
    async with over_socket(peer) as app:
        over_the_socket = list(await a_day(peer, app, people))
    await people[0].until(lambda: peer.connections == 0)
    peer.state.users[people[0].id].home = None
    async with over_http(peer) as app:
        over_signed_requests = list(await a_day(peer, app, people))
    kinds = [each.get("type") or each["command"] for each in over_the_socket]
    assert kinds == [
        "/stanch",
        "view_submission",
        "view_submission",
        "/stanch",
        "view_closed",
        "block_actions",
        "block_actions",
        "message_action",
        "event_callback",
        "event_callback",
    ]
    assert bare(over_the_socket) == bare(over_signed_requests)


async def test_a_click_tells_who_where_and_what(peer, people, web):
    ann, _, eve, channel = people
    posted = await web.chat_postMessage(channel=channel, text="?", blocks=[button("Approve", "approve", "card-7")])
    async with over_socket(peer) as app:
        copied = await ann.forward(channel, posted["ts"], ann.dm())
        await ann.click(channel, posted["ts"], "approve")
        await eve.click(channel, posted["ts"], "Approve", rendering=0)
        await ann.click(ann.dm(), copied, "Approve")
    first, foreign, forwarded = app.got
    assert first["user"]["id"] == ann.id and first["user"]["team_id"] == first["team"]["id"] == peer.team_id
    assert first["container"] == {
        "type": "message",
        "message_ts": posted["ts"],
        "channel_id": channel,
        "is_ephemeral": False,
    }
    assert first["actions"][0]["value"] == "card-7" and first["message"]["text"] == "?"
    assert foreign["team"]["id"] != peer.team_id
    assert forwarded["container"]["type"] == "message_attachment"
    assert forwarded["channel"] == {"id": ann.dm(), "name": "directmessage"}


async def test_an_unacknowledged_click_is_told_and_an_event_is_sent_again(peer, people, web):
    ann, _, _, channel = people
    posted = await web.chat_postMessage(channel=channel, text="?", blocks=[button("Approve", "approve")])
    with pytest.raises(NotAcknowledged, match="No socket"):
        await ann.click(channel, posted["ts"], "approve")
    peer.delivery.retry_seconds = (0.0,)
    async with over_socket(peer) as app:
        peer.faults.add("unacknowledged", method="interactive")
        with pytest.raises(NotAcknowledged):
            await ann.click(channel, posted["ts"], "approve")
        peer.faults.add("unacknowledged", method="events_api")
        with pytest.raises(NotAcknowledged):
            await ann.react(channel, posted["ts"], "eyes")
        await ann.until(lambda: len(app.got) >= 3)
    assert app.got[1]["event_id"] == app.got[2]["event_id"]
    assert peer.sent[-1].attempt == 1


async def test_duplicates_replays_and_ten_clicks_at_once_arrive_as_such(peer, people, web):
    ann, bob, _, channel = people
    posted = await web.chat_postMessage(channel=channel, text="?", blocks=[button("Approve", "approve")])
    async with over_socket(peer) as app:
        peer.faults.add("duplicate", method="interactive")
        await ann.click(channel, posted["ts"], "approve")
        await ann.until(lambda: len(app.got) == 2)
        assert app.got[0] == app.got[1]
        await peer.replay()
        await ann.until(lambda: len(app.got) == 3)
        await together(*(each.click(channel, posted["ts"], "approve", rendering=0) for each in (ann, bob) * 5))
        assert len(app.got) == 13
        assert len({each["trigger_id"] for each in app.got}) == 11


async def test_a_delivery_can_be_late(peer, people, web):
    ann, _, _, channel = people
    posted = await web.chat_postMessage(channel=channel, text="?", blocks=[button("Approve", "approve")])
    async with over_socket(peer) as app:
        peer.faults.add("late", method="interactive", seconds=0.05)
        clicking = asyncio.create_task(ann.click(channel, posted["ts"], "approve"))
        await asyncio.sleep(0.01)
        assert app.got == []
        await clicking
        assert len(app.got) == 1


async def patiently(ann: Person, text: str, channel: str) -> None:
    """A command, tried again as people do: after a drop the SDK may connect twice before it settles."""
    for _ in range(100):
        with contextlib.suppress(NotAcknowledged):
            await ann.command(text, channel)
            return
        await asyncio.sleep(0.05)
    raise AssertionError("The app never came back.")


async def test_dropped_and_refreshed_sockets_come_back(peer, people):
    ann, _, _, channel = people
    async with over_socket(peer) as app:
        peer.drop_sockets()
        assert peer.connections == 0
        await patiently(ann, "after the drop", channel)
        await peer.refresh_sockets()
        await patiently(ann, "after the refresh", channel)
    assert {"after the drop", "after the refresh"} <= {each["text"] for each in app.got}


async def test_a_replayed_request_is_the_same_to_the_byte(peer, people):
    ann = people[0]
    async with over_http(peer) as app:
        assert await peer.inside(peer.delivery.verify(peer.request_url))
        await ann.shortcut("incident")
        assert await peer.replay() == 200
        assert app.got[0] == app.got[1]


async def test_people_see_only_what_is_theirs(peer, people, web):
    ann, bob, eve, channel = people
    await web.chat_postEphemeral(channel=channel, user=ann.id, text="for Ann alone")
    assert any("for Ann alone" in said(each) for each in ann.sees(channel))
    assert not any("for Ann alone" in said(each) for each in bob.sees(channel))
    secret = peer.add_channel("secret", (ann.id,), private=True)
    with pytest.raises(CannotDo):
        bob.sees(secret)
    with pytest.raises(CannotDo):
        eve.sees(peer.add_channel("open", (ann.id,)))


async def test_a_file_is_shared_as_a_message(peer, people, web):
    ann, _, _, channel = people
    done = await web.files_upload_v2(filename="review.md", content="# Review", channel=channel, title="Review")
    assert peer.state.files[done["file"]["id"]].content == b"# Review"
    (shown,) = ann.sees(channel)[-1]["files"]
    assert (shown["id"], shown["title"], shown["size"]) == (done["file"]["id"], "Review", 8)
    listed = await web.files_list(channel=channel)
    assert [each["id"] for each in listed["files"]] == [shown["id"]]
    assert (await web.files_info(file=shown["id"]))["file"]["name"] == "review.md"
    with pytest.raises(SlackApiError, match="file_not_found"):
        await web.files_completeUploadExternal(files=[{"id": "F0NONE", "title": "x"}], channel_id=channel)


async def test_tokens_and_scopes_are_checked(peer, people, web):
    channel = people[3]
    for token, error in (("xoxb-wrong", "invalid_auth"), (peer.app_token, "not_allowed_token_type")):
        with pytest.raises(SlackApiError) as refused:
            await AsyncWebClient(token=token, base_url=peer.api_url).auth_test()
        assert refused.value.response["error"] == error
    peer.state.scopes.discard("pins:write")
    try:
        with pytest.raises(SlackApiError) as refused:
            await web.pins_add(channel=channel, timestamp="1.000000")
    finally:
        peer.state.scopes.add("pins:write")
    assert refused.value.response["error"] == "missing_scope" and refused.value.response["needed"] == "pins:write"
    who = await web.auth_test()
    assert who["team_id"] == peer.team_id and "chat:write" in who.headers["x-oauth-scopes"]
