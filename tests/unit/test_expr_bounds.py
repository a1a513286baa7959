"""Nothing escapes from an expression: not to Python, not beyond its bounds, and no error but its own."""

import contextlib
import json
import threading
import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks import expr
from playbooks.expr import FILTERS, FUNCTIONS, TESTS, ExprError
from playbooks.expr_grammar import MAX_INTEGER, MAX_NESTING, MAX_NODES, MAX_SOURCE

PATIENCE = 20
"""Seconds of processor time, on the slowest machine; every bound missed takes minutes."""
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SCOPE: dict[str, Any] = {
    "inputs": {"a": 1, "text": "x" * 1000, "list": list(range(1000)), "map": {"k": "v"}},
    "incident": {"title": "T", "severity": 3},
    "steps": {"s": {"count": 2, "meta": {"status": "done"}}},
    "run": {"id": "r"},
}


def code_of(source: str, scope: dict[str, Any] = SCOPE) -> str:
    """The code with which an expression is refused, at once."""
    began = time.thread_time()
    with pytest.raises(ExprError) as caught:
        expr.evaluate(source, scope, now=NOW)
    assert time.thread_time() - began < PATIENCE
    return caught.value.code


ESCAPES = [
    "().__class__",
    "''.__class__.__mro__[1].__subclasses__()",
    "''['__class__']",
    "{'a': 1}['__cl' + 'ass__']",
    "{'a': 1}[' __class__ '|trim]",
    "{'a': 1}[['', '', 'class']|join('_')]",
    "{'__class__': 1}",
    "'a'|upper * 1000000000",
    "('a' + 'b') * 1000000000",
    "inputs['_' + 'x']",
    "yield 1",
    "inputs.__dict__",
    "inputs._x",
    "steps.s.__init__.__globals__",
    "item._private",
    "_x",
    "__builtins__",
    "''|attr('__class__')",
    "inputs|attr('a')",
    "'{0.__class__}'.format(1)",
    "'{a}'.format_map(inputs.map)",
    "'%s' | format(1)",
    "inputs.text.upper()",
    "inputs.map.items()",
    "inputs.list.append(1)",
    "len.__globals__",
    "now.__init__",
    "len",
    "now",
    "[len]",
    "len(*[[1]])",
    "len(**{'a': 1})",
    "min([1], key=len)",
    "default(1)",
    "inputs.a()",
    "now()()",
    "[1](0)",
    "range(10)",
    "dict(a=1)",
    "lipsum()",
    "cycler('a')",
    "joiner()",
    "namespace(a=1)",
    "self",
    "self.x",
    "caller()",
    "varargs()",
    "inputs",
    "steps",
    "[inputs]",
    "steps[inputs.a]",
    "incident[run.id]",
    "inputs|tojson",
    "inputs.list|map('string')|list",
    "inputs.list|map(attribute='x')",
    "inputs.list|groupby('x')",
    "inputs.list|random",
    "inputs.text|safe",
    "inputs.text|replace('x', 'yyyy')",
    "inputs.text|center(100000)",
    "inputs.text|wordwrap(1)",
    "inputs.text|pprint",
    "inputs.text|xmlattr",
    "inputs.list|batch(2)",
    "inputs.list|select('odd')|list",
    "inputs.list|sum",
    "inputs.a is odd",
    "inputs.a is callable",
    "inputs.a is sameas 1",
    "inputs.a is in [1]",
    "inputs.a is divisibleby(1)",
    "inputs.text[0:1]",
    "inputs.list[::2]",
    "2 ** 3",
    "2 ** 99999999",
    "'a' ~ 'b'",
    "'a' * 2",
    "2 * 'a'",
    "'a' % 2",
    "'%s' % 5",
    "'%s' % 'x'",
    "[0] * 2",
    "(0,) * 2",
    "1 if inputs.a",
    "1; 2",
    "1 }} {{ 2",
    "1 %} {% 2",
    "a = 1",
    "inputs.a := 1",
    "lambda: 1",
    "[x for x in inputs.list]",
    "{x: 1 for x in inputs.list}",
    "await inputs.a",
    "import os",
    "`id`",
    "$x",
    "a?b",
    "1 2",
    "'a' 'b' c",
    "inputs.",
    ".a",
    "(",
    "'",
    "",
    " ",
    "\x00",
    "ｌｅｎ([1])",
    "[inputs.a, ｉｎｐｕｔｓ]",
    "inputs.ﬁle.__ｃlass__",
    "іnputs.a()",
    "０",
    "1\u2028+ 1()",
    "f'{inputs}'",
    "\\",
    "#",
    "{#a#}",
    "{% raw %}",
]


