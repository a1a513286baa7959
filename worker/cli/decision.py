"""``stanch decision``: what waits for people."""

import sys
from datetime import UTC, datetime

import click

from worker.cli import card
from worker.cli.client import connect
from worker.cli.options import as_option
from worker.cli.output import clean, emit, fail, json_option, show
from worker.wording import remaining


@click.group()
def decision() -> None:
    """What waits for people."""


@decision.command("list")
@click.option("--mine", is_flag=True, help="Only what you may decide.")
@click.option("--incident", metavar="ID", help="Only of one incident.")
@as_option
@json_option
def list_(mine: bool, incident: str | None, as_person: str | None, as_json: bool) -> None:
    """Everything that waits, the nearest deadline first."""
    with connect(as_person) as api:
        found = api.get("/v1/decisions", incident=incident)["decisions"]
    found = [entry for entry in found if entry["yours"] or not mine]
    if as_json:
        emit({"decisions": found})
        return
    now = datetime.now(UTC)
    rows = [("INCIDENT", "STEP", "KIND", "LEFT", "YOURS", "QUESTION")]
    for entry in found:
        left = remaining(entry.get("until"), now)
        yours = "yes" if entry["yours"] else ""
        question = clean(entry["question"])[:40]
        rows.append((entry["incident"], clean(entry["step"]), entry["kind"], left, yours, question))
    show(card.columns(rows) if len(rows) > 1 else "Nothing waits for a decision.")


@decision.command("show")
@click.argument("incident_id", metavar="INCIDENT")
@click.argument("step", required=False)
@as_option
@json_option
def show_(incident_id: str, step: str | None, as_person: str | None, as_json: bool) -> None:
    """The cards that wait in an incident. What will happen, who decides, what to type."""
    with connect(as_person) as api:
        found = api.get("/v1/decisions", incident=incident_id)["decisions"]
    found = [entry for entry in found if step in (None, entry["step"])]
    if step is not None and not found:
        fail("not_waiting", f"Nothing waits at {step}.", "`stanch decision list` shows what does.")
    if as_json:
        emit({"decisions": found})
        return
    paint = card.Paint(sys.stdout.isatty())
    now = datetime.now(UTC)
    cards = [card.question(incident_id, entry, now, paint) for entry in found]
    show("\n\n".join(cards) or "Nothing waits for a decision.")
