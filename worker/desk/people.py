"""People: roles, identities at the doors, tokens (shown once, kept hashed)."""

import re
from collections.abc import Sequence
from typing import Any

from worker.desk.refusals import DeskRefusal
from worker.store import Store

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")


class People:
    """Reads and changes who is known. The caller has checked the right to."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self) -> list[dict[str, Any]]:
        """Everybody, by name, without tokens."""
        return sorted((_shown(person) for person in self._store.people.list()), key=lambda row: row["name"])

    def add(self, name: str, roles: Sequence[str], identities: Sequence[tuple[str, str, str]] = ()) -> dict[str, Any]:
        """Add somebody, or give somebody known these roles and identities instead.

        Raises:
            DeskRefusal: ``bad_value`` for a name or role that is no plain word.
        """
        for word in (name, *roles):
            if not NAME.match(word):
                raise DeskRefusal(
                    "bad_value",
                    f"{word[:64]!r} is no name: lower-case letters, digits, '.', '_' and '-'. Nothing was changed.",
                )
        self._store.people.add(name, tuple(dict.fromkeys(roles)), tuple(identities))
        return _shown(self._known(name))

    def token(self, name: str) -> str:
        """A new token for somebody; older ones stay good until revoked. It cannot be shown again."""
        self._known(name)
        return self._store.people.issue_token(name)

    def revoke(self, name: str) -> int:
        """Make every token of somebody worthless, at once; how many there were."""
        self._known(name)
        return int(self._store.people.revoke(name) or 0)

    def _known(self, name: str) -> Any:
        person = self._store.people.get(name)
        if person is None:
            raise DeskRefusal("not_found", f"Nobody is known as {name[:64]!r}. Nothing was changed.")
        return person


def _shown(person: Any) -> dict[str, Any]:
    identities = [
        dict(zip(("door", "workspace", "external_id"), identity, strict=True))
        if isinstance(identity, (tuple, list))
        else identity.model_dump(mode="json")
        for identity in person.identities
    ]
    return {"name": person.name, "roles": list(person.roles), "identities": identities}
