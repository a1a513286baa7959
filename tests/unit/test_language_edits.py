"""Whatever an editor's slip makes of a playbook: problems at places of the file, never an exception, and soon."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.catalog import CATALOG
from playbooks.compile import validate
from playbooks.contract import RunContext
from playbooks.digest import jcs
from playbooks.loader import Library, load_text
from playbooks.policy import Policy
from playbooks.problems import Problem
from playbooks.regimes_loader import shipped
from tests.unit.test_compile import INCIDENT, compile_plan
from worker.desk.playbooks import described

CONTRACT = (Path(__file__).resolve().parents[1] / "data" / "playbooks" / "contract.yaml").read_text(encoding="utf-8")
LIBRARY, ACTIONS = Library.shipped(), CATALOG.facts()
TEXTS = {"contract": CONTRACT, **{source.playbook.id: source.text for source in LIBRARY.sources()}}


def judged(text: str) -> list[Problem]:
    """Every problem of a text; if it has none, its plan is written too."""
    source, found = load_text(text, "edited.yaml")
    if source is not None:
        found = validate(source, library=LIBRARY, actions=ACTIONS, regimes=shipped)
        described(source)
    lines = text.count("\n") + 1
    for problem in found:
        if problem.file == "edited.yaml":
            assert 1 <= problem.line <= lines and problem.column >= 1, problem
        assert problem.message and problem.code.replace("_", "").isalpha()
    if source is not None and not [problem for problem in found if problem.severity == "error"]:
        plan = compile_plan(source, library=LIBRARY, actions=ACTIONS, policy=Policy(), inputs={}, incident=INCIDENT,
                            context=RunContext(), ask_missing=True)  # fmt: skip
        assert plan.plan is None or jcs(plan.plan)
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_as_they_are_they_are_fine(name: str) -> None:
    # What is free from some severity on is meant so there, and asks by itself below it.
    assert [problem for problem in judged(TEXTS[name]) if problem.code != "approval_depends"] == []


@pytest.mark.parametrize("name", TEXTS)
def test_without_a_line(name: str) -> None:
    lines = TEXTS[name].splitlines(keepends=True)
    # A playbook that runs many others takes a third of a second each time.
    tries = 10 if TEXTS[name].count("playbook:") > 3 else 40
    for number in range(0, len(lines), max(1, len(lines) // tries)):
        judged("".join(lines[:number] + lines[number + 1 :]))


def test_with_any_one_line_slipped() -> None:
    lines = CONTRACT.splitlines(keepends=True)
    for number, line in enumerate(lines):
        for slipped in (f"  {line}", line[2:], f"\t{line}", line.replace(":", "", 1), line.replace('"', "", 1), line * 2,
                        line.replace("{", "", 1), line.replace("]", "", 1)):  # fmt: skip
            judged("".join([*lines[:number], slipped, *lines[number + 1 :]]))


ODD: list[Any] = [None, True, 0, -1, 1.5, "", "x", "{{", "{{ x }}", "{{ ().__class__ }}", "{{ steps.go.approved }}", "5m", [], {},
                  ["x"], {"x": "y"}, [[]], [None], {"x": None}, "stop", "a" * 300, "\u2603"]  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place within a value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in parts for place in places(item, (*at, key)))]


def put(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a place."""
    if not at:
        return new
    if isinstance(value, dict):
        return {key: put(item, at[1:], new) if key == at[0] else item for key, item in value.items()}
    return [put(item, at[1:], new) if number == at[0] else item for number, item in enumerate(value)]


class _Plain(yaml.SafeLoader):
    """Scalars as they are written; only true, false and whole numbers are read."""


_Plain.yaml_implicit_resolvers = {
    key: [(tag, rule) for tag, rule in rules if tag.endswith((":int", ":bool"))]
    for key, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if key not in "yYnNoO"
}


@pytest.mark.parametrize("seed", range(2))
def test_with_any_value_replaced_by_an_odd_one(seed: int) -> None:
    rng = random.Random(seed)
    whole = yaml.load(CONTRACT, Loader=_Plain)
    for at in rng.sample(places(whole)[1:], 40):
        for odd in rng.sample(ODD, 4):
            judged(yaml.safe_dump(put(whole, at, odd), allow_unicode=True, sort_keys=False))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(CONTRACT)), st.integers(0, 30), st.text(max_size=8)), min_size=1, max_size=3)
)
def test_with_any_stretch_of_it_typed_over(edits: list[tuple[int, int, str]]) -> None:
    text = CONTRACT
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    judged(text)
