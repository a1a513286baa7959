"""The Slack app as data: what it may do and why, in one table, and the manifest that a workspace is given."""

from dataclasses import dataclass
from typing import Any

from worker.slack import names

COMMAND = "/stanch"
EVENTS_PATH = "/slack/events"
BOT_EVENTS = ("app_home_opened", "reaction_added")
APP_SCOPE = "connections:write"


@dataclass(frozen=True)
class Scope:
    """One permission of the bot: ``why`` it is asked for, and what does not work ``without`` it."""

    name: str
    why: str
    without: str


SCOPES = (
    Scope("commands", "the command and the message shortcut", "nothing can be started or asked in Slack"),
    Scope("chat:write", "cards, notices and private answers", "nobody is asked or told anything in Slack"),
    Scope("channels:manage", "makes, names and archives public incident channels", "no public incident channels"),
    Scope("channels:read", "finds its channels and who is in them", "public channels are not found again"),
    Scope("channels:history", "finds its own message again after a failure", "a message may be posted twice"),
    Scope("groups:write", "makes, names and archives private incident channels", "no private incident channels"),
    Scope("groups:read", "finds its private channels", "private channels are not found again"),
    Scope("groups:history", "as channels:history, in private channels", "a message may be posted twice"),
    Scope("im:write", "writes to one person", "pages and private answers reach nobody outside of a channel"),
    Scope("im:history", "as channels:history, in direct messages", "a direct message may be sent twice"),
    Scope("users:read", "knows guests and strangers, and people's names", "strangers cannot be told apart"),
    Scope("users:read.email", "finds people by mail address to link them", "`stanch slack link --email` finds nobody"),
    Scope("pins:write", "pins the status card", "the status card is not pinned"),
    Scope("files:write", "drafts and the after-review as files", "drafts are not put into the channel"),
    Scope("reactions:read", "a reaction keeps a message as a note", "reactions keep nothing"),
)
"""Least there is: a scope without a reason here is not asked for."""

DESCRIPTION = "Incident response with people deciding: start playbooks, see what waits, approve or deny it."
LONG_DESCRIPTION = (
    "Stanch runs incident playbooks. Each incident has a channel with one card that always shows where it stands. "
    "What needs a person is asked there: what would be done, to what, who or what stops working, whether it can be "
    "taken back, and what happens if nobody answers. Only people whom Stanch knows can decide, and only in this "
    "workspace."
)


def manifest(*, name: str = "Stanch", url: str | None = None, exercise: bool = False) -> dict[str, Any]:
    """The app's manifest, for api.slack.com > Create New App > From a manifest.

    Args:
        name: What people see.
        url: Public base address of the server, for HTTP; without one Socket Mode is set up.
        exercise: Mark the app so that nobody takes it for the live one.
    """
    shown = f"{name} EXERCISE" if exercise else name
    request = f"{url.rstrip('/')}{EVENTS_PATH}" if url else None
    address = {"request_url": request} if request else {}
    return {
        "_metadata": {"major_version": 1, "minor_version": 1},
        "display_information": {
            "name": shown,
            "description": DESCRIPTION,
            "long_description": LONG_DESCRIPTION,
            "background_color": "#5b2a86" if exercise else "#1f2d3d",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": True,
            },
            "bot_user": {"display_name": shown.lower().replace(" ", "-"), "always_online": True},
            "shortcuts": [
                {
                    "name": "Start incident from this",
                    "type": "message",
                    "callback_id": names.START_FROM_MESSAGE,
                    "description": "Start an incident; the message is kept as evidence",
                }
            ],
            "slash_commands": [
                {
                    "command": COMMAND,
                    "description": "Start, look at and steer incidents",
                    "usage_hint": "help | start | list | status | mine | note TEXT | hold status",
                    "should_escape": True,
                    **({"url": request} if request else {}),
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": [scope.name for scope in SCOPES]}},
        "settings": {
            "event_subscriptions": {**address, "bot_events": list(BOT_EVENTS)},
            "interactivity": {"is_enabled": True, **address},
            "socket_mode_enabled": request is None,
            "org_deploy_enabled": False,
            "token_rotation_enabled": False,
        },
    }
