"""How people are reached, and pages: one for each notice, claimed by compare-and-swap, so that no two send it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update

from playbooks.contract import Notice
from worker.store.database import Database, dumps
from worker.store.schema import contacts, notices, pages

GOING = ("waiting", "open")
"""A page that waits for its time, or for an answer. It ends ``acknowledged``, ``ended`` or ``unanswered``."""


@dataclass(frozen=True)
class Page:
    """A page with its notice. ``version`` changes with every write; ``state`` is the pager's own.

    ``settled`` is what the other side was told last since then.
    """

    id: str
    incident: str
    status: str
    state: dict[str, Any]
    version: int
    notice: Notice
    settled: str = ""


class Contacts:
    """Addresses and rules of people: ``mail pagerduty webhook rule``, each only if given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, person: str, contact: dict[str, str]) -> None:
        """Keep how somebody is reached, instead of what was kept before."""
        with self._database.transaction() as connection:
            connection.execute(delete(contacts).where(contacts.c.person == person))
            connection.execute(insert(contacts), {"person": person, "contact": dumps(contact)})

    def all(self) -> dict[str, dict[str, str]]:
        """Person to how they are reached."""
        with self._database.reading() as connection:
            return {row.person: json.loads(row.contact) for row in connection.execute(select(contacts))}


class Pages:
    """Pages and where they stand."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unseen(self) -> list[Notice]:
        """Notices of which it is not yet known whether they page, oldest first."""
        wanted = select(notices.c.notice).where(notices.c.id.not_in(select(pages.c.id))).order_by(notices.c.position)
        with self._database.reading() as connection:
            return [Notice.model_validate_json(text) for text in connection.execute(wanted).scalars()]

    def open(self, notice: Notice, status: str, state: dict[str, Any]) -> bool:
        """Keep what a notice leads to, once; whether this call did it."""
        with self._database.transaction() as connection:
            if connection.execute(select(pages.c.id).where(pages.c.id == notice.id)).first() is not None:
                return False
            row = {"id": notice.id, "incident": notice.incident, "status": status, "state": dumps(state), "version": 1}
            connection.execute(insert(pages), row)
            return True

    def of_status(self, *statuses: str, incident: str | None = None) -> list[Page]:
        """Pages of these statuses, oldest first."""
        wanted = pages.c.status.in_(statuses)
        return self._found(wanted if incident is None else and_(wanted, pages.c.incident == incident))

    def unsettled(self, last: str) -> list[Page]:
        """Pages that have ended and of which the other side has not yet been told the ``last`` there is to tell."""
        ended = pages.c.status.in_(("acknowledged", "ended", "unanswered"))
        return self._found(and_(ended, or_(pages.c.settled.is_(None), pages.c.settled != last)))

    def settle(self, page: Page, told: str) -> None:
        """Keep what the other side was told, unless the page has changed since it was read."""
        wanted = update(pages).where(pages.c.id == page.id, pages.c.version == page.version)
        with self._database.transaction() as connection:
            connection.execute(wanted.values(settled=told))

    def _found(self, condition: ColumnElement[bool]) -> list[Page]:
        wanted = select(pages, notices.c.notice).join(notices, notices.c.id == pages.c.id).where(condition)
        with self._database.reading() as connection:
            return [
                Page(
                    row.id,
                    row.incident,
                    row.status,
                    json.loads(row.state),
                    row.version,
                    Notice.model_validate_json(row.notice),
                    row.settled or "",
                )
                for row in connection.execute(wanted.order_by(notices.c.position))
            ]

    def claim(self, page: Page, now: str, until: str) -> bool:
        """Take a page for sending, until then (real instants); whether nobody else has it or has changed it."""
        free = or_(pages.c.lease.is_(None), pages.c.lease < now)
        wanted = update(pages).where(pages.c.id == page.id, pages.c.version == page.version, free)
        with self._database.transaction() as connection:
            return connection.execute(wanted.values(lease=until)).rowcount == 1

    def save(self, page: Page, status: str, state: dict[str, Any]) -> bool:
        """Write where a page stands now and give it free; not if somebody has changed it since it was read."""
        wanted = update(pages).where(pages.c.id == page.id, pages.c.version == page.version)
        row = {"status": status, "state": dumps(state), "version": page.version + 1, "lease": None, "settled": None}
        with self._database.transaction() as connection:
            return connection.execute(wanted.values(**row)).rowcount == 1

    def end(self, incident: str, status: str, *, by: str = "", only: Sequence[str] | None = None) -> list[str]:
        """End an incident's pages that are going on; their ids. ``only`` names those meant."""
        ended = []
        with self._database.transaction():
            for page in self.of_status(*GOING, incident=incident):
                if only is None or page.id in only:
                    self.save(page, status, {**page.state, "by": by})
                    ended.append(page.id)
        return ended
