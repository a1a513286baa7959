"""What an incident decides without asking anyone: which fact wins, whether it is contained, whether it may close.

Pure; no Temporal.
"""

from collections.abc import Callable
from dataclasses import dataclass

from playbooks.contract import Json, Notice, Urgency
from workflows.gates import parse
from workflows.messages import ClockChange, FactChange, RunChanged
from workflows.state import Fact, IncidentRun, IncidentState

TRUST = ("alert", "read", "person")
"""Weakest first: what a person said is never overwritten by a reading or an alert."""
ENDED = frozenset({"done", "failed", "denied", "cancelled", "undone"})
CLOCK_VERBS = {
    "confirm": "confirmed",
    "correct": "corrected",
    "submit": "submitted",
    "dismiss": "dismissed",
    "handover": "handed_over",
}


def take_fact(state: IncidentState, change: FactChange) -> bool:
    """Take a fact over if its source is at least as trusted as the one that holds; the loser is kept.

    Returns whether the incident's facts changed.
    """
    fact = Fact(value=change.value, trust=change.trust, by=change.by, source=change.source, at=change.at)
    held = state.facts.facts.get(change.fact)
    if held is not None:
        if held.value == fact.value and TRUST.index(held.trust) >= TRUST.index(fact.trust):
            return False
        weaker = TRUST.index(fact.trust) < TRUST.index(held.trust)
        loser = fact if weaker else held
        if loser.value is not None:
            state.losers.setdefault(change.fact, []).append(loser)
        if weaker:
            return False
    facts = dict(state.facts.facts)
    if change.value is None:
        facts.pop(change.fact, None)
    else:
        facts[change.fact] = fact
    state.facts = state.facts.model_copy(update={"version": state.facts.version + 1, "facts": facts})
    state.clocks_stale = True
    return True


def take_report(state: IncidentState, report: RunChanged, now: str) -> bool:
    """Take over what a run says of itself; ``False`` for a report that a later one has overtaken."""
    run = state.runs.setdefault(report.run, IncidentRun(expected_at=now))
    if report.seq <= run.seq:
        return False
    run.seq, run.status, run.phase = report.seq, report.status, report.phase
    run.contain_started, run.contain_verified = report.contain_started, report.contain_verified
    run.unknown = report.unknown
    if report.supersedes in state.runs:
        state.runs[report.supersedes].superseded = True
    return True


def contained(state: IncidentState) -> bool:
    """Whether every started effect step of phase contain is done and verified, in all runs, and there is one."""
    runs = [run for run in state.runs.values() if not run.superseded]
    started = sum(run.contain_started for run in runs)
    verified = sum(run.contain_verified for run in runs)
    still = any(run.phase == "contain" and run.status not in ENDED for run in runs)
    return started > 0 and started == verified and not still and not any(run.unknown for run in runs)


def dropped_clocks(state: IncidentState) -> frozenset[str]:
    """Clocks that people have dismissed or handed over, also where that is not yet computed.

    What was submitted is not among them: it may start the clock of a follow-up.
    """
    said = state.clock_decisions.items()
    return frozenset(clock for clock, decision in said if decision.get("state") in ("dismissed", "handed_over"))


def not_closable(state: IncidentState, patched: Callable[[str], bool] = lambda _: True) -> tuple[str, str] | None:
    """Why the incident cannot be closed: a code and what to do first; ``None`` if it can.

    ``patched`` is the workflow's: whether it may behave as later versions do.
    """
    unknown = [name for name, run in state.runs.items() if run.unknown and not run.superseded]
    if unknown:
        return (
            "effect_unknown",
            f"The outcome of an effect is unknown in {', '.join(unknown)}. The incident stays open; find out first.",
        )
    running = [name for name, run in state.runs.items() if run.status not in ENDED]
    if running:
        return "run_active", f"Still running: {', '.join(running)}. The incident stays open; let them end."
    unreviewed = [f"{review.step} of {review.run}" for review in state.reviews if review.verdict is None]
    if unreviewed:
        return (
            "review_open",
            f"Nobody has reviewed the break-glass at {', '.join(unreviewed)}. The incident stays open.",
        )
    open_clocks = [str(clock["id"]) for clock in state.clocks if clock.get("open")]
    # Whoever settles the last clock and closes at once need not wait for the clocks to be computed anew.
    owed = set(open_clocks) - dropped_clocks(state)
    if owed or (open_clocks and not patched("2026-11-25-close-after-last-clock")):
        return (
            "clock_open",
            f"These clocks are neither submitted, dismissed nor handed over: {', '.join(open_clocks)}. "
            "The incident stays open.",
        )
    return None


@dataclass(frozen=True)
class Reminder:
    """One reminder of a clock that was not yet given. ``at`` is RFC 3339."""

    at: str
    clock: dict[str, Json]
    wanted: dict[str, Json]

    @property
    def id(self) -> str:
        """The same for the same clock and instant."""
        return f"{self.clock['id']}@{self.at}"

    def notice(self, incident: str, now: str) -> Notice:
        """What people are told."""
        return Notice(
            id=f"{incident}:clock:{self.id}",
            incident=incident,
            to=(f"role:{self.wanted.get('to', 'legal')}",),
            urgency=Urgency(str(self.wanted.get("urgency", "high"))),
            body={
                "kind": "text",
                "text": str(self.wanted.get("text", self.clock["id"])),
                "clock": self.clock["id"],
            },
            at=now,
        )


def reminders(state: IncidentState) -> list[Reminder]:
    """Reminders not yet given, soonest first."""
    given = set(state.reminded)
    waiting = [
        Reminder(str(wanted["at"]), clock, wanted)
        for clock in state.clocks
        if clock.get("open")
        for wanted in clock.get("reminders") or ()
    ]
    return sorted((one for one in waiting if one.id not in given), key=lambda one: parse(one.at))


def clock_refusal(state: IncidentState, change: ClockChange) -> tuple[str, str] | None:
    """Why a change of a clock is refused: a code and a sentence; ``None`` if it is not."""
    if change.verb not in CLOCK_VERBS:
        return "bad_verdict", f"A clock takes one of: {', '.join(CLOCK_VERBS)}."
    if all(change.clock != clock["id"] for clock in state.clocks):
        return "unknown_clock", f"There is no clock {change.clock} here."
    if change.verb not in ("confirm", "submit") and not change.reason.strip():
        return "bad_value", f"To {change.verb} a clock takes a reason."
    if change.verb == "correct" and change.at is None:
        return "bad_value", "To correct a clock takes the right instant."
    return None
