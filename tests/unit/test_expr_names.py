"""What an expression reads, what it takes for granted, and what it proves where it held."""

import pytest

from playbooks.expr import ExprError, bare, calls, established, names, reads, sole, sole_chain, templates
from playbooks.expr_names import demands


def guarded(source: str) -> set[str]:
    """The chains that may be unset without harm."""
    return {".".join(read.chain) for read in reads(source) if read.guarded}


def needed(source: str) -> set[str]:
    """The chains that must be set."""
    return {".".join(read.chain) for read in reads(source) if not read.guarded}


@pytest.mark.parametrize(
    ("source", "must", "may"),
    [
        ("1 + 2", set(), set()),
        ("steps.a.count", {"steps.a.count"}, set()),
        ("steps['a']['count']", {"steps.a.count"}, set()),
        ("steps.a.list[0].name", {"steps.a.list"}, set()),
        ("steps.a.map[item.key].x", {"steps.a.map", "item.key"}, set()),
        ("steps.a.b.c | length", {"steps.a.b.c"}, set()),
        ("steps.a.x | default(steps.b.y)", {"steps.b.y"}, {"steps.a.x"}),
        ("steps.a.x | default(steps.b.y | default(1))", set(), {"steps.a.x", "steps.b.y"}),
        ("(steps.a.x + 1) | default(2)", {"steps.a.x"}, set()),
        ("steps.a.x | lower | default('b')", {"steps.a.x"}, set()),
        ("steps.a.x is defined", set(), {"steps.a.x"}),
        ("steps.a.x is not defined", set(), {"steps.a.x"}),
        ("steps.a.x is none", {"steps.a.x"}, set()),
        ("steps.a.x is defined and steps.a.x > 1", set(), {"steps.a.x"}),
        ("steps.a.x > 1 and steps.a.x is defined", {"steps.a.x"}, {"steps.a.x"}),
        ("steps.a.x is defined or steps.a.x > 1", {"steps.a.x"}, {"steps.a.x"}),
        ("steps.a.x is not defined or steps.a.x > 1", set(), {"steps.a.x"}),
        ("not (steps.a.x is not defined) and steps.a.x", set(), {"steps.a.x"}),
        ("steps.a.x if steps.a.x is defined else 0", set(), {"steps.a.x"}),
        ("0 if steps.a.x is not defined else steps.a.x", set(), {"steps.a.x"}),
        ("steps.a.x if steps.b.x is defined else 0", {"steps.a.x"}, {"steps.b.x"}),
        ("steps.a.x.y is defined and steps.a.x", set(), {"steps.a.x.y", "steps.a.x"}),
        ("max(steps.a.x, now())", {"steps.a.x"}, set()),
        ("[steps.a.x, {'k': inputs.b}]", {"steps.a.x", "inputs.b"}, set()),
        ("steps.a.x | join(inputs.sep)", {"steps.a.x", "inputs.sep"}, set()),
    ],
)
def test_reads(source: str, must: set[str], may: set[str]) -> None:
    assert (needed(source), guarded(source)) == (must, may)


def test_names_are_each_chain_once() -> None:
    assert names("inputs.a + inputs.a + steps.b.c") == [("inputs", "a"), ("steps", "b", "c")]


A = ("steps", "a", "x")
B = ("steps", "b", "x")


