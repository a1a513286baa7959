"""What the peer's routes get and give: a request with its principal, answers in Salesforce's shapes."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

from activities.systems.salesforce.peer.state import Principal


@dataclass
class Call:
    """A request, read whole. ``read`` collects what it looked at, for the log."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    who: Principal | None = None
    match: re.Match[str] | None = None
    read: list[str] = field(default_factory=list)
    acted: str | None = None
    """Who acted, where a credential says so that is in the request itself or is no longer accepted."""

    @property
    def actor(self) -> str:
        """Whose credentials they are, valid or not; a person's where there are none."""
        return self.acted or (self.who.actor if self.who else "person")

    @property
    def form(self) -> dict[str, str]:
        """A form body; the first value of each field."""
        return {name: values[0] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}

    def json(self) -> Any:
        """A JSON body."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Refusal(400, "JSON_PARSER_ERROR", "The body is not JSON") from None

    def part(self, name: str) -> str:
        """A named part of the path."""
        assert self.match is not None
        return self.match.group(name)

    def principal(self) -> Principal:
        """Who asks; the route needs somebody."""
        if self.who is None:
            raise Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return self.who

    def need(self, permission: str) -> Principal:
        """Who asks, if they have a permission."""
        who = self.principal()
        if permission not in who.user.permissions:
            raise Refusal(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on cross-reference id")
        return who


Route = tuple[str, re.Pattern[str], Callable[[Call], Response]]


class Refusal(Exception):
    """An error in REST's shape: a JSON array."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def response(self) -> Response:
        """As the vendor sends it."""
        return JSONResponse([{"message": self.message, "errorCode": self.code}], self.status)


class OAuthRefusal(Exception):
    """An error in OAuth's shape: an object."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.status, self.code, self.description = status, code, description

    def response(self) -> Response:
        """As the vendor sends it."""
        return JSONResponse({"error": self.code, "error_description": self.description}, self.status)


def route(method: str, path: str, function: Callable[[Call], Response]) -> Route:
    """A route; ``{name}`` in the path is one segment."""
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
    return method, re.compile(f"{pattern}/?"), function
