"""The after-review: what it says of a record, that it is the same each time, and that nobody's text leaves its cell."""

import pytest

from tests.unit.slack_documents import NASTY, kept
from worker.desk.after_review import after_review

RUN = "run/INC-2026-1/book/1"


def entry(seq, second, kind, actor="stanch", door="workflow", text="", **body):
    at = f"2026-11-25T03:00:{second:02}.000000Z"
    made = {"seq": seq, "at": at, "kind": kind, "actor": actor, "door": door, "body": {"run": RUN, **body}}
    return {**made, "text": text} if text else made


def record(said="Vendor confirmed", reason="As shown"):
    gate = {"step": "go", "round": 1}
    effect = {"action": "lab.touch", "effect": True, "changed": True, "result": {"affected": {"count": 3}}}
    return [
        entry(1, 0, "incident.opened"),
        entry(2, 5, "incident.acknowledged", "amal", "slack"),
        entry(3, 6, "gate.opened", **gate, gate="approve", needs=[{"roles": ["crm_owner"], "count": 2}]),
        entry(4, 7, "decision.refused", "cleo", "slack", **gate, code="requester"),
        entry(5, 8, "gate.escalated", step="go", role="incident_commander", round=1),
        entry(6, 9, "decision.accepted", "amal", "slack", reason, **gate, verdict="approve"),
        entry(7, 20, "gate.closed", **gate, gate="approve", status="approved"),
        entry(8, 21, "action.outcome", **effect, step="one", item=None, verb="apply", verified=True),
        entry(9, 22, "action.outcome", **effect, step="two", item="1", verb="apply", verified=False),
        entry(10, 30, "action.outcome", **effect, step="one", item=None, verb="undo", verified=True),
        entry(11, 31, "action.outcome", **{**effect, "changed": False}, step="same", verb="apply", verified=True),
        entry(12, 40, "incident.note", "amal", "slack", said, author="bo"),
    ]


def document(**more):
    run = {"id": RUN, "status": "done", "playbook": {"id": "book", "version": "1.0.0"}}
    base = {
        "incident": "INC-2026-1",
        "title": "Stolen token",
        "kind": "crm.oauth_token_theft",
        "severity": 4,
        "mode": "live",
        "status": "closed",
        "commander": "cleo",
        "opened_at": "2026-11-25T03:00:00.000000Z",
        "closed_at": "2026-11-25T04:00:00.000000Z",
        "runs": [run],
        "facts": {"root_cause": {"value": "A vendor's token"}, "detected_at": {"value": "2026-11-25T02:59:00Z"}},
        "clocks": [{"id": "eu_gdpr_art33/sa_notification", "state": "submitted", "due": "2026-11-28T02:00:00Z"}],
        "drafts": [{"regime": "eu_gdpr_art33", "stage": "sa_notification", "due": None, "missing": ["subjects"]}],
        "reviews": [],
    }
    return {**base, **more}


def test_it_tells_times_effects_questions_and_lessons():
    text = after_review(document(), record())
    for part in (
        "# After-review of INC-2026-1",
        "| detected | 2026-11-25 02:59:00 | 1 m before |",
        "| first acknowledged | 2026-11-25 03:00:05 | 5 s |",
        "| first effect | 2026-11-25 03:00:21 | 21 s |",
        "| closed | 2026-11-25 04:00:00 | 1 h |",
        "| 2026-11-25 03:00:21 | one | lab.touch | 3 | read back |",
        "| 2026-11-25 03:00:22 | two\\[1\\] | lab.touch | 3 | NOT read back |",
        "| 2026-11-25 03:00:30 | one | lab.touch | 3 | taken back |",
        "| go | approve | 2 of crm\\_owner | 14 s | approved |",
        "amal approve at 03:00:09, slack (As shown)",
        "escalated to incident\\_commander",
        "refused: cleo, requester",
        "| root cause | A vendor's token |",
        "| bo | Vendor confirmed |",
        "| eu\\_gdpr\\_art33/sa\\_notification | submitted |",
        "| subjects |",
    ):
        assert part in text, text
    assert "same" not in text.split("## Who was asked")[0].split("## What was done")[1]
    assert text == after_review(document(), record())


def test_an_exercise_says_so_and_an_empty_record_has_every_part():
    text = after_review(document(mode="exercise", clocks=[], drafts=[], facts={}), [])
    assert text.startswith("# EXERCISE: After-review")
    assert text.count("Nothing is on record.") == 9


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("2026-11-25T04:59:00+02:00", "| 2026-11-25 02:59:00 | 1 m before |"),
        ("yesterday", "| yesterday |  |"),
        (5, "| 5 |  |"),
        ("2026-11-25T02:59:00", "| 2026-11-25T02:59:00 |  |"),
    ],
)
def test_an_instant_is_told_in_utc_and_what_is_none_as_it_is(at, shown):
    assert shown in after_review(document(facts={"detected_at": {"value": at}}), record())


def test_what_failed_what_is_unknown_and_every_refusal_is_told():
    steps = [
        {"run": RUN, "path": "end", "action": "lab.end", "status": "failed", "message": "Locked out"},
        {"run": RUN, "path": "cut", "action": "lab.cut", "status": "unknown", "code": "timeout"},
        {"run": RUN, "path": "one", "action": "lab.touch", "status": "done"},
    ]
    stranger = {**entry(13, 50, "decision.refused", "unknown", "slack"), "body": {"code": "unknown_person"}}
    text = after_review(document(steps=steps), [*record(), stranger])
    for part in ("| end | lab.end | failed | Locked out |", "| cut | lab.cut | unknown | timeout |"):
        assert part in text, text
    assert "| requester | 1 | cleo |" in text and "| unknown\\_person | 1 | unknown |" in text


def test_a_broken_glass_is_told_with_its_review():
    review = {"run": RUN, "step": "go", "who": {"excluded": ["cleo"]}, "verdict": "justified", "by": "amal"}
    told = [*record(), entry(13, 50, "review.done", "amal", "desk", "No time", step="go", verdict="justified")]
    assert "| go | cleo | justified | amal | No time |" in after_review(document(reviews=[review]), told)


@pytest.mark.parametrize("text", [*NASTY, "a | b | c |\n| x |", "# Heading\n- item", "![x](http://evil.example/p.png)"])
def test_what_people_said_stays_in_its_cell(text):
    plain = after_review(document(), record())
    hostile = after_review(document(title=text, commander=text), record(said=text, reason=text))
    headings = [line for line in hostile.splitlines() if line.startswith("#")]
    assert headings == [line for line in plain.splitlines() if line.startswith("#")]
    columns = [line.replace("\\|", "").count("|") for line in hostile.splitlines() if line.startswith("|")]
    wanted = [line.replace("\\|", "").count("|") for line in plain.splitlines() if line.startswith("|")]
    assert columns == wanted or not text.strip()
    assert "](" not in hostile.replace("\\](", "").replace("\\]\\(", "") and "<script" not in hostile


@pytest.mark.parametrize("name", ["approve", "asks", "ended"])
def test_of_real_documents(name):
    assert after_review(kept(name), []).startswith("# EXERCISE: After-review")
