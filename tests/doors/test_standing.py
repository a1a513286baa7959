"""Approvals in advance through the HTTP door: who may give one, what it may say, and that it ends at once."""

from datetime import UTC, datetime, timedelta

from tests.doors.test_cli_decisions import Shell


def wanted(**more):
    """A body that is fine."""
    until = (datetime.now(UTC) + timedelta(days=more.pop("days", 7))).isoformat()
    return {"action": "lab.end_matching", "max_affected": 5, "until": until, "reason": "quiet nights", **more}


async def give(house, person="amal", **more):
    """An answer to giving one."""
    return await house.ask(person, "POST", "/v1/standing", wanted(**more))


async def test_owners_give_list_and_use_one_and_anybody_who_responds_ends_it(house):
    house.env.world.add("t1")
    for person in ("amal", "bo"):
        for action in ("lab.end_matching", "lab.touch"):
            answer = await give(house, person, action=action, severity_from=2)
            assert answer.status_code == 201 and answer.json()["in_force"] is True, answer.text
    incident = await house.start(inputs={"who": "x"})
    ask = await house.card(incident, "data", "dara")
    await house.decide(incident, "dara", ask, "answer", values={"left": True})
    shown = await house.ended(incident)
    steps = {step["path"]: step["status"] for step in shown["steps"]}
    assert (steps["go"], steps["end"], steps["one"]) == ("done", "done", "done")
    assert "approval.standing" in [entry["kind"] for entry in house.env.store.journal.entries(incident)]
    listed = (await house.ask("vic", "GET", "/v1/standing")).json()["standing"]
    assert [row["id"] for row in listed] == ["SA-1", "SA-2", "SA-3", "SA-4"]
    ended = await house.ask("dara", "POST", "/v1/standing/SA-1/revoke", {"reason": "not this week"})
    assert (ended.status_code, ended.json()["in_force"], ended.json()["revoked_by"]) == (200, False, "dara")
    again = await house.ask("dara", "POST", "/v1/standing/SA-1/revoke", {"reason": "x"})
    assert again.json()["code"] == "closed"
    entries = house.env.store.journal.entries("installation")
    kinds = [entry["kind"] for entry in entries if entry["kind"].startswith("standing")]
    assert kinds == ["standing.given"] * 4 + ["standing.revoked"]
    assert [entry["actor"] for entry in entries if entry["kind"] == "standing.revoked"] == ["dara"]
    second = await house.start(inputs={"who": "x"})
    await house.card(second, "go")


REFUSED = [
    ("cleo", {}, "wrong_role"),
    ("dara", {}, "wrong_role"),
    ("vic", {}, "wrong_role"),
    ("amal", {"action": "lab.read"}, "not_found"),
    ("amal", {"action": "lab.nothing"}, "not_found"),
    ("amal", {"days": 91}, "bad_value"),
    ("amal", {"days": -1}, "bad_value"),
    ("amal", {"max_affected": 0}, "bad_value"),
    ("amal", {"params": {"colour": "red"}}, "bad_value"),
    ("amal", {"reason": "  "}, "bad_value"),
    ("amal", {"until": "2026-01-01T00:00:00"}, "bad_value"),
]


async def test_what_may_not_be_approved_in_advance(house):
    for person, more, code in REFUSED:
        answer = await give(house, person, **more)
        assert answer.json()["code"] == code, (person, more, answer.text)
    assert (await house.ask("amal", "GET", "/v1/standing")).json()["standing"] == []


async def test_what_is_not_there_cannot_be_ended(house):
    for id_ in ("SA-1", "x"):
        answer = await house.ask("amal", "POST", f"/v1/standing/{id_}/revoke", {"reason": "x"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_command_gives_lists_and_revokes(house, tmp_path):
    (tmp_path / "cli").mkdir()
    shell = Shell(house, tmp_path / "cli")
    words = ("standing", "add", "lab.touch", "--at-most", "3", "-p", "name=x", "--severity", "4", "--reason", "nights")
    given = await shell.fine("amal", *words)
    assert (given["id"], given["params"], given["severity_from"]) == ("SA-1", {"name": "x"}, 4)
    assert await shell.code("cleo", *words) == "wrong_role"
    assert [row["person"] for row in (await shell.fine("vic", "standing", "list"))["standing"]] == ["amal"]
    assert (await shell.fine("dara", "standing", "revoke", "SA-1", "--reason", "no"))["in_force"] is False
    assert (await shell.fine("vic", "standing", "list"))["standing"] == []
    assert [row["id"] for row in (await shell.fine("vic", "standing", "list", "--all"))["standing"]] == ["SA-1"]
    assert (await shell.run("amal", "standing", "add", "lab.touch", "--reason", "x")).returncode == 2
