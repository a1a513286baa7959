"""What people are told that is no question: notices, and refusals that only one person sees. Pure."""

from collections.abc import Mapping
from typing import Any

from worker.slack.blocks import Block, Bold, Code, Line, Message, People, Span, header, message, paragraph, small
from worker.slack.decision_card import decided_card
from worker.slack.marks import banner, fact, marked, people_line, role

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
    """Persons are mentioned; in which roles stands behind them, or alone where nobody has the role."""
    pairs = [str(one).partition(":") for one in list(to)[:10]]
    persons = [name for kind, _, name in pairs if kind == "person"]
    roles = ", ".join(role(name or kind) for kind, _, name in pairs if kind != "person")
    if not persons:
        return [roles] if roles else []
    return [*people_line(persons, people, most=10), f" ({roles})" if roles else ""]
