"""The door of Slack: everything that hears and says there, started together and ended together.

Slack being away, or a token that is wrong, never keeps the process from starting or from working: it is told in the
log and in ``/v1/health``, and tried again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response
from slack_bolt.adapter.starlette.async_handler import to_starlette_response
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from playbooks.contract import Json
from worker.desk.desk import Desk
from worker.secrets import SecretError
from worker.settings_slack import SlackSettings
from worker.slack.answers import FAILURES, Answers
from worker.slack.app import Listeners, bolt
from worker.slack.carrying import Carrying, words_for
from worker.slack.commands import Commands
from worker.slack.deciding import Deciding
from worker.slack.forms_open import Opening
from worker.slack.home_tab import HomeTabs
from worker.slack.identity import Identities
from worker.slack.inbox import Inbox
from worker.slack.manifest import EVENTS_PATH
from worker.slack.pages import Direct, SlackPages
from worker.slack.ports import Shown
from worker.slack.reactions import Reactions
from worker.slack.shut import Shut
from worker.slack.socket import Socket
from worker.slack.starting import Starting

log = logging.getLogger(__name__)

AGAIN = (1.0, 2.0, 5.0, 15.0, 30.0)
LOOK = 60.0
TIMEOUT = 10
SIGNED = ("x-slack-request-timestamp", "x-slack-signature")


class Outgoing(Shown, Direct, Protocol):
    """The outgoing half."""

    async def keep_showing(self) -> None:
        """Make Slack show what is wanted, until cancelled."""


class SlackDoor:
    """One workspace's door.

    Args:
        settings: Where it is and what it may use.
        secret: Reads a secret by its reference.
        desk: Who may do what.
        outgoing: Makes the outgoing half with a bot token.
    """

    def __init__(
        self,
        settings: SlackSettings,
        secret: Callable[[str], str],
        desk: Desk,
        outgoing: Callable[[str], Outgoing],
    ) -> None:
        self._settings, self._secret, self._desk, self._outgoing = settings, secret, desk, outgoing
        self._identities = Identities(desk.store, settings.workspace)
        self._app: AsyncApp | None = None
        self._verifier: SignatureVerifier | None = None
        self._bot: dict[str, str] = {}
        self._token_problem = "not tried yet"
        self._socket_problem = "not connected yet" if settings.app_token else ""
        self._known = asyncio.Event()
        self.pages = SlackPages()
        """The pager's channel."""

    def health(self) -> dict[str, Json]:
        """``ok``, whether events can be heard and said; else why not. It does not make the process unhealthy."""
        problems = [each for each in (self._token_problem, self._socket_problem) if each]
        return {"ok": not problems, "problems": list(problems)}

    @property
    def router(self) -> APIRouter:
        """``POST /slack/events``, for signed HTTP; nothing where no signing secret is configured."""
        made = APIRouter()
        if self._settings.signing_secret:
            made.add_api_route(EVENTS_PATH, self._received, methods=["POST"], include_in_schema=False)
        return made

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Hear, carry out and show while the block runs."""
        working = asyncio.create_task(self._keep_open())
        try:
            yield
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def _keep_open(self) -> None:
        tried = 0
        while True:
            try:
                await self._work()
            except SecretError as error:
                self._report_token(str(error))
            except Exception:
                log.exception("the door of Slack failed; it is opened again")
            await asyncio.sleep(AGAIN[min(tried, len(AGAIN) - 1)])
            tried += 1

    async def _work(self) -> None:
        settings = self._settings
        token = self._secret(settings.bot_token)
        signing_secret = self._secret(settings.signing_secret) if settings.signing_secret else token
        self._verifier = SignatureVerifier(signing_secret) if settings.signing_secret else None
        more: dict[str, Any] = {"base_url": settings.endpoint} if settings.endpoint else {}
        # Without handlers: the SDK's own would send again what may have been carried out.
        web = AsyncWebClient(token=token, timeout=TIMEOUT, retry_handlers=[], **more)
        mode = self._desk.installation.context.mode.value
        answers, shown = Answers(web, settings.endpoint, mode), self._outgoing(token)
        deciding = Deciding(self._desk, shown)
        carrying = Carrying(
            self._desk.store.slack.off,
            self._identities,
            deciding,
            Commands(self._desk, shown, self._identities),
            Starting(self._desk, web, shown),
            Reactions(self._desk, web, shown, self._identities, settings.workspace),
            shown,
            shown,
        )
        inbox = Inbox(self._desk.store, carrying.carry, carrying.teller(answers), words_for)
        homes = HomeTabs(self._desk, web, self._identities)
        opening = Opening(self._desk, web, deciding, answers)
        shut = Shut(self._desk.store, self._identities, answers, deciding)
        listeners = Listeners(self._identities, inbox, answers, deciding, opening, homes, shut)
        app = bolt(listeners, web, signing_secret=signing_secret, workspace=settings.workspace, bot=self._bot)
        works: list[Awaitable[None]] = [
            inbox.keep_carrying(),
            homes.keep_fresh(),
            self._keep_looking(web),
            self._show(shown),
        ]
        if settings.app_token:
            reference = settings.app_token
            works.append(Socket(app, web, lambda: self._secret(reference), self._report_socket).keep_listening())
        tasks = [asyncio.ensure_future(work) for work in works]
        self._app = app
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            self._app = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await listeners.stop()

    async def _show(self, shown: Outgoing) -> None:
        """Say something only once the token is known to be of the right workspace."""
        await self._known.wait()
        self.pages.direct = shown
        try:
            await shown.keep_showing()
        finally:
            self.pages.direct = None

    async def _keep_looking(self, web: AsyncWebClient) -> None:
        tried = 0
        while True:
            problem = await self._look(web)
            self._report_token(problem)
            if problem:
                await asyncio.sleep(AGAIN[min(tried, len(AGAIN) - 1)])
                tried += 1
            else:
                tried = 0
                await asyncio.sleep(LOOK)

    async def _look(self, web: AsyncWebClient) -> str:
        """What is wrong with the token, or nothing."""
        try:
            answer = await web.auth_test()
        except SlackApiError as error:
            return f"Slack refuses the bot token: {error.response.get('error', 'unknown')}"
        except FAILURES as error:
            return f"Slack cannot be reached ({type(error).__name__})"
        if answer.get("team_id") != self._settings.workspace:
            return f"the bot token is of workspace {answer.get('team_id')}, not of {self._settings.workspace}"
        self._bot |= {name: str(answer[name]) for name in ("user_id", "bot_id") if answer.get(name)}
        self._known.set()
        return ""

    def _report_token(self, problem: str) -> None:
        self._token_problem = self._reported(self._token_problem, problem)

    def _report_socket(self, problem: str) -> None:
        self._socket_problem = self._reported(self._socket_problem, problem)

    @staticmethod
    def _reported(before: str, problem: str) -> str:
        if problem != before:
            log.log(logging.WARNING if problem else logging.INFO, "Slack: %s", problem or "connected")
        return problem

    async def _received(self, request: Request) -> Response:
        """One signed delivery. What is not signed, or is older than 300 seconds, is not even read; bolt would read
        it before it looks at the signature."""
        app, raw = self._app, await request.body()
        if app is None or self._verifier is None:
            return Response("Stanch is not listening to Slack now.", status_code=503)
        try:
            body = raw.decode()
        except UnicodeDecodeError:
            return Response("This is no delivery of Slack.", status_code=400)
        stamp, signature = (request.headers.get(name, "") for name in SIGNED)
        if not stamp.isdigit() or not self._verifier.is_valid(body=body, timestamp=stamp, signature=signature):
            return Response("This was not signed by Slack within the last five minutes.", status_code=401)
        return to_starlette_response(
            await app.async_dispatch(AsyncBoltRequest(body=body, headers=dict(request.headers)))
        )
