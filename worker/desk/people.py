"""People: roles, also handed to others for a time, identities at the doors, tokens (shown once, kept hashed)."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.desk.open_incidents import note_in_open
from worker.desk.refusals import DeskRefusal
from worker.desk.times import stamp
from worker.paging.rules import parse_rule
from worker.secrets import is_reference
from worker.store import Store
from worker.store.people import Delegation

LONGEST = timedelta(days=30)
UNITS = {"m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhd])\Z")
LONGEST_CONTACT = 500
MAIL = re.compile(r"[^\s@<>,;:\"]{1,64}@[^\s@<>,;:\"]{1,250}\Z")
PAGERDUTY_USER = re.compile(r"P[A-Z0-9]{3,20}\Z")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")


class People:
    """Reads and changes who is known. The caller has checked the right to."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, only: str | None = None) -> list[dict[str, Any]]:
        """Everybody, by name, without tokens. How somebody is reached is shown of ``only``, or of all without it."""
        contacts = self._store.contacts.all()
        seen = contacts if only is None else {only: contacts.get(only, {})}
        found = [
            {**_shown(each), **({"contact": seen.get(each.name, {})} if only in (None, each.name) else {})}
            for each in self._store.people.list()
        ]
        return sorted(found, key=lambda row: row["name"])

    def contact(self, name: str, given: Mapping[str, str]) -> dict[str, Any]:
        """Keep how somebody is woken: ``mail pagerduty webhook rule``; what is not given stays, empty takes it away.

        Raises:
            DeskRefusal: ``not_found``, or ``bad_value`` for what cannot be one.
        """
        self._known(name)
        for key, value in given.items():
            problem = contact_problem(key, value) if value else ""
            if problem:
                raise DeskRefusal("bad_value", f"{problem}. Nothing was changed.")
        kept = {**self._store.contacts.all().get(name, {}), **given}
        self._store.contacts.set(name, {key: value for key, value in kept.items() if value})
        return {"name": name, "contact": self._store.contacts.all()[name]}

    def add(
        self, name: str, roles: Sequence[str], identities: Sequence[tuple[str, str, str]] | None = None
    ) -> dict[str, Any]:
        """Add somebody, or give somebody known these roles instead. Identities stay unless some are given.

        Raises:
            DeskRefusal: ``bad_value`` for a name or role that is no plain word, ``identity_taken``.
        """
        for word in (name, *roles):
            if not NAME.match(word):
                raise DeskRefusal(
                    "bad_value",
                    f"{word[:64]!r} is no name: lower-case letters, digits, '.', '_' and '-'. Nothing was changed.",
                )
        with self._store.transaction():
            for person in self._store.people.list():
                taken = set(identities or ()) & set(person.identities)
                if taken and person.name != name:
                    raise _taken(taken.pop()[2], person.name)
            self._store.people.add(name, tuple(dict.fromkeys(roles)), identities)
        return _shown(self._known(name))

    def identify(
        self, name: str, door: str, workspace: str, external: str | None, *, by: str, at: str
    ) -> dict[str, Any]:
        """Make somebody known by an identity in a workspace, instead of any before, or by none there.

        Told to all open incidents, as done by ``by`` at the door ``at``.

        Raises:
            DeskRefusal: ``not_found``, ``identity_taken``, or ``no_change`` where it is so already.
        """
        self._known(name)
        with self._store.transaction():
            try:
                held = self._store.people.identify(name, door, workspace, external)
            except ValueError as error:
                raise _taken(str(external), str(error)) from None
            if held == external:
                now = f"{external} already" if external else f"no identity at {door} in {workspace}"
                raise DeskRefusal("no_change", f"{name} has {now}. Nothing was changed.")
            body = {"person": name, "at": door, "workspace": workspace}
            if external is None:
                note_in_open(self._store, by, at, "identity.unlinked", {**body, "external_id": held})
            else:
                note_in_open(self._store, by, at, "identity.linked", {**body, "external_id": external})
        return _shown(self._known(name))

    def token(self, name: str) -> str:
        """A new token for somebody; older ones stay good until revoked. It cannot be shown again."""
        self._known(name)
        return self._store.people.issue_token(name)

    def revoke(self, name: str) -> int:
        """Make every token of somebody worthless, at once; how many there were."""
        self._known(name)
        return int(self._store.people.revoke(name) or 0)

    def delegate(self, name: str, role: str, to: str, until: str, *, by: str, door: str) -> dict[str, Any]:
        """Hand a role to another until then; meanwhile its person decides nothing by it. Told to all open incidents.

        ``until`` is an instant with its zone, or a duration from now such as ``8h``; at most 30 days.

        Raises:
            DeskRefusal: ``not_found``, or ``bad_value`` where it cannot be handed over so.
        """
        person, other = self._known(name), self._known(to)
        if name == to:
            raise DeskRefusal("bad_value", f"{name} cannot stand in for {name}. Nothing was changed.")
        if role not in person.own:
            raise DeskRefusal(
                "bad_value",
                f"{name} has no role {role[:64]} of their own. Nothing was changed.",
                "A role that was lent cannot be handed on; `stanch people list` shows whose it is.",
            )
        given = Delegation(name, role, other.name, _instant(until), by)
        self._store.people.delegate(given)
        body = {"person": name, "role": role, "to": to, "until": given.until}
        note_in_open(self._store, by, door, "role.delegated", body)
        return _shown(self._known(name))

    def end_delegation(self, name: str, role: str, *, by: str, door: str) -> dict[str, Any]:
        """Give a role back before its time.

        Raises:
            DeskRefusal: ``not_found``, or ``no_change`` where it is not away.
        """
        self._known(name)
        if not self._store.people.end_delegation(name, role):
            raise DeskRefusal("no_change", f"{name} has not handed {role[:64]} to anybody. Nothing was changed.")
        note_in_open(self._store, by, door, "role.returned", {"person": name, "role": role})
        return _shown(self._known(name))

    def _known(self, name: str) -> Any:
        person = self._store.people.get(name)
        if person is None:
            raise DeskRefusal("not_found", f"Nobody is known as {name[:64]!r}. Nothing was changed.")
        return person


