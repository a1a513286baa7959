"""Why a step ran or did not: the sentences for every way in which it can stand, from the record alone."""

from typing import Any

import pytest

from playbooks.compile import compile_plan
from playbooks.contract import RunContext
from playbooks.loader import Library
from playbooks.plan import RunPlan
from playbooks.policy import Policy
from tests.books import ACTIONS, loaded, whole
from worker.desk.why import why
from worker.desk.why_record import Known, split, targets, when
from worker.desk.why_undo import of_undo, why_undo

RUN = "run/INC-2026-1/example/1"
STEPS = """\
- {id: look, action: lab.look}
- id: go
  approve: [cut]
  by: {roles: [crm_owner], count: 2}
  within: 15m
  on_timeout: [{escalate: incident_commander, within: 15m}, deny]
- id: cut
  action: lab.cut
  when: incident.severity > 3
  with: {targets: "{{ steps.look.targets }}"}
- {id: free, action: lab.pause}
- id: ways
  if: steps.look.count > 0
  then: [{id: yes1, note: x}]
  else: [{id: no1, note: y}]
- {id: each, for_each: [a, b], action: lab.look}
"""
AT = "2026-11-25T03:0{}:00.000000Z"


def at(minute: int) -> str:
    """An instant of the story."""
    return AT.format(minute)


def plan() -> RunPlan:
    """The plan of the example."""
    compiled = compile_plan(
        loaded(whole(STEPS)), library=Library(), actions=ACTIONS, policy=Policy(), inputs={}, incident={},
        context=RunContext(), safety=False,
    )  # fmt: skip
    assert compiled.plan is not None, compiled.problems
    return compiled.plan


def entry(kind: str, step: str, minute: int = 1, actor: str = "stanch", **body: Any) -> dict[str, Any]:
    """One journal entry."""
    return {"kind": kind, "at": at(minute), "actor": actor, "body": {"run": RUN, "step": step, "item": None, **body}}


OPENED = entry("gate.opened", "go", 1, gate="approve", digest="d" * 64, round=1, shown={"cut": 5},
               needs=[{"roles": ["crm_owner"], "count": 2}])  # fmt: skip
AMAL = entry("decision.accepted", "go", 2, "amal", gate="approve", digest="d" * 64, round=1, verdict="approve",
             roles=["crm_owner"])  # fmt: skip
BRUNO = {**AMAL, "actor": "bruno"}
INTENT = entry("action.intent", "cut", 3, verb="apply", count=5, facts=3,
               permit={"digest": "e" * 64, "rule": "the playbook; contain: 1 of platform_owner"})  # fmt: skip
OUTCOME = entry("action.outcome", "cut", 4, verb="apply", facts=3, changed=True, verified=True, effect=True,
                result={"affected": {"count": 5}, "items": None, "summary": "5 cut"})  # fmt: skip


def closed(status: str) -> dict[str, Any]:
    """The end of the approval."""
    return entry("gate.closed", "go", 2, gate="approve", digest="d" * 64, round=1, status=status, verdict="approve")


def told(step: str, *entries: dict[str, Any], run: str = "running", steps: Any = (), **more: Any) -> dict[str, Any]:
    """The story of a step, where the status shows these steps."""
    path, item = split(step) or ("", None)
    shown = [{"item": None, "started_at": at(3), "finished_at": at(4), "by": [], **each} for each in steps]
    facts = {"severity": {"value": 4, "trust": "person", "by": "amal", "at": at(0)}}
    known = Known(
        run=RUN,
        plan=plan(),
        plan_digest="p" * 64,
        entries=[{"seq": number, **each} for number, each in enumerate(entries, 1)],
        status={"status": run, "steps": shown, "undoable": [], **more.pop("status", {})},
        given=more.pop("given", {"starters": ["cleo"], "facts": {"version": 1, "facts": {}}}),
        facts=facts,
        before=more.pop("before", ()),
    )
    return why(known, path, item)


def text(document: dict[str, Any]) -> str:
    """Its sentences in one line."""
    assert all(sentence.strip() for sentence in document["sentences"])
    return " ".join(document["sentences"])


SET = entry("fact.set", "", 0, "amal", fact="severity", trust="person", version=3)


