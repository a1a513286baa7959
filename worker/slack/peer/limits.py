"""Block Kit's rules as Slack's servers apply them, pure (docs.slack.dev/reference/block-kit).

``problems`` and ``view_problems`` give what is wrong as Slack says it: ``must be less than 3001 characters
[json-pointer:/blocks/0/text/text]``. An empty list means that Slack would take it.
"""

import json
from collections.abc import Iterable
from typing import Any

from worker.slack.peer.limits_elements import ELEMENTS, element, text_object
from worker.slack.peer.limits_report import Report

Json = dict[str, Any]

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
VIEW_BYTES = 250_000
MARKDOWN_CHARACTERS = 12_000
"""Of all markdown blocks of a message together."""
SELECTS = [
    f"{many}{of}_select"
    for of in ("static", "users", "conversations", "channels", "external")
    for many in ("", "multi_")
]
PICKERS = ["checkboxes", "radio_buttons", "datepicker", "timepicker"]
TYPED = ["plain_text_input", "number_input", "email_text_input", "url_text_input", "rich_text_input"]
MESSAGE_CHARACTERS = 13_200
"""Of all blocks of a message as JSON. In no reference, but met (github.com/slackapi/bolt-js issues 2509 and 2867)."""
TOO_LONG = f"all blocks together must be less than {MESSAGE_CHARACTERS + 1} characters"
INPUTS = [*TYPED, *PICKERS, *SELECTS, "datetimepicker", "file_input"]
ACCESSORIES = [*PICKERS, *SELECTS, "button", "image", "overflow", "workflow_button"]
ACTIONS = [
    *PICKERS,
    *SELECTS,
    "button",
    "overflow",
    "workflow_button",
    "datetimepicker",
    "plain_text_input",
    "rich_text_input",
]
FIELDS = {
    "section": {"text", "fields", "accessory", "expand"},
    "divider": set(),
    "header": {"text", "level"},
    "context": {"elements"},
    "actions": {"elements"},
    "input": {"label", "element", "hint", "optional", "dispatch_action"},
    "image": {"image_url", "slack_file", "alt_text", "title"},
    "markdown": {"text"},
    "rich_text": {"elements"},
    "file": {"external_id", "source"},
    "video": {
        "alt_text",
        "author_name",
        "description",
        "provider_icon_url",
        "provider_name",
        "title",
        "title_url",
        "thumbnail_url",
        "video_url",
    },
}
SURFACES = {
    "message": {"section", "divider", "header", "context", "actions", "input", "image", "markdown", "rich_text", "file"}
    | {"video"},
    "modal": {"section", "divider", "header", "context", "actions", "input", "image", "rich_text", "video"},
    "home": {"section", "divider", "header", "context", "actions", "input", "image", "rich_text", "video"},
}
VIEW_FIELDS = {
    *("type", "title", "blocks", "close", "submit", "private_metadata", "callback_id"),
    *("clear_on_close", "notify_on_close", "external_id", "submit_disabled"),
}


def problems(blocks: object, surface: str = "message", pointer: str = "/blocks") -> list[str]:
    """What Slack would refuse in these blocks; ``surface`` is ``message``, ``modal`` or ``home``."""
    report = Report()
    if not isinstance(blocks, list):
        report.add("must be an array", pointer)
        return report.found
    most = MESSAGE_BLOCKS if surface == "message" else VIEW_BLOCKS
    if len(blocks) > most:
        report.add(f"no more than {most} items allowed", pointer)
    for at, block in enumerate(blocks):
        _block(report, block, f"{pointer}/{at}", surface)
    _unique_blocks(report, blocks, pointer)
    if surface == "message" and len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))) > MESSAGE_CHARACTERS:
        report.add(TOO_LONG, pointer)
    markdown = sum(len(str(each.get("text", ""))) for each in blocks if _type(each) == "markdown")
    if markdown > MARKDOWN_CHARACTERS:
        report.add(f"markdown text must be less than {MARKDOWN_CHARACTERS + 1} characters in all", pointer)
    return report.found


def view_problems(view: object, pointer: str = "/view") -> list[str]:
    """What Slack would refuse in a view (docs.slack.dev/reference/views)."""
    report = Report()
    if not isinstance(view, dict):
        report.add("must be an object", pointer)
        return report.found
    if len(json.dumps(view, ensure_ascii=False).encode()) > VIEW_BYTES:
        report.add("must be less than 250 kB", pointer)
    kind = view.get("type")
    if kind not in ("modal", "home"):
        report.add("must be one of: modal, home", f"{pointer}/type")
        return report.found
    report.unknown(view, VIEW_FIELDS, pointer)
    if kind == "modal":
        text_object(report, view.get("title"), f"{pointer}/title", 24, plain=True)
        for name in ("submit", "close"):
            if name in view and view[name] is not None:
                text_object(report, view[name], f"{pointer}/{name}", 24, plain=True)
    elif "submit" in view or "close" in view:
        report.add("a home has neither submit nor close", pointer)
    report.length(view, "private_metadata", 3000, pointer)
    report.length(view, "callback_id", 255, pointer)
    report.length(view, "external_id", 255, pointer)
    if "blocks" not in view:
        report.add("missing required field: blocks", pointer)
        return report.found
    blocks = view["blocks"]
    if kind == "modal" and not view.get("submit") and any(_type(each) == "input" for each in _listed(blocks)):
        report.add("a modal with inputs needs submit", f"{pointer}/submit")
    return report.found + problems(blocks, kind, f"{pointer}/blocks")


