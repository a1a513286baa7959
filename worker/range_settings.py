"""A range's systems as ``stanch.toml`` says them."""

import json
from collections.abc import Mapping
from typing import Any


def system_tables(systems: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lines with a table ``[systems.NAME]`` for each."""
    lines = []
    for system, values in systems.items():
        lines += [f"[systems.{system}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    return lines


def _toml(value: Any) -> str:
    """A value in TOML; what JSON and TOML write alike is written as JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
