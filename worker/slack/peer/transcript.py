"""A transcript of a workspace or a channel: what people saw, in order, and who did what; as text, and as one HTML file.

An edit stands where it was made, and an ephemeral message says who alone saw it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from worker.slack.peer.page_blocks import Surface, drawn
from worker.slack.peer.page_layout import names_of, title_of
from worker.slack.peer.page_style import STYLE
from worker.slack.peer.page_text import Names, escape, mrkdwn, plain

if TYPE_CHECKING:
    from worker.slack.peer.delivery import Sent

Json = Mapping[str, Any]
_PLAIN = (
    "body{display:block;overflow:auto;height:auto;max-width:820px;margin:0 auto}.did{color:#616061;padding:4px 20px}"
)
_NEW_LINE = frozenset({"br", "div", "p", "li", "h3", "pre", "blockquote", "form", "article", "small"})


@dataclass(frozen=True)
class Moment:
    """One thing that happened.

    Attributes:
        at: Seconds since 1970.
        channel: Where; empty for what belongs to no channel, as a modal.
        head: Who did what.
        body: What was then to be read, as HTML.
    """

    at: float
    channel: str
    head: str
    body: str = ""


def moments(state: Json, sent: Sequence["Sent"]) -> list[Moment]:
    """All that happened in a workspace, oldest first. ``state`` is a snapshot, ``sent`` the log of deliveries."""
    names = names_of(state)
    found = [moment for channel in state["channels"] for moment in _of_channel(channel, state, names)]
    at = 0.0
    for each in sent:
        at = _instant(each.payload) or at
        moment = _done(each, at, names)
        if moment is not None:
            found.append(moment)
    return sorted(found, key=lambda moment: moment.at)


def as_text(state: Json, sent: Sequence["Sent"], channel: str | None = None) -> str:
    """The transcript as text, of one channel or of the whole workspace."""
    names, shown = names_of(state), []
    titles = {each["id"]: title_of(each, names) for each in state["channels"]}
    for moment in moments(state, sent):
        if channel in (None, moment.channel):
            place = f"  {titles[moment.channel]}" if channel is None and moment.channel in titles else ""
            shown.append(f"{_clock(moment.at)}{place}  {moment.head}")
            shown += [f"          {line}" for line in text_of(moment.body).splitlines()]
            shown += [""] if moment.body else []
    return "\n".join(shown) + "\n"


def as_html(state: Json, sent: Sequence["Sent"], channel: str | None = None) -> str:
    """The transcript as one HTML file that needs nothing else and runs no script."""
    names, title = names_of(state), f"Transcript of {escape(state['team']['name'])}"
    titles = {each["id"]: title_of(each, names) for each in state["channels"]}
    shown = ""
    for moment in moments(state, sent):
        if channel in (None, moment.channel):
            place = escape(titles.get(moment.channel, ""))
            kind = "" if moment.body else ' class="did"'
            shown += (
                f"<article{kind}><div class=by><b>{escape(moment.head)}</b> "
                f"<time>{_clock(moment.at)} {place}</time></div>{moment.body}</article>"
            )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{STYLE}{_PLAIN}</style></head><body><h1>{title}, times in UTC</h1>"
        f"{shown}</body></html>"
    )


def text_of(markup: str) -> str:
    """Drawn blocks as text: buttons in brackets, the targets of links where the label does not show them."""
    reader = _Reader()
    reader.feed(markup)
    lines = [line.rstrip() for line in "".join(reader.found).splitlines()]
    return "\n".join(line for line in lines if line.strip())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._links: list[tuple[str, int]] = []
        self._buttons: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _NEW_LINE:
            self.found.append("\n" + {"blockquote": "> ", "li": "• "}.get(tag, ""))
        elif tag == "hr":
            self.found.append("\n" + "─" * 20)
        elif tag == "a":
            self._links.append((given.get("href") or "", len(self.found)))
        elif tag == "span":
            self._buttons.append("button" in (given.get("class") or "").split())
            self.found.append("[" if self._buttons[-1] else "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links:
            href, start = self._links.pop()
            if "".join(self.found[start:]) not in href:
                self.found.append(f" ({href})")
        elif tag == "span" and self._buttons:
            self.found.append("] " if self._buttons.pop() else " ")

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def _of_channel(channel: Json, state: Json, names: Names) -> Iterator[Moment]:
    files = {each["id"]: each for each in state["files"]}
    for message in channel["messages"]:
        who = _author(message, names)
        place = " in the thread" if message.get("thread_ts", message["ts"]) != message["ts"] else ""
        last = None
        for number, shown in enumerate(message["renderings"]):
            body = _body(shown["text"], shown["blocks"], names)
            if body == last:
                continue
            last = body
            head = f"{who}{place}" if number == 0 else f"{who} edited the message of {_clock(float(message['ts']))}"
            if number == 0 and message.get("forwarded"):
                head += " forwarded a message"
            yield Moment(float(message["ts"]) if number == 0 else shown["at"], channel["id"], head, body)
        for each in message.get("files", ()):
            file = files.get(each["id"], {"title": each["id"], "size": 0})
            yield Moment(
                float(message["ts"]), channel["id"], f"{who} shared a file: {file['title']}, {file['size']} bytes"
            )
        for each in message.get("reactions", ()):
            whom = ", ".join(names.users.get(user, user) for user in each["users"])
            head = f"{whom} reacted with :{each['name']}: to the message of {_clock(float(message['ts']))}"
            yield Moment(float(message["ts"]), channel["id"], head)
    for message in channel["ephemerals"]:
        reader = names.users.get(message["seen_by"], message["seen_by"])
        head = f"{_author(message, names)}, only visible to {reader}"
        yield Moment(
            float(message["ts"]), channel["id"], head, _body(message["text"], message.get("blocks", []), names)
        )


def _author(message: Json, names: Names) -> str:
    return "Stanch" if message.get("bot_id") else names.users.get(message["user"], str(message["user"]))


def _body(text: str, blocks: Sequence[Json], names: Names) -> str:
    return drawn(blocks, Surface(names)) if blocks else f'<div class="block">{mrkdwn(text, names)}</div>'


def _done(sent: "Sent", at: float, names: Names) -> Moment | None:
    payload = sent.payload
    who = names.users.get(str(payload.get("user_id") or payload.get("user", {}).get("id", "")), "Somebody")
    failed = f" (not acknowledged: {sent.reason})" if sent.reason else ""
    kind = payload.get("type")
    channel = str(payload.get("channel_id") or payload.get("channel", {}).get("id", ""))
    if sent.type == "slash_commands":
        return Moment(at, channel, f"{who} typed {payload['command']} {payload['text']}".rstrip() + failed)
    if kind == "block_actions":
        action = payload["actions"][0]
        what = _label(action)
        sure = ", and confirmed" if action.get("confirm") else ""
        where = payload.get("container", {})
        on = f" on the message of {_clock(float(where['message_ts']))}" if where.get("message_ts") else ""
        return Moment(at, channel, f"{who} clicked {what}{on}{sure}{failed}")
    if kind == "view_submission":
        view = payload["view"]
        return Moment(at, "", f"{who} submitted “{view['title'].get('text', '')}”{failed}", _filled(view, names))
    if kind == "view_closed":
        return Moment(at, "", f"{who} closed “{payload['view'].get('title', {}).get('text', '')}”{failed}")
    if kind in ("message_action", "shortcut"):
        return Moment(at, channel, f"{who} used the shortcut {payload['callback_id']}{failed}")
    return None


def _label(action: Json) -> str:
    chosen = action.get("selected_option") or {}
    text = chosen.get("text") or action.get("text") or {}
    return f"[{text.get('text') or action.get('action_id', '')}]"


def _filled(view: Json, names: Names) -> str:
    shown = ""
    for block in view["blocks"]:
        for held in view["state"]["values"].get(block.get("block_id"), {}).values():
            value = next((each for name, each in held.items() if name != "type"), None)
            label = (block.get("label") or block.get("text") or {}).get("text", "")
            shown += f"<div>{plain(label)}: {plain(_said(value, names))}</div>"
    return shown


def _said(value: Any, names: Names) -> str:
    if isinstance(value, list):
        return ", ".join(_said(each, names) for each in value)
    if isinstance(value, Mapping):
        return str(value["text"].get("text", value.get("value")))
    return "—" if value is None else names.users.get(str(value), str(value))


def _instant(payload: Json) -> float | None:
    """When a delivery was made: trigger ids carry it in milliseconds."""
    parts = str(payload.get("trigger_id", "")).split(".")
    return int(parts[1]) / 1000 if len(parts) > 1 and parts[1].isdigit() else payload.get("event_time")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
