"""Messages as Slack keeps and gives them (docs.slack.dev/reference/events/message)."""

import copy
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Rendering:
    """What a message said from some time on."""

    at: float
    text: str
    blocks: list[Json]


@dataclass
class Message:
    """A message, standing or deleted, with all it said before.

    Attributes:
        seen_by: For an ephemeral message, the one user who sees it.
        forwarded: (channel, ts) of the message that this is a copy of.
        renderings: Oldest first; the last is how it stands.
    """

    channel: str
    ts: str
    user: str
    text: str
    blocks: list[Json] = field(default_factory=list)
    bot_id: str = ""
    app_id: str = ""
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: Json | None = None
    edited: Json | None = None
    seen_by: str | None = None
    forwarded: tuple[str, str] | None = None
    subtype: str | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    files: list[Json] = field(default_factory=list)
    deleted: bool = False
    unfurl_links: bool = True
    renderings: list[Rendering] = field(default_factory=list)

    def say(self, text: str, blocks: list[Json], at: float) -> None:
        """New content; the old is kept."""
        self.text, self.blocks = text, with_ids(blocks)
        self.renderings.append(Rendering(at, text, self.blocks))


def with_ids(blocks: list[Json]) -> list[Json]:
    """A copy in which each block has a ``block_id`` and each element an ``action_id``, made up where missing."""
    given = copy.deepcopy(blocks)
    for block in given:
        block.setdefault("block_id", secrets.token_urlsafe(4))
        for element in elements(block):
            if element.get("type") not in ("image", "plain_text", "mrkdwn"):
                element.setdefault("action_id", secrets.token_urlsafe(4))
    return given


def elements(block: Json) -> Iterator[Json]:
    """Every element of a block that could be used, images and texts of a context too."""
    for name in ("accessory", "element"):
        if isinstance(block.get(name), dict):
            yield block[name]
    if block.get("type") in ("actions", "context"):
        yield from (each for each in block.get("elements", ()) if isinstance(each, dict))


def message_json(message: Message, team: str, *, metadata: bool = False, replies: list[Message] | None = None) -> Json:
    """A message as the Web API and payloads give it; ``replies`` are those of its thread."""
    given: Json = {"type": "message", "user": message.user, "text": message.text, "ts": message.ts, "team": team}
    if message.subtype:
        given["subtype"] = message.subtype
    if message.bot_id:
        given |= {
            "bot_id": message.bot_id,
            "app_id": message.app_id,
            "bot_profile": {
                "id": message.bot_id,
                "app_id": message.app_id,
                "name": "Stanch",
                "deleted": False,
                "team_id": team,
            },
        }
    if message.blocks:
        given["blocks"] = copy.deepcopy(message.blocks)
    if message.thread_ts:
        given["thread_ts"] = message.thread_ts
    if message.edited:
        given["edited"] = message.edited
    if message.reactions:
        given["reactions"] = reactions_json(message)
    if message.files:
        given["files"] = copy.deepcopy(message.files)
    if metadata and message.metadata:
        given["metadata"] = message.metadata
    if message.seen_by:
        given["is_ephemeral"] = True
    if replies:
        given |= {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users": list(dict.fromkeys(reply.user for reply in replies)),
            "reply_users_count": len({reply.user for reply in replies}),
            "latest_reply": replies[-1].ts,
        }
    return given


def reactions_json(message: Message) -> list[Json]:
    """Reactions as Slack lists them."""
    return [{"name": name, "users": users, "count": len(users)} for name, users in message.reactions.items() if users]
