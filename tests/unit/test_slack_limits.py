"""Whatever a document holds, Slack takes the message, and nothing that must be seen is lost."""

import json

from hypothesis import HealthCheck, given, settings

from tests.unit.slack_documents import NOW, entry, kept, said, step_preview, worst
from worker.slack.blocks import People
from worker.slack.decision_card import decided_card, decision_card
from worker.slack.home import home
from worker.slack.modals import answer_view, note_view, pick_playbook, reason_view, review_view, start_form
from worker.slack.peer.limits import problems, view_problems
from worker.slack.preview import weight
from worker.slack.status_card import announcement, status_card
from worker.slack.told import refusal, told

PEOPLE = People({"ana": "U0123ABC"})


def taken(made):
    blocks = list(made.blocks)
    assert problems(blocks) == []
    assert 0 < len(made.text) <= 3000
    written = json.dumps([made.text, blocks])
    assert "mrkdwn" not in written
    assert "://" not in written
    return said(blocks)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worst())
def test_the_largest_and_worst_incident_fits_into_every_message_and_view(incident):
    name, mode = incident["incident"], incident["mode"]
    exercise = mode == "exercise"
    messages = [status_card(incident, people=PEOPLE, now=NOW), announcement(incident, "C0123ABC", people=PEOPLE)]
    messages += [told(notice, mode, people=PEOPLE) for notice in incident["notices"]]
    for waits in incident["waiting"][:4]:
        messages.append(decision_card(name, mode, waits, card_id="c" * 40, people=PEOPLE, now=NOW))
        result = {"body": {"status": "denied", "verdict": "deny", "by": ["ana"], "reason": waits["question"]}}
        messages.append(decided_card(mode, waits, result, people=PEOPLE))
        views = [reason_view("deny", waits, mode=mode), reason_view("break_glass", waits, mode=mode)]
        views += [review_view(waits, mode=mode), answer_view(waits, mode=mode)]
        assert [view_problems(view) for view in views] == [[], [], [], []]
    for made in messages:
        lines = taken(made)
        assert any("EXERCISE" in line for line in lines) == exercise or not exercise
        assert made.text.startswith("EXERCISE") == exercise
    taken(refusal("wrong_role", incident["title"], incident["title"]))
    needed = [waits | {"incident": name, "who": waits["who"] | {"may": ["ana"]}} for waits in incident["waiting"]]
    rows = [{**incident, "incident": f"INC-{number}", "waiting": 3} for number in range(60)]
    assert view_problems(home("ana", needed, rows, now=NOW)) == []
    assert view_problems(note_view(name, mode=mode, text=incident["title"])) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worst())
def test_no_warning_is_lost_however_much_there_is(incident):
    """Every step that cannot be undone, and every protected target, is shown or counted; so is every unknown effect."""
    for waits in incident["waiting"][:4]:
        if not waits["preview"]:
            continue
        gone, protected, total = weight(waits["preview"], undo=waits["kind"] == "undo")
        made = decision_card("INC-2026-1", "live", waits, card_id="c", people=PEOPLE, now=NOW)
        lines = said(made.blocks)
        approve = next(block for block in made.blocks if block["type"] == "actions")["elements"][0]
        dialog = approve["confirm"]["text"]["text"]
        if gone:
            assert any("CANNOT be undone" in line for line in lines)
            assert "CANNOT be undone" in dialog
            assert "CANNOT be undone" in made.text
        if protected:
            assert any("PROTECTED" in line for line in lines)
            assert "PROTECTED" in dialog
            assert "PROTECTED" in made.text
        if len(waits["preview"]) > 1:
            assert f"{len(waits['preview']):,} steps, {total:,} changes in all" in "\n".join(lines)
            assert (f"{gone:,} CANNOT be undone" in "\n".join(lines)) == bool(gone)
            assert (f"{protected:,} PROTECTED" in "\n".join(lines)) == bool(protected)
        assert not dialog.endswith("…")
    unknown = sum(step["status"] == "unknown" for step in incident["steps"])
    shown = said(status_card(incident, people=PEOPLE, now=NOW).blocks)
    assert any(line.startswith(f"❗ UNKNOWN whether {unknown} effect") for line in shown) == bool(unknown)


def test_five_hundred_targets_are_told_by_three_and_a_number():
    names = [f"user{number}@x.example" for number in range(30)]
    many = step_preview(1, count=500, sample=names, labels=names)
    lines = taken(decision_card("INC-1", "live", entry(preview=[many]), card_id="c", people=PEOPLE, now=NOW))
    assert "500 will change: user0@x.example, user1@x.example, user2@x.example and 497 more" in lines


def test_of_forty_steps_the_grave_ones_come_first_and_none_is_silent():
    steps = [step_preview(number) for number in range(40)]
    steps[39] |= {
        "reversible": False,
        "irreversible_because": "tokens do not come back",
        "protected": ["root@x.example"],
    }
    lines = taken(decision_card("INC-1", "live", entry(preview=steps), card_id="c", people=PEOPLE, now=NOW))
    assert lines[2] == "40 steps, 80 changes in all · ⚠ 1 CANNOT be undone · ⛔ 1 PROTECTED"
    at = lines.index("s39 · Freeze users: 2 users")
    assert lines[at - 1].startswith("If nobody answers")
    assert "⛔ PROTECTED: root@x.example" in lines[at + 1 : at + 6]
    counted = next(line for line in lines if "more steps" in line)
    assert counted.endswith("(all can be undone): stanch incident show INC-1")


def test_a_hundred_choices_and_two_hundred_playbooks_can_be_picked():
    field = {"type": "choice", "required": True, "default": None, "options": [f"o{n}" for n in range(250)]}
    assert view_problems(answer_view(entry("ask", form={"it": field}))) == []
    rows = [
        {"id": f"playbook-{number}-{'x' * 40}", "title": "t" * 120, "inputs": {"it": field}} for number in range(200)
    ]
    assert view_problems(pick_playbook(rows)) == []
    assert view_problems(pick_playbook([])) == []
    assert view_problems(start_form(rows[0], mode="exercise", title="x" * 900, severity=9)) == []


def test_documents_of_real_runs_fit():
    for name in ("approve", "asks", "ended"):
        document = kept(name)
        taken(status_card(document, people=PEOPLE, now=NOW))
        for waits in document["waiting"]:
            taken(decision_card(document["incident"], document["mode"], waits, card_id="c", people=PEOPLE, now=NOW))
        for notice in document["notices"]:
            taken(told(notice, document["mode"], people=PEOPLE))
