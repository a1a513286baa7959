"""Expressions give plain JSON, keep types, and take only what is set."""

from datetime import UTC, datetime
from typing import Any

import pytest

from playbooks import expr
from playbooks.expr import ExprError

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
SCOPE: dict[str, Any] = {
    "inputs": {"app": "Data Loader", "users": ["b", "a", "b"], "since": "2026-11-22T10:00:00Z", "none": None},
    "incident": {"title": "{{ 7 * 7 }} {% raw %}", "severity": 4, "first_seen": "2026-11-23T09:30:00Z"},
    "run": {"id": "run/INC-2026-1/example/1", "mode": "live"},
    "steps": {
        "look": {
            "count": 3,
            "items": ["the key"],
            "keys": 1,
            "meta": {"status": "done"},
            "nested": {"a": [1, {"b": 2}]},
        },
        "later": {"meta": {"status": "pending"}},
        "targets": {"users": {"ref": "sha256:ab", "sha256": "ab", "count": 700, "sample": ["x"], "complete": True}},
    },
    "item": {"id": "005", "odd key": 1},
}


def value(source: str, **more: Any) -> Any:
    """What an expression gives."""
    return expr.evaluate(source, {**SCOPE, **more}, now=NOW)


def refused(source: str, **more: Any) -> str:
    """The code with which an expression is refused."""
    with pytest.raises(ExprError) as caught:
        value(source, **more)
    assert str(caught.value)
    return caught.value.code


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("1", 1),
        ("-2.5", -2.5),
        ("1_000", 1000),
        ("'text'", "text"),
        ("true", True),
        ("none", None),
        ("[1, 'a', true]", [1, "a", True]),
        ("(1, 2)", [1, 2]),
        ("{'a': 1, 'b': [2]}", {"a": 1, "b": [2]}),
        ("1 + 2 * 3", 7),
        ("7 // 2", 3),
        ("7 / 2", 3.5),
        ("7 % 4", 3),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("1 < 2 < 3", True),
        ("1 == 1.0", True),
        ("2 in [1, 2]", True),
        ("'Load' in inputs.app", True),
        ("'z' not in inputs.users", True),
        ("not true", False),
        ("true and false or true", True),
        ("'yes' if incident.severity > 3 else 'no'", "yes"),
        ("inputs.app", "Data Loader"),
        ("inputs['app']", "Data Loader"),
        ("inputs.users[0]", "b"),
        ("inputs.users[-1]", "b"),
        ("steps.look.count + 1", 4),
        ("steps.look.items", ["the key"]),
        ("steps.look.keys", 1),
        ("steps.look.nested.a[1].b", 2),
        ("steps.later.meta.status", "pending"),
        ("item['odd key']", 1),
        ("run.mode == 'live'", True),
        ("incident.title", "{{ 7 * 7 }} {% raw %}"),
        ("inputs.none is none", True),
        ("inputs.nope is defined", False),
        ("inputs.nope.deep.down is defined", False),
        ("inputs.app is defined", True),
        ("inputs.nope is not defined", True),
        ("inputs.nope | default('x')", "x"),
        ("inputs.nope.deep | default([])", []),
        ("inputs.app | default(inputs.nope)", "Data Loader"),
        ("inputs.none | default(1)", None),
        ("inputs.none | default(1, true)", 1),
        ("inputs.nope is defined and inputs.nope > 3", False),
    ],
)
def test_what_expressions_give(source: str, result: Any) -> None:
    found = value(source)
    assert (found, type(found)) == (result, type(result))


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("'AB' | lower", "ab"),
        ("'ab' | upper", "AB"),
        ("' a ' | trim", "a"),
        ("'abc' | length", 3),
        ("len(inputs.users)", 3),
        ("len({'a': 1})", 1),
        ("steps.targets.users | length", 700),
        ("[3, 1, 2] | first", 3),
        ("[3, 1, 2] | last", 2),
        ("[3, 1, 2] | sort", [1, 2, 3]),
        ("inputs.users | unique", ["b", "a"]),
        ("[{'a': 1}, {'a': 1}] | unique", [{"a": 1}]),
        ("[1, true, 1.0] | unique", [1, True, 1.0]),
        ("['a', 1, true, none] | join(', ')", "a, 1, true, none"),
        ("['a', 'b'] | join", "ab"),
        ("'12' | int", 12),
        ("3.9 | int", 3),
        ("'x' | int(0)", 0),
        ("5 | string", "5"),
        ("true | string", "true"),
        ("[1, 'a'] | string", '[1, "a"]'),
        ("{'b': 1, 'a': 'ü'} | tojson", '{"a": "ü", "b": 1}'),
        ("min(3, 1, 2)", 1),
        ("max([3, 1, 2])", 3),
        ("inputs.app | lower | length", 11),
    ],
)
def test_functions_and_filters(source: str, result: Any) -> None:
    assert value(source) == result


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("now()", "2026-11-23T10:00:00Z"),
        ("now() - hours(24)", "2026-11-22T10:00:00Z"),
        ("incident.first_seen - hours(24)", "2026-11-22T09:30:00Z"),
        ("now() - minutes(1) - seconds(0.5)", "2026-11-23T09:58:59.500000Z"),
        ("hours(2) + now()", "2026-11-23T12:00:00Z"),
        ("now() - inputs.since", "86400s"),
        ("inputs.since < now()", True),
        ("now() > inputs.since", True),
        ("now() == '2026-11-23T11:00:00+01:00'", True),
        ("now() != inputs.since", True),
        ("max(now(), inputs.since | datetime)", "2026-11-23T10:00:00Z"),
        ("'2026-11-23T11:00:00+01:00' | datetime", "2026-11-23T10:00:00Z"),
        ("days(1)", "86400s"),
        ("days(1) * 2", "172800s"),
        ("2 * days(1)", "172800s"),
        ("days(1) / 2", "43200s"),
        ("days(1) / hours(1)", 24.0),
        ("days(1) + '1h'", "90000s"),
        ("inputs.since + '90m'", "2026-11-22T11:30:00Z"),
        ("days(1) > hours(2)", True),
    ],
)
def test_instants_and_durations(source: str, result: Any) -> None:
    assert value(source) == result


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("inputs.nope", "undefined"),
        ("inputs.nope.deep", "undefined"),
        ("inputs.nope == 1", "undefined"),
        ("inputs.nope in [1]", "undefined"),
        ("not inputs.nope", "undefined"),
        ("inputs.nope + 1", "undefined"),
        ("1 - inputs.nope", "undefined"),
        ("inputs.nope | length", "undefined"),
        ("inputs.nope | lower", "undefined"),
        ("inputs.nope is none", "undefined"),
        ("inputs.nope if true else 1", "undefined"),
        ("[inputs.nope]", "undefined"),
        ("[[{'a': inputs.nope}]]", "undefined"),
        ("{'a': inputs.nope}", "undefined"),
        ("['a', inputs.nope] | join", "undefined"),
        ("len(inputs.nope)", "undefined"),
        ("min([])", "undefined"),
        ("[] | first", "undefined"),
        ("[] | last", "undefined"),
        ("inputs.users[3]", "undefined"),
        ("inputs.users[-4]", "undefined"),
        ("inputs.users['a']", "undefined"),
        ("inputs.users[true]", "undefined"),
        ("inputs.app[0]", "undefined"),
        ("inputs.app.upper", "undefined"),
        ("steps.look.nested.keys", "undefined"),
        ("nothing", "undefined"),
        ("none + 1", "type"),
        ("'a' + 1", "type"),
        ("'a' < 3", "type"),
        ("1 in 2", "type"),
        ("len(3)", "type"),
        ("3 | lower", "type"),
        ("'x' | int", "type"),
        ("true | int", "type"),
        ("'x' | datetime", "type"),
        ("'2026-11-23' | datetime", "type"),
        ("'2026-11-23T10:00:00' | datetime", "type"),
        ("'x' | sort", "type"),
        ("[1, 'a'] | sort", "type"),
        ("steps.targets.users | first", "type"),
        ("steps.targets.users | join", "type"),
        ("1 / 0", "type"),
        ("1 % 0", "type"),
        ("1 // 0", "type"),
        ("true + 1", "type"),
        ("-'a'", "type"),
        ("now() + now()", "type"),
        ("now() * 2", "type"),
        ("hours('2')", "type"),
        ("days(true)", "type"),
        ("{1: 2}", "type"),
        ("inputs.app * 2", "type"),
        ("2 * inputs.app", "type"),
        ("inputs.app % 2", "type"),
        ("inputs.users * 2", "type"),
        ("9007199254740991 + 1", "too_large"),
        ("days(4000)", "too_large"),
        ("days(1.0e300)", "too_large"),
        ("'9999-12-31T00:00:00Z' + days(3000)", "too_large"),
    ],
)
def test_what_fails_and_with_which_code(source: str, code: str) -> None:
    assert refused(source) == code


