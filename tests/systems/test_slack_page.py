"""The page of the simulated workspace, used as a person uses it: look, fill in a form, press, look again."""

import asyncio
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from worker.slack.peer.control import snapshot
from worker.slack.peer.server import SlackPeer
from worker.slack.peer.transcript import as_html, as_text

HOSTILE = "<script>alert(1)</script><!channel> *bold*"
CONFIRM = {
    "title": {"type": "plain_text", "text": "Sure?"},
    "text": {"type": "mrkdwn", "text": "It cannot be *undone*."},
    "confirm": {"type": "plain_text", "text": "Yes, revoke"},
    "deny": {"type": "plain_text", "text": "Not now"},
}
CARD = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "Revoke *28* tokens?"}},
    {
        "type": "actions",
        "block_id": "b",
        "elements": [
            {
                "type": "button",
                "action_id": "approve",
                "value": "card1",
                "style": "primary",
                "text": {"type": "plain_text", "text": "Approve"},
                "confirm": CONFIRM,
            },
            {
                "type": "button",
                "action_id": "deny",
                "value": "card1",
                "text": {"type": "plain_text", "text": "Deny"},
            },
        ],
    },
]
VIEW = {
    "type": "modal",
    "callback_id": "why",
    "title": {"type": "plain_text", "text": "Why not?"},
    "submit": {"type": "plain_text", "text": "Send"},
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": {"type": "plain_text", "text": "Reason"},
            "element": {"type": "plain_text_input", "action_id": "value", "multiline": True},
        },
        {
            "type": "input",
            "block_id": "kind",
            "label": {"type": "plain_text", "text": "Kind"},
            "optional": True,
            "element": {
                "type": "static_select",
                "action_id": "value",
                "options": [{"text": {"type": "plain_text", "text": "One"}, "value": "one"}],
            },
        },
    ],
}


