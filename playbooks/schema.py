"""JSON Schema of the language, for editors that complete and check while one writes."""

from typing import Any

from playbooks.contract import Json
from playbooks.model import Playbook

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NULL = {"type": "null"}


def json_schema() -> dict[str, Json]:
    """The schema (draft 2020-12) of a playbook file, with a description of every key.

    Whatever the loader accepts passes it. The loader checks more: names, durations within limits, ids that are
    unique, what a time-out may end with.
    """
    schema = _without_null(Playbook.model_json_schema(by_alias=True, mode="validation"))
    return {"$schema": DIALECT, **schema, "title": "Stanch playbook"}


def _without_null(schema: Any) -> Any:
    """A key that may be left out may not be left empty."""
    if isinstance(schema, list):
        return [_without_null(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _without_null(item) for key, item in schema.items() if key != "default" or item is not None}
    choices = [choice for choice in found.get("anyOf", ()) if choice != _NULL]
    if len(choices) == 1:
        del found["anyOf"]
        return {**choices[0], **found}
    return {**found, "anyOf": choices} if choices else found
