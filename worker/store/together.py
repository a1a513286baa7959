"""Writing together: what tasks ask for in the same moment shares one transaction, and one wait for the disk.

Each has its own savepoint: what fails takes nothing of the others with it. Nobody is answered before all is kept.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection

from worker.store.database import Database

P = ParamSpec("P")
T = TypeVar("T")
Asked = tuple["asyncio.Future[Any]", Callable[[], Any]]


class Together:
    """The writes that wait for the end of this turn of their loop."""

    def __init__(self, database: Database) -> None:
        """One for each store."""
        self._database = database
        self._asked: dict[asyncio.AbstractEventLoop, list[Asked]] = {}

    async def write(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method that writes; what it raises is raised here, and so is a lock that somebody holds."""
        loop = asyncio.get_running_loop()
        if loop not in self._asked:
            self._asked[loop] = []
            loop.call_soon(self._write_all, loop)
        kept: asyncio.Future[T] = loop.create_future()
        self._asked[loop].append((kept, partial(fn, *args, **kwargs)))
        return await kept

    def _write_all(self, loop: asyncio.AbstractEventLoop) -> None:
        # Whoever was cancelled meanwhile wants nothing any more.
        asked = [each for each in self._asked.pop(loop) if not each[0].done()]
        try:
            with self._database.in_a_hurry(), self._database.transaction() as connection:
                alone = len(asked) == 1
                ends = [(True, fn()) if alone else _apart(connection, fn) for _, fn in asked]
        except Exception as error:
            ends = [(False, error)] * len(asked)
        for (kept, _), (good, end) in zip(asked, ends, strict=True):
            if good:
                kept.set_result(end)
            else:
                kept.set_exception(end)


def _apart(connection: Connection, fn: Callable[[], Any]) -> tuple[bool, Any]:
    """Whether it worked, and its result or what it raised; then nothing of it is written."""
    try:
        with connection.begin_nested():
            return True, fn()
    except Exception as error:
        return False, error
