"""The listeners: one set for Socket Mode and for signed HTTP. Each keeps what was done, then acknowledges it.

Nothing here waits for Temporal or for Slack: what takes longer than the store is a task of its own.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.logger.messages import warning_client_prioritized_and_token_skipped
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from worker.desk.refusals import DeskRefusal
from worker.slack import names, steering, words
from worker.slack.answers import Answers
from worker.slack.deciding import Click, Deciding
from worker.slack.deliveries import delivery
from worker.slack.forms_open import Opening
from worker.slack.home_tab import HomeTabs
from worker.slack.identity import Identities, actor, origin, whereabouts
from worker.slack.inbox import Inbox
from worker.slack.manifest import COMMAND
from worker.slack.shut import Shut
from worker.store.people import Person

log = logging.getLogger(__name__)
# Bolt looks for SLACK_BOT_TOKEN by itself and says that it does not use it; people take that for a fault of theirs.
log.addFilter(lambda record: record.getMessage() != warning_client_prioritized_and_token_skipped())

ANY = re.compile(".*", re.S)
KEPT_BY = frozenset({"pushpin", "memo"})
"""Reactions that keep a message as a note."""
AT_MOST_KEPT = 3000

Body = dict[str, Any]


class Listeners:
    """What happens on each kind of delivery.

    Args:
        identities: Who somebody is.
        inbox: Keeps what is to be carried out.
        answers: Private answers.
        deciding: For what a stranger or a replay clicked.
        opening: Opens modals, and reads them.
        homes: The App Homes.
        shut: Stands before all of them.
    """

    def __init__(
        self,
        identities: Identities,
        inbox: Inbox,
        answers: Answers,
        deciding: Deciding,
        opening: Opening,
        homes: HomeTabs,
        shut: Shut,
    ) -> None:
        self._identities, self._inbox, self._answers = identities, inbox, answers
        self._deciding, self._opening, self._homes, self._shut = deciding, opening, homes, shut
        self._tasks: set[asyncio.Task[Any]] = set()

    def install(self, app: AsyncApp) -> None:
        """Listen."""
        app.middleware(self._shut.pass_on)
        app.action(ANY)(self.action)
        app.view(ANY)(self.submission)
        app.view_closed(ANY)(self.nothing)
        app.command(COMMAND)(self.command)
        app.shortcut(names.START_FROM_MESSAGE)(self.shortcut)
        app.event("reaction_added")(self.reaction)
        app.event("app_home_opened")(self.home)
        app.event(ANY)(self.nothing)

    async def stop(self) -> None:
        """End what is still being opened or answered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._shut.stop()

    async def nothing(self, ack: AsyncAck) -> None:
        """Acknowledge what concerns nobody."""
        await ack()

    async def action(self, ack: AsyncAck, body: Body, request: AsyncBoltRequest) -> None:
        """A button."""
        pressed = body["actions"][0]
        id_, value = str(pressed["action_id"]), str(pressed.get("value") or "")
        place = whereabouts(body)
        verdict = names.verdict_of(id_)
        person = await self._person(body)
        if person is None:
            await ack()
            self._stranger(place, value if verdict is not None else "")
        elif verdict in self._opening.VERDICTS:
            await ack()
            self._later(self._opening.verdict(body["trigger_id"], place, value, str(verdict), person))
        elif verdict is not None:
            decided = {"do": "decide", **place, "card": value, "verdict": verdict}
            await self._keep(ack, body, request, decided, person)
        elif id_ == names.INCIDENT_NOTE:
            await ack()
            self._later(self._opening.note(body["trigger_id"], place, value))
        elif id_ == names.HOME_START:
            await ack()
            self._later(self._opening.pick(body["trigger_id"], place, person))
        elif id_ == names.HOME_OPEN:
            looked = {"do": "steer", **place, "verb": "status", "incident": value, "rest": ""}
            await self._keep(ack, body, request, looked, person)
        elif id_.removeprefix(names.INCIDENT) in steering.VERBS:
            steered = {"do": "steer", **place, "verb": id_.removeprefix(names.INCIDENT), "incident": value, "rest": ""}
            await self._keep(ack, body, request, steered, person)
        else:
            await ack()

    async def submission(self, ack: AsyncAck, body: Body, request: AsyncBoltRequest) -> None:
        """A form: wrong values are shown at their field, all else is kept."""
        view = body["view"]
        try:
            metadata = json.loads(view.get("private_metadata") or "{}")
        except ValueError:
            metadata = {}
        place = {"user": origin(body).user, "team": origin(body).team, "channel": str(metadata.get("channel") or "")}
        person = await self._person(body)
        if person is None:
            await ack()
            self._stranger(place, str(metadata.get("card") or ""))
            return
        try:
            read = await self._opening.read(view, metadata, person)
        except DeskRefusal as refusal:
            await ack()
            self._later(self._answers.say(place, words.refused(refusal)))
            return
        if read.errors:
            await ack(response_action="errors", errors=read.errors)
        elif read.view is not None:
            await ack(response_action="update", view=read.view)
        elif read.what is not None:
            await self._keep(ack, body, request, {**place, **read.what}, person)
        else:
            await ack()

    async def command(self, ack: AsyncAck, body: Body, request: AsyncBoltRequest) -> None:
        """``/stanch``."""
        place = whereabouts(body)
        person = await self._person(body)
        if person is None:
            told = words.refusal("unknown_person", words.STRANGER, words.NEXT["unknown_person"])
            await ack(**self._answers.at_once(told))
            return
        line = steering.read(str(body.get("text") or ""))
        if line.verb == "help" or line.verb not in steering.VERBS:
            await ack(**self._answers.at_once(words.help_for(line.verb)))
        elif line.verb == "start":
            await ack()
            self._later(self._opening.pick(body["trigger_id"], place, person, line.rest))
        else:
            steered = {"do": "steer", **place, "verb": line.verb, "incident": line.incident, "rest": line.rest}
            await self._keep(ack, body, request, steered, person)

    async def shortcut(self, ack: AsyncAck, body: Body) -> None:
        """Start an incident from a message."""
        place = whereabouts(body)
        person = await self._person(body)
        await ack()
        if person is None:
            self._stranger(place, "")
        else:
            self._later(self._opening.from_message(body["trigger_id"], place, person, body.get("message") or {}))

    async def reaction(self, ack: AsyncAck, body: Body, request: AsyncBoltRequest) -> None:
        """A reaction that keeps a message as a note; of people who are unknown, nothing."""
        event = body["event"]
        item = event.get("item") or {}
        if event.get("reaction") not in KEPT_BY or item.get("type") != "message":
            await ack()
            return
        person = await self._person(body)
        if person is None:
            await ack()
            return
        found = origin(body)
        place = {"user": found.user, "team": found.team, "channel": str(item["channel"])}
        marked = {"do": "mark", **place, "ts": str(item["ts"]), "author": str(event.get("item_user") or "")}
        await self._keep(ack, body, request, marked, person)

    async def home(self, ack: AsyncAck, body: Body) -> None:
        """Somebody looks at the App Home."""
        person = await self._person(body)
        await ack()
        if body["event"].get("tab", "home") == "home":
            self._later(self._homes.opened(origin(body).user, person))

    async def _person(self, body: Body) -> Person | None:
        return await self._identities.found(origin(body))

    async def _keep(
        self, ack: AsyncAck, body: Body, request: AsyncBoltRequest, what: Mapping[str, Any], person: Person
    ) -> None:
        by = delivery(body, request.headers, socket=request.mode == "socket_mode")
        kept, how = await self._inbox.keep(by, what)
        await ack()
        if how == "replay":
            self._later(self._replayed(kept.token, what, person))

    async def _replayed(self, token: str, what: Mapping[str, Any], person: Person) -> None:
        """What was delivered before, and not by Slack: refused, told, and on record once."""
        if what.get("do") == "decide":
            click = Click.of(what)
            self._deciding.not_counted(click, actor(person, token), "nonce_used")
        text = "This was delivered before; it was not done a second time."
        await self._answers.say(what, words.refusal("nonce_used", text, words.NEXT["nonce_used"]))

    def _stranger(self, place: Mapping[str, Any], card: str) -> None:
        if card:
            self._deciding.stranger(card)
        told = words.refusal("unknown_person", words.STRANGER, words.NEXT["unknown_person"])
        self._later(self._answers.say(place, told))

    def _later(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("something in Slack failed", exc_info=task.exception())


def bolt(
    listeners: Listeners, web: AsyncWebClient, *, signing_secret: str, workspace: str, bot: Mapping[str, str]
) -> AsyncApp:
    """The app. Whose token it uses is known: Slack is asked nothing before something is acknowledged.

    ``bot`` holds ``user_id`` and ``bot_id`` once they are known, so that its own doings are not listened to.
    """
    token = str(web.token)

    async def authorize(**_: Any) -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=None,
            team_id=workspace,
            bot_token=token,
            bot_id=bot.get("bot_id"),
            bot_user_id=bot.get("user_id"),
        )

    app = AsyncApp(
        name="stanch",
        # The app's own client has no token: bolt would take it for the way to ask who we are, at each delivery.
        client=AsyncWebClient(base_url=web.base_url, retry_handlers=[]),
        authorize=authorize,
        signing_secret=signing_secret,
        process_before_response=True,
        logger=log,
    )
    listeners.install(app)
    return app
