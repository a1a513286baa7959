"""What is wrong with an author's file: where, with a stable code, in words, and how to mend it."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Literal

from playbooks.contract import Json

CODES: dict[str, str] = {
    "not_found": "There is no such file or folder.",
    "yaml_syntax": "The file is no valid YAML, or uses parts of it that are not allowed.",
    "yaml_tag": "A tag stands in the file.",
    "yaml_too_big": "The file is too large, too deep, or could grow without bound (anchors, aliases).",
    "unknown_key": "There is no such key, parameter, input or field.",
    "missing_key": "Something that is needed is not there.",
    "bad_value": "This value cannot stand here.",
    "wrong_type": "This takes another type.",
    "not_in_this_version": "A part of the language that this version does not run.",
    "unknown_action": "There is no such action.",
    "unknown_step": "There is no such step or playbook.",
    "used_before": "It has not run when it is read.",
    "maybe_unset": "It may be unset when it is read: use `default()`, `is defined`, or a `when` or `if` that tests it.",
    "duplicate_id": "The id is already taken, in the file or in the library.",
    "playbook_cycle": "Playbooks run each other.",
    "unbounded_repeat": "A repeat has no bound: it needs `at_most`.",
    "wait_without_end": "A wait has no end: it needs `within`, and an `on_timeout` that ends.",
    "name_taken": "The name already means something.",
    "unsafe_expression": "The expression leaves its grammar.",
    "plan_too_large": "The plan is larger than 256 KB, or playbooks are nested more than five deep.",
    "approval_missing": "An effect that policy gates can be reached without approval.",
    "approval_depends": "Warning: an effect is free from some severity on, and asks by itself below it.",
    "approval_inputs_unknown": "What an approved step depends on is not known when people are asked.",
    "approval_unreachable": "Nobody can decide.",
    "evidence_missing": "An action may destroy evidence that is not secured before it on every way.",
    "unverified_target": "A containing step acts on what an alert names, and no read of that system looked it up.",
    "duty_can_be_skipped": "A legal duty stands where a denial, a failure or a stop passes it by.",
}
"""Every code of a playbook's problems, and what it means. Codes never change."""
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
