"""What a request to a simulated Vault is, and how it answers."""

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response

from activities.systems.vault.peer.state import Token

CAPABILITY = {"GET": "read", "LIST": "list", "POST": "update", "PUT": "update", "DELETE": "delete", "HEAD": "read"}


class Refusal(Exception):
    """An answer that is not a success: ``{"errors": […]}``."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(*errors)
        self.response = JSONResponse({"errors": list(errors)}, status)


@dataclass
class Call:
    """One request; ``path`` is what follows ``/v1/``."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]
    token: Token | None = None
    parts: tuple[str, ...] = field(default=())

    def matched(self, pattern: str) -> bool:
        """Whether the path is of this form; its groups become ``parts``."""
        found = re.fullmatch(pattern, self.path)
        self.parts = found.groups() if found else ()
        return found is not None


def data(found: dict[str, Any], **more: Any) -> Response:
    """A 200 with ``data``."""
    answer = {"request_id": str(uuid.uuid4()), "lease_id": "", "renewable": False, "lease_duration": 0, "data": found}
    return JSONResponse({**answer, "wrap_info": None, "warnings": None, "auth": None, **more})


def nothing() -> Response:
    """A 204, as most changes are answered."""
    return Response(status_code=204)


def keys(names: list[str]) -> Response:
    """A listing; an empty one is a 404."""
    if not names:
        raise Refusal(404)
    return data({"keys": sorted(names)})


def folders(paths: list[str], below: str) -> list[str]:
    """Names directly below a path; a folder ends with a slash."""
    rest = [path.removeprefix(below) for path in paths if path.startswith(below)]
    return sorted({name.partition("/")[0] + ("/" if "/" in name else "") for name in rest})
