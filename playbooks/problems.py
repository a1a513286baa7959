"""What is wrong with an author's file: where, with a stable code, in words, and how to mend it."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Literal

from playbooks.contract import Json

MANY = 60
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One located problem. ``line`` and ``column`` count from 1; errors refuse to start, warnings print."""

    file: str
    line: int
    column: int
    code: str
    severity: Severity
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """As a compiler prints it, so that editors and terminals can jump to the place."""
        text = f"{self.file}:{self.line}:{self.column}: {self.severity}[{self.code}]: {self.message}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text

    def as_json(self) -> dict[str, Json]:
        """All fields by name, as ``playbook validate --json`` prints them."""
        return asdict(self)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By place, each once."""
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda found: (found.file, found.line, found.column, found.code, found.message))


def has_errors(problems: Iterable[Problem]) -> bool:
    """Whether anything refuses the start."""
    return any(found.severity == "error" for found in problems)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word; empty if none is near."""
    words = sorted(known)
    if len(words) > MANY:
        # To compare with all of them takes too long; neighbours begin alike, as a word and its misspelling do.
        place = bisect_left(words, word)
        words = words[max(0, place - MANY // 2) : place + MANY // 2]
    near = get_close_matches(word[:64], words, n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else ""
