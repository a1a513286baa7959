"""How the simulated workspace reaches an app: its manifest, several sockets, retries of events, and being away."""

import asyncio
import json

import pytest
from aiohttp import ClientSession, WSServerHandshakeError, web

from worker.slack.manifest import manifest
from worker.slack.peer.delivery import NotAcknowledged
from worker.slack.peer.driver import Person
from worker.slack.peer.installed import BadManifest
from worker.slack.peer.screen import CannotDo, said
from worker.slack.peer.server import SlackPeer


@pytest.fixture(scope="module")
def peer():
    """A workspace with the app as its manifest declares it."""
    with SlackPeer() as served:
        served.install(manifest())
        served.delivery.ack_seconds = 0.15
        served.delivery.retry_seconds = (0.0, 0.0, 0.0)
        yield served


@pytest.fixture(scope="module")
def ann(peer):
    """Ann."""
    return Person(peer, peer.add_user("ann", "Ann Ode", "ann@acme.example"))


@pytest.fixture(scope="module")
def channel(peer, ann):
    """A channel with Ann and the app."""
    return peer.add_channel("ops", (ann.id,))


class Listener:
    """An app by hand, to see exactly what is sent: sockets, and a request URL."""

    def __init__(self, peer: SlackPeer) -> None:
        """For this workspace."""
        self.peer = peer
        self.got: list[dict] = []
        self.requests: list[web.Request] = []
        self.answers: list[web.Response] = []
        self.silent = 0

    async def socket(self, session: ClientSession):
        """One connection; each envelope is acknowledged, but for the ``silent`` next."""
        headers = {"Authorization": f"Bearer {self.peer.app_token}"}
        async with session.post(f"{self.peer.api_url}apps.connections.open", headers=headers) as answer:
            url = (await answer.json())["url"]
        connection = await session.ws_connect(url)
        first = await connection.receive_json()
        task = asyncio.create_task(self._listen(connection))
        return connection, first, task

    async def _listen(self, connection) -> None:
        async for message in connection:
            envelope = json.loads(message.data)
            self.got.append(envelope)
            if self.silent:
                self.silent -= 1
            elif "envelope_id" in envelope:
                await connection.send_json({"envelope_id": envelope["envelope_id"]})

    async def handle(self, request: web.Request) -> web.Response:
        """The request URL: answers as told, else 200."""
        self.got.append(await request.json() if request.content_type == "application/json" else {})
        self.requests.append(request)
        return self.answers.pop(0) if self.answers else web.Response()


@pytest.fixture
async def session():
    """A client session."""
    async with ClientSession() as made:
        yield made


async def test_the_manifest_says_what_people_can_call(peer, ann, channel, session):
    listener = Listener(peer)
    _, hello, task = await listener.socket(session)
    assert hello["type"] == "hello" and hello["num_connections"] == 1
    await ann.command("note @ann saw <b> & https://x.example/y in #ops", channel)
    assert listener.got[0]["type"] == "slash_commands" and listener.got[0]["accepts_response_payload"] is True
    payload = listener.got[0]["payload"]
    assert (payload["command"], payload["channel_name"]) == ("/stanch", "ops")
    said_ = f"note <@{ann.id}|ann> saw &lt;b&gt; &amp; <https://x.example/y> in <#{channel}|ops>"
    assert payload["text"] == said_
    with pytest.raises(CannotDo, match="not a valid command"):
        await ann.command("/other", channel)
    with pytest.raises(CannotDo, match="no global shortcut"):
        await ann.shortcut("start_from_message")
    task.cancel()


def test_a_manifest_that_slack_would_refuse_is_refused(peer):
    broken = manifest()
    broken["oauth_config"]["scopes"]["bot"].remove("reactions:read")
    with pytest.raises(BadManifest, match="reaction_added needs the scope reactions:read"):
        peer.install(broken)
    assert "reactions:read" in peer.state.scopes