def test_an_approved_effect_is_told_from_its_condition_to_its_end() -> None:
    document = told("cut", SET, OPENED, AMAL, BRUNO, closed("approved"), INTENT, OUTCOME,
                    steps=[{"path": "cut", "status": "done", "by": ["amal", "bruno"]}])  # fmt: skip
    said = text(document)
    assert "cut (lab.cut) ran from 2026-11-25 03:03:00Z to 2026-11-25 03:04:00Z." in said
    assert "cleo started it" in said
    assert "It came to run because `incident.severity > 3` holds with version 3 of the facts." in said
    assert "incident.severity 4 (set by amal)" in said
    assert "The rule: the playbook's own approval; contain: 1 of platform_owner." in said
    assert (
        "go asked 2 of crm_owner to approve at 2026-11-25 03:01:00Z, showing 5 targets (digest dddddddddddd…)." in said
    )
    assert "amal (crm_owner) approved at 2026-11-25 03:02:00Z and bruno (crm_owner) approved" in said
    assert (
        "Nothing that was approved had changed when it ran. It was sent at 2026-11-25 03:03:00Z for 5 targets." in said
    )
    assert "5 changed; verified by reading back." in said
    assert "It cannot be undone: It is gone." in said
    assert document["missing"] == [] and document["entries"] == [2, 3, 4, 5, 6, 7]
    assert document["facts"][0]["version"] == 3 and document["playbook"]["line"] == 12
    assert [decision["person"] for decision in document["approvals"][0]["decisions"]] == ["amal", "bruno"]


def test_a_reason_is_told_with_who_gave_it_and_refusals_are_counted() -> None:
    refused = entry("decision.refused", "go", 2, "cleo", digest="d" * 64, code="wrong_role")
    story = [OPENED, {**AMAL, "text": "seen in the log"}, {**BRUNO, "text": "x" * 400}]
    once = text(told("cut", *story, refused, steps=[{"path": "cut", "status": "pending"}]))
    assert "approved at 2026-11-25 03:02:00Z (“seen in the log”) and bruno" in once
    assert f"(“{'x' * 299}…”)" in once and "1 decision was refused." in once
    assert "2 decisions were refused." in text(told("cut", *story, refused, refused))


