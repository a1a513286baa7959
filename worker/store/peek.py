"""A look into a store that cannot change it: a connection that only reads, and no migration."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from playbooks.contract import StandingApproval
from worker.store.database import Database, StoreUnusable, stamp
from worker.store.people import People
from worker.store.standing import Standing
from worker.store.store import Store


@dataclass(frozen=True)
class Peek:
    """Who there is (name to roles of this moment), and what they approved in advance that is in force."""

    people: dict[str, frozenset[str]]
    standing: tuple[StandingApproval, ...]


def seen(store: Store) -> Peek:
    """What an open store says now."""
    people = {person.name: frozenset(person.roles) for person in store.people.list()}
    return Peek(people, tuple(store.standing.active(stamp())))


def peek(url: str, now: str) -> Peek | None:
    """What a store says at an instant; ``None`` where there is none, or none of this version that can be read."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").is_file():
        return None
    try:
        database = Database(_reading(parts), migrate=False)
    except StoreUnusable:
        return None
    try:
        people = People(database)
        held = {person.name: frozenset(person.roles) for person in people.list()}
        return Peek(held, tuple(Standing(database, people).active(now)))
    except SQLAlchemyError:
        return None
    finally:
        database.close()


def _reading(parts: URL) -> URL:
    """The same database, opened so that it refuses every write."""
    if parts.get_backend_name() == "sqlite":
        path = quote(str(Path(parts.database or "").resolve()))
        return parts.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
    return parts.update_query_dict({"options": "-c default_transaction_read_only=on"})
