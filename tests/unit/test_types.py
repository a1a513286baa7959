"""Static types: what surely does not fit is refused, what cannot be known is left to the run."""

from typing import Any

import pytest

from playbooks.types import accepts, expression_type, given_type, item_type, literal_type, misfit, spoken

KNOWN = {
    ("inputs", "app"): "string",
    ("inputs", "count"): "integer",
    ("inputs", "names"): "list[string]",
    ("incident", "first_seen"): "datetime",
    ("steps", "a", "targets"): "targets",
    ("item",): "integer",
}


def type_of(chain: tuple[str, ...]) -> str:
    """What is known of a chain."""
    return KNOWN.get(chain, "any")


@pytest.mark.parametrize(
    ("wanted", "given", "fits"),
    [
        ("string", "string", True),
        ("string", "integer", False),
        ("string", "boolean", False),
        ("string", "list[string]", False),
        ("string", "targets", False),
        ("string", "map", False),
        ("string", "any", True),
        ("any", "map", True),
        ("integer", "number", False),
        ("number", "integer", True),
        ("integer", "boolean", False),
        ("boolean", "string", False),
        ("datetime", "string", True),
        ("datetime", "integer", False),
        ("duration", "datetime", True),
        ("targets", "list[string]", True),
        ("targets", "list[any]", True),
        ("targets", "list[integer]", False),
        ("targets", "grants", True),
        ("targets", "string", False),
        ("list[string]", "list[any]", True),
        ("list[string]", "list[integer]", False),
        ("list[string]", "targets", False),
        ("list[string]", "string", False),
        ("map", "list[any]", False),
    ],
)
def test_what_may_stand_where(wanted: str, given: str, fits: bool) -> None:
    assert accepts(wanted, given) is fits


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("inputs.app", "string"),
        ("(inputs.app)", "string"),
        ("inputs.app | upper", "string"),
        ("inputs.names | join(', ')", "string"),
        ("inputs.names | length", "integer"),
        ("len(inputs.names)", "integer"),
        ("inputs.names", "list[string]"),
        ("inputs.names[0]", "any"),
        ("steps.a.targets", "targets"),
        ("steps.a.other", "any"),
        ("item", "integer"),
        ("1", "integer"),
        ("1.5", "number"),
        ("'x'", "string"),
        ("true", "boolean"),
        ("none", "any"),
        ("[1]", "list[any]"),
        ("{'a': 1}", "map"),
        ("1 < 2", "boolean"),
        ("inputs.app is defined", "boolean"),
        ("not inputs.app", "boolean"),
        ("now()", "datetime"),
        ("hours(2)", "duration"),
        ("incident.first_seen - hours(2)", "datetime"),
        ("now() - now()", "any"),
        ("1 + 2", "any"),
        ("inputs.app | default('x')", "string"),
        ("inputs.app | default(1)", "any"),
        ("'a' if true else 'b'", "string"),
        ("'a' if true else 1", "any"),
        ("inputs.app | datetime", "datetime"),
        ("inputs.app and inputs.count", "any"),
    ],
)
def test_what_an_expression_surely_gives(source: str, kind: str) -> None:
    assert expression_type(source, type_of) == kind


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("{{ inputs.count }}", "integer"),
        ("n {{ inputs.count }}", "string"),
        ("{{ ** }}", "any"),
        ("text", "string"),
        (True, "boolean"),
        (1, "integer"),
        ([1, 2], "list[integer]"),
        ([1, "a"], "list[any]"),
        ([], "list[any]"),
        ({"a": 1}, "map"),
        (None, "any"),
    ],
)
def test_what_a_value_gives(value: Any, kind: str) -> None:
    assert given_type(value, type_of) == kind


@pytest.mark.parametrize(
    ("wanted", "value", "said"),
    [
        ("integer", "{{ inputs.app }}", "takes a whole number, and this gives text"),
        ("integer", "5", "takes a whole number, not text"),
        ("datetime", "soon", "takes an instant such as 2026-11-23T10:00:00Z, not 'soon'"),
        ("duration", "5 minutes", "takes a duration such as 5m, not '5 minutes'"),
        ("targets", [1], "has a wrong entry 1: it takes text, not a whole number"),
        ("targets", ["a"] * 501, "takes at most 500 literal targets, not 501"),
        ("targets", "a", "takes targets, not text"),
        ("list[integer]", [1, "a"], "has a wrong entry 2: it takes a whole number, not text"),
        ("string", ["a"], "takes text, not a list"),
        ("string", {"a": 1}, "takes text, not a mapping"),
        ("boolean", 1, "takes yes or no, not a whole number"),
        ("string", "{{ ** }}", None),
        ("targets", ["a", "{{ inputs.app }}"], None),
        ("targets", [{"id": "a"}], None),
        ("list[any]", [1, "a", None], None),
        ("any", ["a"], None),
        ("string", None, None),
        ("datetime", "2026-11-23T10:00:00+01:00", None),
        ("duration", "5m", None),
    ],
)
def test_why_a_value_cannot_stand(wanted: str, value: Any, said: str | None) -> None:
    assert misfit(wanted, value, type_of) == said


def test_items_and_words() -> None:
    assert (item_type("list[string]"), item_type("targets"), item_type("any")) == ("string", "any", "any")
    assert (spoken("list[string]"), spoken("list[any]"), spoken("odd")) == (
        "a list of string values",
        "a list",
        "a value",
    )
    assert literal_type(1.5) == "number"
