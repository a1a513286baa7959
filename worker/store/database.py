"""The database: connections, transactions, migrations. What is one engine's own stands here and nowhere else.

Writers go one at a time, in one process or several: on SQLite by its own lock, on PostgreSQL by one of ours. So
everything that reads before it writes is safe, and the journal's chains have no forks.
"""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, OperationalError

from worker.store.turns import StoreBusy, Turns

HEAD = "0009"
QUICK_MS = 50
PATIENT_MS = 15_000
TURN_MS = 60_000
"""For a turn among the threads of this process, which comes as surely as those before it end."""
WRITERS = 0x5354414E4348
"""Key of PostgreSQL's advisory lock of writers."""


class StoreUnusable(Exception):
    """The store's address names no database that this installation can speak to."""

    code = "store_unusable"


class StoreIsNewer(Exception):
    """A newer version of Stanch has changed the store; this one does not touch it."""

    code = "store_newer"


def stamp() -> str:
    """The instant now, RFC 3339 UTC with six decimals."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def dumps(value: Any) -> str:
    """JSON text as the tables hold it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Database:
    """One database; safe for threads and for several processes."""

    def __init__(self, url: str | URL, *, migrate: bool = True) -> None:
        """Connect, and bring the schema up to date; without ``migrate`` leave everything as it is.

        Raises:
            StoreUnusable: the address is none, or its driver is missing.
            StoreIsNewer: a newer version has changed it.
        """
        try:
            self._engine = create_engine(url)
        except (ImportError, ArgumentError) as error:
            # Only its kind is told: an address may hold a password.
            kind = str(url).partition(":")[0][:40]
            raise StoreUnusable(
                f"The store cannot be opened: {kind!r} names no database whose driver is installed "
                f"({type(error).__name__}). Nothing was done. Write sqlite:///PATH, or install the driver "
                "(for postgresql+psycopg, the package psycopg)."
            ) from None
        self._local = threading.local()
        self._turns = Turns()
        if self._sqlite and migrate:
            event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", self._take_turn)
        try:
            if migrate:
                self._migrate()
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction; within one of the same thread, that one."""
        held = getattr(self._local, "connection", None)
        if held is not None:
            yield held
            return
        # Threads of one process queue: waiting at SQLite's own lock is a lottery that one can lose for long.
        with self._turns.turn((QUICK_MS if self._hurry else TURN_MS) / 1000), self._engine.connect() as connection:
            self._be_patient(connection)
            with connection.begin():
                self._local.connection = connection
                try:
                    yield connection
                finally:
                    self._local.connection = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading; within a transaction of the same thread, that one."""
        held = getattr(self._local, "connection", None)
        if held is not None:
            yield held
            return
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            self._be_patient(connection)
            yield connection

    @contextlib.contextmanager
    def in_a_hurry(self) -> Iterator[None]:
        """Within the block this thread waits for a lock but briefly."""
        self._local.hurry = True
        try:
            yield
        finally:
            self._local.hurry = False

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()

    @property
    def _sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @property
    def _hurry(self) -> bool:
        return getattr(self._local, "hurry", False)

    @property
    def _patience(self) -> int:
        return QUICK_MS if self._hurry else PATIENT_MS

    def _be_patient(self, connection: Connection) -> None:
        if self._sqlite:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.execute(f"PRAGMA busy_timeout={self._patience}")

    def _take_turn(self, connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return
        if self._sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {self._patience}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")

    def _migrate(self) -> None:
        with self.reading() as connection:
            if "alembic_version" in inspect(connection).get_table_names():
                found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
                if found == HEAD:
                    return
                if found is not None and found > HEAD:
                    raise StoreIsNewer(
                        f"The store is at version {found}, and this Stanch knows versions up to {HEAD}. Nothing was "
                        "changed. Run the version that made it, or a newer one."
                    )
        # Here, because a store that is up to date need not pay for the import.
        from alembic import command
        from alembic.config import Config

        with self.transaction() as connection:
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def is_busy(error: BaseException) -> bool:
    """Whether a write was refused only because somebody else is writing."""
    if not isinstance(error, OperationalError):
        return isinstance(error, StoreBusy)
    return "locked" in str(error.orig) or getattr(error.orig, "sqlstate", None) == "55P03"


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own transactions are off: it would begin them too late, and never immediately.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={PATIENT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
