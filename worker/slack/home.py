"""App Home: what needs me, what happens if I do nothing, and when; then my incidents. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from worker.slack import names as ids
from worker.slack.blocks import Block, Bold, Channel, Code, Line, actions, button, divider, header, paragraph, small
from worker.slack.marks import deadline, fact, marked, worded
from worker.slack.preview import headline

NEEDS, INCIDENTS = 12, 15


def home(
    actor_name: str | None,
    waiting: Sequence[Mapping[str, Any]],
    incidents: Sequence[Mapping[str, Any]],
    *,
    now: datetime,
) -> Block:
    """The home view of one person.

    Args:
        actor_name: The person, or ``None`` for somebody unknown, who is shown nothing but that.
        waiting: ``Views.waiting``; an entry may carry ``card``, the card id that its button gives (else the incident),
            ``mode``, and ``channel``, where its card stands.
        incidents: ``Views.overview``, those that the person may see.
        now: For the time left.
    """
    if actor_name is None:
        return _view(
            [
                paragraph(
                    [Bold("Stanch does not know you. "), "It shows you nothing and you can do nothing here."],
                    ["Ask whoever runs Stanch to link you: ", Code("stanch slack link"), "."],
                )
            ]
        )
    modes = {row["incident"]: row.get("mode", "live") for row in incidents}
    mine = [entry for entry in waiting if actor_name in ((entry.get("who") or {}).get("may") or ())]
    mine.sort(key=lambda entry: entry.get("until") or "9999")
    blocks = [header(f"{len(mine)} {'needs' if len(mine) == 1 else 'need'} you" if mine else "Nothing needs you")]
    for entry in mine[:NEEDS]:
        blocks += _needed(entry, entry.get("mode") or modes.get(entry.get("incident"), "live"), now)
    if len(mine) > NEEDS:
        blocks.append(paragraph([Bold(f"And {len(mine) - NEEDS:,} more: "), Code("stanch decision list --mine")]))
    blocks += [divider(), header("Incidents")]
    open_ones = [row for row in incidents if row["status"] not in ("closed", "false_alarm")]
    lines = [_incident(row) for row in open_ones[:INCIDENTS]]
    if len(open_ones) > INCIDENTS:
        lines.append([f"and {len(open_ones) - INCIDENTS:,} more: ", Code("stanch incident list")])
    blocks.append(paragraph(*lines) if lines else paragraph(["No incident is open."]))
    blocks.append(actions(button("Start an incident…", ids.HOME_START, actor_name)))
    return _view([*blocks, small(f"You are {fact(actor_name, 80)}.")])


def off() -> Block:
    """What everybody is shown while Slack is switched off."""
    return _view(
        [
            paragraph(
                [Bold("Stanch is switched off in Slack. "), "Nothing is done from here."],
                ["Decide with the stanch command; ", Code("stanch slack status"), " says more."],
            )
        ]
    )


def _needed(entry: Mapping[str, Any], mode: str, now: datetime) -> list[Block]:
    worst = headline(entry)
    lines: list[Line] = [
        [Bold(marked(mode, fact(entry["question"], 300)))],
        *([[worst]] if worst else []),
        ["Until ", *deadline(entry["until"], now)] if entry.get("until") else ["No time limit"],
        ["If you do nothing: ", _plainly(fact(entry.get("next") or "it waits.", 300))],
    ]
    if entry.get("channel"):
        lines.append(["Decide in ", Channel(str(entry["channel"]))])
    incident = str(entry.get("incident") or "")
    value = str(entry.get("card") or incident)
    row = actions(button("Open", ids.HOME_OPEN, value))
    return [paragraph(*lines), small(f"{incident} · {fact(entry['step'], 120)}"), row]


def _plainly(following: str) -> str:
    """The sentence of an entry, after words that say its first half already."""
    said = worded(following).removeprefix("If nobody answers, ")
    return said[:1].lower() + said[1:]


def _incident(row: Mapping[str, Any]) -> Line:
    severity = "" if row.get("severity") is None else f" · severity {row['severity']}"
    waits = f" · {row['waiting']} waiting" if row.get("waiting") else ""
    said = f" · {str(row['status']).replace('_', ' ')}{severity}{waits} · {fact(row.get('title') or '', 120)}"
    return [Bold(marked(row.get("mode", "live"), row["incident"])), said]


def _view(blocks: Sequence[Block]) -> Block:
    return {"type": "home", "blocks": list(blocks)}
