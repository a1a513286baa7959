"""What Slack delivers: by what one thing that a person did is known, however often and by whatever way it comes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playbooks.digest import sha256_hex

ENVELOPE = "x-stanch-envelope"
"""Header that Socket Mode's own receiver sets; nothing that comes by HTTP is believed to have one."""


@dataclass(frozen=True)
class Delivery:
    """One delivery of one thing.

    Attributes:
        id: Of the thing: the same for every delivery of it.
        envelope: Of this delivery over a socket; empty over HTTP.
        retried: Whether Slack itself says that it delivers again.
    """

    id: str
    envelope: str = ""
    retried: bool = False

    def repeats(self, envelope: str) -> bool:
        """Whether this is but a further delivery by Slack of what came first in ``envelope``."""
        return self.retried or bool(self.envelope and self.envelope == envelope)


def delivery(body: Mapping[str, Any], headers: Mapping[str, Any], *, socket: bool) -> Delivery:
    """What a payload is known by."""
    envelope = _header(headers, ENVELOPE) if socket else ""
    return Delivery(_id(body), envelope, bool(_header(headers, "x-slack-retry-num")))


def _id(body: Mapping[str, Any]) -> str:
    kind = str(body.get("type") or ("command" if body.get("command") else "unknown"))
    if kind == "block_actions":
        action = (body.get("actions") or [{}])[0]
        container = body.get("container") or {}
        place = str(container.get("message_ts") or container.get("view_id") or "")
        return _named("click", str(body["user"]["id"]), str(action.get("action_ts")), place, str(action["action_id"]))
    if kind == "event_callback":
        return _named("event", str(body.get("event_id")))
    trigger = str(body.get("trigger_id") or "")
    if trigger:
        return _named(kind, trigger)
    view = body.get("view") or {}
    return _named(kind, str(view.get("id")), str(view.get("hash")))


def _named(kind: str, *parts: str) -> str:
    return f"{kind}/{sha256_hex('|'.join(f'{len(part)}:{part}' for part in parts).encode())[:40]}"


def _header(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    if isinstance(value, list | tuple):
        value = value[0] if value else ""
    return str(value or "")
