"""Static types: what a parameter takes, what an expression surely gives. What cannot be known is ``any``.

Types are those of ``contract.FieldFacts``: ``string integer number boolean datetime duration choice any map
targets grants`` and ``list[TYPE]``.
"""

from collections.abc import Callable
from datetime import datetime

from jinja2 import nodes

from playbooks.contract import MAX_LITERAL_TARGETS, Json
from playbooks.expr_grammar import parse
from playbooks.expr_names import Chain, sole_chain
from playbooks.expr_text import ExprError, sole
from playbooks.expr_text import parts as text_parts
from playbooks.model_values import seconds

TypeOf = Callable[[Chain], str]
_TEXTS = frozenset(("string", "choice", "datetime", "duration"))
_FILTERS = {
    **dict.fromkeys(("lower", "upper", "trim", "join", "string", "tojson"), "string"),
    **dict.fromkeys(("length", "int"), "integer"),
    "datetime": "datetime",
}
_CALLS = {
    "now": "datetime",
    "len": "integer",
    **dict.fromkeys(("seconds", "minutes", "hours", "days"), "duration"),
}


def item_type(kind: str) -> str:
    """Type of an item of a list; ``any`` where it is not known."""
    return kind[5:-1] if kind.startswith("list[") else "any"


def accepts(wanted: str, given: str) -> bool:
    """Whether a value of one type may stand where another is wanted. In doubt yes: values are checked again
    when they are rendered."""
    if "any" in (wanted, given) or wanted == given:
        return True
    if wanted in _TEXTS and given in _TEXTS:
        # Instants and durations are text in JSON, and text may hold one.
        return True
    if wanted == "number":
        return given == "integer"
    if wanted in ("targets", "grants"):
        return given in ("targets", "grants") or (
            given.startswith("list[") and item_type(given) in ("any", "string", "choice", "map")
        )
    if wanted.startswith("list[") and given.startswith("list["):
        return accepts(item_type(wanted), item_type(given))
    return False


def given_type(value: Json, type_of: TypeOf) -> str:
    """The type that an authored value surely has once it is rendered."""
    if isinstance(value, str):
        try:
            source = sole(value)
            if source is not None:
                return expression_type(source, type_of)
            return "string"
        except ExprError:
            return "any"
    return literal_type(value)


def literal_type(value: Json) -> str:
    """The type of a plain JSON value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "map"
    if isinstance(value, list | tuple):
        kinds = {literal_type(item) for item in value}
        return f"list[{kinds.pop()}]" if len(kinds) == 1 else "list[any]"
    return "any"


def expression_type(source: str, type_of: TypeOf) -> str:
    """The type that an expression surely gives.

    Raises:
        ExprError: It leaves the grammar.
    """
    chain = sole_chain(source)
    return type_of(chain) if chain is not None else _type(parse(source), type_of)


def repeats_text(source: str, type_of: TypeOf) -> str | None:
    """The operator that would repeat or format text or a list, where that is surely what stands beside it.

    Raises:
        ExprError: It leaves the grammar.
    """
    tree = parse(source)
    found = [tree] if isinstance(tree, nodes.Mul | nodes.Mod) else []
    for node in (*found, *tree.find_all((nodes.Mul, nodes.Mod))):
        if any(_is_text_or_list(_type(side, type_of)) for side in (node.left, node.right)):
            return node.operator
    return None


def _is_text_or_list(kind: str) -> bool:
    return kind in ("string", "choice", "targets", "grants", "map") or kind.startswith("list[")


def _type(node: nodes.Node, type_of: TypeOf) -> str:
    match node:
        case nodes.Const():
            return literal_type(node.value)
        case nodes.Compare() | nodes.Test() | nodes.Not():
            return "boolean"
        case nodes.List() | nodes.Tuple():
            return "list[any]"
        case nodes.Dict():
            return "map"
        case nodes.Call() if isinstance(node.node, nodes.Name):
            return _CALLS.get(node.node.name, "any")
        case nodes.Filter() if node.name in _FILTERS:
            return _FILTERS[node.name]
        case nodes.Filter() if node.name == "default" and node.node is not None and node.args:
            return _common(_type(node.node, type_of), _type(node.args[0], type_of))
        case nodes.CondExpr() if node.expr2 is not None:
            return _common(_type(node.expr1, type_of), _type(node.expr2, type_of))
        case nodes.Add() | nodes.Sub():
            sides = (_type(node.left, type_of), _type(node.right, type_of))
            return "datetime" if sides == ("datetime", "duration") else "any"
        case nodes.Getattr() | nodes.Getitem() | nodes.Name():
            chain = _chain(node)
            return type_of(chain) if chain is not None else "any"
    return "any"


def _common(left: str, right: str) -> str:
    return left if left == right else "any"


def _chain(node: nodes.Node) -> Chain | None:
    keys: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        key = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if not isinstance(key, str):
            return None
        keys.append(key)
        node = node.node
    return (node.name, *reversed(keys)) if isinstance(node, nodes.Name) else None


def misfit(wanted: str, value: Json, type_of: TypeOf) -> str | None:
    """Why an authored value cannot stand where a type is wanted, as a clause; ``None`` if nothing speaks
    against it."""
    if isinstance(value, str):
        try:
            if any(part.is_expression for part in text_parts(value)):
                given = given_type(value, type_of)
                return None if accepts(wanted, given) else f"takes {spoken(wanted)}, and this gives {spoken(given)}"
        except ExprError:
            return None
        return _literal_text(wanted, value)
    if isinstance(value, list | tuple):
        return _literal_list(wanted, value, type_of)
    given = literal_type(value)
    return None if accepts(wanted, given) else f"takes {spoken(wanted)}, not {spoken(given)}"


def _literal_text(wanted: str, value: str) -> str | None:
    if wanted == "datetime":
        return None if _is_instant(value) else f"takes an instant such as 2026-11-23T10:00:00Z, not {value[:40]!r}"
    if wanted == "duration":
        try:
            seconds(value)
        except ValueError:
            return f"takes a duration such as 5m, not {value[:40]!r}"
        return None
    return None if accepts(wanted, "string") else f"takes {spoken(wanted)}, not text"


def _literal_list(wanted: str, value: list[Json] | tuple[Json, ...], type_of: TypeOf) -> str | None:
    if wanted in ("targets", "grants"):
        if len(value) > MAX_LITERAL_TARGETS:
            return f"takes at most {MAX_LITERAL_TARGETS} literal targets, not {len(value)}"
        inner = "any" if all(isinstance(item, str | dict) for item in value) else "string"
    elif wanted.startswith("list["):
        inner = item_type(wanted)
    else:
        return None if wanted == "any" else f"takes {spoken(wanted)}, not a list"
    for number, item in enumerate(value):
        said = misfit(inner, item, type_of)
        if said is not None:
            return f"has a wrong entry {number + 1}: it {said}"
    return None


def _is_instant(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def spoken(kind: str) -> str:
    """A type in words."""
    if kind.startswith("list["):
        inner = item_type(kind)
        return "a list" if inner == "any" else f"a list of {inner} values"
    words = {
        "string": "text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "yes or no",
        "datetime": "an instant",
        "duration": "a duration",
        "choice": "one of its options",
        "map": "a mapping",
        "targets": "targets",
        "grants": "grants",
    }
    return words.get(kind, "a value")
