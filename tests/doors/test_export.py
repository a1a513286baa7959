"""The record's way out, end to end: a run's bundle through the door, verified by the command."""

import asyncio
import json
import socket
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHistory

from playbooks.digest import sha256_hex
from tests.doors.conftest import House
from worker.bundle_histories import fetch_histories
from worker.bundle_verify import verify
from worker.cli.main import execute
from worker.run import WORKFLOWS
from worker.store.keys import known_signers
from worker.temporal import replayer


async def finished(house: House) -> str:
    """An incident whose one run was approved and has ended."""
    incident = await house.start("cleo", inputs={"who": "t1"})
    card = await house.card(incident, "go")
    for person in ("amal", "bo"):
        assert (await house.decide(incident, person, card, "approve")).status_code == 200
    card = await house.card(incident, "data", "dara")
    answer = await house.decide(incident, "dara", card, "answer", values={"left": False})
    assert answer.status_code == 200, answer.text
    await house.ended(incident)
    return incident


async def exported(house: House, incident: str, target: Path) -> Path:
    """Its bundle, as ``cleo`` gets it."""
    answer = await house.ask("cleo", "GET", f"/v1/incidents/{incident}/export")
    assert answer.status_code == 200, answer.text
    await asyncio.to_thread(target.write_bytes, answer.content)
    return target


def lines(bundle: Path, name: str) -> list[dict[str, Any]]:
    """JSON lines of a member."""
    with zipfile.ZipFile(bundle) as opened:
        return [json.loads(line) for line in opened.read(name).splitlines()]


def command(*arguments: str) -> int:
    """One command line's exit code."""
    return execute(list(arguments))


async def test_a_runs_bundle_holds_its_whole_record_and_verifies(house: House, tmp_path: Path) -> None:
    incident = await finished(house)
    bundle = await exported(house, incident, tmp_path / "b.zip")
    found = verify(bundle, known_signers(house.env.settings.home))
    entries = (await house.ask("cleo", "GET", f"/v1/incidents/{incident}/timeline")).json()["entries"]
    assert (found.incident, found.signer, found.missing) == (incident, "this home", [])
    assert (found.entries, found.head) == (len(entries), entries[-1]["hash"])
    assert lines(bundle, "journal.jsonl") == entries
    assert entries[-1]["kind"] == "incident.exported" and entries[-1]["actor"] == "cleo"
    with zipfile.ZipFile(bundle) as opened:
        run = json.loads(opened.read("runs/contain-things-1.json"))
        plan = opened.read("plans/contain-things-1.json")
        shown = json.loads(opened.read("incident.json"))
    assert run["status"]["status"] == "done" and b"lab.end_matching" in plan
    started = next(entry for entry in entries if entry["kind"] == "run.started")
    assert sha256_hex(plan) == run["plan_digest"] == started["body"]["plan"]
    assert shown["incident"] == incident and shown["notices"]
    assert not list(house.env.settings.home.glob(".export-*"))


async def test_the_histories_in_it_replay_and_show_no_payload(house: House, tmp_path: Path) -> None:
    incident = await finished(house)
    bundle = await exported(house, incident, tmp_path / "b.zip")
    with zipfile.ZipFile(bundle) as opened:
        held = {name: opened.read(name).decode() for name in opened.namelist() if name.startswith("histories/")}
    run, owner = f"run/{incident}/contain-things/1", f"incident/{incident}"
    assert {f"histories/{run}/001.json", f"histories/{owner}/001.json"} <= held.keys()
    assert all("crm_owner" not in text and "lab.touch" in text for name, text in held.items() if run in name)
    checker = replayer(WORKFLOWS, house.env.ring)
    for name, text in held.items():
        await checker.replay_workflow(WorkflowHistory.from_json(name, text))


async def test_without_temporal_the_export_goes_on_and_says_so(house: House, tmp_path: Path) -> None:
    incident = await house.start("cleo")
    await house.card(incident, "go")
    await house.env.client.get_workflow_handle(f"run/{incident}/contain-things/1").terminate()
    house.env.store.incidents.save_run(f"run/{incident}/contain-things/2", incident, {})
    bundle = await exported(house, incident, tmp_path / "b.zip")
    found = verify(bundle, known_signers(house.env.settings.home))
    absent = {each["member"]: each["why"] for each in found.missing}
    assert absent[f"histories/run/{incident}/contain-things/2"] == "Temporal does not hold it, or no longer"


async def test_only_responders_take_a_record_out(house: House) -> None:
    incident = await house.start("cleo")
    for person, status in (("vic", 403), ("detector", 403), ("nobody", 401)):
        assert (await house.ask(person, "GET", f"/v1/incidents/{incident}/export")).status_code == status
    assert (await house.ask("cleo", "GET", "/v1/incidents/INC-1999-1/export")).status_code == 404


async def run_apart(arguments: Sequence[str]) -> int:
    """A command beside the server of this very process."""
    return await asyncio.to_thread(command, *arguments)


async def test_the_commands_export_and_verify(house: House, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    incident = await house.start("cleo")
    await house.card(incident, "go")
    monkeypatch.setenv("STANCH_HOME", str(house.env.settings.home))
    monkeypatch.setenv("STANCH_URL", house.url)
    monkeypatch.setenv("STANCH_TOKEN", house.tokens["cleo"])
    bundle = tmp_path / "out.zip"
    assert await run_apart(["incident", "export", incident, "-o", str(bundle), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"ok": True, "incident": incident, "export": str(bundle), "bytes": bundle.stat().st_size}
    assert bundle.stat().st_mode & 0o077 == 0
    assert await run_apart(["evidence", "verify", str(bundle)]) == 0
    assert "signed by this home" in capsys.readouterr().out


async def test_histories_of_a_server_that_is_away_are_told_as_missing() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        client = await Client.connect(address, lazy=True)
        found = await fetch_histories(client, ["incident/INC-2026-1", "run/INC-2026-1/x/1"], within=2)
    assert found.held == {} and [name for name, _ in found.missing] == [
        "histories/incident/INC-2026-1",
        "histories/run/INC-2026-1/x/1",
    ]
    assert all(why.startswith("Temporal did not") for _, why in found.missing)
