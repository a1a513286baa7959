"""``-i k=v`` and ``-f k=v``: text from a shell, read as the declared type."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from worker.cli.output import fail

YES = frozenset({"yes", "true", "y", "1", "on"})
NO = frozenset({"no", "false", "n", "0", "off"})


def pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """``k=v`` words as a mapping.

    Raises:
        Refused: ``bad_value``, exit 2, for a word without ``=`` or a name given twice.
    """
    found: dict[str, str] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or not name:
            fail("bad_value", f"{option} {word!r} is not NAME=VALUE. Nothing was done.", exit_code=2)
        if name in found:
            fail("bad_value", f"{option} {name} is given twice. Nothing was done.", exit_code=2)
        found[name] = value
    return found


def typed(given: Mapping[str, str], declared: Mapping[str, Mapping[str, Any]], option: str) -> dict[str, Any]:
    """Read each value as its declared type (``string integer number boolean … list[TYPE]``).

    Raises:
        Refused: ``bad_value`` for an unknown name or a value that is not of its type.
    """
    read: dict[str, Any] = {}
    for name, text in given.items():
        if name not in declared:
            known = ", ".join(declared) or "none"
            fail("bad_value", f"{option} {name}: there is no such field (known: {known}). Nothing was done.")
        field = declared[name]
        read[name] = _read(text, str(field.get("type", "string")), field.get("options") or (), f"{option} {name}")
    return read


def _read(text: str, type_: str, options: Iterable[str], where: str) -> Any:
    if type_.startswith("list["):
        inner = type_[5:-1]
        if text.lstrip().startswith("["):
            try:
                items = json.loads(text)
            except (ValueError, RecursionError):
                fail("bad_value", f"{where}: not a JSON list. Nothing was done.")
            return items
        return [_read(part.strip(), inner, options, where) for part in text.split(",") if part.strip()]
    if type_ == "boolean":
        if text.lower() in YES | NO:
            return text.lower() in YES
        fail("bad_value", f"{where}: {text!r} is neither yes nor no. Nothing was done.")
    if type_ in ("integer", "number"):
        try:
            return int(text) if type_ == "integer" else float(text)
        except ValueError:
            fail("bad_value", f"{where}: {text!r} is no {type_}. Nothing was done.")
    if type_ == "choice" and options and text not in options:
        fail("bad_value", f"{where}: {text!r} is none of {', '.join(options)}. Nothing was done.")
    return text
