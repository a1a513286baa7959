"""The card on which people decide, and what is left of it afterwards. Pure.

In this order: what is asked, and how grave it is in a line; who decides, until when and what happens then; what will
happen to how many and whom, what stops working, what cannot be undone, what is protected; what changed; who is barred;
the digest; the buttons. So a phone's first lines say whether it is yours and how long you have.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from playbooks.policy import together
from worker.slack.blocks import (
    MESSAGE_SIZE,
    Block,
    Bold,
    Line,
    Message,
    People,
    Span,
    When,
    bullets,
    header,
    message,
    paragraph,
    size,
    small,
)
from worker.slack.buttons import LABELS, buttons
from worker.slack.marks import banner, counted, deadline, fact, marked, names, people_line, role, worded
from worker.slack.preview import headline, previews
from worker.wording import MEANINGS, REVIEWS

MOST, QUESTION = 8, 700
HEADINGS = {
    "approve": "Approve or deny?",
    "undo": "Take it back: approve or deny?",
    "ask": "A question for you",
    "human": "Something to do by hand",
    "failure": "A step failed: what now?",
    "unknown": "UNKNOWN whether it happened: look, then say",
    "review": "After-review: was breaking the glass right?",
}
ENDINGS = {
    "approved": "Approved",
    "denied": "Denied",
    "answered": "Answered",
    "expired": "Time is over: nobody decided",
    "closed": "Closed without a decision",
}
WHO = {"ask": "Who answers: ", "human": "Who does it: ", "review": "Who reviews: "}
BARRED = {"review": "cannot review it: broke the glass"}
PAST = {
    "approve": "approved",
    "deny": "denied",
    "break_glass": "broke the glass",
    "answer": "answered",
    "done": "did it",
}


def decision_card(
    incident: str, mode: str, entry: Mapping[str, Any], *, card_id: str, people: People, now: datetime
) -> Message:
    """One waiting question of any kind as a message with its buttons.

    Args:
        incident: Its id.
        mode: ``live`` or ``exercise``.
        entry: One of a document's ``waiting``.
        card_id: Value of every button.
        people: Slack's ids of persons.
        now: For the time left, in steps that change seldom.
    """
    head = [header(marked(mode, HEADINGS.get(entry["kind"], "A decision waits")))]
    head.append(paragraph([Bold(fact(entry["question"], QUESTION))]))
    yours = paragraph(*_who(entry, people), *_time(entry, now))
    lists = _lists(incident, entry)
    foot = [
        *_rules(entry),
        *banner(mode),
        small(f"{incident} · {fact(entry['step'], 120)} · digest {entry['digest'][:16]}{_because(entry)}"),
        *buttons(mode, entry, card_id),
    ]
    effects = previews(incident, entry, MESSAGE_SIZE - sum(map(size, (*head, yours, *lists, *foot))))
    # The first of several steps' blocks sums them up: it is read before anything else.
    summed = 1 if len(entry.get("preview") or ()) > 1 else 0
    blocks = [*head, *effects[:summed], yours, *effects[summed:], *lists, *foot]
    return message(_lock_screen(incident, mode, entry), blocks)


def decided_card(mode: str, asked: Mapping[str, Any], result: Mapping[str, Any], *, people: People) -> Message:
    """What became of a question: who, what, when. No buttons.

    Args:
        mode: ``live`` or ``exercise``.
        asked: The waiting entry, or the notice that told of it.
        result: The result notice, or its body: ``status verdict by``, and ``at`` and ``reason`` if known.
        people: Slack's ids of persons.
    """
    body = {"at": result.get("at"), **(result.get("body") or result)}
    about = asked.get("body") or asked
    status, verdict = str(body.get("status") or "closed"), body.get("verdict")
    word = "Done" if verdict == "done" else ENDINGS.get(status, status.replace("_", " "))
    if verdict == "break_glass":
        word = "Approved by breaking the glass"
    elif verdict and verdict not in PAST:
        word = f"Decided: {LABELS.get(str(verdict), str(verdict).replace('_', ' '))}"
    by = [str(person) for person in body.get("by") or ()]
    question = fact(about.get("question") or asked.get("step") or "", 1200)
    lines: list[Line] = [["By ", *people_line(by, people)] if by else ["By nobody."]]
    if body.get("at"):
        lines.append(["At ", When(str(body["at"]))])
    if body.get("reason"):
        lines.append(["Reason: ", fact(body["reason"])])
    digest = str(about.get("digest") or "")[:16]
    where = f"{asked.get('incident') or ''} · {fact(asked.get('step') or '', 120)}".strip(" ·")
    blocks = [
        header(marked(mode, word)),
        paragraph([question]),
        paragraph(*lines),
        *banner(mode),
        small(where + (f" · digest {digest}" if digest else "")),
    ]
    said = f"{word}{' by ' + names(by, most=5) if by else ''}: {question}"
    return message(marked(mode, said), blocks)


def _lists(incident: str, entry: Mapping[str, Any]) -> list[Block]:
    """What remains after an undo, what changed, what a form asks, what each verdict means."""
    blocks = []
    remains: list[Line] = [[fact(line)] for line in entry.get("remains") or ()]
    if remains:
        blocks.append(bullets([Bold("CANNOT be undone:")], counted(remains, MOST, "that cannot be undone", incident)))
    changed: list[Line] = [[fact(line)] for line in entry.get("difference") or ()]
    if changed:
        blocks.append(
            bullets([Bold("Changed since you were last asked:")], counted(changed, MOST, "changes", incident))
        )
    form = entry.get("form") or {}
    fields: list[Line] = [
        [fact(field.get("description") or name.replace("_", " "), 200)]
        for name, field in form.items()
        if not _may_be_left(field)
    ]
    left = len(form) - len(fields)
    if left:
        fields.append([f"{left} more that may be left out" if fields else f"{left} things; each may be left out"])
    if fields:
        blocks.append(bullets(["It asks for:"], counted(fields, MOST, "fields", incident)))
    meanings: list[Line] = [[Bold(verdict.replace("_", " ")), f": {said}"] for verdict, said in meant(entry)]
    if meanings:
        blocks.append(bullets(["What each answer means:"], meanings))
    return blocks


def meant(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The verdicts of a failure, an unknown outcome or a review, and what follows each."""
    words = REVIEWS if entry["kind"] == "review" else MEANINGS if entry["kind"] in ("failure", "unknown") else {}
    return [(verdict, words[verdict]) for verdict in entry["verdicts"] if verdict in words]


