"""The runs in which somebody dies: begun together, a few at a time, for they wait most of the time."""

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.deaths import DEATHS
from tests.faults.driver import COMMITTED, AtCommit, AtPoint
from tests.faults.scene import Ending, play, scene
from tests.faults.story import POINTS, UNDISTURBED

AT_ONCE = max(4, min(12, 3 * (os.cpu_count() or 1)))
TABLE = pytest.StashKey[list[str]]()


class Runs:
    """One run that nobody disturbs, and one for each story that is tested."""

    def __init__(self, folder: Path, stories: list[str]) -> None:
        """``stories`` are begun in this order."""
        self._folder = folder
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks = {story: asyncio.create_task(self._run(story)) for story in stories}

    async def ending(self, story: str) -> Ending:
        """How a run ended; waits for it."""
        return await self._tasks[story]

    async def end(self) -> None:
        """Give up what still runs."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, story: str) -> Ending:
        async with self._turns:
            return await _begin(story, self._folder / story)


async def _begin(story: str, folder: Path) -> Ending:
    if story in DEATHS:
        return await DEATHS[story](folder)
    if story == UNDISTURBED:
        async with scene(folder) as staged:
            return await asyncio.to_thread(play, staged)
    hold = AtCommit.hold() if story == COMMITTED else AtPoint.hold(story)
    async with scene(folder, hold) as staged:
        killer = AtCommit(staged) if story == COMMITTED else AtPoint(staged, story)
        ending = await asyncio.to_thread(play, staged, killer.turn)
        return dataclasses.replace(ending, missed=tuple(killer.missed))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runs]:
    """The runs of all stories that this session tests."""
    tested = {_story(item) for item in request.session.items}
    # The longest first: those in which reads die, too.
    order = [UNDISTURBED, *reversed(POINTS), *DEATHS]
    made = Runs(tmp_path_factory.mktemp("deaths"), [each for each in order if each in tested | {UNDISTURBED}])
    yield made
    await made.end()


def _story(item: pytest.Item) -> object:
    called = getattr(item, "callspec", None)
    return called.params.get("story") if called is not None else None


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
