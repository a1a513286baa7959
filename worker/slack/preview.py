"""What a decision will do, step by step: the worst first where there is much; the rest is counted, never cut. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.slack.blocks import Block, Bold, Line, bullets, paragraph, size
from worker.slack.marks import command, fact, fitting, labelled, names
from worker.wording import NO_CHANGE, cannot_be_undone, only_starts

DETAILED = 6
COMPACT = 24
COMPACT_ROOM, COUNTED = 1400, 900
"""Characters, as JSON, of the steps that are told in a line each, and of what counts the others."""
IMPACTS = 3
LEFT_OUT = 5
NAMED = 2

Step = Mapping[str, Any]


def previews(incident: str, entry: Mapping[str, Any], room: int = 6000) -> list[Block]:
    """The steps that a decision covers, in so many characters as JSON.

    A step that cannot be undone or has protected targets is always told of, by name or in a count.
    """
    steps = list(entry.get("preview") or ())
    undo = entry["kind"] == "undo"
    if len(steps) > DETAILED:
        # Stable: within each sort they stay in the playbook's order.
        steps.sort(key=lambda step: not _grave(step, undo))
    blocks: list[Block] = [] if len(steps) < 2 else [paragraph(_sum(steps, undo))]
    detailed, room = 0, room - sum(map(size, blocks))
    for step in steps[:DETAILED]:
        block = _detailed(incident, step, undo)
        if detailed and size(block) + (COMPACT_ROOM + COUNTED if len(steps) > detailed + 1 else 0) > room:
            break
        blocks.append(block)
        room -= size(block)
        detailed += 1
    rest = steps[detailed:]
    if not rest:
        return blocks
    lines = [_compact(step, undo) for step in rest[:COMPACT]]
    del lines[fitting(lines, COMPACT_ROOM) :]
    more = rest[len(lines) :]
    if more:
        lines.append([f"and {len(more):,} more steps", *_warned(more, undo), ": ", command(incident)])
    return [*blocks, bullets([Bold(f"And {len(rest):,} further steps:")], lines)]


def headline(entry: Mapping[str, Any]) -> str:
    """The worst in a few words, for a lock screen: how many targets, what cannot be undone, what is protected."""
    steps = list(entry.get("preview") or ())
    if not steps:
        return ""
    gone, kept, total = weight(steps, undo=entry["kind"] == "undo")
    said = [f"it {NO_CHANGE}" if all(map(only_starts, steps)) else f"{total:,} will change"]
    said += [f"{gone} of {len(steps)} steps CANNOT be undone" if len(steps) > 1 else "CANNOT be undone"] if gone else []
    said += [f"{kept:,} PROTECTED"] if kept else []
    return "; ".join(said)


def weight(steps: Sequence[Step], *, undo: bool) -> tuple[int, int, int]:
    """How many steps cannot be undone, how many targets are protected, how many targets change."""
    gone = 0 if undo else sum(cannot_be_undone(step) for step in steps)
    kept = sum(len(step.get("protected") or ()) for step in steps)
    return gone, kept, sum(int(step.get("count") or 0) for step in steps)


def name_of(step: Step) -> str:
    """A step by its title, else its path."""
    item = f"[{step['item']}]" if step.get("item") else ""
    return fact((step.get("title") or step["step"]) + item, 120)


def _grave(step: Step, undo: bool) -> bool:
    return bool(step.get("protected")) or (not undo and cannot_be_undone(step))


def _sum(steps: Sequence[Step], undo: bool) -> Line:
    _, _, total = weight(steps, undo=undo)
    return [Bold(f"{len(steps):,} steps, {total:,} changes in all"), *_warned(steps, undo)]


def _warned(steps: Sequence[Step], undo: bool) -> Line:
    gone, kept, _ = weight(steps, undo=undo)
    spans: list[Any] = []
    if gone:
        spans.append(Bold(f" · ⚠ {gone:,} CANNOT be undone"))
    if kept:
        spans.append(Bold(f" · ⛔ {kept:,} PROTECTED"))
    return spans or ([] if undo else [" (all can be undone)"])


def _figures(step: Step) -> Line:
    """How many, and the first of whom; only the number is bold: it is what the eye looks for."""
    count, already = int(step.get("count") or 0), int(step.get("already") or 0)
    who = names(labelled(step), count)
    figures = f"{count:,} will change" + (f", {already:,} already so" if already else "")
    return [Bold(figures), f": {who}" if who else ""]


def _detailed(incident: str, step: Step, undo: bool) -> Block:
    title, summary = name_of(step), fact(step.get("summary") or step.get("action") or "", 200)
    if only_starts(step):
        return bullets([Bold(title), f" · {summary}"], [[NO_CHANGE.capitalize()]])
    items: list[Line] = [_figures(step)]
    impact = list(step.get("impact") or ())
    if impact:
        more: Line = [f"; and {len(impact) - IMPACTS:,} more: ", command(incident)] if len(impact) > IMPACTS else []
        items.append(["Impact: ", "; ".join(fact(line, 200) for line in impact[:IMPACTS]), *more])
    because = f": {fact(step['irreversible_because'])}" if step.get("irreversible_because") else ""
    if not undo:
        items.append(["Can be undone" + because] if step.get("reversible") else [Bold("⚠ CANNOT be undone"), because])
    if step.get("protected"):
        items.append([Bold(f"⛔ PROTECTED: {names(step['protected'], most=LEFT_OUT)}")])
    if step.get("excluded"):
        items.append([f"Left out: {names(step['excluded'], most=LEFT_OUT)}"])
    return bullets([Bold(title), f" · {summary}" if summary and summary != title else ""], items)


def _compact(step: Step, undo: bool) -> Line:
    if only_starts(step):
        return [Bold(name_of(step)), f": {NO_CHANGE}"]
    spans: list[Any] = [Bold(name_of(step)), ": ", *_figures(step)]
    if not undo:
        spans.append(", can be undone" if step.get("reversible") else Bold(" · ⚠ CANNOT be undone"))
    if step.get("protected"):
        spans.append(Bold(f" · ⛔ PROTECTED: {names(step['protected'], most=NAMED)}"))
    return spans
