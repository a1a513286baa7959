"""What Slack sends when somebody does something (docs.slack.dev/reference/interaction-payloads)."""

import copy
import secrets
from typing import Any

from worker.slack.peer.inputs import values
from worker.slack.peer.messages import Message, message_json
from worker.slack.peer.response_urls import hook
from worker.slack.peer.state import Channel, User, Workspace

Json = dict[str, Any]
TOKEN = "retired-verification-token"


def channel_name(channel: Channel) -> str:
    """As payloads name it: Slack does not tell the names of private conversations."""
    if channel.is_im:
        return "directmessage"
    return "privategroup" if channel.is_private else channel.name


def _who(state: Workspace, user: User, team: str) -> Json:
    return {
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": team},
        "team": {"id": team, "domain": state.domain if team == state.team_id else "elsewhere"},
        "api_app_id": state.app_id,
        "token": TOKEN,
        "enterprise": None,
        "is_enterprise_install": False,
    }


def slash_command(state: Workspace, url: str, user: User, team: str, channel: Channel, command: str, text: str) -> Json:
    """docs.slack.dev/interactivity/implementing-slash-commands."""
    return {
        "token": TOKEN,
        "team_id": team,
        "team_domain": state.domain if team == state.team_id else "elsewhere",
        "channel_id": channel.id,
        "channel_name": channel_name(channel),
        "user_id": user.id,
        "user_name": user.name,
        "command": command,
        "text": text,
        "api_app_id": state.app_id,
        "is_enterprise_install": "false",
        "response_url": hook(state, url, channel.id, user.id),
        "trigger_id": state.trigger(user.id),
    }


def action_of(state: Workspace, block: Json, element: Json, chosen: Json) -> Json:
    """One entry of ``actions``; ``chosen`` is what an element that is no button now holds."""
    action: Json = {"type": element["type"], "action_id": element["action_id"], "block_id": block["block_id"]}
    for name in ("text", "value", "style", "confirm", "url", "placeholder"):
        if name in element:
            action[name] = copy.deepcopy(element[name])
    return action | chosen | {"action_ts": state.ts()}


def message_action(
    state: Workspace, url: str, user: User, team: str, channel: Channel, message: Message, action: Json, blocks: Json
) -> Json:
    """A ``block_actions`` payload from a message; ``blocks`` are those that the user's screen shows."""
    container: Json = {"type": "message", "message_ts": message.ts, "channel_id": channel.id}
    container["is_ephemeral"] = message.seen_by is not None
    if message.forwarded:
        container |= {"type": "message_attachment", "attachment_id": 1, "is_app_unfurl": False}
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    payload = {"type": "block_actions", **_who(state, user, team), "container": container}
    payload |= {
        "trigger_id": state.trigger(user.id),
        "channel": {"id": channel.id, "name": channel_name(channel)},
        "state": {"values": values(blocks["blocks"], {})},
        "response_url": hook(state, url, channel.id, user.id, message),
        "actions": [action],
    }
    if message.seen_by is None:
        payload["message"] = message_json(message, state.team_id, replies=state.replies(message)) | blocks
    return payload


def view_action(state: Workspace, user: User, team: str, view: Json, action: Json) -> Json:
    """A ``block_actions`` payload from a modal or the Home."""
    return {
        "type": "block_actions",
        **_who(state, user, team),
        "container": {"type": "view", "view_id": view["id"]},
        "trigger_id": state.trigger(user.id, view["id"]),
        "view": copy.deepcopy(view),
        "actions": [action],
    }


def view_submission(state: Workspace, user: User, team: str, view: Json) -> Json:
    """docs.slack.dev/reference/interaction-payloads/view-interactions-payload."""
    return {
        "type": "view_submission",
        **_who(state, user, team),
        "trigger_id": state.trigger(user.id, view["id"]),
        "view": copy.deepcopy(view),
        "response_urls": [],
    }


def view_closed(state: Workspace, user: User, team: str, view: Json, *, cleared: bool) -> Json:
    """A modal closed by its user."""
    return {
        "type": "view_closed",
        **_who(state, user, team),
        "view": copy.deepcopy(view),
        "is_cleared": cleared,
    }


def shortcut(state: Workspace, user: User, team: str, callback_id: str) -> Json:
    """A global shortcut."""
    return {
        "type": "shortcut",
        **_who(state, user, team),
        "callback_id": callback_id,
        "trigger_id": state.trigger(user.id),
        "action_ts": state.ts(),
    }


def message_shortcut(
    state: Workspace, url: str, user: User, team: str, callback_id: str, channel: Channel, message: Message
) -> Json:
    """A shortcut from the menu of a message."""
    return {
        "type": "message_action",
        **_who(state, user, team),
        "callback_id": callback_id,
        "trigger_id": state.trigger(user.id),
        "action_ts": state.ts(),
        "message_ts": message.ts,
        "channel": {"id": channel.id, "name": channel_name(channel)},
        "message": message_json(message, state.team_id, replies=state.replies(message)),
        "response_url": hook(state, url, channel.id, user.id, message),
    }


def event(state: Workspace, inner: Json) -> Json:
    """The envelope of an event (docs.slack.dev/apis/events-api/#callback-field)."""
    return {
        "token": TOKEN,
        "team_id": state.team_id,
        "api_app_id": state.app_id,
        "type": "event_callback",
        "event_id": f"Ev{secrets.token_hex(5).upper()}",
        "event_time": int(state.clock()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": state.team_id,
                "user_id": state.bot_user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event": {**inner, "event_ts": state.ts()},
    }
