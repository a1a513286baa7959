"""Who is meant: persons of roles, now, and their users in the workspace."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.slack.blocks import People
from worker.slack.pump import DOOR
from worker.store import Store

OnCall = Callable[[str], Iterable[str]]
"""Role to the names of those who are on call for it, if anybody knows."""
MOST = 8


@dataclass(frozen=True)
class Members:
    """Everybody of this moment: ``users`` person to Slack user id, ``roles`` role to persons."""

    users: Mapping[str, str]
    roles: Mapping[str, tuple[str, ...]]

    @property
    def people(self) -> People:
        """As messages mention them."""
        return People(self.users)

    def of_roles(self, roles: Iterable[str]) -> list[str]:
        """Persons with any of these roles, each once."""
        return list(dict.fromkeys(person for role in roles for person in self.roles.get(role, ())))

    def addressed(self, notice: Mapping[str, Any], on_call: OnCall) -> dict[str, Any]:
        """A notice whose roles are followed by the persons who are on call for them, else those who have them."""
        to: list[str] = []
        for one in notice.get("to") or ():
            to.append(one)
            if one.startswith("role:"):
                role = one.removeprefix("role:")
                to += [f"person:{name}" for name in [*on_call(role)] or self.roles.get(role, ())]
        return {**notice, "to": list(dict.fromkeys(to))[:MOST]}


def members_now(store: Store, workspace: str) -> Members:
    """Everybody that the store knows."""
    users: dict[str, str] = {}
    roles: dict[str, list[str]] = {}
    for person in store.people.list():
        for identity in person.identities:
            if identity[:2] == (DOOR, workspace):
                users.setdefault(person.name, identity[2])
        for role in person.roles:
            roles.setdefault(role, []).append(person.name)
    return Members(users, {role: tuple(names) for role, names in roles.items()})


def concerned(document: Mapping[str, Any], members: Members) -> list[str]:
    """Persons whom an incident concerns: who opened it, may decide, are told or decided, and its commander."""
    waiting = document["waiting"]
    roles = [role for entry in waiting for need in entry["who"].get("needs", ()) for role in need["roles"]]
    to = [one for notice in document["notices"] for one in notice.get("to") or ()]
    roles += [one.removeprefix("role:") for one in to if one.startswith("role:")]
    persons = [one.removeprefix("person:") for one in to if one.startswith("person:")]
    persons += [vote["person"] for entry in waiting for vote in entry.get("decided", ())]
    opened = (document.get("facts") or {}).get("opened_at") or {}
    # An alert opens nothing for a person: a detector is in no channel.
    persons += [opened["by"]] if opened.get("trust") == "person" else []
    persons += [document["commander"]] if document.get("commander") else []
    return list(dict.fromkeys([*persons, *members.of_roles(["incident_commander", *roles])]))
