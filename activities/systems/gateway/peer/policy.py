"""A simulated policy engine: OPA's data API, and the decisions of the reference policy.

Changing calls: ``PUT|PATCH|DELETE /v1/data/stanch/denied_digests/DIGEST`` (refuse a release, admit it again) and
``PUT|PATCH|DELETE /v1/data/stanch/clients/NAME`` (whom the gateway lets in).
"""

import json
import re
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

FREE = ("stanch/gateway/decision", "stanch/admission")


class OpaPeer:
    """An ASGI application; ``data`` is its document, which the range's thread may change between requests."""

    def __init__(self, data: dict[str, Any] | Path, token: str | None = None) -> None:
        """``data`` or the file that it starts with; ``token`` guards all but decisions."""
        self._from = data
        self.token = token
        self.data: dict[str, Any] = {}
        self.restart()

    def restart(self) -> None:
        """As a fresh process: what was only put through the API is gone."""
        self.data = json.loads(self._from.read_text()) if isinstance(self._from, Path) else self._from

    def view(self) -> dict[str, Any]:
        """Its data."""
        return self.data

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        answer = self._answer(request, await request.body())
        await answer(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        path = request.url.path
        if path == "/health":
            return JSONResponse({})
        if not path.startswith("/v1/data"):
            return JSONResponse({"code": "not_found"}, 404)
        steps = [step for step in path.removeprefix("/v1/data").split("/") if step]
        decides = request.method == "POST" and "/".join(steps) in FREE
        if self.token and not decides and request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse({"code": "unauthorized", "message": "request rejected by administrative policy"}, 401)
        try:
            given = json.loads(body) if body else None
        except ValueError:
            return JSONResponse({"code": "invalid_parameter"}, 400)
        if request.method in ("GET", "POST"):
            asked = given.get("input") if isinstance(given, dict) else None
            return self._read(steps, asked if isinstance(asked, dict) else {})
        if request.method == "PUT":
            return self._put(steps, given)
        if request.method == "DELETE":
            return self._delete(steps)
        if request.method == "PATCH":
            return self._patch(steps, given)
        return JSONResponse({"code": "method_not_allowed"}, 405)

    def _read(self, steps: list[str], asked: dict[str, Any]) -> Response:
        if steps == ["stanch", "gateway", "decision"]:
            return JSONResponse({"result": self.decision(asked)})
        if steps == ["stanch", "admission"]:
            return JSONResponse({"result": self.admission(asked)})
        node: Any = self.data
        for step in steps:
            if not isinstance(node, dict) or step not in node:
                return JSONResponse({})
            node = node[step]
        return JSONResponse({"result": node})

    def _put(self, steps: list[str], value: Any) -> Response:
        if not steps:
            return JSONResponse({"code": "invalid_parameter"}, 400)
        node = self.data
        for step in steps[:-1]:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                return JSONResponse({"code": "resource_conflict"}, 404)
        node[steps[-1]] = value
        return Response(status_code=204)

    def _delete(self, steps: list[str]) -> Response:
        node: Any = self.data
        for step in steps[:-1]:
            node = node.get(step, {}) if isinstance(node, dict) else {}
        if not steps or not isinstance(node, dict) or steps[-1] not in node:
            return JSONResponse({"code": "resource_not_found"}, 404)
        del node[steps[-1]]
        return Response(status_code=204)

    def _patch(self, steps: list[str], given: Any) -> Response:
        for change in given if isinstance(given, list) else ():
            where = [*steps, *(step for step in str(change.get("path", "")).split("/") if step)]
            done = self._delete(where) if change.get("op") == "remove" else self._put(where, change.get("value"))
            if done.status_code != 204:
                return done
        return Response(status_code=204)

    def decision(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What gateway.rego says."""
        clients = self.data.get("stanch", {}).get("clients", {})
        certificate, key = asked.get("certificate", ""), asked.get("key", "")
        caller = None
        if certificate:
            name = asked.get("name", "")
            if name in clients and (not key or key in clients[name].get("keys", ())):
                caller = name
        elif key:
            caller = next((name for name, client in clients.items() if key in client.get("keys", ())), None)
        if caller is None:
            return {"allow": False, "caller": "", "reason": "unknown"}
        path = str(asked.get("path", ""))
        plain = ".." not in path and "%" not in path and "//" not in path
        allow = plain and any(path.startswith(prefix) for prefix in clients[caller].get("paths", ()))
        return {"allow": allow, "caller": caller, "reason": "" if allow else "path"}

    def admission(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What admission.rego says."""
        digest = str(asked.get("digest", ""))
        denied = self.data.get("stanch", {}).get("denied_digests", {})
        plain = digest.removeprefix("sha256:")
        well_formed = re.fullmatch(r"(sha256:)?[0-9a-f]{64}", digest) is not None
        said: dict[str, Any] = {"allow": well_formed and plain not in denied}
        if plain in denied:
            said["reason"] = denied[plain]
        return said
