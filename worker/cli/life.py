"""``stanch incident ack|take|pause|resume|cancel|set|event|clock|close``."""

import json
from typing import Any

import click

from worker.cli.client import at as address
from worker.cli.client import connect
from worker.cli.options import as_option, reason_option, run_option
from worker.cli.output import emit, fail, json_option, show
from worker.cli.values import pairs


def _post(incident: str, verb: str, body: dict[str, Any], person: str | None, as_json: bool) -> None:
    with connect(person) as api:
        answer = api.post(address("incidents", incident, verb), body)
    if as_json:
        emit(answer)
    else:
        show(answer.get("message") or "Recorded.")


def _of_run(verb: str, text: str) -> click.Command:
    @click.command(verb)
    @click.argument("incident_id", metavar="ID")
    @run_option
    @reason_option
    @as_option
    @json_option
    def command(incident_id: str, run: str | None, reason: str, as_person: str | None, as_json: bool) -> None:
        _post(incident_id, verb, {"run": run, "reason": reason}, as_person, as_json)

    command.help = text
    return command


pause = _of_run("pause", "Start no further step. What is under way ends by itself.")
resume = _of_run("resume", "Go on after a pause.")
cancel = _of_run("cancel", "Cancel the runs. Each then offers to undo what it did, and does its duties.")


@click.command()
@click.argument("incident_id", metavar="ID")
@as_option
@json_option
def ack(incident_id: str, as_person: str | None, as_json: bool) -> None:
    """Record that you have seen the incident."""
    _post(incident_id, "ack", {}, as_person, as_json)


@click.command()
@click.argument("incident_id", metavar="ID")
@reason_option
@as_option
@json_option
def take(incident_id: str, reason: str, as_person: str | None, as_json: bool) -> None:
    """Take command of the incident."""
    _post(incident_id, "take", {"reason": reason}, as_person, as_json)


@click.command("set")
@click.argument("incident_id", metavar="ID")
@click.argument("fact")
@click.argument("value", required=False)
@click.option("--clear", is_flag=True, help="Take the fact back.")
@reason_option
@as_option
@json_option
def set_(
    incident_id: str,
    fact: str,
    value: str | None,
    clear: bool,
    reason: str,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Set FACT to VALUE. A value is JSON, else text; a person's word overrules an alert's."""
    if clear == (value is not None):
        raise click.UsageError("Give a VALUE or --clear, one of them.")
    body = {"fact": fact.removeprefix("incident."), "value": _value(value), "reason": reason}
    _post(incident_id, "facts", body, as_person, as_json)


def _value(text: str | None) -> Any:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float):
        # The record holds no floats; as text it stays exactly what was typed.
        return text
    return value


@click.command("event")
@click.argument("incident_id", metavar="ID")
@click.argument("name")
@click.option("-f", "fields", multiple=True, metavar="NAME=VALUE", help="A field of the event; JSON, else text.")
@click.option("--nonce", metavar="TEXT", help="Your name for this very event: sent again, it counts once.")
@run_option
@as_option
@json_option
def event(
    incident_id: str,
    name: str,
    fields: tuple[str, ...],
    nonce: str | None,
    run: str | None,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Tell the runs that wait for the event NAME that it happened."""
    body = {field: _value(text) for field, text in pairs(fields, "-f").items()}
    _post(incident_id, "events", {"name": name, "body": body, "run": run, "nonce": nonce}, as_person, as_json)


@click.command("clock")
@click.argument("incident_id", metavar="ID")
@click.argument("clock_id", metavar="CLOCK")
@click.argument("verb", type=click.Choice(["confirm", "correct", "submit", "dismiss", "handover"]))
@click.option("--at", metavar="INSTANT", help="For correct and submit.")
@reason_option
@as_option
@json_option
def clock(
    incident_id: str,
    clock_id: str,
    verb: str,
    at: str | None,
    reason: str,
    as_person: str | None,
    as_json: bool,
) -> None:
    """Confirm, correct, submit, dismiss or hand over a legal clock. CLOCK is its id, or `all` that are open."""
    if verb in ("correct", "submit") and not at:
        fail("bad_value", f"{verb} needs --at INSTANT. Nothing was changed.", exit_code=2)
    body = {"verb": verb, "at": at, "reason": reason}
    if clock_id != "all":
        _post(incident_id, "clocks", {**body, "clock": clock_id}, as_person, as_json)
        return
    with connect(as_person) as api:
        running = [str(clock["id"]) for clock in api.get(address("incidents", incident_id))["clocks"] if clock["open"]]
        answers = [api.post(address("incidents", incident_id, "clocks"), {**body, "clock": each}) for each in running]
    if as_json:
        emit({"ok": True, "clocks": running})
    else:
        show("\n".join(answer["message"] for answer in answers) or "No clock is open.")


@click.command()
@click.argument("incident_id", metavar="ID")
@click.option("--false-alarm", is_flag=True, help="Close it as a false alarm.")
@reason_option
@as_option
@json_option
def close(incident_id: str, false_alarm: bool, reason: str, as_person: str | None, as_json: bool) -> None:
    """Close the incident. Refused while a run goes on, an effect is unknown or a clock is open."""
    body = {"status": "false_alarm" if false_alarm else "closed", "reason": reason}
    _post(incident_id, "close", body, as_person, as_json)


COMMANDS = (ack, take, pause, resume, cancel, set_, event, clock, close)
