"""The after-review of an incident as Markdown, from its record: the same for the same record. Pure.

What people and systems said is escaped (``playbooks.drafting_markdown``): none of it can leave its place.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from playbooks.drafting_markdown import Safe, escape
from worker.wording import spell

Document = Mapping[str, Any]
Entry = Mapping[str, Any]

SAID = ("incident.note", "note", "incident.told")
LESSONS = ("root_cause", "mitigation")


def after_review(document: Document, entries: Sequence[Entry]) -> str:
    """The whole document.

    Args:
        document: ``Views.incident``.
        entries: The journal, oldest first, with ``text`` where somebody said something.
    """
    parts = [
        _head(document),
        _section("Times", _times(document, entries)),
        _section("What was done", _effects(entries)),
        _section("What failed, or is not known", _unsettled(document)),
        _section("Who was asked", _questions(entries)),
        _section("Refused", _refusals(entries)),
        _section("Break-glass", _reviews(document, entries)),
        _section("Legal clocks", _clocks(document)),
        _section("Drafts (nothing was sent)", _drafts(document)),
        _section("What was learned", _lessons(document)),
        _section("Notes", _notes(entries)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(document: Document) -> str:
    exercise = "EXERCISE: " if document.get("mode") == "exercise" else ""
    severity = document.get("severity")
    said = "no severity" if severity is None else f"severity {severity}"
    status = str(document["status"]).replace("_", " ")
    books = [f"{run['playbook']['id']} {run['playbook']['version']} ({run['status']})" for run in _runs(document)]
    commander = escape(document.get("commander") or "nobody")
    return "\n\n".join(
        [
            f"# {exercise}After-review of {escape(document['incident'])}",
            f"{escape(_line(document.get('title') or 'No title'))}",
            f"Kind {escape(document.get('kind') or 'unknown')}, {said}, {escape(status)}. Commander: {commander}. "
            f"Playbooks: {escape(', '.join(books) or 'none')}.",
        ]
    )


def _runs(document: Document) -> list[Mapping[str, Any]]:
    return [run for run in document.get("runs") or () if run.get("playbook")]


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n\n".join([f"## {title}", "\n".join(lines) if lines else "Nothing is on record."])


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(_cell(value) for value in row) + " |" for row in rows),
    ]
    return lines if len(lines) > 2 else []


def _cell(value: object) -> str:
    return value if isinstance(value, Safe) else escape(_line("" if value is None else str(value)))


def _line(text: str) -> str:
    return " ".join(text.split())


def _times(document: Document, entries: Sequence[Entry]) -> list[str]:
    detected = (document.get("facts") or {}).get("detected_at")
    detected = detected.get("value") if isinstance(detected, Mapping) else detected
    opened = str(document.get("opened_at") or (entries[0]["at"] if entries else ""))
    marks = [
        ("detected", detected),
        ("opened", opened),
        ("first acknowledged", _first(entries, "incident.acknowledged")),
        ("command taken", _first(entries, "incident.taken")),
        ("first effect", next((entry["at"] for entry in _changes(entries)), None)),
        ("contained", _last(entries, "incident.contained")),
        ("closed", document.get("closed_at")),
    ]
    return _table(
        ("what", "when (UTC)", "after the opening"),
        ((name, _minute(at), _after(opened, at)) for name, at in marks if at),
    )


def _effects(entries: Sequence[Entry]) -> list[str]:
    rows = []
    for entry in _changes(entries):
        body = entry["body"]
        count = ((body.get("result") or {}).get("affected") or {}).get("count", "")
        checked = "read back" if body.get("verified") else "NOT read back"
        stands = "taken back" if body.get("verb") == "undo" else checked
        rows.append((_minute(entry["at"]), _step(body), body.get("action"), count, stands))
    return _table(("when (UTC)", "step", "action", "targets", "how it stands"), rows)


def _unsettled(document: Document) -> list[str]:
    gone = {run["id"] for run in document.get("runs") or () if run.get("followed_by")}
    rows = [
        (
            step.get("path"),
            step.get("action") or step.get("kind"),
            step["status"],
            step.get("message") or step.get("code"),
        )
        for step in document.get("steps") or ()
        if step["status"] in ("failed", "unknown") and step.get("run") not in gone
    ]
    return _table(("step", "what", "status", "because"), rows)


def _questions(entries: Sequence[Entry]) -> list[str]:
    rows = []
    for opened in entries:
        if opened["kind"] != "gate.opened":
            continue
        own = [entry for entry in entries if _same(entry["body"], opened["body"])]
        closed = next((entry for entry in own if entry["kind"] == "gate.closed"), None)
        waited = _after(opened["at"], closed["at"]) if closed else "still open"
        needs = " and ".join(f"{need['count']} of {' or '.join(need['roles'])}" for need in opened["body"]["needs"])
        paged = [str(entry["body"].get("role")) for entry in own if entry["kind"] == "gate.escalated"]
        refused = [entry for entry in own if entry["kind"] == "decision.refused"]
        said = [_vote(entry) for entry in own if entry["kind"] == "decision.accepted"]
        said += [f"escalated to {role}" for role in paged]
        said += [f"refused: {entry['actor']}, {entry['body'].get('code')}" for entry in refused]
        end = str(closed["body"].get("status")) if closed else "waiting"
        rows.append((_step(opened["body"]), opened["body"].get("gate"), needs, waited, end, "; ".join(said)))
    return _table(("step", "question", "of whom", "waited", "ended", "who said what"), rows)


def _refusals(entries: Sequence[Entry]) -> list[str]:
    """All refused decisions by code, the desk's own too, which may name no run."""
    refused = [entry for entry in entries if entry["kind"] == "decision.refused"]
    counted = Counter(str(entry["body"].get("code")) for entry in refused)
    who = {
        code: ", ".join(dict.fromkeys(str(entry["actor"]) for entry in refused if entry["body"].get("code") == code))
        for code in counted
    }
    return _table(("code", "times", "of whom"), ((code, times, who[code]) for code, times in sorted(counted.items())))


