"""Standing approvals: what owners approved in advance. A row is never deleted; revoking it is a fact about it."""

import json
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from playbooks.contract import StandingApproval
from worker.store.database import Database, stamp
from worker.store.people import People
from worker.store.schema import standing


class Standing:
    """Given, listed, revoked, and asked once more before every effect."""

    def __init__(self, database: Database, people: People) -> None:
        self._database, self._people = database, people

    def give(self, approval: StandingApproval, reason: str) -> StandingApproval:
        """Keep an approval under the next id; the approval with it."""
        with self._database.transaction() as connection:
            number = 1 + int(connection.execute(select(func.max(standing.c.number))).scalar() or 0)
            kept = approval.model_copy(update={"id": f"SA-{number}"})
            row = {"number": number, "approval": kept.model_dump_json(), "reason": reason}
            connection.execute(insert(standing), row)
        return kept

    def all(self) -> list[dict[str, Any]]:
        """All that were ever given, oldest first: the approval's fields, ``reason`` and how it was revoked."""
        with self._database.reading() as connection:
            rows = connection.execute(select(standing).order_by(standing.c.number)).all()
        return [_document(row) for row in rows]

    def get(self, id_: str) -> dict[str, Any] | None:
        """One of them."""
        return next((row for row in self.all() if row["id"] == id_), None)

    def revoke(self, id_: str, person: str, reason: str) -> bool:
        """End one; ``False`` if it is unknown or was revoked before."""
        number = id_.removeprefix("SA-")
        if not number.isascii() or not number.isdigit():
            return False
        change = {"revoked_at": stamp(), "revoked_by": person, "revoked_because": reason}
        open_ = (standing.c.number == int(number)) & standing.c.revoked_at.is_(None)
        with self._database.transaction() as connection:
            return connection.execute(update(standing).where(open_).values(**change)).rowcount == 1

    def active(self, now: str) -> list[StandingApproval]:
        """Those that are in force at an instant."""
        found = [StandingApproval.model_validate(row) for row in self.all() if row["revoked_at"] is None]
        return [approval for approval in found if approval.until > now and self._still_owns(approval)]

    def in_force(self, id_: str, now: str) -> bool:
        """Whether one is neither revoked nor over, and its giver holds the roles by which it was given."""
        row = self.get(id_)
        if row is None or row["revoked_at"] is not None:
            return False
        approval = StandingApproval.model_validate(row)
        return approval.until > now and self._still_owns(approval)

    def _still_owns(self, approval: StandingApproval) -> bool:
        person = self._people.get(approval.person)
        return person is not None and set(approval.roles) <= set(person.roles)


def _document(row: Row[Any]) -> dict[str, Any]:
    ended = {name: getattr(row, name) for name in ("revoked_at", "revoked_by", "revoked_because")}
    return {**json.loads(row.approval), "reason": row.reason, **ended}
