"""Modals of the simulated workspace: triggers age and serve once, stacks are three high, hashes guard races."""

import json

import pytest
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from tests.systems.test_slack_peer_api import CLOCK, refused
from worker.slack.peer.driver import Person
from worker.slack.peer.screen import CannotDo, said
from worker.slack.peer.server import SlackPeer
from worker.slack.peer.view_answers import BadAnswer


def plain(text: str) -> dict:
    """A plain text object."""
    return {"type": "plain_text", "text": text}


def options(*labels: str) -> list[dict]:
    """Options whose values are their labels in small letters."""
    return [{"text": plain(each), "value": each.lower()} for each in labels]


def asked(label: str, element: dict, **more) -> dict:
    """An input whose block and action are named for its label."""
    name = label.lower()
    return {"type": "input", "block_id": name, "label": plain(label), "element": element | {"action_id": name}, **more}


def modal(title: str, *blocks: dict, **more) -> dict:
    """A modal that can be submitted."""
    return {
        "type": "modal",
        "callback_id": "form",
        "title": plain(title),
        "submit": plain("Send"),
        "blocks": list(blocks) or [{"type": "section", "text": plain(title)}],
        **more,
    }


FORM = modal(
    "Start",
    asked("Reason", {"type": "plain_text_input", "multiline": True}),
    asked("Count", {"type": "number_input", "is_decimal_allowed": False, "min_value": "1", "max_value": "9"}),
    asked(
        "Mode", {"type": "radio_buttons", "options": options("Live", "Exercise"), "initial_option": options("Live")[0]}
    ),
    asked("Region", {"type": "static_select", "options": options("EU", "US")}),
    asked("Teams", {"type": "multi_static_select", "options": options("A", "B", "C"), "max_selected_items": 2}),
    asked("Checks", {"type": "checkboxes", "options": options("One", "Two")}, optional=True),
    asked("When", {"type": "datetimepicker"}, optional=True),
    asked("Day", {"type": "datepicker", "initial_date": "2026-11-25"}),
    asked("Owner", {"type": "users_select"}, optional=True),
)


class Desk:
    """A bolt app whose shortcut hands over its trigger, and whose views are answered as a test says."""

    def __init__(self, peer: SlackPeer) -> None:
        """For this workspace."""
        self.client = AsyncWebClient(token=peer.bot_token, base_url=peer.api_url)
        self.app = AsyncApp(client=self.client, signing_secret=peer.signing_secret)
        self.trigger, self.answer, self.got = "", {}, {}
        self.app.shortcut("open")(self._keep)
        self.app.action("next")(self._keep)
        self.app.view("form")(self._submitted)
        self.handler = AsyncSocketModeHandler(self.app, peer.app_token, ping_interval=0.2)

    async def _keep(self, ack, body) -> None:
        self.trigger = body["trigger_id"]
        await ack()

    async def _submitted(self, ack, body) -> None:
        self.got = body
        await ack(**self.answer)


@pytest.fixture(scope="module")
def peer():
    """A workspace whose time the tests move."""
    with SlackPeer(clock=CLOCK) as served:
        served.rates.limited = False
        yield served


@pytest.fixture(scope="module")
async def desk(peer):
    """The app, connected."""
    made = Desk(peer)
    await made.handler.connect_async()
    yield made
    await made.handler.close_async()


@pytest.fixture
def ann(peer):
    """Somebody with no view open."""
    return Person(peer, peer.add_user("ann", "Ann Ode", "ann@acme.example"))


async def opened(desk: Desk, ann: Person, view: dict) -> dict:
    """A view that Ann has open."""
    await ann.shortcut("open")
    return (await desk.client.views_open(trigger_id=desk.trigger, view=view))["view"]


