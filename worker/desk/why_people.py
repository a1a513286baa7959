"""Who was asked about a step, what they were shown, and what they said."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worker.desk.why_record import Telling, covering, targets, when

LONGEST = 300
"""Characters of a person's reason that a sentence repeats."""


def asked(telling: Telling) -> list[dict[str, Any]]:
    """Every question about the step: of the approve step that covers it, and its own; oldest first."""
    cover = covering(telling)
    entries = list(telling.entries)
    if cover is not None and cover != telling.step.path:
        entries += telling.known.of_step(cover, None)
    asking = sorted(
        (entry for entry in entries if entry["kind"] in ("gate.opened", "approval.standing")),
        key=lambda entry: int(entry["seq"]),
    )
    return [
        _gate(telling, entry, entries) if entry["kind"] == "gate.opened" else _in_advance(entry) for entry in asking
    ]


def _in_advance(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An approval that owners had given before, so that nobody was asked."""
    body = entry["body"]
    by, ids = list(body.get("by") or ()), list(body.get("standing") or ())
    said = f"{' and '.join(by) or 'Somebody'} had approved it in advance ({', '.join(ids)}), so nobody was asked."
    return {"step": body["step"], "gate": "standing", "status": "approved", "standing": ids, "by": by,
            "closed_at": entry["at"], "decisions": [], "entries": [entry["seq"]], "sentences": [said]}  # fmt: skip


def decisions_of(entries: Iterable[Mapping[str, Any]], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Decisions that were accepted on gates of these kinds."""
    return [
        {
            "seq": entry["seq"],
            "person": entry["actor"],
            "roles": entry["body"].get("roles", []),
            "verdict": entry["body"].get("verdict"),
            "at": entry["at"],
            "digest": entry["body"].get("digest"),
            "reason": entry.get("text", ""),
        }
        for entry in entries
        if entry["kind"] == "decision.accepted" and entry["body"].get("gate") in kinds
    ]


def _gate(telling: Telling, opened: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    body = opened["body"]
    same = [
        entry
        for entry in entries
        if entry["body"].get("digest") == body["digest"] and entry["body"].get("round", 1) == body.get("round", 1)
        and entry["body"].get("step") == body["step"] and entry["body"].get("item") == body.get("item")
    ]  # fmt: skip
    closing = next((entry for entry in same if entry["kind"] == "gate.closed"), None)
    votes = decisions_of(same, (str(body.get("gate")),))
    shown = body.get("shown")
    count = shown.get(telling.step.path) if isinstance(shown, Mapping) else None
    refused = [entry for entry in same if entry["kind"] == "decision.refused"]
    escalated = [
        entry["body"].get("role")
        for entry in entries
        if entry["kind"] == "gate.escalated" and entry["body"].get("step") == body["step"]
    ]
    told: dict[str, Any] = {
        "step": body["step"],
        "gate": body.get("gate"),
        "round": body.get("round", 1),
        "digest": body["digest"],
        "opened_at": opened["at"],
        "needs": body.get("needs", []),
        "shown": count,
        "escalated": escalated,
        "status": closing["body"].get("status") if closing else "open",
        "verdict": closing["body"].get("verdict") if closing else None,
        "closed_at": closing["at"] if closing else None,
        "decisions": votes,
        "refused": len(refused),
        "entries": sorted({opened["seq"], *(entry["seq"] for entry in same)}),
    }
    if body.get("gate") == "approve" and shown is None:
        telling.missing.append(f"how many targets the approvers of {body['step']} were shown")
    return {**told, "sentences": _said(told)}


def needs_said(needs: Iterable[Mapping[str, Any]]) -> str:
    """Whom a question needs, in words."""
    return " and ".join(f"{need['count']} of {' or '.join(need['roles'])}" for need in needs) or "nobody"


_ASKED = {
    "approve": "{step} asked {who} to approve",
    "ask": "{step} asked {who}",
    "human": "{step} waited for {who} to do it",
    "failure": "After its failure {who} was asked what to do",
    "unknown": "How it ended was not known, and {who} was asked",
    "undo": "Its undo was offered to {who}",
}
_SAID = {
    "approve": "approved",
    "deny": "denied",
    "answer": "answered",
    "done": "said that it is done",
    "break_glass": "broke the glass",
    "retry": "chose to try again",
    "skip": "chose to skip it",
    "undo": "chose to undo it",
    "stop": "chose to stop",
    "happened": "said that it happened",
    "not_happened": "said that it did not happen",
    "verify": "had it verified again",
}


def _said(gate: Mapping[str, Any]) -> list[str]:
    asking = _ASKED.get(str(gate["gate"]), _ASKED["ask"]).format(step=gate["step"], who=needs_said(gate["needs"]))
    shown = "" if gate["shown"] is None else f", showing {targets(gate['shown'])}"
    again = (
        f", for the {gate['round']}th time"
        if gate["round"] > 3
        else ("", ", anew", ", a third time")[gate["round"] - 1]
    )
    return [f"{asking} at {when(gate['opened_at'])}{shown}{again} (digest {gate['digest'][:12]}…).", _ended(gate)]


def because(reason: str) -> str:
    """A person's reason as the end of a clause; nothing without one."""
    return f" (“{reason if len(reason) <= LONGEST else reason[: LONGEST - 1] + '…'}”)" if reason else ""


def _ended(gate: Mapping[str, Any]) -> str:
    votes = [
        f"{vote['person']} ({', '.join(vote['roles']) or 'no role'}) "
        f"{_SAID.get(vote['verdict'], vote['verdict'])} at {when(vote['at'])}{because(vote['reason'])}"
        for vote in gate["decisions"]
    ]
    who = " and ".join(votes)
    more = f" {', '.join(map(str, gate['escalated']))} was asked too." if gate["escalated"] else ""
    if gate["refused"]:
        more += " 1 decision was refused." if gate["refused"] == 1 else f" {gate['refused']} decisions were refused."
    if gate["status"] == "open":
        return (f"So far {who}." if who else "Nobody has answered yet.") + more
    if gate["status"] == "expired":
        return "Nobody decided in time" + (f"; {who}." if who else ".") + more
    if gate["status"] == "closed":
        return "It was closed before anybody decided, because the run or the block around it ended." + more
    return (f"{who}." if who else f"It was {gate['status']}; by whom is not in the record.") + more
