"""The page: people and channels to the left, the conversation in the middle, a thread to the right, modals over it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from worker.slack.peer.page_blocks import Surface, dialog, drawn
from worker.slack.peer.page_inputs import hidden
from worker.slack.peer.page_text import Names, escape, mrkdwn, plain, text_object
from worker.slack.peer.page_text import drawn as emoji

Json = Mapping[str, Any]
HOME = "home"
"""The App Home, where a channel's id would stand."""


@dataclass(frozen=True)
class Look:
    """Who looks at what.

    Attributes:
        person: User id.
        channel: Channel id, or ``home``.
        thread: ``ts`` of the open thread's first message, or nothing.
        menu: ``ts`` of the message whose menu is open.
    """

    person: str
    channel: str = ""
    thread: str = ""
    menu: str = ""

    def url(self) -> str:
        """Address of the page as it is looked at."""
        wanted = {"as": self.person, "channel": self.channel, "thread": self.thread, "menu": self.menu}
        return "/?" + urlencode({name: value for name, value in wanted.items() if value})

    def sends(self, token: str, **more: str) -> dict[str, str]:
        """Hidden fields that say who does something, and where they are."""
        return {"token": token, "as": self.person, "at": self.channel, "thread": self.thread, **more}


def names_of(state: Json, viewer: str = "") -> Names:
    """What the ids of a snapshot stand for."""
    users = {each["id"]: each["real_name"] or each["name"] for each in state["users"]}
    channels = {each["id"]: each["name"] for each in state["channels"] if not each["is_im"]}
    return Names({**users, "USLACKBOT": "Slackbot"}, channels, viewer)


def messages_of(channel: Json, viewer: str) -> list[Json]:
    """What somebody sees in a channel now, their own ephemerals too, oldest first."""
    own = [each for each in channel["ephemerals"] if each.get("seen_by") == viewer]
    return sorted((each for each in [*channel["messages"], *own] if not each.get("deleted")), key=lambda m: m["ts"])


def title_of(channel: Json, names: Names) -> str:
    """A conversation's name, as text."""
    if channel["is_im"]:
        other = [each for each in channel["members"] if each != names.viewer]
        return ", ".join(names.users.get(each, each) for each in other)
    return ("🔒 " if channel["is_private"] else "# ") + str(channel["name"])


def moment(ts: str | float) -> str:
    """A message's time of day, UTC."""
    return datetime.fromtimestamp(float(ts), UTC).strftime("%H:%M")


