"""``chat.*``: messages (docs.slack.dev/reference/methods/chat.postMessage and its neighbours)."""

import json
import re
from typing import Any

from worker.slack.peer.calls import Call, Json, method
from worker.slack.peer.limits import TOO_LONG, problems
from worker.slack.peer.messages import Message
from worker.slack.peer.state import Channel, Refused, Workspace

TEXT_KEPT = 40_000
UPDATE_TEXT = 4_000
METADATA_BYTES = 8_000


def blocks_of(call: Call) -> list[Json]:
    """The blocks given, valid for a message.

    Raises:
        Refused: ``invalid_blocks_format`` or ``invalid_blocks``.
    """
    blocks = call.json("blocks", "invalid_blocks_format")
    if blocks is None:
        return []
    if not isinstance(blocks, list):
        raise Refused("invalid_blocks_format")
    refuse_invalid(problems(blocks))
    return blocks


def refuse_invalid(found: list[str]) -> None:
    """Raises: Refused: ``invalid_blocks`` or ``msg_blocks_too_long``, if there is any problem."""
    if len(found) == 1 and found[0].startswith(TOO_LONG):
        raise Refused("msg_blocks_too_long")
    if found:
        raise Refused("invalid_blocks", *found, errors=found)


def metadata_of(call: Call) -> Json | None:
    """The metadata given (docs.slack.dev/messaging/message-metadata).

    Raises:
        Refused: ``invalid_metadata_format``, ``invalid_metadata_schema`` or ``metadata_too_large``.
    """
    given = call.json("metadata", "invalid_metadata_format")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise Refused("invalid_metadata_format")
    if not isinstance(given.get("event_type"), str) or not isinstance(given.get("event_payload"), dict):
        raise Refused("invalid_metadata_schema")
    if len(json.dumps(given)) > METADATA_BYTES:
        raise Refused("metadata_too_large")
    return given


def into(call: Call) -> Channel:
    """Where to post: a channel's id or name, or a user's id for direct messages; raises ``Refused``."""
    state, given = call.state, call.required("channel")
    if given in state.users:
        if state.users[given].is_bot or state.users[given].deleted:
            raise Refused("channel_not_found")
        return state.direct(given)
    named = state.named(given)
    channel = state.channel(named.id if named and given not in state.channels else given)
    if channel.archived:
        raise Refused("is_archived")
    if state.bot_user_id not in channel.members and "chat:write.public" not in state.scopes:
        raise Refused("not_in_channel")
    return channel


def put(state: Workspace, channel: Channel, text: str, blocks: list[Json], **more: Any) -> Message:
    """A new message of the app's; ``more`` are fields of ``Message``."""
    message = Message(channel.id, state.ts(), state.bot_user_id, "", bot_id=state.bot_id, app_id=state.app_id, **more)
    message.say(text[:TEXT_KEPT], blocks, state.clock())
    if message.seen_by:
        channel.ephemerals.append(message)
    else:
        channel.messages[message.ts] = message
    return message


def thread_of(call: Call, channel: Channel) -> str | None:
    """The thread asked for.

    Raises:
        Refused: ``invalid_thread_ts`` or ``thread_not_found``.
    """
    ts = call.text("thread_ts")
    if not ts:
        return None
    if not re.fullmatch(r"\d+\.\d{6}", ts):
        raise Refused("invalid_thread_ts", f"{ts} is not a valid thread_ts")
    parent = channel.message(ts)
    if parent is None:
        raise Refused("thread_not_found")
    return parent.thread_ts or ts


def _said(call: Call) -> tuple[str, list[Json]]:
    text, blocks = call.text("text"), blocks_of(call)
    if not text and not blocks and not call.given.get("attachments"):
        raise Refused("no_text")
    return text, blocks


@method("chat.postMessage", "chat:write", tier=4)
def post_message(call: Call) -> Json:
    """A message in a channel, a thread or a direct conversation."""
    channel = into(call)
    text, blocks = _said(call)
    metadata, thread = metadata_of(call), thread_of(call, channel)
    message = put(
        call.state,
        channel,
        text,
        blocks,
        thread_ts=thread,
        metadata=metadata,
        broadcast=call.flag("reply_broadcast"),
        unfurl_links=call.text("unfurl_links", "true").lower() not in ("false", "0"),
    )
    return {"channel": channel.id, "ts": message.ts, "message": call.show(message, metadata=True)}


@method("chat.update", "chat:write", tier=3)
def update(call: Call) -> Json:
    """Other content for a message of the app's own."""
    channel = call.channel()
    message = call.message(channel, "ts")
    if message.bot_id != call.state.bot_id:
        raise Refused("cant_update_message")
    if channel.archived:
        raise Refused("is_inactive")
    text = call.text("text")
    if len(text) > UPDATE_TEXT:
        raise Refused("msg_too_long")
    blocks, metadata = blocks_of(call), metadata_of(call)
    if not text and not blocks and not call.given.get("attachments"):
        raise Refused("no_text")
    # Blocks that are not given stay, and hide the new text; an empty list takes them away.
    kept = call.given.get("blocks") is None
    message.say(text, message.blocks if kept else blocks, call.state.clock())
    message.edited = {"user": call.state.bot_user_id, "ts": call.state.ts()}
    if metadata is not None:
        message.metadata = metadata
    return {"channel": channel.id, "ts": message.ts, "text": text, "message": call.show(message, metadata=True)}


@method("chat.delete", "chat:write", tier=3)
def delete(call: Call) -> Json:
    """A message of the app's own, away."""
    channel = call.channel()
    message = call.message(channel, "ts")
    if message.bot_id != call.state.bot_id:
        raise Refused("cant_delete_message")
    message.deleted = True
    channel.pins[:] = [pin for pin in channel.pins if pin["ts"] != message.ts]
    return {"channel": channel.id, "ts": message.ts}


@method("chat.postEphemeral", "chat:write", tier=4)
def post_ephemeral(call: Call) -> Json:
    """A message that one member sees, and nobody keeps."""
    channel, user = into(call), call.required("user")
    if user not in channel.members:
        raise Refused("user_not_in_channel")
    text, blocks = _said(call)
    thread = thread_of(call, channel)
    message = put(call.state, channel, text, blocks, seen_by=user, thread_ts=thread)
    return {"message_ts": message.ts}


@method("chat.getPermalink", tier=4)
def permalink(call: Call) -> Json:
    """The address of a message."""
    channel = call.channel()
    message = call.message(channel, "message_ts")
    url = f"https://{call.state.domain}.slack.com/archives/{channel.id}/p{message.ts.replace('.', '')}"
    if message.thread_ts:
        url += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": url}
