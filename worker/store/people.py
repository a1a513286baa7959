"""People: roles, identities at the doors, tokens as hashes."""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from worker.store.database import Database, dumps, stamp
from worker.store.schema import delegations, people, tokens

PREFIX = "stanch_"
Identity = tuple[str, str, str]


@dataclass(frozen=True)
class Delegation:
    """``person`` has handed ``role`` to another until an instant (RFC 3339); ``by`` set it."""

    person: str
    role: str
    to: str
    until: str
    by: str = ""


@dataclass(frozen=True)
class Person:
    """Somebody. An identity is ``(door, workspace, external id)``.

    ``roles`` are those of this moment: the ``own`` ones without those handed ``away``, and those ``lent`` by others.
    """

    name: str
    roles: tuple[str, ...] = ()
    identities: tuple[Identity, ...] = ()
    own: tuple[str, ...] = field(default=(), compare=False)
    away: tuple[Delegation, ...] = field(default=(), compare=False)
    lent: tuple[Delegation, ...] = field(default=(), compare=False)


class People:
    """Who is known."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, roles: Sequence[str], identities: Sequence[Identity] | None = None) -> None:
        """Add somebody, or give somebody known these roles instead, and these identities if any are given."""
        row = {"roles": dumps(list(roles))}
        if identities is not None:
            row["identities"] = dumps([list(identity) for identity in identities])
        with self._database.transaction() as connection:
            if connection.execute(select(people.c.name).where(people.c.name == name)).first() is None:
                connection.execute(insert(people), {"name": name, "identities": "[]", **row})
            else:
                connection.execute(update(people).where(people.c.name == name).values(**row))

    def identify(self, name: str, door: str, workspace: str, external: str | None) -> str | None:
        """Give somebody this identity in a workspace instead of what they had there, or none; what they had.

        Raises:
            LookupError: nobody has that name.
            ValueError: the identity is somebody else's, whose name the message is.
        """
        with self._database.transaction() as connection:
            found = {row.name: _person(row) for row in connection.execute(select(people))}
            if name not in found:
                raise LookupError(f"nobody is known as {name}")
            given = (door, workspace, external) if external is not None else None
            for other in found.values():
                if other.name != name and given in other.identities:
                    raise ValueError(other.name)
            held = [one for one in found[name].identities if one[:2] == (door, workspace)]
            kept = [one for one in found[name].identities if one not in held] + ([given] if given else [])
            row = {"identities": dumps([list(one) for one in kept])}
            connection.execute(update(people).where(people.c.name == name).values(**row))
        return held[0][2] if held else None

    def get(self, name: str) -> Person | None:
        """Somebody by name."""
        with self._database.reading() as connection:
            row = connection.execute(select(people).where(people.c.name == name)).first()
            return _at_this_moment(connection, [_person(row)])[0] if row else None

    def list(self) -> list[Person]:
        """Everybody."""
        with self._database.reading() as connection:
            found = [_person(row) for row in connection.execute(select(people).order_by(people.c.name))]
            return _at_this_moment(connection, found)

    def issue_token(self, name: str) -> str:
        """A new token for somebody, to be shown once.

        Raises:
            LookupError: nobody has that name.
        """
        token = PREFIX + secrets.token_urlsafe(32)
        with self._database.transaction() as connection:
            if connection.execute(select(people.c.name).where(people.c.name == name)).first() is None:
                raise LookupError(f"nobody is known as {name}")
            connection.execute(insert(tokens), {"hash": _hash(token), "person": name, "at": stamp()})
        return token

    def by_token(self, token: str) -> Person | None:
        """Whose token it is."""
        owner = select(people).join(tokens, tokens.c.person == people.c.name).where(tokens.c.hash == _hash(token))
        with self._database.reading() as connection:
            row = connection.execute(owner).first()
            return _at_this_moment(connection, [_person(row)])[0] if row else None

    def by_identity(self, identity: Identity) -> Person | None:
        """Who is known by an identity at a door; nobody where several people share it."""
        found = [person for person in self.list() if identity in person.identities]
        return found[0] if len(found) == 1 else None

    def delegate(self, given: Delegation) -> None:
        """Hand a role to another until an instant, instead of what was set before."""
        row = {"person": given.person, "role": given.role, "to": given.to, "until": given.until, "by": given.by}
        with self._database.transaction() as connection:
            self._take_back(connection, given.person, given.role)
            connection.execute(insert(delegations), {**row, "at": stamp()})

    def end_delegation(self, person: str, role: str) -> bool:
        """Give a role back to its person; whether it was away."""
        with self._database.transaction() as connection:
            return self._take_back(connection, person, role)

    @staticmethod
    def _take_back(connection: Connection, person: str, role: str) -> bool:
        held = delete(delegations).where(delegations.c.person == person, delegations.c.role == role)
        return connection.execute(held).rowcount > 0

    def revoke(self, name: str) -> int:
        """Make every token of somebody worthless; how many there were."""
        with self._database.transaction() as connection:
            return connection.execute(delete(tokens).where(tokens.c.person == name)).rowcount


def _hash(token: str) -> bytes:
    # A token has 256 random bits: a plain hash cannot be guessed back.
    return hashlib.sha256(token.encode()).digest()


def _person(row: Row[Any]) -> Person:
    identities = tuple((one[0], one[1], one[2]) for one in json.loads(row.identities))
    roles = tuple(json.loads(row.roles))
    return Person(row.name, roles, identities, own=roles)


def _at_this_moment(connection: Connection, found: list[Person]) -> list[Person]:
    """People with the roles that they have now; a role is only lent as long as its person has it."""
    wanted = (
        select(delegations, people.c.roles)
        .join(people, people.c.name == delegations.c.person)
        .where(delegations.c.until > stamp())
    )
    rows = [row for row in connection.execute(wanted) if row.role in json.loads(row.roles)]
    active = [Delegation(row.person, row.role, row.to, row.until, row.by) for row in rows]
    return [_holding(person, active) for person in found] if active else found


def _holding(person: Person, active: list[Delegation]) -> Person:
    away = tuple(one for one in active if one.person == person.name)
    lent = tuple(one for one in active if one.to == person.name)
    kept = [role for role in person.own if role not in {one.role for one in away}]
    roles = tuple(dict.fromkeys((*kept, *(one.role for one in lent))))
    return replace(person, roles=roles, away=away, lent=lent)
