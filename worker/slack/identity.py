"""Who somebody in Slack is: a person whom the desk knows by team and user id, or nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.desk.decisions import Actor
from worker.store import Store
from worker.store.people import Person

DOOR = "slack"


@dataclass(frozen=True)
class Origin:
    """Where something comes from, as Slack says. ``home`` is the user's own workspace where Slack tells it."""

    team: str
    user: str
    home: str = ""
    enterprise: bool = False


def origin(body: Mapping[str, Any]) -> Origin:
    """Where a payload of any kind comes from: a click, a form, a command, an event."""
    event = _part(body, "event")
    user, team = _part(body, "user"), _part(body, "team")
    return Origin(
        team=_text(team.get("id")) or _text(body.get("team_id")) or _text(body.get("team")),
        user=_text(user.get("id")) or _text(body.get("user_id")) or _text(event.get("user")),
        home=_text(user.get("team_id")) or _text(event.get("user_team")) or _text(event.get("source_team")),
        enterprise=bool(body.get("is_enterprise_install") in (True, "true")),
    )


def whereabouts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Who did something, and where, as it is answered: ``user team channel ts thread response_url``."""
    found = origin(body)
    container, channel = body.get("container") or {}, body.get("channel")
    within = channel.get("id") if isinstance(channel, Mapping) else body.get("channel_id")
    message = body.get("message") or {}
    return {
        "user": found.user,
        "team": found.team,
        "channel": str(container.get("channel_id") or within or ""),
        "ts": str(container.get("message_ts") or body.get("message_ts") or ""),
        "thread": str(message.get("thread_ts") or ""),
        "response_url": str(body.get("response_url") or ""),
    }


class Identities:
    """Finds people by what Slack says of them.

    Args:
        store: Where people and their identities are.
        workspace: The only team id whose users can be anybody.
    """

    def __init__(self, store: Store, workspace: str) -> None:
        self._store, self._workspace = store, workspace

    def person(self, of: Origin) -> Person | None:
        """The person, with the roles of this moment; nobody for strangers, guests from elsewhere and whole-
        organisation installs."""
        if of.enterprise or of.team != self._workspace or of.home not in ("", self._workspace) or not of.user:
            return None
        return self._store.people.by_identity((DOOR, of.team, of.user))

    async def found(self, of: Origin) -> Person | None:
        """As ``person``, beside the running loop.

        Raises:
            Exception: the store does not answer; then nobody can be told apart.
        """
        return await self._store.call(self.person, of)

    def user(self, person: str) -> str | None:
        """Somebody's user id in this workspace."""
        known = self._store.people.get(person)
        found = [one[2] for one in known.identities if one[:2] == (DOOR, self._workspace)] if known else []
        return found[0] if found else None


def actor(person: Person, request: str) -> Actor:
    """A person at this door, asking for one thing."""
    return Actor(name=person.name, roles=tuple(person.roles), door=DOOR, request=request)


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
