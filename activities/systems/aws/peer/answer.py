"""How the peer answers: a result or an error, in the query protocol's XML or as JSON 1.1."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

NAMESPACES = {"iam": "https://iam.amazonaws.com/doc/2010-05-08/", "sts": "https://sts.amazonaws.com/doc/2011-06-15/"}
REQUEST = "00000000-0000-4000-8000-000000000000"


class Fault(Exception):
    """An error answer."""

    def __init__(self, code: str, status: int = 400, message: str = "") -> None:
        super().__init__(code)
        self.code, self.status, self.message = code, status, message or code


def xml(service: str, operation: str, result: Mapping[str, Any]) -> bytes:
    """A result of the query protocol."""
    body = f"<{operation}Result>{_inner(result)}</{operation}Result>" if result else ""
    meta = f"<ResponseMetadata><RequestId>{REQUEST}</RequestId></ResponseMetadata>"
    return f'<{operation}Response xmlns="{NAMESPACES[service]}">{body}{meta}</{operation}Response>'.encode()


def xml_fault(service: str, fault: Fault) -> bytes:
    """An error of the query protocol."""
    inner = f"<Type>Sender</Type><Code>{fault.code}</Code><Message>{escape(fault.message)}</Message>"
    space = NAMESPACES.get(service, NAMESPACES["iam"])
    text = f'<ErrorResponse xmlns="{space}"><Error>{inner}</Error><RequestId>{REQUEST}</RequestId></ErrorResponse>'
    return text.encode()


def plain(result: Mapping[str, Any]) -> bytes:
    """A result of JSON 1.1: instants are seconds since 1970."""
    return json.dumps(_seconds(result)).encode()


def plain_fault(fault: Fault) -> bytes:
    """An error of JSON 1.1."""
    return json.dumps({"__type": fault.code, "message": fault.message}).encode()


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(f"<{name}>{_inner(part)}</{name}>" for name, part in value.items() if part is not None)
    if isinstance(value, list | tuple):
        return "".join(f"<member>{_inner(part)}</member>" for part in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return escape(str(value))


def _seconds(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _seconds(part) for name, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_seconds(part) for part in value]
    return value.timestamp() if isinstance(value, datetime) else value
