"""``stanch draft``: a notification from a facts file. Needs no server, and sends nothing."""

from datetime import UTC, datetime
from pathlib import Path

import click

from worker.cli.output import emit, fail, json_option, say, show


@click.command("draft")
@click.argument("regime")
@click.argument("stage")
@click.option("--facts", "path", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--now", metavar="INSTANT", help="As if it were then; the time of this machine if not given.")
@json_option
def draft(regime: str, stage: str, path: Path, now: str | None, as_json: bool) -> None:
    """Write the draft of STAGE under REGIME to stdout. It is a draft: nothing is sent, ever."""
    from playbooks.clocks_time import TimeError, moment, rfc3339
    from playbooks.drafting import DraftError, drafts
    from playbooks.facts import FactError, read_facts
    from playbooks.regimes_loader import shipped
    from worker.cli.regimes import read_document

    document = read_document(path)
    try:
        known = read_facts(document)
        at = rfc3339(moment(now).earliest) if now else rfc3339(datetime.now(UTC).replace(microsecond=0))
        wanted = {"facts": document, "now": at, "wanted": [(regime, stage)]}
        wanted["incident"] = str(known.get("id").value or "")
        (written,) = drafts(wanted, shipped())
    except FactError as error:
        fail(error.code, f"{path}: {error.message}")
    except TimeError as error:
        fail(error.code, error.message, exit_code=2)
    except DraftError as error:
        fail(error.code, error.message)
    if as_json:
        emit({**written.document, "markdown": written.markdown})
        return
    show(written.markdown)
    if written.missing:
        say(f"Missing: {', '.join(written.missing)}.")
