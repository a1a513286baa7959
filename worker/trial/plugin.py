"""The pytest plugin: ``NAME.test.yaml`` beside a playbook are tests, and the fixture ``stanch_playbook`` runs one.

Nothing of Stanch is loaded before a test asks for it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from worker.trial.bench import Bench
    from worker.trial.fixture import PlaybookRun
    from worker.trial.play import Wrong

TESTS = ".test.yaml"


class PlaybookProblem(Exception):
    """A case that went otherwise than expected, or a test file that is refused."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))


class PlaybookTests(pytest.File):
    """A test file of a playbook."""

    def collect(self) -> Iterator["PlaybookCase"]:
        """Its cases."""
        from worker.trial.book import NotReady
        from worker.trial.shelf import book_of_test

        try:
            book = book_of_test(self.path)
            suite = book.suite(self.path)
        except NotReady as refused:
            raise PlaybookProblem([str(problem) for problem in refused.problems]) from None
        for case in suite.cases:
            yield PlaybookCase.from_parent(self, name=case.name, book=book, suite=suite, case=case)


class PlaybookCase(pytest.Item):
    """One case."""

    def __init__(self, *, book: Any, suite: Any, case: Any, **more: Any) -> None:
        super().__init__(**more)
        self._book, self._suite, self._case = book, suite, case

    def runtest(self) -> None:
        """Play it."""
        from worker.trial.play import play

        wrong: list[Wrong] = list(play(self._book, self._suite, self._case).wrong)
        if wrong:
            raise PlaybookProblem([f"{self.path}:{found.line}: {found.message}" for found in wrong])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What went otherwise, without a traceback."""
        if isinstance(excinfo.value, PlaybookProblem):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where it stands."""
        return self.path, self._case.line - 1, f"{self._suite.playbook}: {self.name}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> PlaybookTests | None:
    """Take test files that lie beside a playbook, or name the one they are of."""
    if not file_path.name.endswith(TESTS):
        return None
    beside = file_path.with_name(file_path.name.removesuffix(TESTS) + ".yaml")
    if not beside.is_file() and not _names_playbook(file_path):
        return None
    found: PlaybookTests = PlaybookTests.from_parent(parent, path=file_path)
    return found


def _names_playbook(path: Path) -> bool:
    try:
        return any(line.startswith("playbook:") for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return False


@pytest.fixture
def stanch_playbook() -> Iterator[Callable[..., "PlaybookRun"]]:
    """Start a playbook, by id or file, in virtual time: ``run = stanch_playbook("id", inputs={…}, systems={…})``."""
    from worker.trial.fixture import PlaybookRun

    runs: list[PlaybookRun] = []

    def start(playbook: str | Path, **more: Any) -> PlaybookRun:
        runs.append(PlaybookRun(playbook, **more))
        return runs[-1]

    yield start
    for run in runs:
        run.close()


@pytest.fixture
def stanch_bench(tmp_path: Path) -> Iterator[Callable[..., "Bench"]]:
    """Call an extension's actions as a worker does: ``stanch_bench(EXTENSION, {"url": …}, {"secret:…": "…"})``."""
    from worker.trial.bench import Bench

    made: list[Bench] = []

    def start(extension: Any, table: Any, secrets: Any = None) -> Bench:
        home = tmp_path / f"bench-{len(made)}"
        home.mkdir()
        made.append(Bench(extension, home, table, secrets))
        return made[-1]

    yield start
    for bench in made:
        bench.close()
