"""``stanch alert``: read an alert here without a server, or send it to one."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.client import at, connect
from worker.cli.options import as_option
from worker.cli.output import clean, emit, fail, json_option, show

if TYPE_CHECKING:
    from worker.alerts.model import Alert

MAX_FILE = 16 * 1024 * 1024
FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group()
def alert() -> None:
    """Check and send alerts."""


@alert.command()
@click.argument("file", type=FILE)
@click.option("--source", default="file", show_default=True, help="Read it as this source's, with its settings.")
@json_option
def check(file: Path, source: str, as_json: bool) -> None:
    """Say how the alert in FILE would be read and routed. Nothing is sent, kept or started.

    A file that holds a list is read one alert after the other.
    """
    from worker.alerts.intake import Intake
    from worker.alerts.readers import BodyRefused
    from worker.settings import Settings

    settings = Settings.load(os.environ)
    intake = Intake.of(settings.file.alerts, settings.file.routes, _no_secret, settings.file.organisation)
    bodies, listed = _bodies(file)
    found = []
    for number, body in enumerate(bodies, start=1):
        try:
            found.append(intake.check(body, source, datetime.now(UTC)))
        except BodyRefused as refused:
            which = f" (alert {number})" if listed else ""
            fail(refused.code, f"{file}{which}: {refused.message}", "An alert is one JSON object.")
    if as_json:
        documents = [each.check() for each in found]
        emit({"alerts": documents} if listed else documents[0])
    else:
        show("\n\n".join(_told(each) for each in found))


@alert.command()
@click.argument("file", type=FILE)
@click.option("--source", default="file", show_default=True, help="Send it as this source.")
@click.option("--bearer", metavar="REF", help="The source's own token: secret:env/NAME or secret:file/PATH.")
@as_option
@json_option
def send(file: Path, source: str, bearer: str | None, as_person: str | None, as_json: bool) -> None:
    """Send the alert in FILE to the server. It goes byte by byte as it is; a list's alerts one after the other.

    You send as yourself (STANCH_TOKEN), or with --bearer as the source.
    """
    bodies, listed = _bodies(file)
    headers = {}
    if bearer is not None:
        from worker.secrets import Secrets

        headers["Authorization"] = f"Bearer {Secrets(os.environ, Path.cwd()).get(bearer)}"
    with connect(as_person, need_token=bearer is None) as api:
        answers = [api.send(at("alerts", source), body, headers) for body in bodies]
    if as_json:
        emit({"alerts": answers} if listed else answers[0])
        return
    for answer in answers:
        show(_sent(answer))


def _bodies(file: Path) -> tuple[list[bytes], bool]:
    """The alerts of a file, as bytes; and whether the file holds a list of them."""
    if str(file) == "-":
        content = sys.stdin.buffer.read(MAX_FILE + 1)
    else:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        fail("too_large", f"{file} is over {MAX_FILE} bytes. Nothing was read.", "Send its alerts one by one.")
    if not content.lstrip().startswith(b"["):
        return [content], False
    try:
        listed = json.loads(content)
    except (ValueError, RecursionError):
        return fail("bad_json", f"{file} is not JSON. Nothing was done.")
    if not listed:
        fail("bad_json", f"{file} holds an empty list. Nothing was done.")
    return [json.dumps(each, ensure_ascii=True).encode() for each in listed], True


def one_alert(file: Path) -> bytes:
    """The one alert of a file, as bytes."""
    bodies, _ = _bodies(file)
    if len(bodies) > 1:
        fail("batch", f"{file} holds {len(bodies)} alerts. Nothing was sent.", "`stanch alert send` sends them all.")
    return bodies[0]


def _no_secret(_reference: str) -> str:
    return ""


def _told(alert: "Alert") -> str:
    lines = [
        clean(alert.title),
        f"  {alert.format}, {alert.kind}, severity {alert.severity}, {alert.action}",
        f"  first seen {alert.first_seen}{' (in doubt)' if alert.time_suspect else ''}",
    ]
    for entity in alert.entities:
        name = f" ({clean(entity.name)})" if entity.name and entity.name != entity.id else ""
        lines.append(f"  {entity.role:8} {entity.kind:9} {clean(entity.id)}{name}")
    if alert.route:
        filled = ", ".join(f"{name}={clean(value)}" for name, value in alert.route.inputs.items())
        lines.append(f"  starts {alert.route.playbook} by rule {alert.route.rule}: {filled or 'no inputs'}")
    elif alert.action == "close":
        lines.append("  is recorded; people close incidents, alerts do not")
    elif alert.matched:
        lines.append("  opens an incident and starts nothing")
    else:
        lines.append("  is recorded and opens nothing")
    lines += [f"  {problem.code}: {clean(problem.message)}" for problem in alert.problems]
    return "\n".join(lines)


def _sent(answer: dict[str, Any]) -> str:
    if not answer.get("incident"):
        reasons = "; ".join(clean(problem["message"]) for problem in answer["problems"])
        return f"Recorded; no incident was opened. {reasons}".rstrip()
    if answer["replayed"]:
        return f"{answer['incident']}: this very delivery came before; nothing was counted again."
    if not answer["created"]:
        return f"{answer['incident']}: joined, {answer['count']} alerts now."
    route = answer.get("route")
    return f"{answer['incident']}: opened; {'starting ' + clean(route['playbook']) if route else 'starting nothing'}."
