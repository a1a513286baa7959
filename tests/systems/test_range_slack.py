"""The range's Slack workspace: its people can be told apart by a desk, and its tokens reach it."""

import asyncio
import json
from pathlib import Path

import httpx
from slack_sdk.web.async_client import AsyncWebClient

from worker.range import Range
from worker.settings_slack import SlackSettings


def test_a_range_with_people_has_a_workspace_that_its_settings_reach(tmp_path: Path) -> None:
    with Range(3, ("amal", "bruno")) as world:
        slack = world.slack
        assert slack is not None
        world.settings(tmp_path)
        settings = SlackSettings.model_validate(world.slack_settings(tmp_path))
        token = Path(settings.bot_token.removeprefix("secret:file/")).read_text()

        async def say() -> None:
            web = AsyncWebClient(token=token, base_url=settings.endpoint)
            await web.chat_postMessage(channel=settings.channel, text="Hello <!channel>")

        asyncio.run(say())
        assert slack.identities("amal") == [("slack", settings.workspace, slack.users["amal"])]
        look = {"as": slack.users["bruno"], "channel": settings.channel}
        shown = httpx.get(slack.url, params=look, trust_env=False).text
        assert "Hello" in shown and "Bruno" in shown and token not in shown
        text, page = slack.write_transcript(tmp_path / "INC-1.transcript")
        assert "Hello @channel" in text.read_text() and "Hello" in page.read_text()
        assert token not in json.dumps(slack.state())


def test_a_range_without_people_has_none(tmp_path: Path) -> None:
    world = Range(3)
    assert world.slack is None and world.slack_settings(tmp_path) == {}