async def test_there_are_ten_sockets_and_each_gets_some(peer, ann, channel, session):
    await ann.until(lambda: peer.connections == 0)
    listener = Listener(peer)
    made = [await listener.socket(session) for _ in range(10)]
    assert [hello["num_connections"] for _, hello, _ in made] == list(range(1, 11))
    _, refused, task = await listener.socket(session)
    assert (refused["type"], refused["reason"]) == ("disconnect", "too_many_websockets")
    for _ in range(10):
        await ann.command("help", channel)
    assert len(listener.got) == 10
    assert sorted(each.delivered for each in peer.delivery.sockets) == [1] * 10
    for connection, _, listening in [*made, (None, None, task)]:
        listening.cancel()
        if connection is not None:
            await connection.close()


async def test_an_event_that_nobody_acknowledged_comes_again_and_a_command_does_not(peer, ann, channel, session):
    await ann.until(lambda: peer.connections == 0)
    listener = Listener(peer)
    connection, _, task = await listener.socket(session)
    ts = await ann.say(channel, "look")
    listener.silent = 2
    with pytest.raises(NotAcknowledged):
        await ann.react(channel, ts, "eyes")
    await ann.until(lambda: len(listener.got) == 3)
    assert [(each["retry_attempt"], each["retry_reason"]) for each in listener.got] == [
        (0, ""),
        (1, "timeout"),
        (2, "timeout"),
    ]
    assert len({each["payload"]["event_id"] for each in listener.got}) == 1
    assert not any(each["accepts_response_payload"] for each in listener.got)
    listener.silent = 1
    with pytest.raises(NotAcknowledged):
        await ann.command("help", channel)
    assert len(listener.got) == 4
    assert 'failed with the error "dispatch_failed"' in said(ann.sees(channel)[-1])
    task.cancel()
    await connection.close()


async def test_requests_are_retried_with_a_reason_until_told_not_to(peer, ann, channel):
    await ann.until(lambda: peer.connections == 0)
    listener = Listener(peer)
    app = web.Application()
    app.router.add_post("/slack/events", listener.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    peer.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    try:
        ts = await ann.say(channel, "look again")
        listener.answers = [web.Response(status=503), web.Response(status=500)]
        with pytest.raises(NotAcknowledged, match="HTTP 503"):
            await ann.react(channel, ts, "eyes")
        await ann.until(lambda: len(listener.requests) == 3)
        headers = [each.headers for each in listener.requests]
        assert [(each.get("X-Slack-Retry-Num"), each.get("X-Slack-Retry-Reason")) for each in headers] == [
            (None, None),
            ("1", "http_error"),
            ("2", "http_error"),
        ]
        listener.answers = [web.Response(status=500, headers={"X-Slack-No-Retry": "1"})]
        with pytest.raises(NotAcknowledged):
            await ann.react(channel, ts, "wave")
        await asyncio.sleep(0.05)
        assert len(listener.requests) == 4
        await runner.cleanup()
        with pytest.raises(NotAcknowledged, match="nobody answers"):
            await ann.command("help", channel)
    finally:
        peer.request_url = None
        await runner.cleanup()


async def test_while_the_workspace_is_away_sockets_drop_and_none_opens(peer, ann, channel, session):
    listener = Listener(peer)
    connection, _, task = await listener.socket(session)
    await ann.command("help", channel)
    ticket = peer.do(lambda: peer.delivery.ticket(peer.url))
    peer.faults.take_down()
    await ann.until(lambda: peer.connections == 0)
    with pytest.raises(Exception, match=r"isconnected|reset"):
        await listener.socket(session)
    with pytest.raises(WSServerHandshakeError):
        await session.ws_connect(ticket)
    with pytest.raises(NotAcknowledged, match="down"):
        await ann.command("help", channel)
    peer.faults.bring_up()
    again, _, task_again = await listener.socket(session)
    await ann.command("help", channel)
    for each in (task, task_again):
        each.cancel()
    await again.close()
    await connection.close()
