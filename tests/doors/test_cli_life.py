"""The rest of an incident's life at the command line: each command once, as people use it, with its document."""

import asyncio
import contextlib
import io
import json

import pytest

from tests.doors.test_cli_decisions import Shell
from worker.cli.main import execute


@pytest.fixture
def shell(house, tmp_path):
    (tmp_path / "cli").mkdir()
    return Shell(house, tmp_path / "cli")


async def test_a_person_starts_and_steers_an_incident(house, shell):
    house.env.world.add("t1")
    started = await shell.fine("cleo", "incident", "start", "contain-things", "-i", "who=x", "--title", "Look here")
    incident = started["incident"]
    assert started["run"] == f"run/{incident}/contain-things/1"
    assert (await shell.run("cleo", "incident", "start")).returncode == 2
    assert await shell.code("cleo", "incident", "start", "contain-things", "-i", "nobody=1") == "bad_value"
    assert await shell.code("cleo", "incident", "start", "nowhere") == "not_found"
    assert await shell.code("vic", "incident", "start", "contain-things") == "wrong_role"
    await house.card(incident, "go")

    assert (await shell.fine("bo", "incident", "ack", incident))["ok"] is True
    assert await shell.code("amal", "incident", "take", incident) == "wrong_role"
    await shell.fine("cleo", "incident", "take", incident)
    await shell.fine("amal", "incident", "pause", incident, "--reason", "wait")
    assert await shell.code("amal", "incident", "pause", incident) == "no_change"
    assert (await shell.fine("amal", "incident", "show", incident))["runs"][0]["status"] == "paused"
    assert await shell.code("amal", "incident", "resume", incident) == "wrong_role"
    await shell.fine("cleo", "incident", "resume", incident)
    await shell.fine("dara", "incident", "set", incident, "incident.subjects", "1200", "--reason", "counted")
    await shell.fine("dara", "incident", "set", incident, "note", "0012 as text")
    shown = await shell.fine("amal", "incident", "show", incident)
    assert (shown["facts"]["subjects"]["value"], shown["facts"]["subjects"]["trust"]) == (1200, "person")
    await shell.fine("dara", "incident", "set", incident, "note", "--clear")
    assert "note" not in (await shell.fine("amal", "incident", "show", incident))["facts"]
    assert (await shell.run("dara", "incident", "set", incident, "note")).returncode == 2

    rows = (await shell.fine("vic", "incident", "list"))["incidents"]
    assert [(row["title"], row["waiting"]) for row in rows if row["incident"] == incident] == [("Look here", 1)]
    mine = (await shell.fine("amal", "decision", "list", "--mine"))["decisions"]
    assert [entry["step"] for entry in mine if entry["incident"] == incident] == ["go"]
    assert (await shell.fine("dara", "decision", "list", "--mine"))["decisions"] == []
    assert await shell.code("cleo", "incident", "close", incident) == "run_active"
    wanted = {"incident.acknowledged", "run.paused", "run.resumed", "incident.taken", "fact.set"}
    for _ in range(200):
        kinds = {entry["kind"] for entry in house.env.store.journal.entries(incident)}
        if wanted <= kinds:
            break
        await asyncio.sleep(0.05)
    told = (await shell.fine("vic", "incident", "timeline", incident))["entries"]
    assert wanted <= {entry["kind"] for entry in told}


async def test_a_cancelled_run_offers_to_undo_and_people_accept(house, shell):
    incident = await house.start(inputs={"who": "x"})
    card = await house.card(incident, "go")
    for person in ("amal", "bo"):
        await shell.fine(person, "incident", "approve", incident, "go", "--digest", card["digest"])
    await house.card(incident, "data", "dara")
    assert {effect["id"] for effect in house.env.world.effects()} == {"x"}
    assert await shell.code("amal", "incident", "cancel", incident) == "wrong_role"
    await shell.fine("cleo", "incident", "cancel", incident, "--reason", "a mistake")
    offer = await house.card(incident, "@undo", "cleo")
    (run,) = (await shell.fine("vic", "incident", "show", incident))["runs"]
    assert (run["status"], run["cancelled"]) == ("waiting", {"by": "cleo"})
    again = json.loads((await shell.run("cleo", "incident", "cancel", incident)).stdout)
    assert again["code"] == "no_change" and f"{run['id']} (by cleo)" in again["message"]
    assert offer["kind"] == "undo" and offer["preview"]
    looked = await shell.run("cleo", "incident", "undo", incident)
    assert (looked.returncode, json.loads(looked.stdout)["code"]) == (1, "digest_mismatch")
    assert f"stanch incident undo {incident} --digest {offer['digest'][:16]}" in looked.stderr
    await shell.fine("amal", "incident", "undo", incident, "--digest", offer["digest"][:16])
    await shell.fine("dara", "incident", "answer", incident, "data", "-f", "left=no")
    shown = await house.ended(incident)
    assert shown["runs"][0]["status"] == "undone"
    assert [effect["kind"] for effect in house.env.world.effects()] == ["touch", "untouch"]
    assert await shell.code("cleo", "incident", "close", incident, "--false-alarm") == "clock_open"
    assert await shell.code("dara", "incident", "clock", incident, "all", "dismiss") == "bad_value"
    said = await shell.fine("dara", "incident", "clock", incident, "all", "dismiss", "--reason", "a drill")
    assert len(said["clocks"]) >= 2
    await house.clocks_closed(incident)
    assert await shell.fine("dara", "incident", "clock", incident, "all", "confirm") == {"ok": True, "clocks": []}
    await shell.fine("cleo", "incident", "close", incident, "--false-alarm", "--reason", "a drill")
    assert (await shell.fine("cleo", "incident", "show", incident))["status"] == "false_alarm"
    assert await shell.code("cleo", "incident", "close", incident) == "closed"


