"""The store: everything that outlives Temporal's retention, in one database and one folder of evidence."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ParamSpec, TypeVar

from sqlalchemy import Connection

from worker.store.alerts import Alerts
from worker.store.database import Database, is_busy
from worker.store.evidence import Evidence
from worker.store.inbox import Inbox
from worker.store.incidents import Incidents
from worker.store.journal import Journal
from worker.store.keys import SigningKey
from worker.store.outbox import Drafts, Notices, Switch
from worker.store.pages import Contacts, Pages
from worker.store.people import People
from worker.store.schema import hold
from worker.store.slack import Slack
from worker.store.standing import Standing
from worker.store.together import Together

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """One installation's store. Methods are synchronous, and safe for threads and processes.

    Args:
        url: SQLAlchemy's, such as ``sqlite:///stanch.db``.
        home: Folder of evidence and drafts.
        signer: Signs heads; without one none is signed.
        mode: Of incidents that alerts open.
    """

    def __init__(self, url: str, home: Path, signer: SigningKey | None = None, mode: str = "live") -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.home, self.signer = home, signer
        self._database = Database(url)
        self._together = Together(self._database)
        self.evidence = Evidence(self._database, home)
        self.journal = Journal(self._database, self._keep_text, signer)
        self.evidence.append = self.journal.append
        self.incidents = Incidents(self._database, mode)
        self.alerts = Alerts(self._database, self.evidence, self.incidents, self.journal)
        self.people = People(self._database)
        self.notices = Notices(self._database)
        self.contacts = Contacts(self._database)
        self.pages = Pages(self._database)
        self.hold = Switch(self._database, hold)
        self.standing = Standing(self._database, self.people)
        self.drafts = Drafts(self._database, home)
        self.inbox = Inbox(self._database)
        self.slack = Slack(self._database)

    def transaction(self) -> AbstractContextManager[Connection]:
        """Group writes of this thread: all or none."""
        return self._database.transaction()

    async def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method at once, which is cheaper than a thread; in a thread if somebody holds the lock."""
        try:
            with self._database.in_a_hurry():
                return fn(*args, **kwargs)
        except Exception as error:
            if not is_busy(error):
                raise
        return await asyncio.to_thread(fn, *args, **kwargs)

    async def write(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``call``, for what writes: all that is asked for at the same time waits for the disk but once."""
        try:
            return await self._together.write(fn, *args, **kwargs)
        except Exception as error:
            if not is_busy(error):
                raise
        return await asyncio.to_thread(fn, *args, **kwargs)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def _keep_text(self, incident: str, text: str) -> str:
        ref = self.evidence.put(
            incident,
            text.encode(errors="replace"),
            name="text",
            media_type="text/plain; charset=utf-8",
            source="journal",
            actor="stanch",
        )
        return ref.ref