def _may_be_left(field: Mapping[str, Any]) -> bool:
    return not field.get("required", True) or field.get("default") is not None


def _who(entry: Mapping[str, Any], people: People) -> list[Line]:
    """Who may decide, and who has."""
    who = entry.get("who") or {}
    needs = who.get("needs") or ()
    said = "; ".join(
        ("" if need["count"] == 1 else f"{need['count']} of ") + " or ".join(map(role, need["roles"]))
        for need in needs[:MOST]
    )
    decided = entry.get("decided") or ()
    line: list[Span] = [Bold(WHO.get(entry["kind"], "Who decides: ")), fact(said or "nobody can")]
    if who.get("may"):
        line += ["; still able to: " if decided else ": ", *people_line(who["may"], people)]
    lines: list[Line] = [line]
    if who.get("reachable") is False:
        lines.append(
            [Bold("⚠ NOT ENOUGH PEOPLE may decide this."), " Add one (stanch people add), or break the glass."]
        )
    if decided:
        lines.append([Bold("So far: "), *_votes(decided)])
    return lines


def _rules(entry: Mapping[str, Any]) -> list[Block]:
    """Who is barred and why, and how many denials stop it."""
    who, lines = entry.get("who") or {}, list[Line]()
    if who.get("excluded"):
        barred = BARRED.get(entry["kind"], "cannot approve: asked for it or gave one of its values")
        lines.append([f"{names(who['excluded'])} {barred}"])
    if entry["kind"] in ("approve", "undo") and who.get("deny_count"):
        count = int(who["deny_count"])
        lines.append(["One deny stops it." if count == 1 else f"{count} denials stop it."])
    return [paragraph(*lines)] if lines else []


def _because(entry: Mapping[str, Any]) -> str:
    """The rules that name who decides."""
    needs = (entry.get("who") or {}).get("needs") or ()
    why = together(*(need.get("why", "") for need in needs))
    return f" · because of {fact(worded(why))}" if why else ""


def _votes(decided: Any) -> list[Span]:
    spans: list[Span] = []
    for vote in list(decided)[:4]:
        verdict = PAST.get(vote["verdict"], str(vote["verdict"]).replace("_", " "))
        spans += [", "] if spans else []
        spans += [f"{names([vote['person']])} {verdict} "] + ([When(vote["at"], "{time}")] if vote.get("at") else [])
    more = len(decided) - 4
    return spans + ([f" and {more} more"] if more > 0 else [])


def _time(entry: Mapping[str, Any], now: datetime) -> list[Line]:
    lines: list[Line] = [[Bold("Until: "), *deadline(entry.get("until"), now)]]
    if entry.get("next"):
        lines.append([fact(worded(entry["next"]))])
    return lines


def _lock_screen(incident: str, mode: str, entry: Mapping[str, Any]) -> str:
    """Enough to know whether to get up: what is asked, the worst of it, until when."""
    heading = HEADINGS.get(entry["kind"], "A decision waits")
    until = f"Until {entry['until'][11:16]} UTC" if entry.get("until") else ""
    parts = [heading, fact(entry["question"], 600), headline(entry), until]
    said = " ".join(part if part[-1] in ".?!" else f"{part}." for part in parts if part)
    return marked(mode, f"{incident}: {said}")
