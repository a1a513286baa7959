"""``conversations.*``: channels, who is in them, what was said (docs.slack.dev/reference/methods)."""

import re

from worker.slack.peer.calls import Call, Json, method
from worker.slack.peer.messages import Message
from worker.slack.peer.state import Channel, Refused

NAME_CHARACTERS = 80
TOPIC_CHARACTERS = 250
INVITED_AT_ONCE = 1000


def channel_json(call: Call, channel: Channel) -> Json:
    """A channel as the app sees it."""
    if channel.is_im:
        other = next((each for each in channel.members if each != call.state.bot_user_id), "")
        return {"id": channel.id, "created": channel.created, "is_im": True, "user": other, "is_archived": False}
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "created": channel.created,
        "creator": channel.creator,
        "is_channel": not channel.is_private,
        "is_group": channel.is_private,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "is_archived": channel.archived,
        "is_general": channel.name == "general",
        "is_member": call.state.bot_user_id in channel.members,
        "is_shared": channel.shared,
        "is_ext_shared": channel.shared,
        "is_org_shared": False,
        "context_team_id": call.state.team_id,
        "topic": {"value": channel.topic, "creator": channel.creator, "last_set": channel.created},
        "purpose": {"value": channel.purpose, "creator": channel.creator, "last_set": channel.created},
        "num_members": len(channel.members),
    }


@method("conversations.create", tier=2)
def create(call: Call) -> Json:
    """A new channel. Names: at most 80 lower-case letters, digits, hyphens, underscores; not only punctuation."""
    private = call.flag("is_private")
    call.need("groups:write" if private else "channels:manage")
    name = call.text("name")
    if not name:
        raise Refused("invalid_name_required")
    if len(name) > NAME_CHARACTERS:
        raise Refused("invalid_name_maxlength")
    if name != name.lower() or not re.fullmatch(r"[^\W]*[\w-]*", name) or re.search(r"[^\w-]", name):
        raise Refused("invalid_name_specials")
    if not re.search(r"[^\W_]", name):
        raise Refused("invalid_name_punctuation")
    if call.state.named(name) is not None:
        raise Refused("name_taken")
    made = call.state.add_channel(name, call.state.bot_user_id, is_private=private)
    return {"channel": channel_json(call, made)}


@method("conversations.invite", tier=3)
def invite(call: Call) -> Json:
    """People into a channel; with ``force`` those who can be invited come in although others cannot."""
    channel = call.channel()
    call.need_for(channel, "channels:manage", "groups:write")
    if channel.is_im:
        raise Refused("method_not_supported_for_channel_type")
    call.member_of(channel)
    if channel.archived:
        raise Refused("is_archived")
    users = [each for each in re.split(r"[,\s]+", call.text("users")) if each]
    if not users:
        raise Refused("no_user")
    if len(users) > INVITED_AT_ONCE:
        raise Refused("invalid_arguments", f"no more than {INVITED_AT_ONCE} users")
    wrong = [{"user": user, "ok": False, "error": error} for user in users if (error := _barred(call, channel, user))]
    good = [user for user in users if user not in {each["user"] for each in wrong}]
    if wrong and not (call.flag("force") and good):
        raise Refused(str(wrong[0]["error"]), errors=wrong)
    channel.members.extend(good)
    return {"channel": channel_json(call, channel)} | ({"errors": wrong} if wrong else {})


def _barred(call: Call, channel: Channel, user: str) -> str:
    found = call.state.users.get(user)
    if found is None:
        return "user_not_found"
    if user == call.state.bot_user_id:
        return "cant_invite_self"
    if user in channel.members:
        return "already_in_channel"
    if found.deleted or (found.stranger and not channel.shared):
        return "cant_invite"
    return ""


@method("conversations.join", "channels:join", tier=3)
def join(call: Call) -> Json:
    """The app into a public channel."""
    channel = call.channel()
    if channel.is_private:
        raise Refused("method_not_supported_for_channel_type")
    if channel.archived:
        raise Refused("is_archived")
    if call.state.bot_user_id in channel.members:
        return {"channel": channel_json(call, channel), "warning": "already_in_channel"}
    channel.members.append(call.state.bot_user_id)
    return {"channel": channel_json(call, channel)}


def _writable(call: Call) -> Channel:
    channel = call.channel()
    call.need_for(channel, "channels:manage", "groups:write")
    call.member_of(channel)
    if channel.archived:
        raise Refused("is_archived")
    return channel


@method("conversations.setTopic", tier=2)
def set_topic(call: Call) -> Json:
    """The line under a channel's name."""
    channel = _writable(call)
    topic = call.text("topic")
    if len(topic) > TOPIC_CHARACTERS:
        raise Refused("too_long")
    channel.topic = topic
    return {"channel": channel_json(call, channel)}


