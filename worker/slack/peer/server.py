"""A simulated Slack workspace on 127.0.0.1: the wire protocol that slack-sdk and bolt speak, in a thread of its own.

Only ``base_url`` differs for the app: ``AsyncWebClient(token=peer.bot_token, base_url=peer.api_url)``.
"""

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aiohttp import web

from worker.slack.peer.control import Control
from worker.slack.peer.delivery import Delivery, Sent
from worker.slack.peer.faults import Faults
from worker.slack.peer.page import Page
from worker.slack.peer.rates import Rates
from worker.slack.peer.state import Workspace
from worker.slack.peer.web import Called, Web

T = TypeVar("T")
SECONDS = 15.0


class SlackPeer:
    """One workspace with one app installed, from ``start`` to ``stop``.

    Attributes:
        state: What the workspace holds; change it by ``inside`` or before ``start``.
        faults: See ``Faults``; rules may be added from any thread.
        rates: Limits in force; ``rates.limited = False`` lifts them.
        delivery: Sockets and signed requests; ``delivery.sent`` logs what the app was sent.
    """

    def __init__(self, team: str = "T0ACME0001", clock: Callable[[], float] = time.time) -> None:
        """``clock`` gives seconds since 1970: trigger ids, response URLs and rate limits go by it."""
        self.team_id = team
        self.bot_token = f"xoxb-{secrets.token_hex(16)}"
        self.app_token = f"xapp-{secrets.token_hex(16)}"
        self.signing_secret = secrets.token_hex(16)
        self.state = Workspace(team, clock)
        self.faults = Faults()
        self.rates = Rates(clock)
        self.delivery = Delivery(self.faults, self.signing_secret, self.state.app_id, clock)
        self._web = Web(self.state, self.faults, self.rates, self.bot_token, self.app_token)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self.url = ""

    @property
    def api_url(self) -> str:
        """What the SDK calls ``base_url``; ends in ``/api/``."""
        return f"{self.url}/api/"

    @property
    def request_url(self) -> str | None:
        """Where signed requests go while no socket is connected."""
        return self.delivery.request_url

    @request_url.setter
    def request_url(self, url: str | None) -> None:
        self.delivery.request_url = url

    @property
    def calls(self) -> list[Called]:
        """The log of the app's calls, oldest first."""
        return self._web.calls

    @property
    def sent(self) -> list[Sent]:
        """The log of deliveries to the app, oldest first."""
        return self.delivery.sent

    @property
    def connections(self) -> int:
        """Sockets that are connected."""
        return len(self.delivery.usable())

    def start(self, port: int = 0) -> "SlackPeer":
        """Serve; itself.

        Raises:
            RuntimeError: It could not listen.
        """
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(port)), name="slack", daemon=True)
        self._thread.start()
        if not self._ready.wait(SECONDS) or self._error is not None:
            raise RuntimeError("The simulated Slack did not start.") from self._error
        return self

    def stop(self) -> None:
        """No longer serve."""
        if self._thread is not None and self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout=SECONDS)
            self._thread = None

    def __enter__(self) -> "SlackPeer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def inside(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something in the server's own loop, from whichever loop this is."""
        if self._loop is None or not self._loop.is_running():
            work.close()
            raise RuntimeError("The simulated Slack is not running.")
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def do(self, act: Callable[[], T]) -> T:
        """Run something in the server's thread; what it returns."""
        if self._loop is None or not self._loop.is_running() or threading.current_thread() is self._thread:
            return act()

        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=SECONDS)

    def add_user(self, name: str, real_name: str, email: str, stranger: bool = False, team: str | None = None) -> str:
        """Somebody new; the id. A stranger belongs to another team."""
        return self.do(lambda: self.state.add_user(name, real_name, email, stranger=stranger, team=team).id)

    def install(self, manifest: dict[str, Any]) -> None:
        """The app as its manifest declares it: its scopes, events, commands and shortcuts, and no others.

        Raises:
            BadManifest: Slack would not take it.
        """
        self.do(lambda: self.state.install(manifest))

    def add_channel(self, name: str, members: tuple[str, ...] = (), *, private: bool = False, bot: bool = True) -> str:
        """A channel that people made; the id. ``bot``: whether the app is in it."""

        def add() -> str:
            everyone = (*members, self.state.bot_user_id) if bot else members
            creator = everyone[0] if everyone else "USLACKBOT"
            made = self.state.add_channel(name, creator, is_private=private, members=everyone)
            made.shared = any(self.state.users[each].stranger for each in everyone)
            return made.id

        return self.do(add)

    def add_usergroup(self, handle: str, name: str, users: tuple[str, ...]) -> str:
        """A group of users; the id."""

        def add() -> str:
            id_ = self.state.id("S")
            self.state.usergroups[id_] = {"id": id_, "handle": handle, "name": name, "users": list(users)}
            return id_

        return self.do(add)

    def drop_sockets(self) -> None:
        """Every socket is gone without a word."""
        self.do(self.delivery.drop_sockets)

    async def refresh_sockets(self) -> None:
        """Ask the app to connect anew, as Slack does every few hours."""
        await self.inside(self.delivery.refresh())

    async def replay(self, sent: Sent | None = None) -> int:
        """The last delivery, or this one, once more to the byte; the HTTP status."""
        return await self.inside(self.delivery.replay(sent or self.sent[-1]))

    async def _serve(self, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.faults.in_loop = self._loop.call_soon_threadsafe
        self.faults.on_down = self.drop_sockets
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._web.api)
        app.router.add_post("/upload/{file}", self._web.upload)
        app.router.add_post("/response/{hook}", self._web.response_url)
        app.router.add_get("/link/", self.delivery.link)
        Control(self).routes(app)
        Page(self).routes(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        try:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            address = runner.addresses[0]
            self.url = self._web.url = f"http://127.0.0.1:{address[1]}"
            self._web.open_socket = lambda: self.delivery.ticket(self.url)
            self._ready.set()
            await self._stopping.wait()
        except OSError as error:
            self._error = error
            self._ready.set()
        finally:
            self.faults.release()
            await self.delivery.close()
            await runner.cleanup()
