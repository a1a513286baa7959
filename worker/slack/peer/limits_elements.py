"""The rules of Block Kit's elements and composition objects (docs.slack.dev/reference/block-kit/block-elements)."""

from typing import Any

from worker.slack.peer.limits_report import Report

Json = dict[str, Any]

COMMON = {"type", "action_id", "confirm", "focus_on_load"}
SELECT = {"placeholder"}
CHOICES = {"options", "initial_option"}
ELEMENTS: dict[str, set[str]] = {
    "button": {"text", "url", "value", "style", "accessibility_label"},
    "workflow_button": {"text", "workflow", "style", "accessibility_label"},
    "image": {"image_url", "slack_file", "alt_text"},
    "overflow": {"options"},
    "checkboxes": {"options", "initial_options"},
    "radio_buttons": CHOICES,
    "datepicker": {"initial_date", "placeholder"},
    "timepicker": {"initial_time", "placeholder", "timezone"},
    "datetimepicker": {"initial_date_time"},
    "plain_text_input": {"initial_value", "multiline", "min_length", "max_length", "dispatch_action_config"} | SELECT,
    "number_input": {"is_decimal_allowed", "initial_value", "min_value", "max_value", "dispatch_action_config"}
    | SELECT,
    "email_text_input": {"initial_value", "dispatch_action_config"} | SELECT,
    "url_text_input": {"initial_value", "dispatch_action_config"} | SELECT,
    "rich_text_input": {"initial_value", "dispatch_action_config"} | SELECT,
    "file_input": {"filetypes", "max_files"},
    "static_select": CHOICES | {"option_groups"} | SELECT,
    "multi_static_select": {"options", "option_groups", "initial_options", "max_selected_items"} | SELECT,
    "external_select": {"initial_option", "min_query_length"} | SELECT,
    "multi_external_select": {"initial_options", "min_query_length", "max_selected_items"} | SELECT,
    "users_select": {"initial_user"} | SELECT,
    "multi_users_select": {"initial_users", "max_selected_items"} | SELECT,
    "conversations_select": {"initial_conversation", "default_to_current_conversation", "filter"}
    | {"response_url_enabled"}
    | SELECT,
    "multi_conversations_select": {"initial_conversations", "default_to_current_conversation", "filter"}
    | {"max_selected_items"}
    | SELECT,
    "channels_select": {"initial_channel", "response_url_enabled"} | SELECT,
    "multi_channels_select": {"initial_channels", "max_selected_items"} | SELECT,
}
NO_CONFIRM = ("plain_text_input", "number_input", "email_text_input", "url_text_input", "rich_text_input", "file_input")
MOST_OPTIONS = {"overflow": 5, "checkboxes": 10, "radio_buttons": 10, "static_select": 100, "multi_static_select": 100}


def text_object(report: Report, given: object, at: str, most: int, *, plain: bool = False) -> None:
    """A text object that must be there, of 1 to ``most`` characters (composition-objects/text-object)."""
    if not isinstance(given, dict):
        report.add("must be a text object", at)
        return
    kind = given.get("type")
    if kind not in ("plain_text",) if plain else kind not in ("plain_text", "mrkdwn"):
        report.add("must be plain_text" if plain else "must be one of: plain_text, mrkdwn", f"{at}/type")
        return
    report.unknown(given, {"type", "text", "emoji"} if kind == "plain_text" else {"type", "text", "verbatim"}, at)
    report.text(given, "text", 1, most, at)


def element(report: Report, given: object, at: str, allowed: list[str]) -> None:
    """An element of one of the types that are allowed where it stands."""
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(given, dict) or kind not in ELEMENTS or kind not in allowed:
        report.add(f"unsupported type: {kind}", f"{at}/type")
        return
    known = ELEMENTS[kind] | COMMON
    if kind == "image":
        known = ELEMENTS[kind] | {"type"}
    report.unknown(given, known - ({"confirm"} if kind in NO_CONFIRM else set()), at)
    report.length(given, "action_id", 255, at)
    if kind in MOST_OPTIONS:
        _choices(report, given, kind, at)
    if given.get("placeholder") is not None:
        text_object(report, given["placeholder"], f"{at}/placeholder", 150, plain=True)
    if "confirm" in given:
        confirm(report, given["confirm"], f"{at}/confirm")
    if kind == "button":
        _button(report, given, at)
    elif kind == "image":
        report.text(given, "alt_text", 0, 2000, at)
        if ("image_url" in given) == ("slack_file" in given):
            report.add("exactly one of image_url and slack_file is required", at)
    elif kind == "plain_text_input":
        _plain_text_input(report, given, at)
    elif kind == "number_input":
        _number_input(report, given, at)
    elif kind == "datetimepicker" and "initial_date_time" in given:
        moment = given["initial_date_time"]
        if not isinstance(moment, int) or len(str(moment)) != 10:
            report.add("must be a timestamp of 10 digits", f"{at}/initial_date_time")


