"""Why a step of a run did what it did, or did not: told from the journal, the stored plan and the run's snapshot.

Nothing is told from memory: each part names the entries it stands on, and what the record lacks is said to be missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from playbooks.contract import Json
from worker.desk.why_facts import facts_read
from worker.desk.why_people import asked, decisions_of
from worker.desk.why_record import Known, Telling
from worker.desk.why_said import (
    effect_said,
    opening,
    policy_said,
    reason_said,
    undo_said,
)
from workflows.scope import decided


def why(known: Known, path: str, item: str | None) -> dict[str, Any]:
    """The whole story of one step as a document; ``sentences`` is what people read."""
    step, book = known.index.steps[path], known.frame(path).frame.playbook
    shown = [entry for entry in known.status.get("steps", []) if entry.get("path") == path]
    each = [entry for entry in shown if entry.get("item") is not None]
    ours: Mapping[str, Any] = next((entry for entry in shown if entry.get("item") == item), {})
    telling = Telling(known, step, item, known.of_step(path, item), ours)
    conditions = _conditions(telling)
    facts = facts_read(telling, conditions)
    gates = asked(telling)
    requirement = policy_said(telling)
    effect = _effect(telling)
    sentences = [
        *opening(telling),
        *reason_said(telling, conditions, facts),
        *requirement["sentences"],
        *(sentence for gate in gates for sentence in gate["sentences"]),
        *effect_said(telling, effect, gates),
        *undo_said(telling, effect),
    ]
    if each and item is None:
        sentences.append(_items(each))
    if telling.missing:
        sentences.append(f"Not in the record: {'; '.join(dict.fromkeys(telling.missing))}.")
    return {
        "run": known.run,
        "step": path,
        "item": item,
        "kind": step.kind,
        "action": telling.action,
        "status": telling.status,
        "code": ours.get("code"),
        "playbook": {**book.model_dump(mode="json", include={"id", "version", "digest"}), "line": step.line},
        "plan_digest": known.plan_digest,
        "sentences": sentences,
        "conditions": conditions,
        "facts": facts,
        "policy": {key: value for key, value in requirement.items() if key != "sentences"},
        "approvals": [{key: value for key, value in gate.items() if key != "sentences"} for gate in gates],
        "effect": effect,
        "items": [{"item": entry["item"], "status": entry["status"], "code": entry.get("code")} for entry in each],
        "missing": list(dict.fromkeys(telling.missing)),
        "entries": sorted(
            {entry["seq"] for entry in telling.entries} | {seq for gate in gates for seq in gate["entries"]}
        ),
    }


def _conditions(telling: Telling) -> list[dict[str, Json]]:
    """Every condition under which the step stood, outermost first, and what it must come to."""
    known, found = telling.known, list[dict[str, Json]]()
    for above in known.above(telling.step.path):
        if above.step.when is not None:
            found.append({"condition": above.step.when, "must_be": True, "of": above.step.path})
        for condition, truth in decided(above.step, above.block):
            found.append({"condition": condition, "must_be": truth, "of": above.step.path})
    if telling.step.when is not None:
        found.append({"condition": telling.step.when, "must_be": True, "of": telling.step.path})
    return found


def _effect(telling: Telling) -> dict[str, Any] | None:
    """What was sent and how it ended, from intents, failures and the outcome; ``None`` for what is no effect."""
    facts = telling.known.plan.actions.get(telling.action or "")
    if facts is None or not facts.risk.is_effect:
        return None
    intents = [entry for entry in telling.entries if entry["kind"] == "action.intent"]
    intents = [entry for entry in intents if entry["body"].get("verb") == "apply"]
    outcomes = [entry for entry in telling.entries if entry["kind"] == "action.outcome"]
    ended = {entry["body"].get("verb"): entry for entry in outcomes}
    # One whose answer was lost has no other end than the reading that showed it.
    outcome = ended.get("apply") or ended.get("verify")
    failures = [entry["body"].get("code") for entry in telling.entries if entry["kind"] == "action.failed"]
    result = outcome["body"].get("result") or {} if outcome else {}
    return {
        "intents": [{"seq": entry["seq"], "at": entry["at"], "count": entry["body"].get("count")} for entry in intents],
        "permit": intents[-1]["body"].get("permit") if intents else None,
        "failed": failures,
        "outcome": None
        if outcome is None
        else {
            "seq": outcome["seq"],
            "at": outcome["at"],
            "changed": outcome["body"].get("changed"),
            "verified": outcome["body"].get("verified"),
            "affected": (result.get("affected") or {}).get("count"),
            "items": result.get("items"),
            "summary": result.get("summary"),
        },
        "decisions": decisions_of(telling.entries, ("failure", "unknown")),
    }


def _items(each: Sequence[Mapping[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for entry in each:
        counts[str(entry["status"])] = counts.get(str(entry["status"]), 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    name = f"{each[0]['path']}[{str(each[0]['item']).replace('/', '][')}]"
    return f"It ran for {len(each)} items: {told}. Ask for one of them as {name}."
