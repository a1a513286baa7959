"""Text as Slack shows it, as HTML: mrkdwn, plain text, emoji names. Whatever it holds, it comes out escaped.

Where Slack's own rules leave a choice, what an attacker would like is shown: a bare domain becomes a link and a
bare ``@channel`` a mention, so that text which would misbehave is seen to.
"""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

EMOJI = {
    "warning": "⚠️", "rotating_light": "🚨", "white_check_mark": "✅", "heavy_check_mark": "✔️", "x": "❌",
    "no_entry": "⛔", "no_entry_sign": "🚫", "octagonal_sign": "🛑", "stop_sign": "🛑", "hourglass": "⌛",
    "hourglass_flowing_sand": "⏳", "alarm_clock": "⏰", "stopwatch": "⏱️", "clock3": "🕒", "bell": "🔔",
    "no_bell": "🔕", "eyes": "👀", "lock": "🔒", "unlock": "🔓", "key": "🔑", "fire": "🔥", "memo": "📝",
    "pushpin": "📌", "page_facing_up": "📄", "paperclip": "📎", "speech_balloon": "💬", "telephone_receiver": "📞",
    "pager": "📟", "iphone": "📱", "wave": "👋", "raised_hand": "✋", "thumbsup": "👍", "+1": "👍", "thumbsdown": "👎",
    "-1": "👎", "question": "❓", "grey_question": "❔", "exclamation": "❗", "bangbang": "‼️",
    "information_source": "ℹ️",
    "red_circle": "🔴", "large_orange_circle": "🟠", "large_yellow_circle": "🟡", "large_green_circle": "🟢",
    "large_blue_circle": "🔵", "white_circle": "⚪", "black_circle": "⚫", "large_orange_square": "🟧",
    "large_red_square": "🟥", "large_green_square": "🟩", "large_yellow_square": "🟨", "white_large_square": "⬜",
    "black_square_for_stop": "⏹️", "double_vertical_bar": "⏸️", "arrow_forward": "▶️", "arrow_right": "➡️",
    "leftwards_arrow_with_hook": "↩️", "arrows_counterclockwise": "🔄", "repeat": "🔁", "zap": "⚡", "shield": "🛡️",
    "test_tube": "🧪", "construction": "🚧", "performing_arts": "🎭", "tada": "🎉", "broken_heart": "💔",
    "heart": "❤️", "hammer_and_wrench": "🛠️", "gear": "⚙️", "mag": "🔍", "calendar": "📅", "scales": "⚖️",
    "busts_in_silhouette": "👥", "bust_in_silhouette": "👤", "person_in_lotus_position": "🧘", "book": "📖",
    "clipboard": "📋", "bar_chart": "📊", "new": "🆕", "ok": "🆗", "sos": "🆘", "ballot_box_with_check": "☑️",
}  # fmt: skip
"""Names that are drawn; any other name is shown as it is written."""

