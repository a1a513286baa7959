"""What the simulated workspace holds: its people, channels, messages, files and open views."""

import itertools
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from worker.slack.peer.installed import Installed, read, typed
from worker.slack.peer.messages import Message

ALL_SCOPES = (
    "bookmarks:read bookmarks:write channels:history channels:join channels:manage channels:read chat:write "
    "chat:write.public commands files:read files:write groups:history groups:read groups:write im:history im:read "
    "im:write pins:read pins:write reactions:read reactions:write usergroups:read users:read users:read.email"
)
NAME = re.compile(r"^[\w-]{1,80}$")


class Refused(Exception):
    """A call that Slack answers with ``{"ok": false}``; ``code`` is its error, ``more`` further fields."""

    def __init__(self, code: str, *messages: str, **more: Any) -> None:
        super().__init__(code, *messages)
        self.code = code
        self.more: dict[str, Any] = dict(more)
        if messages:
            self.more["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in messages]}


@dataclass
class User:
    """Somebody with an account here, or seen here through a shared channel."""

    id: str
    name: str
    real_name: str
    email: str
    team: str
    is_bot: bool = False
    stranger: bool = False
    deleted: bool = False
    home: dict[str, Any] | None = None


@dataclass
class Channel:
    """A conversation: public or private channel, or a direct message."""

    id: str
    name: str
    creator: str
    created: int
    is_private: bool = False
    is_im: bool = False
    shared: bool = False
    archived: bool = False
    topic: str = ""
    purpose: str = ""
    members: list[str] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)
    ephemerals: list[Message] = field(default_factory=list)
    pins: list[dict[str, Any]] = field(default_factory=list)
    bookmarks: list[dict[str, Any]] = field(default_factory=list)

    def message(self, ts: str) -> Message | None:
        """One that stands."""
        found = self.messages.get(ts)
        return None if found is None or found.deleted else found

    def standing(self) -> Iterator[Message]:
        """Messages that stand, oldest first."""
        return (message for ts, message in sorted(self.messages.items()) if not message.deleted)


@dataclass
class File:
    """A file, from the promise of an upload on."""

    id: str
    name: str
    length: int
    user: str
    created: int
    title: str = ""
    content: bytes = b""
    uploaded: bool = False
    channels: list[str] = field(default_factory=list)


@dataclass
class Trigger:
    """The right to open one view for one user, for three seconds (docs.slack.dev/surfaces/modals)."""

    user: str
    at: float
    view: str | None = None
    used: bool = False


@dataclass
class Hook:
    """A response URL: five uses in thirty minutes."""

    channel: str
    user: str
    at: float
    ts: str | None = None
    ephemeral: bool = False
    thread_ts: str | None = None
    uses: int = 0


