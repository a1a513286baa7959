"""Regimes: which law asks for which notification, when its clock starts, and what the notification must say.

A regime is a reviewed YAML file, read by ``regimes_loader``. Whether it applies is a condition over facts
with three answers: yes, no, and not known; what is not known is named with the question that settles it.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from playbooks.contract import Json
from playbooks.facts import Facts, FactValue, full_name
from playbooks.facts_vocabulary import KINDS

SUBMITTED = "_submitted"
"""``STAGE_submitted`` is the dated fact that a stage of the same regime was filed."""

_DURATION = re.compile(r"(\d{1,4})(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MAX_DEPTH = 8


def _duration(value: Json) -> timedelta:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("write a duration such as 30m, 4h or 2d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _day(value: Json) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Day = Annotated[date, BeforeValidator(_day)]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,63}$")]


class Authored(BaseModel):
    """What an author writes: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclass(frozen=True)
class Verdict:
    """Answer of a condition, ``None`` for not known, with the reasons and the open facts."""

    answer: bool | None
    because: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


class Condition(Authored):
    """``{fact, is}``, ``{fact, has}``, ``{all}``, ``{any}`` or ``{not}``; ``text`` says it in words."""

    fact: str | None = None
    is_: Json = Field(None, alias="is")
    has: tuple[str, ...] = ()
    over: int | None = None
    all_: tuple["Condition", ...] = Field((), alias="all")
    any_: tuple["Condition", ...] = Field((), alias="any")
    not_: "Condition | None" = Field(None, alias="not")
    text: str = ""
    law: str = ""

    @model_validator(mode="after")
    def _one_form(self) -> "Condition":
        tests = [self.is_ is not None, bool(self.has), self.over is not None]
        forms = [self.fact is not None, bool(self.all_), bool(self.any_), self.not_ is not None]
        if sum(forms) != 1:
            raise ValueError("a condition has exactly one of fact, all, any, not")
        if (self.fact is not None) != (sum(tests) == 1):
            raise ValueError("a fact is tested by exactly one of is, has, over")
        if self._depth() > _MAX_DEPTH:
            raise ValueError(f"conditions are nested deeper than {_MAX_DEPTH}")
        return self

    def _depth(self) -> int:
        inner = [*self.all_, *self.any_, *([self.not_] if self.not_ else [])]
        return 1 + max((part._depth() for part in inner), default=0)

    def facts(self) -> Iterator[str]:
        """Names of all facts that it reads, in order."""
        if self.fact is not None:
            yield self.fact
        for part in (*self.all_, *self.any_, *([self.not_] if self.not_ else ())):
            yield from part.facts()

    def judge(self, facts: Facts, *, duty: bool = True) -> Verdict:
        """Answer with Kleene's logic: what is not known stays open unless the rest decides.

        ``duty`` is the answer under which somebody must notify. What only a detector claims never gives the
        other one, so that no alert switches a duty off.
        """
        if self.fact is not None:
            return self._leaf(self.fact, facts, duty)
        if self.not_ is not None:
            inner = self.not_.judge(facts, duty=not duty)
            return Verdict(None if inner.answer is None else not inner.answer, inner.because, inner.undecided)
        decisive = bool(self.any_)
        parts = [part.judge(facts, duty=duty) for part in (self.any_ or self.all_)]
        settled = [part for part in parts if part.answer is decisive]
        if settled:
            return Verdict(decisive, tuple(why for part in settled for why in part.because))
        undecided = tuple(dict.fromkeys(name for part in parts for name in part.undecided))
        because = tuple(why for part in parts for why in part.because)
        return Verdict(None if undecided else not decisive, because, undecided)

    def _leaf(self, fact: str, facts: Facts, duty: bool) -> Verdict:
        name = full_name(fact)
        found = facts.get(name)
        answer = self._test(found) if found.known else None
        if answer is None or (answer is not duty and found.trust == "alert"):
            return Verdict(None, (), (name,))
        needed = "" if answer else "needed: "
        words = f" ({needed}{self.text}{', ' + self.law if self.law else ''})" if self.text else ""
        return Verdict(answer, (f"{name} is {spoken(found.value)}{words}",))

    def _test(self, found: FactValue) -> bool:
        if self.over is not None:
            return isinstance(found.value, int) and found.value > self.over
        if self.has:
            return bool(set(self.has) & set(found.value if isinstance(found.value, list) else [found.value]))
        return found.value in self.is_ if isinstance(self.is_, list) else found.value == self.is_


