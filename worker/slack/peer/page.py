"""The conversation as people would see it, in a browser: ``GET /``. It works without a script, by plain forms.

Whatever is done here is done through the driver, as the person who is chosen. It listens on loopback with the rest
of the workspace; a request that names another host, or a post without the page's own token, is refused, so that no
other web page can drive it.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import web

from worker.slack.peer.control import snapshot
from worker.slack.peer.delivery import NotAcknowledged
from worker.slack.peer.driver import Person
from worker.slack.peer.inputs import ONE_OPTION, SOME_OPTIONS
from worker.slack.peer.page_inputs import given as filled_in
from worker.slack.peer.page_layout import Look, Screen, messages_of
from worker.slack.peer.page_style import SCRIPT, STYLE
from worker.slack.peer.screen import CannotDo, element_of
from worker.slack.peer.transcript import as_html, as_text
from worker.slack.peer.view_answers import BadAnswer

if TYPE_CHECKING:
    from worker.slack.peer.server import SlackPeer

Json = dict[str, Any]
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
ANSWER_SECONDS, LOOK = 1.0, 0.05
ANSWERED = frozenset({"click", "press", "press_home", "submit", "say", "shortcut", "home"})
"""Acts that the app answers by showing something; the page waits a moment for it."""


class Page:
    """Serves the page of one workspace."""

    def __init__(self, peer: "SlackPeer") -> None:
        """Of this workspace."""
        self._peer = peer
        self._token = secrets.token_urlsafe(24)
        self._read: dict[str, dict[str, str]] = {}
        self._notices: dict[str, str] = {}

    def routes(self, app: web.Application) -> None:
        """Add its paths: ``/``, and ``/page/…``."""
        for path, answer in (
            ("/", self._show),
            ("/page/style.css", self._style),
            ("/page/refresh.js", self._script),
            ("/page/file/{file}", self._file),
            ("/page/transcript", self._transcript),
        ):
            app.router.add_get(path, self._guarded(answer))
        app.router.add_post("/page/act", self._guarded(self._act))

    def _guarded(
        self, answer: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            port = self._peer.url.rpartition(":")[2]
            if request.host not in (f"127.0.0.1:{port}", f"localhost:{port}"):
                return web.Response(status=421, text="This page answers to 127.0.0.1 only.", headers=HEADERS)
            origin = request.headers.get("Origin")
            if origin not in (None, f"http://{request.host}"):
                return web.Response(status=403, text="Another web page may not use this one.", headers=HEADERS)
            response = await answer(request)
            response.headers.update(HEADERS)
            return response

        return guarded

    async def _style(self, _: web.Request) -> web.Response:
        return web.Response(text=STYLE, content_type="text/css")

    async def _script(self, _: web.Request) -> web.Response:
        return web.Response(text=SCRIPT, content_type="text/javascript")

    async def _show(self, request: web.Request) -> web.Response:
        state = snapshot(self._peer.state)
        people = [each["id"] for each in state["users"] if not each["is_bot"]]
        if not people:
            return web.Response(text="Nobody is in this workspace yet.")
        query = request.query
        person = query["as"] if query.get("as") in people else people[0]
        look = Look(person, query.get("channel", ""), query.get("thread", ""))
        channel = self._mark_read(state, look)
        screen = Screen(state, look, self._token, read=self._read.get(person, {}), notice=self._notices.get(person, ""))
        asked = None
        if query.get("do") in ("press", "press_home") or (query.get("do") == "click" and channel is not None):
            asked = self._asked(look, query)
        return web.Response(text=screen.whole(asked), content_type="text/html")

    def _mark_read(self, state: Json, look: Look) -> Json | None:
        channel = next((each for each in state["channels"] if each["id"] == look.channel), None)
        if channel is not None and look.person in channel["members"]:
            seen = messages_of(channel, look.person)
            if seen:
                self._read.setdefault(look.person, {})[look.channel] = seen[-1]["ts"]
        return channel

    def _asked(self, look: Look, query: Mapping[str, str]) -> tuple[Json, dict[str, str]] | None:
        """The element whose confirmation is on screen, and what pressing yes would send."""
        sends = {name: query[name] for name in ("do", "channel", "ts", "action", "value") if name in query}
        sends["channel"] = look.channel
        try:
            element = self._element(look.person, sends)
        except CannotDo:
            return None
        return (element, look.sends(self._token, **sends)) if element.get("confirm") else None

    def _element(self, user: str, given: Mapping[str, str]) -> Json:
        person = Person(self._peer, user)
        blocks: list[Json]
        if given["do"] == "click":
            seen = person.sees(given["channel"])
            blocks = next((each.get("blocks", []) for each in seen if each["ts"] == given.get("ts")), [])
        else:
            blocks = ((person.home if given["do"] == "press_home" else person.view) or {}).get("blocks", [])
        found = element_of(blocks, given.get("action", ""), given.get("value"))
        return found[1]

    async def _act(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = {name: str(value) for name, value in form.items()}
        several = {name: [str(each) for each in form.getall(name)] for name in form}
        if not secrets.compare_digest(given.get("token", "").encode(), self._token.encode()):
            return web.Response(status=403, text="This form is not of this page as it stands. Load the page again.")
        user = given.get("as", "")
        if user not in self._peer.state.users:
            return web.Response(status=400, text="There is no such person.")
        look = Look(user, given.get("at", ""), given.get("thread", ""))
        self._notices.pop(user, None)
        # Whoever looks at the Home has direct messages with the app; those are no answer to it.
        Person(self._peer, user).dm()
        before = self._standing()
        try:
            if given.get("do") in ("click", "press", "press_home") and not given.get("sure"):
                asked = self._element(user, given)
                if asked.get("confirm"):
                    return self._back(look, {k: v for k, v in given.items() if k in ("do", "ts", "action", "value")})
            await self._do(Person(self._peer, user), given, several, look)
        except (CannotDo, NotAcknowledged, BadAnswer) as error:
            self._notices[user] = f"It did not work: {error}"
        except (ValueError, KeyError) as error:
            return web.Response(status=400, text=f"The form is incomplete: {error}")
        if given.get("do") in ANSWERED:
            for _ in range(int(ANSWER_SECONDS / LOOK)):
                if self._standing() != before:
                    break
                await asyncio.sleep(LOOK)
        return self._back(look)

    def _standing(self) -> str:
        # As text: a snapshot shares its parts with the workspace, and would change with it.
        return json.dumps(snapshot(self._peer.state))

    async def _do(self, person: Person, given: Mapping[str, str], several: Mapping[str, list[str]], look: Look) -> None:
        act, channel, ts = given.get("do"), given.get("channel", ""), given.get("ts", "")
        if act in ("click", "press", "press_home"):
            element = self._element(person.id, given)
            value: Any = given.get("value")
            if element["type"] in SOME_OPTIONS:
                value = several.get("value", [])
            elif element["type"] in ONE_OPTION:
                value = value or None
            if act == "click":
                await person.click(channel, ts, given["action"], value=value)
            else:
                await (person.press if act == "press" else person.press_home)(given["action"], value=value)
        elif act == "submit":
            await person.submit(filled_in(person.view or {}, several))
        elif act == "close":
            await person.close()
        elif act == "shortcut":
            await person.shortcut(given["callback"], channel, ts)
        elif act == "react":
            await person.react(channel, ts, given["emoji"])
        elif act == "join":
            await person.join(channel)
        elif act == "home":
            await person.open_home()
        elif act == "say" and given["text"].startswith("/"):
            await person.command(given["text"], channel)
        elif act == "say":
            await person.say(channel, given["text"], look.thread or None)
        else:
            raise ValueError(f"nothing is called {act!r}")

    def _back(self, look: Look, asked: Mapping[str, str] | None = None) -> web.Response:
        more = f"&{urlencode(asked)}" if asked else ""
        return web.Response(status=303, headers={"Location": look.url() + more})

    async def _file(self, request: web.Request) -> web.Response:
        file = self._peer.state.files.get(request.match_info["file"])
        if file is None or not file.uploaded:
            return web.Response(status=404, text="There is no such file.")
        # Never as what it says it is: it would be shown in this page's own origin.
        return web.Response(body=file.content, content_type="text/plain", charset="utf-8")

    async def _transcript(self, request: web.Request) -> web.Response:
        state = snapshot(self._peer.state)
        if request.query.get("format") == "html":
            return web.Response(
                body=as_html(state, self._peer.sent).encode(),
                content_type="application/octet-stream",
                headers={"Content-Disposition": 'attachment; filename="transcript.html"'},
            )
        return web.Response(text=as_text(state, self._peer.sent))
