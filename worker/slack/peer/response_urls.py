"""Response URLs: five uses in thirty minutes (docs.slack.dev/interactivity/handling-user-interaction)."""

import json
import secrets
from typing import Any

from worker.slack.peer.limits import problems
from worker.slack.peer.messages import Message
from worker.slack.peer.methods_chat import put, refuse_invalid
from worker.slack.peer.state import Channel, Hook, Refused, Workspace

USES = 5
SLACKBOT = "USLACKBOT"
SECONDS = 1800.0


def hook(state: Workspace, url: str, channel: str, user: str, message: Message | None = None) -> str:
    """A new response URL for what a user did in a channel, with a message or not."""
    name = secrets.token_urlsafe(16)
    state.hooks[name] = Hook(channel, user, state.clock())
    if message is not None:
        state.hooks[name] = Hook(
            channel, user, state.clock(), message.ts, message.seen_by is not None, message.thread_ts
        )
    return f"{url}/response/{name}"


def respond(state: Workspace, name: str, given: dict[str, Any]) -> None:
    """Carry out what the app sent to a response URL.

    Raises:
        Refused: ``used_url``, ``expired_url``, ``no_text`` or ``invalid_blocks``.
    """
    found = state.hooks.get(name)
    if found is None or found.uses >= USES:
        raise Refused("used_url")
    if state.clock() - found.at > SECONDS:
        raise Refused("expired_url")
    channel = state.channels[found.channel]
    old = _old(channel, found)
    if given.get("delete_original"):
        found.uses += 1
        if old is not None:
            old.deleted = True
        return
    text, blocks = str(given.get("text") or ""), given.get("blocks") or []
    if isinstance(blocks, str):
        blocks = json.loads(blocks)
    if not text and not blocks:
        raise Refused("no_text")
    refuse_invalid(problems(blocks))
    found.uses += 1
    if given.get("replace_original") and old is not None:
        old.say(text, blocks, state.clock())
        if not found.ephemeral:
            old.edited = {"user": state.bot_user_id, "ts": state.ts()}
        return
    show(state, channel, found.user, given | {"blocks": blocks}, thread=found.thread_ts)


def show(
    state: Workspace, channel: Channel, user: str, given: dict[str, Any], thread: str | None = None, by: str = ""
) -> Message:
    """What the app, or Slackbot, answered, to its user alone unless it says ``in_channel``."""
    private = given.get("response_type", "ephemeral") != "in_channel"
    text, blocks = str(given.get("text") or ""), given.get("blocks") or []
    thread = str(given["thread_ts"]) if given.get("thread_ts") else thread
    message = put(state, channel, text, blocks, seen_by=user if private else None, thread_ts=thread)
    if by:
        message.user, message.bot_id, message.app_id = by, "", ""
    return message


def _old(channel: Channel, found: Hook) -> Message | None:
    if found.ts is None:
        return None
    if found.ephemeral:
        return next((each for each in channel.ephemerals if each.ts == found.ts), None)
    return channel.message(found.ts)
