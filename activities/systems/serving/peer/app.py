"""A simulated model server: inference and model repository of the V2 protocol as MLServer 1.7.1 answers them.

    CHANGING = POST /v2/repository/models/{name}/load     200  model_loaded    (target: the replica)
               POST /v2/repository/models/{name}/unload   200  model_unloaded  (target: the replica)

Seen on MLServer and kept: ``index`` is a POST and says nothing of the version that a runtime loads; a model that is
not loaded answers 404 to ``infer`` and ``ready``; a second unload answers 404; a load that the runtime refuses
answers 500 and what was served before stays. MLServer has no sign-in of its own; the token stands for the front
that a production server has.
"""

import asyncio
import hmac
import json
import re
from typing import Any

from activities.systems.serving.peer.replica import BadRequest, Refused, Replica

INPUTS = [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
_MODEL = re.compile(r"^/v2/models/([^/]+)(?:/versions/[^/]+)?(?:/(infer|ready))?$")
_REPOSITORY = re.compile(r"^/v2/repository/models/([^/]+)/(load|unload)$")


class ServingPeer:
    """ASGI application of one replica. ``stuck`` answers 200 to a load and goes on serving what it served."""

    def __init__(self, replica: Replica, *, token: str = "") -> None:
        """``token``: bearer token that the repository API wants; inference is for customers and wants none."""
        self.replica = replica
        self.stuck = False
        self._token = token
        self._loading = asyncio.Lock()

    def view(self) -> dict[str, Any]:
        """State without secrets."""
        release = self.replica.release
        served = {"version": release.version, "digest": release.digest} if release else None
        return {"model": self.replica.place.model, "served": served, "stuck": self.stuck}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        assert scope["type"] == "http"
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer = await self._answer(scope["method"], scope["path"], headers, body)
        content = b"" if answer is None else json.dumps(answer).encode()
        start = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        name, release = self.replica.place.model, self.replica.release
        if path in ("/v2/health/live", "/v2/health/ready"):
            return 200, None
        if path.startswith("/v2/repository/"):
            if self._token and not hmac.compare_digest(headers.get("authorization", ""), f"Bearer {self._token}"):
                return 401, {"error": "Unauthorized"}
            if method != "POST":
                return 405, {"detail": "Method Not Allowed"}
            if path == "/v2/repository/index":
                return 200, [{"name": name, "state": "READY" if release else "UNAVAILABLE", "reason": ""}]
            asked = _REPOSITORY.match(path)
            return await self._repository(asked[1], asked[2]) if asked else (404, {"detail": "Not Found"})
        asked = _MODEL.match(path)
        if not asked:
            return 404, {"detail": "Not Found"}
        if asked[1] != name or release is None:
            return 404, {"error": f"Model {asked[1]} not found"}
        if asked[2] == "ready":
            return 200, None
        if asked[2] is None:
            return 200, {"name": name, "versions": [], "platform": "", "inputs": INPUTS, "outputs": []}
        try:
            request = json.loads(body)
            return 200, {"id": request.get("id") or headers.get("x-request-id", ""), **self._infer(request, headers)}
        except (ValueError, AttributeError):
            return 422, {"detail": "unprocessable"}
        except BadRequest as error:
            return 400, {"error": str(error)}
        except LookupError as error:
            return 404, {"error": str(error)}

    def _infer(self, request: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        return self.replica.infer(request, headers)

    async def _repository(self, model: str, verb: str) -> tuple[int, Any]:
        if model != self.replica.place.model:
            return 404, {"error": f"Model {model} not found"}
        async with self._loading:
            if verb == "unload":
                if self.replica.release is None:
                    return 404, {"error": f"Model {model} not found"}
                self.replica.unload()
                return 200, None
            if self.stuck and self.replica.release is not None:
                return 200, None
            try:
                # The registry may be served by this very loop's neighbours; the download must not hold them up.
                await asyncio.to_thread(self.replica.load)
            except Refused as error:
                return 500, {"error": f"Refused: {error}"}
            return 200, None