@pytest.mark.parametrize(
    ("step", "entries", "shown", "expected"),
    [
        ("cut", [entry("step.skipped", "cut", code="when_false", facts=2)], {"status": "skipped"},
         ["skipped", "`incident.severity > 3` did not hold with version 2 of the facts", "Nothing was sent."]),
        ("cut", [entry("step.skipped", "cut", code="cancelled")], {"status": "skipped"}, ["was cancelled before"]),
        ("cut", [OPENED, {**AMAL, "body": {**AMAL["body"], "verdict": "deny"}}, closed("denied"),
                 entry("step.denied", "cut")], {"status": "denied"},
         ["did not run: it was denied", "amal (crm_owner) denied at", "Nothing was sent."]),
        ("cut", [OPENED, entry("gate.escalated", "go", role="incident_commander"), closed("expired")],
         {"status": "denied"}, ["Nobody decided in time.", "incident_commander was asked too."]),
        ("cut", [INTENT, entry("action.failed", "cut", code="forbidden")],
         {"status": "failed", "code": "forbidden", "message": "The org refused."},
         ["failed at 2026-11-25 03:04:00Z: The org refused. [forbidden]", "Tried once it surely changed nothing; the last answer: forbidden.",
          "No outcome is in the record."]),
        ("cut", [INTENT, entry("action.failed", "cut", code="unavailable"), INTENT,
                 entry("action.failed", "cut", code="rate_limited")],
         {"status": "running", "waiting_for": "the system's limit, until 2026-11-25T03:09:00Z"},
         ["running since 2026-11-25 03:03:00Z and waits for the system's limit, until 2026-11-25T03:09:00Z.",
          "Tried 2 times it surely changed nothing; the last answer: rate_limited.",
          "It goes on trying; nothing has happened so far."]),
        ("cut", [INTENT, {**INTENT, "body": {**INTENT["body"], "count": 0}},
                 {**OUTCOME, "body": {**OUTCOME["body"], "verb": "verify"}}], {"status": "done"},
         ["for 5 targets, in 2 attempts. 5 changed; verified by reading back."]),
        ("cut", [INTENT], {"status": "unknown"},
         ["how it ended is not known", "No outcome is in the record: it may have happened."]),
        ("go", [OPENED, AMAL], {"status": "waiting", "waiting_for": "approve", "path": "go"},
         ["waits since 2026-11-25 03:03:00Z for an approval", "So far amal (crm_owner) approved"]),
        ("cut", [], {"path": "look", "status": "running"},
         ["has not run yet.", "The run is at look.", "It runs only when `incident.severity > 3`",
          "The rule, as the plan froze it: contain: 1 of platform_owner."]),
        ("free", [{**INTENT, "body": {**INTENT["body"], "step": "free",
                                      "permit": {"rule": "contain: reversible at severity 4, free"}}}],
         {"path": "free", "status": "done"},
         ["No person was asked: the rule lets it run.", "The rule: contain: reversible at severity 4, free."]),
        ("no1", [entry("step.done", "ways", way="then")], {"path": "ways", "status": "done"},
         ["ways, around it, went the way 'then'."]),
        ("cut", [OPENED, AMAL, BRUNO, closed("approved"), entry("approval.plan_changed", "cut"), INTENT, OUTCOME],
         {"status": "done"}, ["What was approved had changed 1 time(s), so that people were asked anew."]),
        ("cut", [INTENT, {**OUTCOME, "body": {**OUTCOME["body"], "verified": False, "result": {
            "affected": {"count": 2}, "items": {"already": 1, "failed": 3, "unknown": 0}}}}], {"status": "failed"},
         ["2 changed, 1 already so, 3 failed; reading back does not show it."]),
        ("cut", [INTENT, OUTCOME, entry("step.undone", "cut", 5)], {"status": "undone"},
         ["was undone later", "It was undone at 2026-11-25 03:05:00Z."]),
        ("cut", [{**OPENED, "body": {**OPENED["body"], "gate": "unknown", "step": "cut"}},
                 {**AMAL, "body": {**AMAL["body"], "gate": "unknown", "step": "cut", "verdict": "happened"}}],
         {"status": "unknown"}, ["How it ended was not known, and 2 of crm_owner was asked", "said that it happened"]),
    ],
)  # fmt: skip
def test_every_way_a_step_can_stand(step: str, entries: Any, shown: Any, expected: list[str]) -> None:
    said = text(told(step, *entries, steps=[{"path": step, **shown}]))
    for part in expected:
        assert part in said, said


def test_a_run_that_ended_before_a_step_says_so() -> None:
    said = text(told("cut", run="denied", status={"reason": "go was denied"}))
    assert "cut (lab.cut) never ran: the run ended as denied (go was denied) before it came to it." in said


def test_items_are_counted_and_each_can_be_asked_for() -> None:
    steps = [{"path": "each", "status": "done"}]
    steps += [{"path": "each", "item": str(n), "status": status} for n, status in enumerate(["done", "failed"])]
    document = told("each", steps=steps)
    assert "It ran for 2 items: 1 done, 1 failed. Ask for one of them as each[0]." in text(document)
    assert [item["status"] for item in document["items"]] == ["done", "failed"]
    assert "each[1] (lab.look) began" in text(told("each[1]", steps=steps))


def test_what_the_record_lacks_is_said() -> None:
    old = {**OPENED, "body": {key: value for key, value in OPENED["body"].items() if key != "shown"}}
    intent = {**INTENT, "body": {key: value for key, value in INTENT["body"].items() if key != "facts"}}
    document = told("cut", old, closed("approved"), intent, steps=[{"path": "cut", "status": "done"}], given={})
    said = text(document)
    assert "Not in the record: " in said
    for part in ("who started the run", "the version of the facts that it read", "were shown"):
        assert part in said, said
    nothing = text(told("cut", steps=[{"path": "cut", "status": "done"}]))
    assert "what was sent: the journal holds no intent of this step" in nothing


