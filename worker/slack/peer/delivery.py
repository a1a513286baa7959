"""What the workspace sends to the app: envelopes over sockets, or signed requests, with acknowledgements and retries.

Socket Mode: docs.slack.dev/apis/events-api/using-socket-mode; signed requests:
docs.slack.dev/authentication/verifying-requests-from-slack. An app must acknowledge within three seconds. Only events
are sent again when it did not; a user whose click or command went unanswered is told that it failed.
"""

import asyncio
import itertools
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from worker.slack.peer.faults import Faults
from worker.slack.peer.signing import body_of, signed

Json = dict[str, Any]
SOCKETS = 10
NOT_ACKNOWLEDGED = "Slack shows the user that it did not work"


class NotAcknowledged(Exception):
    """The app did not acknowledge in time, or could not be reached; what Slack would tell the user."""


@dataclass
class Sent:
    """One delivery: what was sent, and what came back.

    Attributes:
        type: ``slash_commands``, ``interactive`` or ``events_api``.
        request: (URL, headers, body) of a signed request; None over a socket.
        acknowledged: How often the app acknowledged it.
        reason: Why it was not: ``timeout``, ``http_timeout``, ``http_error``, ``connection_failed``, ``no_socket``.
        final: The app said that it must not be sent again.
    """

    type: str
    payload: Json
    envelope_id: str
    attempt: int = 0
    request: tuple[str, dict[str, str], bytes] | None = None
    acknowledged: int = 0
    reason: str = ""
    final: bool = False
    answer: Any = None


@dataclass(eq=False)
class Socket:
    """One connection in Socket Mode."""

    number: int
    channel: web.WebSocketResponse
    pending: list[tuple[str, asyncio.Future[Any]]] = field(default_factory=list)
    delivered: int = 0
    leaving: bool = False