@pytest.mark.parametrize(
    ("source", "held", "failed"),
    [
        ("steps.a.x is defined", {A}, set()),
        ("steps.a.x is not defined", set(), {A}),
        ("not (steps.a.x is defined)", set(), {A}),
        ("steps.a.x is defined and steps.b.x is defined", {A, B}, set()),
        ("steps.a.x is defined or steps.b.x is defined", set(), set()),
        ("not (steps.a.x is not defined or steps.b.x is not defined)", {A, B}, set()),
        ("steps.a.x | default(false)", {A}, set()),
        ("steps.a.x | default(true)", set(), {A}),
        ("steps.a.x | default('no') == 'yes'", {A}, set()),
        ("steps.a.x | default('yes') == 'yes'", set(), {A}),
        ("steps.a.x | default('no') != 'no'", {A}, set()),
        ("steps.a.x | default(0) > 3", {A}, set()),
        ("steps.a.x | default(9) > 3", set(), {A}),
        ("steps.a.x | default('x') in ['a', 'b']", {A}, set()),
        ("steps.a.x | default('x') not in ['x', 'b']", {A}, set()),
        ("steps.a.x | default(inputs.y) == 1", set(), set()),
        ("steps.a.x | default('no') > 3", set(), set()),
        ("steps.a.x == 1", set(), set()),
        ("true", set(), set()),
    ],
)
def test_what_a_condition_proves(source: str, held: set, failed: set) -> None:
    assert (established(source), established(source, False)) == (held, failed)


@pytest.mark.parametrize(
    ("source", "to_hold", "to_fail"),
    [
        ("steps.a.x", {A}, set()),
        ("not steps.a.x", set(), {A}),
        ("steps.a.x == true", {A}, set()),
        ("steps.a.x == false", set(), {A}),
        ("steps.a.x != true", set(), {A}),
        ("steps.a.x and inputs.b > 1", {A}, set()),
        ("steps.a.x or steps.b.x", set(), set()),
        ("not (steps.a.x or steps.b.x)", set(), set()),
        ("not (steps.a.x and steps.b.x)", set(), {A, B}),
        ("steps.a.x | default(false)", {A}, set()),
        ("steps.a.x | default(true)", set(), set()),
        ("steps.a.x == 1", set(), set()),
    ],
)
def test_what_a_condition_demands(source: str, to_hold: set, to_fail: set) -> None:
    assert (demands(source), demands(source, False)) == (to_hold, to_fail)


@pytest.mark.parametrize(
    ("source", "chain"),
    [
        ("steps.a.x", A),
        ("(steps.a.x)", A),
        ("steps['a'].x", A),
        ("steps.a.x[0]", None),
        ("steps.a.x | length", None),
        ("inputs.a or inputs.b", None),
        ("item", ("item",)),
    ],
)
def test_a_sole_chain(source: str, chain: tuple[str, ...] | None) -> None:
    assert sole_chain(source) == chain


def test_calls() -> None:
    assert calls("now() - hours(len(inputs.a))") == {"now", "hours", "len"}
    assert calls("inputs.a") == frozenset()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{ a }}", "a"),
        ("  {{ a }}\n", "a"),
        ("{{ {'a': {}} }}", "{'a': {}}"),
        ("{{ '}}' }}", "'}}'"),
        ("{{ a }} b", None),
        ("{{ a }}{{ b }}", None),
        ("a", None),
        ("", None),
    ],
)
def test_a_sole_expression(text: str, found: str | None) -> None:
    assert sole(text) == found


@pytest.mark.parametrize(("text", "found"), [("{{ a }}", "a"), ("a", "a"), (" a == 1 ", "a == 1"), ("{{}}", "")])
def test_a_condition_may_stand_with_braces_or_without(text: str, found: str) -> None:
    assert bare(text) == found


@pytest.mark.parametrize("text", ["x {{ a }}", "{{ a }} and {{ b }}", "{{ a", "{% if a %}"])
def test_a_condition_is_one_expression(text: str) -> None:
    with pytest.raises(ExprError):
        bare(text)


def test_templates_are_found_at_any_depth() -> None:
    value = {"{{ key }}": ["a {{ b }} c {{ d }}", {"e": "{{ f }}", "g": 1}], "h": None}
    assert list(templates(value)) == ["b", "d", "f"]


def test_analysis_of_a_large_condition_is_quick() -> None:
    source = " or ".join(f"steps.a{number}.x | default(0) in [{'1, ' * 9}1]" for number in range(20))
    assert established(source, False) == frozenset()
    assert len(reads(source)) == 20