def _listed(blocks: object) -> list[Any]:
    return blocks if isinstance(blocks, list) else []


def _type(block: object) -> object:
    return block.get("type") if isinstance(block, dict) else None


def _block(report: Report, block: object, at: str, surface: str) -> None:
    if not isinstance(block, dict):
        report.add("must be an object", at)
        return
    kind = str(block.get("type", ""))
    if kind not in FIELDS:
        report.add(f"unsupported type: {kind or 'none'}", f"{at}/type")
        return
    if kind not in SURFACES[surface]:
        report.add(f"unsupported type in a {surface}: {kind}", f"{at}/type")
        return
    report.unknown(block, FIELDS[kind] | {"type", "block_id"}, at)
    report.length(block, "block_id", 255, at)
    if kind == "section":
        _section(report, block, at)
    elif kind == "header":
        text_object(report, block.get("text"), f"{at}/text", 150, plain=True)
    elif kind == "context":
        _context(report, block, at)
    elif kind == "actions":
        for index, each in enumerate(report.items(block, "elements", 1, 25, at)):
            element(report, each, f"{at}/elements/{index}", ACTIONS)
    elif kind == "input":
        _input(report, block, at)
    elif kind == "image":
        _image(report, block, at)
    elif kind == "markdown":
        report.text(block, "text", 1, MARKDOWN_CHARACTERS, at)
    elif kind == "rich_text":
        for index, each in enumerate(report.items(block, "elements", 1, 3000, at)):
            kinds = ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")
            if _type(each) not in kinds:
                report.add(f"unsupported type: {_type(each)}", f"{at}/elements/{index}/type")
    elif kind == "video":
        for name in ("alt_text", "title", "thumbnail_url", "video_url"):
            if name not in block:
                report.add(f"missing required field: {name}", at)


def _section(report: Report, block: Json, at: str) -> None:
    if "text" not in block and "fields" not in block:
        report.add("missing required field: text", at)
    if "text" in block:
        text_object(report, block["text"], f"{at}/text", 3000)
    if "fields" in block:
        for index, each in enumerate(report.items(block, "fields", 1, 10, at)):
            text_object(report, each, f"{at}/fields/{index}", 2000)
    if "accessory" in block:
        element(report, block["accessory"], f"{at}/accessory", ACCESSORIES)


def _context(report: Report, block: Json, at: str) -> None:
    for index, each in enumerate(report.items(block, "elements", 1, 10, at)):
        where = f"{at}/elements/{index}"
        if _type(each) == "image":
            element(report, each, where, ["image"])
        elif _type(each) in ("plain_text", "mrkdwn"):
            text_object(report, each, where, 3000)
        else:
            report.add(f"unsupported type: {_type(each)}", f"{where}/type")


def _input(report: Report, block: Json, at: str) -> None:
    text_object(report, block.get("label"), f"{at}/label", 2000, plain=True)
    if block.get("hint") is not None:
        text_object(report, block["hint"], f"{at}/hint", 2000, plain=True)
    if "element" not in block:
        report.add("missing required field: element", at)
    else:
        element(report, block["element"], f"{at}/element", INPUTS)


def _image(report: Report, block: Json, at: str) -> None:
    if ("image_url" in block) == ("slack_file" in block):
        report.add("exactly one of image_url and slack_file is required", at)
    report.length(block, "image_url", 3000, at)
    report.text(block, "alt_text", 0, 2000, at)
    if "title" in block:
        text_object(report, block["title"], f"{at}/title", 2000, plain=True)


def _unique_blocks(report: Report, blocks: list[Any], pointer: str) -> None:
    _unique(
        report,
        ((each.get("block_id"), f"{pointer}/{at}/block_id") for at, each in enumerate(blocks) if _type(each)),
        "block_id",
    )
    for at, block in enumerate(blocks):
        if _type(block) == "actions":
            inside = enumerate(_listed(block.get("elements")))
            names = (
                (each.get("action_id"), f"{pointer}/{at}/elements/{index}/action_id")
                for index, each in inside
                if isinstance(each, dict) and each.get("type") in ELEMENTS
            )
            _unique(report, names, "action_id")


def _unique(report: Report, names: Iterable[tuple[Any, str]], what: str) -> None:
    seen: set[str] = set()
    for name, pointer in names:
        if isinstance(name, str) and name in seen:
            report.add(f"`{what}` {name} already exists", pointer)
        if isinstance(name, str):
            seen.add(name)