def contact_problem(key: str, value: str) -> str:
    """Why a way to reach somebody cannot be one; empty if it can."""
    if len(value) > LONGEST_CONTACT or not value.isprintable():
        return f"{key}: one printable line of at most {LONGEST_CONTACT} characters"
    if key == "rule":
        try:
            parse_rule(value)
        except ValueError as error:
            return f"rule: {error}"
    if key == "mail" and not MAIL.match(value):
        return f"mail: {value!r} is no mail address"
    if key == "webhook" and not value.startswith(("https://", "http://127.0.0.1", "http://localhost", "http://[::1]")):
        return "webhook: write an https address"
    if key == "pagerduty" and not (is_reference(value) or PAGERDUTY_USER.match(value)):
        return "pagerduty: write a user's id (P…), or a reference of their routing key (secret:env/NAME)"
    return ""


def _taken(external: str, other: str) -> DeskRefusal:
    return DeskRefusal(
        "identity_taken",
        f"{external[:64]} is {other} already, and one account is one person. Nothing was changed.",
        f"If that is wrong, take it from {other} first: `stanch slack unlink {other}`.",
    )


def _shown(person: Any) -> dict[str, Any]:
    identities = [
        dict(zip(("door", "workspace", "external_id"), identity, strict=True))
        if isinstance(identity, (tuple, list))
        else identity.model_dump(mode="json")
        for identity in person.identities
    ]
    return {
        "name": person.name,
        "roles": list(person.roles),
        "identities": identities,
        "away": [{"role": one.role, "to": one.to, "until": one.until} for one in person.away],
        "lent": [{"role": one.role, "by": one.person, "until": one.until} for one in person.lent],
    }


def _instant(until: str) -> str:
    """When a delegation ends, as the record writes it.

    Raises:
        DeskRefusal: ``bad_value``.
    """
    now, span = datetime.now(UTC), _DURATION.match(until)
    try:
        at = now + timedelta(seconds=int(span[1]) * UNITS[span[2]]) if span else datetime.fromisoformat(until)
    except (ValueError, OverflowError):
        at = None
    if at is None or at.tzinfo is None:
        raise DeskRefusal(
            "bad_value", f"{until[:40]!r} is no instant with its zone, and no duration such as 8h. Nothing was changed."
        )
    if not now < at <= now + LONGEST:
        raise DeskRefusal("bad_value", "A role can be handed over for 30 days at most, from now. Nothing was changed.")
    return stamp(at)
