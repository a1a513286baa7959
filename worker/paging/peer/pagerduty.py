"""A simulated PagerDuty: Events v2, and what of REST the pager asks. It is for exercises and tests."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class PagerDutyPeer:
    """One account. ``faults`` holds statuses that the next requests get instead of an answer.

    Attributes:
        routing_key: The key that events must carry.
        api_token: The token that REST requests must carry.
        events: Events taken, oldest first.
        incidents: By dedup_key: ``status``, ``opened`` (how often it was opened), ``by``.
        on_call: Schedule id to ids of users.
        page_size: Rows in one answer of the REST API.
    """

    routing_key: str = "R" * 32
    api_token: str = "u+peer"
    events: list[dict[str, Any]] = field(default_factory=list)
    incidents: dict[str, dict[str, Any]] = field(default_factory=dict)
    on_call: dict[str, list[str]] = field(default_factory=dict)
    faults: list[int] = field(default_factory=list)
    page_size: int = 100

    def __enter__(self) -> "PagerDutyPeer":
        """Listen on a free port of this machine."""
        peer = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
                self._say(*peer.post(urlsplit(self.path).path, body))

            def do_GET(self) -> None:
                where = urlsplit(self.path)
                self._say(*peer.get(where.path, parse_qs(where.query), self.headers.get("authorization") or ""))

            def _say(self, status: int, body: Mapping[str, Any]) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Base address of both APIs."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def acknowledge(self, dedup_key: str, user: str) -> None:
        """Acknowledge an incident, as a user does in the app."""
        self.incidents[dedup_key] |= {"status": "acknowledged", "by": user}

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Take an event: status and answer."""
        if self.faults:
            return self.faults.pop(0), {"status": "fault"}
        if path != "/v2/enqueue":
            return 404, {}
        payload, key = body.get("payload") or {}, body.get("dedup_key") or ""
        opening = body.get("event_action") == "trigger"
        if body.get("routing_key") != self.routing_key or not 0 < len(key) <= 255:
            return 400, {"status": "invalid event", "message": "Event object is invalid"}
        if opening and not (0 < len(payload.get("summary", "")) <= 1024 and payload.get("source")):
            return 400, {"status": "invalid event", "message": "payload is invalid"}
        self.events.append(body)
        known = self.incidents.get(key)
        if opening and (known is None or known["status"] == "resolved"):
            self.incidents[key] = {"status": "triggered", "by": None, "opened": (known or {}).get("opened", 0) + 1}
        elif known is not None and not opening and known["status"] != "resolved":
            known["status"] = "acknowledged" if body["event_action"] == "acknowledge" else "resolved"
        return 202, {"status": "success", "message": "Event processed", "dedup_key": key}

    def get(self, path: str, query: Mapping[str, list[str]], authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer a REST request: status and document."""
        if self.faults:
            return self.faults.pop(0), {"error": {"message": "fault"}}
        if authorization != f"Token token={self.api_token}":
            return 401, {"error": {"message": "Unauthorized"}}
        if path == "/abilities":
            return 200, {"abilities": ["teams"]}
        if path == "/oncalls":
            users = [user for one in query.get("schedule_ids[]", []) for user in self.on_call.get(one, [])]
            return 200, self._paged("oncalls", [{"user": {"id": user}} for user in users], query)
        if path == "/incidents":
            keys = query.get("incident_key", [])
            return 200, self._paged(
                "incidents", [_shown(self.incidents[key]) for key in keys if key in self.incidents], query
            )
        return 404, {"error": {"message": "Not Found"}}

    def _paged(self, name: str, rows: list[dict[str, Any]], query: Mapping[str, list[str]]) -> dict[str, Any]:
        offset = int(query.get("offset", ["0"])[0])
        part = rows[offset : offset + self.page_size]
        return {name: part, "offset": offset, "limit": self.page_size, "more": offset + len(part) < len(rows)}


def _shown(incident: Mapping[str, Any]) -> dict[str, Any]:
    acknowledged = [{"acknowledger": {"id": incident["by"]}}] if incident["by"] else []
    return {"status": incident["status"], "acknowledgements": acknowledged}
