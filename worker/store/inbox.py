"""The durable inbox of a door: what people asked, kept before it is acknowledged, and what came of it."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from playbooks.contract import Json
from worker.store.database import Database, dumps, stamp
from worker.store.schema import inbox


@dataclass(frozen=True)
class Kept:
    """One thing that somebody asked.

    Attributes:
        id: What it is known by, however often it is delivered.
        token: Random, fixed at arrival: nonces, update ids and journal keys are made of it.
        envelope: The delivery that brought it first.
        at: When it arrived.
        what: The request; ``{}`` once it is done.
        outcome: What came of it, once it was carried out.
        again: Whether it may have been tried before.
    """

    id: str
    token: str
    envelope: str
    at: str
    what: dict[str, Any]
    outcome: dict[str, Any] | None = None
    again: bool = False


class Inbox:
    """Kept, carried out, told: in this order, each once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, id_: str, envelope: str, what: Mapping[str, Json]) -> tuple[Kept, bool]:
        """Keep a request, once; what is kept under that id, and whether it is new."""
        with self._database.transaction() as connection:
            held = connection.execute(select(inbox).where(inbox.c.id == id_)).first()
            if held is not None:
                return _kept(held), False
            last = connection.execute(select(func.max(inbox.c.position))).scalar() or 0
            kept = Kept(id_, secrets.token_urlsafe(15), envelope, stamp(), dict(what))
            row = {"id": id_, "position": last + 1, "token": kept.token, "envelope": envelope, "at": kept.at}
            connection.execute(insert(inbox), {**row, "what": dumps(kept.what)})
        return kept, True

    def open(self) -> list[Kept]:
        """What is not done yet, oldest first."""
        wanted = select(inbox).where(inbox.c.done_at.is_(None)).order_by(inbox.c.position)
        with self._database.reading() as connection:
            return [replace(_kept(row), again=True) for row in connection.execute(wanted)]

    def carried_out(self, id_: str, outcome: Mapping[str, Json]) -> None:
        """Keep what came of a request; whoever asked has still to be told."""
        with self._database.transaction() as connection:
            connection.execute(update(inbox).where(inbox.c.id == id_).values(outcome=dumps(dict(outcome))))

    def done(self, id_: str) -> None:
        """A request is carried out and told: what people wrote is not kept longer than that."""
        change = {"what": "{}", "outcome": "{}", "done_at": stamp()}
        with self._database.transaction() as connection:
            connection.execute(update(inbox).where(inbox.c.id == id_).values(**change))

    def is_done(self, id_: str) -> bool:
        """Whether a request is carried out and told, maybe by another process."""
        with self._database.reading() as connection:
            return connection.execute(select(inbox.c.done_at).where(inbox.c.id == id_)).scalar() is not None

    def forget(self, before: str) -> int:
        """Delete what was done before an instant, which nobody can deliver again; how many."""
        with self._database.transaction() as connection:
            return connection.execute(delete(inbox).where(inbox.c.done_at < before)).rowcount


def _kept(row: Row[Any]) -> Kept:
    outcome = json.loads(row.outcome) if row.outcome else None
    return Kept(row.id, row.token, row.envelope, row.at, json.loads(row.what), outcome)
