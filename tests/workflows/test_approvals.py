"""What was approved is what runs, bit for bit; and who may not decide is refused with a reason on record."""

import pytest

from playbooks.contract import DecisionReceipt
from playbooks.policy import Demand, Policy
from tests.stage import Stage

COVERED = """
stanch: 1
id: covered
version: 1.0.0
title: Covered
steps:
  - {id: things, action: lab.list_things, with: {prefix: t}}
  - id: go
    approve: [end, one]
    by: {roles: [crm_owner], count: 2}
    within: 15m
    on_timeout: [deny]
    on_deny: continue
  - {id: end, phase: contain, action: lab.end_matching, with: {prefix: t}}
  - {id: one, phase: contain, action: lab.touch, with: {name: "{{ incident.name | default('x') }}"}}
"""


async def test_two_people_approve_and_exactly_that_runs(stage: Stage) -> None:
    stage.world.add("t1", "t2")
    run = await stage.start(COVERED)
    gate = await run.waiting("go")
    assert [part["count"] for part in gate["preview"]] == [2, 1]
    assert gate["preview"][0]["reversible"] is False and gate["preview"][0]["irreversible_because"]
    assert (await run.decide("go", "amal")).accepted
    receipt = await run.decide("go", "bo")
    assert receipt.accepted and receipt.votes == 2
    status = await run.ended()
    assert status["status"] == "done"
    assert sorted(effect["id"] for effect in stage.world.effects()) == ["t1", "t2", "x"]
    kinds = run.kinds()
    assert kinds.index("decision.accepted") < kinds.index("action.intent")


async def test_a_denial_denies_what_it_covers_and_the_run_goes_on(stage: Stage) -> None:
    run = await stage.start(COVERED)
    await run.decide("go", "amal", "deny", reason="not ours")
    status = await run.ended()
    assert status["status"] == "done"
    assert {step["status"] for step in status["steps"] if step["path"] in ("end", "one")} == {"denied"}
    assert stage.world.effects() == []


async def test_a_denial_denies_a_step_of_many_items_as_a_whole(stage: Stage) -> None:
    before, _, _ = COVERED.partition("  - {id: one,")
    each = "  - {id: one, for_each: [x, y], as: name, action: lab.touch, with: {name: '{{ name }}'}}"
    after = """  - {id: left, when: "{{ steps.one.meta.status == 'denied' }}", action: lab.read, with: {value: 1}}"""
    run = await stage.start(f"{before}{each}\n{after}\n")
    await run.decide("go", "amal", "deny", reason="not ours")
    status = await run.ended()
    assert status["status"] == "done" and stage.world.effects() == []
    ends = {step["path"]: step["status"] for step in status["steps"]}
    assert (ends["one"], ends["left"]) == ("denied", "done")


async def test_more_targets_than_approved_are_asked_anew(stage: Stage) -> None:
    stage.world.add("t1")
    run = await stage.start(
        COVERED.replace("  - {id: end,", "  - {id: pause, action: lab.read, with: {seconds: 1.5}}\n  - {id: end,")
    )
    await run.decide("go", "amal")
    await run.decide("go", "bo")
    stage.world.add(*[f"t-new{number}" for number in range(20)])
    gate = await run.waiting("end")
    assert gate["difference"] and gate["preview"][0]["count"] == 21
    assert len([effect for effect in stage.world.effects() if effect["id"].startswith("t")]) == 0
    await run.decide("end", "amal")
    await run.decide("end", "bo")
    assert (await run.ended())["status"] == "done"
    assert len([effect for effect in stage.world.effects() if effect["id"].startswith("t")]) == 21


async def test_a_changed_parameter_is_asked_anew_with_the_difference(stage: Stage) -> None:
    run = await stage.start(COVERED.replace("  - {id: end,", "  - {set: {incident.name: other}}\n  - {id: end,"))
    await run.decide("go", "amal")
    await run.decide("go", "bo")
    gate = await run.waiting("one")
    assert gate["difference"] == ["name: approved x, now other."]
    await run.decide("one", "amal", "deny")
    status = await run.ended()
    assert next(step["status"] for step in status["steps"] if step["path"] == "one") == "denied"
    assert "approval.plan_changed" in run.kinds()


async def test_an_uncovered_effect_asks_by_itself(stage: Stage) -> None:
    run = await stage.start(
        "stanch: 1\nid: bare\nversion: 1.0.0\ntitle: Bare\nsteps:\n  - {id: one, action: lab.touch, with: {name: x}}\n",
        facts={"severity": 3},
    )
    gate = await run.waiting("one")
    assert gate["who"]["needs"][0]["roles"] == ["crm_owner"]
    await run.decide("one", "amal")
    assert (await run.ended())["status"] == "done"