async def test_a_trigger_serves_once_and_for_three_seconds(desk, ann):
    await opened(desk, ann, modal("One"))
    assert await refused(desk.client.views_open(trigger_id=desk.trigger, view=modal("Two"))) == "exchanged_trigger_id"
    await ann.shortcut("open")
    CLOCK.ahead += 3.1
    assert await refused(desk.client.views_open(trigger_id=desk.trigger, view=modal("Two"))) == "expired_trigger_id"
    assert await refused(desk.client.views_open(trigger_id="1.2.x", view=modal("Two"))) == "invalid_trigger_id"
    assert ann.view["title"]["text"] == "One"


async def test_a_form_is_filled_in_by_label_and_read_as_state(desk, ann):
    desk.answer = {}
    await opened(desk, ann, FORM)
    given = {"Reason": "a\nb", "Count": 3, "Region": "EU", "Teams": ["A", "c"], "When": 1795595097, "Owner": ann.id}
    for wrong, why in (
        ({"Count": 10}, "at most 9"),
        ({"Count": "x"}, "no number"),
        ({"Region": "APAC"}, "none of the options"),
        ({"Teams": ["A", "B", "C"]}, "at most 2"),
        ({"Reason": ""}, "required"),
        ({"Nope": 1}, "0 inputs"),
    ):
        with pytest.raises(CannotDo, match=why):
            await ann.submit(given | wrong)
    assert await ann.submit(given) == {}
    values = desk.got["view"]["state"]["values"]
    assert values["reason"]["reason"] == {"type": "plain_text_input", "value": "a\nb"}
    assert values["count"]["count"]["value"] == "3"
    assert values["mode"]["mode"]["selected_option"]["value"] == "live"
    assert [each["value"] for each in values["teams"]["teams"]["selected_options"]] == ["a", "c"]
    assert values["checks"]["checks"] == {"type": "checkboxes", "selected_options": []}
    assert values["when"]["when"]["selected_date_time"] == 1795595097
    assert values["day"]["day"]["selected_date"] == "2026-11-25"
    assert values["owner"]["owner"]["selected_user"] == ann.id


async def test_answers_update_push_and_clear(desk, ann):
    await opened(desk, ann, modal("One"))
    desk.answer = {"response_action": "update", "view": modal("One again")}
    await ann.submit()
    assert ann.view["title"]["text"] == "One again"
    for title in ("Two", "Three"):
        desk.answer = {"response_action": "push", "view": modal(title)}
        await ann.submit()
    assert ann.view["title"]["text"] == "Three" and ann.view["previous_view_id"] != ann.view["root_view_id"]
    desk.answer = {"response_action": "push", "view": modal("Four")}
    with pytest.raises(BadAnswer, match="push_limit_reached"):
        await ann.submit()
    await ann.close()
    assert ann.view["title"]["text"] == "Two"
    desk.answer = {"response_action": "clear"}
    await ann.submit()
    assert ann.view is None


async def test_an_update_keeps_what_was_filled_in_where_the_input_stays(desk, ann):
    text = {"type": "plain_text_input"}
    await opened(desk, ann, modal("One", asked("Why", text), asked("Count", text), asked("Gone", text)))
    changed = modal("Two", asked("Why", text), asked("Count", {"type": "number_input", "is_decimal_allowed": False}))
    desk.answer = {"response_action": "update", "view": changed}
    await ann.submit({"Why": "because", "Count": "7", "Gone": "x"})
    assert ann.view["state"]["values"] == {"why": {"why": {"type": "plain_text_input", "value": "because"}}}
    with pytest.raises(CannotDo, match="Count: please complete"):
        await ann.submit()
    desk.answer = {"response_action": "update", "view": {k: v for k, v in modal("Done").items() if k != "submit"}}
    await ann.submit({"Count": 3})
    with pytest.raises(CannotDo, match="cannot be submitted"):
        await ann.submit()


async def test_errors_must_name_inputs_that_are_there(desk, ann):
    await opened(desk, ann, modal("One", asked("Why", {"type": "plain_text_input"})))
    desk.answer = {"response_action": "errors", "errors": {"nowhere": "x"}}
    with pytest.raises(BadAnswer, match="no input of this view"):
        await ann.submit({"Why": "x"})
    desk.answer = {"response_action": "errors", "errors": {"why": "say more"}}
    assert await ann.submit({"Why": "x"}) == {"Why": "say more"}
    assert ann.view["state"]["values"]["why"]["why"]["value"] == "x"


