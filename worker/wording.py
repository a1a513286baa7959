"""Words that every door shares: marks of steps, what a verdict means, time left. Pure."""

from collections.abc import Mapping
from datetime import datetime

ENDED = frozenset({"done", "failed", "denied", "cancelled", "undone"})
SETTLED = frozenset({"submitted", "dismissed", "handed_over", "not_applicable"})
"""States of a legal clock of which nothing is due any more."""
MARKS = {
    "done": "✓",
    "running": "▸",
    "waiting": "?",
    "pending": "·",
    "skipped": "-",
    "failed": "✗",
    "denied": "✗",
    "undone": "↩",
    "unknown": "!",
}
MEANINGS = {
    "happened": "you have seen in the system that it did; it counts as done",
    "not_happened": "you have seen that it did not; it counts as failed",
    "verify": "Stanch reads it back; nothing is changed",
    "retry": "try again; what is done already is not done twice",
    "skip": "go on without it",
    "undo": "take back what this step did; then it counts as failed",
    "stop": "end the run here; what always runs still runs",
}
"""What follows each verdict about a failure or an unknown outcome."""
REVIEWS = {
    "justified": "it was right to act without the approvals",
    "not_justified": "it was not; what was done stays, and the record says so",
}
"""What each verdict of an after-review means."""

NO_CHANGE = "changes nothing by itself"
"""Of the start of a sub-playbook: its own effects ask for themselves."""


def only_starts(step: Mapping[str, object]) -> bool:
    """Whether a previewed step is the start of a sub-playbook: it has no targets, and nothing to undo."""
    return str(step.get("action") or "").startswith("run ")


def cannot_be_undone(step: Mapping[str, object]) -> bool:
    """Whether what a previewed step does is final."""
    return not step.get("reversible") and not only_starts(step)


def remaining(until: str | None, now: datetime) -> str:
    """Time left, in words."""
    if not until:
        return "no time limit"
    seconds = (datetime.fromisoformat(until) - now).total_seconds()
    if seconds <= 0:
        return f"time is over since {spell(-seconds)}"
    return f"{spell(seconds)} left"


def spell(seconds: float) -> str:
    """A duration in its two largest units."""
    rest = int(seconds)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
