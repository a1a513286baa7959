"""What is wrong with a file's shape, in words for its author: pydantic's errors, translated."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from playbooks.contract import Json
from playbooks.loader_yaml import Document, Loc
from playbooks.model import Playbook
from playbooks.model_parts import Dated, Foreign, SubPlaybook, Verify, WaitFor, Wanted
from playbooks.model_steps import (
    KINDS,
    LATER_KINDS,
    TAG,
    Repeat,
    Way,
    kinds_of,
)
from playbooks.model_values import By, InputField, Link, OutputValue, Retry, Undo
from playbooks.problems import did_you_mean

LATER_KEYS = frozenset[str]()
"""Top-level keys of the language that this version does not know."""

_PARTS: dict[str, type[BaseModel]] = {
    "by": By,
    "verify": Verify,
    "wait": WaitFor,
    "run": SubPlaybook,
    "workflow": Foreign,
    "repeat": Repeat,
    "choose": Way,
    "clocks": Dated,
    "retry": Retry,
    "undo": Undo,
    "draft": Wanted,
    "on_timeout": Link,
}
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "yes or no",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_VERSION_HINT = "Write MAJOR.MINOR.PATCH, such as 1.4.0."
_ENDLESS = {"within": "wait_without_end", "on_timeout": "wait_without_end", "at_most": "unbounded_repeat"}
"""Keys without which a step might never end, to the problem's code."""
_SIGNS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
}


class Found(NamedTuple):
    """One defect of shape, at ``loc``; ``key`` if it stands at the key rather than at the value."""

    loc: Loc
    code: str
    message: str
    hint: str = ""
    key: bool = False


def translate(error: ValidationError, document: Document) -> list[Found]:
    """Every error of a playbook's shape."""
    return [_translated(entry, document) for entry in error.errors(include_url=False)]


def _translated(entry: Mapping[str, Any], document: Document) -> Found:
    tagged: Loc = tuple(entry["loc"])
    loc = tuple(part for part in tagged if not _is_mark(part))
    kind, context = entry["type"], entry.get("ctx") or {}
    value = document.at(loc)
    if kind == "missing":
        return _missing(tagged, loc)
    if kind == "extra_forbidden":
        return _unknown(tagged, loc)
    if kind == "step_kind":
        return _no_kind(loc, value)
    if "said" in context:
        key = context["key"] or tagged[-1:] == ("[key]",)
        return Found((*loc, *context["at"]), kind, context["said"], context["hint"], key=key)
    if kind in _WANTED:
        return _wrong_type(loc, kind, value)
    return Found(loc, "bad_value", *_bad_value(kind, context, loc, value))


def _is_mark(part: str | int) -> bool:
    return isinstance(part, str) and (part.startswith(TAG) or part == "[key]")


def _named(loc: Loc) -> str:
    """The part, as an author would name it."""
    words = [str(part) for part in loc if isinstance(part, str)]
    if not words:
        return "The playbook"
    return f"An entry of {words[-1]}" if isinstance(loc[-1], int) else words[-1]


def _step_kind(tagged: Loc) -> str | None:
    """The kind of the step that directly holds the last key of a place."""
    holder = tagged[-2] if len(tagged) > 1 else None
    name = holder.removeprefix(TAG) if isinstance(holder, str) and holder.startswith(TAG) else None
    return name if name in KINDS else None


def _missing(tagged: Loc, loc: Loc) -> Found:
    key, kind = str(loc[-1]), _step_kind(tagged)
    hint = ""
    holder = KINDS.get(kind or "") or _class_of(loc[:-1])
    for name, field in (holder.model_fields if holder else {}).items():
        if key in (field.alias, name):
            hint = f"{field.description}."
    if key == "at_most":
        return Found(loc[:-2], _ENDLESS[key], "The repeat does not say how often at most.", hint)
    if kind is None:
        return Found(loc[:-1], "missing_key", f"{_named(loc[:-1])} has no {key}.", hint)
    code = _ENDLESS.get(key, "missing_key")
    article = "An" if kind[0] in "aeiou" else "A"
    return Found(loc[:-1], code, f"{article} {kind} step needs {key}.", hint)


