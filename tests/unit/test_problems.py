"""Problems: every code is known and explained, in order, each once, with a near word where there is one."""

import ast
import re
from pathlib import Path

import pytest

from playbooks import loader
from playbooks.problems import CODES, MANY, Problem, did_you_mean, has_errors, in_order

PARTS = ("loader*.py", "model*.py", "review*.py", "compile*.py")
TELLERS = {"wrong", "report", "_report", "problem", "Found", "_refused", "YamlDefect", "Problem"}


def codes_in(path: Path) -> set[str]:
    """The codes that a module gives to problems."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in TELLERS:
                found |= {
                    part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return {text for text in found if re.fullmatch(r"[a-z]+(_[a-z]+)+", text)}


def test_every_code_that_is_given_is_explained() -> None:
    folder = Path(loader.__file__).parent
    used = {code for part in PARTS for path in folder.glob(part) for code in codes_in(path)}
    assert len(used) > 15
    assert used <= set(CODES)


def problem(line: int, column: int = 1, code: str = "bad_value", severity: str = "error") -> Problem:
    """A problem at a place."""
    return Problem("a.yaml", line, column, code, severity, "said")  # type: ignore[arg-type]


def test_problems_are_told_by_place_and_each_once() -> None:
    given = [problem(3), problem(1, 9), problem(1, 2), problem(3)]
    assert in_order(given) == [problem(1, 2), problem(1, 9), problem(3)]


def test_only_errors_refuse() -> None:
    assert not has_errors([problem(1, severity="warning")])
    assert has_errors([problem(1, severity="warning"), problem(2)])


def test_it_reads_as_a_compiler_prints_it() -> None:
    found = Problem("a.yaml", 3, 7, "bad_value", "error", "No.", "Do this.")
    assert str(found) == "a.yaml:3:7: error[bad_value]: No.\n  hint: Do this."
    assert found.as_json()["column"] == 7


@pytest.mark.parametrize(
    ("word", "near"),
    [("tokns", "tokens"), ("tokens", "tokens"), ("Tokens", "tokens"), ("xyz", ""), ("", ""), ("t" * 100_000, "")],
)
def test_a_near_word(word: str, near: str) -> None:
    found = did_you_mean(word, ["users", "tokens", "jobs"])
    assert found == (f"Did you mean {near}?" if near else "")


def test_a_near_word_among_many() -> None:
    known = [f"name{number:05d}" for number in range(MANY * 50)] + ["tokens"]
    assert did_you_mean("tokesn", known) == "Did you mean tokens?"
