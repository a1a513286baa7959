"""Forms made from declared fields, and what comes back from them, typed by the same rule as the shell's. Pure.

A field is ``{type, required, default, options, description}``, as playbooks' inputs and waiting entries carry it.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from playbooks.plan import fits
from worker.slack.blocks import PLACEHOLDER, Block, asked, options, paragraph, plain, size
from worker.slack.names import FIELD, VALUE
from worker.slack.text import short, units
from worker.typed_values import NotOfType
from worker.typed_values import read as read_text

Fields = Mapping[str, Mapping[str, Any]]

MOST_FIELDS = 80
CHOICES_SIZE = 60_000
"""Characters of all choices of a view, which may have 250,000 bytes in all."""
OPTIONS, OPTION_VALUE, INPUT = 100, 150, 3000
EXAMPLES = {"duration": "such as 30m, 2h or 3d", "list": "separated by commas, or one on each line"}


def blocks_of(fields: Fields) -> list[Block]:
    """One input for each field; required ones first where there are more than a modal can hold."""
    shown = shown_fields(fields)
    made: list[Block] = []
    for name, field in shown.items():
        block = _field(name, field)
        if size(block) > CHOICES_SIZE // len(shown) and "choice" in str(field.get("type")):
            # Too many long choices for one view: they are written instead, and read by the same rule.
            block = _field(name, {**field, "type": "list[string]" if many(field) else "string"})
        made.append(block)
    rest = len(fields) - len(shown)
    if rest:
        made.append(paragraph([f"{rest} optional fields are not shown here and keep their defaults."]))
    return made


def shown_fields(fields: Fields) -> Fields:
    """The fields that fit into a modal.

    Raises:
        ValueError: More required ones than a modal can hold.
    """
    if len(fields) <= MOST_FIELDS:
        return fields
    needed = {name: field for name, field in fields.items() if must_be_given(field)}
    if len(needed) > MOST_FIELDS:
        raise ValueError(f"{len(needed)} fields must be given; Slack shows {MOST_FIELDS}")
    further = [name for name in fields if name not in needed][: MOST_FIELDS - len(needed)]
    return {name: field for name, field in fields.items() if name in needed or name in further}


def many(field: Mapping[str, Any]) -> bool:
    """Whether a field takes a list."""
    return str(field.get("type", "")).startswith("list[")


def must_be_given(field: Mapping[str, Any]) -> bool:
    """Whether it has neither a default nor ``required: false``."""
    return bool(field.get("required", True)) and field.get("default") is None


def read(view_state: Mapping[str, Any], fields: Fields) -> tuple[dict[str, Any], dict[str, str]]:
    """What was entered, by field name, and what is wrong with it, by block id, in plain words.

    Args:
        view_state: ``view.state`` or its ``values``: block id to action id to element state.
        fields: The declared fields; what else the state has is not looked at.

    What was left empty is left out, so that its default holds.
    """
    entered = view_state.get("values", view_state)
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, field in fields.items():
        state = (entered.get(FIELD + name) or {}).get(VALUE) or {}
        type_ = str(field.get("type", "string"))
        declared = tuple(str(option) for option in field.get("options") or ())
        try:
            text = _text(state, declared, lines=type_.startswith("list["))
            if text is None:
                if must_be_given(field) and FIELD + name in entered:
                    raise NotOfType("Please fill this in")
                continue
            value = text if isinstance(text, list) else read_text(text, type_, declared)
            if not fits(type_, value, declared):
                raise NotOfType(_expected(type_))
            values[name] = value
        except NotOfType as wrong:
            errors[FIELD + name] = short(f"{str(wrong)[:1].upper()}{str(wrong)[1:]}.", 140)
    return values, errors


def _expected(type_: str) -> str:
    words = {
        "integer": "a whole number",
        "number": "a number",
        "duration": f"a duration, {EXAMPLES['duration']}",
        "datetime": "a date and time",
        "boolean": "yes or no",
        "choice": "one of the choices",
    }
    inner = type_.removeprefix("list[").removesuffix("]")
    if type_.startswith("list["):
        return f"not a list of this kind: each entry is {words.get(inner, 'text')}"
    return f"this is not {words.get(type_, 'text that can be written')}"


def _text(state: Mapping[str, Any], declared: tuple[str, ...], *, lines: bool) -> str | list[str] | None:
    """The state of one element as the text that a shell would have been given; ``None`` if it is empty."""
    if state.get("selected_options"):
        return [_chosen(option, declared) for option in state["selected_options"]]
    if state.get("selected_option"):
        return _chosen(state["selected_option"], declared)
    if state.get("selected_date_time") is not None:
        at = datetime.fromtimestamp(int(state["selected_date_time"]), UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    text = str(state.get("value") or "").strip()
    return (text.replace("\n", ",") if lines and not text.startswith("[") else text) or None


def _chosen(option: Mapping[str, Any], declared: tuple[str, ...]) -> str:
    value = str(option["value"])
    for each in declared:
        if option_value(each) == value:
            return each
    return value


def option_value(option: str) -> str:
    """An option's value: itself, or a digest of one that is longer than Slack takes."""
    return option if units(option) <= OPTION_VALUE else "sha256:" + hashlib.sha256(option.encode()).hexdigest()


