"""Deciding through the HTTP door, as people do, and every way to be refused."""

import pytest

from worker.desk.decisions import Actor, Choice


def kinds(house, incident):
    return [entry["kind"] for entry in house.env.store.journal.entries(incident)]


def refusals(house, incident):
    return [
        (entry["actor"], entry["body"]["code"])
        for entry in house.env.store.journal.entries(incident)
        if entry["kind"] == "decision.refused"
    ]


async def test_from_start_to_end_by_two_owners_and_the_privacy_officer(house):
    house.env.world.add("t1", "t2")
    incident = await house.start(inputs={"who": "x"})
    card = await house.card(incident, "go")
    assert card["yours"] is True
    assert [part["count"] for part in card["preview"]] == [2, 1]
    first = await house.decide(incident, "amal", card, "approve")
    assert (first.status_code, first.json()["votes"]) == (200, 1)
    assert (await house.card(incident, "go"))["yours"] is False
    assert (await house.decide(incident, "bo", card, "approve", reason="as shown")).status_code == 200
    ask = await house.card(incident, "data", "dara")
    answer = await house.decide(incident, "dara", ask, "answer", values={"left": True})
    assert answer.status_code == 200, answer.text
    shown = await house.ended(incident)
    assert shown["runs"][0]["status"] == "done"
    assert sorted(effect["id"] for effect in house.env.world.effects()) == ["t1", "t2", "x"]
    assert [step["status"] for step in shown["steps"] if step["path"] in ("end", "one")] == ["done", "done"]
    assert shown["waiting"] == []
    why = await house.ask("vic", "GET", f"/v1/incidents/{incident}/why?step=one")
    assert why.status_code == 200, why.text
    told, said = why.json(), " ".join(why.json()["sentences"])
    for part in (
        "one (lab.touch) ran from",
        "cleo started it",
        "go asked 2 of crm_owner to approve",
        "showing 1 target ",
        "amal (crm_owner) approved",
        "(“as shown”)",
        "bo (crm_owner) approved",
        "Nothing that was approved had changed when it ran.",
        "1 changed; verified by reading back.",
    ):
        assert part in said, said
    assert told["missing"] == [] and told["status"] == "done" and told["facts"][0]["version"] >= 1
    by_seq = {entry["seq"]: entry["kind"] for entry in house.env.store.journal.entries(incident)}
    kinds = {by_seq[seq] for seq in told["entries"]}
    assert {"gate.opened", "decision.accepted", "gate.closed", "action.intent", "action.outcome"} <= kinds
    lost = await house.ask("vic", "GET", f"/v1/incidents/{incident}/why?step=nowhere")
    assert (lost.status_code, lost.json()["code"]) == (404, "not_found")


async def test_a_start_says_at_once_where_too_few_people_may_decide(house):
    started = await house.ask("amal", "POST", "/v1/incidents", {"playbook": "contain-things"})
    (warning,) = started.json()["warnings"]
    assert (warning["code"], warning["step"]) == ("approval_unreachable", "go")
    assert "2 of crm_owner must decide, and 1 who may is there" in warning["message"], "amal asked for it"
    incident = started.json()["incident"]
    assert "run.unreachable" in kinds(house, incident)
    (page,) = [notice for notice in house.env.store.notices.of(incident) if notice["id"].endswith("/unreachable")]
    assert page["urgency"] == "page" and page["to"] == ["role:incident_commander"]
    enough = await house.ask("cleo", "POST", "/v1/incidents", {"playbook": "contain-things"})
    assert enough.json()["warnings"] == []


