"""The Web API over HTTP, with its faults: one handler for every method, uploads and response URLs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from worker.slack.peer import methods_conversations, methods_files, methods_marks, methods_people, methods_views
from worker.slack.peer.calls import METHODS, Call, Json
from worker.slack.peer.faults import Faults, Rule
from worker.slack.peer.methods_chat import refuse_invalid
from worker.slack.peer.rates import Rates
from worker.slack.peer.response_urls import respond
from worker.slack.peer.state import Refused, Workspace

LOADED = (methods_conversations, methods_files, methods_marks, methods_people, methods_views, refuse_invalid)
"""Importing them registers their methods."""
BEFORE = ("latency", "status", "rate_limit", "error", "drop", "hold")
AFTER = ("error_after_commit", "drop_after_commit", "hold_after_commit")


@dataclass(frozen=True)
class Called:
    """One line of the call log.

    Attributes:
        status: HTTP status of the answer; 0 when the connection was dropped.
        committed: Whether the call took effect.
        ts: Of the message meant or made.
        key: ``metadata.event_payload.key`` of a message posted.
    """

    at: float
    method: str
    channel: str
    status: int
    error: str
    committed: bool
    ts: str
    key: str
    given: Json

    def view(self) -> Json:
        """As JSON."""
        return asdict(self)


class Web:
    """Answers the app's calls."""

    def __init__(self, state: Workspace, faults: Faults, rates: Rates, bot_token: str, app_token: str) -> None:
        """The log of calls is in ``calls``."""
        self.state, self.faults, self.rates = state, faults, rates
        self.bot_token, self.app_token = bot_token, app_token
        self.url = ""
        self.calls: list[Called] = []
        self.open_socket: Callable[[], str] = lambda: ""
        """Gives the address of a new socket; the server sets it."""

    async def api(self, request: web.Request) -> web.StreamResponse:
        """``/api/{method}``."""
        name = request.match_info["method"]
        given = await arguments(request)
        header = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        token = header or str(given.pop("token", "") or "")
        given.pop("token", None)

        async def run() -> tuple[int, Json, dict[str, str]]:
            known = METHODS.get(name)
            tier = 1 if name == "apps.connections.open" else known.tier if known else 4
            channel = str(given.get("channel") or given.get("channel_id") or "")
            wait = self.rates.retry_after(name, tier, channel) if token and name != "apps.connections.open" else None
            if wait is not None:
                return 429, {"ok": False, "error": "ratelimited"}, {"Retry-After": str(wait)}
            try:
                return 200, {"ok": True} | self._run(name, given, header, token), {}
            except Refused as refused:
                return 200, {"ok": False, "error": refused.code} | refused.more, {}

        return await self._answer(request, name, given, run)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Step two of an upload: the bytes."""
        content = await request.read()
        if request.content_type == "multipart/form-data":
            content = b""

        async def run() -> tuple[int, Json, dict[str, str]]:
            file = self.state.files.get(request.match_info["file"])
            if file is None or len(content) != file.length:
                return 400, {"ok": False, "error": "invalid_upload"}, {}
            file.content, file.uploaded = content, True
            return 200, {"ok": True}, {}

        answer = await self._answer(request, "upload", {}, run)
        if isinstance(answer, web.Response) and answer.status == 200:
            return web.Response(text=f"OK - {len(content)}")
        return answer

    async def response_url(self, request: web.Request) -> web.StreamResponse:
        """A response URL (docs.slack.dev/interactivity/handling-user-interaction)."""
        given = await arguments(request)

        async def run() -> tuple[int, Json, dict[str, str]]:
            try:
                respond(self.state, request.match_info["hook"], given)
            except Refused as refused:
                status = 404 if refused.code in ("used_url", "expired_url") else 200
                return status, {"ok": False, "error": refused.code} | refused.more, {}
            return 200, {"ok": True}, {}

        return await self._answer(request, "response_url", given, run)

    def _run(self, name: str, given: Json, header: str, token: str) -> Json:
        if not token:
            raise Refused("not_authed")
        if name == "apps.connections.open":
            # docs.slack.dev/reference/methods/apps.connections.open: only in the header, and only an app's token.
            if token == self.bot_token:
                raise Refused("not_allowed_token_type")
            if header != self.app_token:
                raise Refused("invalid_auth")
            return {"url": self.open_socket()}
        if token == self.app_token:
            raise Refused("not_allowed_token_type")
        if token != self.bot_token:
            raise Refused("invalid_auth")
        known = METHODS.get(name)
        if known is None:
            raise Refused("unknown_method", req_method=name)
        call = Call(self.state, name, given, self.url)
        if known.scope:
            call.need(known.scope)
        return known.run(call)

    async def _answer(
        self,
        request: web.Request,
        name: str,
        given: Json,
        run: Callable[[], Awaitable[tuple[int, Json, dict[str, str]]]],
    ) -> web.StreamResponse:
        channel = str(given.get("channel") or given.get("channel_id") or "")
        if self.faults.down:
            return self._drop(request, name, given, channel, committed=False)
        for rule in self.faults.strike(name, channel, BEFORE):
            answer = await self._fault(request, rule, name, given, channel)
            if answer is not None:
                return answer
        status, body, headers = await run()
        committed = bool(body.get("ok"))
        for rule in self.faults.strike(name, channel, AFTER) if committed else ():
            if rule.kind == "hold_after_commit":
                await self.faults.hold(rule, name, channel)
            elif rule.kind == "drop_after_commit":
                return self._drop(request, name, given, channel, committed=True, body=body)
            else:
                self._log(name, given, channel, rule.status, rule.code, True, body)
                return self._json(rule.status, {"ok": False, "error": rule.code})
        if self.faults.down:
            return self._drop(request, name, given, channel, committed=committed, body=body)
        self._log(name, given, channel, status, str(body.get("error", "")), committed, body)
        return self._json(status, body, headers)

    async def _fault(
        self, request: web.Request, rule: Rule, name: str, given: Json, channel: str
    ) -> web.StreamResponse | None:
        if rule.kind == "latency":
            await asyncio.sleep(rule.seconds)
            return None
        if rule.kind == "hold":
            await self.faults.hold(rule, name, channel)
            return None
        if rule.kind == "drop":
            return self._drop(request, name, given, channel, committed=False)
        if rule.kind == "rate_limit":
            self._log(name, given, channel, 429, "ratelimited", False)
            headers = {"Retry-After": str(int(rule.seconds))}
            return self._json(429, {"ok": False, "error": "ratelimited"}, headers)
        if rule.kind == "status":
            self._log(name, given, channel, rule.status, "", False)
            return web.Response(status=rule.status, text="upstream connect error")
        self._log(name, given, channel, 200, rule.code, False)
        return self._json(200, {"ok": False, "error": rule.code})

    def _drop(
        self, request: web.Request, name: str, given: Json, channel: str, *, committed: bool, body: Json | None = None
    ) -> web.StreamResponse:
        self._log(name, given, channel, 0, "", committed, body)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def _json(self, status: int, body: Json, headers: dict[str, str] | None = None) -> web.Response:
        scopes = {"X-OAuth-Scopes": ",".join(sorted(self.state.scopes)), **(headers or {})}
        return web.json_response(body, status=status, headers=scopes)

    def _log(
        self, name: str, given: Json, channel: str, status: int, error: str, committed: bool, body: Json | None = None
    ) -> None:
        metadata = given.get("metadata")
        if isinstance(metadata, str):
            metadata = json.loads(metadata) if metadata.startswith("{") else None
        payload = metadata.get("event_payload") if isinstance(metadata, dict) else None
        key = str(payload.get("key", "")) if isinstance(payload, dict) else ""
        ts = str((body or {}).get("ts") or given.get("ts") or given.get("timestamp") or "")
        self.calls.append(Called(self.state.clock(), name, channel, status, error, committed, ts, key, dict(given)))


async def arguments(request: web.Request) -> Json:
    """Query and body together; JSON and forms both (docs.slack.dev/apis/web-api/#methods)."""
    given: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        text = await request.text()
        body = json.loads(text) if text.strip() else {}
        if isinstance(body, dict):
            given |= body
    elif request.can_read_body:
        given |= dict(await request.post())
    return given
