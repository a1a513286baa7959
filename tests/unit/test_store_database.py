"""The database: one schema by its migrations, one writer at a time, and calls that never hold up a loop for long."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable

from tests.chains import entry
from worker.store import Store
from worker.store.database import PATIENT_MS, StoreIsNewer, StoreUnusable, is_busy
from worker.store.keys import KeyUnreadable, SigningKey, known_signers
from worker.store.schema import metadata
from worker.store.turns import StoreBusy, Turns

INC = "INC-2026-1"


def test_the_migrations_make_the_schema_that_the_code_uses(store: Store, store_url: str) -> None:
    engine = create_engine(store_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_every_table_is_one_that_postgresql_can_have() -> None:
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_a_store_is_opened_again_with_all_it_holds(store: Store, store_url: str, home: Path) -> None:
    store.journal.append(INC, [entry("a")])
    again = Store(store_url, home)
    assert again.journal.entries(INC) == store.journal.entries(INC)
    again.close()


def test_a_store_of_a_newer_version_is_left_alone(store: Store, store_url: str, home: Path) -> None:
    with store.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9000'"))
    with pytest.raises(StoreIsNewer, match="9000"):
        Store(store_url, home)


@pytest.mark.parametrize("url", ["", "stanch.db", "oracle+oracledb://u:secret@h/d", "nosuch://u:secret@h/d"])
def test_an_address_that_cannot_be_used_is_refused_without_showing_it(home: Path, url: str) -> None:
    with pytest.raises(StoreUnusable) as refused:
        Store(url, home)
    assert "secret" not in str(refused.value) and "sqlite:///PATH" in str(refused.value)


def holding(store: Store, seconds: float) -> tuple[threading.Thread, threading.Event]:
    """A thread that holds the writers' lock for a while; the event says when it has it."""
    has = threading.Event()

    def hold() -> None:
        with store.transaction():
            has.set()
            time.sleep(seconds)

    return threading.Thread(target=hold), has


async def test_a_call_runs_at_once_and_in_a_thread_only_when_somebody_writes(store: Store) -> None:
    here = threading.get_ident()
    assert await store.call(threading.get_ident) == here
    ran: list[int] = []

    def append(key: str) -> list[int]:
        ran.append(threading.get_ident())
        return store.journal.append(INC, [entry(key)])

    assert await store.call(append, "a") == [1] and ran == [here]
    holder, has = holding(store, 1)
    holder.start()
    has.wait()
    ticks, done = 0, asyncio.create_task(store.call(append, "b"))
    while not done.done():
        await asyncio.sleep(0.01)
        ticks += 1
    holder.join()
    # The loop went on while the call waited for its turn.
    assert await done == [2] and ticks > 10
    assert ran[1] == here and ran[2] != here


async def test_a_call_passes_other_failures_on_and_does_not_repeat_them(store: Store) -> None:
    called: list[Callable[[], None]] = []

    def broken() -> None:
        called.append(broken)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await store.call(broken)
    assert len(called) == 1


def test_whoever_is_in_a_hurry_gives_up_soon_and_others_wait(store: Store, store_url: str, home: Path) -> None:
    beside = Store(store_url, home)
    holder, has = holding(store, 3)
    holder.start()
    has.wait()
    begun = time.monotonic()
    for other in (store, beside):
        with pytest.raises((StoreBusy, OperationalError)) as refused, other._database.in_a_hurry():
            other.journal.append(INC, [entry("a")])
        assert is_busy(refused.value)
    assert time.monotonic() - begun < 2
    assert beside.journal.append(INC, [entry("b")]) == [1]
    assert time.monotonic() - begun > 2.5 and PATIENT_MS > 1000
    holder.join()
    beside.close()


def test_turns_are_given_in_the_order_of_asking() -> None:
    turns, order = Turns(), []

    def ask(number: int) -> None:
        with turns.turn(10):
            order.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    with turns.turn(1):
        for thread in threads:
            thread.start()
            time.sleep(0.02)
        for _ in range(3):
            with pytest.raises(StoreBusy), turns.turn(0.01):
                pass
    for thread in threads:
        thread.join()
    assert order == list(range(20))
    with turns.turn(0):
        pass


def test_no_thread_waits_long_while_another_writes_without_a_pause(store: Store) -> None:
    stop = threading.Event()

    def write() -> None:
        for number in range(100_000):
            if stop.is_set():
                return
            store.journal.append(INC, [entry(f"w{number}")])

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    longest = 0.0
    for number in range(10):
        begun = time.monotonic()
        store.journal.append(INC, [entry(f"mine{number}")])
        longest = max(longest, time.monotonic() - begun)
    stop.set()
    for writer in writers:
        writer.join()
    assert longest < 5


def test_readers_are_not_held_up_by_a_writer(store: Store) -> None:
    store.journal.append(INC, [entry("a")])
    holder, has = holding(store, 2)
    holder.start()
    has.wait()
    assert len(store.journal.entries(INC)) == 1
    # It was read while the writer was still at it.
    assert holder.is_alive()
    holder.join()


def test_a_home_has_one_key_whoever_asks_first(home: Path) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def load() -> None:
        start.wait()
        found.append(SigningKey.load(home).key_id)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 8
    names = sorted(path.name for path in (home / "keys").iterdir())
    assert names == ["signing.json", "signing.pub"]
    assert (home / "keys" / "signing.json").stat().st_mode & 0o777 == 0o600
    assert (home / "keys" / "signing.pub").read_text().strip() == SigningKey.load(home).public_hex


def test_the_signers_that_a_home_knows_are_named(home: Path) -> None:
    assert known_signers(home) == {}
    keys = {
        name: SigningKey.load(folder)
        for name, folder in (("this home", home), ("demo", home / "demo"), ("exercise", home / "exercise"))
    }
    assert known_signers(home) == {key.key_id: (key.public_hex, name) for name, key in keys.items()}


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"public": "00", "private": "00"}', "not json"])
def test_a_damaged_key_is_said_to_be_one_and_never_shown(home: Path, damage: str) -> None:
    SigningKey.load(home)
    (home / "keys" / "signing.json").write_text(damage)
    for read in (SigningKey.load, known_signers):
        with pytest.raises(KeyUnreadable, match=r"signing\.json"):
            read(home)
