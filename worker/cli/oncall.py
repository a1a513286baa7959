"""``stanch oncall``: who is on call for each role, now or at an instant, and when that changes."""

import asyncio
import contextlib
import os
from datetime import UTC, datetime
from typing import Any

import click

from worker.cli.output import clean, emit, fail, json_option, show


@click.command()
@click.option("--at", "instant", metavar="INSTANT", help="With its zone; now by default.")
@json_option
def oncall(instant: str | None, as_json: bool) -> None:
    """Who is on call per role. It reads the schedules of this machine's settings."""
    try:
        at = datetime.fromisoformat(instant) if instant else datetime.now(UTC)
    except ValueError:
        at = datetime.min
    if at.tzinfo is None:
        fail("bad_value", f"--at {clean(instant)[:40]!r} is no instant with its zone.", exit_code=2)
    rows = asyncio.run(_rows(at))
    if as_json:
        emit({"at": at.isoformat(), "oncall": rows})
        return
    for row in rows:
        told = row["problem"] or ", ".join(row["people"]) or "nobody by schedule"
        then = f"; changes {row['next']}" if row["next"] else ""
        rest = "" if row["people"] else f". Paged: {', '.join(row['otherwise']) or 'nobody has the role'}"
        show(f"{row['role']:<24} {clean(told)}{then}{rest}")
    if not rows:
        show("There is no schedule; everybody with the role is paged. docs/paging.md says how to set one up.")


async def _rows(at: datetime) -> list[dict[str, Any]]:
    from worker.paging.oncall import ScheduleUnreadable
    from worker.paging.setup import channels_of, oncall_of
    from worker.settings import Settings
    from worker.start_base import open_store

    settings = Settings.load(os.environ)
    paging = settings.file.paging
    if paging is None:
        return []
    with contextlib.closing(open_store(settings)) as store:
        people, contacts = store.people.list(), store.contacts.all()
    schedules = oncall_of(settings, paging, channels_of(settings, paging))
    rows = []
    for role in schedules.roles:
        row: dict[str, Any] = {"role": role, "people": [], "next": None, "problem": ""}
        row["otherwise"] = [person.name for person in people if role in person.roles]
        try:
            row["people"] = await schedules.names(role, at, people, contacts)
            change = await schedules.next_change(role, at)
            row["next"] = change.strftime("%Y-%m-%dT%H:%MZ") if change else None
        except ScheduleUnreadable as error:
            row["problem"] = str(error)
        rows.append(row)
    return rows
