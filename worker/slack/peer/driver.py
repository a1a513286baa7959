"""People of a simulated workspace: they act only on what they can really see, and Slack sends what they did.

Every method that the app must acknowledge raises ``NotAcknowledged`` when it did not in three seconds, and
``CannotDo`` when a real client would not have let the user do it.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from worker.slack.peer import inputs, payloads
from worker.slack.peer.delivery import NotAcknowledged
from worker.slack.peer.messages import Message, message_json
from worker.slack.peer.response_urls import SLACKBOT, show
from worker.slack.peer.screen import CannotDo, chosen_in, element_of, said
from worker.slack.peer.state import Channel, User, Workspace
from worker.slack.peer.view_answers import answered, closed

if TYPE_CHECKING:
    from worker.slack.peer.server import SlackPeer

T = TypeVar("T")
Json = dict[str, Any]


class Person:
    """One user at one client. Usable from any event loop.

    Attributes:
        dialogs: Confirmation dialogs that were shown, oldest first.
        errors: By label, what the last submission was answered with.
    """

    def __init__(self, peer: "SlackPeer", user_id: str) -> None:
        """The user with this id."""
        self.peer, self.id = peer, user_id
        self.dialogs: list[Json] = []
        self.errors: dict[str, str] = {}

    @property
    def _state(self) -> Workspace:
        return self.peer.state

    @property
    def view(self) -> Json | None:
        """The modal on top, as it stands; None when none is open."""
        return self.peer.do(lambda: copy.deepcopy(next(iter(self._state.stacks.get(self.id, ())[-1:]), None)))

    @property
    def home(self) -> Json | None:
        """The App Home as it stands."""
        return self.peer.do(lambda: copy.deepcopy(self._user.home))

    def sees(self, channel: str) -> list[Json]:
        """The messages of a channel as this user sees them now, threads and own ephemerals too, oldest first.

        Raises:
            CannotDo: They cannot see the channel.
        """
        return self.peer.do(lambda: self._seen(self._channel(channel)))

    def _seen(self, where: Channel) -> list[Json]:
        shown = [*where.standing(), *(each for each in where.ephemerals if each.seen_by == self.id)]
        return [
            message_json(each, self._state.team_id, replies=self._state.replies(each))
            for each in sorted(shown, key=lambda each: each.ts)
            if not each.deleted
        ]

    def channels(self) -> list[str]:
        """Ids of the conversations that this user is in."""
        return self.peer.do(lambda: [each.id for each in self._state.channels.values() if self.id in each.members])

    def dm(self) -> str:
        """The id of the direct messages with the app."""
        return self.peer.do(lambda: self._state.direct(self.id).id)

    async def until(self, seen: Callable[[], T | None], seconds: float = 5.0) -> T:
        """Look until ``seen()`` is true; what it gave.

        Raises:
            CannotDo: It was not, in that time.
        """
        for _ in range(int(seconds / 0.01)):
            if found := seen():
                return found
            await asyncio.sleep(0.01)
        raise CannotDo(f"Not seen in {seconds} s.")

    async def until_sees(self, channel: str, text: str, seconds: float = 5.0) -> Json:
        """The newest message that says ``text``, waited for; raises as ``until``."""

        def newest() -> Json | None:
            return next((each for each in reversed(self.sees(channel)) if text in said(each)), None)

        try:
            return await self.until(newest, seconds)
        except CannotDo:
            seen = [said(each)[:80] for each in self.sees(channel)]
            raise CannotDo(f"{text!r} was not said in {seconds} s; there is {seen}") from None

    async def command(self, text: str, channel: str, *, team: str | None = None) -> Any:
        """A slash command, ``/stanch`` unless the text begins with a slash; what the app answered at once."""

        async def work() -> Any:
            where = self._channel(channel)
            name, _, rest = text.partition(" ") if text.startswith("/") else ("/stanch", "", text)
            commands = self._state.installed.commands
            if commands is not None and name not in commands:
                raise CannotDo(f"{name} is not a valid command.")
            if commands is not None and commands[name]:
                rest = self._state.typed(rest)
            payload = payloads.slash_command(
                self._state, self.peer.url, self._user, team or self._user.team, where, name, rest
            )
            try:
                answer = await self._send("slash_commands", payload)
            except NotAcknowledged:
                failed = {"text": f'{name} failed with the error "dispatch_failed"'}
                show(self._state, where, self.id, failed, by=SLACKBOT)
                raise
            if isinstance(answer, dict) and (answer.get("text") or answer.get("blocks")):
                show(self._state, where, self.id, answer)
            return answer

        return await self.peer.inside(work())

    async def click(
        self,
        channel: str,
        ts: str,
        action: str,
        *,
        value: Any = None,
        confirm: bool = True,
        rendering: int = -1,
        team: str | None = None,
    ) -> Any:
        """Click a button, or choose ``value`` in a select, of a message.

        Args:
            action: The action id, or the label of the button.
            value: An option of a select; for a button, the value that tells it from others.
            confirm: The answer to a confirmation dialog; with False nothing is sent.
            rendering: Which rendering this user's screen still shows; -1 is how it stands, 0 the first.
            team: The workspace that the click comes from, if not the user's own.

        Raises:
            CannotDo: There is no such message or button.
        """

        async def work() -> Any:
            where = self._channel(channel)
            message = self._message(where, ts, gone=rendering != -1)
            shown = message.renderings[rendering]
            block, element = element_of(shown.blocks, action, value)
            if not self._confirmed(element, confirm):
                return None
            done = payloads.action_of(self._state, block, element, chosen_in(element, value))
            payload = payloads.message_action(
                self._state,
                self.peer.url,
                self._user,
                team or self._user.team,
                where,
                message,
                done,
                {"text": shown.text, "blocks": copy.deepcopy(shown.blocks)},
            )
            return await self._send("interactive", payload)

        return await self.peer.inside(work())

    async def press(self, action: str, *, value: Any = None, confirm: bool = True) -> Any:
        """Click a button, or choose in a select, of the modal on top; arguments as ``click``."""
        return await self.peer.inside(self._press(self._top(), action, value, confirm))

    async def press_home(self, action: str, *, value: Any = None, confirm: bool = True) -> Any:
        """Click a button, or choose in a select, of the App Home; arguments as ``click``."""
        home = self._state.users[self.id].home
        if home is None:
            raise CannotDo("There is no App Home yet.")
        return await self.peer.inside(self._press(home, action, value, confirm))

    async def _press(self, view: Json, action: str, value: Any, confirm: bool) -> Any:
        block, element = element_of(view["blocks"], action, value)
        if not self._confirmed(element, confirm):
            return None
        chosen = chosen_in(element, value)
        inputs.fill(view, {})
        if chosen:
            view["state"]["values"].setdefault(block["block_id"], {})[element["action_id"]] = chosen
        done = payloads.action_of(self._state, block, element, chosen)
        return await self._send(
            "interactive", payloads.view_action(self._state, self._user, self._user.team, view, done)
        )

    async def submit(self, given: Json | None = None, *, team: str | None = None) -> dict[str, str]:
        """Fill in the modal on top by label and submit it; by label, the errors that came back, none if accepted.

        Raises:
            CannotDo: No modal is open, there is no such input, or the client itself objects.
        """

        async def work() -> dict[str, str]:
            view = self._top()
            if view.get("submit") is None:
                raise CannotDo("This modal cannot be submitted.")
            try:
                inputs.fill(view, given or {})
            except inputs.NotFilled as error:
                raise CannotDo(str(error)) from None
            wrong = inputs.check(view)
            if wrong:
                raise CannotDo("; ".join(wrong.values()))
            payload = payloads.view_submission(self._state, self._user, team or self._user.team, view)
            answer = await self._send("interactive", payload)
            self.errors = answered(self._state, self.id, view, answer)
            return self.errors

        return await self.peer.inside(work())

    async def close(self, *, everything: bool = False) -> None:
        """Close the modal on top, or all of them; the app is told where it asked for it."""

        async def work() -> None:
            self._top()
            for view in closed(self._state, self.id, everything=everything):
                payload = payloads.view_closed(self._state, self._user, self._user.team, view, cleared=everything)
                await self._send("interactive", payload)

        await self.peer.inside(work())

    async def shortcut(self, callback_id: str, channel: str | None = None, ts: str | None = None) -> Any:
        """A shortcut: from the menu of a message, or a global one."""

        async def work() -> Any:
            kind = "global" if channel is None else "message"
            shortcuts = self._state.installed.shortcuts
            if shortcuts is not None and (callback_id, kind) not in shortcuts:
                raise CannotDo(f"There is no {kind} shortcut {callback_id}.")
            if channel is None or ts is None:
                payload = payloads.shortcut(self._state, self._user, self._user.team, callback_id)
            else:
                where = self._channel(channel)
                payload = payloads.message_shortcut(
                    self._state,
                    self.peer.url,
                    self._user,
                    self._user.team,
                    callback_id,
                    where,
                    self._message(where, ts),
                )
            return await self._send("interactive", payload)

        return await self.peer.inside(work())

    async def react(self, channel: str, ts: str, emoji: str) -> None:
        """Put an emoji on a message."""
        await self.peer.inside(self._react(channel, ts, emoji, True))

    async def unreact(self, channel: str, ts: str, emoji: str) -> None:
        """Take an emoji away again."""
        await self.peer.inside(self._react(channel, ts, emoji, False))

    async def _react(self, channel: str, ts: str, emoji: str, on: bool) -> None:
        where = self._channel(channel)
        message, name = self._message(where, ts), emoji.strip(":")
        users = message.reactions.setdefault(name, [])
        if (self.id in users) is on:
            raise CannotDo(f"{name} is {'already' if on else 'not'} there.")
        if on:
            users.append(self.id)
        else:
            users.remove(self.id)
        item = {"type": "message", "channel": channel, "ts": ts}
        kind = "reaction_added" if on else "reaction_removed"
        inner = {"type": kind, "user": self.id, "reaction": name, "item": item, "item_user": message.user}
        if self._state.bot_user_id in where.members and "reactions:read" in self._state.scopes:
            await self._event(inner)

    async def open_home(self) -> None:
        """Look at the App Home."""

        async def work() -> None:
            if not self._state.installed.home:
                raise CannotDo("The app has no Home.")
            inner: Json = {"type": "app_home_opened", "user": self.id, "channel": self._state.direct(self.id).id}
            inner["tab"] = "home"
            if self._user.home is not None:
                inner["view"] = copy.deepcopy(self._user.home)
            await self._event(inner)

        await self.peer.inside(work())

    async def say(self, channel: str, text: str, thread_ts: str | None = None) -> str:
        """Write a message; its ts."""

        async def work() -> str:
            where = self._channel(channel)
            if where.archived or self.id not in where.members:
                raise CannotDo("They cannot write there.")
            message = Message(where.id, self._state.ts(), self.id, "", thread_ts=thread_ts)
            message.say(self._state.typed(text), [], self._state.clock())
            where.messages[message.ts] = message
            kind = "message.im" if where.is_im else "message.groups" if where.is_private else "message.channels"
            if kind in self._state.subscriptions and self._state.bot_user_id in where.members:
                inner = message_json(message, self._user.team) | {"channel": where.id}
                await self._event(inner | {"channel_type": "im" if where.is_im else "channel"}, kind)
            return message.ts

        return await self.peer.inside(work())

    async def forward(self, channel: str, ts: str, to: str) -> str:
        """Forward a message to another conversation; the ts of the copy there."""

        async def work() -> str:
            message, target = self._message(self._channel(channel), ts), self._channel(to)
            copied = Message(target.id, self._state.ts(), self.id, "", forwarded=(channel, ts))
            copied.say(message.text, message.blocks, self._state.clock())
            target.messages[copied.ts] = copied
            return copied.ts

        return await self.peer.inside(work())

    async def join(self, channel: str) -> None:
        """Into a public channel."""

        async def work() -> None:
            where = self._channel(channel)
            if self.id not in where.members:
                where.members.append(self.id)

        await self.peer.inside(work())

    async def leave(self, channel: str) -> None:
        """Out of a channel."""

        async def work() -> None:
            where = self._channel(channel)
            if self.id in where.members:
                where.members.remove(self.id)

        await self.peer.inside(work())

    @property
    def _user(self) -> User:
        return self._state.users[self.id]

    async def _send(self, type_: str, payload: Json) -> Any:
        return await self.peer.delivery.send(type_, payload)

    async def _event(self, inner: Json, kind: str | None = None) -> None:
        if (kind or inner["type"]) in self._state.subscriptions:
            await self._send("events_api", payloads.event(self._state, inner))

    def _top(self) -> Json:
        stack = self._state.stacks.get(self.id)
        if not stack:
            raise CannotDo("No modal is open.")
        return stack[-1]

    def _channel(self, channel: str) -> Channel:
        found = self._state.channels.get(channel)
        public = found is not None and not found.is_private and not self._user.stranger
        if found is None or not (public or self.id in found.members):
            raise CannotDo(f"{self._user.name} cannot see {channel}.")
        return found

    def _message(self, where: Channel, ts: str, *, gone: bool = False) -> Message:
        mine = [each for each in where.ephemerals if each.ts == ts and each.seen_by == self.id]
        found = mine[0] if mine else where.messages.get(ts)
        if found is None or (found.deleted and not gone):
            raise CannotDo(f"There is no message {ts} in {where.name or where.id} for {self._user.name}.")
        return found

    def _confirmed(self, element: Json, confirm: bool) -> bool:
        if "confirm" not in element:
            return True
        self.dialogs.append(copy.deepcopy(element["confirm"]))
        return confirm


async def together(*acts: Coroutine[Any, Any, T] | Awaitable[T]) -> list[T | BaseException]:
    """Several people at the same moment; what each got, errors too."""
    return await asyncio.gather(*acts, return_exceptions=True)
