"""What the peer's routes get and give, in the shapes of MLflow 3.17.2 as seen on the wire.

Answers are pretty-printed JSON without empty lists and mappings; errors carry ``error_code`` and ``message``.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from starlette.responses import Response

T = TypeVar("T")
STATUS = {
    "RESOURCE_DOES_NOT_EXIST": 404,
    "PERMISSION_DENIED": 403,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
    "INTERNAL_ERROR": 500,
}
CLASSES = {"RESOURCE_DOES_NOT_EXIST": "RESOURCE_NOT_FOUND"}


@dataclass
class Call:
    """A request, read whole."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    actor: str = "person"
    rest: str = ""
    """Of the path, what follows the route's own prefix."""
    given: Mapping[str, Any] = field(default_factory=dict)

    def need(self, name: str) -> str:
        """A parameter that must be there."""
        value = self.given.get(name)
        if value is None or value == "":
            raise missing(name)
        return str(value)

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number between 1 and ``most``."""
        text = str(self.given.get(name, default))
        if not text.isdigit() or not 0 < int(text) <= most:
            raise invalid(
                f"Invalid value \"{text}\" for parameter '{name}' supplied:  Hint: Value was of type 'str'. See the "
                "API docs for more information about request parameters."
            )
        return int(text)


class Refusal(Exception):
    """An error in MLflow's shape."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    def response(self) -> Response:
        """As the server sends it."""
        body = {
            "error_code": self.code,
            "message": self.message,
            "sqlstate": "KAM00",
            "error_class": CLASSES.get(self.code, self.code),
        }
        return Response(json.dumps(body), STATUS.get(self.code, 400), media_type="application/json")


def missing(name: str) -> Refusal:
    """A parameter is not there."""
    return invalid(
        f"Missing value for required parameter '{name}'. See the API docs for more information about request "
        "parameters."
    )


def invalid(message: str) -> Refusal:
    """A parameter is not as it should be."""
    return Refusal("INVALID_PARAMETER_VALUE", message)


def gone(message: str) -> NoReturn:
    """What was asked for is not there.

    Raises:
        Refusal: Always.
    """
    raise Refusal("RESOURCE_DOES_NOT_EXIST", message)


def answer(body: Mapping[str, Any]) -> Response:
    """A success."""
    return Response(json.dumps(_full(body), indent=2), 200, media_type="application/json")


def plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """What is no API answer: HTML, as Flask sends it."""
    return Response(text, status, media_type="text/html", headers=dict(headers or {}))


def page(rows: Sequence[T], call: Call, most: int, default: int) -> tuple[Sequence[T], dict[str, str]]:
    """One page of rows, and the token of the next.

    Raises:
        Refusal: The token is none of ours.
    """
    size, start = call.number("max_results", default, most), 0
    token = call.given.get("page_token")
    if token:
        try:
            decoded = base64.b64decode(str(token), validate=True)
        except ValueError:
            raise invalid("Invalid page token, could not base64-decode") from None
        try:
            start = int(json.loads(decoded)["offset"])
        except (ValueError, KeyError, TypeError):
            raise invalid("Invalid page token, parsing error") from None
    rest = rows[start : start + size]
    if start + size >= len(rows):
        return rest, {}
    following = base64.b64encode(json.dumps({"offset": start + size}).encode()).decode()
    return rest, {"next_page_token": following}


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags and parameters as MLflow lists them."""
    return [{"key": key, "value": value} for key, value in values.items()]


def _full(body: Any) -> Any:
    """Without what is empty, as protobuf's JSON leaves out lists that hold nothing."""
    if isinstance(body, Mapping):
        return {name: _full(value) for name, value in body.items() if value is not None and value != []}
    if isinstance(body, list):
        return [_full(value) for value in body]
    return body
