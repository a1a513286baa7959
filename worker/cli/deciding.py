"""``stanch incident approve|deny|answer|done|break-glass|decide|undo``: decisions at the command line."""

from typing import Any

import click

from worker.cli.client import ApiClient, connect
from worker.cli.options import as_option, reason_option, run_option
from worker.cli.output import emit, fail, json_option, show
from worker.cli.values import pairs, typed

DIGEST = click.option(
    "--digest", required=True, metavar="HEX", help="Of what you were shown; 12 characters are enough."
)


def _waiting(api: ApiClient, incident: str, step: str, run: str | None) -> dict[str, Any] | None:
    """The one question that waits at a step, or nothing; two are ``ambiguous_step``."""
    found = [
        entry
        for entry in api.get("/v1/decisions", incident=incident)["decisions"]
        if entry["step"] == step and run in (None, entry["run"])
    ]
    if len(found) > 1:
        runs = ", ".join(entry["run"] for entry in found)
        fail("ambiguous_step", f"{step} waits in {runs}. Nothing was counted.", "Say which with --run.")
    return found[0] if found else None


def full_digest(given: str, waiting: dict[str, Any] | None) -> str:
    """The whole digest for a prefix that a person typed; what does not fit is passed on to be refused.

    Raises:
        Refused: ``bad_value``, exit 2, for something that is no hex of 12 to 64 characters.
    """
    digest = given.lower()
    if not 12 <= len(digest) <= 64 or any(letter not in "0123456789abcdef" for letter in digest):
        fail("bad_value", "--digest takes 12 to 64 hex characters. Nothing was counted.", exit_code=2)
    if waiting is not None and waiting["digest"].startswith(digest):
        return str(waiting["digest"])
    if len(digest) < 64:
        fail(
            "digest_mismatch" if waiting is not None else "not_waiting",
            "What waits now is not what you were shown. Nothing was counted."
            if waiting is not None
            else "Nothing waits for a decision at this step. Nothing was counted.",
            "Look again with `stanch incident show`.",
        )
    return digest


def _send(api: ApiClient, incident: str, body: dict[str, Any], as_json: bool) -> None:
    answer = api.post(
        f"/v1/incidents/{incident}/decisions", {key: value for key, value in body.items() if value is not None}
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
        with connect(as_person) as api:
            waiting = _waiting(api, incident_id, step, run)
            whole = full_digest(digest, waiting)
            body = {"step": step, "verdict": verdict, "run": run, "digest": whole, "reason": reason}
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
        waiting = _waiting(api, incident_id, step, run)
        if waiting is None:
            fail(
                "not_waiting",
                f"Nothing waits for an answer at {step}. Nothing was counted.",
                "`stanch incident show` lists what waits.",
            )
        values = typed(given, waiting["form"], "-f")
        body = {
            "step": step,
            "verdict": "answer",
            "run": waiting["run"],
            "digest": waiting["digest"],
            "values": values,
            "reason": reason,
        }
        _send(api, incident_id, body, as_json)


def _plain(
    incident_id: str, step: str, verdict: str, reason: str, run: str | None, person: str | None, as_json: bool
) -> None:
    with connect(person) as api:
        waiting = _waiting(api, incident_id, step, run)
        if waiting is None:
            fail(
                "not_waiting",
                f"Nothing waits for a decision at {step}. Nothing was counted.",
                "`stanch incident show` lists what waits.",
            )
        body = {
            "step": step,
            "verdict": verdict,
            "run": waiting["run"],
            "digest": waiting["digest"],
            "reason": reason,
        }
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


@click.command()
@click.argument("incident_id", metavar="ID")
@click.option("--digest", metavar="HEX", help="Of the offer you were shown.")
@reason_option
@run_option
@as_option
@json_option
def undo(
    incident_id: str,
    digest: str | None,
    reason: str,
    run: str | None,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Accept an offered undo (a cancelled run offers one)."""
    from datetime import UTC, datetime

    from worker.cli import card

    with connect(as_person) as api:
        offers = [
            entry
            for entry in api.get("/v1/decisions", incident=incident_id)["decisions"]
            if entry["kind"] == "undo" and run in (None, entry["run"])
        ]
        if not offers:
            fail(
                "not_waiting",
                f"No run of {incident_id} offers an undo now. Nothing was undone.",
                "A run offers it when it is cancelled: `stanch incident cancel`.",
            )
        if digest is None or len(offers) > 1:
            show("\n\n".join(card.question(incident_id, entry, datetime.now(UTC)) for entry in offers))
            fail("digest_mismatch", "Nothing was undone.", "Say what you accept: --digest (and --run).")
        offer = offers[0]
        body = {
            "step": offer["step"],
            "verdict": "approve",
            "run": offer["run"],
            "digest": full_digest(digest, offer),
            "reason": reason,
        }
        _send(api, incident_id, body, as_json)


COMMANDS = (approve, deny, answer, done, break_glass, decide, undo)
