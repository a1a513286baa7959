"""The one card of an incident that is edited as it goes on: where it stands and what waits, the worst first. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from worker.slack import names as ids
from worker.slack.blocks import (
    Block,
    Bold,
    Channel,
    Code,
    Line,
    Message,
    People,
    When,
    actions,
    bullets,
    button,
    header,
    message,
    paragraph,
    small,
)
from worker.slack.marks import banner, command, counted, deadline, fact, fitting, left, marked, names
from worker.wording import ENDED, MARKS, SETTLED

WAITING, STEPS, CLOCKS, UNKNOWN, WARNINGS = 6, 14, 5, 8, 4
LOUD = ("unknown", "failed", "denied", "waiting", "running")
"""Statuses of steps that come first where there are many."""
OTHERS = {"pending": "to come"}
STEPS_ROOM = 2000
GROUPS = frozenset({"parallel", "do", "if", "choose", "repeat", "run"})
WAITS = {
    "approve": "approval",
    "ask": "an answer",
    "human": "somebody to do it",
    "held": "the end of the hold",
    "journal": "the journal to take it",
}
GONE = ENDED | {"closed", "false_alarm"}

Document = Mapping[str, Any]


def status_card(document: Document, *, people: People, now: datetime) -> Message:
    """An incident's document (``Views.incident``) as its card."""
    incident, mode = document["incident"], document.get("mode", "live")
    blocks = [
        header(marked(mode, _title(document))),
        paragraph([Bold(fact(document.get("title") or "No title", 200))], *_standing(document, people)),
        *_alarms(document, people),
        *_waiting(document, people, now),
        *_steps(document),
        *_clocks(document, now),
        *_warnings(document),
        *banner(mode),
        small(_foot(document)),
    ]
    if document["status"] not in GONE:
        blocks.append(_buttons(document))
    return message(marked(mode, _lock_screen(document, incident)), blocks)


def announcement(document: Document, channel_id: str, *, people: People, private: bool = False) -> Message:
    """The line in the main channel when an incident opens; of a private one it does not say what it is about."""
    mode = document.get("mode", "live")
    title = "" if private else fact(document.get("title") or "")
    where: Line = (
        ["Its channel is private; who has to know was invited."] if private else ["Go to ", Channel(channel_id)]
    )
    lines: list[Line] = [[Bold(title)]] if title else []
    commander = document.get("commander")
    if commander:
        lines.append(["Commander: ", people.mention(commander)])
    said = f"{_title(document)}{': ' + title if title else ''}"
    blocks = [header(marked(mode, _title(document))), paragraph(*lines, where), *banner(mode)]
    return message(marked(mode, said), blocks)


def _title(document: Document) -> str:
    severity = document.get("severity")
    said = "" if severity is None else f" · severity {severity}"
    return f"{document['incident']} · {_word(document['status'])}{said}"


def _word(status: object) -> str:
    return str(status).replace("_", " ")


def _standing(document: Document, people: People) -> list[Line]:
    lines: list[Line] = []
    for run in [run for run in document["runs"] if not run.get("followed_by")][-2:]:
        title = (run.get("playbook") or {}).get("title") or run["id"]
        phase = f", phase {_word(run['phase'])}" if run.get("phase") and run["status"] not in ENDED else ""
        stale = "" if run.get("live") or run["status"] in ENDED else " (no worker answers: this may be old)"
        line: list[Any] = [f"{fact(title, 120)}: ", Bold(_word(run["status"])), phase]
        if run.get("cancelled") and run["status"] not in ENDED:
            by = run["cancelled"].get("by")
            line.append(f", cancelled{' by ' + names([by]) if by else ''}")
        lines.append([*line, Bold(stale)] if stale else line)
        if run.get("reason"):
            lines.append([fact(run["reason"], 150)])
    if document.get("commander"):
        lines.append(["Commander: ", people.mention(document["commander"])])
    elif document["status"] not in GONE:
        lines.append(["Commander: nobody yet. ", Code("/stanch take"), " takes it."])
    return lines


