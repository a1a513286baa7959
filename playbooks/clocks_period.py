"""From a start to a due instant, for one stage of one regime, with the rules that were used.

Two instants are given: ``strict`` takes no benefit of rounding or of a day that moves, and is the only one that
alarms; ``outer`` is the legal best case, for counsel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from playbooks.clocks_time import (
    Moment,
    TimeError,
    Workdays,
    end_of_period,
    plus_hours,
    plus_hours_1182,
    zone,
)
from playbooks.facts import Facts, full_name
from playbooks.regimes_model import Regime, Stage

R1182 = "Regulation (EEC, Euratom) No 1182/71"


@dataclass(frozen=True)
class Rule:
    """One rule that was used; ``confirmed`` is false where nobody confirmed that it holds here."""

    id: str
    text: str
    source: str
    confirmed: bool = True

    def document(self) -> dict[str, object]:
        """Plain JSON."""
        return {"id": self.id, "text": self.text, "source": self.source, "confirmed": self.confirmed}


@dataclass(frozen=True)
class Place:
    """Where a period is counted: one zone, or several between which the true one lies."""

    zones: tuple[ZoneInfo, ...]
    workdays: Workdays
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str | None:
        """The zone, ``None`` where it is not known."""
        return self.zones[0].key if len(self.zones) == 1 else None


@dataclass(frozen=True)
class Due:
    """When a stage is due; both ``None`` for one that has no number (``asap``)."""

    strict: Moment | None = None
    outer: Moment | None = None
    rules: tuple[Rule, ...] = ()
    not_confirmed: tuple[str, ...] = ()
    undecided: tuple[str, ...] = field(default=())


Ends = tuple[Moment, Moment, tuple[Rule, ...], tuple[str, ...]]
"""Strict and outer end, the rules that gave them, and what is not confirmed."""


def place_of(regime: Regime, facts: Facts) -> Place:
    """Whose civil calendar counts, as far as the facts say."""
    warnings: list[str] = []
    zones = tuple(zone(name) for name in regime.place.if_unknown)
    found = facts.get(regime.place.fact)
    if found.known:
        try:
            zones = (zone(str(found.value)),)
        except TimeError as error:
            warnings.append(f"{full_name(regime.place.fact)}: {error.message}")
    workdays = Workdays()
    holidays = facts.get(regime.place.holidays)
    if holidays.known:
        try:
            workdays = Workdays(str(holidays.value))
        except TimeError as error:
            warnings.append(f"{full_name(regime.place.holidays)}: {error.message}")
    return Place(zones, workdays, tuple(warnings))


def due(regime: Regime, stage: Stage, start: Moment, facts: Facts, place: Place) -> Due:
    """Work out when ``stage`` is due from ``start``.

    Raises:
        TimeError: The period ends outside the calendar.
    """
    rule = stage.clock
    if rule.n is None:
        text = f"{rule.words}: the law sets no number, so there is no due instant, only an age"
        return Due(rules=(Rule("no_number", text, f"{regime.law}, {stage.law}", stage.confirmed),))
    number, source = rule.n, f"{regime.law}, {stage.law}"
    undecided: list[str] = []
    for shorter in rule.shorter:
        verdict = shorter.when.judge(facts)
        if verdict.answer and shorter.n < number:
            number, source = shorter.n, f"{regime.law}, {shorter.law}"
        undecided.extend(verdict.undecided)
    if rule.unit == "hour":
        found = _hours(stage, number, source, start, place)
    else:
        found = _days(stage, number, source, start, place)
    strict, outer, rules, open_points = found
    return Due(strict, outer, rules, open_points, tuple(undecided))


def _hours(stage: Stage, number: int, source: str, start: Moment, place: Place) -> Ends:
    strict = plus_hours(start, number)
    rules = [
        Rule("hours_absolute", f"{number} elapsed hours; weekends and holidays count", source, stage.confirmed),
    ]
    if stage.clock.outer == "none":
        return strict, strict, tuple(rules), ()
    text = "the hour of the event is not counted, so the period ends with a full hour (best case)"
    rules.append(Rule("eu1182_hours", text, f"{R1182}, Art. 3(1), 3(2)(a)"))
    ends = [plus_hours_1182(start, number, where) for where in place.zones]
    outer = Moment(min(end.earliest for end in ends), max(end.latest for end in ends), start.precision)
    return strict, outer, tuple(rules), ()


def _days(stage: Stage, number: int, source: str, start: Moment, place: Place) -> Ends:
    unit = stage.clock.unit
    words = "calendar month" if unit == "month" else "calendar day"
    strict = end_of_period(start, number, unit, place.zones)
    text = f"{number} {words}{'s' if number > 1 else ''}, to 24:00 local of the last day; the day of the event"
    rules = [Rule(f"{unit}_end", f"{text} is not counted", source, stage.confirmed)]
    open_points = []
    if place.name is None:
        open_points.append("The time zone is not known: the earliest possible end of the day alarms.")
    if stage.clock.outer == "none":
        return strict, strict, tuple(rules), tuple(open_points)
    confirmed = stage.clock.outer_confirmed
    text = "a last day that is no working day moves to the next working day (best case)"
    rules.append(Rule("eu1182_roll", text, f"{R1182}, Art. 3(4), 3(5)", confirmed))
    try:
        outer = end_of_period(start, number, unit, place.zones, place.workdays)
    except TimeError as error:
        outer = strict
        open_points.append(error.message)
    if not confirmed:
        open_points.append("Whether the last day moves to a working day here is not confirmed; ask counsel.")
    if place.workdays.name is None:
        open_points.append("Public holidays are not known: only weekends move the outer instant.")
    return strict, outer, tuple(rules), tuple(open_points)


def late(notified: Moment, found: Due) -> bool | None:
    """Whether a notification was late: ``None`` where the facts or the rules leave it open.

    It was in time up to the earliest strict instant, and late after the latest outer one.
    """
    if found.strict is None or found.outer is None:
        return None
    if notified.latest <= found.strict.earliest:
        return False
    return True if notified.earliest > max(found.outer.latest, found.strict.latest) else None


def work_out(
    regime: Regime,
    stage: Stage,
    start: Moment | None,
    facts: Facts,
    notified: Moment | None = None,
    zones: Sequence[ZoneInfo] = (),
) -> dict[str, object]:
    """One clock as a document, without an incident: what ``stanch clock`` prints.

    ``zones`` replaces the place that the facts name.
    """
    place = place_of(regime, facts)
    if zones:
        place = Place(tuple(zones), place.workdays, place.warnings)
    found = due(regime, stage, start, facts, place) if start else Due()
    return {
        "regime": regime.id,
        "stage": stage.id,
        "title": stage.title,
        "law": f"{regime.law}, {stage.law}",
        "in_force": in_force(regime, start, place) if start else None,
        "start": start.document() if start else None,
        "starts_with": stage.clock.start,
        "period": stage.clock.words,
        "precision": start.precision if start else None,
        "zone": place.name,
        "strict_due": found.strict.document() if found.strict else None,
        "outer_due": found.outer.document() if found.outer else None,
        "rules": [rule.document() for rule in found.rules],
        "not_confirmed": [*found.not_confirmed, *place.warnings],
        "late": late(notified, found) if notified else None,
    }


def in_force(regime: Regime, start: Moment, place: Place) -> bool:
    """Whether the rule was law at the start, at the place of the clock."""
    return regime.in_force(start.earliest.astimezone(place.zones[0]).date())