def test_a_fact_that_changed_later_is_not_told_as_it_is_now() -> None:
    later = {**SET, "body": {**SET["body"], "version": 5}}
    document = told("cut", SET, INTENT, OUTCOME, later, steps=[{"path": "cut", "status": "done"}])
    assert document["facts"][0]["known"] is False and document["facts"][0]["by"] == "amal"
    assert "set anew later" in text(document)
    given = {
        "starters": [],
        "facts": {"version": 3, "facts": {"severity": {"value": 2, "trust": "alert", "by": "siem"}}},
    }
    document = told("cut", INTENT, OUTCOME, later, steps=[{"path": "cut", "status": "done"}], given=given)
    assert document["facts"][0]["value"] == 2 and "from the alert of siem" in text(document)


def test_an_approval_in_advance_is_told_as_one() -> None:
    standing = entry("approval.standing", "go", 1, standing=["SA-3"], by=["bruno"])
    said = text(told("cut", standing, INTENT, OUTCOME, steps=[{"path": "cut", "status": "done"}]))
    assert "bruno had approved it in advance (SA-3), so nobody was asked." in said
    assert "No person was asked: the rule lets it run." not in said


def test_a_run_that_goes_on_from_another_tells_of_both() -> None:
    first = "run/INC-2026-1/example/0"
    done = [{**each, "body": {**each["body"], "run": first}} for each in (INTENT, OUTCOME)]
    undo = [
        entry("action.intent", "cut", 5, verb="undo", permit={"rule": "of the undo"}),
        entry("step.undone", "cut", 6),
    ]
    given = {"starters": ["amal"], "facts": {}, "after": {"verb": "undo", "of": first, "person": "amal"}}
    steps = [{"path": "cut", "status": "undone"}]
    said = text(told("cut", *done, *undo, given=given, steps=steps, before=[first]))
    assert f"amal asked for it, and it undoes {first}." in said
    assert "The rule: the playbook's own approval; contain: 1 of platform_owner." in said
    assert "It was sent at 2026-11-25 03:03:00Z for 5 targets." in said
    assert "It was undone at 2026-11-25 03:06:00Z." in said
    assert "the journal holds no intent" in text(told("cut", *done, given=given, steps=steps))


def test_names_of_steps_and_instants() -> None:
    assert split("child/cut") == ("child/cut", None)
    assert split("cut[3][1]") == ("cut", "3/1")
    assert split("cut[x]") is None and split("") is None and split("a]b") is None
    assert when(at(1)) == "2026-11-25 03:01:00Z" and when(None) == "an unknown time"
    assert targets(1) == "1 target" and targets(0) == "0 targets"


def test_an_undo_tells_who_asked_what_was_taken_back_and_what_was_left() -> None:
    def of(kind: str, step: str, minute: int, actor: str = "stanch", **body: Any) -> dict[str, Any]:
        return entry(kind, step, minute, actor, digest="f" * 64, round=1, gate="undo", **body)

    before, vote = (
        entry("step.undone", "free", 1),
        of("decision.accepted", "", 3, "amal", verdict="approve", roles=["crm_owner"]),
    )
    del vote["body"]["step"]
    entries = [before, of("gate.opened", "@undo1", 2, needs=[{"roles": ["crm_owner"], "count": 1}]),
               vote,
               of("gate.closed", "@undo1", 3, status="approved", verdict="approve"),
               entry("step.undone", "cut", 4), entry("undo.failed", "free", 4, code="not_ours"),
               entry("undo.finished", "", 5, key="@undo1", end="partly"), entry("step.undone", "look", 6)]  # fmt: skip
    undo = {"key": "@undo1", "person": "bo", "step": None, "end": "partly", "left": ["free: Somebody changed it."]}
    known = Known(run=RUN, plan=plan(), plan_digest="p" * 64, given={}, facts={}, status={"undos": [undo]},
                  entries=[{"seq": number, **each} for number, each in enumerate(entries, 1)])  # fmt: skip
    assert of_undo(known.status, "@undo1") == undo and of_undo(known.status, "@undo2") is None
    document = why_undo(known, undo)
    assert text(document) == (
        f"bo asked to undo what the run did, in {RUN}. "
        "Its undo was offered to 1 of crm_owner at 2026-11-25 03:02:00Z (digest ffffffffffff…). "
        "amal (crm_owner) approved at 2026-11-25 03:03:00Z. "
        "Taken back: cut. It is not complete. Left: free: Somebody changed it."
    )
    assert document["entries"] == [2, 3, 4, 5, 6]