def test_result_may_be_read_by_the_name_that_jinja_itself_uses() -> None:
    assert value("result.count == 0", result={"count": 0}) is True
    assert value("result", result={"count": 0}) == {"count": 0}


def test_there_is_no_clock_where_none_is_given() -> None:
    with pytest.raises(ExprError):
        expr.evaluate("now()", SCOPE, now=None)


def test_nothing_of_a_scope_is_shared_or_changed() -> None:
    found = value("inputs.users")
    found.append("c")
    assert SCOPE["inputs"]["users"] == ["b", "a", "b"]


@pytest.mark.parametrize(
    ("template", "result"),
    [
        ("{{ steps.look.count }}", 3),
        ("  {{ steps.look.count }}  ", 3),
        ("n={{ steps.look.count }}", "n=3"),
        ("{{ 1 }}{{ 2 }}", "12"),
        ("{{ true }} {{ none }} {{ [1] }} {{ 1.5 }}", "true none [1] 1.5"),
        ("{{ now() }}!", "2026-11-23T10:00:00Z!"),
        ("{{ {'a': {'b': 1}} }}", {"a": {"b": 1}}),
        ("{{ '}}' }}", "}}"),
        ('{{ "{{" }}', "{{"),
        ("{{ incident.title }}", "{{ 7 * 7 }} {% raw %}"),
        ("is {{ incident.title }}", "is {{ 7 * 7 }} {% raw %}"),
        ("no { braces } at all }}", "no { braces } at all }}"),
        ("", ""),
        (7, 7),
        (None, None),
        ({"{{ 1 }}": "{{ 1 }}", "deep": [{"a": "{{ 2 }}"}]}, {"{{ 1 }}": 1, "deep": [{"a": 2}]}),
    ],
)
def test_rendering_keeps_types_and_data_stays_data(template: Any, result: Any) -> None:
    assert expr.render(template, SCOPE, now=NOW) == result


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1",
        "{{ 'a }}",
        "{% if x %}",
        "{# comment #}",
        "a {% raw %}",
        "{{ {'a': 1 }}",
        "{{ }}",
        "{{ a } }}",
        "{{ %} }}",
    ],
)
def test_templates_that_are_none(template: str) -> None:
    with pytest.raises(ExprError) as caught:
        expr.render(template, SCOPE, now=NOW)
    assert caught.value.code == "unsafe_expression"
