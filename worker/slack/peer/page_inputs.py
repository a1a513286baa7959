"""Inputs, selects and buttons as real form controls, and a posted form read back as what a person gave."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.slack.peer.inputs import IDS, ONE_OPTION, SOME_OPTIONS, TYPED, fields, initial
from worker.slack.peer.page_text import Names, escape, plain, text_object

Json = Mapping[str, Any]
FIELD = "f:"
"""Fields of a modal's form are ``f:<block_id>``."""
_HTML_TYPES = {"number_input": "number", "email_text_input": "email", "url_text_input": "url", "datepicker": "date"}


def hidden(given: Mapping[str, str]) -> str:
    """Hidden fields."""
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in given.items()
    )


def options(element: Json) -> Iterator[Json]:
    """Every option, those of groups too."""
    yield from element.get("options", ())
    for group in element.get("option_groups", ()):
        yield from group.get("options", ())


def control(block: Json, element: Json, held: Json | None, names: Names) -> str:
    """An input block's element, holding what ``view.state`` says or what it begins with."""
    name = FIELD + str(block["block_id"])
    return _control(name, element, held, names, required=not block.get("optional"))


def _control(name: str, element: Json, held: Json | None, names: Names, *, required: bool) -> str:
    kind = str(element.get("type"))
    if kind not in (*TYPED, *ONE_OPTION, *SOME_OPTIONS, *IDS):
        return f'<i class="unknown">An element of type {escape(kind)} is not drawn.</i>'
    held = held or initial(dict(element))
    at = f'name="{escape(name)}"' + (" required" if required else "")
    hint = f' placeholder="{plain((element.get("placeholder") or {}).get("text", ""))}"'
    if kind in TYPED:
        value = str(held.get("value") or "")
        limits = "".join(
            f' {html}="{int(element[slack])}"'
            for html, slack in (("minlength", "min_length"), ("maxlength", "max_length"))
            if slack in element
        )
        if element.get("multiline"):
            return f"<textarea {at}{hint}{limits} rows=4>{escape(value)}</textarea>"
        step = ' step="any"' if element.get("is_decimal_allowed") else ""
        type_ = _HTML_TYPES.get(kind, "text")
        return f'<input type="{type_}" {at}{hint}{limits}{step} value="{escape(value)}">'
    if kind in ("radio_buttons", "checkboxes"):
        return _boxes(name, element, held, names)
    if kind in ONE_OPTION or kind in SOME_OPTIONS:
        chosen = _chosen(held)
        several = kind in SOME_OPTIONS
        first = (
            "" if several else f'<option value="">{plain((element.get("placeholder") or {}).get("text", ""))}</option>'
        )
        return f"<select {at}{' multiple' if several else ''}>{first}{_options(element, chosen)}</select>"
    if kind in ("datepicker", "timepicker", "datetimepicker"):
        value = next((each for key, each in held.items() if key != "type"), None) or ""
        if kind == "datetimepicker" and value:
            value = datetime.fromtimestamp(int(value), UTC).strftime("%Y-%m-%dT%H:%M")
        type_ = {"datepicker": "date", "timepicker": "time"}.get(kind, "datetime-local")
        zone = " <small>UTC</small>" if kind == "datetimepicker" else ""
        return f'<input type="{type_}" {at} value="{escape(str(value))}">{zone}'
    people = names.users if "users" in kind else names.channels
    several = kind.startswith("multi")
    given = next((each for key, each in held.items() if key != "type"), None) or []
    picked = set(given) if isinstance(given, list) else {given}
    shown = "".join(
        f'<option value="{escape(id_)}"{" selected" if id_ in picked else ""}>{escape(called)}</option>'
        for id_, called in people.items()
    )
    return f"<select {at}{' multiple' if several else ''}>{'' if several else '<option></option>'}{shown}</select>"


def chooser(element: Json, held: Json | None, names: Names) -> str:
    """A select outside an input block: chosen, it is sent at once by the button beside it."""
    shown = _control("value", element, held, names, required=False)
    return f'{shown}<button class="button">Choose</button>'


def pressable(element: Json) -> str:
    """The inside of a button element."""
    style = element.get("style", "")
    extra = f" {style}" if style in ("primary", "danger") else ""
    return f'<button class="button{extra}">{text_object(element.get("text"), Names())}</button>'


def inert(element: Json) -> str:
    """An element that is only looked at."""
    style = element.get("style", "")
    extra = f" {style}" if style in ("primary", "danger") else ""
    return (
        f'<span class="button{extra}">{text_object(element.get("text") or element.get("placeholder"), Names())}</span>'
    )


def given(view: Json, form: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What a posted modal gives: block id to value, as the driver's ``submit`` takes it."""
    found: dict[str, Any] = {}
    for _, block, element in fields(list(view.get("blocks", ()))):
        if block.get("type") != "input":
            continue
        posted = [each for each in form.get(FIELD + str(block["block_id"]), ()) if each != ""]
        kind = element["type"]
        if kind in SOME_OPTIONS or kind.startswith("multi_"):
            found[block["block_id"]] = list(posted)
        elif not posted:
            found[block["block_id"]] = None
        elif kind == "datetimepicker":
            found[block["block_id"]] = datetime.fromisoformat(posted[0]).replace(tzinfo=UTC)
        else:
            # A browser sends line ends as CR LF; Slack's client as LF.
            found[block["block_id"]] = posted[0].replace("\r\n", "\n")
    return found


def _chosen(held: Json) -> set[str]:
    one, some = held.get("selected_option"), held.get("selected_options") or ()
    return {str(each.get("value")) for each in [*([one] if one else []), *some]}


def _options(element: Json, chosen: set[str]) -> str:
    def shown(option: Json) -> str:
        value = str(option.get("value", ""))
        mark = " selected" if value in chosen else ""
        return f'<option value="{escape(value)}"{mark}>{plain(option["text"].get("text", ""))}</option>'

    groups = "".join(
        f'<optgroup label="{plain(group["label"]["text"])}">{"".join(map(shown, group.get("options", ())))}</optgroup>'
        for group in element.get("option_groups", ())
    )
    return "".join(map(shown, element.get("options", ()))) + groups


def _boxes(name: str, element: Json, held: Json, names: Names) -> str:
    type_ = "radio" if element["type"] == "radio_buttons" else "checkbox"
    chosen, shown = _chosen(held), ""
    for option in options(element):
        value = str(option.get("value", ""))
        mark = " checked" if value in chosen else ""
        more = option.get("description")
        below = f"<small>{text_object(more, names)}</small>" if more else ""
        shown += (
            f'<label class="box"><input type="{type_}" name="{escape(name)}" value="{escape(value)}"{mark}> '
            f"{text_object(option.get('text'), names)} {below}</label>"
        )
    return shown
