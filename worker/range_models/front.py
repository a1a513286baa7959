"""A recording front before a system of the range: real servers and peers alike get actors, a record and faults.

It passes each request on as it is and the answer back, enters both into the range's record, and misbehaves as
the rules say that ``/_range/faults`` sets.
"""

import asyncio
import contextlib
import json
import ssl
from dataclasses import replace
from typing import Any

import httpx
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from activities.systems.salesforce.peer.faults import Faults, Rule
from worker.range_models.exchange import Effect, Exchange, Wire
from worker.range_record import Record
from worker.range_server import LoopbackServer

HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "accept-encoding"})
PATIENCE = 120.0
STRANGER = "stranger"


class Tally:
    """Enters effects into the record, each new state of a target once. Shared by the fronts of one system."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._known: dict[tuple[str, str], str] = {}

    def enter(self, actor: str, system: str, effect: Effect) -> None:
        """Enter a change, unless the target is as it says already."""
        key = (system, effect.facet)
        if self._known.get(key) == effect.value:
            return
        self._known[key] = effect.value
        self._record.change(
            actor=actor, system=system, kind=effect.kind, target=effect.target, caused=list(effect.caused)
        )


class FrontFaults(Faults):
    """Fault rules of a front, set from the range's own thread: what is held is let go in the thread that holds it."""

    def __init__(self) -> None:
        super().__init__()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def hold(self, rule: Rule, method: str, path: str, actor: str) -> None:
        """Wait until released."""
        self._loop = asyncio.get_running_loop()
        await super().hold(rule, method, path, actor)

    def release(self, id_: int | None = None) -> int:
        """Let one held request go on, or all; how many."""
        count = len([held for held in list(self.held.values()) if id_ in (None, held.id)])
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(super().release, id_)
        return count


class Front:
    """An ASGI application before one server.

    Attributes:
        name: Of the front, such as ``mlflow`` or ``replica1``.
        faults: Its rules.
        url: Where it listens, once it is open.
    """

    def __init__(
        self, name: str, wire: Wire, behind: str, record: Record, tally: Tally, verify: ssl.SSLContext | bool = True
    ) -> None:
        """``behind`` is the URL of the server; ``verify`` how one behind https is known."""
        self.name, self.url, self.faults = name, "", FrontFaults()
        self._wire, self._behind, self._record, self._tally = wire, behind.rstrip("/"), record, tally
        self._verify = verify
        self._client: httpx.AsyncClient | None = None
        self._server = LoopbackServer(self)

    def open(self) -> str:
        """Listen on a free port of 127.0.0.1; the URL."""
        self.url = self._server.open()
        return self.url

    def close(self) -> None:
        """Let held requests go, close the port."""
        if self._server.serving:
            self._server.run(self._leave)
            self._server.close()

    def _leave(self) -> None:
        self.faults.clear()
        if self._client is not None:
            self._leaving = asyncio.ensure_future(self._client.aclose())

    def owns(self, host: str) -> bool:
        """No Host of the range's own door: each front listens at a port of its own."""
        return False

    def view(self) -> dict[str, Any]:
        """What lies behind it."""
        return {"url": self.url}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.body()
        # As it was sent: a path that is decoded here and encoded again is another one to a signature.
        raw = scope.get("raw_path", scope["path"].encode()).decode()
        query = scope.get("query_string", b"").decode()
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Exchange(scope["method"], scope["path"], query, headers, body)
        actor = self._wire.who(asked)
        if not actor and self._wire.closed:
            self._enter(STRANGER, asked, 401)
            return await _answer(send, 401, b'{"error": "unauthorised"}')
        actor = actor or STRANGER
        rules = self.faults.strike(asked.method, asked.path, query, actor, after=False)
        for rule in rules:
            if await self._before(rule, asked, actor, receive, send):
                return
        seen = self._wire.before(asked)
        answered = await self._passed(raw, asked)
        exchange = replace(asked, status=answered.status_code, answer=answered.content, seen=seen)
        self._effects(actor, exchange)
        for rule in self.faults.strike(asked.method, asked.path, query, actor, after=True):
            if rule.kind == "hold_after_commit":
                await self.faults.hold(rule, asked.method, asked.path, actor)
            elif rule.kind == "drop_after_commit":
                self._enter(actor, exchange, 0)
                return _abort(receive)
            else:
                self._enter(actor, exchange, rule.status)
                return await _answer(send, rule.status, _said(rule))
        self._enter(actor, exchange, answered.status_code)
        kept = [(name, value) for name, value in answered.headers.raw if name.lower().decode() not in HOP]
        await _answer(send, answered.status_code, answered.content, kept)

    async def _before(self, rule: Rule, asked: Exchange, actor: str, receive: Receive, send: Send) -> bool:
        """Misbehave before the request is carried out; whether that was its end."""
        if rule.kind == "latency":
            await asyncio.sleep(rule.seconds)
        elif rule.kind == "hold":
            await self.faults.hold(rule, asked.method, asked.path, actor)
        elif rule.kind == "drop":
            self._enter(actor, asked, 0)
            _abort(receive)
            return True
        else:
            self._enter(actor, asked, rule.status)
            retry = [(b"retry-after", str(int(rule.seconds)).encode())] if rule.status == 429 else []
            await _answer(send, rule.status, _said(rule), [(b"content-type", b"application/json"), *retry])
            return True
        return False

    async def _passed(self, raw: str, asked: Exchange) -> httpx.Response:
        if self._client is None:
            self._client = httpx.AsyncClient(verify=self._verify, timeout=PATIENCE, trust_env=False)
        headers = [(name, value) for name, value in asked.headers.items() if name not in HOP]
        url = f"{self._behind}{raw}" + (f"?{asked.query}" if asked.query else "")
        request = self._client.build_request(
            asked.method, url, headers=[*headers, ("accept-encoding", "identity")], content=asked.body
        )
        try:
            return await self._client.send(request)
        except httpx.HTTPError as error:
            # What lies behind is away; a client sees what a proxy says then.
            return httpx.Response(502, json={"error": f"{self.name}: {type(error).__name__}"})

    def _effects(self, actor: str, exchange: Exchange) -> None:
        if exchange.good:
            for effect in self._wire.effects(exchange):
                self._tally.enter(actor, self._wire.system, effect)

    def _enter(self, actor: str, exchange: Exchange, status: int) -> None:
        read = list(self._wire.reads(exchange)) if exchange.good else []
        self._record.log(
            actor=actor,
            system=self._wire.system,
            method=exchange.method,
            path=self._wire.named(exchange),
            status=status,
            read=read,
        )


def _said(rule: Rule) -> bytes:
    return json.dumps({"error_code": rule.code, "error": rule.code, "message": "a fault of the range"}).encode()


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    given = headers if headers is not None else [(b"content-type", b"application/json")]
    head = [*given, (b"content-length", str(len(body)).encode())]
    with contextlib.suppress(OSError):
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})


def _abort(receive: Receive) -> None:
    """Cut the connection without an answer; ASGI has no word for it, uvicorn's request cycle does."""
    receive.__self__.transport.abort()  # type: ignore[attr-defined]
