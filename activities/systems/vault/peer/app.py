"""A simulated Vault (or OpenBao) as an ASGI application: the part of its HTTP API that Stanch and the tests use.

What changes something there (``CHANGING``): method, path below ``/v1/``, the kind of effect, and where its target is
named. The mounts are those of the settings.
"""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from activities.systems.vault.peer.access import Access
from activities.systems.vault.peer.engines import Engines
from activities.systems.vault.peer.state import State
from activities.systems.vault.peer.wire import Call, Refusal

CHANGING = (
    ("POST", r"^TRANSIT/keys/([^/]+)/rotate$", "rotate_key", "path"),
    ("POST", r"^TRANSIT/keys/([^/]+)/config$", "set_minimum", "path"),
    ("POST", r"^KV/data/(.+)$", "write_secret", "path"),
    ("PUT", r"^sys/leases/revoke-prefix/(.+)$", "revoke_prefix", "path; the leases below it are what it causes"),
    ("POST", r"^auth/APPROLE/role/([^/]+)/secret-id-accessor/destroy$", "destroy_secret_id", "`secret_id_accessor`"),
)
"""Beside these, ``POST KV/metadata/PATH`` writes the mark of a roll and belongs to its ``write_secret``."""


class VaultPeer:
    """One simulated server. Requests are carried out one at a time, in the loop's thread."""

    name = "vault"

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()
        self._access, self._engines = Access(self.state), Engines(self.state)

    def view(self) -> dict[str, Any]:
        """Its state, without secrets."""
        return self.state.view()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        content = await request.body()
        try:
            response = self._serve(request, content)
        except Refusal as refusal:
            response = refusal.response
        response.headers["Cache-Control"] = "no-store"
        await response(scope, receive, send)

    def _serve(self, request: Request, content: bytes) -> Response:
        if not request.url.path.startswith("/v1/"):
            raise Refusal(404, "no handler for route")
        query = dict(request.query_params)
        method = "LIST" if request.method == "GET" and query.get("list") == "true" else request.method
        try:
            body = json.loads(content) if content else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refusal(400, "failed to parse JSON input: invalid character")
        call = Call(method, request.url.path.removeprefix("/v1/").strip("/"), query, body)
        if self.state.sealed and call.path not in ("sys/health", "sys/seal-status"):
            raise Refusal(503, "Vault is sealed")
        call.token = self.state.token(request.headers.get("x-vault-token", ""))
        if not self._access.is_open(call):
            self._access.check(call)
        found = self._access.serve(call) or self._engines.serve(call)
        if found is None:
            raise Refusal(404, f"no handler for route {call.path!r}. route entry not found.")
        return found
