"""JSON Schema of the language, for editors that complete and check while one writes."""

from typing import Any

from playbooks.contract import Json
from playbooks.model import Playbook

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Json]:
    """The schema (draft 2020-12) of a playbook file, with a description of every key.

    Whatever the loader accepts passes it. The loader checks more: names, durations within limits, ids that are
    unique, what a time-out may end with.
    """
    schema: dict[str, Any] = Playbook.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, **schema, "title": "Stanch playbook"}
