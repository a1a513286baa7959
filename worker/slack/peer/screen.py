"""What a screen shows of blocks: the text, and the buttons and selects that can be used."""

import copy
from typing import Any

from worker.slack.peer import inputs
from worker.slack.peer.messages import elements

Json = dict[str, Any]


class CannotDo(Exception):
    """What the user wants is not on their screen; says what is."""


def element_of(blocks: list[Json], action: str, value: Any) -> tuple[Json, Json]:
    """The block and element with this action id or label; a button's ``value`` tells it from others.

    Raises:
        CannotDo: There is none, or several.
    """
    usable = [(block, each) for block in blocks for each in elements(block) if "action_id" in each]
    found = [
        (block, each)
        for block, each in usable
        if action in (each["action_id"], inputs.named(each.get("text", {})))
        and (value is None or each["type"] != "button" or each.get("value") == value)
    ]
    if len(found) != 1:
        there = [(each["action_id"], inputs.named(each.get("text", {}))) for _, each in usable]
        raise CannotDo(f"{len(found)} elements are {action!r}; there are {there}")
    return found[0]


def chosen_in(element: Json, value: Any) -> Json:
    """What an element then holds; nothing for a button.

    Raises:
        CannotDo: It has no such option.
    """
    if element["type"] in ("button", "workflow_button"):
        return {}
    try:
        return inputs.held(element, value)
    except inputs.NotFilled as error:
        raise CannotDo(str(error)) from None


def said(message: Json) -> str:
    """All the text that a message or view shows: its blocks', or its own where it has none; labels of buttons too."""
    if not message.get("blocks"):
        return str(message.get("text", ""))
    return "\n".join(_texts(copy.deepcopy(message["blocks"])))


def _texts(given: Any) -> list[str]:
    if isinstance(given, list):
        return [text for each in given for text in _texts(each)]
    if isinstance(given, dict):
        if given.get("type") in ("plain_text", "mrkdwn", "text", "markdown") and isinstance(given.get("text"), str):
            return [given["text"]]
        return [text for name, each in given.items() if name != "confirm" for text in _texts(each)]
    return []
