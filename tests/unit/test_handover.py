"""The hand-over: five lines in every state, the first thing to do in them, and nothing of an attacker's in between."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings

from tests.unit.slack_documents import NASTY, NOW, kept, worst
from worker.desk.handover import handover

AT = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
RUN = "run/INC-2026-1/book/1"


def step(path, status, **more):
    return {"run": RUN, "path": path, "status": status, "item": None, "affected": None, "verified": None, **more}


def document(status="open", **more):
    run = {"id": RUN, "status": "running", "followed_by": None, "after": None}
    base = {
        "incident": "INC-2026-1",
        "title": "Stolen token",
        "severity": 4,
        "mode": "live",
        "status": status,
        "commander": "",
        "opened_at": "2026-11-25T02:00:00.000000Z",
        "runs": [run],
        "steps": [],
        "waiting": [],
        "clocks": [],
        "hold": {"on": False},
    }
    return {**base, **more}


def runs(status, **more):
    return [{"id": RUN, "status": status, "followed_by": None, "after": None, **more}]


ASKED = {
    "step": "go",
    "kind": "approve",
    "who": {"may": ["amal", "bo"]},
    "until": "2026-11-25T03:15:00Z",
    "next": "If nobody answers, it is denied and does not run.",
}
LATER = {**ASKED, "step": "later", "until": None, "next": "It waits until somebody answers."}
DONE = step("revoke", "done", affected={"count": 5}, verified=True)
CLOCK = {"id": "eu_gdpr_art33/sa_notification", "state": "candidate", "open": True, "due": "2026-11-28T02:00:00Z"}
SOON = {"id": "eu_nis2_art23/early_warning", "state": "candidate", "open": True, "due": "2026-11-26T02:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, ["severity 4, open, opened 1 h ago, nobody has taken command: Stolen token", "no effect so far",
              f"Waits: for nobody; {RUN} goes on by itself", "Clocks: none is open", "First: watch it"]),
        ({"runs": []}, ["Waits: for nobody", "First: nothing runs: choose a playbook"]),
        ({"waiting": [LATER, ASKED]}, ["Waits: go (approve) on amal, bo, 15 m left, else it is denied and does not run; "
                                       "and 1 more", "First: decide go"]),
        ({"waiting": [LATER]}, ["Waits: later (approve) on amal, bo, no time limit", "First: decide later"]),
        ({"waiting": [{**ASKED, "who": {"may": []}}]}, ["on NOBODY who is here"]),
        ({"steps": [DONE, step("end", "done", affected={"count": 2}, verified=False)]},
         ["5 targets changed and read back in revoke; NOT read back: end"]),
        ({"steps": [step("end", "done", affected={"count": 2}, verified=False)]}, ["Done: NOT read back: end"]),
        ({"steps": [step("end", "unknown")]}, ["Done: OUTCOME UNKNOWN: end"]),
        ({"steps": [step("end", "failed", affected={"count": 2}, verified=False)]},
         ["Done: failed: end; changed in part: end"]),
        ({"steps": [DONE, step("end", "unknown")], "waiting": [ASKED]},
         ["OUTCOME UNKNOWN: end", "First: find out whether end happened"]),
        ({"status": "contained", "commander": "chidi", "runs": runs("done"), "clocks": [CLOCK, SOON]},
         ["contained", "commander chidi", "Clocks: eu_nis2_art23/early_warning is due next, 2026-11-26 02:00 UTC "
          "(23 h left); 2 open in all", "First: settle the clocks"]),
        ({"runs": runs("failed"), "steps": [step("end", "failed")]}, ["failed: end", "failed: rerun it, undo it"]),
        ({"runs": runs("paused")}, ["First: it is paused"]),
        ({"runs": runs("done")}, ["First: all has ended: `stanch incident close INC-2026-1`"]),
        ({"runs": runs("done"), "clocks": [{**CLOCK, "open": False, "state": "submitted"}]}, ["Clocks: none is open"]),
        ({"clocks": [{**CLOCK, "due": None}]}, ["as soon as possible: eu_gdpr_art33/sa_notification; 1 open in all"]),
        ({"hold": {"on": True, "person": "bo"}, "waiting": [ASKED]}, ["First: the hold of bo stops every effect"]),
        ({"waiting": [{**ASKED, "kind": "review"}]}, ["First: review the break-glass at go"]),
        ({"status": "false_alarm", "runs": runs("undone"), "steps": [{**DONE, "status": "undone"}]},
         ["false alarm", "taken back: revoke", "First: nothing; it is closed."]),
        ({"status": "closed", "runs": runs("done"), "mode": "exercise"}, ["EXERCISE INC-2026-1", "First: nothing"]),
        ({"severity": None}, ["no severity yet"]),
    ],
)  # fmt: skip
def test_every_state_has_its_five_lines(changes, parts):
    lines = handover(document(**changes), AT)
    assert len(lines) == 5
    for part in parts:
        assert part in "\n".join(lines), lines


def test_what_a_rerun_took_over_and_what_an_undo_took_back_count_once():
    again, back = f"{RUN}b", f"{RUN}c"
    found = document(
        runs=[
            {"id": RUN, "status": "failed", "followed_by": {"run": again, "verb": "rerun"}, "after": None},
            {"id": again, "status": "done", "followed_by": {"run": back, "verb": "undo"}, "after": {"verb": "rerun"}},
            {"id": back, "status": "undone", "followed_by": None, "after": {"verb": "undo"}},
        ],
        steps=[
            step("revoke", "failed"),
            {**DONE, "run": again},
            {**DONE, "run": again, "path": "freeze", "status": "undone"},
            {**DONE, "run": back, "path": "freeze", "status": "undone"},
        ],
    )
    assert handover(found, AT)[1] == "Done: 5 targets changed and read back in revoke; taken back: freeze"


@pytest.mark.parametrize("text", NASTY)
def test_text_from_outside_stays_in_its_line(text):
    lines = handover(document(title=text), AT)
    assert len(lines) == 5 and all("\n" not in line for line in lines)
    assert len(lines[0]) < 300


@pytest.mark.parametrize("name", ["approve", "asks", "ended"])
def test_of_real_documents(name):
    lines = handover(kept(name), NOW)
    assert len(lines) == 5 and lines[0].startswith("EXERCISE INC-")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worst())
def test_of_the_largest_and_worst(found):
    lines = handover(found, NOW)
    assert len(lines) == 5 and all(len(line) < 1400 and "\n" not in line for line in lines)
