"""A trial: one run of a playbook in virtual time, with its systems, its people and what happens meanwhile."""

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from playbooks.contract import DecisionReceipt, Json, Mode, RunContext
from playbooks.plan import RunPlan
from worker.desk.times import stamp
from worker.trial.people import Act, Asked, Cast, Says
from worker.trial.server import Server
from worker.trial.world import World
from workflows.messages import EventGiven, PauseRequest, Receipt, RunInput, Thresholds
from workflows.playbook_run import PlaybookRun
from workflows.state import Fact, FactsSnapshot

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday morning."""
INCIDENT = "INC-2026-1"
CONTEXT = RunContext(mode=Mode.LIVE)


class Unheard(Exception):
    """A person's word did not count where it should have, or counted where it should not."""

    def __init__(self, message: str, says: Says) -> None:
        super().__init__(message)
        self.says = says


@dataclass(order=True)
class _Event:
    at: datetime
    order: int
    do: Callable[[], None] = field(compare=False)


def incident_facts(title: str, kind: str, start: datetime, given: Mapping[str, Json] | None = None) -> dict[str, Json]:
    """An incident's facts, as an alert of now would give them, with those given on top."""
    at = stamp(start)
    plain: dict[str, Json] = {
        "id": INCIDENT,
        "kind": kind,
        "severity": 3,
        "title": title,
        "opened_at": at,
        "detected_at": at,
        "first_seen": at,
        "org": "org",
    }
    return plain | dict(given or {})


