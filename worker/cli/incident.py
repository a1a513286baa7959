"""``stanch incident``: start, look, decide, and the rest of an incident's life, over ``/v1``."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from worker.cli import aftermath, card, deciding, life, saying
from worker.cli.alert import one_alert
from worker.cli.client import ApiClient, at, connect
from worker.cli.options import as_option
from worker.cli.output import clean, emit, fail, json_option, say, show
from worker.cli.values import pairs, typed
from worker.wording import ENDED

TOLD = frozenset(
    {"step", "item", "action", "verb", "code", "status", "verdict", "playbook", "fact", "gate", "clock", "state"}
)
"""Of a journal entry's body, what a line of the timeline shows."""


@click.group()
def incident() -> None:
    """Start, look at and decide incidents."""


@incident.command()
@click.argument("playbook", required=False)
@click.option("-i", "--input", "inputs", multiple=True, metavar="K=V", help="An input of the playbook.")
@click.option("--title", default="", help="What happened, in a line.")
@click.option("--severity", type=click.IntRange(0, 5), default=3, show_default=True)
@click.option("--kind", default="unknown", help="Alert kind, e.g. crm.oauth_token_theft.")
@click.option("--alert", type=click.Path(dir_okay=False, path_type=Path), help="Start from an alert's file.")
@click.option("--source", default="file", show_default=True, help="With --alert: where it comes from.")
@as_option
@json_option
def start(
    playbook: str | None,
    inputs: tuple[str, ...],
    title: str,
    severity: int,
    kind: str,
    alert: Path | None,
    source: str,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Open an incident and start PLAYBOOK. With --alert start what the alert asks for.

    Prints the incident's id.
    """
    if (playbook is None) == (alert is None):
        raise click.UsageError("Name a PLAYBOOK or an --alert FILE, one of them.")
    with connect(as_person) as api:
        if alert is not None:
            answer = api.send(at("alerts", source), one_alert(alert))
        else:
            given = pairs(inputs, "-i")
            declared = _declared(api, str(playbook)) if given else {}
            answer = api.post(
                "/v1/incidents",
                {
                    "playbook": playbook,
                    "inputs": typed(given, declared, "-i"),
                    "title": title,
                    "severity": severity,
                    "kind": kind,
                },
            )
    if as_json:
        emit(answer)
    elif answer.get("incident"):
        show(answer["incident"])
        for warning in answer.get("warnings") or ():
            say(f"warning {warning['code']}: {clean(warning['message'])}")
    else:
        show("Recorded; no detection rule matched, so no incident was opened.")


def _declared(api: ApiClient, playbook: str) -> dict[str, Any]:
    for known in api.get("/v1/playbooks")["playbooks"]:
        if known["id"] == playbook:
            return dict(known["inputs"])
    return fail("not_found", f"There is no playbook {playbook}. Nothing was started.")


@incident.command("list")
@as_option
@json_option
def list_(as_person: str | None, as_json: bool) -> None:
    """All incidents, newest first."""
    with connect(as_person) as api:
        rows = api.get("/v1/incidents")["incidents"]
    emit({"incidents": rows}) if as_json else show(card.incidents(rows))


@incident.command("show")
@click.argument("incident_id", metavar="ID")
@as_option
@json_option
def show_(incident_id: str, as_person: str | None, as_json: bool) -> None:
    """Where an incident stands. First what waits for people, then runs, steps, clocks, notices."""
    with connect(as_person) as api:
        document = api.get(at("incidents", incident_id))
    if as_json:
        emit(document)
    else:
        show(card.incident(document, datetime.now(UTC), card.Paint(sys.stdout.isatty())))


@incident.command()
@click.argument("incident_id", metavar="ID")
@click.option("--after", type=int, default=0, help="Only entries beyond this number.")
@as_option
@json_option
def timeline(incident_id: str, after: int, as_person: str | None, as_json: bool) -> None:
    """The journal of an incident, oldest first."""
    with connect(as_person) as api:
        found = api.get(at("incidents", incident_id, "timeline"), after=after)
    if as_json:
        emit(found)
        return
    for entry in found["entries"]:
        show(timeline_line(entry, found.get("texts", {})))


@incident.command()
@click.argument("incident_id", metavar="ID")
@click.argument("step")
@click.option("--run", metavar="RUN", help="The run, where several have the step.")
@as_option
@json_option
def why(incident_id: str, step: str, run: str | None, as_person: str | None, as_json: bool) -> None:
    """Why STEP ran, or did not. The facts, rule, approvals and plan behind it, from the record.

    STEP is a step's id or path; an item of a for_each is STEP[2]; an undo is @undo, as `show` names it.
    """
    with connect(as_person) as api:
        told = api.get(at("incidents", incident_id, "why"), step=step, run=run)
    if as_json:
        emit(told)
        return
    for sentence in told["sentences"]:
        show(clean(sentence))
    book, entries = told["playbook"], ", ".join(map(str, told["entries"])) or "none"
    line = "" if book["line"] is None else f"line {book['line']}; "
    show(f"{clean(book['id'])} {clean(book['version'])}, {line}plan {clean(told['plan_digest'])[:12]}…")
    show(f"Journal entries: {entries}")


def timeline_line(entry: dict[str, Any], texts: dict[str, str]) -> str:
    """One journal entry in a line, and what somebody said below it."""
    body = entry.get("body") or {}
    what = " ".join(f"{key}={clean(value)}" for key, value in body.items() if key in TOLD and value is not None)
    when, actor = entry["at"][:19], clean(entry["actor"])
    line = f"{entry['seq']:>5} {when}Z {actor:<12} {entry['kind']:<24} {what}".rstrip()
    said = " ".join(clean(texts.get(str(entry["seq"]), "")).split())
    return f"{line}\n{'':<6}“{said}”" if said else line


@incident.command()
@click.argument("incident_id", metavar="ID")
@click.option("--every", type=click.FloatRange(0.5, 60), default=2, show_default=True, help="Seconds.")
@as_option
def watch(incident_id: str, every: float, as_person: str | None) -> None:
    """Follow an incident until all its runs have ended."""
    seen, last = 0, ""
    with connect(as_person) as api:
        while True:
            found = api.get(at("incidents", incident_id, "timeline"), after=seen)
            for entry in found["entries"]:
                show(timeline_line(entry, found.get("texts", {})))
                seen = entry["seq"]
            document = api.get(at("incidents", incident_id))
            digests = ",".join(sorted(entry["digest"] for entry in document["waiting"]))
            if digests and digests != last:
                for entry in document["waiting"]:
                    show("\n" + card.question(incident_id, entry, datetime.now(UTC)) + "\n")
            last = digests
            if document["runs"] and all(run["status"] in ENDED for run in document["runs"]):
                return
            time.sleep(every)


@incident.command()
@click.argument("incident_id", metavar="ID")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
@as_option
@json_option
def export(incident_id: str, output: Path, as_person: str | None, as_json: bool) -> None:
    """Write the signed bundle. It holds journal, evidence, drafts, plans, histories."""
    with connect(as_person) as api:
        size = api.download(at("incidents", incident_id, "export"), output)
    if as_json:
        emit({"ok": True, "incident": incident_id, "export": str(output), "bytes": size})
    else:
        show(f"{output}  ({size} bytes). Check it anywhere with `stanch evidence verify {output}`.")


for _command in (*deciding.COMMANDS, *life.COMMANDS, *saying.COMMANDS, *aftermath.COMMANDS):
    incident.add_command(_command)
