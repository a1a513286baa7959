"""What waits to be told, the global hold, and drafts."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table, delete, func, insert, select, update

from playbooks.contract import Json, Notice
from playbooks.digest import sha256_hex
from worker.store.database import Database, dumps, stamp
from worker.store.schema import deliveries, drafts, notices, pages


class Notices:
    """The durable outbox. A notice is undelivered on a channel until that channel took it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, told: Sequence[Notice]) -> int:
        """Queue notices, ignoring those that are already there; how many were new."""
        fresh = 0
        with self._database.transaction() as connection:
            last = connection.execute(select(func.max(notices.c.position))).scalar() or 0
            for notice in told:
                if connection.execute(select(notices.c.id).where(notices.c.id == notice.id)).first() is None:
                    fresh += 1
                    row = {
                        "id": notice.id,
                        "position": last + fresh,
                        "incident": notice.incident,
                        "notice": dumps(notice.model_dump(mode="json")),
                    }
                    connection.execute(insert(notices), row)
        return fresh

    def pending(self, channel: str) -> list[Notice]:
        """What a channel has not yet brought, oldest first."""
        done = select(deliveries.c.notice).where(deliveries.c.channel == channel, deliveries.c.error.is_(None))
        wanted = select(notices.c.notice).where(notices.c.id.not_in(done)).order_by(notices.c.position)
        with self._database.reading() as connection:
            return [Notice.model_validate_json(text) for text in connection.execute(wanted).scalars()]

    def delivered(self, notice: str, channel: str, at: str) -> None:
        """A channel took it."""
        self._mark(notice, channel, at, None)

    def failed(self, notice: str, channel: str, at: str, error: str) -> None:
        """A channel could not take it; it stays pending, unless that channel had taken it before."""
        self._mark(notice, channel, at, error)

    def _mark(self, notice: str, channel: str, at: str, error: str | None) -> None:
        here = (deliveries.c.notice == notice, deliveries.c.channel == channel)
        with self._database.transaction() as connection:
            known = connection.execute(select(deliveries.c.error).where(*here)).first()
            if known is None:
                row = {"notice": notice, "channel": channel, "at": at, "error": error}
                connection.execute(insert(deliveries), row)
            elif known.error is not None:
                connection.execute(update(deliveries).where(*here).values(at=at, error=error))

    def of(self, incident: str) -> list[dict[str, Any]]:
        """An incident's notices, oldest first, with ``state``, ``delivered`` (channel to instant) and ``page``.

        A page is delivered when a channel that wakes people took it or a person acknowledged it: what a terminal
        printed, or a mail that only tells, wakes nobody. A page that nobody answered is undelivered, whatever was sent.
        """
        mine = select(notices.c.id, notices.c.notice).where(notices.c.incident == incident)
        with self._database.reading() as connection:
            rows = connection.execute(mine.order_by(notices.c.position)).all()
            good = select(deliveries).where(deliveries.c.error.is_(None))
            taken: dict[str, dict[str, str]] = {}
            for row in connection.execute(good.where(deliveries.c.notice.in_([row.id for row in rows]))):
                taken.setdefault(row.notice, {})[row.channel] = row.at
            paged = {
                row.id: {"status": row.status, **_page(json.loads(row.state))}
                for row in connection.execute(select(pages).where(pages.c.incident == incident))
                if row.status != "none"
            }
        return [_told(json.loads(row.notice), taken.get(row.id, {}), paged.get(row.id)) for row in rows]


def _page(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"by": state.get("by", ""), "attempts": state.get("attempts", [])}


def _told(notice: dict[str, Any], taken: dict[str, str], page: dict[str, Any] | None) -> dict[str, Any]:
    good = bool(taken)
    if notice.get("urgency") == "page":
        good = any(channel not in ("terminal", "mail") for channel in taken)
    if page is not None and page["status"] in ("acknowledged", "unanswered"):
        good = page["status"] == "acknowledged"
    shown = {**notice, "state": "delivered" if good else "undelivered", "delivered": taken}
    return shown if page is None else {**shown, "page": page}


@dataclass(frozen=True)
class InForce:
    """A switch that is set: a hold that stops every new effect, or Slack off."""

    reason: str
    person: str
    at: str


class Switch:
    """A switch over everything, set by somebody for a reason."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database, self._table = database, table

    def get(self) -> InForce | None:
        """Who set it when and why, while it is set."""
        with self._database.reading() as connection:
            row = connection.execute(select(self._table)).first()
        return InForce(row.reason, row.person, row.at) if row else None

    def set(self, reason: str, person: str) -> None:
        """Set it; the last word counts."""
        with self._database.transaction() as connection:
            connection.execute(delete(self._table))
            connection.execute(insert(self._table), {"id": 1, "reason": reason, "person": person, "at": stamp()})

    def clear(self, person: str) -> None:
        """Let things go on."""
        with self._database.transaction() as connection:
            connection.execute(delete(self._table))


class Drafts:
    """Drafts as files under ``drafts/<incident>/`` of the home; the newest of each regime and stage."""

    def __init__(self, database: Database, home: Path) -> None:
        self._database, self._home = database, home

    def save(self, incident: str, draft: Mapping[str, Json], markdown: str) -> str:
        """Keep a draft; its path within the home."""
        path = f"drafts/{incident}/{draft['regime']}-{draft['stage']}.md"
        target = self._home / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mine = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
        mine.write_text(markdown, encoding="utf-8")
        here = (drafts.c.incident == incident, drafts.c.path == path)
        row = {"document": dumps(dict(draft)), "sha256": sha256_hex(markdown), "at": stamp()}
        with self._database.transaction() as connection:
            # Within the transaction: of two writers the same one has the last word on both.
            mine.replace(target)
            if connection.execute(select(drafts.c.path).where(*here)).first() is None:
                connection.execute(insert(drafts), {"incident": incident, "path": path, **row})
            else:
                connection.execute(update(drafts).where(*here).values(**row))
        return path

    def of(self, incident: str) -> list[dict[str, Any]]:
        """An incident's drafts: the document's fields with ``path sha256 at``."""
        wanted = select(drafts).where(drafts.c.incident == incident).order_by(drafts.c.path)
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        return [{**json.loads(row.document), "path": row.path, "sha256": row.sha256, "at": row.at} for row in rows]

    def text(self, path: str) -> str:
        """A draft's Markdown."""
        return (self._home / path).read_text(encoding="utf-8")
