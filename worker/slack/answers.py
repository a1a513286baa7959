"""Private answers: seen by one person only, where they asked, or in a direct message if that cannot be."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from worker.slack.blocks import Message
from worker.slack.client import OPEN, Uncertain
from worker.slack.marks import EXERCISE, banner, marked
from worker.store.inbox import Kept

log = logging.getLogger(__name__)

HOOKS = "hooks.slack.com"
FRESH = 1500.0
"""Seconds for which a response address is good; Slack's own limit is 30 minutes."""
NOT_HERE = frozenset(
    {"channel_not_found", "not_in_channel", "user_not_in_channel", "is_archived", "messages_tab_disabled"}
)
NEVER = frozenset({"user_not_found", "user_disabled", "user_not_visible", "cannot_dm_bot", "no_text", "invalid_blocks"})
LIMITED = frozenset({"ratelimited", "rate_limited"})
LONGEST_PAUSE = 60.0
FAILURES = (SlackApiError, aiohttp.ClientError, OSError, TimeoutError)


class Answers:
    """Says things to one person.

    Args:
        web: The bot's client.
        endpoint: Address of a simulated Slack, whose response addresses are then the only ones believed.
        mode: An exercise's answers say that they are.
    """

    def __init__(self, web: AsyncWebClient, endpoint: str | None, mode: str) -> None:
        self._web, self._mode = web, mode
        self._hooks = urlsplit(endpoint).netloc if endpoint else HOOKS
        self._scheme = urlsplit(endpoint).scheme if endpoint else "https"

    async def tell(self, kept: Kept, message: Message) -> bool:
        """Answer what was asked; whether that is settled (also if Slack will never take it).

        Raises:
            Uncertain: Nobody knows whether it is seen, and it cannot be looked for.
        """
        age = (datetime.now(UTC) - datetime.fromisoformat(kept.at)).total_seconds()
        return await self._said(kept.what, self.marked(message), fresh=age < FRESH)

    def at_once(self, message: Message) -> dict[str, Any]:
        """An answer that goes with the acknowledgement of a command."""
        shown = self.marked(message)
        return {"text": shown.text, "blocks": list(shown.blocks), "response_type": "ephemeral"}

    async def say(self, where: Mapping[str, Any], message: Message) -> bool:
        """Say something to ``where["user"]``, once; whether that is settled."""
        try:
            return await self._said(where, self.marked(message), fresh=True)
        except Uncertain as error:
            log.warning("it is not known whether a private answer was taken by Slack: %s", error.code)
            return False

    async def _said(self, where: Mapping[str, Any], message: Message, *, fresh: bool) -> bool:
        """By ``response_url``, in ``channel``, or directly; whether that is settled. Raises ``Uncertain``."""
        url, channel, user = (str(where.get(name) or "") for name in ("response_url", "channel", "user"))
        if fresh and url and self._believed(url) and await self._by_url(url, message):
            return True
        try:
            if channel and channel[0] in "CG":
                try:
                    await self._web.chat_postEphemeral(
                        channel=channel,
                        user=user,
                        text=message.text,
                        blocks=list(message.blocks),
                        thread_ts=str(where.get("thread") or "") or None,
                    )
                    return True
                except SlackApiError as error:
                    if error.response.get("error") not in NOT_HERE:
                        raise
            opened = await self._web.conversations_open(users=user)
            direct = str(opened["channel"]["id"])
            await self._web.chat_postMessage(channel=direct, text=message.text, blocks=list(message.blocks))
        except FAILURES as error:
            code = error.response.get("error") if isinstance(error, SlackApiError) else type(error).__name__
            if _open(error):
                raise Uncertain(str(code)) from None
            log.warning("a private answer was not taken by Slack: %s", code)
            if code in LIMITED:
                await asyncio.sleep(_pause(error))
            return code in NEVER
        return True

    def marked(self, message: Message) -> Message:
        """As it is said: an exercise's answers say that they are."""
        if self._mode == "live" or EXERCISE in message.text:
            return message
        return Message(marked(self._mode, message.text), (*message.blocks, *banner(self._mode)))

    def _believed(self, url: str) -> bool:
        """Whether an address is Slack's own: what a payload names is not asked blindly."""
        parts = urlsplit(url)
        return parts.scheme == self._scheme and parts.netloc == self._hooks

    async def _by_url(self, url: str, message: Message) -> bool:
        try:
            answer = await AsyncWebhookClient(url, timeout=10, retry_handlers=[]).send(
                text=message.text, blocks=list(message.blocks), response_type="ephemeral", replace_original=False
            )
        except FAILURES as error:
            if _open(error):
                raise Uncertain(type(error).__name__) from None
            return False
        if answer.status_code >= 500:
            raise Uncertain(f"http_{answer.status_code}")
        return answer.status_code == 200


def _open(error: Exception) -> bool:
    """Whether it may have been carried out all the same."""
    if isinstance(error, SlackApiError):
        code = error.response.get("error")
        return int(getattr(error.response, "status_code", 0) or 0) >= 500 or code in OPEN
    return not isinstance(error, aiohttp.ClientConnectorError)


def _pause(error: Exception) -> float:
    """For how many seconds Slack wants to be left alone."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    told = {str(name).lower(): value for name, value in dict(headers).items()}.get("retry-after", "1")
    try:
        return min(max(float(told), 0.0), LONGEST_PAUSE)
    except ValueError:
        return 1.0