async def test_every_refusal_has_its_code_and_is_journaled(house):
    incident = await house.start("amal")
    card = await house.card(incident, "go")

    async def code(person, **changes):
        verdict = changes.pop("verdict", "approve")
        answer = await house.decide(incident, person, {**card, **changes.pop("card", {})}, verdict, **changes)
        assert answer.status_code >= 400, answer.text
        return answer.json()["code"]

    assert await code("amal") == "requester"
    assert await code("dara") == "wrong_role"
    assert await code("vic") == "wrong_role"
    assert await code("bo", card={"digest": "0" * 64}) == "digest_mismatch"
    assert await code("bo", card={"step": "nowhere"}) == "not_waiting"
    assert await code("bo", card={"step": "one"}) == "not_waiting"
    assert await code("bo", verdict="dance") == "bad_verdict"
    assert await code("bo", verdict="answer", values={}) == "bad_verdict"
    assert await code("cleo", verdict="break_glass") == "bad_value"
    assert await code("stranger") == "unknown_person"
    bos = await house.card(incident, "go", "bo")
    assert await code("dara", nonce=bos["nonce"]) == "bad_signature"
    assert (await house.decide(incident, "bo", card, "approve", nonce=bos["nonce"])).status_code == 200
    assert await code("bo", nonce=bos["nonce"]) == "nonce_used"
    assert await code("bo") == "already_decided"
    await house.ask("cleo", "POST", f"/v1/incidents/{incident}/cancel", {})
    await house.decide(incident, "dara", await house.card(incident, "data", "dara"), "answer", values={"left": False})
    await house.ended(incident)
    assert await code("bo") in ("closed", "not_waiting")
    found = refusals(house, incident)
    for pair in (
        ("amal", "requester"),
        ("dara", "wrong_role"),
        ("bo", "digest_mismatch"),
        ("bo", "not_waiting"),
        ("bo", "bad_verdict"),
        ("dara", "bad_signature"),
        ("bo", "nonce_used"),
        ("bo", "already_decided"),
    ):
        assert pair in found
    assert house.env.world.effects() == []


async def test_a_role_taken_away_no_longer_decides(house):
    incident = await house.start()
    card = await house.card(incident, "go")
    house.desk.people.add("amal", ["viewer"])
    answer = await house.decide(incident, "amal", card, "approve")
    assert answer.json()["code"] == "wrong_role"
    house.desk.people.revoke("bo")
    answer = await house.decide(incident, "bo", card, "approve")
    assert (answer.status_code, answer.json()["code"]) == (401, "unknown_person")


async def test_a_denial_ends_it_and_a_form_wants_its_types(house):
    house.env.world.add("t1")
    incident = await house.start()
    card = await house.card(incident, "go")
    assert (await house.decide(incident, "bo", card, "deny", reason="not ours")).status_code == 200
    ask = await house.card(incident, "data", "dara")
    wrong = await house.decide(incident, "dara", ask, "answer", values={"left": "perhaps"})
    assert wrong.json()["code"] == "bad_value"
    assert (await house.decide(incident, "dara", ask, "answer", values={"left": False})).status_code == 200
    shown = await house.ended(incident)
    assert {step["status"] for step in shown["steps"] if step["path"] in ("end", "one")} == {"denied"}
    assert house.env.world.effects() == []


@pytest.mark.parametrize("verdict", ["approve", "deny"])
async def test_a_vote_without_a_digest_is_refused(house, verdict):
    incident = await house.start()
    card = await house.card(incident, "go")
    answer = await house.decide(incident, "amal", {**card, "digest": None}, verdict)
    assert answer.json()["code"] == "digest_mismatch"


async def test_a_request_that_is_made_again_decides_once_and_starts_once(house):
    made = {"door": "slack", "request": "fixed-request"}
    begun = [
        await house.desk.starts.by_person("cleo", "contain-things", {}, request="start-1", door="slack") for _ in "12"
    ]
    assert begun[0].incident == begun[1].incident and begun[0].run == begun[1].run
    incident = begun[0].incident
    card = await house.card(incident, "go")
    actor = Actor("amal", ("crm_owner",), **made)
    choice = Choice(step="go", verdict="approve", digest=card["digest"])
    first = await house.desk.decisions.decide(incident, actor, choice)
    again = await house.desk.decisions.decide(incident, actor, choice)
    assert first == again and first.accepted and first.votes == 1
    other = await house.desk.decisions.decide(incident, Actor("amal", ("crm_owner",), "slack", "another"), choice)
    assert other.code == "already_decided"