class Screen:
    """One look at a snapshot of the workspace."""

    def __init__(self, state: Json, look: Look, token: str, *, read: Mapping[str, str], notice: str = "") -> None:
        """``read`` is channel id to the last ``ts`` that the viewer has seen; ``notice`` is what just went wrong."""
        self.state, self.look, self.token, self.read, self.notice = state, look, token, read, notice
        self.names = names_of(state, look.person)
        self.user = next(each for each in state["users"] if each["id"] == look.person)
        self.files = {each["id"]: each for each in state["files"]}
        self.channel = next((each for each in self.mine() if each["id"] == look.channel), None)

    def mine(self) -> list[Json]:
        """Conversations that the viewer can open: theirs, and public ones."""
        return [
            each
            for each in self.state["channels"]
            if self.look.person in each["members"] or not (each["is_private"] or self.user["stranger"])
        ]

    def whole(self, asked: tuple[Json, Mapping[str, str]] | None = None) -> str:
        """The document; ``asked`` is an element whose confirmation is on screen, with what it would send."""
        over = dialog(asked[0], asked[1], self.look.url()) if asked else self._modal()
        title = escape(title_of(self.channel, self.names)) if self.channel else "Home"
        thread = self._thread()
        opened = (" threaded" if thread else "") + (" opened" if self.look.channel else "")
        notice = f'<div class="notice">{escape(self.notice)}</div>' if self.notice else ""
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title} · {escape(self.state['team']['name'])}</title>"
            '<link rel="stylesheet" href="/page/style.css"><script src="/page/refresh.js" defer></script></head>'
            f'<body class="{opened.strip()}"><nav>{self._switcher()}<div id="left" data-live>{self._left()}</div></nav>'
            f'<main><div id="head" data-live>{self._head()}</div>{notice}'
            f'<div id="middle" data-live>{self._middle()}</div>{self._composer()}</main>'
            f'<aside id="right" data-live>{thread}</aside><div id="over" data-live>{over}</div></body></html>'
        )

    def _switcher(self) -> str:
        people = "".join(
            f'<option value="{escape(each["id"])}"{" selected" if each["id"] == self.look.person else ""}>'
            f"{escape(each['real_name'])}{' (other company)' if each['stranger'] else ''}</option>"
            for each in self.state["users"]
            if not each["is_bot"]
        )
        return (
            f'<div class="team"><b>{escape(self.state["team"]["name"])}</b> <small>simulated</small></div>'
            f'<form method="get" action="/" class="switch"><label>View as <select name="as">{people}</select></label>'
            f"{hidden({'channel': self.look.channel})}<button>Go</button></form>"
        )

    def _left(self) -> str:
        def row(channel: Json) -> str:
            id_ = channel["id"]
            new = 0
            if self.look.person in channel["members"]:
                new = sum(
                    1
                    for each in messages_of(channel, self.look.person)
                    if each["user"] != self.look.person and each["ts"] > self.read.get(id_, "")
                )
            marks = [
                *(["here"] if id_ == self.look.channel else []),
                *(["unread"] if new else []),
                *(["outside"] if self.look.person not in channel["members"] else []),
                *(["archived"] if channel["archived"] else []),
            ]
            badge = f'<span class="badge">{new}</span>' if new else ""
            href = escape(Look(self.look.person, id_).url())
            title = escape(title_of(channel, self.names))
            return f'<li class="{" ".join(marks)}"><a href="{href}">{title}{badge}</a></li>'

        channels = "".join(row(each) for each in self.mine() if not each["is_im"])
        direct = "".join(row(each) for each in self.mine() if each["is_im"])
        here = ' class="here"' if self.look.channel == HOME else ""
        opens = hidden({**self.look.sends(self.token, do="home"), "at": HOME})
        home = f'<li{here}><form method="post" action="/page/act">{opens}<button>🏠 Stanch: Home</button></form></li>'
        return f"<h4>Apps</h4><ul>{home}{direct}</ul><h4>Channels</h4><ul>{channels}</ul>"

    def _head(self) -> str:
        back = f'<a class="back" href="{escape(Look(self.look.person).url())}">‹</a>'
        if self.channel is None:
            return f"{back}<h1>{'Stanch' if self.look.channel == HOME else 'Choose a channel'}</h1>"
        pins = len(self.channel["pins"])
        archived = " <small>archived</small>" if self.channel["archived"] else ""
        topic = f'<div class="topic">{plain(self.channel["topic"])}</div>' if self.channel["topic"] else ""
        pinned = f" · 📌 {pins}" if pins else ""
        return (
            f"{back}<h1>{escape(title_of(self.channel, self.names))}{archived}</h1>"
            f'<span class="count">👤 {len(self.channel["members"])}{pinned}</span>{topic}'
        )

    def _middle(self) -> str:
        if self.look.channel == HOME:
            home = self.user["home"]
            if home is None:
                return '<p class="empty">This is the app’s Home. It has shown nothing yet.</p>'
            sends = self.look.sends(self.token, do="press_home")
            return f'<div class="apphome">{drawn(home["blocks"], Surface(self.names, sends))}</div>'
        if self.channel is None:
            return '<p class="empty">Nothing is open.</p>'
        shown = [
            each
            for each in messages_of(self.channel, self.look.person)
            if each.get("thread_ts", each["ts"]) == each["ts"] or each.get("subtype") == "thread_broadcast"
        ]
        return "".join(self._message(each) for each in shown) or '<p class="empty">No messages.</p>'

    def _thread(self) -> str:
        if self.channel is None or not self.look.thread:
            return ""
        seen = messages_of(self.channel, self.look.person)
        shown = [each for each in seen if self.look.thread in (each["ts"], each.get("thread_ts"))]
        close = escape(replace(self.look, thread="").url())
        body = "".join(self._message(each, threaded=True) for each in shown)
        return f'<div class="threadhead"><b>Thread</b> <a href="{close}">✕</a></div>{body}'

    def _message(self, message: Json, *, threaded: bool = False) -> str:
        ts, user = message["ts"], message["user"]
        bot = ' <span class="app">APP</span>' if message.get("bot_id") else ""
        own = '<div class="only">👁 Only visible to you</div>' if message.get("seen_by") else ""
        pinned = self.channel is not None and ts in [_pin(each) for each in self.channel["pins"]]
        pin = '<div class="pin">📌 Pinned</div>' if pinned else ""
        copied = '<div class="pin">↪ Forwarded message</div>' if message.get("forwarded") else ""
        edited = ' <small class="edited">(edited)</small>' if message.get("edited") else ""
        sends = self.look.sends(self.token, do="click", channel=self.look.channel, ts=ts)
        if message.get("blocks"):
            body = drawn(message["blocks"], Surface(self.names, sends))
            body += f'<details class="lock"><summary>as notified</summary>{plain(str(message["text"]))}</details>'
        else:
            body = f'<div class="block">{mrkdwn(str(message["text"]), self.names)}</div>'
        replies = message.get("reply_count", 0)
        thread = ""
        if not threaded and not own:
            href = escape(replace(self.look, thread=message.get("thread_ts") or ts, menu="").url())
            word = f"{replies} {'reply' if replies == 1 else 'replies'}" if replies else "Reply in thread"
            thread = f'<a class="replies{"" if replies else " none"}" href="{href}">{word}</a>'
        who = escape("Stanch" if message.get("bot_id") else self.names.users.get(user, user))
        return (
            f'<article id="m{escape(ts)}" class="{"ephemeral" if own else ""}{" pinned" if pin else ""}">'
            f"{own}{pin}{copied}"
            f'<div class="by"><b>{who}</b>{bot} <time>{moment(ts)}</time>{edited}{self._menu(message)}</div>'
            f"{body}{self._attached(message)}{self._reactions(message)}{thread}</article>"
        )

    def _menu(self, message: Json) -> str:
        if message.get("seen_by"):
            return ""
        ts = message["ts"]
        react = hidden(self.look.sends(self.token, do="react", channel=self.look.channel, ts=ts))
        shortcut = hidden(self.look.sends(self.token, do="shortcut", channel=self.look.channel, ts=ts))
        return (
            '<details class="menu"><summary title="More actions">⋯</summary>'
            f'<form method="post" action="/page/act">{shortcut}'
            '<button name="callback" value="start:message">Start incident from this message</button></form>'
            f'<form method="post" action="/page/act">{react}<input name="emoji" value="memo" size="9">'
            "<button>React</button></form></details>"
        )

    def _attached(self, message: Json) -> str:
        shown = ""
        for each in message.get("files", ()):
            file = self.files.get(each["id"], {"id": each["id"], "title": each["id"], "name": "", "size": 0})
            href = f"/page/file/{escape(file['id'])}?as={escape(self.look.person)}"
            shown += (
                f'<div class="file">📄 <a href="{href}"><b>{escape(str(file["title"]))}</b></a> '
                f"<small>{escape(str(file['name']))} · {file['size']} bytes</small></div>"
            )
        return shown

    def _reactions(self, message: Json) -> str:
        shown = "".join(
            f'<span class="reaction" title="{escape(", ".join(self.names.users.get(u, u) for u in each["users"]))}">'
            f"{escape(emoji(each['name']))} {each['count']}</span>"
            for each in message.get("reactions", ())
        )
        return f'<div class="reactions">{shown}</div>' if shown else ""

    def _composer(self) -> str:
        if self.channel is None:
            return ""
        if self.channel["archived"]:
            return '<div class="composer closed">This channel is archived.</div>'
        if self.look.person not in self.channel["members"]:
            join = hidden(self.look.sends(self.token, do="join", channel=self.look.channel))
            return (
                f'<form class="composer" method="post" action="/page/act">{join}'
                '<button class="button">Join channel</button></form>'
            )
        sends = hidden(self.look.sends(self.token, do="say", channel=self.look.channel))
        where = "in the thread" if self.look.thread else f"to {title_of(self.channel, self.names)}"
        return (
            f'<form class="composer" method="post" action="/page/act">{sends}<input name="text" autocomplete="off" '
            f'placeholder="Message {escape(where)}, or /stanch help" required>'
            '<button class="button primary">Send</button></form>'
        )

    def _modal(self) -> str:
        stack: Sequence[Json] = self.user["views"]
        if not stack:
            return ""
        view = stack[-1]
        sends = self.look.sends(self.token, do="press")
        where = Surface(
            self.names, sends, view.get("state", {}).get("values", {}), self.user["errors"].get(view["id"], {})
        )
        submit = text_object(view.get("submit"), self.names)
        close = text_object(view.get("close"), self.names) or "Cancel"
        send = f'<button class="button primary" form="modal">{submit}</button>' if submit else ""
        # Elements that are sent at once have forms of their own, which cannot stand within another form.
        inputs = [each for each in view["blocks"] if each.get("type") == "input"]
        opening = f'<form id="modal" method="post" action="/page/act">{hidden({**sends, "do": "submit"})}</form>'
        body = "".join(
            _bound(drawn([each], where)) if each in inputs else drawn([each], where) for each in view["blocks"]
        )
        return (
            f'<div class="over"><div class="modal" role="dialog"><h2>{text_object(view["title"], self.names)}</h2>'
            f'{opening}<div class="blocks">{body}</div><div class="foot">'
            f'<form method="post" action="/page/act">{hidden({**sends, "do": "close"})}'
            f'<button class="button">{close}</button></form>{send}</div></div></div>'
        )


def _bound(markup: str) -> str:
    """An input's controls, made part of the modal's form."""
    for tag in ("input", "textarea", "select"):
        markup = markup.replace(f"<{tag} ", f'<{tag} form="modal" ')
    return markup


def _pin(pin: Any) -> str:
    return str(pin.get("ts", "")) if isinstance(pin, Mapping) else str(pin)
