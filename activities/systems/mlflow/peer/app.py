"""The simulated MLflow server as an ASGI application: authentication, routes, artifact proxy.

It answers as MLflow 3.17.2 does; a conformity test compares both. What changes its state, and how a front may name
it, is in ``CHANGING``.
"""

import json
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from activities.systems.mlflow.peer.registry import Models
from activities.systems.mlflow.peer.state import Registry
from activities.systems.mlflow.peer.tracking import Tracking
from activities.systems.mlflow.peer.wire import Call, Refusal, invalid, plain

API = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
VERSION = "3.17.2"
NOT_FOUND = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n"
WRONG_METHOD = "<!doctype html>\n<html lang=en>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n"
WHO = "You are not authenticated."

CHANGING: dict[tuple[str, str], tuple[str, str]] = {
    ("POST", "registered-models/create"): ("create_model", "{name}"),
    ("POST", "registered-models/set-tag"): ("tag_model", "{name}:{key}"),
    ("DELETE", "registered-models/delete-tag"): ("untag_model", "{name}:{key}"),
    ("POST", "registered-models/alias"): ("move_alias", "{name}@{alias}"),
    ("DELETE", "registered-models/alias"): ("delete_alias", "{name}@{alias}"),
    ("POST", "model-versions/create"): ("create_version", "{name}"),
    ("DELETE", "model-versions/delete"): ("delete_version", "{name}/{version}"),
    ("POST", "model-versions/set-tag"): ("tag_version", "{name}/{version}:{key}"),
    ("DELETE", "model-versions/delete-tag"): ("untag_version", "{name}/{version}:{key}"),
    ("POST", "experiments/create"): ("create_experiment", "{name}"),
    ("POST", "runs/create"): ("create_run", "{experiment_id}"),
    ("POST", "runs/update"): ("update_run", "{run_id}"),
    ("POST", "runs/log-batch"): ("log_run", "{run_id}"),
    ("POST", "runs/log-metric"): ("log_run", "{run_id}"),
    ("POST", "runs/log-parameter"): ("log_run", "{run_id}"),
    ("POST", "runs/set-tag"): ("log_run", "{run_id}"),
}
"""Every request that changes something, behind ``/api/2.0/mlflow/``: its kind, and its target out of the JSON body.
Beside these PUT (``write_file``) and DELETE (``delete_file``) of ``/api/2.0/mlflow-artifacts/artifacts/PATH``. Each
is done only if it was answered with 200."""


class MlflowPeer:
    """One simulated server over HTTP. Requests are carried out one at a time, in the loop's thread."""

    name = "mlflow"

    def __init__(self, state: Registry | None = None) -> None:
        """``state`` is what it keeps; by default empty, and open to anybody."""
        self.state = state or Registry()
        self._tracking = Tracking(self.state)
        self._routes = {**Models(self.state).routes(), **self._tracking.routes()}

    def view(self) -> dict[str, Any]:
        """Its state, without secrets."""
        return self.state.view()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        call = Call(request.method, request.url.path, dict(request.query_params), await request.body())
        try:
            response = self._served(call, request.headers.get("authorization", ""))
        except Refusal as refusal:
            response = refusal.response()
        await response(scope, receive, send)

    def _served(self, call: Call, credential: str) -> Response:
        if call.path in ("/health", "/version"):
            return plain(200, "OK" if call.path == "/health" else VERSION)
        if self.state.accounts:
            actor = self.state.accounts.get(credential)
            if actor is None:
                return plain(401, WHO, {"WWW-Authenticate": 'Basic realm="mlflow"'})
            call.actor = actor
        if call.path == PROXY and call.method == "GET":
            call.given = call.query
            return self._tracking.proxied_list(call)
        if call.path.startswith(f"{PROXY}/"):
            if call.method not in ("GET", "PUT", "DELETE"):
                return plain(405, WRONG_METHOD)
            call.rest = call.path[len(PROXY) + 1 :]
            return self._tracking.proxied(call)
        route = call.path.removeprefix(API) if call.path.startswith(API) else ""
        function = self._routes.get((call.method, route))
        if function is None:
            known = any(route == name for _, name in self._routes)
            return plain(405, WRONG_METHOD) if known else plain(404, NOT_FOUND)
        call.given = call.query if call.method == "GET" else _body(call)
        return function(call)


def target_of(method: str, path: str, body: bytes) -> tuple[str, str] | None:
    """Kind and target of a changing request, for a record of effects; ``None`` for one that changes nothing."""
    if path.startswith(f"{PROXY}/") and method in ("PUT", "DELETE"):
        return ("write_file" if method == "PUT" else "delete_file"), path[len(PROXY) + 1 :]
    known = CHANGING.get((method, path.removeprefix(API)))
    if known is None:
        return None
    try:
        given = json.loads(body)
    except ValueError:
        given = {}
    values = given if isinstance(given, dict) else {}
    return known[0], re.sub(r"\{(\w+)\}", lambda match: str(values.get(match.group(1), "")), known[1])


def _body(call: Call) -> dict[str, Any]:
    if not call.body:
        return {}
    try:
        found = json.loads(call.body)
    except ValueError:
        raise invalid("The request body could not be parsed as JSON.") from None
    if not isinstance(found, dict):
        raise invalid("The request body is not a JSON object.")
    return found