def spoken(value: Json) -> str:
    """A fact's value in words: yes and no, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(spoken, value)) if isinstance(value, (list, tuple)) else str(value)


class Source(Authored):
    """Where a rule is from. ``confirmed`` says whether somebody read it there, on ``read``."""

    title: str
    url: str = ""
    read: Day | None = None
    confirmed: bool = True


class Shorter(Authored):
    """Another length under a condition."""

    when: Condition
    n: int = Field(gt=0, le=100_000)
    law: str


class ClockRule(Authored):
    """When a stage is due. ``start`` is a dated fact; ``or_from`` stands in until a person says.

    ``outer`` is the legal best case: ``none``, or ``eu1182`` for Regulation 1182/71; ``outer_confirmed``
    false means that nobody confirmed that the rule holds here.
    """

    start: str
    or_from: tuple[str, ...] = ()
    unit: Literal["hour", "cal_day", "month", "asap"]
    n: int | None = Field(None, gt=0, le=100_000)
    plus: str = ""
    outer: Literal["none", "eu1182"] = "none"
    outer_confirmed: bool = True
    shorter: tuple[Shorter, ...] = ()

    @model_validator(mode="after")
    def _counted(self) -> "ClockRule":
        if (self.unit == "asap") != (self.n is None):
            raise ValueError("n is required for hour, cal_day and month, and absent for asap")
        return self

    @property
    def words(self) -> str:
        """The period in words, e.g. ``72 hours``."""
        if self.n is None:
            return self.plus or "without undue delay"
        unit = {"hour": "hour", "cal_day": "day", "month": "month"}[self.unit]
        return f"{self.n} {unit}{'s' if self.n > 1 else ''}"


class FieldRule(Authored):
    """One element that the law asks for. ``facts`` fill it."""

    id: Identifier
    text: str
    req: Literal["mandatory", "where_possible", "if_applicable", "if_available", "mandatory_if_late"]
    law: str
    facts: tuple[str, ...] = Field(min_length=1)


class Reminders(Authored):
    """When people are reminded: so long before the strict due instant, or so long after the start."""

    before: tuple[Duration, ...] = ()
    after: tuple[Duration, ...] = ()


class Stage(Authored):
    """One notification or report."""

    id: Identifier
    title: str
    law: str
    type: Literal["initial", "followup", "final"] = "initial"
    clock: ClockRule
    applies: Condition | None = None
    fields: tuple[FieldRule, ...] = ()
    remind: Reminders = Reminders()
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = Field(min_length=1)
    confirmed: bool = True


class Validity(Authored):
    """From which day, and until which (inclusive), the rule is law."""

    from_: Day = Field(alias="from")
    until: Day | None = None


class Place(Authored):
    """Whose civil calendar counts: ``fact`` names it, ``if_unknown`` are the zones between which it lies."""

    fact: str
    if_unknown: tuple[str, ...] = Field(min_length=1)
    holidays: str


class Exemption(Authored):
    """When the duty falls away although the rest applies."""

    when: Condition
    text: str
    law: str


class FanOut(Authored):
    """When one recipient becomes several: one for each entry of ``fact``."""

    when: Condition
    fact: str
    text: str
    law: str


class Regime(Authored):
    """One law's duty to notify, with its stages."""

    stanch_regime: Literal[1]
    id: Identifier
    name: str
    law: str
    jurisdiction: str
    as_of: Day
    valid: Validity
    pending: tuple[str, ...] = ()
    who: str
    to: str
    recipient: str
    """Fact that names the recipient."""
    fan_out: FanOut | None = None
    trigger: str
    applies: Condition
    exemptions: tuple[Exemption, ...] = ()
    place: Place
    language: str = "en"
    approvals: tuple[str, ...] = ("legal", "incident_commander")
    records: str = ""
    sources: dict[str, Source]
    stages: tuple[Stage, ...] = Field(min_length=1)

    def stage(self, name: str) -> Stage | None:
        """The stage of that id."""
        return next((stage for stage in self.stages if stage.id == name), None)

    def in_force(self, day: date) -> bool:
        """Whether the rule is law on ``day``."""
        return self.valid.from_ <= day and (self.valid.until is None or day <= self.valid.until)

    def judge(self, facts: Facts, stage: Stage) -> Verdict:
        """Whether the stage applies. An exemption ends the duty once it is known to hold, not before."""
        both = [self.applies.judge(facts), *([stage.applies.judge(facts)] if stage.applies else [])]
        against = [verdict for verdict in both if verdict.answer is False]
        if against:
            return Verdict(False, tuple(why for verdict in against for why in verdict.because))
        freed = [entry for entry in self.exemptions if entry.when.judge(facts, duty=False).answer]
        if freed:
            return Verdict(False, tuple(f"{entry.text} ({entry.law})" for entry in freed))
        undecided = tuple(dict.fromkeys(name for verdict in both for name in verdict.undecided))
        because = tuple(why for verdict in both for why in verdict.because)
        return Verdict(None if undecided else True, because, undecided)


def known_dated(regime: Regime) -> set[str]:
    """Names of the dated facts that clocks of this regime may start from."""
    named = {kind.short for kind in KINDS.values() if kind.type == "datetime"}
    return named | {f"{stage.id}{SUBMITTED}" for stage in regime.stages}


@dataclass(frozen=True)
class RegimeLibrary:
    """Regimes by id with the digest of each file, and the templates of their drafts by path."""

    regimes: dict[str, Regime] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> Regime | None:
        """The regime of that id."""
        return self.regimes.get(name)

    @property
    def templates_digest(self) -> str:
        """SHA-256 over all templates, in the order of their paths."""
        whole = "\0".join(f"{path}\0{text}" for path, text in sorted(self.templates.items()))
        return hashlib.sha256(whole.encode()).hexdigest()

    def document(self) -> Mapping[str, str]:
        """Versions by name, for results that must say what they were computed with."""
        return dict(sorted(self.digests.items()))
