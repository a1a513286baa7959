"""What befalls a run: how systems answer, what people say, what happens meanwhile. All of it follows from a seed and
from what is asked, never from when or in which order, so that the same run can be had again in another way."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random

from playbooks.contract import ActionCall, DecisionReceipt
from playbooks.loader import Library, load_text
from tests.books import ACTIONS
from worker.trial.book import Book, thresholds_of
from worker.trial.people import Act, Asked, Cast, Says
from worker.trial.stubs import Stub, Stubs
from worker.trial.trial import Trial
from workflows.messages import Thresholds

PEOPLE = {
    **{f"p{number}": ("platform_owner",) for number in range(1, 5)},
    "c1": ("incident_commander",),
    "x1": ("legal",),
}
STARTER = "p1"
DEATHS = 12
ROUNDS = 3
"""After so many rounds people give in, so that no question comes for ever."""


class Fates(Stubs):
    """How each call of each step instance goes; ``gentle``: nothing fails."""

    def __init__(self, seed: int, *, gentle: bool = False) -> None:
        super().__init__()
        self.seed, self.gentle = seed, gentle

    def of(self, call: ActionCall) -> tuple[str, Stub]:
        """By place and by how often it was tried."""
        rnd = Random(f"{self.seed}/{call.step}/{call.item}/{call.pass_}/{call.epoch}")
        count = rnd.randint(0, 3)
        protected = ("vip",) if rnd.random() < 0.1 else ()
        plain = Stub(count=count, protected=protected, changed=rnd.random() < 0.8)
        kind, happened, often = rnd.random(), rnd.random() < 0.5, rnd.randint(1, 7)
        key = f"{call.step}/{call.item}/{call.pass_}/{call.epoch}"
        if self.gentle or kind < 0.55:
            return key, plain
        ways: Sequence[Stub] = (
            Stub(fails="transient", times=often, count=count),
            Stub(fails="rejected", times=rnd.randint(1, 2), count=count),
            Stub(fails="rejected", count=count),
            Stub(fails="unknown", count=count, happened=happened),
            Stub(fails="timeout", count=count, happened=happened),
            Stub(fails="plan_changed", times=rnd.randint(1, 2), count=count),
            Stub(fails="rejected", on="preview", times=1, count=count),
            Stub(verified=False, count=count),
            Stub(fails="held", times=2, count=count),
            Stub(fails="no_worker", times=1, count=count),
            Stub(fails="rate_limited", times=1, count=count),
        )
        return key, ways[rnd.randrange(len(ways))]


class Minds(Cast):
    """What people say to each question, in each round of it."""

    def __init__(self, seed: int) -> None:
        super().__init__(roles=PEOPLE)
        self.seed = seed

    def hear(self, asked: Asked, now: datetime) -> list[Act]:
        """Votes, answers, silence, and words of people who have no say."""
        rnd = Random(f"{self.seed}/{asked.step}/{asked.round}")
        at = now
        acts: list[Act] = []
        for _ in range(rnd.randint(0, 4)):
            at += timedelta(minutes=rnd.choice([0, 0, 1, 20]), seconds=7)
            acts.append(Act(at, asked.step, self._word(rnd, asked)))
        if asked.kind == "unknown" and (asked.round > ROUNDS or not any(_answers(act, asked) for act in acts)):
            last = Says(rnd.choice(["happened", "not_happened"]), self._holder(rnd, asked))
            acts.append(Act(at + timedelta(minutes=1), asked.step, last))
        return acts

    def _word(self, rnd: Random, asked: Asked) -> Says:
        verdicts = [verdict for verdict in asked.verdicts if verdict != "break_glass"]
        if asked.round > ROUNDS:
            verdicts = [verdict for verdict in verdicts if verdict not in ("retry", "verify")]
        verdict = rnd.choice([*verdicts, "approve"] if "approve" in verdicts else verdicts)
        who = rnd.choice([self._holder(rnd, asked)] * 4 + ["x1", STARTER])
        return Says(verdict, who, {"sure": rnd.random() < 0.5} if verdict == "answer" else {})

    def _holder(self, rnd: Random, asked: Asked) -> str:
        wanted = {role for need in asked.needs for role in need["roles"]}
        return rnd.choice([person for person, roles in sorted(PEOPLE.items()) if wanted & set(roles)])


def _answers(act: Act, asked: Asked) -> bool:
    wanted = {role for need in asked.needs for role in need["roles"]}
    return act.says.verdict in ("happened", "not_happened") and bool(wanted & set(PEOPLE[act.says.who]))


class Listening(Trial):
    """A trial in which a word that does not count is no fault."""

    def decide(self, step: str, says: Says) -> DecisionReceipt:
        """Say it, and let the run judge."""
        return self.try_to_decide(step, says)


@dataclass(frozen=True)
class Way:
    """How one and the same run is had: continuing as new, losing its worker, and what comes first of what is due."""

    continue_after: int | None = None
    dies_every: int | None = None
    shuffle: int | None = None


@dataclass(frozen=True)
class Lot:
    """A playbook and what befalls it."""

    playbook: str
    child: str
    seed: int
    severity: int
    gentle: bool
    happens: tuple[tuple[int, str], ...] = ()
    """Minutes, and ``cancel``, ``pause``, ``resume`` or the name of an event that arrives."""

    def book(self) -> Book:
        """The playbook, made ready."""
        sources = [load_text(text)[0] for text in (self.playbook, self.child)]
        found = [source for source in sources if source is not None]
        return Book(found[0], Library(found), actions=ACTIONS, safety=False)

    def _thresholds(self, way: Way) -> Thresholds | None:
        """The hard one only where no call takes its time: to wait for that moves everything else."""
        found = thresholds_of(way.continue_after)
        return found if found is None or self.gentle else Thresholds(soft_events=found.soft_events)

    @staticmethod
    def _happen(trial: Trial, what: str) -> None:
        if trial.ended:
            return
        if what in ("cancel", "pause", "resume"):
            getattr(trial, what)()
        else:
            trial.event(what, {"number": 1}, "p2")

    def run(self, book: Book, way: Way) -> Trial:
        """The run at its end."""
        plan, digest, facts = book.planned({"flag": bool(self.seed % 2)}, {"severity": self.severity})
        shuffled = Random(way.shuffle)
        trial = Listening(
            plan,
            digest,
            book.world(Fates(self.seed, gentle=self.gentle)),
            Minds(self.seed),
            facts=facts,
            starters=[STARTER],
            thresholds=self._thresholds(way),
            choose=None if way.shuffle is None else shuffled.randrange,
        )
        turns = itertools.count(1)

        def turn() -> None:
            number = next(turns)
            # Each death walks the whole history again, so a long run cannot have one in every turn.
            if way.dies_every is not None and number % way.dies_every == 0 and number < DEATHS * way.dies_every:
                trial.die()

        trial.each_turn = turn
        for minutes, what in self.happens:
            trial.at(trial.started + timedelta(minutes=minutes, seconds=11), partial(self._happen, trial, what))
        try:
            trial.finish()
        finally:
            trial.close()
        return trial
