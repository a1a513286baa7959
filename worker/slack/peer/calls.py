"""One call of the Web API: its arguments, the scopes it needs, and the register of methods.

Errors are answers with HTTP 200 (docs.slack.dev/apis/web-api/#responses); tiers as in
docs.slack.dev/apis/web-api/rate-limits.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from worker.slack.peer.messages import Message, message_json
from worker.slack.peer.state import Channel, Refused, Workspace

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call by the app.

    Attributes:
        given: Query and body together; values are text when they came in a form.
        url: Of this server, without a slash at the end.
        events: Where a method puts (event type, fields) for subscribers.
    """

    state: Workspace
    method: str
    given: Json
    url: str
    events: list[tuple[str, Json]] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        """An argument as text."""
        value = self.given.get(name)
        return default if value is None else str(value)

    def required(self, name: str) -> str:
        """An argument that must be there.

        Raises:
            Refused: ``invalid_arguments``.
        """
        value = self.text(name)
        if not value:
            raise Refused("invalid_arguments", f"missing required field: {name}")
        return value

    def flag(self, name: str) -> bool:
        """An argument that is true or false."""
        return str(self.given.get(name, "")).lower() in ("true", "1")

    def number(self, name: str, default: int) -> int:
        """An argument that is a whole number.

        Raises:
            Refused: ``invalid_arguments``.
        """
        try:
            return int(self.given.get(name) or default)
        except (TypeError, ValueError):
            raise Refused("invalid_arguments", f"must be an integer: {name}") from None

    def json(self, name: str, error: str = "invalid_arguments") -> Any:
        """An argument that is JSON, or JSON in text; None if not given.

        Raises:
            Refused: ``error``: it is no JSON.
        """
        value = self.given.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except ValueError:
            raise Refused(error) from None

    def need(self, scope: str) -> None:
        """Raises: Refused: ``missing_scope``."""
        if scope not in self.state.scopes:
            raise Refused("missing_scope", needed=scope, provided=",".join(sorted(self.state.scopes)))

    def need_for(self, channel: Channel, public: str, private: str) -> None:
        """The scope for a channel's type, ``channels:…`` or ``groups:…``; of direct messages ``im:…``."""
        if channel.is_im:
            self.need("im:" + private.split(":")[1])
        else:
            self.need(private if channel.is_private else public)

    def channel(self, name: str = "channel") -> Channel:
        """The channel named by an argument; raises ``Refused``."""
        return self.state.channel(self.required(name))

    def member_of(self, channel: Channel) -> None:
        """Raises: Refused: ``not_in_channel``."""
        if self.state.bot_user_id not in channel.members:
            raise Refused("not_in_channel")

    def message(self, channel: Channel, name: str = "timestamp") -> Message:
        """A message that stands; raises ``Refused``: ``message_not_found``."""
        found = channel.message(self.required(name))
        if found is None:
            raise Refused("message_not_found")
        return found

    def page(self, items: list[Any], default: int = 100) -> tuple[list[Any], str]:
        """The page that ``cursor`` and ``limit`` ask for, and the next cursor (docs.slack.dev/apis/web-api/pagination).

        Raises:
            Refused: ``invalid_cursor`` or ``invalid_limit``.
        """
        limit = self.number("limit", default)
        if not 1 <= limit <= 1000:
            raise Refused("invalid_limit")
        cursor = self.text("cursor")
        start = 0
        if cursor:
            head, _, tail = cursor.partition("-")
            if head != "next" or not tail.isdigit():
                raise Refused("invalid_cursor")
            start = int(tail)
        following = start + limit
        return items[start:following], f"next-{following}" if following < len(items) else ""

    def show(self, message: Message, *, metadata: bool = False) -> Json:
        """A message as this app sees it, with the figures of its thread."""
        replies = self.state.replies(message)
        return message_json(message, self.state.team_id, metadata=metadata, replies=replies)


@dataclass(frozen=True)
class Method:
    """A method: the scope it always needs, calls a minute by its tier, and what it does."""

    name: str
    scope: str
    tier: int
    run: Callable[[Call], Json]


METHODS: dict[str, Method] = {}


def method(name: str, scope: str = "", *, tier: int = 3) -> Callable[[Callable[[Call], Json]], Callable[[Call], Json]]:
    """Registers a method of the Web API."""

    def register(run: Callable[[Call], Json]) -> Callable[[Call], Json]:
        METHODS[name] = Method(name, scope, tier, run)
        return run

    return register
