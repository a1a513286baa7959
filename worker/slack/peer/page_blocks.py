"""Blocks as HTML: of messages, of modals and of the App Home."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.slack.peer.page_inputs import chooser, control, hidden, inert, pressable
from worker.slack.peer.page_rich import rich_text
from worker.slack.peer.page_text import Names, escape, mrkdwn, text_object

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Surface:
    """Where blocks stand.

    Attributes:
        names: Of users and channels.
        sends: Hidden fields of whatever is clicked here; empty: it is drawn, and nothing can be clicked.
        state: ``view.state.values`` of a modal.
        errors: By block id, what a submission was answered with.
    """

    names: Names
    sends: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


def drawn(blocks: Sequence[Json], where: Surface) -> str:
    """All of them, in order."""
    return "".join(f'<div class="block {escape(str(each.get("type")))}">{_block(each, where)}</div>' for each in blocks)


def _block(block: Json, where: Surface) -> str:
    kind, names = block.get("type"), where.names
    if kind == "divider":
        return "<hr>"
    if kind == "header":
        return f"<h3>{text_object(block.get('text'), names)}</h3>"
    if kind == "section":
        return _section(block, where)
    if kind == "context":
        return "".join(f"<span>{_context(each, names)}</span>" for each in block.get("elements", ()))
    if kind == "actions":
        return "".join(element(each, where) for each in block.get("elements", ()))
    if kind == "rich_text":
        return rich_text(block, names)
    if kind == "image":
        return _image(block, names)
    if kind == "input":
        return _input(block, where)
    if kind == "markdown":
        return f"<p>{mrkdwn(str(block.get('text', '')), names)}</p>"
    return f'<i class="unknown">A block of type {escape(str(kind))} is not drawn.</i>'


def _section(block: Json, where: Surface) -> str:
    text = f"<div>{text_object(block.get('text'), where.names)}</div>" if block.get("text") else ""
    cells = "".join(f"<div>{text_object(each, where.names)}</div>" for each in block.get("fields", ()))
    body = text + (f'<div class="fields">{cells}</div>' if cells else "")
    beside = block.get("accessory")
    return f'<div class="body">{body}</div>' + (f'<div class="beside">{element(beside, where)}</div>' if beside else "")


def _context(given: Json, names: Names) -> str:
    return _image(given, names) if given.get("type") == "image" else text_object(given, names)


def _image(given: Json, names: Names) -> str:
    title = text_object(given.get("title"), names)
    return f'<span class="image">🖼 {title or escape(str(given.get("alt_text", "")))}</span>'


def _input(block: Json, where: Surface) -> str:
    used, id_ = block.get("element", {}), str(block.get("block_id"))
    held = where.state.get(id_, {}).get(str(used.get("action_id")))
    optional = ' <small class="optional">(optional)</small>' if block.get("optional") else ""
    label = f'<div class="label">{text_object(block.get("label"), where.names)}{optional}</div>'
    hint = f'<div class="hint">{text_object(block["hint"], where.names)}</div>' if block.get("hint") else ""
    wrong = f'<div class="wrong">{escape(where.errors[id_])}</div>' if id_ in where.errors else ""
    return f"<label>{label}{control(block, used, held, where.names)}</label>{hint}{wrong}"


def element(given: Json, where: Surface) -> str:
    """A button or select, in a form of its own that posts who did what."""
    kind = given.get("type")
    if kind == "image":
        return _image(given, where.names)
    if kind == "button" and str(given.get("url", "")).startswith(("https://", "http://")):
        return (
            f'<a class="button" href="{escape(str(given["url"]))}" rel="noreferrer noopener" target="_blank" '
            f'title="{escape(str(given["url"]))}">{text_object(given.get("text"), where.names)} ↗</a>'
        )
    if not where.sends:
        return inert(given)
    sends = {**where.sends, "action": str(given.get("action_id", ""))}
    if kind == "button":
        if given.get("value") is not None:
            sends["value"] = str(given["value"])
        inside = pressable(given)
    else:
        inside = chooser(given, None, where.names)
    return f'<form method="post" action="/page/act" class="act">{hidden(sends)}{inside}</form>'


def dialog(given: Json, sends: Mapping[str, str], back: str) -> str:
    """The confirmation that Slack shows before anything is sent."""
    asked, names = given["confirm"], Names()
    style = "danger" if asked.get("style") == "danger" else "primary"
    return (
        f'<div class="over"><div class="modal dialog" role="dialog"><h2>{text_object(asked.get("title"), names)}</h2>'
        f'<div class="blocks">{text_object(asked.get("text"), names)}</div>'
        f'<form method="post" action="/page/act" class="foot">{hidden({**sends, "sure": "1"})}'
        f'<a class="button" href="{escape(back)}">{text_object(asked.get("deny"), names) or "Cancel"}</a>'
        f'<button class="button {style}">{text_object(asked.get("confirm"), names) or "Yes"}</button>'
        f"</form></div></div>"
    )