async def test_pushes_need_a_trigger_of_the_view_and_end_at_three(desk, ann):
    button = {"type": "button", "text": plain("Next"), "action_id": "next"}
    more = modal("One", {"type": "actions", "block_id": "b", "elements": [button]})
    await opened(desk, ann, more)
    await ann.shortcut("open")
    assert await refused(desk.client.views_push(trigger_id=desk.trigger, view=more)) == "invalid_trigger_id"
    for _ in range(2):
        await ann.press("Next")
        await desk.client.views_push(trigger_id=desk.trigger, view=more)
    await ann.press("Next")
    assert await refused(desk.client.views_push(trigger_id=desk.trigger, view=more)) == "push_limit_reached"


async def test_a_stale_hash_loses_and_a_closed_view_is_not_found(desk, ann):
    view = await opened(desk, ann, modal("One"))
    fresh = await desk.client.views_update(view_id=view["id"], hash=view["hash"], view=modal("Two"))
    late = desk.client.views_update(view_id=view["id"], hash=view["hash"], view=modal("Lost"))
    assert await refused(late) == "hash_conflict"
    await desk.client.views_update(view_id=view["id"], hash=fresh["view"]["hash"], view=modal("Three"))
    assert ann.view["title"]["text"] == "Three"
    await ann.close()
    assert await refused(desk.client.views_update(view_id=view["id"], view=modal("Gone"))) == "not_found"


async def test_home_is_published_and_views_past_the_limits_are_refused(desk, ann):
    home = {"type": "home", "blocks": [{"type": "section", "text": plain("Two wait for you")}]}
    first = (await desk.client.views_publish(user_id=ann.id, view=home))["view"]
    await desk.client.views_publish(user_id=ann.id, view=home, hash=first["hash"])
    assert await refused(desk.client.views_publish(user_id=ann.id, view=home, hash=first["hash"])) == "hash_conflict"
    assert said(ann.home) == "Two wait for you"
    await ann.shortcut("open")
    with pytest.raises(SlackApiError) as error:
        await desk.client.views_open(trigger_id=desk.trigger, view=modal("x" * 25))
    messages = error.value.response["response_metadata"]["messages"]
    assert messages == ["[ERROR] must be less than 25 characters [json-pointer:/view/title/text]"]
    section = {"type": "section", "text": plain("é" * 2900)}
    large = modal("Large", *[section] * 50)
    assert len(json.dumps(large, ensure_ascii=False).encode()) > 250_000
    assert await refused(desk.client.views_open(trigger_id=desk.trigger, view=large)) == "view_too_large"
    await desk.client.views_open(trigger_id=desk.trigger, view=modal("Small"))


async def test_response_urls_serve_five_times_for_thirty_minutes(peer, desk, ann):
    channel = peer.add_channel(f"urls-{ann.id.lower()}", (ann.id,))
    posted = await desk.client.chat_postMessage(channel=channel, text="menu")
    used: list[str] = []

    async def answer(ack, body, respond) -> None:
        await ack()
        used.append(body["response_url"])
        if len(used) == 1:
            for number in range(6):
                used.append(str((await respond(f"answer {number}")).status_code))

    desk.app.shortcut("menu")(answer)
    await ann.shortcut("menu", channel, posted["ts"])
    await ann.until(lambda: len(used) == 7)
    assert used[1:] == ["200"] * 5 + ["404"]
    assert [said(each) for each in ann.sees(channel)][1:] == [f"answer {n}" for n in range(5)]
    await ann.shortcut("menu", channel, posted["ts"])
    await ann.until(lambda: len(used) == 8)
    CLOCK.ahead += 1801
    late = await AsyncWebhookClient(used[-1]).send(text="late")
    assert (late.status_code, json.loads(late.body)["error"]) == (404, "expired_url")