class Forms(HTMLParser):
    """Every form of a page: its hidden and filled fields, and the labels of its buttons."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[dict] = []
        self.by_id: dict[str, dict] = {}
        self._open = self._button = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self._open = {"action": given.get("action", ""), "fields": {}, "labels": []}
            self.forms.append(self._open)
            self.by_id[given.get("id", "")] = self._open
        form = self.by_id.get(given["form"]) if given.get("form") else self._open
        if tag in ("input", "select", "textarea") and form is not None and given.get("name"):
            form["fields"][given["name"]] = given.get("value", "")
        if tag == "button":
            self._button = form

    def handle_endtag(self, tag):
        if tag == "form":
            self._open = None
        if tag == "button":
            self._button = None

    def handle_data(self, data):
        if self._button is not None:
            self._button["labels"].append(data)


class Browser:
    """A person at the page; ``text`` is what it shows."""

    def __init__(self, url: str, person: str) -> None:
        self.client = httpx.AsyncClient(base_url=url, follow_redirects=True, trust_env=False)
        self.person, self.text, self.url = person, "", ""

    async def look(self, channel: str, **more: str) -> str:
        return await self._shown(await self.client.get("/", params={"as": self.person, "channel": channel, **more}))

    async def press(self, label: str, **filled: str) -> str:
        form = next(each for each in reversed(Forms(self.text).forms) if label in each["labels"])
        assert set(filled) <= set(form["fields"])
        return await self._shown(await self.client.post(form["action"], data={**form["fields"], **filled}))

    async def _shown(self, answer: httpx.Response) -> str:
        assert answer.status_code == 200, answer.text
        self.text, self.url = answer.text, str(answer.url)
        return self.text


@pytest.fixture
async def scene():
    """A workspace with a bolt app, two people, a channel with a card in it, and a stranger."""
    with SlackPeer() as peer:
        peer.rates.limited = False
        ann, bob = (peer.add_user(name, name.title(), f"{name}@acme.example") for name in ("ann", "bob"))
        peer.add_user("eve", "Eve", "eve@far.example", stranger=True)
        channel = peer.add_channel("inc-1", (ann, bob), private=True)
        web = AsyncWebClient(token=peer.bot_token, base_url=peer.api_url)
        app = AsyncApp(client=web, signing_secret=peer.signing_secret)
        heard: list[dict] = []

        async def approve(ack, body, client):
            await ack()
            heard.append(body)
            await client.chat_update(channel=channel, ts=body["message"]["ts"], text="Approved", blocks=[])

        async def deny(ack, body, client):
            await ack()
            await client.views_open(trigger_id=body["trigger_id"], view=VIEW)

        async def why(ack, body):
            heard.append(body)
            await ack()

        async def severity(ack, body, client):
            await ack()
            chosen = body["actions"][0]["selected_option"]["value"]
            await client.chat_postMessage(channel=channel, text=f"Severity {chosen}")

        async def home(event, client):
            await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": CARD})

        async def seen(ack):
            await ack()

        async def command(ack, respond, body):
            await ack()
            heard.append(body)
            await respond(f"You said {body['text']}")

        app.action("approve")(approve)
        app.action("deny")(deny)
        app.action("severity")(severity)
        app.event("app_home_opened")(home)
        app.event("reaction_added")(seen)
        app.view("why")(why)
        app.command("/stanch")(command)
        handler = AsyncSocketModeHandler(app, peer.app_token)
        await handler.connect_async()
        posted = await web.chat_postMessage(channel=channel, text="Decide", blocks=CARD)
        browser = Browser(peer.url, ann)
        try:
            yield peer, web, browser, channel, posted["ts"], heard
        finally:
            await browser.client.aclose()
            await handler.close_async()


async def test_a_card_is_decided_on_the_page_after_its_confirmation(scene):
    peer, _, browser, channel, _, heard = scene
    assert "Revoke <b>28</b> tokens?" in await browser.look(channel)
    asked = await browser.press("Approve")
    assert "It cannot be <b>undone</b>." in asked and not peer.sent
    shown = await browser.press("Yes, revoke")
    assert heard[0]["actions"][0]["value"] == "card1" and heard[0]["user"]["id"] == browser.person
    assert "Approved" in shown and "(edited)" in shown
    text = as_text(peer.do(lambda: snapshot(peer.state)), peer.sent, channel)
    lines = text.splitlines()
    clicked = next(number for number, line in enumerate(lines) if "Ann clicked [Approve]" in line)
    edited = next(number for number, line in enumerate(lines) if "Stanch edited the message" in line)
    assert "and confirmed" in lines[clicked] and "Revoke 28 tokens?" in text[: text.index("Ann clicked")]
    assert clicked < edited and "Approved" in lines[edited + 1]


async def test_a_modal_is_filled_in_and_sent(scene):
    peer, _, browser, channel, _, heard = scene
    await browser.look(channel)
    assert "Why not?" in await browser.press("Deny")
    refused = await browser.press("Send", **{"f:reason": ""})
    assert "please complete this required field" in refused and not heard
    shown = await browser.press("Send", **{"f:reason": "two\r\nlines <b>", "f:kind": "one"})
    state = heard[0]["view"]["state"]["values"]
    assert state["reason"]["value"]["value"] == "two\nlines <b>"
    assert state["kind"]["value"]["selected_option"]["value"] == "one" and "Why not?" not in shown
    assert "Ann submitted “Why not?”" in as_text(peer.do(lambda: snapshot(peer.state)), peer.sent)


async def test_a_command_is_answered_to_its_author_alone(scene):
    peer, _, browser, channel, _, _ = scene
    await browser.look(channel)
    assert "You said help" in await browser.press("Send", text="/stanch help")
    assert "Only visible to you" in await browser.look(channel)
    browser.person = next(each.id for each in peer.state.users.values() if each.name == "bob")
    assert "You said help" not in await browser.look(channel)
    browser.person = next(each.id for each in peer.state.users.values() if each.name == "eve")
    assert "Revoke" not in await browser.look(channel) and "inc-1" not in browser.text


async def test_what_is_new_is_marked_until_it_is_seen(scene):
    _, web, browser, channel, ts, _ = scene
    await browser.look(channel)
    await web.chat_postMessage(channel=channel, text="More", thread_ts=ts)
    assert '<span class="badge">1</span>' in await browser.look("home")
    assert "1 reply" in await browser.look(channel, thread=ts) and "More" in browser.text
    assert "badge" not in await browser.look("home")


async def test_home_is_drawn_and_its_buttons_work(scene):
    _, _, browser, channel, _, _ = scene
    await browser.look(channel)
    assert "Revoke <b>28</b> tokens?" in await browser.press("🏠 Stanch: Home") and "channel=home" in browser.url
    assert "It cannot be <b>undone</b>." in await browser.press("Approve")
    await browser.look("home")
    assert "Why not?" in await browser.press("Deny")
    assert "Why not?" not in await browser.press("Cancel")


async def test_selects_files_and_reactions_are_shown_and_used(scene):
    peer, web, browser, channel, _, _ = scene
    menu = {
        "type": "static_select",
        "action_id": "severity",
        "options": [{"text": {"type": "plain_text", "text": each}, "value": each} for each in ("3", "4")],
    }
    await web.chat_postMessage(channel=channel, text="x", blocks=[{"type": "actions", "elements": [menu]}])
    await web.files_upload_v2(channel=channel, title="Hand-over <b>", filename="handover.md", content="# five lines")
    shown = await browser.look(channel)
    assert "Hand-over &lt;b&gt;" in shown and "handover.md · 12 bytes" in shown
    assert "Severity 4" in await browser.press("Choose", value="4")
    href = shown.partition("/page/file/")[2].partition('"')[0]
    file = await browser.client.get(f"/page/file/{href}")
    assert file.text == "# five lines" and file.headers["Content-Type"].startswith("text/plain")
    assert 'title="Ann"' in await browser.press("React", emoji=":eyes:") and "👀 1" in browser.text
    assert "Ann reacted with :eyes:" in as_text(peer.do(lambda: snapshot(peer.state)), peer.sent)


async def test_hostile_text_is_only_text_in_page_and_transcript(scene):
    peer, web, browser, channel, _, _ = scene
    await web.chat_postMessage(channel=channel, text=HOSTILE)
    await web.conversations_setTopic(channel=channel, topic=HOSTILE)
    state = peer.do(lambda: snapshot(peer.state))
    for text in (await browser.look(channel), as_html(state, peer.sent)):
        assert "<script>" not in text and "&lt;script&gt;alert(1)" in text


async def test_no_other_web_page_can_drive_it(scene):
    _, _, browser, channel, ts, heard = scene
    await browser.look(channel)
    form = next(each for each in Forms(browser.text).forms if "Approve" in each["labels"])
    post = {**form["fields"], "sure": "1"}
    for headers, data, status in (
        ({"Host": "evil.example"}, post, 421),
        ({"Origin": "http://evil.example"}, post, 403),
        ({"Origin": "null"}, post, 403),
        ({}, {**post, "token": ""}, 403),
        ({}, {**post, "token": "ü"}, 403),
    ):
        answer = await browser.client.post("/page/act", headers=headers, data=data)
        assert answer.status_code == status
    assert (await browser.client.get("/", headers={"Host": "evil.example"})).status_code == 421
    asking = parse_qs(urlsplit(browser.url).query) | {"do": ["click"], "ts": [ts], "action": ["deny"]}
    assert "Sure?" not in (await browser.client.get("/", params=asking)).text
    policy = (await browser.client.get("/")).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy
    await asyncio.sleep(0)
    assert heard == []
