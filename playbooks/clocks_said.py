"""What people said of a clock, taken together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from playbooks.contract import Json

_VERBS = {
    "confirm": "confirm",
    "confirmed": "confirm",
    "correct": "correct",
    "corrected": "correct",
    "submit": "submit",
    "submitted": "submit",
    "dismiss": "dismiss",
    "dismissed": "dismiss",
    "handover": "handover",
    "handed_over": "handover",
}


@dataclass(frozen=True)
class Said:
    """What people said of one clock, taken together. The last word on ending it counts."""

    confirmed: bool = False
    start: str | None = None
    start_reason: str = ""
    submission: Mapping[str, Json] | None = None
    ended: str | None = None
    reason: str = ""
    person: str = ""


def said(decision: Mapping[str, Json] | Iterable[Mapping[str, Json]] | None) -> Said:
    """Fold a clock's decisions: one, a list of them in order, or the last with its ``history``."""
    if decision is None:
        return Said()
    if isinstance(decision, Mapping):
        steps = [*(decision.get("history") or ()), decision]
    else:
        steps = list(decision)
    found = Said()
    for step in steps:
        verb = _VERBS.get(str(step.get("state") or step.get("verb") or ""))
        person, reason, at = (str(step.get(key) or "") for key in ("person", "reason", "at"))
        if verb == "confirm":
            found = replace(found, confirmed=True, ended=None, person=person)
        elif verb == "correct" and at:
            found = replace(found, confirmed=True, start=at, start_reason=reason, ended=None, person=person)
        elif verb == "submit":
            filed = {"at": at, "by": person, "reference": str(step.get("reference") or reason)}
            found = replace(found, submission=filed, ended="submitted", person=person)
        elif verb in ("dismiss", "handover"):
            ended = "dismissed" if verb == "dismiss" else "handed_over"
            found = replace(found, ended=ended, reason=reason, person=person)
    return found
