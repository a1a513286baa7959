"""The clocks of an incident: which duties to notify may run, since when, until when, and what is still open.

Pure: the same facts, decisions, regimes and instant give the same clocks. Nothing here reads a wall clock, and
nothing is ever sent. A clock starts as a *candidate* as soon as its regime may apply; people confirm it,
correct its start, submit, dismiss or hand it over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from playbooks.clocks_period import Due, Place, due, in_force, late, place_of
from playbooks.clocks_said import Said, said
from playbooks.clocks_time import Moment, TimeError, moment, rfc3339, versions
from playbooks.contract import Json
from playbooks.facts import FactError, Facts, full_name, read_facts
from playbooks.facts_vocabulary import KINDS
from playbooks.regimes_model import SUBMITTED, Regime, RegimeLibrary, Stage, Verdict

ARITHMETIC = "1"
"""Version of the rules of counting in this package; part of every result."""

CLOSED = frozenset({"submitted", "dismissed", "handed_over", "not_applicable", "waiting"})
"""States that do not keep an incident from being closed."""

_SOON = timedelta(hours=24)
_LOUD = timedelta(hours=4)


def compute(
    request: Mapping[str, Any] | Any, library: RegimeLibrary, organisation: Mapping[str, Json] | None = None
) -> dict[str, Any]:
    """Return every clock of an incident.

    Args:
        request: The fields of ``ClocksInput`` (a mapping, or the model): ``incident``, ``facts`` (plain values or
            with provenance; also ``organisation.NAME``), ``dated``, ``decisions`` and ``now``.
        library: The regimes.
        organisation: Standing facts of the organisation, from settings.

    Returns:
        ``clocks`` as plain JSON without floats, ``versions`` of the regimes, tzdata and holidays, and
        ``problems``: facts that could not be read. Of a clock: ``id`` (``REGIME/STAGE``), ``state`` (``waiting
        candidate running due_soon overdue submitted dismissed handed_over not_applicable``), ``open`` (keeps
        the incident from being closed), ``candidate``, ``applies`` (``yes no not_known``) with ``because`` and
        ``undecided``, ``start``, ``due`` (alarms), ``strict_due`` and ``outer_due``, ``age_seconds``, ``late``
        (``None`` where nobody can tell), ``to_record``, ``reminders`` (``id at to urgency text``), ``text``.

    Raises:
        TimeError: ``now`` is no instant.
    """
    given = request if isinstance(request, Mapping) else request.model_dump(mode="json")
    problems: list[FactError] = []
    facts = read_facts(given.get("facts") or {}, organisation=organisation, problems=problems)
    facts = facts.with_dated(given.get("dated") or {})
    now = moment(given["now"]).earliest
    decisions = given.get("decisions") or {}
    clocks = []
    for regime in library.regimes.values():
        spoken = {stage.id: said(decisions.get(clock_id(regime, stage))) for stage in regime.stages}
        for stage in regime.stages:
            clocks.append(_Clock(regime, stage, facts, spoken, now).document())
    return {
        "clocks": clocks,
        "versions": {"arithmetic": ARITHMETIC, **versions(), **library.document()},
        "problems": [{"fact": error.fact, "code": error.code, "message": error.message} for error in problems],
    }


def clock_id(regime: Regime, stage: Stage) -> str:
    """``REGIME/STAGE``, unique within an incident."""
    return f"{regime.id}/{stage.id}"


@dataclass(frozen=True)
class Start:
    """When a clock started, from which fact; ``provisional`` until a dated fact or a person says so."""

    at: Moment
    fact: str
    provisional: bool = False
    because: str = ""

    def document(self) -> dict[str, Json]:
        """Plain JSON."""
        told = {"fact": self.fact, "precision": self.at.precision, "provisional": self.provisional}
        return {**self.at.document(), **told, "because": self.because}


def find_start(
    regime: Regime, stage: Stage, facts: Facts, spoken: Mapping[str, Said], place: Place
) -> tuple[Start | None, list[str]]:
    """When a stage's clock started, and what could not be read on the way.

    A person's correction comes first, then the dated fact (of this regime before the common one), then the
    submission of an earlier stage, then what stands in for it.
    """
    mine = spoken.get(stage.id, Said())
    warnings: list[str] = []
    if mine.start:
        try:
            at = moment(mine.start, place.zones)
            return Start(at, "correction", False, f"{mine.person}: {mine.start_reason}".strip(": ")), warnings
        except TimeError as error:
            warnings.append(f"The corrected start was not taken. {error.message}")
    wanted = stage.clock.start
    names = [(f"incident.{regime.id}.{wanted}", False), (wanted, False)]
    names += [(name, not mine.confirmed) for name in stage.clock.or_from]
    earlier = spoken.get(wanted.removesuffix(SUBMITTED)) if wanted.endswith(SUBMITTED) else None
    if earlier and earlier.submission and earlier.submission["at"]:
        try:
            return Start(moment(earlier.submission["at"], place.zones), wanted), warnings
        except TimeError as error:
            warnings.append(f"The submission's instant was not taken. {error.message}")
    for name, stands_in in names:
        try:
            found = facts.when(name, place.zones)
        except FactError as error:
            warnings.append(error.message)
            continue
        if found is not None:
            at, fact = found
            provisional = stands_in or (fact.trust == "alert" and not mine.confirmed)
            return Start(at, full_name(name), provisional, fact.because), warnings
    return None, warnings


class _Clock:
    """One stage of one regime for one incident."""

    def __init__(self, regime: Regime, stage: Stage, facts: Facts, spoken: Mapping[str, Said], now: datetime) -> None:
        self.regime, self.stage, self.facts, self.now = regime, stage, facts, now
        self.said = spoken[stage.id]
        self.place = place_of(regime, facts)
        self.warnings = list(self.place.warnings)
        self.start, more = find_start(regime, stage, facts, spoken, self.place)
        self.warnings += more
        self.verdict: Verdict = regime.judge(facts, stage)
        self.due = self._due()
        self.submission = self._submission()
        self.candidate = not self.said.confirmed and (
            self.verdict.answer is None or (self.start is not None and self.start.provisional)
        )
        self.state = self._state()

    def _due(self) -> Due:
        if self.start is None:
            return Due()
        try:
            return due(self.regime, self.stage, self.start.at, self.facts, self.place)
        except TimeError as error:
            self.warnings.append(error.message)
            return Due()

    def _submission(self) -> dict[str, Json] | None:
        """Who filed when under which reference; a dated fact alone says only when."""
        filed = self.said.submission if self.said.ended == "submitted" else None
        name = f"{self.stage.id}{SUBMITTED}"
        if filed is None and self.said.ended is None:
            for wanted in (f"incident.{self.regime.id}.{name}", f"incident.{name}"):
                fact = self.facts.get(wanted)
                if fact.known:
                    filed = {"at": str(fact.value), "by": fact.by, "reference": fact.because}
                    break
        if filed is None:
            return None
        verdict = None
        try:
            at = moment(filed["at"], self.place.zones) if filed["at"] else None
            verdict = late(at, self.due) if at else None
        except TimeError as error:
            self.warnings.append(f"The submission's instant was not taken. {error.message}")
        return {**filed, "late": verdict}

    def _state(self) -> str:
        if self.submission is not None:
            return "submitted"
        if self.said.ended is not None:
            return self.said.ended
        if self.verdict.answer is False and not self.said.confirmed:
            return "not_applicable"
        if self.start is None:
            return "waiting"
        if self.due.strict is not None:
            left = self.due.strict.earliest - self.now
            # The instant itself is still in time, as for a submission.
            if left < timedelta(0):
                return "overdue"
            if left <= max(self.stage.remind.before, default=_SOON):
                return "due_soon"
        return "candidate" if self.candidate else "running"

    @property
    def is_open(self) -> bool:
        return self.state not in CLOSED

    def _late(self) -> bool | None:
        if self.submission is not None:
            told: bool | None = self.submission["late"]
            return told
        return late(Moment(self.now, self.now), self.due) if self.is_open else None

    def document(self) -> dict[str, Any]:
        """The clock as plain JSON, the same for store, status, card and command line."""
        strict = self.due.strict
        start = self.start
        if self.verdict.answer is False and (self.said.confirmed or self.submission):
            self.warnings.append("The facts say that this does not apply, a person says that it does.")
        if self.verdict.answer is True and self.state == "dismissed":
            self.warnings.append("Dismissed, but the facts now say that it applies.")
        seconds = None if start is None else max(0, _seconds(self.now - start.at.earliest))
        return {
            "id": clock_id(self.regime, self.stage),
            "regime": self.regime.id,
            "stage": self.stage.id,
            "name": self.regime.name,
            "title": self.stage.title,
            "law": f"{self.regime.law}, {self.stage.law}",
            "to": self.regime.to,
            "type": self.stage.type,
            "state": self.state,
            "candidate": self.candidate and self.is_open,
            "confirmed": self.said.confirmed,
            "open": self.is_open,
            "applies": {True: "yes", False: "no", None: "not_known"}[self.verdict.answer],
            "because": list(self.verdict.because),
            "undecided": [_question(name) for name in (*self.verdict.undecided, *self.due.undecided)],
            "in_force": in_force(self.regime, start.at, self.place) if start else None,
            "start": start.document() if start else None,
            "starts_with": self.stage.clock.start,
            "period": self.stage.clock.words,
            "zone": self.place.name,
            "due": rfc3339(strict.earliest) if strict else None,
            "strict_due": strict.document() if strict else None,
            "outer_due": self.due.outer.document() if self.due.outer else None,
            "age_seconds": seconds,
            "left_seconds": _seconds(strict.earliest - self.now) if strict and self.is_open else None,
            "late": self._late(),
            "rules": [rule.document() for rule in self.due.rules],
            "not_confirmed": list(self.due.not_confirmed),
            "submission": self.submission,
            "ended": {"by": self.said.person, "reason": self.said.reason} if self.said.ended else None,
            "to_record": self._to_record(),
            "delay_reasons_due": self.delay_reasons_due,
            "reminders": self._reminders() if self.is_open else [],
            "warnings": self.warnings,
            "text": self._text(),
        }

    def _to_record(self) -> list[str]:
        """What somebody must still write down, by name."""
        wanted = []
        if self.is_open and self.verdict.answer is None and not self.said.confirmed:
            wanted.append("applicability")
        if (self.start is None and self.state == "waiting") or (
            self.is_open and self.start is not None and self.start.provisional
        ):
            wanted.append("start")
        if self.is_open:
            wanted.append("submission")
        elif self.submission is not None:
            wanted += [f"submission.{key}" for key in ("at", "by", "reference") if not self.submission[key]]
        if self.delay_reasons_due and not self.facts.get("delay_reasons").known:
            wanted.append("delay_reasons")
        return wanted

    @property
    def delay_reasons_due(self) -> bool:
        """Late is told with reasons, as soon as being in time is not certain."""
        if self.due.strict is None or self.state in ("dismissed", "handed_over", "not_applicable"):
            return False
        return self.state == "overdue" or (self.submission is not None and self.submission["late"] is not False)

    def _reminders(self) -> list[dict[str, Json]]:
        """Instants at which people are told, in order; each id names what it was worked out from."""
        start, strict = self.start, self.due.strict
        name = f"{self.stage.title} ({self.regime.name})"
        found = []
        if start is not None and strict is not None:
            anchor = strict.earliest
            for before in sorted(self.stage.remind.before, reverse=True):
                at = anchor - before
                if at > start.at.earliest:
                    loud = "high" if before <= _LOUD else "normal"
                    said_ = f"{name}: {_span(before)} left, due {rfc3339(anchor)}."
                    found.append(_reminder(self, f"before-{_span(before, short=True)}", at, loud, said_))
            text = f"{name}: due now ({rfc3339(anchor)}). No submission is recorded."
            found.append(_reminder(self, "due", anchor, "page", text))
        elif start is not None:
            for after in sorted(self.stage.remind.after):
                text = f"{name}: {_span(after)} since the start. {self.stage.clock.words.capitalize()}."
                at = start.at.earliest + after
                found.append(_reminder(self, f"after-{_span(after, short=True)}", at, "normal", text))
        return found

    def _text(self) -> str:
        """The clock in a sentence."""
        stage, start, strict = self.stage, self.start, self.due.strict
        if self.state == "waiting":
            return f"Starts with {stage.clock.start}; nothing of that is recorded yet."
        if self.state == "not_applicable":
            return f"Does not apply: {'; '.join(self.verdict.because)}."
        if self.state in ("dismissed", "handed_over"):
            done = "Dismissed" if self.state == "dismissed" else "Handed over"
            return f"{done} by {self.said.person or 'somebody'}: {self.said.reason or 'no reason given'}."
        if self.submission is not None:
            by = f" by {self.submission['by']}" if self.submission["by"] else ""
            note = {True: ", late", False: ", in time", None: ""}[self.submission["late"]]
            return f"Submitted {self.submission['at']}{by}{note}."
        origin = f"{full_name(start.fact).partition('.')[2]} {rfc3339(start.at.earliest)}" if start else ""
        head = "Candidate: " if self.candidate else ""
        if strict is None:
            age = _span(timedelta(seconds=max(0, _seconds(self.now - start.at.earliest)))) if start else ""
            return f"{head}{stage.clock.words}; {age} since {origin}."
        left = strict.earliest - self.now
        when = f"{_span(left)} left" if left > timedelta(0) else f"{_span(-left)} over"
        return f"{head}{stage.clock.words} from {origin}, due {rfc3339(strict.earliest)}, {when}."


def _reminder(clock: _Clock, kind: str, at: datetime, urgency: str, text: str) -> dict[str, Json]:
    name = clock_id(clock.regime, clock.stage)
    stands = "Candidate: not yet confirmed that it applies. " if clock.candidate else ""
    return {
        "id": f"{name}@{kind}@{rfc3339(at)}",
        "to": clock.regime.approvals[0],
        "at": rfc3339(at),
        "kind": kind,
        "urgency": urgency,
        "text": stands + text,
    }


def _question(name: str) -> dict[str, str]:
    kind = KINDS[name]
    return {"fact": name, "question": kind.question, "who": kind.who}


def _seconds(span: timedelta) -> int:
    return span // timedelta(seconds=1)


def _span(span: timedelta, *, short: bool = False) -> str:
    minutes = _seconds(span) // 60
    days, rest = divmod(minutes, 24 * 60)
    if short:
        return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"
    if days >= 3:
        return f"{days} d {rest // 60} h" if rest // 60 else f"{days} d"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours and left else f"{hours} h" if hours else f"{left} min"