async def test_a_hold_keeps_an_approved_effect_from_happening(house, shell):
    incident = await house.start(inputs={"who": "x"})
    card = await house.card(incident, "go")
    assert (await shell.run("amal", "hold", "on")).returncode == 2
    assert await shell.code("vic", "hold", "on", "--reason", "x") == "wrong_role"
    assert (await shell.fine("amal", "hold", "on", "--reason", "look first"))["on"] is True
    assert (await shell.fine("vic", "hold", "status"))["person"] == "amal"
    for person in ("amal", "bo"):
        await shell.fine(person, "incident", "approve", incident, "go", "--digest", card["digest"])
    told = (await shell.run("vic", "incident", "show", incident)).stdout
    assert json.loads(told)["hold"]["reason"] == "look first"
    assert await shell.code("amal", "hold", "off") == "wrong_role"
    assert house.env.world.effects() == []
    assert (await shell.fine("cleo", "hold", "off")) == {"on": False}
    kinds = [entry["kind"] for entry in house.env.store.journal.entries(incident)]
    assert "hold.set" in kinds and "hold.cleared" in kinds


async def test_an_admin_keeps_people_over_v1(house, shell):
    added = await shell.fine("root", "people", "add", "eve", "--role", "crm_owner", "--identity", "slack:T1:U1")
    assert added["roles"] == ["crm_owner"]
    assert added["identities"] == [{"door": "slack", "workspace": "T1", "external_id": "U1"}]
    token = (await shell.fine("root", "people", "token", "eve"))["token"]
    names = [person["name"] for person in (await shell.fine(token, "people", "list"))["people"]]
    assert "eve" in names and names == sorted(names)
    assert await shell.code(token, "people", "add", "mallory") == "wrong_role"
    assert (await shell.fine("root", "people", "revoke", "eve"))["revoked"] == 1
    assert await shell.code(token, "people", "list") == "unknown_person"
    assert await shell.code("root", "people", "token", "nobody") == "not_found"
    assert await shell.code("root", "people", "add", "Eve Smith") == "bad_value"
    assert (await shell.run("root", "people", "add", "eve", "--identity", "slack")).returncode == 2


async def test_an_event_is_told_to_the_run_that_waits_for_it(house, shell):
    incident = await house.start(playbook="await-vendor")
    told = ("incident", "event", incident, "confirmed", "-f", "answer=yes", "-f", "count=3", "--nonce", "mail-7")
    assert await shell.code("vic", *told) == "wrong_role"
    assert await shell.code("amal", "incident", "event", incident, "vendor_called") == "unknown_event"
    assert await shell.code("amal", "incident", "event", "INC-1999-1", "confirmed") == "not_found"
    assert "delivered" in (await shell.fine("amal", *told))["message"]
    shown = await house.ended(incident)
    assert [(step["path"], step["status"], step["by"]) for step in shown["steps"]] == [("vendor", "done", ["amal"])]
    received = [entry for entry in house.env.store.journal.entries(incident) if entry["kind"] == "event.received"]
    assert [entry["body"]["fields"] for entry in received] == [["answer", "count"]]
    assert shown["runs"][0]["outputs"] == {"answer": "yes", "count": 3}
    assert await shell.code("amal", *told) == "closed"


async def test_people_say_things_into_an_incident_and_hand_it_over(house, shell, tmp_path):
    incident = await house.start(title="Said")
    await house.card(incident, "go")
    assert (await shell.fine("amal", "incident", "note", incident, "The vendor \x1b[31mknows"))["ok"] is True
    assert await shell.code("vic", "incident", "note", incident, "x") == "wrong_role"
    assert await shell.code("amal", "incident", "note", incident, "  ") == "bad_value"
    told = await shell.fine("amal", "incident", "tell", incident, "Stay off the phone", "--to", "crm_owner")
    assert "Told to crm_owner" in told["message"]
    assert await shell.code("amal", "incident", "tell", incident, "x", "--to", "Two Words") == "bad_value"
    assert await shell.code("vic", "incident", "tell", incident, "x", "--to", "page") == "wrong_role"
    (notice,) = [each for each in house.env.store.notices.of(incident) if each["body"].get("by") == "amal"]
    assert (notice["to"], notice["urgency"]) == (["role:crm_owner"], "normal")

    found = await shell.fine("vic", "incident", "timeline", incident)
    said = {entry["kind"]: found["texts"].get(str(entry["seq"])) for entry in found["entries"]}
    assert (said["incident.note"], said["incident.told"]) == ("The vendor \x1b[31mknows", "Stay off the phone")
    assert all("text" not in entry for entry in found["entries"])

    lines = (await shell.fine("vic", "incident", "handover", incident))["lines"]
    assert len(lines) == 5 and "First: decide go" in lines[4]
    file = tmp_path / "review.md"
    await shell.fine("vic", "incident", "after-review", incident, "-o", str(file))
    assert "Said" in file.read_text() and "knows" in file.read_text()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setenv("STANCH_URL", house.url)
        patch.setenv("STANCH_TOKEN", house.tokens["vic"])
        await asyncio.to_thread(execute, ["incident", "after-review", incident])
    headings = [line for line in printed.getvalue().splitlines() if line.startswith("## ")]
    assert "## Times" in headings and "## Notes" in headings
