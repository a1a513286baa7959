"""Finding the expressions within a text: ``{{ ... }}``, and nothing else of Jinja's.

Pure and deterministic. Quotes are respected, so that an expression may contain braces in a string.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from playbooks.contract import Json

_OPEN = re.compile(r"\{[{%#]")
_NEXT = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|['"]|[{}]""", re.DOTALL)


class ExprError(ValueError):
    """An expression that is refused or fails.

    ``code`` is ``unsafe_expression`` (it leaves the grammar), ``undefined``, ``type`` or ``too_large``.
    """

    def __init__(self, code: str, message: str) -> None:
        """``message`` says what is wrong, for the author."""
        super().__init__(message)
        self.code = code


class Part(NamedTuple):
    """A stretch of a text: literal, or the source of an expression without its braces."""

    text: str
    is_expression: bool


@lru_cache(maxsize=4096)
def parts(text: str) -> tuple[Part, ...]:
    """Split a text.

    Raises:
        ExprError: ``unsafe_expression`` for braces without an end, statements and comments.
    """
    found: list[Part] = []
    start = 0
    while opening := _OPEN.search(text, start):
        if opening.group() != "{{":
            said = f"Statements and comments ({opening.group()}) are not part of the language; only {{{{ ... }}}} is."
            raise ExprError("unsafe_expression", said)
        if opening.start() > start:
            found.append(Part(text[start : opening.start()], False))
        end = _end(text, opening.end())
        found.append(Part(text[opening.end() : end].strip(), True))
        start = end + 2
    if start < len(text):
        found.append(Part(text[start:], False))
    return tuple(found)


def _end(text: str, start: int) -> int:
    """Where the ``}}`` of an expression stands; braces of a mapping inside of it are counted."""
    depth = 0
    position = start
    while token := _NEXT.search(text, position):
        position = token.end()
        if token.group() == "{":
            depth += 1
        elif token.group() == "}":
            if depth:
                depth -= 1
            elif text.startswith("}}", token.start()):
                return token.start()
            else:
                break
        elif token.group() in "'\"":
            raise ExprError("unsafe_expression", "A quote in an expression is not closed.")
    raise ExprError("unsafe_expression", "An expression begins with {{ but does not end with }}.")


def sole(text: str) -> str | None:
    """The expression of a text that is exactly one ``{{ ... }}``; ``None`` for any other text."""
    found = parts(text.strip())
    return found[0].text if len(found) == 1 and found[0].is_expression else None


def bare(text: str) -> str:
    """The expression of a condition, written with braces or without.

    Raises:
        ExprError: It mixes text and expressions.
    """
    found = parts(text.strip())
    if any(part.is_expression for part in found):
        if len(found) > 1:
            raise ExprError("unsafe_expression", "A condition is one expression, without text around it.")
        return found[0].text
    return text.strip()


def templates(value: Json) -> Iterator[str]:
    """Every expression within a value, at any depth, as its source without braces.

    Raises:
        ExprError: A text has braces without an end.
    """
    if isinstance(value, str):
        yield from (part.text for part in parts(value) if part.is_expression)
    elif isinstance(value, dict):
        for item in value.values():
            yield from templates(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from templates(item)
