"""The app of bolt: whose token it uses is said once, by us."""

import logging

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from worker.slack.app import bolt


class _Nothing:
    """No listeners."""

    def install(self, app: object) -> None:
        """Listen to nothing."""


def test_a_token_in_the_environment_is_neither_used_nor_talked_about(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-of-the-environment")
    with caplog.at_level(logging.INFO, logger="worker.slack.app"):
        web = AsyncWebClient(token="xoxb-configured")
        app = bolt(_Nothing(), web, signing_secret="s", workspace="T0ACME01", bot={})  # type: ignore[arg-type]
    assert app.client.token is None and caplog.records == []
