"""``-i k=v`` and ``-f k=v``: text from a shell, read as the declared type."""

from collections.abc import Iterable, Mapping
from typing import Any

from worker.cli.output import fail
from worker.typed_values import NotOfType, read


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
    found: dict[str, Any] = {}
    for name, text in given.items():
        if name not in declared:
            known = ", ".join(declared) or "none"
            fail("bad_value", f"{option} {name}: there is no such field (known: {known}). Nothing was done.")
        field = declared[name]
        try:
            found[name] = read(text, str(field.get("type", "string")), field.get("options") or ())
        except NotOfType as wrong:
            fail("bad_value", f"{option} {name}: {wrong}. Nothing was done.")
    return found
