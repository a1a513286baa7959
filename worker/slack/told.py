"""What people are told that is no question: notices, and refusals that only one person sees. Pure."""

from collections.abc import Mapping
from typing import Any

from worker.slack.blocks import Block, Bold, Code, Line, Message, People, Span, header, message, paragraph, small
from worker.slack.decision_card import decided_card
from worker.slack.marks import banner, fact, marked, role

TEXT = 2600
HEADINGS = {"page": "🚨 Page", "high": "❗ Please look"}


def told(notice: Mapping[str, Any], mode: str, *, people: People) -> Message:
    """A notice as a message: a tell, a page, a reminder, a warning; a question's result says who decided what."""
    body = notice.get("body") or {}
    if body.get("kind") == "result":
        return decided_card(mode, notice, notice, people=people)
    text = fact(body.get("question") or body.get("text") or body.get("kind") or "", TEXT)
    if body.get("kind") == "gate":
        text = f"Decide {fact(notice.get('step') or '', 120)}: {text}"
    heading = HEADINGS.get(str(notice.get("urgency")))
    to = _recipients(notice.get("to") or (), people)
    blocks: list[Block] = [header(marked(mode, heading))] if heading else []
    loud: Line = [text] if heading else [Bold(marked(mode, "")), text] if mode == "exercise" else [text]
    blocks += [paragraph(loud, *([["For ", *to]] if to else [])), *banner(mode)]
    if notice.get("step"):
        blocks.append(small(f"{notice.get('incident') or ''} · {fact(notice['step'], 120)}"))
    incident = f"{notice['incident']}: " if notice.get("incident") else ""
    said = text if incident and text.startswith(incident) else incident + text
    return message(marked(mode, said), blocks)


def refusal(code: str, said: str, following: str = "") -> Message:
    """Why something was not done, for the person alone: what happened, what to do next, the code."""
    lines: list[Line] = [[Bold("Not done. "), fact(said, TEXT)]]
    if following:
        lines.append([fact(following, TEXT // 2)])
    return message(f"Not done. {fact(said, TEXT)}", [paragraph(*lines, ["Code: ", Code(code)])])


def _recipients(to: Any, people: People) -> list[Span]:
    """Persons are mentioned; roles are named, for they have no one to mention."""
    spans: list[Span] = []
    for one in list(to)[:10]:
        kind, _, name = str(one).partition(":")
        spans += [", "] if spans else []
        spans.append(people.mention(name) if kind == "person" else role(name or kind))
    return spans