class Trial:
    """A run from its start on. Nothing happens by itself: ``settle``, ``advance`` and ``finish`` let it.

    Args:
        plan, digest: What it runs.
        world: Systems and record.
        cast: People.
        facts: The incident's facts.
        starters: People who started it, who may not approve.
        start: The first instant.
        thresholds: When it continues as new.
        choose: Chooses among things that are due at the same instant; else the first.
    """

    def __init__(
        self,
        plan: RunPlan,
        digest: str,
        world: World,
        cast: Cast,
        *,
        facts: Mapping[str, Json],
        starters: Sequence[str] = (),
        start: datetime = START,
        thresholds: Thresholds | None = None,
        choose: Callable[[int], int] | None = None,
    ) -> None:
        self.plan, self.world, self.cast, self.started = plan, world, cast, start
        at = stamp(start)
        self._facts = FactsSnapshot(facts={name: Fact(value=value, at=at) for name, value in facts.items()})
        self.incident = str(facts.get("id", INCIDENT))
        self.run = f"run/{self.incident}/{plan.frame.playbook.id}/1"
        given = RunInput(
            run=self.run,
            incident=self.incident,
            lineage=self.run,
            plan=plan,
            plan_digest=digest,
            facts=self._facts,
            starters=tuple(starters),
            desk_keys={cast.key.key_id: cast.key.public_hex},
            thresholds=thresholds or Thresholds(),
        )
        more = {} if choose is None else {"choose": choose}
        self.server = Server(PlaybookRun, self.run, given, world, start, **more)
        self.asked: dict[tuple[str, int], Asked] = {}
        """Every question so far, by step and round."""
        self.receipts: list[tuple[Says, DecisionReceipt]] = []
        self.by_hand: Callable[[str], None] = lambda question: None
        """What is done in the systems when a person says that it is done, by the question."""
        self.each_turn: Callable[[], None] = lambda: None
        """Called after every turn; a place to let the worker die."""
        self._events: list[_Event] = []
        self._order = itertools.count()
        self._seen = 0
        self._words = itertools.count(1)

    # --- time ------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The instant."""
        return self.server.now

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.server.ended

    def settle(self) -> None:
        """Let everything happen that takes no time."""
        self._until(self.now)

    def advance(self, length: timedelta) -> None:
        """Let time pass."""
        until = self.now + length
        self._until(until)
        self.server.now = max(self.server.now, until) if not self.ended else self.server.now

    def finish(self) -> None:
        """Let it run to its end, or until it waits for something that never comes by itself."""
        self._until(None)

    def _until(self, until: datetime | None) -> None:
        while not self.ended:
            self._look()
            event = self._events[0].at if self._events else None
            due = self.server.next_at()
            if event is not None and (due is None or event < due):
                if until is not None and event > until:
                    return
                self.server.now = max(self.server.now, event)
                heapq.heappop(self._events).do()
            elif not self.server.step(until):
                return
            self.each_turn()
        self._look()

    def at(self, instant: datetime, do: Callable[[], None]) -> None:
        """Plan something; it comes after all else that is due at that instant."""
        heapq.heappush(self._events, _Event(instant, next(self._order), do))

    # --- people ----------------------------------------------------------------------------------

    def _look(self) -> None:
        """See new questions, and let people think of what they will say."""
        if self.world.snapshots == self._seen:
            return
        self._seen = self.world.snapshots
        for waiting in self.world.snapshot.get("waiting", []):
            if (waiting["step"], waiting["round"]) in self.asked:
                continue
            asked = asked_of(waiting)
            self.asked[asked.step, asked.round] = asked
            for act in self.cast.hear(asked, self.now):
                self.at(act.at, lambda act=act: self._say(act))  # type: ignore[misc]

    def _say(self, act: Act) -> None:
        if not self.ended:
            self.decide(act.step, act.says)

    def decide(self, step: str, says: Says) -> DecisionReceipt:
        """Bring what a person says to the run.

        Raises:
            Unheard: It counted although it must not, or the other way round.
        """
        receipt = self.try_to_decide(step, says)
        if says.refused is None and not receipt.accepted:
            raise Unheard(f"{step}: {says.who} was refused ({receipt.code}): {receipt.message}", says)
        if says.refused is not None and receipt.code != says.refused:
            raise Unheard(f"{step}: {says.who} was to be refused as {says.refused}, and got {receipt.code}.", says)
        return receipt

    def try_to_decide(self, step: str, says: Says) -> DecisionReceipt:
        """Bring what a person says to the run; its receipt, accepted or not.

        Raises:
            Unheard: Nobody was asked anything there.
        """
        rounds = [asked for (name, _), asked in self.asked.items() if name == step]
        if not rounds or self.ended:
            raise Unheard(f"{step} asks nobody now, so {says.who} cannot decide there.", says)
        act = Act(self.now, step, says)
        if says.verdict == "done":
            self.by_hand(rounds[-1].question)
        made = self.cast.decision(act, rounds[-1], incident=self.incident, run=self.run, now=self.now)
        receipt = self.server.update("decide", made, DecisionReceipt, f"word-{next(self._words)}")
        self.receipts.append((says, receipt))
        return receipt

    # --- what else happens ---------------------------------------------------------------------------

    def set_facts(self, changes: Mapping[str, Json], by: str = "") -> None:
        """Let the incident learn facts, by a person if one is named."""
        at = stamp(self.now)
        trust = "person" if by else "read"
        fresh = {name: Fact(value=value, at=at, by=by, trust=trust) for name, value in changes.items()}
        self._facts = FactsSnapshot(version=self._facts.version + 1, facts=self._facts.facts | fresh)
        self.server.signal("facts_changed", self._facts)

    def event(self, name: str, body: Mapping[str, Json], person: str = "somebody") -> Receipt:
        """Let an event arrive that a step waits for."""
        number = f"word-{next(self._words)}"
        given = EventGiven(name=name, body=dict(body), person=person, door="trial", nonce=number)
        return self.server.update("event", given, Receipt, number)

    def cancel(self) -> None:
        """Cancel the run."""
        self.server.cancel()

    def pause(self, person: str = "somebody") -> Receipt:
        """Start no further step."""
        return self._paused("pause", person)

    def resume(self, person: str = "somebody") -> Receipt:
        """Go on."""
        return self._paused("resume", person)

    def _paused(self, verb: str, person: str) -> Receipt:
        request = PauseRequest(person=person, reason="trial")
        return self.server.update(verb, request, Receipt, f"word-{next(self._words)}")

    def die(self) -> None:
        """Let the worker die, and another one go on from the history."""
        self.server.die()

    # --- what came of it -------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The run as people see it."""
        return self.server.query("status", dict)

    def close(self) -> None:
        """Let go of the workflow."""
        self.server.close()


def asked_of(waiting: Mapping[str, Any]) -> Asked:
    """A question, from the entry that waits."""
    return Asked(
        step=waiting["step"],
        kind=waiting["kind"],
        digest=waiting["digest"],
        question=waiting["question"],
        needs=list(waiting["who"]["needs"]),
        excluded=list(waiting["who"]["excluded"]),
        verdicts=list(waiting["verdicts"]),
        preview=list(waiting["preview"]),
        opened_at=waiting["opened_at"],
        round=waiting["round"],
    )
