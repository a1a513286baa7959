"""Writing together: one transaction for all that is asked for at once, and each for itself when something fails."""

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import event

from tests.chains import entry
from worker.store import Store

INC = "INC-2026-1"


def commits(store: Store) -> list[Any]:
    """A list that grows with every transaction that is kept."""
    seen: list[Any] = []
    event.listen(store._database._engine, "commit", seen.append)
    return seen


async def test_what_is_asked_for_at_once_is_kept_in_one_transaction(store: Store) -> None:
    seen = commits(store)
    written = await asyncio.gather(*(store.write(store.journal.append, INC, [entry(f"k{n}")]) for n in range(10)))
    assert written == [[n] for n in range(1, 11)]
    assert len(seen) == 1
    assert [each["seq"] for each in store.journal.entries(INC)] == list(range(1, 11))


async def test_what_fails_takes_nothing_of_the_others_with_it(store: Store) -> None:
    def half() -> None:
        store.journal.append(INC, [entry("half")])
        raise LookupError("no more")

    asked = [store.journal.append, half, store.journal.append]
    given = [(INC, [entry("before")]), (), (INC, [entry("after")])]
    ends = await asyncio.gather(
        *(store.write(fn, *args) for fn, args in zip(asked, given, strict=True)), return_exceptions=True
    )
    assert ends[0] == [1] and isinstance(ends[1], LookupError) and ends[2] == [2]
    assert store.journal.outcome(INC, "half") is None
    assert len(store.journal.entries(INC)) == 2


async def test_alone_a_failure_leaves_nothing_behind(store: Store) -> None:
    def half() -> None:
        store.journal.append(INC, [entry("half")])
        raise LookupError("no more")

    with pytest.raises(LookupError):
        await store.write(half)
    assert store.journal.entries(INC) == []
    assert await store.write(store.journal.append, INC, [entry("later")]) == [1]


async def test_nothing_is_answered_before_it_is_kept(store: Store) -> None:
    def broken(_connection: Any) -> None:
        raise OSError("no space left on device")

    event.listen(store._database._engine, "commit", broken)
    ends = await asyncio.gather(
        *(store.write(store.journal.append, INC, [entry(f"k{n}")]) for n in range(2)), return_exceptions=True
    )
    event.remove(store._database._engine, "commit", broken)
    assert [type(end) for end in ends] == [OSError, OSError]
    assert store.journal.entries(INC) == []


async def test_a_lock_that_somebody_holds_is_waited_for_beside_the_loop(store: Store) -> None:
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with store.transaction():
            held.set()
            free.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    writing = [asyncio.create_task(store.write(store.journal.append, INC, [entry(f"k{n}")])) for n in range(2)]
    for _ in range(5):
        await asyncio.sleep(0.05)
    assert not any(task.done() for task in writing)
    free.set()
    assert sorted(await asyncio.gather(*writing)) == [[1], [2]]
    holder.join()


async def test_who_was_cancelled_before_writes_nothing(store: Store) -> None:
    given_up = asyncio.create_task(store.write(store.journal.append, INC, [entry("given-up")]))
    kept = asyncio.create_task(store.write(store.journal.append, INC, [entry("kept")]))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await kept == [1]
    assert given_up.cancelled()
    assert len(store.journal.entries(INC)) == 1
