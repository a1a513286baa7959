"""Slack around a house: a simulated workspace, its people, the door, and a board of cards that stands in a channel."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from worker.settings_slack import SlackSettings
from worker.slack import names
from worker.slack.blocks import Message, actions, button, message, paragraph
from worker.slack.door import SlackDoor
from worker.slack.peer.driver import Person
from worker.slack.peer.screen import said
from worker.slack.peer.server import SlackPeer
from worker.store import Store

SECRETS = {"secret:env/BOT": "bot_token", "secret:env/APP": "app_token", "secret:env/SIGNING": "signing_secret"}


@dataclass(frozen=True)
class Card:
    """A question as it was shown."""

    incident: str
    run: str
    step: str
    round: int
    digest: str
    kind: str
    channel: str
    message_key: str


@dataclass
class Board:
    """The outgoing half as this door needs it: cards by id, where they stand, whose channel it is."""

    cards: dict[str, Card] = field(default_factory=dict)
    places: dict[str, tuple[str, str]] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)
    poked: list[str] = field(default_factory=list)
    told: dict[str, Message] = field(default_factory=dict)

    def card(self, id_: str) -> Card | None:
        """The question behind a button."""
        return self.cards.get(id_)

    def stands(self, message_key: str) -> tuple[str, str] | None:
        """Where it was posted."""
        return self.places.get(message_key)

    def incident_in(self, channel: str) -> str | None:
        """Whose channel it is."""
        return self.channels.get(channel)

    def poke(self, incident: str) -> None:
        """Remember that something changed."""
        self.poked.append(incident)

    def say(self, key: str, incident: str, message: Message) -> None:
        """Remember what everybody is told."""
        self.told[key] = message

    def want_dm(self, key: str, person: str, message: Message, *, incident: str = "") -> bool:
        """Remember what one person is told."""
        self.told[key] = message
        return True

    async def keep_showing(self) -> None:
        """Nothing by itself: a test shows its own cards."""
        await asyncio.Event().wait()


@dataclass
class Slack:
    """A workspace with the house's people in one channel."""

    peer: SlackPeer
    house: Any
    board: Board
    channel: str
    users: dict[str, str]
    web: AsyncWebClient
    door: SlackDoor | None = None

    def person(self, name: str) -> Person:
        """Somebody at their client."""
        return Person(self.peer, self.users[name])

    def link(self, name: str, roles: tuple[str, ...]) -> Person:
        """A further person, known to the desk."""
        user = self.peer.add_user(name, name.title(), f"{name}@acme.example")
        self.peer.do(lambda: self.peer.state.channels[self.channel].members.append(user))
        self.users[name] = user
        self.house.desk.people.add(name, roles, [("slack", self.peer.team_id, user)])
        return self.person(name)

    async def show(self, incident: str, entry: dict[str, Any]) -> str:
        """Post a waiting question as a card; its timestamp."""
        id_ = f"card{len(self.board.cards)}"
        key = f"{incident}:gate:{entry['run']}:{entry['step']}:{entry['round']}"
        self.board.cards[id_] = Card(
            incident,
            entry["run"],
            entry["step"],
            entry["round"],
            entry["digest"],
            entry["kind"],
            self.channel,
            key,
        )
        if entry["kind"] in ("review", "ask"):
            row = [button("Answer…", names.DECIDE_FORM, id_)]
        else:
            row = [button(each, names.decide(each), id_) for each in entry["verdicts"]]
        shown = message(str(entry["question"]), [paragraph([str(entry["question"])]), actions(*row)])
        posted = await self.web.chat_postMessage(channel=self.channel, text=shown.text, blocks=list(shown.blocks))
        self.board.places[key] = (self.channel, str(posted["ts"]))
        return str(posted["ts"])

    async def waiting(self, incident: str, step: str) -> dict[str, Any]:
        """What waits at a step."""
        return dict(await self.house.card(incident, step))

    async def told(self, name: str, text: str, seconds: float = 10.0) -> dict[str, Any]:
        """What somebody is told privately in the channel."""
        return await self.person(name).until_sees(self.channel, text, seconds)

    def private(self, name: str) -> list[str]:
        """Everything that only this person sees in the channel."""
        user = self.users[name]
        here = self.peer.state.channels[self.channel].ephemerals
        return [said({"text": each.text, "blocks": each.blocks}) for each in here if each.seen_by == user]


class Relay:
    """The way to a server, which can be cut and mended."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target, self.address = (host, int(port)), ""
        self._open, self._ways = True, set[asyncio.StreamWriter]()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Relay"]:
        """Pass everything on while the block runs."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.address = "127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        try:
            yield self
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        """Nothing comes through any more."""
        self._open = False
        for way in list(self._ways):
            way.transport.abort()

    def mend(self) -> None:
        """New connections come through."""
        self._open = True

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(*self._target)
        self._ways |= {writer, back}
        with contextlib.suppress(OSError):
            await asyncio.gather(_pour(reader, back), _pour(there, writer))
        self._ways -= {writer, back}


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


def settings(peer: SlackPeer, *, socket: bool = True, http: bool = False) -> SlackSettings:
    """The door's settings for a simulated workspace."""
    return SlackSettings(
        bot_token="secret:env/BOT",
        app_token="secret:env/APP" if socket else None,
        signing_secret="secret:env/SIGNING" if http else None,
        workspace=peer.team_id,
        endpoint=peer.api_url,
    )


def door_of(slack: Slack, **ways: bool) -> SlackDoor:
    """A door onto the house."""
    return SlackDoor(
        settings(slack.peer, **ways),
        lambda reference: str(getattr(slack.peer, SECRETS[reference])),
        slack.house.desk,
        lambda _: slack.board,
    )


@contextlib.asynccontextmanager
async def around(peer: SlackPeer, house: Any, **ways: bool) -> AsyncIterator[Slack]:
    """A door that is open, with people linked and in a channel."""
    users = {name: peer.add_user(name, name.title(), f"{name}@acme.example") for name in house.tokens}
    channel = peer.add_channel(f"inc-{len(peer.state.channels)}", tuple(users.values()))
    for person in house.desk.people.list():
        house.desk.people.add(person["name"], tuple(person["roles"]), [("slack", peer.team_id, users[person["name"]])])
    web = AsyncWebClient(token=peer.bot_token, base_url=peer.api_url)
    slack = Slack(peer, house, Board(), channel, users, web)
    slack.door = door_of(slack, **ways)
    async with slack.door.opened():
        await healthy(slack.door)
        yield slack


async def healthy(door: SlackDoor, seconds: float = 10.0) -> None:
    """Wait until the door hears and says."""
    for _ in range(int(seconds / 0.01)):
        if door.health()["ok"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(door.health())


def refusals(store: Store, incident: str) -> list[tuple[str, str]]:
    """Who was refused with which code, as the journal has it."""
    return [
        (entry["actor"], entry["body"]["code"])
        for entry in store.journal.entries(incident)
        if entry["kind"] == "decision.refused"
    ]