def _class_of(loc: Loc) -> type[BaseModel] | None:
    if not loc:
        return Playbook
    words = [part for part in loc if isinstance(part, str)]
    if len(words) > 1 and words[-2] in ("inputs", "form"):
        return InputField
    if len(loc) == 2 and loc[0] == "outputs":
        return OutputValue
    return _PARTS.get(words[-1]) if words else None


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys that an author may write in a part."""
    return [field.alias or name for name, field in model.model_fields.items() if not field.exclude]


def _unknown(tagged: Loc, loc: Loc) -> Found:
    key, kind = str(loc[-1]), _step_kind(tagged)
    if len(loc) == 1 and key in LATER_KEYS:
        return Found(loc, "not_in_this_version", f"{key} is not in this version of Stanch.", key=True)
    holder = KINDS[kind] if kind else _class_of(loc[:-1])
    known = keys_of(holder) if holder else []
    hint = did_you_mean(key, known)
    if kind:
        others = [name for name, model in KINDS.items() if key in keys_of(model)]
        hint = f"{key} goes with {', '.join(others)}." if others else hint
        return Found(loc, "unknown_key", f"There is no key {key[:60]} in a step of kind {kind}.", hint, key=True)
    hint = hint or (f"It takes: {', '.join(known)}." if known else "")
    where = _named(loc[:-1]) if len(loc) > 1 else "a playbook"
    return Found(loc, "unknown_key", f"There is no key {key[:60]} in {where}.", hint, key=True)


def _no_kind(loc: Loc, value: Json) -> Found:
    if not isinstance(value, dict):
        return Found(loc, "wrong_type", f"A step is a mapping, not {_is(value)}.", "Write - id: NAME, then its keys.")
    kinds = kinds_of(value)
    for kind in kinds:
        if kind in LATER_KINDS:
            return Found((*loc, kind), "not_in_this_version", f"{kind} is not in this version of Stanch.", key=True)
    if kinds:
        said = f"A step does one thing, but this one has {' and '.join(kinds)}."
        return Found((*loc, kinds[1]), "bad_value", said, "Make it several steps.", key=True)
    for key in value:
        hint = did_you_mean(key, KINDS)
        if hint and key not in keys_of(KINDS["note"]):
            return Found((*loc, key), "unknown_key", f"There is no kind of step named {key[:60]}.", hint, key=True)
    return Found(loc, "missing_key", "This step does not say what it does.", f"It needs one of {', '.join(KINDS)}.")


def _is(value: Json) -> str:
    if value is None:
        return "nothing"
    words = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return words[type(value)]


def _wrong_type(loc: Loc, kind: str, value: Json) -> Found:
    wanted, hint = _WANTED[kind], ""
    if loc == ("version",):
        hint = _VERSION_HINT
    elif kind == "string_type" and isinstance(value, bool | int | float):
        shown = str(value).lower() if isinstance(value, bool) else value
        hint = f'Put it in quotes: "{shown}".'
    elif kind == "list_type" and isinstance(value, str):
        hint = f"Write [{value[:40]}]."
    return Found(loc, "wrong_type", f"{_named(loc)} takes {wanted}, not {_is(value)}.", hint)


def _bad_value(kind: str, context: Mapping[str, Any], loc: Loc, value: Json) -> tuple[str, str]:
    name = _named(loc)
    if kind == "literal_error":
        options = context["expected"].replace("'", "")
        hint = did_you_mean(str(value), options.replace(" or ", ", ").split(", "))
        return f"{name} cannot be {str(value)[:60]!r}.", hint or f"It takes {options}."
    if kind == "too_short":
        return f"{name} is empty.", "Give at least one entry, or leave the key out."
    if kind in ("too_long", "string_too_long"):
        return f"{name} is too long.", f"At most {context.get('max_length')}."
    if kind == "string_pattern_mismatch" and loc == ("version",):
        return f"{str(value)[:40]!r} is no version.", _VERSION_HINT
    if kind in _SIGNS:
        key, words = _SIGNS[kind]
        return f"{name} is out of range.", f"It takes {words} {context[key]}."
    return f"{name} cannot be {str(value)[:60]!r}.", ""
