"""Filling in inputs as a client does: by label or id, checked as Slack's client checks, into ``view.state.values``.

docs.slack.dev/reference/views#state: ``{block_id: {action_id: {"type": …, "value" | "selected_…": …}}}``.
"""

import copy
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from worker.slack.peer.messages import elements

Json = dict[str, Any]
TYPED = ("plain_text_input", "number_input", "email_text_input", "url_text_input")
ONE_OPTION = ("static_select", "radio_buttons", "external_select", "overflow")
SOME_OPTIONS = ("multi_static_select", "checkboxes", "multi_external_select")
IDS = {
    "users_select": ("selected_user", "initial_user"),
    "channels_select": ("selected_channel", "initial_channel"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_users_select": ("selected_users", "initial_users"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}


class NotFilled(Exception):
    """The client does not let this be sent; says where and why."""


def named(given: Json) -> str:
    """The text of a text object."""
    return str(given.get("text", ""))


def fields(blocks: list[Json]) -> Iterator[tuple[str, Json, Json]]:
    """(label, block, element) of all that holds a value: inputs, and selects of sections and actions."""
    for block in blocks:
        for element in elements(block):
            kind = element.get("type", "")
            if kind in TYPED or kind in ONE_OPTION or kind in SOME_OPTIONS or kind in IDS:
                text = block.get("label") or block.get("text") or element.get("placeholder") or {}
                yield named(text), block, element


def values(blocks: list[Json], filled: Mapping[str, Json]) -> Json:
    """``state.values``; ``filled`` is by action id, what is not in it holds its initial value."""
    state: Json = {}
    for _, block, element in fields(blocks):
        held = filled.get(element["action_id"]) or initial(element)
        state.setdefault(block["block_id"], {})[element["action_id"]] = held
    return state


def initial(element: Json) -> Json:
    """What an element holds before anybody touched it."""
    kind = element["type"]
    if kind in TYPED:
        return {"type": kind, "value": element.get("initial_value") or None}
    if kind in ONE_OPTION:
        return {"type": kind, "selected_option": copy.deepcopy(element.get("initial_option"))}
    if kind in SOME_OPTIONS:
        return {"type": kind, "selected_options": copy.deepcopy(element.get("initial_options", []))}
    selected, start = IDS[kind]
    return {"type": kind, selected: element.get(start, [] if kind.startswith("multi") else None)}


def held(element: Json, value: Any) -> Json:
    """What an element holds after somebody gave it ``value``.

    Text for what is typed; an option's label or value (a list of them for several); ids; a date as text; a moment as
    ``datetime`` or seconds.

    Raises:
        NotFilled: There is no such option, or the value is none of this type.
    """
    kind = element["type"]
    if value is None:
        return initial({"type": kind})
    if kind in TYPED:
        return {"type": kind, "value": str(value) or None}
    if kind in ONE_OPTION:
        return {"type": kind, "selected_option": _option(element, value)}
    if kind in SOME_OPTIONS:
        chosen = [value] if isinstance(value, str) else list(value)
        most = element.get("max_selected_items")
        if most is not None and len(chosen) > most:
            raise NotFilled(f"at most {most} may be chosen")
        return {"type": kind, "selected_options": [_option(element, each) for each in chosen]}
    if kind == "datetimepicker":
        moment = int(value.timestamp()) if isinstance(value, datetime) else int(value)
        return {"type": kind, "selected_date_time": moment}
    return {"type": kind, IDS[kind][0]: value}


def _option(element: Json, wanted: object) -> Json:
    options = list(element.get("options", ()))
    for group in element.get("option_groups", ()):
        options += group.get("options", ())
    for option in options:
        if wanted in (option.get("value"), named(option["text"])):
            return {"text": copy.deepcopy(option["text"]), "value": option["value"]}
    raise NotFilled(f"{wanted!r} is none of the options {[named(each['text']) for each in options]}")


def fill(view: Json, given: Mapping[str, Any]) -> None:
    """Put values into a view's state by label, action id or block id; what is not given stays as it is.

    Raises:
        NotFilled: There is no such input, or it does not take that value.
    """
    state = view["state"]["values"]
    found = list(fields(view["blocks"]))
    for _, block, element in found:
        state.setdefault(block["block_id"], {}).setdefault(element["action_id"], initial(element))
    for name, value in given.items():
        meant = [each for each in found if name in (each[0], each[1]["block_id"], each[2]["action_id"])]
        if len(meant) != 1:
            labels = [each[0] for each in found]
            raise NotFilled(f"{len(meant)} inputs are called {name!r}; there are {labels}")
        _, block, element = meant[0]
        state[block["block_id"]][element["action_id"]] = held(element, value)


def check(view: Json) -> dict[str, str]:
    """What the client itself objects to before it sends: by block id."""
    wrong: dict[str, str] = {}
    for label, block, element in fields(view["blocks"]):
        if block["type"] != "input":
            continue
        value = _plain(view["state"]["values"][block["block_id"]][element["action_id"]])
        if value in (None, "", []):
            if not block.get("optional"):
                wrong[block["block_id"]] = f"{label}: please complete this required field"
        elif message := _objection(element, value):
            wrong[block["block_id"]] = f"{label}: {message}"
    return wrong


def _plain(state: Json) -> Any:
    return next((value for name, value in state.items() if name != "type"), None)


def _objection(element: Json, value: Any) -> str:
    if element["type"] == "plain_text_input":
        if len(value) < element.get("min_length", 0):
            return f"at least {element['min_length']} characters"
        if len(value) > element.get("max_length", 3000):
            return f"at most {element.get('max_length', 3000)} characters"
        if "\n" in value and not element.get("multiline"):
            return "one line only"
    if element["type"] == "number_input":
        return _no_number(element, value)
    if element["type"] == "email_text_input" and "@" not in value:
        return "no e-mail address"
    if element["type"] == "url_text_input" and "://" not in value:
        return "no URL"
    return ""


def _no_number(element: Json, value: str) -> str:
    try:
        number = float(value) if element.get("is_decimal_allowed") else int(value)
    except ValueError:
        return "no number of this kind"
    if "min_value" in element and number < float(element["min_value"]):
        return f"at least {element['min_value']}"
    if "max_value" in element and number > float(element["max_value"]):
        return f"at most {element['max_value']}"
    return ""
