"""``stanch hold``: the switch that stops every new effect."""

from typing import Any

import click

from worker.cli.client import connect
from worker.cli.options import as_option
from worker.cli.output import clean, emit, json_option, show


@click.group()
def hold() -> None:
    """Stop every new effect, everywhere, at once. Reads, evidence and clocks go on."""


def _tell(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(document)
    elif document["on"]:
        show(f"HOLD is on, by {clean(document['person'])} at {document['at']}: {clean(document['reason'])}")
        show("No new effect starts. `stanch hold off` lets them go on (incident commander).")
    else:
        show("No hold. Effects run as approved.")


@hold.command()
@click.option("--reason", required=True, metavar="T", help="Why; kept in the record.")
@as_option
@json_option
def on(reason: str, as_person: str | None, as_json: bool) -> None:
    """Hold every new effect."""
    with connect(as_person) as api:
        _tell(api.put("/v1/hold", {"reason": reason}), as_json)


@hold.command()
@as_option
@json_option
def off(as_person: str | None, as_json: bool) -> None:
    """Let effects go on."""
    with connect(as_person) as api:
        _tell(api.delete("/v1/hold"), as_json)


@hold.command()
@as_option
@json_option
def status(as_person: str | None, as_json: bool) -> None:
    """Whether a hold is on."""
    with connect(as_person) as api:
        _tell(api.get("/v1/hold"), as_json)
