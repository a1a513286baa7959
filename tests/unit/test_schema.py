"""The JSON Schema for editors: it takes whatever the loader takes, and knows every kind and key."""

import json
import re
from typing import Any

import pytest
import yaml

from playbooks.loader import Library, load_text
from playbooks.loader_yaml import read
from playbooks.model import Playbook
from playbooks.model_steps import KINDS, LATER_KINDS, BaseStep
from playbooks.schema import DIALECT, json_schema
from tests.books import HEAD, whole
from tests.unit.test_playbook_cli import EVERY_KIND
from tests.unit.test_shape import GOOD
from worker.cli.main import execute
from worker.reference import DOCS

SCHEMA: dict[str, Any] = json_schema()
EXAMPLES = yaml.safe_load((DOCS / "kinds.yaml").read_text(encoding="utf-8"))
TYPES = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}
KEYWORDS = {
    "$ref", "$defs", "$schema", "additionalProperties", "anyOf", "const", "default", "description", "enum", "items",
    "maxItems", "maxLength", "maximum", "minItems", "minLength", "minProperties", "minimum", "oneOf", "pattern", "properties",
    "propertyNames", "required", "title", "type",
}  # fmt: skip


def of_type(value: Any, kind: str) -> bool:
    """Whether a value is of a type of JSON Schema."""
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def takes(schema: dict[str, Any], value: Any) -> bool:
    """Whether a schema takes a value; knows the keywords that the schema uses, and no others."""
    assert set(schema) <= KEYWORDS, set(schema) - KEYWORDS
    if "$ref" in schema and not takes(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], value):
        return False
    kinds = schema.get("type", [])
    if kinds and not any(of_type(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "const" in schema and (type(value), value) != (type(schema["const"]), schema["const"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "anyOf" in schema and not any(takes(one, value) for one in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(takes(one, value) for one in schema["oneOf"]) != 1:
        return False
    if isinstance(value, str):
        least, most = schema.get("minLength", 0), schema.get("maxLength", 10**9)
        return least <= len(value) <= most and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, int | float):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if isinstance(value, list):
        least, most = schema.get("minItems", 0), schema.get("maxItems", 10**9)
        return least <= len(value) <= most and all(takes(schema.get("items", {}), item) for item in value)
    return not isinstance(value, dict) or _takes_mapping(schema, value)


def _takes_mapping(schema: dict[str, Any], value: dict[str, Any]) -> bool:
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    if set(schema.get("required", [])) - set(value) or len(value) < schema.get("minProperties", 0):
        return False
    for key, item in value.items():
        rule = known.get(key, more)
        if (
            not takes(schema.get("propertyNames", {}), key)
            or rule is False
            or (rule is not True and not takes(rule, item))
        ):
            return False
    return True


def accepted(text: str) -> bool:
    """Whether the schema takes a playbook file."""
    return takes(SCHEMA, read(text).value)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["playbook", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
    assert SCHEMA["$schema"] == DIALECT
    assert "null" not in json.dumps(SCHEMA)


@pytest.mark.parametrize("name", Library.shipped().ids())
def test_every_shipped_playbook_passes(name: str) -> None:
    source = Library.shipped().get(name)
    assert source is not None and accepted(source.text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_good_step_passes(kind: str) -> None:
    assert accepted(whole(GOOD[kind]))
    assert accepted(whole(EXAMPLES[kind]["good"]))


def test_every_way_to_write_a_thing_passes() -> None:
    assert accepted(whole(EVERY_KIND))
    assert accepted(whole("- {note: x, when: true, retry: {times: 0}, labels: {a: b, c: 1, d: [e, 2]}, undo: {no: x}}"))
    assert accepted(whole("- {note: x, for_each: [1], as: n, at_once: 3}\n- {note: x, for_each: '{{ inputs.a }}'}"))
    assert accepted(whole("- {parallel: {a: [{note: x}]}, fail_fast: yes}\n- {tell: x, to: [channel, legal]}"))
    inputs = "a: {type: {list: string}, required: no, default: []}\nb: {type: choice, options: [x]}"
    assert accepted(whole("- {note: x}", inputs=inputs, always="- {note: x}"))


@pytest.mark.parametrize(
    "text",
    [
        whole("- {nte: x}"),
        whole("- {note: x, phase: contian}"),
        whole("- {note: 5}"),
        whole("- {note: x, when: }"),
        whole("- {note: x, retry: }"),
        whole("- {note: x, tell: y, to: channel}"),
        whole("- {tell: x}"),
        whole("- {choose: []}"),
        whole("- {note: x, timeout: soon}"),
        whole("- {note: x, at_once: 0}"),
        whole("- {approve: [a], by: {roles: [legal]}, within: 1h, on_timeout: [continue]}"),
        whole("- {ask: x, by: {roles: [legal]}, form: {a: {type: text}}, within: 1h, on_timeout: [stop]}"),
        whole("- {ask: x, by: {roles: [legal]}, form: {}, within: 1h, on_timeout: [stop]}"),
        HEAD,
        HEAD + "steps: []\n",
        HEAD.replace("stanch: 1", "stanch: 2") + "steps: [{note: x}]\n",
        HEAD + "steps: [{note: x}]\nowner: me\n",
    ],
)
def test_what_it_refuses_the_loader_refuses_too(text: str) -> None:
    assert not accepted(text)
    assert load_text(text)[0] is None


def definition(model: type) -> dict[str, Any]:
    """The definition of a kind."""
    return SCHEMA["$defs"][model.__name__]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_the_keys_of_its_model_each_with_a_description(kind: str) -> None:
    model = KINDS[kind]
    keys = {field.alias or name for name, field in model.model_fields.items()}
    found = definition(model)
    assert set(found["properties"]) == keys and found["additionalProperties"] is False
    assert kind in found["required"]
    assert all(field.get("description") for field in found["properties"].values())
    assert found["description"] == (model.__doc__ or "").strip()


def test_its_kinds_are_those_of_the_model() -> None:
    items = SCHEMA["properties"]["steps"]["items"]["oneOf"]
    assert {item["$ref"] for item in items} == {f"#/$defs/{model.__name__}" for model in KINDS.values()}
    assert not LATER_KINDS & set(KINDS)
    assert set(SCHEMA["properties"]) == set(Playbook.model_fields)
    assert set(SCHEMA["required"]) == {"stanch", "id", "version", "title", "steps"}
    assert set(BaseStep.model_fields) == {
        "id", "title", "phase", "owner", "when", "for_each", "as_", "at_once", "timeout", "retry", "on_failure", "labels", "undo",
    }  # fmt: skip
