"""Calling Slack once, with an answer that says what is known: it did, it did not, it will not, or nobody knows.

Only what talks to Slack imports this module. Tokens stand in no error and no log line.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

PATIENCE = 15.0
LATER = frozenset(
    {"ratelimited", "rate_limited", "service_unavailable", "request_timeout", "team_added_to_org", "accesslimited"}
    | {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "org_login_required"}
    | {"ekm_access_denied", "two_factor_setup_required", "no_permission"}
)
"""Not carried out, and may be once Slack or the app's installation is in order again."""
LACKING = frozenset(
    {"missing_scope", "access_denied", "not_allowed_token_type", "team_access_not_granted"}
    | {"restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_locked"}
)
"""Refused until somebody gives the app a right that it lacks."""
LOST = frozenset({"channel_not_found", "is_archived", "is_inactive", "not_in_channel"})
"""Nothing can be shown in this channel any more: somebody archived or deleted it, or put the app out of it."""
OPEN = frozenset({"internal_error", "fatal_error"})
"""Slack says that part of it may have been carried out."""


class Refused(Exception):
    """Slack will not do this, now or later. ``code`` is Slack's; ``answer`` is all that it said."""

    def __init__(self, code: str, answer: dict[str, Any] | None = None) -> None:
        super().__init__(code)
        self.code, self.answer = code, answer or {}


class Later(Exception):
    """It was surely not carried out, and may be ``after`` so many seconds."""

    def __init__(self, code: str, after: float = 0.0) -> None:
        super().__init__(code)
        self.code, self.after = code, after


class Uncertain(Exception):
    """Nobody knows whether it was carried out."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SlackClient:
    """The Web API with one bot token.

    Args:
        token: The bot's token.
        endpoint: Base address of a simulated Slack.
        patience: Seconds for one call.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        token: str,
        *,
        endpoint: str | None = None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        more: dict[str, Any] = {"base_url": endpoint} if endpoint else {}
        # Without handlers: the SDK's own would send again what may have been carried out.
        self._web = AsyncWebClient(token=token, timeout=max(1, int(patience) + 1), retry_handlers=[], **more)
        self._patience, self._clock = patience, clock
        self._blocked: dict[tuple[str, str], float] = {}
        self._bot: str | None = None

    async def call(self, method: str, **given: Any) -> dict[str, Any]:
        """Call a method (``chat_postMessage``) once.

        Raises:
            Refused, Later, Uncertain: as they say.
        """
        # Slack counts posts by channel, and every other method for the whole workspace.
        place = (method, str(given["channel"]) if method == "chat_postMessage" else "")
        wait = self._blocked.get(place, 0.0) - self._clock()
        if wait > 0:
            raise Later("ratelimited", wait)
        self._blocked.pop(place, None)
        try:
            async with asyncio.timeout(self._patience):
                answer = await getattr(self._web, method)(**given)
        except SlackApiError as error:
            raise self._said(place, error) from None
        except aiohttp.ClientConnectorError:
            raise Later("unreachable") from None
        except (aiohttp.ClientError, SlackClientError, TimeoutError, OSError) as error:
            raise Uncertain(type(error).__name__) from None
        return dict(answer.data)

    async def upload(self, url: str, content: bytes) -> None:
        """Send a file's bytes to the address that Slack gave; nobody sees them before the upload is completed.

        Raises:
            Later: they were not taken.
        """
        try:
            async with (
                asyncio.timeout(self._patience),
                aiohttp.ClientSession() as session,
                session.post(url, data=content, headers={"Content-Type": "application/octet-stream"}) as answer,
            ):
                if answer.status != 200:
                    raise Later(f"http_{answer.status}", _seconds(answer.headers.get("Retry-After")))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Later(type(error).__name__) from None

    async def bot(self) -> str:
        """The user id of the app itself; raises as ``call``."""
        if self._bot is None:
            self._bot = str((await self.call("auth_test")).get("user_id"))
        return self._bot

    def _said(self, place: tuple[str, str], error: SlackApiError) -> Exception:
        response = error.response
        status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)
        if status == 429:
            headers = {name.lower(): value for name, value in dict(response.headers).items()}
            after = _seconds(headers.get("retry-after")) or 1.0
            self._blocked[place] = self._clock() + after
            return Later("ratelimited", after)
        if status >= 500 or not isinstance(getattr(response, "data", None), dict):
            return Uncertain(f"http_{status}")
        code = str(response.data.get("error") or "unknown_error")
        if code in LATER:
            return Later(code)
        return Uncertain(code) if code in OPEN else Refused(code, dict(response.data))


def _seconds(text: Any) -> float:
    try:
        return max(0.0, float(text))
    except (TypeError, ValueError):
        return 0.0
