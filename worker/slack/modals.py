"""Every modal: picking a playbook, starting it, deciding with a reason or a form, reviewing, noting. Pure.

``metadata`` is the ``private_metadata``: JSON of ids only, made by whoever opens the modal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.desk.decisions import MAX_REASON
from worker.slack import forms
from worker.slack import names as ids
from worker.slack.blocks import (
    PLACEHOLDER,
    Block,
    Bold,
    Code,
    Line,
    asked,
    bullets,
    modal,
    options,
    paragraph,
    plain,
    small,
)
from worker.slack.decision_card import meant
from worker.slack.marks import EXERCISE, banner, fact
from worker.slack.preview import previews

TITLE = 200
SEVERITIES = ("0 · information", "1 · low", "2", "3 · medium", "4 · high", "5 · critical")
REASONS = {
    "deny": ("Deny", "Why not? Everybody in the incident reads it.", False),
    "break_glass": ("Break glass", "Why can this not wait for the approvals? Somebody else reviews it later.", True),
}
PLAYBOOKS = 100


def pick_playbook(playbooks: Sequence[Mapping[str, Any]], *, mode: str = "live", metadata: str = "") -> Block:
    """The picker. Its choice is the option ``playbook`` / ``value``; the value is the playbook's id."""
    if not playbooks:
        return _modal(mode, "Start", ids.START_PICK, [paragraph(["There are no playbooks. Nothing can be started."])])
    found = options([(str(row["id"]), str(row.get("title") or row["id"])) for row in playbooks])
    element: Block = {"type": "static_select", "action_id": ids.VALUE, "placeholder": plain("Choose one", PLACEHOLDER)}
    if len(found) <= PLAYBOOKS:
        element["options"] = found
    else:
        groups = [found[at : at + PLAYBOOKS] for at in range(0, len(found), PLAYBOOKS)]
        element["option_groups"] = [
            {"label": plain(f"From {group[0]['text']['text']}", 75), "options": group} for group in groups
        ]
    blocks = [asked(ids.PLAYBOOK, "What should be done?", element, hint="Nothing starts yet: the next page asks more.")]
    return _modal(mode, "Start", ids.START_PICK, blocks, submit="Next", metadata=metadata)


def start_form(
    playbook: Mapping[str, Any], *, mode: str = "live", metadata: str = "", title: str = "", severity: int = 3
) -> Block:
    """The form that starts a playbook (a row of ``playbook list``): title, severity, and one field for each input."""
    inputs = playbook.get("inputs") or {}
    head = paragraph([Bold(fact(playbook.get("title") or playbook["id"], 200))])
    try:
        fields = forms.blocks_of(inputs)
    except ValueError as many:
        said = f"{many}. Start it with "
        return _modal(
            mode,
            "Start",
            ids.START_RUN,
            [head, paragraph([said, Code(f"stanch incident start {playbook['id']}")])],
            metadata=metadata,
        )
    what: Block = {"type": "plain_text_input", "action_id": ids.VALUE, "max_length": TITLE}
    if title.strip():
        what["initial_value"] = fact(title, TITLE - 20)
    levels = options([(str(level), said) for level, said in enumerate(SEVERITIES)])
    how: Block = {"type": "static_select", "action_id": ids.VALUE, "options": levels}
    how["initial_option"] = levels[min(max(severity, 0), 5)]
    blocks = [
        head,
        asked(ids.TEXT, "What happened, in a line", what),
        asked(ids.SEVERITY, "Severity", how),
        *fields,
    ]
    return _modal(mode, "Start", ids.START_RUN, blocks, submit="Start", metadata=metadata)


def reason_view(verdict: str, entry: Mapping[str, Any], *, mode: str = "live", metadata: str = "") -> Block:
    """Deny or break the glass, with a reason; the latter shows again what will happen."""
    title, question, required = REASONS[verdict]
    blocks = [paragraph([Bold(fact(entry["question"], 1200))])]
    if verdict == "break_glass":
        blocks += [
            paragraph([Bold("⚠ You act without the approvals that this needs. It happens at once.")]),
            *previews(str(entry.get("incident") or "ID"), entry),
        ]
    blocks.append(asked(ids.REASON, question, _long(), optional=not required))
    return _modal(mode, title, ids.decide(verdict), blocks, submit=title, metadata=metadata)


def answer_view(entry: Mapping[str, Any], *, mode: str = "live", metadata: str = "") -> Block:
    """The form of an ask or of a human step."""
    head = paragraph([Bold(fact(entry["question"], 1200))])
    verdict = "done" if "done" in entry["verdicts"] else "answer"
    title, submit = ("Done", "It is done") if verdict == "done" else ("Answer", "Answer")
    try:
        fields = forms.blocks_of(entry.get("form") or {})
    except ValueError as many:
        said = paragraph([f"{many}. Answer it with the command line."])
        return _modal(mode, title, ids.decide(verdict), [head, said], metadata=metadata)
    return _modal(mode, title, ids.decide(verdict), [head, *fields], submit=submit, metadata=metadata)


def review_view(entry: Mapping[str, Any], *, mode: str = "live", metadata: str = "") -> Block:
    """The after-review of a break-glass: a verdict and a reason."""
    pairs = [(verdict, verdict.replace("_", " ").capitalize()) for verdict in entry["verdicts"]]
    choice: Block = {"type": "radio_buttons", "action_id": ids.VALUE, "options": options(pairs)}
    meanings: list[Line] = [[Bold(verdict.replace("_", " ")), f": {said}"] for verdict, said in meant(entry)]
    blocks = [paragraph([Bold(fact(entry["question"], 1200))])]
    blocks += [bullets(None, meanings)] if meanings else []
    blocks += [asked(ids.VERDICT, "Was it right?", choice), asked(ids.REASON, "Why do you say so?", _long())]
    return _modal(mode, "Review", ids.REVIEW, blocks, submit="Record it", metadata=metadata)


def note_view(incident: str, *, mode: str = "live", metadata: str = "", text: str = "") -> Block:
    """A note for the incident's timeline."""
    element = _long() | ({"initial_value": fact(text, MAX_REASON - 20)} if text.strip() else {})
    blocks = [asked(ids.TEXT, "What should the timeline say?", element), small(f"{incident} · kept with your name")]
    return _modal(mode, "Note", ids.NOTE, blocks, submit="Keep it", metadata=metadata)


def _long() -> Block:
    return {"type": "plain_text_input", "action_id": ids.VALUE, "multiline": True, "max_length": MAX_REASON}


def _modal(
    mode: str, title: str, callback_id: str, blocks: Sequence[Block], *, submit: str = "", metadata: str = ""
) -> Block:
    said = f"{EXERCISE}: {title}" if mode == "exercise" else title
    return modal(said, callback_id, [*banner(mode), *blocks], submit=submit, metadata=metadata)