def _same(body: Mapping[str, Any], opened: Mapping[str, Any]) -> bool:
    """Whether an entry is of that question: refusals and escalations may not know of its round."""
    keys = ("run", "step", "item", "pass")
    return all(body.get(key) == opened.get(key) for key in keys) and body.get("round") in (None, opened.get("round"))


def _vote(entry: Entry) -> str:
    reason = f" ({_line(entry['text'])})" if entry.get("text") else ""
    return f"{entry['actor']} {entry['body'].get('verdict')} at {entry['at'][11:19]}, {entry['door']}{reason}"


def _reviews(document: Document, entries: Sequence[Entry]) -> list[str]:
    why = {
        (entry["body"].get("run"), entry["body"].get("step")): entry.get("text", "")
        for entry in entries
        if entry["kind"] == "review.done"
    }
    rows = []
    for review in document.get("reviews") or ():
        verdict = review.get("verdict") or "not yet reviewed"
        reason = why.get((review.get("run"), review.get("step")), "")
        broke = ", ".join((review.get("who") or {}).get("excluded") or ())
        rows.append((review.get("step"), broke, verdict, review.get("by") or "", reason))
    return _table(("step", "who broke it", "found", "by", "because"), rows)


def _clocks(document: Document) -> list[str]:
    rows = []
    for clock in document.get("clocks") or ():
        due = clock.get("due") or clock.get("strict_due")
        instant = due.get("latest") if isinstance(due, Mapping) else due
        rows.append((clock.get("id"), clock.get("state"), _minute(instant), clock.get("by") or ""))
    return _table(("clock", "state", "due (UTC)", "by"), rows)


def _drafts(document: Document) -> list[str]:
    rows = [
        (
            f"{draft.get('regime')} {draft.get('stage')}",
            _minute(draft.get("due")),
            ", ".join(draft.get("missing") or ()),
        )
        for draft in document.get("drafts") or ()
    ]
    return _table(("draft", "due (UTC)", "still missing"), rows)


def _lessons(document: Document) -> list[str]:
    facts = document.get("facts") or {}
    known = {name: facts[name] for name in LESSONS if name in facts}
    rows = [
        (name.replace("_", " "), fact.get("value") if isinstance(fact, Mapping) else fact)
        for name, fact in known.items()
    ]
    return _table(("what", "said"), rows)


def _notes(entries: Sequence[Entry]) -> list[str]:
    rows = [
        (_minute(entry["at"]), entry["body"].get("author") or entry["actor"], entry["text"])
        for entry in entries
        if entry["kind"] in SAID and entry.get("text")
    ]
    return _table(("when (UTC)", "who", "what"), rows)


def _changes(entries: Sequence[Entry]) -> list[Entry]:
    """Outcomes that changed something."""
    done = (entry for entry in entries if entry["kind"] == "action.outcome")
    return [entry for entry in done if entry["body"].get("effect") and entry["body"].get("changed")]


def _step(body: Mapping[str, Any]) -> str:
    item = body.get("item")
    return str(body.get("step")) + (f"[{item}]" if item not in (None, "") else "")


def _first(entries: Sequence[Entry], kind: str) -> str | None:
    return next((str(entry["at"]) for entry in entries if entry["kind"] == kind), None)


def _last(entries: Sequence[Entry], kind: str) -> str | None:
    return next((str(entry["at"]) for entry in reversed(entries) if entry["kind"] == kind), None)


def _instant(at: object) -> datetime | None:
    """In UTC; none for what is no instant, as a person may set a fact to anything."""
    try:
        found = datetime.fromisoformat(str(at))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def _minute(at: object) -> str:
    found = _instant(at)
    return found.strftime("%Y-%m-%d %H:%M:%S") if found else str(at or "")


def _after(start: object, at: object) -> str:
    begun, then = _instant(start), _instant(at)
    if begun is None or then is None:
        return ""
    seconds = (then - begun).total_seconds()
    return spell(seconds) if seconds >= 0 else f"{spell(-seconds)} before"