class Delivery:
    """Sends in the server's loop; ``sent`` is the log."""

    def __init__(self, faults: Faults, signing_secret: str, app_id: str, clock: Callable[[], float]) -> None:
        """``clock`` gives the time that requests are signed with."""
        self.faults, self.signing_secret, self.app_id, self.clock = faults, signing_secret, app_id, clock
        self.request_url: str | None = None
        self.ack_seconds = 3.0
        self.retry_seconds: tuple[float, ...] = (0.0, 60.0, 300.0)
        self.sent: list[Sent] = []
        self.sockets: list[Socket] = []
        self._tickets: set[str] = set()
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[Any]] = set()

    def ticket(self, url: str) -> str:
        """The address of a new socket; it serves once."""
        made = secrets.token_hex(8)
        self._tickets.add(made)
        return f"{url.replace('http', 'ws', 1)}/link/?ticket={made}&app_id={self.app_id}"

    async def link(self, request: web.Request) -> web.StreamResponse:
        """A connection in Socket Mode, until either side ends it."""
        ticket = request.query.get("ticket", "")
        if self.faults.down or ticket not in self._tickets:
            return web.Response(status=403)
        self._tickets.discard(ticket)
        channel = web.WebSocketResponse(autoping=True)
        await channel.prepare(request)
        if len(self.sockets) >= SOCKETS:
            await channel.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await channel.close()
            return channel
        socket = Socket(next(self._numbers), channel)
        self.sockets.append(socket)
        try:
            await channel.send_json(self._hello())
            async for message in channel:
                if message.type == WSMsgType.TEXT:
                    self._acknowledge(socket, message.data)
        finally:
            self.sockets.remove(socket)
            for _, waiting in socket.pending:
                if not waiting.done():
                    waiting.set_exception(NotAcknowledged("the socket dropped"))
        return channel

    def usable(self) -> list[Socket]:
        """Sockets that are neither closed nor told to go."""
        return [each for each in self.sockets if not each.leaving and not each.channel.closed]

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.sockets),
            "debug_info": {"host": "applink-1", "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": self.app_id},
        }

    def _acknowledge(self, socket: Socket, text: str) -> None:
        try:
            given = json.loads(text)
        except ValueError:
            return
        if not isinstance(given, dict):
            return
        # The same envelope may be out twice: each acknowledgement answers the one sent first.
        for id_, waiting in socket.pending:
            if id_ == given.get("envelope_id") and not waiting.done():
                waiting.set_result(given.get("payload"))
                return

    async def send(self, type_: str, payload: Json) -> Any:
        """Deliver; what the acknowledgement carried.

        Raises:
            NotAcknowledged: It was not, in three seconds. An event is then sent again in the background.
        """
        twice = self.faults.strike(type_, "", ("duplicate",))
        sent = Sent(type_, payload, secrets.token_hex(16))
        if twice:
            first, _ = await asyncio.gather(self._attempt(sent), self._again(sent), return_exceptions=True)
        else:
            first = (await asyncio.gather(self._attempt(sent), return_exceptions=True))[0]
        if isinstance(first, NotAcknowledged) and type_ == "events_api" and not sent.final:
            self._later(self._retry(sent))
        if isinstance(first, BaseException):
            raise first
        return first

    async def replay(self, sent: Sent) -> int:
        """The very same envelope or signed request once more; the HTTP status, 200 for an acknowledged envelope.

        Raises:
            NotAcknowledged: Nobody answered.
        """
        if sent.request is None:
            await self._over_socket(sent)
            return 200
        url, headers, body = sent.request
        async with aiohttp.ClientSession() as session, session.post(url, headers=headers, data=body) as answer:
            return answer.status

    async def _again(self, sent: Sent) -> None:
        await asyncio.sleep(0)
        await self.replay(sent)

    async def _retry(self, first: Sent) -> None:
        reason = first.reason
        for attempt, pause in enumerate(self.retry_seconds, start=1):
            await asyncio.sleep(pause)
            sent = Sent(first.type, first.payload, secrets.token_hex(16), attempt, reason=reason)
            try:
                await self._attempt(sent)
                return
            except NotAcknowledged:
                if sent.final:
                    return
                reason = sent.reason

    async def _attempt(self, sent: Sent) -> Any:
        for rule in self.faults.strike(sent.type, "", ("late",)):
            await asyncio.sleep(rule.seconds)
        self.sent.append(sent)
        if self.faults.down:
            raise NotAcknowledged("The workspace is down.")
        if self.usable():
            answer = await self._over_socket(sent)
        elif self.request_url:
            answer = await self._over_http(sent, self.request_url)
        else:
            sent.reason = "no_socket"
            raise NotAcknowledged(f"No socket is connected and there is no request URL: {NOT_ACKNOWLEDGED}.")
        sent.answer = answer
        return answer

    async def _over_socket(self, sent: Sent) -> Any:
        usable = self.usable()
        if not usable:
            raise NotAcknowledged(f"No socket is connected: {NOT_ACKNOWLEDGED}.")
        socket = min(usable, key=lambda each: each.delivered)
        socket.delivered += 1
        envelope: Json = {
            "envelope_id": sent.envelope_id,
            "type": sent.type,
            "accepts_response_payload": sent.type != "events_api",
            "payload": sent.payload,
        }
        if sent.type == "events_api":
            envelope |= {"retry_attempt": sent.attempt, "retry_reason": sent.reason if sent.attempt else ""}
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        entry = (sent.envelope_id, future)
        socket.pending.append(entry)
        lost = self.faults.strike(sent.type, "", ("unacknowledged",))
        try:
            await socket.channel.send_json(envelope)
            answer = await asyncio.wait_for(asyncio.shield(future), self.ack_seconds)
        except (TimeoutError, ConnectionError, NotAcknowledged) as error:
            sent.reason = "timeout"
            raise NotAcknowledged(f"{_what(sent)} was not acknowledged: {error or 'timeout'}.") from None
        finally:
            future.cancel()
            socket.pending.remove(entry)
        if lost:
            sent.reason = "timeout"
            raise NotAcknowledged(f"{_what(sent)}: the acknowledgement was lost.")
        sent.acknowledged += 1
        return answer

    async def _over_http(self, sent: Sent, url: str) -> Any:
        content_type, body = body_of(sent.type, sent.payload)
        headers = {"Content-Type": content_type, **signed(self.signing_secret, body, self.clock())}
        if sent.attempt:
            headers |= {"X-Slack-Retry-Num": str(sent.attempt), "X-Slack-Retry-Reason": sent.reason}
        sent.request = (url, headers, body)
        lost = self.faults.strike(sent.type, "", ("unacknowledged",))
        timeout = aiohttp.ClientTimeout(total=self.ack_seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(url, headers=headers, data=body) as answer,
            ):
                text, status = await answer.text(), answer.status
                kept = answer.headers.get("X-Slack-No-Retry") == "1"
                is_json = answer.content_type == "application/json"
        except TimeoutError:
            sent.reason = "http_timeout"
            raise NotAcknowledged(f"{_what(sent)} was not answered in {self.ack_seconds} s.") from None
        except aiohttp.ClientError:
            sent.reason = "connection_failed"
            raise NotAcknowledged(f"{_what(sent)}: nobody answers at the request URL.") from None
        if not 200 <= status < 300 or lost:
            sent.reason, sent.final = "http_error", kept
            raise NotAcknowledged(f"{_what(sent)} was answered with HTTP {status}: {text[:200]}")
        sent.acknowledged += 1
        if not text:
            return None
        return json.loads(text) if is_json else {"text": text}

    async def verify(self, url: str) -> bool:
        """Whether an address answers the challenge (docs.slack.dev/reference/events/url_verification)."""
        challenge = secrets.token_hex(16)
        payload = {"type": "url_verification", "challenge": challenge, "token": "gone"}
        content_type, body = body_of("events_api", payload)
        headers = {"Content-Type": content_type, **signed(self.signing_secret, body, self.clock())}
        async with aiohttp.ClientSession() as session, session.post(url, headers=headers, data=body) as answer:
            return answer.status == 200 and challenge in await answer.text()

    async def refresh(self, *, warning: bool = False) -> None:
        """Ask every socket to connect anew, as Slack does every few hours; then close it."""
        for socket in self.usable():
            socket.leaving = not warning
            await socket.channel.send_json({"type": "disconnect", "reason": "refresh_requested", "debug_info": {}})
            if not warning:
                await socket.channel.close()

    def drop_sockets(self) -> None:
        """Every socket is gone without a word."""
        for socket in list(self.sockets):
            socket.leaving = True
            transport = socket.channel.get_extra_info("transport") or getattr(socket.channel._req, "transport", None)
            if transport is not None:
                transport.abort()

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """No retry any more, and no socket."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for socket in list(self.sockets):
            await socket.channel.close()


def _what(sent: Sent) -> str:
    kind = sent.payload.get("type") or sent.payload.get("command") or ""
    return f"{sent.type} ({kind})"
