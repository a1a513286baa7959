"""``pins.*``, ``bookmarks.*`` and ``reactions.*`` (docs.slack.dev/reference/methods/pins.add and its neighbours)."""

from worker.slack.peer.calls import Call, Json, method
from worker.slack.peer.messages import reactions_json
from worker.slack.peer.state import Refused

PINS = 100
BOOKMARKS = 100
REACTIONS = 50


@method("pins.add", "pins:write", tier=2)
def pins_add(call: Call) -> Json:
    """A message to the top."""
    channel = call.channel()
    call.member_of(channel)
    if channel.archived:
        raise Refused("is_archived")
    message = call.message(channel)
    if any(pin["ts"] == message.ts for pin in channel.pins):
        raise Refused("already_pinned")
    if len(channel.pins) >= PINS:
        raise Refused("too_many_pins")
    channel.pins.append({"ts": message.ts, "created": int(call.state.clock()), "created_by": call.state.bot_user_id})
    return {}


@method("pins.remove", "pins:write", tier=2)
def pins_remove(call: Call) -> Json:
    """No longer at the top."""
    channel = call.channel()
    message = call.message(channel)
    if all(pin["ts"] != message.ts for pin in channel.pins):
        raise Refused("no_pin")
    channel.pins[:] = [pin for pin in channel.pins if pin["ts"] != message.ts]
    return {}


@method("pins.list", "pins:read", tier=2)
def pins_list(call: Call) -> Json:
    """What is pinned in a channel."""
    channel = call.channel()
    items = [
        {"type": "message", "channel": channel.id, "message": call.show(message), **pin}
        for pin in channel.pins
        if (message := channel.message(pin["ts"])) is not None
    ]
    return {"items": items}


@method("bookmarks.add", "bookmarks:write", tier=2)
def bookmarks_add(call: Call) -> Json:
    """A link at the head of a channel."""
    channel = call.channel("channel_id")
    call.member_of(channel)
    if call.required("type") != "link":
        raise Refused("invalid_bookmark_type")
    link = call.text("link")
    if not link.startswith(("http://", "https://")):
        raise Refused("invalid_link")
    if len(channel.bookmarks) >= BOOKMARKS:
        raise Refused("too_many_bookmarks")
    bookmark: Json = {
        "id": call.state.id("Bk"),
        "channel_id": channel.id,
        "title": call.required("title"),
        "link": link,
        "emoji": call.text("emoji"),
        "type": "link",
        "date_created": int(call.state.clock()),
    }
    channel.bookmarks.append(bookmark)
    return {"bookmark": bookmark}


@method("bookmarks.list", "bookmarks:read", tier=3)
def bookmarks_list(call: Call) -> Json:
    """The links at the head of a channel."""
    return {"bookmarks": call.channel("channel_id").bookmarks}


@method("reactions.add", "reactions:write", tier=3)
def reactions_add(call: Call) -> Json:
    """An emoji on a message."""
    channel = call.channel()
    message, name = call.message(channel), call.required("name").strip(":")
    if channel.archived:
        raise Refused("is_archived")
    users = message.reactions.setdefault(name, [])
    if call.state.bot_user_id in users:
        raise Refused("already_reacted")
    if len(message.reactions) > REACTIONS:
        raise Refused("too_many_emoji")
    users.append(call.state.bot_user_id)
    return {}


@method("reactions.get", "reactions:read", tier=3)
def reactions_get(call: Call) -> Json:
    """The reactions to a message."""
    channel = call.channel()
    message = call.message(channel)
    shown = call.show(message) | {"reactions": reactions_json(message)}
    return {"type": "message", "channel": channel.id, "message": shown}