def _field(name: str, field: Mapping[str, Any]) -> Block:
    type_ = str(field.get("type", "string"))
    more = [EXAMPLES.get("list" if type_.startswith("list[") else type_, "")]
    if _worked_out(field.get("default")):
        # Its text would be taken for a value; what it stands for is known at the start only.
        field = {**field, "default": None, "required": False}
        more.append("worked out if left empty")
    hint = "; ".join(filter(None, more)).capitalize()
    label = str(field.get("description") or name.replace("_", " "))
    element = _element(type_, field) | {"action_id": VALUE}
    return asked(FIELD + name, label, element, hint=hint, optional=not must_be_given(field))


def _element(type_: str, field: Mapping[str, Any]) -> Block:
    default = field.get("default")
    if type_ == "boolean":
        return _with_initial({"type": "radio_buttons", "options": options([("yes", "Yes"), ("no", "No")])}, default)
    if type_ in ("choice", "list[choice]"):
        return _choice(type_, [str(option) for option in field.get("options") or ()], default)
    if type_ == "datetime":
        return {"type": "datetimepicker"} | _instant(default)
    if type_ in ("integer", "number"):
        initial = {"initial_value": str(default)} if _given(default) else {}
        return {"type": "number_input", "is_decimal_allowed": type_ == "number"} | initial
    element: Block = {"type": "plain_text_input", "max_length": INPUT}
    if type_.startswith("list["):
        element["multiline"] = True
    if isinstance(default, list):
        default = ", ".join(map(str, default))
    if _given(default) and units(str(default)) <= INPUT:
        element["initial_value"] = str(default)
    return element


def _choice(type_: str, declared: list[str], default: Any) -> Block:
    many = type_ != "choice"
    found = options([(option_value(option), option) for option in declared])
    element: Block = {"type": "multi_static_select" if many else "static_select"}
    element["placeholder"] = plain("Choose any" if many else "Choose one", PLACEHOLDER)
    if len(found) <= OPTIONS:
        element["options"] = found
    else:
        groups = [found[at : at + OPTIONS] for at in range(0, len(found), OPTIONS)]
        element["option_groups"] = [
            {"label": plain(f"{at * OPTIONS + 1} to {at * OPTIONS + len(group)}", 75), "options": group}
            for at, group in enumerate(groups)
        ]
    wanted = {option_value(str(one)) for one in (default if isinstance(default, list) else [default])}
    chosen = [option for option in found if option["value"] in wanted]
    if chosen:
        element["initial_options" if many else "initial_option"] = chosen if many else chosen[0]
    return element


def _with_initial(element: Block, default: Any) -> Block:
    if not isinstance(default, bool):
        return element
    return element | {"initial_option": element["options"][0 if default else 1]}


def _instant(default: Any) -> Block:
    try:
        return {"initial_date_time": int(datetime.fromisoformat(str(default)).timestamp())}
    except ValueError:
        return {}


def _worked_out(default: Any) -> bool:
    """Whether a default is an expression, or a list that has one."""
    return any(isinstance(one, str) and "{{" in one for one in (default if isinstance(default, list) else [default]))


def _given(default: Any) -> bool:
    return default is not None and not isinstance(default, (dict, bool))
