"""The range's HTTP front: each system by its Host header, and control under ``/_range/``."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

CONTROL = "/_range/"


class System(Protocol):
    """A simulated system: an ASGI application with a state and fault switches."""

    name: str
    faults: Any

    def owns(self, host: str) -> bool:
        """Whether a Host header names it."""

    def view(self) -> dict[str, Any]:
        """Its state, without secrets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""


class RangeApp:
    """Sends a request to the system that its Host names; anything under ``/_range/`` to the control.

    GET  effects, log, state, check, alert, faults, hold
    POST faults {system?, kind, method?, path?, query?, actor?, times?, …}   a new rule
    POST faults/clear                                               no rule any more
    POST hold {method?, path?, actor?, phase?, times?}              a rule that holds answers back
    POST hold/release {id?}                                         let one go on, or all
    POST anything else that the range's own ``order`` knows
    """

    def __init__(self, systems: Sequence[System], range_: Any) -> None:
        self._systems, self._range = systems, range_

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        if request.url.path.startswith(CONTROL):
            response = await self._control(request)
        else:
            host = request.headers.get("host", "")
            system = next((system for system in self._systems if system.owns(host)), None)
            if system is not None:
                return await system(scope, receive, send)
            response = JSONResponse({"error": f"no system of this range is called {host}"}, 421)
        await response(scope, receive, send)

    async def _control(self, request: Request) -> Response:
        what = request.url.path.removeprefix(CONTROL).rstrip("/")
        try:
            body = json.loads(await request.body() or b"{}")
            if not isinstance(body, dict):
                raise TypeError("a JSON object is needed")
            if request.method == "GET":
                answer = await self._look(what)
            elif request.method == "POST":
                answer = await self._act(what, body)
            else:
                return JSONResponse({"error": "GET or POST"}, 405)
        except (ValueError, TypeError, KeyError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 400)
        return JSONResponse(answer) if answer is not None else JSONResponse({"error": "not found"}, 404)

    async def _look(self, what: str) -> Any:
        range_ = self._range
        if what == "effects":
            return range_.record.effects()
        if what == "log":
            return range_.record.requests()
        if what == "state":
            return range_.state()
        if what == "check":
            # In a thread: it asks this very server.
            return [found.view() for found in await asyncio.to_thread(range_.check)]
        if what == "alert":
            return json.loads(range_.alert())
        if what == "faults":
            return {system.name: system.faults.view() for system in self._systems}
        if what == "hold":
            return [held for system in self._systems for held in system.faults.view()["held"]]
        return None

    async def _act(self, what: str, body: dict[str, Any]) -> Any:
        system = self._system(body.pop("system", None))
        if what == "faults":
            return {"id": system.faults.add(body).id}
        if what == "faults/clear":
            for each in self._systems:
                each.faults.clear()
            return {"rules": 0}
        if what == "hold":
            phase = body.pop("phase", "after_commit")
            kind = "hold_after_commit" if phase == "after_commit" else "hold"
            return {"id": system.faults.add({**body, "kind": kind}).id}
        if what == "hold/release":
            id_ = body.get("id")
            return {"released": sum(each.faults.release(id_) for each in self._systems)}
        return self._range.order(what, body)

    def _system(self, name: str | None) -> System:
        if name is None:
            return self._systems[0]
        return {system.name: system for system in self._systems}[name]
