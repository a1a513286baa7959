"""Undo and rerun at the command line, as somebody types them at 3 a.m."""

import pytest

from tests.doors.conftest import PLAYBOOK
from tests.doors.test_cli_decisions import Shell


@pytest.fixture
def shell(house, tmp_path):
    (tmp_path / "cli").mkdir()
    return Shell(house, tmp_path / "cli")


async def test_what_failed_is_rerun_and_then_everything_is_undone(house, shell):
    house.env.world.fault("rejected", 1)
    incident = await house.start(inputs={"who": "x"})
    card = await house.card(incident, "go")
    for person in ("amal", "bo"):
        await house.decide(incident, person, card, "approve")
    failure = await house.card(incident, "one")
    assert await shell.code("vic", "incident", "rerun", incident) == "wrong_role"
    assert await shell.code("cleo", "incident", "rerun", incident) == "run_active"
    assert await shell.code("cleo", "incident", "undo", incident, "--digest", "0" * 16) == "not_waiting"
    assert (await house.decide(incident, "amal", failure, "stop")).status_code == 200
    asked = await house.card(incident, "data", "dara")
    await house.decide(incident, "dara", asked, "answer", values={"left": False})
    assert (await house.ended(incident))["runs"][0]["status"] == "failed"
    assert await shell.code("cleo", "incident", "undo", incident) == "nothing_to_undo"

    again = await shell.fine("cleo", "incident", "rerun", incident, "--reason", "the lab is back")
    assert again["run"] == f"run/{incident}/contain-things/2" and "again: one" in again["message"]
    assert (await house.ended(incident))["runs"][1]["status"] == "done"
    assert [effect["id"] for effect in house.env.world.effects()] == ["x"]
    assert await shell.code("cleo", "incident", "rerun", incident) == "nothing_failed"

    offered = await shell.fine("cleo", "incident", "undo", incident, "--step", "one", "--reason", "wrong x")
    assert offered["run"].endswith("/3") and [part["step"] for part in offered["offers"][0]["preview"]] == ["one"]
    digest = offered["offers"][0]["digest"]
    shown = (await shell.run("cleo", "incident", "undo", incident)).stderr
    assert f"stanch incident undo {incident} --digest {digest[:16]}" in shown
    await shell.fine("amal", "incident", "undo", incident, "--digest", digest[:16])
    ended = await house.ended(incident)
    assert [run["status"] for run in ended["runs"]] == ["failed", "undone", "undone"]
    assert [effect["kind"] for effect in house.env.world.effects()] == ["touch", "untouch"]
    told = await shell.fine("vic", "incident", "why", incident, "one")
    story = " ".join(told["sentences"])
    for part in (
        "was undone later",
        f"cleo asked for it, and it undoes run/{incident}/contain-things/2.",
        "amal (crm_owner) approved",
        "amal (crm_owner) chose to stop",
        "1 changed; verified by reading back.",
        "It was undone at ",
    ):
        assert part in story, story
    undo = await shell.fine("vic", "incident", "why", incident, "@undo")
    story = " ".join(undo["sentences"])
    for part in (
        f"cleo asked to undo one of run/{incident}/contain-things/2, in {offered['run']} (“wrong x”).",
        "amal (crm_owner) approved at",
        "Taken back: one. All that could be taken back is.",
    ):
        assert part in story, story
    assert (undo["asked_by"], undo["undone"], undo["left"], undo["status"]) == ("cleo", ["one"], [], "undone")
    assert await shell.code("vic", "incident", "why", incident, "@undo7") == "not_found"
    first = await shell.fine("vic", "incident", "why", incident, "one", "--run", f"run/{incident}/contain-things/1")
    assert first["status"] == "failed" and "chose to stop" in " ".join(first["sentences"])
    assert await shell.code("vic", "incident", "why", incident, "one", "--run", "run/elsewhere") == "not_found"


async def test_a_run_is_moved_to_a_new_version_by_the_digest_of_what_was_shown(house, shell):
    incident = await house.start(inputs={"who": "x"})
    await house.card(incident, "go")
    file = shell.home / "new.yaml"
    file.write_text(PLAYBOOK.replace("1.0.0", "1.1.0").replace("within: 15m", "within: 20m"))
    assert await shell.code("amal", "incident", "migrate", incident, "--to", str(file)) == "wrong_role"
    assert await shell.code("cleo", "incident", "migrate", incident, "--to", "7.7.7") == "not_found"
    gone = (await shell.run("cleo", "incident", "migrate", incident, "--to", "nowhere.yaml")).stdout
    assert "There is no file nowhere.yaml. Nothing was migrated." in gone and "not_found" in gone
    assert await shell.code("cleo", "incident", "migrate", incident, "--to", "1.0.0") == "no_change"
    shown = await shell.fine("cleo", "incident", "migrate", incident, "--to", str(file), "--dry-run")
    assert [step["step"] for step in shown["steps"] if step["change"] != "same"] == ["go"]
    wrong = await shell.code("cleo", "incident", "migrate", incident, "--to", str(file), "--digest", "0" * 16)
    assert wrong == "digest_mismatch"
    done = await shell.fine(
        "cleo", "incident", "migrate", incident, "--to", str(file), "--digest", shown["digest"][:16]
    )
    assert done["run"] == f"run/{incident}/contain-things/2"
    card = await house.card(incident, "go")
    assert card["run"] == done["run"] and card["who"]["excluded"] == ["cleo"]