async def test_a_reversible_containment_is_free_at_high_severity(stage: Stage) -> None:
    run = await stage.start(
        "stanch: 1\nid: bare\nversion: 1.0.0\ntitle: Bare\nsteps:\n  - {id: one, action: lab.touch, with: {name: x}}\n",
        facts={"severity": 4},
    )
    assert (await run.ended())["status"] == "done"
    assert len(stage.world.effects()) == 1


async def test_the_rules_of_policy_stand_on_the_card_and_in_the_record(stage: Stage) -> None:
    policy = Policy(
        owners={"lab": ("privacy_officer",)},
        demands=(
            Demand(name="Ends need a commander", actions=("lab.end_matching",), count=1, roles=("incident_commander",)),
            Demand(name="Nothing is ended twice", actions=("lab.end_matching",), affected_over=1, never=True),
        ),
    )
    stage.world.add("t1")
    run = await stage.start(COVERED, policy=policy)
    who = {tuple(need["roles"]): (need["count"], need["why"]) for need in (await run.waiting("go"))["who"]["needs"]}
    said = "contain: 1 of privacy_officer", "Ends need a commander: 1 of incident_commander"
    assert who == {
        ("crm_owner",): (2, "the playbook"),
        ("privacy_officer",): (1, said[0]),
        ("incident_commander",): (1, said[1]),
    }
    for person in ("amal", "bo", "cleo", "dara"):
        assert stage.world.effects() == []
        await run.decide("go", person)
    assert (await run.ended())["status"] == "done"
    rules = [entry["body"]["permit"]["rule"] for entry in run.entries() if entry["kind"] == "action.intent"]
    assert rules == ["; ".join(["the playbook", *said])] * 2
    stage.world.add("t2", "t3")
    refused = await stage.start(COVERED, policy=policy)
    status = await refused.ended()
    assert status["status"] == "failed" and "never: Nothing is ended twice" in status["reason"]


@pytest.mark.parametrize(
    ("person", "more", "code"),
    [
        ("cleo", {}, "wrong_role"),
        ("amal", {"digest": "00" * 32}, "digest_mismatch"),
        ("nobody", {}, "wrong_role"),
        ("amal", {"verdict": "answer"}, "bad_verdict"),
    ],
)
async def test_refusals_are_told_and_journaled(stage: Stage, person: str, more: dict, code: str) -> None:
    run = await stage.start(COVERED)
    gate = await run.waiting("go")
    verdict, digest = more.pop("verdict", "approve"), more.pop("digest", gate["digest"])
    receipt = await run.send(run.decision("go", person, verdict, digest))
    assert (receipt.accepted, receipt.code) == (False, code)
    await run.decide("go", "bo", "deny")
    await run.ended()
    refused = [entry for entry in run.entries() if entry["kind"] == "decision.refused"]
    assert [(entry["actor"], entry["body"]["code"]) for entry in refused] == [(person, code)]


async def test_twice_replayed_forged_late_and_by_the_requester(stage: Stage) -> None:
    run = await stage.start(COVERED, starters=("bo",))
    gate = await run.waiting("go")
    mine = run.decision("go", "amal", "approve", gate["digest"])
    first = await run.send(mine, update="click-1")
    again = await run.send(mine, update="click-1")
    assert first == again and first.accepted
    codes = [
        (await run.send(mine, update="click-2")).code,
        (await run.decide("go", "amal")).code,
        (await run.decide("go", "bo")).code,
        (await run.send(mine.model_copy(update={"person": "eve", "nonce": "e"}))).code,
    ]
    assert codes == ["nonce_used", "already_decided", "requester", "bad_signature"]
    await run.decide("go", "cleo", "break_glass", reason="customer data is leaving")
    await run.ended()
    late: DecisionReceipt | None = None
    kinds = [entry["body"].get("code") for entry in run.entries() if entry["kind"] == "decision.refused"]
    assert kinds == codes and late is None


async def test_a_decision_after_its_time_is_expired(stage: Stage) -> None:
    run = await stage.start(COVERED.replace("within: 15m", "within: 1s"))
    status = await run.ended()
    assert {step["status"] for step in status["steps"] if step["path"] in ("end", "one")} == {"denied"}


async def test_one_who_supplied_a_value_may_not_approve_it(stage: Stage) -> None:
    run = await stage.start(
        "stanch: 1\nid: supplied\nversion: 1.0.0\ntitle: Supplied\nsteps:\n"
        "  - {id: which, ask: Which?, by: {roles: [crm_owner]}, form: {name: {type: string}}, within: 1h,"
        " on_timeout: [stop]}\n"
        '  - {id: seen, action: lab.read, with: {value: "{{ steps.which.name }}"}}\n'
        '  - {id: one, action: lab.touch, with: {name: "{{ steps.which.name }}"}}\n'
    )
    await run.decide("which", "amal", "answer", values={"name": "x"})
    gate = await run.waiting("one")
    assert gate["who"]["excluded"] == ["amal"]
    assert (await run.decide("one", "amal")).code == "requester"
    assert (await run.decide("one", "bo")).accepted
    assert (await run.ended())["status"] == "done"
