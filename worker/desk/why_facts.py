"""The facts of the incident and the outputs of earlier steps that a step depends on, as they were when it read them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from playbooks.contract import Json
from playbooks.expr_names import reads
from playbooks.expr_text import ExprError, templates
from playbooks.plan import ActionStep, RunStep
from worker.desk.why_record import Telling

LONGEST = 120


def facts_read(telling: Telling, conditions: Sequence[Mapping[str, Json]]) -> list[dict[str, Any]]:
    """Each fact that the step or a condition above it reads: its value at the version that the step read, and where
    it is from."""
    names = dict.fromkeys(chain[1] for chain in _chains(telling, conditions) if chain[0] == "incident" and chain[1:])
    if not names:
        return []
    version = version_read(telling)
    if version is None and telling.status != "pending":
        telling.missing.append("the version of the facts that it read")
    return [_fact(telling, name, version) for name in names]


def version_read(telling: Telling) -> int | None:
    """Version of the incident's facts that the step read, by its newest entry that says so."""
    for entry in reversed(telling.entries):
        version = entry["body"].get("facts")
        if isinstance(version, int) and version > 0:
            return version
    return None


def steps_read(telling: Telling, conditions: Sequence[Mapping[str, Json]]) -> list[str]:
    """Ids of the earlier steps that the conditions read."""
    found: dict[str, None] = {}
    for condition in conditions:
        for chain in _of(str(condition["condition"])):
            if chain[0] == "steps" and len(chain) > 1:
                found[chain[1]] = None
    return list(found)


def _chains(telling: Telling, conditions: Sequence[Mapping[str, Json]]) -> Iterator[tuple[str, ...]]:
    for condition in conditions:
        yield from _of(str(condition["condition"]))
    spec = telling.step.spec
    given = spec.with_ if isinstance(spec, ActionStep | RunStep) else {}
    for value in (given, telling.step.for_each):
        try:
            for source in templates(value):
                yield from _of(source)
        except ExprError:
            continue
    if isinstance(spec, ActionStep) and telling.known.plan.actions[spec.name].risk.is_effect:
        yield ("incident", "severity")


def _of(source: str) -> list[tuple[str, ...]]:
    try:
        return [read.chain for read in reads(source)]
    except ExprError:
        return []


def _fact(telling: Telling, name: str, version: int | None) -> dict[str, Any]:
    """A fact as it was at a version: as it is now or as the run began with it, if nobody has set it in between."""
    known = telling.known
    began = known.given.get("facts") or {}
    first = (began.get("facts") or {}).get(name)
    changes = [entry for entry in known.entries if entry["kind"] == "fact.set" and entry["body"].get("fact") == name]
    until = [entry for entry in changes if version is None or entry["body"].get("version", 0) <= version]
    setter = until[-1] if until else None
    told: dict[str, Any] = {"fact": name, "version": version}
    now = known.facts.get(name)
    if len(until) == len(changes) and isinstance(now, Mapping):
        return {**told, **_provenance(now), "known": True}
    if setter is None and isinstance(first, Mapping):
        return {**told, **_provenance(first), "known": True}
    if setter is None:
        return {**told, "value": None, "known": True, "trust": "", "by": "", "at": "", "unset": True}
    telling.missing.append(f"the value of incident.{name} then: {setter['actor']} set it, and it was set anew later")
    return {**told, "value": None, "known": False, "trust": setter["body"].get("trust", ""), "by": setter["actor"],
            "at": setter["at"]}  # fmt: skip


def _provenance(fact: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fact.get(name, "") for name in ("value", "trust", "by", "at")}


def said(fact: Mapping[str, Any]) -> str:
    """A fact in words: its value, who gave it, when."""
    name = f"incident.{fact['fact']}"
    if fact.get("unset"):
        return f"{name} was not set"
    if not fact.get("known"):
        return f"{name} was set by {fact['by']}"
    value = str(fact["value"])
    value = value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
    who = {"person": f"set by {fact['by']}", "read": "read from a system", "alert": f"from the alert of {fact['by']}"}
    return f"{name} {value} ({who.get(str(fact.get('trust')), fact.get('by') or 'origin unknown')})"