class Workspace:
    """One team; changed only in the server's thread, read from anywhere."""

    def __init__(self, team: str, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds since 1970; whatever ages here ages by it."""
        self.clock = clock
        self.team_id = team
        self.domain = "acme"
        self.team_name = "Acme"
        self.app_id = "A0STANCH01"
        self.bot_id = "B0STANCH01"
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, File] = {}
        self.usergroups: dict[str, dict[str, Any]] = {}
        self.stacks: dict[str, list[dict[str, Any]]] = {}
        self.triggers: dict[str, Trigger] = {}
        self.hooks: dict[str, Hook] = {}
        self.view_errors: dict[str, dict[str, str]] = {}
        """By view id and block id, what a submission was answered with and the user now reads."""
        self.scopes: set[str] = set(ALL_SCOPES.split())
        self.subscriptions: set[str] = {"app_home_opened", "reaction_added"}
        """Events that the app has subscribed to."""
        self.installed = Installed(frozenset(self.scopes), frozenset(self.subscriptions))
        self._last_ts = (0, 0)
        self._numbers = itertools.count(1)
        self.bot_user_id = self.add_user("stanch", "Stanch", "", is_bot=True).id

    def id(self, letter: str) -> str:
        """A new id of Slack's shape."""
        return f"{letter}0{next(self._numbers):04d}{secrets.token_hex(2).upper()}"

    def ts(self) -> str:
        """A new message's ``ts``: unique here, and it grows."""
        now = self.clock()
        stamp = (int(now), int(now % 1 * 1_000_000))
        if stamp <= self._last_ts:
            seconds, micros = self._last_ts
            stamp = (seconds, micros + 1) if micros < 999_999 else (seconds + 1, 0)
        self._last_ts = stamp
        return f"{stamp[0]}.{stamp[1]:06d}"

    def add_user(
        self,
        name: str,
        real_name: str,
        email: str,
        *,
        stranger: bool = False,
        is_bot: bool = False,
        team: str | None = None,
    ) -> User:
        """Somebody new. A stranger belongs to another team and is seen only in shared channels."""
        home = team or ("T0OTHER001" if stranger else self.team_id)
        user = User(self.id("U"), name, real_name, email, home, is_bot=is_bot, stranger=stranger)
        self.users[user.id] = user
        return user

    def add_channel(
        self, name: str, creator: str, *, is_private: bool = False, is_im: bool = False, members: tuple[str, ...] = ()
    ) -> Channel:
        """A new conversation; the creator is in it."""
        letter = "D" if is_im else "C"
        channel = Channel(
            self.id(letter), name, creator, int(self.clock()), is_private=is_private or is_im, is_im=is_im
        )
        channel.members = list(dict.fromkeys((creator, *members)))
        self.channels[channel.id] = channel
        return channel

    def direct(self, user: str) -> Channel:
        """The direct messages between the bot and somebody."""
        for channel in self.channels.values():
            if channel.is_im and user in channel.members:
                return channel
        return self.add_channel("", self.bot_user_id, is_im=True, members=(user,))

    def named(self, name: str) -> Channel | None:
        """A channel by name, archived ones too: their names stay taken."""
        wanted = name.removeprefix("#")
        return next((each for each in self.channels.values() if each.name == wanted and not each.is_im), None)

    def install(self, manifest: dict[str, Any]) -> None:
        """The app from now on has the scopes, events, commands and shortcuts of this manifest, and no others.

        Raises:
            BadManifest: Slack would not take it.
        """
        self.installed = read(manifest)
        self.scopes, self.subscriptions = set(self.installed.scopes), set(self.installed.events)
        self.users[self.bot_user_id].real_name = self.installed.name

    def typed(self, text: str) -> str:
        """What somebody typed, as Slack passes it on."""
        users = {each.name: each.id for each in self.users.values()}
        channels = {each.name: each.id for each in self.channels.values() if each.name and not each.is_private}
        return typed(text, users, channels)

    def channel(self, given: str) -> Channel:
        """A channel that the bot can know of.

        Raises:
            Refused: ``channel_not_found``.
        """
        found = self.channels.get(given)
        if found is None or (found.is_private and self.bot_user_id not in found.members):
            raise Refused("channel_not_found")
        return found

    def user(self, given: str) -> User:
        """Somebody by id.

        Raises:
            Refused: ``user_not_found``.
        """
        if given not in self.users:
            raise Refused("user_not_found")
        return self.users[given]

    def replies(self, message: Message) -> list[Message]:
        """The replies in a message's thread that stand, oldest first."""
        channel = self.channels[message.channel]
        return [each for each in channel.standing() if each.thread_ts == message.ts and each.ts != message.ts]

    def trigger(self, user: str, view: str | None = None) -> str:
        """A new trigger id for what this user just did."""
        made = f"{next(self._numbers)}.{int(self.clock() * 1000)}.{secrets.token_hex(16)}"
        self.triggers[made] = Trigger(user, self.clock(), view)
        return made

    def views(self) -> Iterator[dict[str, Any]]:
        """Every view that is open, and every Home."""
        for stack in self.stacks.values():
            yield from stack
        for user in self.users.values():
            if user.home is not None:
                yield user.home
