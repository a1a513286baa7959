"""Deciding at the command line, every way to be refused there, and decisions that did not come from the desk."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import Client, WorkflowUpdateFailedError

from playbooks.contract import Decision, DecisionReceipt
from playbooks.digest import sign_decision


class Shell:
    """Commands of people, as processes against the house."""

    def __init__(self, house, home):
        self.house, self.home = house, home

    async def read(self, person, *arguments):
        """What a person reads."""
        done = await self.run(person, *arguments, form=())
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    async def run(self, person, *arguments, form=("--json",), **env):
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
        who = {"STANCH_TOKEN": self.house.tokens.get(person, person)} if person else {}
        environment = {**plain, **who, "STANCH_URL": self.house.url, "STANCH_HOME": str(self.home)}
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "worker.cli.main", *arguments, *form],
            capture_output=True,
            text=True,
            env={**environment, "PYTHONPATH": os.getcwd(), **env},
            cwd=self.home,
            timeout=90,
            check=False,
        )

    async def fine(self, person, *arguments):
        done = await self.run(person, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    async def code(self, person, *arguments):
        done = await self.run(person, *arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        told = json.loads(done.stdout)
        assert told["ok"] is False and told["message"] and done.stderr == ""
        return told["code"]


@pytest.fixture
def shell(house, tmp_path):
    (tmp_path / "cli").mkdir()
    return Shell(house, tmp_path / "cli")


def refusals(house, incident):
    return [
        (entry["actor"], entry["body"]["code"])
        for entry in house.env.store.journal.entries(incident)
        if entry["kind"] == "decision.refused"
    ]


async def kept(house, incident, *wanted):
    """All refusals of an incident once the wanted ones are in its journal."""
    for _ in range(200):
        found = refusals(house, incident)
        if set(wanted) <= set(found):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(found)


async def test_every_refusal_at_the_command_line_is_journaled(house, shell):
    incident = await house.start("amal")
    card = await house.card(incident, "go")
    approve = ("incident", "approve", incident, "go", "--digest")
    assert await shell.code("amal", *approve, card["digest"]) == "requester"
    assert await shell.code("dara", *approve, card["digest"]) == "wrong_role"
    assert await shell.code("vic", *approve, card["digest"][:12]) == "wrong_role"
    assert await shell.code("bo", *approve, "0" * 64) == "digest_mismatch"
    assert await shell.code("bo", *approve, "0" * 16) == "digest_mismatch"
    assert await shell.code("stranger", *approve, card["digest"]) == "unknown_person"
    assert await shell.code("bo", "incident", "approve", incident, "nowhere", "--digest", "0" * 64) == "not_waiting"
    assert await shell.code("bo", "incident", "done", incident, "one") == "not_waiting"
    assert await shell.code("bo", "incident", "done", incident, "go") == "bad_verdict"
    assert await shell.code("dara", "incident", "answer", incident, "data", "-f", "left=yes") == "not_waiting"
    assert (await shell.fine("bo", *approve, card["digest"][:12]))["votes"] == 1
    assert await shell.code("bo", *approve, card["digest"]) == "already_decided"
    await kept(
        house,
        incident,
        ("amal", "requester"),
        ("dara", "wrong_role"),
        ("vic", "wrong_role"),
        ("bo", "digest_mismatch"),
        ("unknown", "unknown_person"),
        ("bo", "not_waiting"),
        ("bo", "bad_verdict"),
        ("dara", "not_waiting"),
        ("bo", "already_decided"),
    )
    assert house.env.world.effects() == []


async def test_breaking_the_glass_takes_a_reason_and_the_commander(house, shell):
    house.env.world.add("t1")
    incident = await house.start()
    await house.card(incident, "go")
    assert (await shell.run("cleo", "incident", "break-glass", incident, "go")).returncode == 2
    assert await shell.code("cleo", "incident", "break-glass", incident, "go", "--reason", "  ") == "bad_value"
    why = ("--reason", "rows are leaving now")
    assert await shell.code("amal", "incident", "break-glass", incident, "go", *why) == "wrong_role"
    assert (await shell.fine("cleo", "incident", "break-glass", incident, "go", *why))["accepted"] is True
    await house.card(incident, "data", "dara")
    assert await shell.code("dara", "incident", "answer", incident, "data", "-f", "left=perhaps") == "bad_value"
    await shell.fine("dara", "incident", "answer", incident, "data", "-f", "left=no")
    shown = await house.ended(incident)
    assert "break-glass by cleo" in " ".join(shown["runs"][0]["warnings"])
    assert {effect["id"] for effect in house.env.world.effects()} == {"t1", "x"}
    assert await shell.code("bo", "incident", "deny", incident, "go", "--digest", "0" * 64) == "closed"
    await kept(house, incident, ("cleo", "bad_value"), ("amal", "wrong_role"), ("bo", "closed"))


async def test_a_step_that_waits_in_two_runs_takes_the_run(house, shell):
    incident = await house.start()
    card = await house.card(incident, "go")
    second = await house.desk.starts.run(incident, "contain-things", {})
    for _ in range(200):
        waiting = (await house.ask("amal", "GET", f"/v1/incidents/{incident}")).json()["waiting"]
        if [entry["step"] for entry in waiting] == ["go", "go"]:
            break
        await asyncio.sleep(0.05)
    approve = ("incident", "approve", incident, "go", "--digest", card["digest"])
    assert await shell.code("amal", *approve) == "ambiguous_step"
    assert await shell.code("amal", *approve, "--run", "run/nowhere") == "not_found"
    assert (await shell.fine("amal", *approve, "--run", card["run"]))["votes"] == 1
    (other,) = [entry for entry in waiting if entry["run"] == second.run]
    took = await shell.fine("amal", *approve[:-1], other["digest"], "--run", second.run)
    assert took["votes"] == 1, "one vote in each run"
    await kept(house, incident, ("amal", "ambiguous_step"))


async def test_a_role_or_token_taken_away_between_show_and_decide(house, shell):
    incident = await house.start()
    card = await house.card(incident, "go")
    approve = ("incident", "approve", incident, "go", "--digest", card["digest"])
    assert card["yours"] is True and card["who"]["may"] == ["amal", "bo"] and card["who"]["reachable"] is True
    house.desk.people.add("amal", ["viewer"])
    assert await shell.code("amal", *approve) == "wrong_role"
    house.desk.people.revoke("bo")
    assert await shell.code("bo", *approve) == "unknown_person"
    card = await house.card(incident, "go", "cleo")
    assert card["who"]["may"] == ["bo"] and card["who"]["reachable"] is False
    await kept(house, incident, ("amal", "wrong_role"), ("unknown", "unknown_person"))


async def test_a_late_decision_is_expired_while_the_run_goes_on(house, shell):
    incident = await house.start(playbook="hasty")
    card = await house.card(incident, "go")
    await house.card(incident, "data", "dara")
    approve = ("incident", "approve", incident, "go", "--digest", card["digest"])
    assert await shell.code("amal", *approve) == "expired"
    assert await shell.code("amal", "incident", "done", incident, "go") == "expired"
    await kept(house, incident, ("amal", "expired"))
    await shell.fine("dara", "incident", "answer", incident, "data", "-f", "left=no")
    shown = await house.ended(incident)
    assert {step["status"] for step in shown["steps"] if step["path"] == "one"} == {"denied"}
    assert house.env.world.effects() == []
    story = " ".join((await shell.fine("vic", "incident", "why", incident, "one"))["sentences"])
    for part in (
        "did not run: it was denied.",
        "Nobody decided in time.",
        "1 decision was refused.",
        "Nothing was sent.",
    ):
        assert part in story, story


async def test_as_works_in_exercise_homes_only(house, shell):
    incident = await house.start()
    assert await shell.code(None, "incident", "show", incident, "--as", "amal") == "as_refused"
    (shell.home / "exercise-tokens.json").write_text(json.dumps({"amal": house.tokens["amal"]}))
    assert (await shell.fine(None, "incident", "show", incident, "--as", "amal"))["incident"] == incident
    refused = json.loads((await shell.run(None, "incident", "show", incident, "--as", "bo")).stdout)
    assert refused["code"] == "as_refused" and "knows amal." in refused["message"]


# --- sent straight to Temporal, past the desk ---------------------------------------------------


def forged(incident, card, **changes):
    plain = {
        "incident": incident,
        "run": card["run"],
        "step": "go",
        "person": "bo",
        "roles_at": ("crm_owner",),
        "door": "cli",
        "verdict": "approve",
        "digest": card["digest"],
        "nonce": uuid.uuid4().hex,
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    return Decision(**{**plain, **changes})


async def test_decisions_that_the_desk_did_not_sign_count_for_nothing(house):
    house.env.world.add("t1")
    incident = await house.start()
    card = await house.card(incident, "go")
    handle = house.env.client.get_workflow_handle(card["run"])
    stranger = Ed25519PrivateKey.generate()
    for made in (
        forged(incident, card),
        forged(incident, card, key_id="k1", sig="00" * 64),
        forged(incident, card, key_id="k1", sig="no hex"),
        sign_decision(forged(incident, card), stranger, "k1"),
        sign_decision(forged(incident, card), stranger, "k2"),
    ):
        receipt = await handle.execute_update("decide", made, result_type=DecisionReceipt)
        assert (receipt.accepted, receipt.code) == (False, "bad_signature")
    found = await kept(house, incident, ("bo", "bad_signature"))
    assert found.count(("bo", "bad_signature")) == 5

    for person in ("amal", "bo"):
        assert (await house.decide(incident, person, card, "approve")).status_code == 200
    ask = await house.card(incident, "data", "dara")
    await house.decide(incident, "dara", ask, "answer", values={"left": True})
    assert (await house.ended(incident))["runs"][0]["status"] == "done"


GARBAGE = (
    [],
    [None],
    [{"what": "is this"}],
    ["approve"],
    [17],
    [b"\x00raw"],
    [["a", "list"]],
    [None, None],
    [{}, {}, {}],
)


async def test_garbage_from_anybody_who_may_speak_to_temporal_stops_no_run(house):
    """With the payload key and without it, to every update and signal of a run and its incident."""
    house.env.world.add("t1")
    incident = await house.start()
    card = await house.card(incident, "go")
    stranger = await Client.connect(house.env.server.address, namespace=house.env.client.namespace)
    for client in (house.env.client, stranger):
        for workflow_id, updates, signals in (
            (card["run"], ("decide", "pause", "resume", "nonsense"), ("facts_changed", "desk_keys_changed", "odd")),
            (
                f"incident/{incident}",
                ("attach", "set_fact", "clock", "take", "close"),
                ("run_changed", "facts_set", "alerts_attached"),
            ),
        ):
            handle = client.get_workflow_handle(workflow_id)
            for arguments in GARBAGE:
                for signal in signals:
                    await handle.signal(signal, args=arguments)
                for update in updates:
                    if update == "attach" and arguments == [{"what": "is this"}] and client is not stranger:
                        continue  # every field of it has a default, so this one is well formed
                    with pytest.raises(WorkflowUpdateFailedError):
                        await handle.execute_update(update, args=arguments, rpc_timeout=timedelta(seconds=20))
    with pytest.raises(WorkflowUpdateFailedError):
        await stranger.get_workflow_handle(card["run"]).execute_update(
            "decide", forged(incident, card).model_dump(mode="json"), rpc_timeout=timedelta(seconds=20)
        )
    for person in ("amal", "bo"):
        assert (await house.decide(incident, person, card, "approve")).status_code == 200
    ask = await house.card(incident, "data", "dara")
    assert (await house.decide(incident, "dara", ask, "answer", values={"left": True})).status_code == 200
    shown = await house.ended(incident)
    assert shown["runs"][0]["status"] == "done" and shown["live"] is True
    assert (await house.ask("cleo", "POST", f"/v1/incidents/{incident}/take", {})).status_code == 200
    assert "desk_keys.changed" not in [entry["kind"] for entry in house.env.store.journal.entries(incident)]


async def test_a_signed_decision_counts_once_and_only_where_it_was_made_for(house):
    incident, elsewhere = await house.start(), await house.start()
    card, there = await house.card(incident, "go"), await house.card(elsewhere, "go")
    assert (await house.decide(incident, "amal", card, "approve")).json()["votes"] == 1
    handle = house.env.client.get_workflow_handle(card["run"])
    recorded = [
        event.workflow_execution_update_accepted_event_attributes.accepted_request.input.args.payloads[0]
        async for event in handle.fetch_history_events()
        if event.HasField("workflow_execution_update_accepted_event_attributes")
    ]
    (taken,) = await house.env.client.data_converter.decode([recorded[-1]], [Decision])
    assert (taken.person, taken.verdict) == ("amal", "approve")

    again = await handle.execute_update("decide", taken, id="another", result_type=DecisionReceipt)
    assert (again.accepted, again.code) == (False, "nonce_used")
    other = house.env.client.get_workflow_handle(there["run"])
    moved = await other.execute_update("decide", taken, result_type=DecisionReceipt)
    assert (moved.accepted, moved.code) == (False, "not_waiting")
    changed = taken.model_copy(update={"person": "bo", "nonce": "new"})
    assert (await handle.execute_update("decide", changed, result_type=DecisionReceipt)).code == "bad_signature"
    await kept(house, incident, ("amal", "nonce_used"), ("bo", "bad_signature"))
    assert len((await house.card(incident, "go"))["decided"]) == 1
