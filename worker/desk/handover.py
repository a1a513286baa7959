"""An incident in five lines, for whoever takes over. Pure: it reads the document of ``Views.incident``."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.wording import ENDED, SETTLED, remaining, spell

Document = Mapping[str, Any]

CLOSED = frozenset({"closed", "false_alarm"})
NAMED = 3
"""Names in a line before the rest is counted."""
LONGEST, NAME = 160, 60
"""Characters of a fact and of a name."""


def handover(document: Document, now: datetime) -> list[str]:
    """Five lines: what it is, what was done, what waits, which clocks run, what to do first."""
    return [
        _what(document, now),
        _done(document),
        _waits(document, now),
        _clocks(document, now),
        f"First: {_first(document, now)}",
    ]


def _what(document: Document, now: datetime) -> str:
    severity = document.get("severity")
    said = "no severity yet" if severity is None else f"severity {severity}"
    status = str(document["status"]).replace("_", " ")
    since = f", opened {_ago(document['opened_at'], now)} ago" if document.get("opened_at") else ""
    whose = document.get("commander")
    command = f"commander {_short(whose, NAME)}" if whose else "nobody has taken command"
    exercise = "EXERCISE " if document.get("mode") == "exercise" else ""
    title = _short(document.get("title") or "no title")
    return f"{exercise}{document['incident']}, {said}, {status}{since}, {command}: {title}"


def _done(document: Document) -> str:
    acted = [step for step in _current(document) if (step.get("affected") or {}).get("count")]
    checked = [step for step in acted if step.get("verified") and step["status"] == "done"]
    loose = [step for step in acted if step not in checked and step["status"] not in ("undone", "unknown", "failed")]
    count = sum(step["affected"]["count"] for step in checked)
    parts = [f"{count} targets changed and read back in {_listed(checked)}"] if checked else []
    undone = [step for step in acted if step["status"] == "undone"]
    failed = [step for step in _current(document) if step["status"] == "failed"]
    partly = [step for step in failed if step in acted]
    unknown = _unknown(document)
    parts += [] if acted or unknown else ["no effect so far"]
    parts += [f"taken back: {_listed(undone)}"] if undone else []
    parts += [f"NOT read back: {_listed(loose)}"] if loose else []
    parts += [f"failed: {_listed(failed)}"] if failed else []
    parts += [f"changed in part: {_listed(partly)}"] if partly else []
    parts += [f"OUTCOME UNKNOWN: {_listed(unknown)}"] if unknown else []
    return "Done: " + "; ".join(parts)


def _waits(document: Document, now: datetime) -> str:
    waiting = _by_deadline(document)
    if not waiting:
        running = [run["id"] for run in _runs(document) if run["status"] not in ENDED]
        return f"Waits: for nobody; {_names(running)} goes on by itself" if running else "Waits: for nobody"
    entry = waiting[0]
    more = f"; and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    then = str(entry.get("next") or "").removeprefix("If nobody answers, ").rstrip(".")
    then = _short(then)
    then = f", else {then}" if entry.get("until") and then else ""
    who = entry.get("who") or {}
    may = _names(who.get("may") or ()) or "NOBODY who is here"
    return (
        f"Waits: {_short(entry['step'])} ({entry['kind']}) on {may}, {remaining(entry.get('until'), now)}{then}{more}"
    )


def _clocks(document: Document, now: datetime) -> str:
    running = [clock for clock in document.get("clocks") or () if clock.get("open")]
    if not running:
        return "Clocks: none is open"
    due = sorted((instant, _short(clock["id"])) for clock in running if (instant := _due(clock)))
    soonest = ""
    if due:
        at = datetime.fromisoformat(due[0][0])
        soonest = f"{due[0][1]} is due next, {at:%Y-%m-%d %H:%M} UTC ({remaining(due[0][0], now)}); "
    at_once = [str(clock["id"]) for clock in running if not _due(clock) and clock.get("state") not in ("waiting",)]
    soon = f"as soon as possible: {_names(at_once)}; " if at_once else ""
    return f"Clocks: {soonest}{soon}{len(running)} open in all"


def _first(document: Document, now: datetime) -> str:
    """The one thing that hurts most if it is not done."""
    incident = document["incident"]
    if document["status"] in CLOSED:
        return "nothing; it is closed."
    unknown, waiting = _unknown(document), _by_deadline(document)
    if unknown:
        step = _short(unknown[0]["path"])
        return f"find out whether {step} happened, then `stanch incident decide` (what waits says how)."
    if (document.get("hold") or {}).get("on"):
        who = _short(document["hold"].get("person") or "somebody", NAME)
        return f"the hold of {who} stops every effect; `stanch hold off`?"
    if waiting and waiting[0]["kind"] == "review":
        return f"review the break-glass at {_short(waiting[0]['step'])}: `stanch incident review`."
    if waiting:
        return f"decide {_short(waiting[0]['step'])}: `stanch incident show {incident}` shows what it would do."
    broken = [run for run in _runs(document) if run["status"] in ("failed", "denied")]
    if broken:
        return f"{_short(broken[0]['id'])} {broken[0]['status']}: rerun it, undo it, or contain by hand."
    if any(run["status"] == "paused" for run in _runs(document)):
        return f"it is paused: `stanch incident resume {incident}` when it may go on."
    if any(run["status"] not in ENDED for run in _runs(document)):
        return f"watch it: `stanch incident watch {incident}`."
    if not document.get("runs"):
        return f"nothing runs: choose a playbook (`stanch playbook list`), or close {incident}."
    if any(clock.get("open") for clock in document.get("clocks") or ()):
        return f"settle the clocks: `stanch incident clock {incident}`, then close."
    return f"all has ended: `stanch incident close {incident}`."


def _runs(document: Document) -> list[Mapping[str, Any]]:
    """Runs that no later one went on from."""
    return [run for run in document.get("runs") or () if not run.get("followed_by")]


def _current(document: Document) -> list[Mapping[str, Any]]:
    """Steps of runs as they stand now: what an undo took back is shown in the run that it undid."""
    runs = {run["id"]: run for run in document.get("runs") or ()}
    gone = {name for name, run in runs.items() if (run.get("followed_by") or {}).get("verb") in ("rerun", "migrate")}
    undoing = {name for name, run in runs.items() if (run.get("after") or {}).get("verb") == "undo"}
    return [step for step in document.get("steps") or () if step.get("run") not in gone | undoing]


def _unknown(document: Document) -> list[Mapping[str, Any]]:
    return [step for step in _current(document) if step["status"] == "unknown"]


def _by_deadline(document: Document) -> list[Mapping[str, Any]]:
    return sorted(document.get("waiting") or (), key=lambda entry: entry.get("until") or "9999")


def _due(clock: Mapping[str, Any]) -> str | None:
    if clock.get("state") in SETTLED:
        return None
    due = clock.get("due") or clock.get("strict_due")
    instant = due.get("latest") if isinstance(due, Mapping) else due
    return str(instant) if instant else None


def _listed(steps: Sequence[Mapping[str, Any]]) -> str:
    """Steps by path, an item beside it."""
    return _names([step["path"] + (f"[{step['item']}]" if step.get("item") else "") for step in steps])


def _names(found: Sequence[str]) -> str:
    names = [_short(name, NAME) for name in found[:NAMED]]
    more = len(found) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _short(text: str, longest: int = LONGEST) -> str:
    """One line of a text from outside."""
    line = " ".join(str(text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _ago(at: str, now: datetime) -> str:
    return spell(max(0.0, (now - datetime.fromisoformat(at).astimezone(UTC)).total_seconds()))
