"""Socket Mode: one connection that is opened anew whenever it ends, and every envelope answered by the app.

A connection's address is good for one use and a short time, so each attempt asks for a new one.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from worker.slack.deliveries import ENVELOPE

log = logging.getLogger(__name__)

HEARTBEAT = 10.0
SHORTEST, LONGEST = 0.2, 30.0
STEADY = 5.0
"""A connection that held for so many seconds was a good one: the next is tried at once."""

Report = Callable[[str], None]
"""Told why nothing can be heard, or ``""`` once something can."""


class Socket:
    """Listens until it is cancelled."""

    def __init__(self, app: AsyncApp, web: AsyncWebClient, app_token: Callable[[], str], report: Report) -> None:
        """``app_token`` is read at each attempt, so that a changed one counts."""
        self._app, self._web, self._app_token, self._report = app, web, app_token, report
        self._answering: set[asyncio.Task[None]] = set()

    async def keep_listening(self) -> None:
        """Connect, hear, connect again, until cancelled; then what was heard is answered first."""
        pause = SHORTEST
        loop = asyncio.get_running_loop()
        try:
            async with aiohttp.ClientSession() as session:
                while True:
                    begun = loop.time()
                    try:
                        await self._listen(session)
                    except (aiohttp.ClientError, OSError, SlackApiError, TimeoutError, ValueError) as error:
                        self._report(_why(error))
                    except Exception as error:
                        # Whatever a connection ends with, people must be heard again.
                        log.exception("the connection to Slack failed")
                        self._report(type(error).__name__)
                    pause = SHORTEST if loop.time() - begun > STEADY else min(pause * 2, LONGEST)
                    await asyncio.sleep(pause)
        finally:
            for task in self._answering:
                task.cancel()
            await asyncio.gather(*self._answering, return_exceptions=True)

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        answer = await self._web.apps_connections_open(app_token=self._app_token())
        async with session.ws_connect(answer["url"], heartbeat=HEARTBEAT) as connection:
            async for frame in connection:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    continue
                envelope = json.loads(frame.data)
                kind = envelope.get("type")
                if kind == "hello":
                    self._report("")
                elif kind == "disconnect":
                    # What was heard is answered on this connection; Slack brings again what it saw no answer to.
                    await self._settle()
                    return
                elif envelope.get("envelope_id"):
                    task = asyncio.create_task(self._answer(connection, envelope))
                    self._answering.add(task)
                    task.add_done_callback(self._answering.discard)
        self._report("the connection was closed")

    async def _settle(self) -> None:
        if self._answering:
            await asyncio.wait(self._answering, timeout=3)

    async def _answer(self, connection: aiohttp.ClientWebSocketResponse, envelope: dict[str, Any]) -> None:
        headers: dict[str, Any] = {ENVELOPE: str(envelope["envelope_id"])}
        if envelope.get("retry_attempt"):
            headers["x-slack-retry-num"] = str(envelope["retry_attempt"])
        try:
            request = AsyncBoltRequest(mode="socket_mode", body=envelope.get("payload") or {}, headers=headers)
            response = await self._app.async_dispatch(request)
            if response.status != 200:
                log.warning("a delivery of Slack was not acknowledged (%s)", response.status)
                return
            told: dict[str, Any] = {"envelope_id": envelope["envelope_id"]}
            if response.body:
                told["payload"] = _payload(response.body)
            await connection.send_str(json.dumps(told))
        except (ConnectionError, aiohttp.ClientError):
            log.warning("Slack could not be answered: the connection was gone; it delivers again")
        except Exception:
            log.exception("a delivery of Slack was not acknowledged")


def _payload(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"text": body}
    return found if isinstance(found, dict) else {"text": body}


def _why(error: Exception) -> str:
    """A failure in words that hold no address: a connection's address is a secret."""
    if isinstance(error, SlackApiError):
        return f"Slack refused the connection: {error.response.get('error', 'unknown')}"
    return f"Slack cannot be reached ({type(error).__name__})"
