"""``stanch incident note|tell|handover|after-review``: what people say to each other about an incident."""

from pathlib import Path

import click

from worker.cli.client import at, connect
from worker.cli.options import as_option
from worker.cli.output import clean, emit, json_option, show


@click.command()
@click.argument("incident_id", metavar="ID")
@click.argument("text")
@as_option
@json_option
def note(incident_id: str, text: str, as_person: str | None, as_json: bool) -> None:
    """Keep TEXT in the incident's timeline."""
    with connect(as_person) as api:
        answer = api.post(at("incidents", incident_id, "notes"), {"text": text})
    emit(answer) if as_json else show(answer["message"])


@click.command()
@click.argument("incident_id", metavar="ID")
@click.argument("text")
@click.option("--to", multiple=True, metavar="WHOM", help="A role, channel, mail or page; may be repeated.")
@click.option("--urgency", type=click.Choice(["low", "normal", "high", "page"]), default="normal", show_default=True)
@as_option
@json_option
def tell(incident_id: str, text: str, to: tuple[str, ...], urgency: str, as_person: str | None, as_json: bool) -> None:
    """Tell TEXT to the incident's channel, or to those named with --to. `--to page` wakes people."""
    with connect(as_person) as api:
        answer = api.post(at("incidents", incident_id, "tell"), {"text": text, "to": [*to], "urgency": urgency})
    emit(answer) if as_json else show(answer["message"])


@click.command()
@click.argument("incident_id", metavar="ID")
@as_option
@json_option
def handover(incident_id: str, as_person: str | None, as_json: bool) -> None:
    """The incident in five lines, for whoever takes over."""
    with connect(as_person) as api:
        found = api.get(at("incidents", incident_id, "handover"))
    emit(found) if as_json else show("\n".join(clean(line) for line in found["lines"]))


@click.command("after-review")
@click.argument("incident_id", metavar="ID")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; else it is printed.")
@as_option
@json_option
def after_review(incident_id: str, output: Path | None, as_person: str | None, as_json: bool) -> None:
    """The after-review as Markdown. It holds times, effects, questions, clocks and lessons, from the record."""
    with connect(as_person) as api:
        found = api.get(at("incidents", incident_id, "after-review"))
    if output is not None:
        output.write_text(found["markdown"], encoding="utf-8")
    if as_json:
        emit(found if output is None else {"ok": True, "incident": incident_id, "file": str(output)})
    elif output is not None:
        show(f"{output} is written.")
    else:
        show("\n".join(map(clean, found["markdown"].splitlines())))


COMMANDS = (note, tell, handover, after_review)