@pytest.mark.parametrize("source", ESCAPES, ids=lambda source: ascii(source)[:40])
def test_what_leaves_the_grammar_is_refused_before_it_runs(source: str) -> None:
    with pytest.raises(ExprError) as caught:
        expr.check(source)
    assert caught.value.code == "unsafe_expression"
    assert code_of(source) == "unsafe_expression"


@pytest.mark.parametrize(
    "source", ["lipsum", "cycler", "joiner", "namespace", "dict", "range", "request", "config", "yield"]
)
def test_what_other_templates_know_is_unknown_here(source: str) -> None:
    assert code_of(source) == "undefined"
    assert code_of(f"{source}.x") == "undefined"


BOMBS = [
    "[0] * 30000000",
    "[0] * 1000000000",
    "'abc' * 100000000",
    "'a' * 10 ** 9",
    "10 ** 10 ** 10",
    "9" * 1900,
    "1e400",
    "-1e400",
    "1e999999999",
    "1.0e400 - 1.0e400",
    str(MAX_INTEGER + 1),
    "99999999 * 99999999 * 99999999",
    "1e308 * 10",
    "(" * 80 + "1" + ")" * 80,
    "[" * 80 + "]" * 80,
    "{'a':" * 80 + "1" + "}" * 80,
    "not " * 80 + "true",
    "- " * 80 + "1",
    "+ " * 80 + "1",
    "-(" * 40 + "1" + ")" * 40,
    "not (" * 40 + "1" + ")" * 40,
    "len(" * 40 + "[]" + ")" * 40,
    "1 if true else " * 120 + "2",
    "(1 if true else " * 60 + "2" + ")" * 60,
    "inputs.a" + ".b" * 300,
    "inputs.a" + "[0]" * 300,
    "inputs.text" + "|trim" * 300,
    "1" + "+1" * 900,
    "true" + " and true" * 200,
    "true" + " or true" * 200,
    "1" + " < 2" * 400,
    "[" + "1," * 900 + "]",
    "min(" + "1," * 21 + "1)",
    "'" + "a" * MAX_SOURCE + "'",
    "inputs.text + " * 60 + "inputs.text",
    "[" + ",".join(["inputs.list|unique|sort|unique"] * 60) + "]|length",
    "inputs.list|join(inputs.text)",
    "[" + ",".join(["inputs.list|join(inputs.text)"] * 60) + "]",
    "(inputs.list + inputs.list + inputs.list)|join(inputs.text)|length",
]


@pytest.mark.parametrize("source", BOMBS, ids=lambda source: ascii(source)[:40])
def test_bombs_are_refused_in_bounded_time(source: str) -> None:
    assert code_of(source) in ("unsafe_expression", "too_large")