def _alarms(document: Document, people: People) -> list[Block]:
    """The hold, unknown effects and undos that left something: never crowded out."""
    blocks = []
    hold = document.get("hold") or {}
    if hold.get("on"):
        blocks.append(
            paragraph(
                [Bold("⛔ HOLD: no new effect starts anywhere.")],
                ["By ", people.mention(str(hold.get("person") or "nobody")), f": {fact(hold.get('reason') or '')}"],
            )
        )
    unknown = [step for step in document["steps"] if step["status"] == "unknown"]
    if unknown:
        lines: list[Line] = [[Bold(_step_name(step)), f": {_detail(step)}"] for step in unknown]
        heading = Bold(
            f"❗ UNKNOWN whether {len(unknown)} {'effect' if len(unknown) == 1 else 'effects'} happened. Look."
        )
        blocks.append(bullets([heading], counted(lines, UNKNOWN, "that are unknown", document["incident"])))
    undone: list[Line] = [[fact(left)] for run in document["runs"] if not run.get("followed_by") for left in _left(run)]
    if undone:
        kept = counted(undone, UNKNOWN, "that were left", document["incident"], room=700)
        blocks.append(bullets([Bold("❗ UNDO NOT COMPLETE. Left:")], kept))
    return blocks


def _left(run: Mapping[str, Any]) -> list[str]:
    """What undos of a run left, unless a later one took that back."""
    asked = list(run.get("undos") or ())
    found = []
    for number, undo in enumerate(asked):
        later = any(each["end"] == "undone" and each["step"] in (None, undo["step"]) for each in asked[number + 1 :])
        if undo["end"] == "partly" and not later:
            found += list(undo["left"])
    return found


def _waiting(document: Document, people: People, now: datetime) -> list[Block]:
    waiting = sorted(document["waiting"], key=lambda entry: entry.get("until") or "9999")
    if not waiting:
        return [] if document["status"] in GONE else [paragraph(_following(document))]
    lines: list[Line] = []
    for entry in waiting:
        may = (entry.get("who") or {}).get("may") or ()
        line: list[Any] = [Bold(fact(entry["question"], 160)), " · until "]
        line += deadline(entry["until"], now) if entry.get("until") else ["somebody answers"]
        line += [f" · {names(may)} can"] if may else [Bold(" · ⚠ nobody can decide it")]
        lines.append(line)
    count = "1 waits" if len(waiting) == 1 else f"{len(waiting)} wait"
    heading = Bold(f"❓ {count} for a decision (cards in the incident's channel):")
    return [bullets([heading], counted(lines, WAITING, "that wait", document["incident"], room=1800))]


def _following(document: Document) -> Line:
    """What is to be done where nothing waits."""
    if not document["runs"] or any(run["status"] not in ENDED for run in document["runs"]):
        return ["Nothing waits for a decision."]
    if any(clock.get("open") for clock in document["clocks"]):
        return [
            "All that was planned has ended. Next: settle each legal clock (",
            Code("/stanch clock"),
            "), then close.",
        ]
    return ["All that was planned has ended. Next: ", Code("/stanch close REASON"), "."]


def _steps(document: Document) -> list[Block]:
    """What is unknown, failed, waits or runs, and what changed something; of the rest how many."""
    replaced = {
        run["id"] for run in document["runs"] if (run.get("followed_by") or {}).get("verb") not in (None, "undo")
    }
    steps = [step for step in document["steps"] if step["run"] not in replaced]
    if not steps:
        return []
    # What waits for people is told above, and a group by its steps.
    asked = {(entry.get("run"), entry["step"]) for entry in document["waiting"]}
    plain = [step for step in steps if step.get("kind") not in GROUPS and (step["run"], step["path"]) not in asked]
    telling = sorted((step for step in plain if _weight(step) is not None), key=lambda step: _weight(step) or 0)
    lines = {id(step): _step_line(step) for step in telling[:STEPS]}
    shown = set(list(lines)[: fitting(list(lines.values()), STEPS_ROOM)])
    # Told in the order in which they ran.
    story = [lines[id(step)] for step in steps if id(step) in shown]
    over = {run["id"] for run in document["runs"] if run["status"] in ENDED}
    rest = Counter(
        "not reached" if step["status"] == "pending" and step["run"] in over else step["status"]
        for step in steps
        if id(step) not in shown and step.get("kind") not in GROUPS
    )
    tally = ", ".join(f"{count:,} {OTHERS.get(status, _word(status))}" for status, count in rest.items())
    blocks = [bullets([Bold("Steps")], story)] if story else []
    if tally:
        blocks.append(paragraph([f"{'Further steps' if story else 'Steps'}: {tally}. ", command(document["incident"])]))
    return blocks


def _step_line(step: Mapping[str, Any]) -> Line:
    return [f"{MARKS.get(step['status'], '·')} ", Bold(_step_name(step)), f": {_detail(step)}"]


