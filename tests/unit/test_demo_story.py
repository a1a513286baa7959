from datetime import UTC, datetime

import pytest

from worker.demo_people import CAST, Script, Undecided, value_for
from worker.demo_story import World, approvals, checks, seconds

EFFECTS = frozenset({"salesforce.freeze_users"})
AT = "2026-11-24T10:00:0{}.000000Z"


def effect(target, at="5"):
    return {
        "seq": 1,
        "at": AT.format(at),
        "system": "salesforce",
        "kind": "freeze",
        "target": target,
        "caused": [],
    }


def incident(count=2, **changes):
    step = {
        "path": "freeze",
        "item": None,
        "phase": "contain",
        "action": "salesforce.freeze_users",
        "status": "done",
        "changed": True,
        "verified": True,
        "affected": {"count": count, "sample": []},
        "finished_at": AT.format(6),
    }
    return {"steps": [{**step, **changes}], "runs": [{"status": "done"}], "waiting": []}


def world(effects=None, read_at="2"):
    log = [{"at": AT.format(read_at), "actor": "stanch", "system": "salesforce", "read": ["access_logs"]}]
    return World(effects=[effect("u1"), effect("u2")] if effects is None else effects, log=log, state={})


def failing(*arguments):
    return {check.name for check in checks(*arguments, EFFECTS) if not check.ok}


def test_everything_true_passes():
    assert failing(incident(), world(), {}) == set()


@pytest.mark.parametrize(
    ("shown", "seen", "wrong", "name"),
    [
        (incident(verified=False), world(), {}, "verified"),
        (incident(status="failed"), world(), {}, "verified"),
        (incident(count=3), world(), {}, "counts"),
        (incident(), world([effect("u1"), effect("u1")]), {}, "once"),
        (incident(), world(read_at="7"), {}, "evidence first"),
        (incident(), world(), {"innocent": "the innocent integration was touched"}, "world"),
        ({**incident(), "waiting": [{}]}, world(), {}, "nothing waits"),
        ({**incident(), "runs": [{"status": "failed"}]}, world(), {}, "run"),
    ],
)
def test_each_lie_is_found(shown, seen, wrong, name):
    assert name in failing(shown, seen, wrong)


def test_a_world_without_effects_proves_nothing():
    assert {"counts", "evidence first"} <= failing(incident(count=0), world([]), {})


def test_times_are_the_worlds_own():
    sent = datetime(2026, 11, 24, 10, 0, 1, tzinfo=UTC)
    spans = seconds(sent, world(), incident()["steps"], 9.5)
    assert spans == {"alert_to_first_action": 1.0, "alert_to_contained": 5.0, "total": 9.5}


def test_approvals_come_from_the_journal_with_their_refusals():
    def entry(kind, actor="stanch", **body):
        return {"kind": kind, "actor": actor, "at": AT.format(3), "body": {"step": "go", **body}}

    told = approvals(
        [
            entry("gate.opened", gate="approve", digest="d"),
            entry("gate.opened", gate="ask", digest="x"),
            entry("decision.accepted", "amal", digest="d", verdict="approve"),
            entry("decision.refused", "rui", digest="d", verdict="approve", code="wrong_role"),
        ]
    )
    assert [approval["step"] for approval in told] == ["go"]
    assert [(each["person"], each["accepted"], each["code"]) for each in told[0]["decisions"]] == [
        ("amal", True, "ok"),
        ("rui", False, "wrong_role"),
    ]


def gate(**changes):
    needs = [{"roles": ["crm_owner"], "count": 2, "why": ""}]
    base = {
        "run": "r",
        "step": "go",
        "kind": "approve",
        "digest": "d",
        "decided": [],
        "who": {"needs": needs, "excluded": []},
        "verdicts": ["approve", "deny"],
        "preview": [{"step": "freeze", "sample": ["thief"], "protected": []}],
        "difference": [],
        "form": {},
    }
    return {**base, **changes}


def script(**more):
    return Script(people={}, act=lambda entry: None, **more)


def test_as_many_people_decide_as_are_needed():
    assert len(script()._deciders(gate())) == 2
    voted = [{"person": "amal", "verdict": "approve", "at": ""}]
    assert script()._deciders(gate(decided=voted)) == ["bruno"]
    excluded = gate()
    excluded["who"]["excluded"] = ["amal"]
    assert "amal" not in script()._deciders(excluded)


def test_a_question_for_nobody_ends_the_demo():
    with pytest.raises(Undecided):
        script()._deciders(gate(who={"needs": [{"roles": ["astronaut"], "count": 1}], "excluded": []}))


def test_a_card_that_holds_the_innocent_is_denied():
    assert script()._answer(gate())["verdict"] == "approve"
    assert script(spare=frozenset({"thief"}))._answer(gate())["verdict"] == "deny"


def test_forms_are_filled_by_type():
    assert value_for("x", {"type": "boolean"}) is True
    assert value_for("x", {"type": "choice", "options": ["b"]}) == "b"
    assert value_for("x", {"type": "list[integer]"}) == [1200]
    assert datetime.fromisoformat(value_for("x", {"type": "datetime"})).tzinfo


def test_the_cast_can_fill_every_shipped_role():
    roles = {role for held in CAST.values() for role in held}
    assert roles == {
        "incident_commander",
        "crm_owner",
        "model_owner",
        "platform_owner",
        "privacy_officer",
        "legal",
        "security_lead",
    }
