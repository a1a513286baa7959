"""Drafts of notifications: what the law asks for, what is known, what is missing, and who could know it.

Pure. A draft is a document and a Markdown text, both marked as such; nothing here or anywhere in Stanch sends
one. Text from facts is data: it can add no heading, link, image, table or markup to a draft.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import DictLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from playbooks.clocks import compute
from playbooks.contract import Json
from playbooks.drafting_markdown import Safe, escape, finalize
from playbooks.facts import FactError, Facts, full_name, read_facts
from playbooks.facts_vocabulary import KINDS
from playbooks.regimes_model import FieldRule, Regime, RegimeLibrary, Stage, spoken

BANNER = "DRAFT – not sent"
LIVE = frozenset({"candidate", "running", "due_soon", "overdue"})
"""States of a clock in which a draft is written without being named."""

_REQUIRED = frozenset({"mandatory", "where_possible", "if_applicable"})


class DraftError(ValueError):
    """A draft that cannot be written; ``code`` is ``unknown_regime unknown_stage no_draft``."""

    def __init__(self, code: str, message: str) -> None:
        """``message`` says what was not done and what to do instead."""
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Draft:
    """One draft. ``document`` is plain JSON without floats, ``markdown`` the same for people."""

    regime: str
    stage: str
    due: str | None
    document: dict[str, Json]
    markdown: str

    @property
    def completeness(self) -> dict[str, Json]:
        """``required filled explained percent`` and ``missing`` with the questions that settle it."""
        found: dict[str, Json] = self.document["completeness"]
        return found

    @property
    def missing(self) -> list[str]:
        """Ids of the required elements that are neither filled nor explained."""
        return [entry["field"] for entry in self.completeness["missing"]]

    @property
    def name(self) -> str:
        """File name without its ending."""
        return f"{self.regime}.{self.stage}"

    def result(self, path: str) -> dict[str, Json]:
        """What a ``draft`` step gives, once the draft lies at ``path``."""
        return {
            "regime": self.regime,
            "stage": self.stage,
            "due": self.due,
            "path": path,
            "missing": self.missing,
            "completeness": {key: value for key, value in self.completeness.items() if key != "missing"},
        }


def drafts(
    request: Mapping[str, Any] | Any, library: RegimeLibrary, organisation: Mapping[str, Json] | None = None
) -> list[Draft]:
    """Write drafts for an incident.

    Args:
        request: The fields of ``DraftsInput`` (a mapping, or the model): ``incident``, ``facts``, ``dated``,
            ``now``, and ``wanted``, pairs of regime and stage; none means every stage whose clock runs. May
            hold ``decisions``, as for clocks.
        library: The regimes and their templates.
        organisation: Standing facts of the organisation, from settings.

    Raises:
        DraftError: A wanted stage does not exist or has no draft; none was written.
    """
    given = request if isinstance(request, Mapping) else request.model_dump(mode="json")
    found = compute(given, library, organisation)
    clocks = {clock["id"]: clock for clock in found["clocks"]}
    bad: list[FactError] = []
    facts = read_facts(given.get("facts") or {}, organisation=organisation, problems=bad)
    facts = facts.with_dated(given.get("dated") or {})
    wanted = [tuple(pair) for pair in given.get("wanted") or ()] or [
        (clock["regime"], clock["stage"])
        for clock in clocks.values()
        if clock["state"] in LIVE and (stage := library.regimes[clock["regime"]].stage(clock["stage"])) and stage.fields
    ]
    writer = _Writer(library, found["versions"], str(given.get("incident") or ""), str(given["now"]))
    pairs = [_named(library, *pair) for pair in wanted]
    return [writer.write(regime, stage, facts, clocks[f"{regime.id}/{stage.id}"]) for regime, stage in pairs]


def _named(library: RegimeLibrary, regime_id: str, stage_id: str) -> tuple[Regime, Stage]:
    regime = library.get(regime_id)
    if regime is None:
        known = ", ".join(library.regimes)
        raise DraftError(
            "unknown_regime", f"There is no regime {regime_id[:60]!r}. No draft was written. Known: {known}."
        )
    stage = regime.stage(stage_id)
    if stage is None:
        known = ", ".join(entry.id for entry in regime.stages)
        raise DraftError(
            "unknown_stage", f"{regime.id} has no stage {stage_id[:60]!r}. No draft was written. Known: {known}."
        )
    if not stage.fields:
        raise DraftError("no_draft", f"{regime.id} {stage.id} asks for no text. No draft was written.")
    return regime, stage


@dataclass(frozen=True)
class _Writer:
    """Writes drafts of one incident with the templates of one library."""

    library: RegimeLibrary
    versions: Mapping[str, str]
    incident: str
    now: str

    def write(self, regime: Regime, stage: Stage, facts: Facts, clock: Mapping[str, Any]) -> Draft:
        overdue = clock["delay_reasons_due"]
        elements = [_element(rule, facts, overdue) for rule in stage.fields]
        document = {
            "status": BANNER,
            "incident": self.incident,
            "regime": regime.id,
            "stage": stage.id,
            "title": stage.title,
            "law": f"{regime.law}, {stage.law}",
            "type": stage.type,
            "language": regime.language,
            "to": regime.to,
            **_recipients(regime, facts),
            "organisation": facts.get("organisation.name").value,
            "due": clock["due"],
            "outer_due": clock["outer_due"],
            "applies": clock["applies"],
            "candidate": clock["candidate"],
            "clock": clock["text"],
            "values": {element["field"]: element["value"] for element in elements},
            "delay_reasons": facts.get("delay_reasons").value if overdue else None,
            "completeness": _completeness(elements),
            "undecided": clock["undecided"],
            "approvals_needed": list(regime.approvals),
            "approvals": [],
            "written_at": self.now,
            "exported_at": None,
            "not_confirmed": clock["not_confirmed"],
            "versions": dict(self.versions),
        }
        markdown = self._markdown(regime, stage, document, elements, clock["state"] in LIVE)
        return Draft(regime.id, stage.id, clock["due"], document, markdown)

    def _markdown(
        self,
        regime: Regime,
        stage: Stage,
        document: Mapping[str, Any],
        elements: list[dict[str, Any]],
        live: bool,
    ) -> str:
        # The sentence of a clock that has ended quotes what a person wrote.
        clock = Safe(document["clock"]) if live else document["clock"]
        environment = _environment(tuple(self.library.templates.items()))
        template = environment.get_template(f"{regime.id}/{stage.id}.md.j2")
        return template.render(
            banner=Safe(BANNER),
            draft=document,
            title=Safe(stage.title),
            law=Safe(document["law"]),
            to=Safe(regime.to),
            clock=clock,
            approvals=Safe(" and ".join(regime.approvals)),
            notes=[Safe(note) for note in (*stage.notes, *document["not_confirmed"])],
            records=Safe(regime.records),
            sections=[_section(element) for element in elements if element["asked"]],
            missing=[_missing_line(entry) for entry in document["completeness"]["missing"]],
            open_questions=[Safe(f"{entry['question']} ({entry['who']})") for entry in document["undecided"]],
            exempt=[Safe(f"{entry.text} ({entry.law})") for entry in regime.exemptions],
        )


@lru_cache(maxsize=4)
def _environment(templates: tuple[tuple[str, str], ...]) -> SandboxedEnvironment:
    """A library's templates, each compiled once: that takes longer than all the rest of a draft."""
    environment = SandboxedEnvironment(
        loader=DictLoader(dict(templates)),
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.globals.clear()
    return environment


def _recipients(regime: Regime, facts: Facts) -> dict[str, Json]:
    """Whom it is for: one recipient, or one for each entry where the regime fans out."""
    named = facts.get(regime.recipient)
    found: dict[str, Json] = {"recipient": spoken(named.value) if named.known else None, "one_each": []}
    fan_out = regime.fan_out
    if fan_out is not None and fan_out.when.judge(facts).answer:
        entries = facts.get(fan_out.fact)
        found["recipient"] = f"{fan_out.text} ({fan_out.law})"
        found["one_each"] = list(entries.value) if entries.known and isinstance(entries.value, list) else []
    return found


def _element(rule: FieldRule, facts: Facts, overdue: bool) -> dict[str, Any]:
    """One element of the law with what fills it."""
    found = {name: facts.get(name) for name in rule.facts}
    known = {name: fact for name, fact in found.items() if fact.known}
    unknown = [name for name in found if name not in known]
    reasons = [found[name].because for name in unknown if found[name].because]
    state = "unknown" if not known else "estimate" if any(f.state == "estimate" for f in known.values()) else "known"
    plain = {full_name(name).partition(".")[2]: fact.value for name, fact in known.items()}
    asked = overdue if rule.req == "mandatory_if_late" else True
    return {
        "field": rule.id,
        "rule": rule,
        "asked": asked,
        "required": asked and (rule.req in _REQUIRED or rule.req == "mandatory_if_late"),
        "filled": not unknown,
        "explained": bool(unknown) and len(reasons) == len(unknown),
        "unknown": unknown,
        "facts": found,
        "value": {
            "value": (next(iter(plain.values())) if len(found) == 1 else plain) if known else None,
            "state": state,
            "because": "; ".join(fact.because for fact in found.values() if fact.because),
            "source_event": "; ".join(dict.fromkeys(f.source for f in known.values() if f.source)),
            "at": max((fact.at for fact in known.values() if fact.at), default=None),
            "unchecked": sorted(full_name(name) for name, fact in known.items() if fact.trust == "alert"),
            "law": rule.law,
            "req": rule.req,
            "text": rule.text,
        },
    }


def _completeness(elements: Iterable[Mapping[str, Any]]) -> dict[str, Json]:
    required = [element for element in elements if element["required"]]
    filled = sum(element["filled"] for element in required)
    explained = sum(element["explained"] for element in required)
    missing = [
        {
            "field": element["field"],
            "text": element["rule"].text,
            "law": element["rule"].law,
            "req": element["rule"].req,
            "questions": [
                {"fact": name, "question": KINDS[name].question, "who": KINDS[name].who}
                for name in map(full_name, element["unknown"])
            ],
        }
        for element in required
        if not element["filled"] and not element["explained"]
    ]
    percent = 100 * (filled + explained) // len(required) if required else 100
    return {
        "required": len(required),
        "filled": filled,
        "explained": explained,
        "percent": percent,
        "missing": missing,
    }


def _section(element: Mapping[str, Any]) -> dict[str, Safe]:
    """One element as Markdown. Only what is in a fact is escaped; the rest is ours."""
    rule: FieldRule = element["rule"]
    lines = []
    for name, fact in element["facts"].items():
        if not fact.known:
            continue
        label = full_name(name).partition(".")[2].replace("_", " ")
        text = escape(spoken(fact.value))
        notes = [
            *(["estimate"] if fact.state == "estimate" else []),
            *([escape(fact.because)] if fact.because else []),
            *(["from an alert, not checked"] if fact.trust == "alert" else []),
        ]
        told = f"{text} ({'; '.join(notes)})" if notes else text
        lines.append(told if len(element["facts"]) == 1 else f"**{label}:** {told}")
    for name in element["unknown"]:
        kind, because = KINDS[full_name(name)], element["facts"][name].because
        if because:
            lines.append(f"Not known yet: {escape(because)}")
        else:
            lines.append(f"**Missing.** {kind.question} Ask: {kind.who}.")
    optional = "" if element["required"] else ", if available"
    return {
        "heading": Safe(f"{rule.text} ({rule.law}{optional})"),
        "plain_heading": Safe(rule.text),
        "body": Safe("\n\n".join(lines)),
    }


def _missing_line(entry: Mapping[str, Any]) -> Safe:
    asked = "; ".join(f"{question['question']} ({question['who']})" for question in entry["questions"])
    return Safe(f"{entry['text']}, {entry['law']}: {asked}")