def test_bombs_take_no_memory() -> None:
    tracemalloc.start()
    for source in BOMBS:
        code_of(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


BIG: dict[str, Any] = {
    "inputs": {
        "maps": [{"id": f"a{number}", "name": f"n{number}"} for number in range(8000)],
        "instants": [f"2026-01-01T10:{number % 60:02d}:00Z" for number in range(20_000)],
        "texts": [f"user{number:06d}@example.com" for number in range(15_000)],
        "text": "x" * 500_000,
        "quotes": '"' * 300_000,
    }
}


@pytest.mark.parametrize(
    "source",
    [
        "[" + ",".join(["inputs.maps|unique|unique|unique"] * 50) + "]|length",
        "[" + ",".join(["now() in inputs.instants"] * 70) + "]|length",
        "[" + ",".join(["inputs.texts|tojson|length"] * 60) + "]|length",
        "[" + ",".join(["len(inputs.maps|string)"] * 60) + "]|length",
        "inputs.texts" + "|sort" * 50 + "|length",
        "inputs.text + inputs.text",
        "inputs.quotes|tojson",
        "inputs.maps + inputs.maps + inputs.maps + inputs.maps + inputs.maps + inputs.maps + inputs.maps",
    ],
)
def test_large_data_makes_no_bomb_either(source: str) -> None:
    assert code_of(source, BIG) == "too_large"


def test_an_honest_expression_over_much_data_passes() -> None:
    assert expr.evaluate("inputs.texts | unique | sort | length", BIG, now=NOW) == 15_000
    assert expr.evaluate("inputs.maps | unique | length", BIG, now=NOW) == 8000


def test_the_limits_themselves_are_allowed() -> None:
    assert expr.evaluate("(" * MAX_NESTING + "1" + ")" * MAX_NESTING, SCOPE, now=NOW) == 1
    assert expr.evaluate(str(MAX_INTEGER), SCOPE, now=NOW) == MAX_INTEGER
    assert len(expr.evaluate("[" + "1," * (MAX_NODES - 1) + "]", SCOPE, now=NOW)) == MAX_NODES - 1
    source = "'" + "a" * (MAX_SOURCE - 2) + "'"
    assert len(expr.evaluate(source, SCOPE, now=NOW)) == MAX_SOURCE - 2


def test_a_deep_stack_changes_nothing() -> None:
    """What is accepted near the top is accepted deep down: a run's answer must not depend on who called."""
    source = "(" * 24 + "not (inputs.a + 1 == 2)" + ")" * 24

    def deep(left: int) -> Any:
        return deep(left - 1) if left else expr.evaluate(source, SCOPE, now=NOW)

    assert deep(500) is False


def test_threads_do_not_share_bounds() -> None:
    found: list[Any] = []

    def work() -> None:
        found.extend(expr.evaluate("inputs.texts | unique | length", BIG, now=NOW) for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [15_000] * 12


# --- any source at all ----------------------------------------------------------------------------

WORDS = [
    *FILTERS, *FUNCTIONS, *TESTS, "inputs", "incident", "steps", "run", "item", "result", "a", "text", "list", "map",
    "s", "count", "meta", "severity", "and", "or", "not", "in", "is", "if", "else", "true", "none", "self", "loop",
    "+", "-", "*", "/", "//", "%", "**", "~", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|", "==", "<", ">=", "!=",
    "0", "1", "2.5", "1e400", "'x'", '"y"', "''", "'2026-11-23T10:00:00Z'", "'5m'", "__class__", "_", "\\", "'", "é",
]  # fmt: skip


def anything_but_its_own_error(source: str) -> None:
    """Evaluate; what comes out is plain JSON or an ``ExprError``."""
    began = time.thread_time()
    with contextlib.suppress(ExprError):
        found = expr.evaluate(source, SCOPE, now=NOW)
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        expr.check(source)
        expr.reads(source)
        expr.established(source)
    assert time.thread_time() - began < PATIENCE


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join))
def test_no_sequence_of_words_breaks_out(source: str) -> None:
    anything_but_its_own_error(source)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_out(source: str) -> None:
    anything_but_its_own_error(source)


LEAVES = st.sampled_from(["1", "0", "-1.5", "'a'", "''", "none", "true", "inputs.a", "inputs.list", "inputs.nope",
                          "inputs.map", "steps.s.count", "now()", "hours(1)", "[]", "{}", "inputs.text"])  # fmt: skip


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operator = st.sampled_from(["+", "-", "*", "/", "//", "%", "==", "<", "in", "and", "or", "not in"])
    named = st.sampled_from(sorted(FILTERS))
    return st.one_of(
        st.tuples(inner, operator, inner).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, named).map(lambda parts: f"({parts[0]}) | {parts[1]}"),
        st.tuples(inner, inner).map(lambda parts: f"({parts[0]}) | default({parts[1]})"),
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), inner).map(lambda parts: f"{parts[0]}({parts[1]})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})"),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        inner.map(lambda source: f"{{'k': {source}}}"),
        inner.map(lambda source: f"(not {source})"),
        inner.map(lambda source: f"({source}) is defined"),
        inner.map(lambda source: f"({source})[0]"),
        inner.map(lambda source: f"({source}).k"),
    )


@settings(max_examples=300, deadline=None)
@given(st.recursive(LEAVES, _larger, max_leaves=12))
def test_whatever_the_grammar_allows_gives_json_or_its_error(source: str) -> None:
    anything_but_its_own_error(source)


def test_the_same_source_and_scope_give_the_same_answer() -> None:
    source = "inputs.list | sort | unique | join('-') + inputs.text | upper"
    answers = {json.dumps(expr.evaluate(source, SCOPE, now=NOW)) for _ in range(20)}
    assert len(answers) == 1