BROADCASTS = ("here", "channel", "everyone")
_URL = r"(?:https?://|mailto:)[^\s<>\uE000\uE001]+"
_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:com|net|org|io|dev|app|co|de|eu|ru|cn|info|biz|xyz|top|link|site)"
_AUTO = re.compile(rf"{_URL}|(?<![\w@./-]){_DOMAIN}\b(?:/[^\s<>\uE000\uE001]*)?", re.IGNORECASE)
_CONTROL = re.compile(r"<([^<>\n]+)>")
_FENCE = re.compile(r"```\n?(.*?)\n?```", re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_EMOJI = re.compile(r":([a-z0-9_+'-]+)(?:::skin-tone-\d)?:")
_HELD = re.compile("\ue000(\\d+)\ue001")
_STYLES = (("*", "b"), ("_", "i"), ("~", "s"))
_DATE = {
    "{date_num}": "%Y-%m-%d", "{date}": "%B %-d, %Y", "{date_short}": "%b %-d, %Y", "{date_long}": "%A, %B %-d, %Y",
    "{date_pretty}": "%B %-d, %Y", "{date_short_pretty}": "%b %-d, %Y", "{date_long_pretty}": "%A, %B %-d, %Y",
    "{time}": "%H:%M", "{time_secs}": "%H:%M:%S",
}  # fmt: skip


@dataclass(frozen=True)
class Names:
    """Who and what ids stand for: user id to name, channel id to name. ``viewer`` is who looks."""

    users: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    viewer: str = ""


def escape(text: str) -> str:
    """Text as HTML text, also within an attribute's quotes."""
    return html.escape(text, quote=True)


def unescaped(text: str) -> str:
    """Slack's three entities as the characters they stand for; all else stays as it is written."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def drawn(name: str) -> str:
    """An emoji by its name; an unknown one as ``:name:``."""
    return EMOJI.get(name.partition("::")[0], f":{name}:")


def with_emoji(text: str) -> str:
    """Text with the emoji names in it drawn. Not escaped."""
    return _EMOJI.sub(lambda found: EMOJI.get(found[1], found[0]), text)


def plain(text: str, *, emoji: bool = True) -> str:
    """A ``plain_text`` as HTML: nothing in it is format, a mention or a link."""
    shown = unescaped(text)
    return escape(with_emoji(shown) if emoji else shown).replace("\n", "<br>")


def mrkdwn(text: str, names: Names, *, verbatim: bool = False) -> str:
    """Slack's markup as HTML. ``verbatim`` leaves bare addresses and names as they are."""
    held: list[str] = []

    def hold(markup: str) -> str:
        held.append(markup)
        return f"\ue000{len(held) - 1}\ue001"

    def give_back(markup: str) -> str:
        while _HELD.search(markup):
            markup = _HELD.sub(lambda found: held[int(found[1])], markup)
        return markup

    text = text.replace("\ue000", "").replace("\ue001", "")
    text = _FENCE.sub(lambda found: hold(f"<pre>{_verbatim(found[1], names)}</pre>"), text)
    text = _CODE.sub(lambda found: hold(f"<code>{_verbatim(found[1], names)}</code>"), text)
    text = _CONTROL.sub(lambda found: hold(control(found[1], names)), text)
    if not verbatim:
        text = _AUTO.sub(lambda found: _auto(found[0], hold), text)
        text = _bare_names(text, names, hold)
    return give_back(_lines(text))


def control(inside: str, names: Names) -> str:
    """What stands between ``<`` and ``>``, as HTML: a mention, a channel, a date or a link."""
    target, bar, label = inside.partition("|")
    if target.startswith("@"):
        return mention(names.users.get(target[1:], target[1:]), mine=target[1:] == names.viewer)
    if target.startswith("#"):
        return mention(names.channels.get(target[1:], unescaped(label) or target[1:]), sign="#")
    if target.startswith("!date^"):
        return f"<time>{escape(date(target, unescaped(label)))}</time>"
    if target.startswith("!subteam^"):
        return mention(unescaped(label).lstrip("@") or target.partition("^")[2])
    if target.startswith("!"):
        word = target[1:].partition("^")[0]
        return mention(word, mine=word in BROADCASTS)
    if re.match(r"(?:https?://|mailto:)", target):
        return link(unescaped(target), unescaped(label) if bar and label else None)
    return f"&lt;{escape(unescaped(inside))}&gt;"


def mention(name: str, *, sign: str = "@", mine: bool = False) -> str:
    """A mention as HTML; one that calls the viewer is marked so."""
    return f'<span class="mention{" mine" if mine else ""}">{sign}{escape(name)}</span>'


def link(url: str, label: str | None = None) -> str:
    """A link as HTML; only ``http``, ``https`` and ``mailto`` can be followed. The target shows on hover."""
    shown = escape(with_emoji(label) if label else url.removeprefix("mailto:"))
    if not re.match(r"(?:https?://|mailto:)", url, re.IGNORECASE):
        return shown
    return f'<a href="{escape(url)}" title="{escape(url)}" rel="noreferrer noopener" target="_blank">{shown}</a>'


def date(target: str, fallback: str) -> str:
    """Slack's ``!date^UNIX^FORMAT`` in UTC; the fallback if it cannot be read."""
    parts = target.split("^")
    try:
        at = datetime.fromtimestamp(int(parts[1]), UTC)
        shown = parts[2]
    except (IndexError, ValueError, OverflowError, OSError):
        return fallback
    for token, pattern in _DATE.items():
        shown = shown.replace(token, at.strftime(pattern))
    return f"{shown} UTC" if "{time" in parts[2] else shown


def text_object(given: Mapping[str, Any] | str | None, names: Names) -> str:
    """A block's text object as HTML."""
    if not given:
        return ""
    if isinstance(given, str):
        return plain(given)
    if given.get("type") == "mrkdwn":
        return mrkdwn(str(given.get("text", "")), names, verbatim=bool(given.get("verbatim")))
    return plain(str(given.get("text", "")), emoji=given.get("emoji", True) is not False)


def _verbatim(text: str, names: Names) -> str:
    """Code: entities and controls are read, nothing is styled."""
    parts = _CONTROL.split(text)
    return "".join(control(part, names) if odd % 2 else escape(unescaped(part)) for odd, part in enumerate(parts))


def _auto(found: str, hold: Callable[[str], str]) -> str:
    url = unescaped(found)
    trail = ""
    while url and url[-1] in ".,;:!?)*_~'\"":
        url, trail = url[:-1], url[-1] + trail
    full = url if re.match(r"(?:https?://|mailto:)", url, re.IGNORECASE) else f"http://{url}"
    return hold(link(full, url)) + trail if url else found


def _bare_names(text: str, names: Names, hold: Callable[[str], str]) -> str:
    text = re.sub(rf"(?<!\w)@({'|'.join(BROADCASTS)})\b", lambda found: hold(mention(found[1], mine=True)), text)
    known = {name for name in names.channels.values() if name}
    return re.sub(
        r"(?<!\w)#([\w-]+)", lambda found: hold(mention(found[1], sign="#")) if found[1] in known else found[0], text
    )


def _lines(text: str) -> str:
    """Quotes line by line; three ``>`` quote all that follows."""
    shown: list[str] = []
    quoted: list[str] = []

    def end_quote() -> None:
        if quoted:
            shown.append(f"<blockquote>{'<br>'.join(quoted)}</blockquote>")
            quoted.clear()

    rest = text.split("\n")
    for number, line in enumerate(rest):
        everything = re.match(r"(?:&gt;|>){3} ?", line)
        one = re.match(r"(?:&gt;|>)(?!&gt;|>) ?", line)
        if everything:
            quoted += [_styled(each) for each in [line[everything.end() :], *rest[number + 1 :]]]
            break
        if one:
            quoted.append(_styled(line[one.end() :]))
            continue
        end_quote()
        shown.append(_styled(line))
    end_quote()
    joined = "<br>".join(shown)
    return re.sub(r"(</blockquote>|^)<br>(?=<blockquote>)|(?<=</blockquote>)<br>|<br>(?=<blockquote>)", r"\1", joined)


def _styled(line: str) -> str:
    shown = escape(with_emoji(unescaped(line)))
    for sign, tag in _STYLES:
        mark = re.escape(sign)
        # A sign opens only before and closes only after something that is no space, at a word's edge.
        shown = re.sub(
            rf"(?<![\w{mark}]){mark}(?=[^\s{mark}])([^{mark}]*?)(?<=\S){mark}(?![\w{mark}])",
            rf"<{tag}>\1</{tag}>",
            shown,
        )
    return shown