def _weight(step: Mapping[str, Any]) -> int | None:
    """How early a step is told, ``None`` if it is only counted."""
    if step["status"] in LOUD:
        return LOUD.index(step["status"])
    return len(LOUD) if (step.get("affected") or {}).get("count") else None


def _step_name(step: Mapping[str, Any]) -> str:
    item = f" [{step['item']}]" if step.get("item") else ""
    return fact((step.get("title") or step["path"]) + item, 120)


def _detail(step: Mapping[str, Any]) -> str:
    """What a step did, and whether that was read back."""
    affected = step.get("affected") or {}
    said = [_word(step["status"])]
    if step["status"] == "waiting" and step.get("waiting_for"):
        said = [f"waits for {WAITS.get(step['waiting_for'], _word(step['waiting_for']))}"]
    tail = step.get("message") if step["status"] in ("failed", "unknown", "denied") else step.get("summary")
    said += [fact(tail, 200)] if tail else []
    if affected.get("count"):
        said.append(f"{affected['count']:,} changed, {'VERIFIED' if step.get('verified') else 'NOT verified'}")
    return ", ".join(said)


def _clocks(document: Document, now: datetime) -> list[Block]:
    """Legal clocks that run, the nearest first, and how many have no time yet."""
    open_ones = [clock for clock in document["clocks"] if clock.get("state") not in SETTLED]
    running = sorted((clock for clock in open_ones if _due(clock)), key=lambda clock: _due(clock) or "")
    lines: list[Line] = []
    for clock in running:
        stage = f" ({_word(clock['stage'])})" if clock.get("stage") else ""
        name = fact((clock.get("name") or clock.get("id") or str(clock.get("regime"))) + stage, 160)
        due = str(_due(clock))
        asked = " · whether it applies is open" if clock.get("candidate") and not clock.get("confirmed") else ""
        lines.append([Bold(name), " · due ", When(due), f" ({left(due, now)})", asked])
    blocks = []
    if lines:
        shown = counted(lines, CLOCKS, "of the clocks", document["incident"], room=1100)
        blocks.append(bullets([Bold("⏱ Legal clocks")], shown))
    if len(open_ones) > len(running) and document["status"] not in GONE:
        blocks.append(paragraph([f"Legal clocks without a time yet: {len(open_ones) - len(running)}."]))
    return blocks


def _due(clock: Mapping[str, Any]) -> str | None:
    due = clock.get("due") or clock.get("strict_due")
    return due.get("latest") if isinstance(due, Mapping) else due


def _warnings(document: Document) -> list[Block]:
    warnings: list[Line] = [
        [fact(warning, 250)]
        for run in document["runs"]
        if not run.get("followed_by")
        for warning in run.get("warnings") or ()
    ]
    if not warnings:
        return []
    return [bullets([Bold("Warnings")], counted(warnings, WARNINGS, "warnings", document["incident"], room=550))]


def _foot(document: Document) -> str:
    alerts = document.get("alerts") or {}
    drafts = len(document.get("drafts") or ())
    parts, opened = [document["incident"]], (document.get("facts") or {}).get("opened_at") or {}
    if opened.get("by"):
        parts.append(f"opened by {fact(opened['by'], 80)}")
    if alerts.get("count"):
        parts.append(f"{alerts['count']:,} alert{'' if alerts['count'] == 1 else 's'}")
    parts += [f"{drafts} drafts (nothing is sent)"] if drafts else []
    return " · ".join(parts)


def _buttons(document: Document) -> Block:
    incident = document["incident"]
    made = [
        button("Add a note", ids.INCIDENT_NOTE, incident),
        button("Hand over", ids.INCIDENT_HANDOVER, incident),
    ]
    if document["waiting"]:
        made.insert(0, button("I have seen it", ids.ACK, incident))
    return actions(*made)


def _lock_screen(document: Document, incident: str) -> str:
    said = f"{_title(document)}: {fact(document.get('title') or '', 300)}"
    unknown = sum(step["status"] == "unknown" for step in document["steps"])
    waiting: Sequence[Any] = document["waiting"]
    parts = [said]
    if (document.get("hold") or {}).get("on"):
        parts.append("HOLD is on")
    if unknown:
        parts.append(f"{unknown} effects UNKNOWN")
    parts.append(f"{len(waiting)} decisions wait" if len(waiting) != 1 else "1 decision waits")
    return ". ".join(parts)
