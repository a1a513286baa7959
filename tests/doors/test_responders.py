"""A night's work at the command line, as README tells it: from the detector's alert to the verified export."""

import json
import shlex
import sqlite3

from temporalio.client import Client

from worker.codec import ENCODING

ANSWERS = {
    "boolean": "yes",
    "integer": "12",
    "number": "1",
    "datetime": "2026-11-24T03:00:00Z",
    "string": "as the evidence says",
    "list[string]": "mail,name",
}


def ended(shown):
    return shown["runs"] and all(run["status"] in ("done", "failed", "denied", "cancelled") for run in shown["runs"])


def answer(form):
    """What somebody types into a form, field by field."""
    for name, field in form.items():
        if field["required"]:
            yield from ("-f", f"{name}={field['options'][0] if field['options'] else ANSWERS[field['type']]}")


async def decide_the_rest(acme, incident):
    """People say done and answer until the run has ended; the commands are those that the card shows."""
    by_role = {"crm_owner": "amal", "incident_commander": "cleo", "privacy_officer": "dara", "legal": "dara"}
    decided = set()
    while True:
        shown = await acme.until(
            incident,
            lambda shown: ended(shown) or any(each["digest"] not in decided for each in shown["waiting"]),
        )
        if ended(shown):
            return shown
        for entry in shown["waiting"]:
            if entry["digest"] in decided:
                continue
            decided.add(entry["digest"])
            person = by_role[entry["who"]["needs"][0]["roles"][0]]
            verdict = "answer" if entry["kind"] == "ask" else "done"
            await acme.document(person, "incident", verdict, incident, entry["step"], *answer(entry["form"]))


async def test_a_night_from_the_alert_to_the_verified_export(acme, tmp_path):
    alert = tmp_path / "alert.json"
    alert.write_bytes(acme.alert())
    checked = await acme.document(None, "alert", "check", str(alert))
    assert checked["route"]["playbook"] == "crm-oauth-token-theft"
    app = checked["route"]["inputs"]["app"]

    sent = await acme.document(None, "alert", "send", str(alert), "--source", "siem", "--bearer", "secret:env/DETECTOR")
    incident = sent["incident"]
    assert sent["created"] is True
    rows = (await acme.document("vic", "incident", "list"))["incidents"]
    assert incident in [row["incident"] for row in rows]

    shown = await acme.waits(incident, "go")
    for key in ("incident", "facts", "alerts", "runs", "steps", "notices", "waiting", "clocks", "drafts"):
        assert key in shown, key
    assert set(shown["alerts"]) == {"count", "first", "last", "keys"}
    assert all({"path", "id", "kind", "action", "status"} <= set(step) for step in shown["steps"])
    (card,) = [entry for entry in shown["waiting"] if entry["step"] == "go"]
    for key in ("run", "step", "kind", "digest", "question", "who", "decided", "until", "next", "preview"):
        assert key in card, key

    told = (await acme.stanch("amal", "incident", "show", incident)).stdout
    assert told.index("WAITS  go") < told.index("RUN") < told.index("CLOCKS")
    (approve,) = [line.strip() for line in told.splitlines() if line.strip().startswith("stanch incident approve")]
    typed = shlex.split(approve)[1:]
    first = await acme.stanch("amal", *typed, "--reason", "it is the thief's")
    assert first.returncode == 0 and "1 of crm_owner" in first.stdout
    assert await acme.refused("amal", *typed) == "already_decided"
    assert await acme.refused("dara", *typed) == "wrong_role"
    second = await acme.document("bo", *typed)
    assert (second["accepted"], second["votes"]) == (True, 2)

    shown = await acme.waits(incident, "block")
    acme.range.block_app(app)
    await acme.document("amal", "incident", "done", incident, "block")
    shown = await decide_the_rest(acme, incident)
    assert [run["status"] for run in shown["runs"]] == ["done"]
    assert shown["status"] == "contained" and shown["waiting"] == []
    assert acme.range.wrong() == {}, "by the simulated company's own record"
    assert shown["drafts"] and all(draft["path"] for draft in shown["drafts"])

    lines = (await acme.stanch("vic", "incident", "timeline", incident)).stdout.splitlines()
    assert any("decision.refused" in line and "already_decided" in line for line in lines)
    refused = await acme.stanch("cleo", "incident", "close", incident)
    assert refused.returncode == 1 and "[clock_open]" in refused.stderr and "stanch incident clock" in refused.stderr
    for clock in shown["clocks"]:
        if clock["open"]:
            why = ("--reason", "not ours to notify")
            await acme.document("dara", "incident", "clock", incident, clock["id"], "dismiss", *why)
    await acme.until(incident, lambda shown: not any(clock["open"] for clock in shown["clocks"]))
    await acme.document("cleo", "incident", "close", incident)
    await acme.until(incident, lambda shown: shown["status"] == "closed")

    bundle = tmp_path / "night.zip"
    await acme.document("cleo", "incident", "export", incident, "-o", str(bundle))
    verified = await acme.stanch(None, "evidence", "verify", str(bundle))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    replayed = await acme.document(None, "replay")
    assert replayed["ok"] is True and replayed["replayed"] >= 2

    await nothing_secret_lies_about(acme, incident, app)


async def nothing_secret_lies_about(acme, incident, app):
    """Logs, journal, database and Temporal's histories after a whole incident."""
    key = (acme.home / "range" / "salesforce.pem").read_text().splitlines()[1]
    secrets = [*acme.tokens.values(), "detector-secret", "Bearer ", "PRIVATE KEY", key]
    logs = acme.logs()
    assert [secret for secret in secrets if secret in logs] == []

    kept = b"".join(path.read_bytes() for path in acme.home.glob("stanch.db*"))
    assert [secret for secret in secrets if secret != "Bearer " and secret.encode() in kept] == []

    with sqlite3.connect(f"file:{acme.home / 'stanch.db'}?mode=ro", uri=True) as database:
        written = "\n".join(str(row) for row in database.execute("SELECT * FROM journal"))
    database.close()
    assert incident in written and "decision.accepted" in written
    users = [user["username"] for user in acme.range.state()["salesforce"]["users"]]
    assert [name for name in (app, "it is the thief's", "as the evidence says", *users) if name in written] == []

    client = await Client.connect(acme.env["TEMPORAL_ADDRESS"], namespace=acme.env["TEMPORAL_NAMESPACE"])
    payloads = 0
    async for execution in client.list_workflows("WorkflowType IN ('Incident', 'PlaybookRun')"):
        history = await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()
        for event in history.events:
            for payload in payloads_in(event):
                payloads += 1
                assert payload.metadata["encoding"] == ENCODING, event
            assert app.encode() not in event.SerializeToString()
    assert payloads > 100


def payloads_in(message):
    """Every payload in a protobuf message, however deep."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        entries = field.message_type.GetOptions().map_entry
        parts = value.values() if entries else value if field.is_repeated else [value]
        for part in parts:
            if getattr(part, "DESCRIPTOR", None) is None:
                continue
            if part.DESCRIPTOR.full_name == "temporal.api.common.v1.Payload":
                yield part
            else:
                yield from payloads_in(part)


async def test_a_document_is_all_that_stands_on_stdout(acme):
    done = await acme.stanch("amal", "incident", "list", "--json")
    json.loads(done.stdout)
    assert done.stderr == ""
