"""The buttons of a decision card: what each does, and the dialog that asks once more. Pure."""

from collections.abc import Mapping
from typing import Any

from worker.slack import names
from worker.slack.blocks import CONFIRM_TEXT, Block, actions, button, confirm
from worker.slack.marks import fact, marked
from worker.slack.marks import names as named
from worker.slack.preview import name_of, weight
from worker.slack.text import shown, units
from worker.wording import MEANINGS, NO_CHANGE, cannot_be_undone, only_starts

LABELS = {
    "retry": "Try again",
    "skip": "Go on without it",
    "undo": "Take it back",
    "stop": "End the run",
    "happened": "It happened",
    "not_happened": "It did not happen",
    "verify": "Read it back",
}
SURE = frozenset({"skip", "undo", "stop", "happened", "not_happened"})
"""Verdicts that ask once more."""


def buttons(mode: str, entry: Mapping[str, Any], card_id: str) -> list[Block]:
    """The rows of buttons; breaking the glass stands apart, last."""
    made = [_button(mode, entry, verdict, card_id) for verdict in entry["verdicts"] if verdict != "break_glass"]
    if entry["kind"] == "review":
        made = [button("Review…", names.DECIDE_FORM, card_id, style="primary")]
    rows = [actions(*made)] if made else []
    if "break_glass" in entry["verdicts"]:
        rows.append(actions(button("Break glass…", names.BREAK_GLASS, card_id)))
    return rows


def _button(mode: str, entry: Mapping[str, Any], verdict: str, card_id: str) -> Block:
    if verdict == "approve":
        return button(marked(mode, "Approve"), names.APPROVE, card_id, style="primary", confirm=_approve(mode, entry))
    if verdict == "deny":
        return button("Deny…", names.DENY, card_id, style="danger")
    if verdict == "answer" or (verdict == "done" and entry.get("form")):
        label = "Answer…" if verdict == "answer" else "Done…"
        return button(label, names.DECIDE_FORM, card_id, style="primary")
    if verdict == "done":
        sure = confirm(marked(mode, "Is it done?"), "You say that you have done this by hand.", "It is done", "Not yet")
        return button("Done", names.DONE, card_id, style="primary", confirm=sure)
    label = LABELS.get(verdict, verdict.replace("_", " ").capitalize())
    asked = None
    if verdict in SURE:
        asked = confirm(marked(mode, f"{label}?"), MEANINGS[verdict].capitalize() + ".", label, "Back", danger=True)
    style = "danger" if verdict == "stop" else ""
    return button(label, names.decide(verdict), card_id, style=style, confirm=asked)


def _approve(mode: str, entry: Mapping[str, Any]) -> Block:
    undo = entry["kind"] == "undo"
    steps = list(entry.get("preview") or ())
    gone, kept, _ = weight(steps, undo=undo)
    remains = entry.get("remains") or ()
    grave = bool(gone or kept or remains)
    part = "This" if gone == len(steps) else "Part of this"
    title = "Take it back?" if undo else f"{part} CANNOT be undone. Approve?" if gone else "Approve?"
    return confirm(marked(mode, title), said(entry), "Approve", "Back", danger=grave)


def said(entry: Mapping[str, Any]) -> str:
    """What the dialog repeats, in its 300 units: the irreversible facts by name, by count if there are too many."""
    undo, steps = entry["kind"] == "undo", list(entry.get("preview") or ())
    gone, kept, total = weight(steps, undo=undo)
    where = f" in {len(steps)} steps" if len(steps) > 1 else ""
    change = f"It {NO_CHANGE}." if all(map(only_starts, steps)) else f"{total:,} will change{where}."
    lines = [change if steps else fact(entry["question"], 200)]
    lost = [step for step in steps if not undo and cannot_be_undone(step)]
    protected = [name for step in steps for name in step.get("protected") or ()]
    remains = entry.get("remains") or ()
    fullest = [
        f"CANNOT be undone: {'; '.join(map(_lost, lost))}." if lost else "",
        f"PROTECTED: {named(protected, most=5)}." if protected else "",
        f"What remains: {'; '.join(map(fact, remains))}." if remains else "",
    ]
    named_only = [
        f"CANNOT be undone: {', '.join(map(name_of, lost))}." if lost else "",
        f"PROTECTED: {named(protected, most=2)}." if protected else "",
        f"{len(remains)} things remain that CANNOT be undone." if remains else "",
    ]
    by_count = [
        f"CANNOT be undone: {gone} of {len(steps)} steps." if gone else "",
        f"PROTECTED targets: {kept:,}." if kept else "",
        named_only[2],
    ]
    calm = [] if gone or kept or remains or undo or not steps else ["All of it can be undone."]
    for variant in (fullest, named_only, by_count):
        text = "\n".join([*lines, *filter(None, variant), *calm])
        if units(shown(text, lines=True)) <= CONFIRM_TEXT:
            return text
    return text


def _lost(step: Mapping[str, Any]) -> str:
    because = f" ({fact(step['irreversible_because'])})" if step.get("irreversible_because") else ""
    return name_of(step) + because
