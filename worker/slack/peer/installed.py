"""The app as its manifest declares it (docs.slack.dev/reference/app-manifest): what it may do, what people can call.

A workspace without a manifest lets the app do everything that a method here may need.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EVENT_SCOPES = {
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
    "member_joined_channel": "channels:read",
    "app_mention": "app_mentions:read",
}


class BadManifest(Exception):
    """Slack would not take this manifest; says where and why."""


@dataclass(frozen=True)
class Installed:
    """What a manifest declares; ``None`` stands for anything.

    Attributes:
        commands: Slash commands, each with whether names and links in its text are escaped.
        shortcuts: (callback id, ``message`` or ``global``).
        home: Whether there is an App Home.
    """

    scopes: frozenset[str]
    events: frozenset[str]
    commands: Mapping[str, bool] | None = None
    shortcuts: frozenset[tuple[str, str]] | None = None
    home: bool = True
    name: str = "Stanch"


def read(manifest: Mapping[str, Any]) -> Installed:
    """A manifest, read and checked.

    Raises:
        BadManifest: Slack would refuse it.
    """
    features, settings = manifest.get("features", {}), manifest.get("settings", {})
    name = str(manifest.get("display_information", {}).get("name", ""))
    if not 1 <= len(name) <= 35:
        raise BadManifest("display_information.name: 1 to 35 characters")
    scopes = frozenset(manifest.get("oauth_config", {}).get("scopes", {}).get("bot", ()))
    events = frozenset(settings.get("event_subscriptions", {}).get("bot_events", ()))
    for event in sorted(events):
        if event in EVENT_SCOPES and EVENT_SCOPES[event] not in scopes:
            raise BadManifest(f"settings.event_subscriptions: {event} needs the scope {EVENT_SCOPES[event]}")
    commands = {each["command"]: bool(each.get("should_escape")) for each in features.get("slash_commands", ())}
    for command in commands:
        if not re.fullmatch(r"/[a-z0-9_-]{1,31}", command):
            raise BadManifest(f"features.slash_commands: {command} is no command")
    shortcuts = frozenset((each["callback_id"], each["type"]) for each in features.get("shortcuts", ()))
    if (commands or shortcuts) and "commands" not in scopes:
        raise BadManifest("features: commands and shortcuts need the scope commands")
    if not settings.get("interactivity", {}).get("is_enabled") and shortcuts:
        raise BadManifest("settings.interactivity: shortcuts need it")
    home = bool(features.get("app_home", {}).get("home_tab_enabled"))
    return Installed(scopes, events, commands, shortcuts, home, name)


def typed(text: str, users: Mapping[str, str], channels: Mapping[str, str]) -> str:
    """What somebody typed as Slack passes it on (docs.slack.dev/messaging/formatting-message-text).

    The three control characters are escaped, ``@name``, ``#name`` and addresses become ``<@U…|name>``, ``<#C…|name>``
    and ``<https://…>``; ``users`` and ``channels`` are ids by name. Mentions of everybody stay words: that is not how
    people make them.
    """
    given = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    def linked(match: re.Match[str]) -> str:
        sign, name = match.group(1), match.group(2)
        id_ = (users if sign == "@" else channels).get(name)
        return f"<{sign}{id_}|{name}>" if id_ else match.group(0)

    given = re.sub(r"(?<![\w&])([@#])([\w.-]*\w)", linked, given)
    return re.sub(r"https?://[^\s<>]+", lambda match: f"<{match.group(0)}>", given)