@method("conversations.setPurpose", tier=2)
def set_purpose(call: Call) -> Json:
    """What a channel is for."""
    channel = _writable(call)
    purpose = call.text("purpose")
    if len(purpose) > TOPIC_CHARACTERS:
        raise Refused("too_long")
    channel.purpose = purpose
    return {"purpose": purpose, "channel": channel_json(call, channel)}


@method("conversations.archive", tier=2)
def archive(call: Call) -> Json:
    """No more in a channel."""
    channel = call.channel()
    call.need_for(channel, "channels:manage", "groups:write")
    if channel.archived:
        raise Refused("already_archived")
    if channel.name == "general":
        raise Refused("cant_archive_general")
    call.member_of(channel)
    channel.archived = True
    return {}


@method("conversations.unarchive", tier=2)
def unarchive(call: Call) -> Json:
    """A channel back again."""
    channel = call.channel()
    call.need_for(channel, "channels:manage", "groups:write")
    if not channel.archived:
        raise Refused("not_archived")
    channel.archived = False
    return {}


@method("conversations.info", tier=3)
def info(call: Call) -> Json:
    """One channel."""
    channel = call.channel()
    call.need_for(channel, "channels:read", "groups:read")
    return {"channel": channel_json(call, channel)}


@method("conversations.list", tier=2)
def list_(call: Call) -> Json:
    """Channels that the app can know of, by type."""
    types = [each.strip() for each in call.text("types", "public_channel").split(",")]
    scopes = {"public_channel": "channels:read", "private_channel": "groups:read", "im": "im:read", "mpim": "mpim:read"}
    for each in types:
        if each not in scopes:
            raise Refused("invalid_types")
        call.need(scopes[each])
    found = [
        channel
        for channel in call.state.channels.values()
        if _type(channel) in types
        and (not channel.is_private or call.state.bot_user_id in channel.members)
        and not (call.flag("exclude_archived") and channel.archived)
    ]
    page, cursor = call.page(found)
    return {
        "channels": [channel_json(call, each) for each in page],
        "response_metadata": {"next_cursor": cursor},
    }


def _type(channel: Channel) -> str:
    if channel.is_im:
        return "im"
    return "private_channel" if channel.is_private else "public_channel"


@method("conversations.members", tier=4)
def members(call: Call) -> Json:
    """Who is in a channel."""
    channel = call.channel()
    call.need_for(channel, "channels:read", "groups:read")
    page, cursor = call.page(channel.members)
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


@method("conversations.open", "im:write", tier=3)
def open_(call: Call) -> Json:
    """Direct messages with one person."""
    users = [each for each in call.text("users").split(",") if each]
    if call.text("channel"):
        return {"channel": {"id": call.channel().id}}
    if not users:
        raise Refused("users_list_not_supplied")
    if len(users) > 1:
        call.need("mpim:write")
    user = call.state.user(users[0])
    if user.deleted:
        raise Refused("user_disabled")
    if user.is_bot:
        raise Refused("cannot_dm_bot")
    return {"channel": channel_json(call, call.state.direct(user.id))}


def _page(call: Call, channel: Channel, found: list[Message]) -> Json:
    oldest, latest = call.text("oldest"), call.text("latest")
    edges = call.flag("inclusive")
    kept = [
        each
        for each in found
        if (not oldest or float(each.ts) > float(oldest) or (edges and each.ts == oldest))
        and (not latest or float(each.ts) < float(latest) or (edges and each.ts == latest))
    ]
    page, cursor = call.page(kept)
    metadata = call.flag("include_all_metadata")
    given: Json = {"messages": [call.show(each, metadata=metadata) for each in page], "has_more": bool(cursor)}
    if cursor:
        given["response_metadata"] = {"next_cursor": cursor}
    return given


@method("conversations.history", tier=3)
def history(call: Call) -> Json:
    """Messages of a channel, newest first, without those that stand only in threads."""
    channel = call.channel()
    call.need_for(channel, "channels:history", "groups:history")
    call.member_of(channel)
    found = [each for each in channel.standing() if not each.thread_ts or each.thread_ts == each.ts or each.broadcast]
    return _page(call, channel, found[::-1])


@method("conversations.replies", tier=3)
def replies(call: Call) -> Json:
    """A thread: its parent, then the replies, oldest first."""
    channel = call.channel()
    call.need_for(channel, "channels:history", "groups:history")
    call.member_of(channel)
    parent = channel.message(call.required("ts"))
    if parent is None:
        raise Refused("thread_not_found")
    return _page(call, channel, [parent, *call.state.replies(parent)])