def confirm(report: Report, given: object, at: str) -> None:
    """A confirmation dialog (composition-objects/confirmation-dialog-object)."""
    if not isinstance(given, dict):
        report.add("must be an object", at)
        return
    report.unknown(given, {"title", "text", "confirm", "deny", "style"}, at)
    text_object(report, given.get("title"), f"{at}/title", 100, plain=True)
    text_object(report, given.get("text"), f"{at}/text", 300)
    for name in ("confirm", "deny"):
        text_object(report, given.get(name), f"{at}/{name}", 30, plain=True)
    _style(report, given, at)


def _style(report: Report, given: Json, at: str) -> None:
    if "style" in given and given["style"] not in ("primary", "danger"):
        report.add("must be one of: primary, danger", f"{at}/style")


def _button(report: Report, given: Json, at: str) -> None:
    text_object(report, given.get("text"), f"{at}/text", 75, plain=True)
    report.length(given, "value", 2000, at)
    report.length(given, "url", 3000, at)
    report.length(given, "accessibility_label", 75, at)
    _style(report, given, at)


def _choices(report: Report, given: Json, kind: str, at: str) -> None:
    options: list[Any] = []
    if "option_groups" in given:
        if "options" in given:
            report.add("only one of options and option_groups is allowed", at)
        for index, group in enumerate(report.items(given, "option_groups", 1, 100, at)):
            where = f"{at}/option_groups/{index}"
            if not isinstance(group, dict):
                report.add("must be an object", where)
                continue
            text_object(report, group.get("label"), f"{where}/label", 75, plain=True)
            options += _options(report, group, 100, kind, where)
    else:
        options = _options(report, given, MOST_OPTIONS[kind], kind, at)
    initial = given.get("initial_options", [given["initial_option"]] if "initial_option" in given else [])
    if "initial_options" in given and not initial:
        report.add("no fewer than 1 items allowed", f"{at}/initial_options")
    for each in initial:
        if each not in options:
            name = "initial_options" if "initial_options" in given else "initial_option"
            report.add("must be one of the options provided", f"{at}/{name}")


def _options(report: Report, given: Json, most: int, kind: str, at: str) -> list[Any]:
    found = report.items(given, "options", 1, most, at)
    formatted = kind in ("checkboxes", "radio_buttons")
    values: set[str] = set()
    for index, option in enumerate(found):
        where = f"{at}/options/{index}"
        if not isinstance(option, dict):
            report.add("must be an object", where)
            continue
        report.unknown(option, {"text", "value", "description"} | ({"url"} if kind == "overflow" else set()), where)
        text_object(report, option.get("text"), f"{where}/text", 75, plain=not formatted)
        report.text(option, "value", 0, 150, where)
        if option.get("description") is not None:
            text_object(report, option["description"], f"{where}/description", 75, plain=not formatted)
        if option.get("value") in values:
            report.add(f"duplicate value: {option.get('value')}", f"{where}/value")
        values.add(str(option.get("value")))
    return found


def _plain_text_input(report: Report, given: Json, at: str) -> None:
    least, most = given.get("min_length", 0), given.get("max_length", 3000)
    if not isinstance(least, int) or not 0 <= least <= 3000:
        report.add("must be between 0 and 3000", f"{at}/min_length")
    if not isinstance(most, int) or not 1 <= most <= 3000:
        report.add("must be between 1 and 3000", f"{at}/max_length")
    report.length(given, "initial_value", 3000, at)


def _number_input(report: Report, given: Json, at: str) -> None:
    if "is_decimal_allowed" not in given:
        report.add("missing required field: is_decimal_allowed", at)
    for name in ("initial_value", "min_value", "max_value"):
        value = given.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            report.add("must be a string", f"{at}/{name}")
            continue
        try:
            float(value)
        except ValueError:
            report.add("must be a number", f"{at}/{name}")
