"""``stanch incident undo|rerun|migrate|review``: after things went wrong."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from worker.cli import card
from worker.cli.client import ApiClient, at, connect
from worker.cli.deciding import checked
from worker.cli.options import as_option, reason_option, run_option
from worker.cli.output import clean, emit, fail, json_option, say, show

PATIENCE = 15.0
"""Seconds for which a command waits until what it asked for can be shown."""


@click.command()
@click.argument("incident_id", metavar="ID")
@click.option("--step", metavar="STEP", help="Only this step, by its path; else all that can be undone.")
@click.option("--digest", metavar="HEX", help="Of the offer you were shown: approve it.")
@reason_option
@run_option
@as_option
@json_option
def undo(
    incident_id: str,
    step: str | None,
    digest: str | None,
    reason: str,
    run: str | None,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Take back what a run did, newest first. Asks for it, shows what it would do, and approves it with --digest.

    Without --digest it makes the offer, or shows the one that waits. The owners of the targets approve; who asks for
    it does not count.
    """
    with connect(as_person) as api:
        offers = _offers(api, incident_id, run)
        if digest is not None:
            _accept(api, incident_id, offers, checked(digest), reason, as_json)
            return
        if offers:
            _show(incident_id, offers)
            fail(
                "digest_mismatch",
                "An undo waits already, as shown. Nothing was asked anew, and nothing was undone.",
                "To approve it give its --digest.",
            )
        answer = api.post(at("incidents", incident_id, "undo"), {"run": run, "step": step, "reason": reason})
        until = time.monotonic() + PATIENCE
        while not offers and time.monotonic() < until:
            time.sleep(0.3)
            offers = _offers(api, incident_id, answer.get("run"))
    if as_json:
        emit({**answer, "offers": offers})
        return
    show(answer["message"])
    _show(incident_id, offers)


def _offers(api: ApiClient, incident: str, run: str | None) -> list[dict[str, Any]]:
    waiting = api.get("/v1/decisions", incident=incident)["decisions"]
    return [entry for entry in waiting if entry["kind"] == "undo" and run in (None, entry["run"])]


def _show(incident: str, offers: list[dict[str, Any]]) -> None:
    say("\n\n".join(card.question(incident, entry, datetime.now(UTC)) for entry in offers))


def _accept(
    api: ApiClient, incident: str, offers: list[dict[str, Any]], digest: str, reason: str, as_json: bool
) -> None:
    meant = [entry for entry in offers if entry["digest"].startswith(digest)]
    if not offers:
        fail(
            "not_waiting",
            f"No run of {incident} offers an undo now. Nothing was undone.",
            f"`stanch incident undo {incident}` asks for one.",
        )
    if len(meant) != 1:
        _show(incident, offers)
        fail("digest_mismatch", "What waits now is not what you were shown. Nothing was undone.")
    offer = meant[0]
    body = {"step": offer["step"], "verdict": "approve", "run": offer["run"], "digest": digest, "reason": reason}
    answer = api.post(at("incidents", incident, "decisions"), body)
    if as_json:
        emit(answer)
    else:
        show(answer.get("message") or "Counted.")


@click.command()
@click.argument("incident_id", metavar="ID")
@run_option
@reason_option
@as_option
@json_option
def rerun(incident_id: str, run: str | None, reason: str, as_person: str | None, as_json: bool) -> None:
    """Do again what failed in a run that has ended, and go on from there. What is done is not repeated."""
    with connect(as_person) as api:
        answer = api.post(at("incidents", incident_id, "rerun"), {"run": run, "reason": reason})
    if as_json:
        emit(answer)
    else:
        show(answer["message"])


@click.command()
@click.argument("incident_id", metavar="ID")
@click.argument("step")
@click.option("--verdict", required=True, type=click.Choice(["justified", "not_justified"]))
@click.option("--reason", required=True, metavar="T", help="Why; kept in the record.")
@run_option
@as_option
@json_option
def review(
    incident_id: str, step: str, verdict: str, reason: str, run: str | None, as_person: str | None, as_json: bool
) -> None:
    """Say whether the break-glass at STEP was justified. Who broke it may not; until then nothing closes."""
    body = {"step": step, "verdict": verdict, "reason": reason, "run": run}
    with connect(as_person) as api:
        answer = api.post(at("incidents", incident_id, "reviews"), body)
    if as_json:
        emit(answer)
    else:
        show(answer["message"])


@click.command()
@click.argument("incident_id", metavar="ID")
@click.option("--to", required=True, metavar="FILE|VERSION", help="A playbook's file, or the installed version.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--digest", metavar="HEX", help="Of what you were shown: do it.")
@run_option
@reason_option
@as_option
@json_option
def migrate(
    incident_id: str,
    to: str,
    dry_run: bool,
    digest: str | None,
    run: str | None,
    reason: str,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Move a run to another version of its playbook: what is done stays, the rest is as the new version says.

    Without --digest it shows every step that would change, and does nothing.
    """
    file = Path(to)
    if file.suffix in (".yaml", ".yml") and not file.is_file():
        fail("not_found", f"There is no file {clean(to)}. Nothing was migrated.")
    named = {"text": _text(file)} if file.is_file() else {"version": to}
    body = {"run": run, "reason": reason, **named}
    with connect(as_person) as api:
        if digest is not None and not dry_run:
            answer = api.post(at("incidents", incident_id, "migrate"), {**body, "digest": checked(digest)})
            emit(answer) if as_json else show(answer["message"])
            return
        shown = api.post(at("incidents", incident_id, "migrate"), {**body, "dry_run": True})
    if as_json:
        emit(shown)
    else:
        show("\n".join(_changes(incident_id, to, shown)))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        fail("bad_value", f"{file} is no text in UTF-8. Nothing was migrated.", exit_code=2)


def _changes(incident: str, to: str, shown: dict[str, Any]) -> list[str]:
    lines = [f"{shown['run']}: version {clean(shown['from']['version'])} to {clean(shown['to']['version'])}"]
    for step in shown["steps"]:
        kept = step["now"] != "pending" and step["change"] != "gone"
        if step["change"] != "same" or kept:
            now = f"is {step['now']}" if kept else ""
            lines.append(f"  {step['change']:<8} {clean(step['step']):<28} {now}".rstrip())
    lines += [f"  no approval step covers it any more: {clean(step)}" for step in shown["free"]]
    lines += [f"  CONFLICT {clean(each['step'])}: {each['message']} [{each['code']}]" for each in shown["conflicts"]]
    if shown["conflicts"]:
        return [*lines, "It cannot be migrated like this."]
    word = card.shell(to)
    return [
        *lines,
        "Approvals are asked for anew. To do it:",
        f"  stanch incident migrate {incident} --to {word} --digest {shown['digest'][:16]}",
    ]


COMMANDS = (undo, rerun, migrate, review)
