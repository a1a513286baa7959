"""The runs that are killed: begun together, a few at a time, for they wait most of the time."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.driver import COMMITTED, AtCommit, AtPoint
from tests.faults.scene import Ending, play, scene
from tests.faults.story import POINTS

AT_ONCE = 4
UNDISTURBED = "undisturbed"
TABLE = pytest.StashKey[list[str]]()


class Runs:
    """One run for each point, and one that nobody disturbs.

    Attributes:
        missed: Points that the driver waited for in vain, by point.
    """

    def __init__(self, folder: Path, wanted: list[str]) -> None:
        """``wanted`` are begun at the first call, in that order."""
        self._folder, self._wanted = folder, wanted
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[str, asyncio.Task[Ending]] = {}
        self.missed: dict[str, list[str]] = {}

    async def ending(self, name: str) -> Ending:
        """How a run ended; waits for it."""
        for each in self._wanted:
            if each not in self._tasks:
                self._tasks[each] = asyncio.create_task(self._run(each))
        return await self._tasks[name]

    async def end(self) -> None:
        """Give up what still runs."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, name: str) -> Ending:
        hold = {UNDISTURBED: "", COMMITTED: AtCommit.hold()}.get(name, AtPoint.hold(name))
        async with self._turns, scene(self._folder / name, hold) as staged:
            if name == UNDISTURBED:
                return await asyncio.to_thread(play, staged)
            killer = AtCommit(staged) if name == COMMITTED else AtPoint(staged, name)
            ending = await asyncio.to_thread(play, staged, killer.turn)
            self.missed[name] = killer.missed
            return ending


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runs]:
    """The runs of all points that this session tests."""
    tested = {item.callspec.params["point"] for item in request.session.items if "point" in _params(item)}
    # The longest first: those in which reads die, too.
    wanted = [UNDISTURBED, *(point for point in reversed(POINTS) if point in tested)]
    made = Runs(tmp_path_factory.mktemp("killed"), wanted)
    yield made
    await made.end()


def _params(item: pytest.Item) -> dict[str, object]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None and item.path.parent == Path(__file__).parent else {}


@pytest.fixture
def table(request: pytest.FixtureRequest) -> list[str]:
    """Lines that are printed at the end, whatever is captured."""
    return request.config.stash.setdefault(TABLE, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print points, kills and seconds."""
    lines = config.stash.get(TABLE, [])
    if lines:
        terminalreporter.section("points, kills, seconds")
    for line in lines:
        terminalreporter.write_line(line)
