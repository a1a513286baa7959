"""Playing the cases of a test file, one after the other, and telling what was not as expected."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.trial.book import Book, NotReady
from worker.trial.case import Case, Happening, Suite
from worker.trial.coverage import Coverage, coverage, gone_by
from worker.trial.execution import TaskFailed
from worker.trial.outcome import Outcome
from worker.trial.server import Endless
from worker.trial.trial import Trial, Unheard
from worker.trial.world import Unpermitted

if TYPE_CHECKING:
    from worker.trial.peers import Peers


@dataclass(frozen=True)
class Wrong:
    """What is wrong with a case, and the line of the test file where it was expected otherwise."""

    line: int
    message: str


@dataclass(frozen=True)
class Played:
    """How a case went."""

    case: Case
    wrong: Sequence[Wrong]
    gone: frozenset[tuple[str, str]]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether all was as expected."""
        return not self.wrong


@dataclass(frozen=True)
class Report:
    """How the cases of one playbook went, and how much of it they covered."""

    book: Book
    suite: Suite
    played: Sequence[Played]

    @property
    def ok(self) -> bool:
        """Whether every case went as expected."""
        return all(played.ok for played in self.played)

    def coverage(self) -> Coverage:
        """Of all cases together."""
        return coverage(self.book.outline, (way for played in self.played for way in played.gone))


def play_suite(book: Book, suite: Suite, only: str | None = None) -> Report:
    """Play its cases, or the one named so."""
    cases = [case for case in suite.cases if only in (None, case.name)]
    return Report(book, suite, [play(book, suite, case) for case in cases])


def play(book: Book, suite: Suite, case: Case) -> Played:
    """Play one case to its end."""
    began = time.perf_counter()
    peers = None
    if case.peers is not None:
        from worker.trial.peers import Peers

        peers = Peers(case.peers)
    try:
        wrong, gone = _played(book, suite, case, peers)
    finally:
        if peers is not None:
            peers.close()
    return Played(case, wrong, frozenset(gone), time.perf_counter() - began)


def _played(book: Book, suite: Suite, case: Case, peers: "Peers | None") -> tuple[list[Wrong], set[tuple[str, str]]]:
    """What was wrong, and the ways that it went."""
    try:
        trial = book.case(case, peers)
    except NotReady as refused:
        return [Wrong(case.line, problem.message) for problem in refused.problems], set()
    try:
        for happening in case.happens:
            trial.at(trial.started + happening.after, _happening(trial, happening))
        trial.finish()
        return _judged(suite, case, trial), gone_by(trial)
    except Unheard as unheard:
        return [Wrong(unheard.says.line or case.line, str(unheard))], set()
    except (Unpermitted, TaskFailed, Endless) as broken:
        return [Wrong(case.line, f"{type(broken).__name__}: {broken}")], set()
    finally:
        trial.close()


def _judged(suite: Suite, case: Case, trial: Trial) -> list[Wrong]:
    outcome, at = Outcome.of(trial), (*case.loc, "expect")
    found = [Wrong(suite.line((*at, *missed.loc)), missed.message) for missed in outcome.missed(case.expect)]
    for step, says in trial.cast.unheard():
        found.append(Wrong(says.line, f"{step} did not ask for this ({says.verdict}), so it was not said."))
    if not trial.ended and case.expect.status is None:
        waits = ", ".join(sorted(asked.step for asked in outcome.asked)) or "nothing that comes by itself"
        found.append(Wrong(case.line, f"The run did not end; it is {outcome.status}, asked at {waits}."))
    return found


def _happening(trial: Trial, happening: Happening) -> Callable[[], None]:
    def happen() -> None:
        if trial.ended:
            return
        if happening.kind == "facts":
            facts = {name.removeprefix("incident."): value for name, value in happening.values.items()}
            trial.set_facts(facts, happening.by)
        elif happening.kind == "event":
            trial.event(happening.name, happening.values)
        elif happening.kind == "cancel":
            trial.cancel()
        elif happening.kind == "pause":
            trial.pause(happening.by)
        elif happening.kind == "resume":
            trial.resume(happening.by)

    return happen
