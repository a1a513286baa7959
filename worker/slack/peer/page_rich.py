"""Rich text blocks as HTML."""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.slack.peer.page_text import Names, date, drawn, escape, link, mention

_TAGS = {"bold": "b", "italic": "i", "strike": "s", "code": "code"}


def rich_text(block: Mapping[str, Any], names: Names) -> str:
    """A ``rich_text`` block."""
    return "".join(_part(part, names) for part in block.get("elements", ()))


def _part(part: Mapping[str, Any], names: Names) -> str:
    kind, elements = part.get("type"), part.get("elements", ())
    if kind == "rich_text_list":
        tag = "ol" if part.get("style") == "ordered" else "ul"
        items = "".join(f"<li>{_inline(item.get('elements', ()), names)}</li>" for item in elements)
        return f'<{tag} class="in{min(int(part.get("indent", 0)), 8)}">{items}</{tag}>'
    inside = _inline(elements, names)
    if kind == "rich_text_quote":
        return f"<blockquote>{inside}</blockquote>"
    if kind == "rich_text_preformatted":
        return f"<pre>{inside}</pre>"
    return f"<p>{inside}</p>"


def _inline(elements: Sequence[Mapping[str, Any]], names: Names) -> str:
    return "".join(_styled(element, _element(element, names)) for element in elements)


def _element(element: Mapping[str, Any], names: Names) -> str:
    kind = element.get("type")
    if kind == "text":
        return escape(str(element.get("text", ""))).replace("\n", "<br>")
    if kind == "link":
        return link(str(element.get("url", "")), element.get("text") or None)
    if kind == "user":
        id_ = str(element.get("user_id", ""))
        return mention(names.users.get(id_, id_), mine=id_ == names.viewer)
    if kind == "channel":
        id_ = str(element.get("channel_id", ""))
        return mention(names.channels.get(id_, id_), sign="#")
    if kind == "usergroup":
        return mention(str(element.get("usergroup_id", "")))
    if kind == "broadcast":
        return mention(str(element.get("range", "")), mine=True)
    if kind == "emoji":
        return escape(drawn(str(element.get("name", ""))))
    if kind == "date":
        target = f"!date^{element.get('timestamp', '')}^{element.get('format', '')}"
        return f"<time>{escape(date(target, str(element.get('fallback', ''))))}</time>"
    return escape(str(element.get("text") or element.get("value") or ""))


def _styled(element: Mapping[str, Any], shown: str) -> str:
    style = element.get("style")
    if isinstance(style, Mapping):
        for name, tag in _TAGS.items():
            if style.get(name):
                shown = f"<{tag}>{shown}</{tag}>"
    return shown
