"""``stanch incident approve|deny|answer|done|break-glass|decide``: decisions at the command line."""

from typing import Any

import click

from worker.cli.client import ApiClient, at, connect
from worker.cli.options import as_option, reason_option, run_option
from worker.cli.output import emit, fail, json_option, show
from worker.cli.values import pairs, typed

DIGEST = click.option(
    "--digest", required=True, metavar="HEX", help="Of what you were shown; 12 characters are enough."
)


def checked(digest: str) -> str:
    """A digest as a person typed it.

    Raises:
        Refused: ``bad_value``, exit 2, for something that is no hex of 12 to 64 characters.
    """
    digest = digest.strip().lower()
    if not 12 <= len(digest) <= 64 or any(letter not in "0123456789abcdef" for letter in digest):
        fail("bad_value", "--digest takes 12 to 64 hex characters. Nothing was counted.", exit_code=2)
    return digest


def _send(api: ApiClient, incident: str, body: dict[str, Any], as_json: bool) -> None:
    answer = api.post(
        at("incidents", incident, "decisions"), {key: value for key, value in body.items() if value is not None}
    )
    if as_json:
        emit(answer)
    else:
        show(answer.get("message") or "Counted.")


def _vote(verdict: str) -> click.Command:
    @click.command(verdict)
    @click.argument("incident_id", metavar="ID")
    @click.argument("step")
    @DIGEST
    @reason_option
    @run_option
    @as_option
    @json_option
    def vote(
        incident_id: str,
        step: str,
        digest: str,
        reason: str,
        run: str | None,
        as_person: str | None,
        as_json: bool,
    ) -> None:
        body = {"step": step, "verdict": verdict, "run": run, "digest": checked(digest), "reason": reason}
        with connect(as_person) as api:
            _send(api, incident_id, body, as_json)

    vote.help = f"{verdict.capitalize()} exactly what you were shown at STEP."
    return vote


approve, deny = _vote("approve"), _vote("deny")


@click.command()
@click.argument("incident_id", metavar="ID")
@click.argument("step")
@click.option("-f", "--field", "fields", multiple=True, metavar="K=V", help="A field of the form.")
@reason_option
@run_option
@as_option
@json_option
def answer(
    incident_id: str,
    step: str,
    fields: tuple[str, ...],
    reason: str,
    run: str | None,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Answer the question at STEP."""
    given = pairs(fields, "-f")
    with connect(as_person) as api:
        waiting = api.get("/v1/decisions", incident=incident_id)["decisions"]
        forms = [entry["form"] for entry in waiting if entry["step"] == step and run in (None, entry["run"])]
        # Where nothing waits the values go as they are: the server says why, and keeps that it was tried.
        values = typed(given, forms[0], "-f") if forms else given
        body = {"step": step, "verdict": "answer", "run": run, "values": values, "reason": reason}
        _send(api, incident_id, body, as_json)


def _plain(
    incident_id: str, step: str, verdict: str, reason: str, run: str | None, person: str | None, as_json: bool
) -> None:
    body = {"step": step, "verdict": verdict, "run": run, "reason": reason}
    with connect(person) as api:
        _send(api, incident_id, body, as_json)


@click.command()
@click.argument("incident_id", metavar="ID")
@click.argument("step")
@reason_option
@run_option
@as_option
@json_option
def done(incident_id: str, step: str, reason: str, run: str | None, as_person: str | None, as_json: bool) -> None:
    """Say that the work at STEP is done."""
    _plain(incident_id, step, "done", reason, run, as_person, as_json)


@click.command("break-glass")
@click.argument("incident_id", metavar="ID")
@click.argument("step")
@click.option("--reason", required=True, metavar="T", help="Why it cannot wait; reviewed afterwards.")
@run_option
@as_option
@json_option
def break_glass(
    incident_id: str, step: str, reason: str, run: str | None, as_person: str | None, as_json: bool
) -> None:
    """Go on at STEP without the quorum; opens an after-review."""
    _plain(incident_id, step, "break_glass", reason, run, as_person, as_json)


@click.command()
@click.argument("incident_id", metavar="ID")
@click.argument("step")
@click.argument("verdict", type=click.Choice(["retry", "skip", "undo", "stop", "happened", "not_happened", "verify"]))
@reason_option
@run_option
@as_option
@json_option
def decide(
    incident_id: str,
    step: str,
    verdict: str,
    reason: str,
    run: str | None,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Decide a failed or unknown STEP."""
    _plain(incident_id, step, verdict, reason, run, as_person, as_json)


COMMANDS = (approve, deny, answer, done, break_glass, decide)
