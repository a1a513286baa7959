"""What the clients of all systems do alike: read their settings, and hear how long they are to wait."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from activities.errors import AuthFailed

LONGEST_WAIT = 3600
"""Seconds that a server may ask us to wait at most."""

C = TypeVar("C", bound=BaseModel)


def settings_of(model: type[C], system: str, table: Mapping[str, Any] | C) -> C:
    """The table ``[systems.SYSTEM]`` in its shape; one that has it already is taken as it is.

    Raises:
        AuthFailed: It cannot be used; the message says where and why, and never what stands there.
    """
    if isinstance(table, model):
        return table
    try:
        return model.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "settings"
        raise AuthFailed(f"systems.{system}: {place}: {first['msg']}. Nothing was done. Mend the settings.") from None


def wait_of(headers: Mapping[str, str] | None, name: str = "Retry-After") -> timedelta | None:
    """What an answer's Retry-After says in seconds (RFC 9110 §10.2.3); a date there, or nothing, is ``None``."""
    text = str((headers or {}).get(name, ""))
    # The first ten digits are more than the longest wait; a number has no end that a server must keep to.
    return timedelta(seconds=min(int(text[:10]), LONGEST_WAIT)) if text.isdecimal() else None
