"""A front with faults, for a peer (an ASGI application) or a real server (its URL) alike.

    faulty = Faulty(peer)                       # or Faulty("http://127.0.0.1:21010")
    url = LoopbackServer(faulty).open()
    faulty.add("drop_after", path="/alias$", method="POST")
    ...
    assert faulty.asked("alias", "POST") == 2

Kinds: ``status`` answers in place of the server; ``drop_before`` cuts the connection before the request is carried
out, ``drop_after`` when it has been; ``delay`` waits before it is carried out; ``body`` carries it out and replaces
the body of the answer; ``act_before`` and ``act_after`` call a function at that moment, so that a test can change
the world between two requests.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = ("status", "drop_before", "drop_after", "delay", "body", "act_before", "act_after")
HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


@dataclass
class Rule:
    """When and how to misbehave.

    Attributes:
        kind: One of ``KINDS``.
        path: Regular expression that the path with its query contains.
        method: Of the requests meant; empty for any.
        times: How many requests it strikes; 0 for all.
        skip: How many matching requests pass first.
        status: Of the answer in place of the server's (``status``), or of the replaced body (``body``).
        body: Of that answer.
        headers: Of that answer, beside the content type.
        seconds: Of ``delay``.
        act: What ``act_before`` and ``act_after`` call, in a thread of its own.
    """

    kind: str
    path: str = ""
    method: str = ""
    times: int = 1
    skip: int = 0
    status: int = 503
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    act: Callable[[], object] | None = None
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is none of {', '.join(KINDS)}")

    def strikes(self, method: str, target: str) -> bool:
        """Whether it strikes this request; counts it."""
        if self.method not in ("", method) or not re.search(self.path, target):
            return False
        if self.times and self.struck >= self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.struck += 1
        return True


class Faulty:
    """Serves what lies behind it, and misbehaves as told. Keeps method and target of every request."""

    def __init__(self, behind: ASGIApp | str) -> None:
        self._app = Forward(behind) if isinstance(behind, str) else behind
        self.rules: list[Rule] = []
        self.requests: list[tuple[str, str]] = []

    def add(self, kind: str, **rule: Any) -> Rule:
        """A new rule, by default for one request."""
        made = Rule(kind, **rule)
        self.rules.append(made)
        return made

    def clear(self) -> None:
        """No rule any more."""
        self.rules.clear()

    def asked(self, path: str = "", method: str = "") -> int:
        """How many requests there were whose path with query matches."""
        return sum(method in ("", verb) and re.search(path, target) is not None for verb, target in self.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query = scope.get("query_string", b"").decode()
        target = scope["path"] + (f"?{query}" if query else "")
        self.requests.append((scope["method"], target))
        struck = [rule for rule in self.rules if rule.strikes(scope["method"], target)]
        for rule in struck:
            if rule.kind == "delay":
                await asyncio.sleep(rule.seconds)
            elif rule.kind == "drop_before":
                return _abort(receive)
            elif rule.kind == "act_before" and rule.act is not None:
                await asyncio.to_thread(rule.act)
            elif rule.kind == "status":
                return await _answer(send, rule)
        after = [rule for rule in struck if rule.kind in ("drop_after", "body", "act_after")]
        if not after:
            await self._app(scope, receive, send)
            return
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        await self._app(scope, receive, keep)
        for rule in after:
            if rule.kind == "act_after" and rule.act is not None:
                await asyncio.to_thread(rule.act)
            elif rule.kind == "drop_after":
                return _abort(receive)
            elif rule.kind == "body":
                return await _answer(send, rule, next(m["status"] for m in kept if "status" in m))
        for message in kept:
            await send(message)


class Forward:
    """An ASGI application that passes each request on to a server and its answer back."""

    def __init__(self, url: str, verify: ssl.SSLContext | bool = True) -> None:
        """``verify`` is how a server behind https is known."""
        # Reading the authorities that the system trusts takes 40 ms, at each request.
        self._url, self._verify = url.rstrip("/"), verify if url.startswith("https:") else False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        query = scope.get("query_string", b"").decode()
        path = scope.get("raw_path", scope["path"].encode()).decode()
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"] if name.decode() not in HOP]
        async with httpx.AsyncClient(
            verify=self._verify, trust_env=False, timeout=60, follow_redirects=False
        ) as client:
            url = f"{self._url}{path}" + (f"?{query}" if query else "")
            request = client.build_request(scope["method"], url, headers=headers, content=body)
            answer = await client.send(request, stream=True)
            try:
                raw = [(name.encode(), value.encode()) for name, value in answer.headers.items() if name not in HOP]
                content = b"".join([part async for part in answer.aiter_raw()])
            finally:
                await answer.aclose()
        raw.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
        await send({"type": "http.response.body", "body": content})


async def _answer(send: Send, rule: Rule, status: int | None = None) -> None:
    headers = {"content-type": "application/json", **rule.headers, "content-length": str(len(rule.body))}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status or rule.status, "headers": raw})
    await send({"type": "http.response.body", "body": rule.body})


def _abort(receive: Receive) -> None:
    """Cut the connection without an answer; ASGI has no word for it, uvicorn's request cycle does."""
    receive.__self__.transport.abort()  # type: ignore[attr-defined]
