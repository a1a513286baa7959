"""``stanch oncall``: who is on call for each role, now or at an instant, and when that changes."""

import asyncio
from typing import Any

import click

from worker.cli.client import connect, means_server
from worker.cli.options import as_option
from worker.cli.output import clean, emit, json_option, show
from worker.cli.own_home import own_home


@click.command()
@click.option("--at", "instant", metavar="INSTANT", help="With its zone; now by default.")
@as_option
@json_option
def oncall(instant: str | None, as_person: str | None, as_json: bool) -> None:
    """Who is on call per role. Without STANCH_TOKEN it reads the schedules of this machine's settings."""
    if means_server(as_person):
        with connect(as_person) as api:
            told = api.get("/v1/oncall", at=instant)
    else:
        told = _here(instant)
    if as_json:
        emit(told)
        return
    for row in told["oncall"]:
        said = row["problem"] or ", ".join(row["people"]) or "nobody by schedule"
        then = f"; changes {row['next']}" if row["next"] else ""
        rest = "" if row["people"] else f". Paged: {', '.join(row['otherwise']) or 'nobody has the role'}"
        show(f"{row['role']:<24} {clean(said)}{then}{rest}")
    if not told["oncall"]:
        show("There is no schedule; everybody with the role is paged. docs/paging.md says how to set one up.")


def _here(instant: str | None) -> dict[str, Any]:
    from worker.paging.desk import PagingDesk

    with own_home() as (settings, store):
        return asyncio.run(PagingDesk(settings, store).oncall(instant))
