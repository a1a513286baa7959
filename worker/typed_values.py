"""Text that a person gave, read as its declared type: one rule for the shell, for forms and for whatever comes."""

import json
from collections.abc import Iterable
from typing import Any

YES = frozenset({"yes", "true", "y", "1", "on"})
NO = frozenset({"no", "false", "n", "0", "off"})


class NotOfType(ValueError):
    """Text that is not of the type; the message says so in words, to be put after a field's name."""


def read(text: str, type_: str, options: Iterable[str] = ()) -> Any:
    """The value of a text as ``string integer number boolean datetime duration choice`` or ``list[TYPE]``.

    Raises:
        NotOfType: It is none.
    """
    if type_.startswith("list["):
        if text.lstrip().startswith("["):
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                raise NotOfType("not a JSON list") from None
        return [read(part.strip(), type_[5:-1], options) for part in text.split(",") if part.strip()]
    if type_ == "boolean":
        if text.lower() in YES | NO:
            return text.lower() in YES
        raise NotOfType(f"{text!r} is neither yes nor no")
    if type_ in ("integer", "number"):
        try:
            return int(text) if type_ == "integer" else float(text)
        except ValueError:
            raise NotOfType(f"{text!r} is no {type_}") from None
    known = list(options)
    if type_ == "choice" and known and text not in known:
        raise NotOfType(f"{text!r} is none of {', '.join(known)}")
    return text
