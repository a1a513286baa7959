"""``stanch up``, ``stanch worker``, ``stanch serve``: processes that stay until they are stopped."""

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from worker.cli import card
from worker.cli.output import clean, say


def bring(notices: Sequence[dict[str, Any]]) -> None:
    """The terminal as a channel: one line a notice, pages with the bell.

    Raises:
        OSError: nobody reads the terminal any more; the notices stay undelivered.
    """
    for notice in notices:
        page = notice.get("urgency") == "page"
        to = ", ".join(notice.get("to") or ()).replace("role:", "")
        bell = "\a" if page and sys.stdout.isatty() else ""
        head = "PAGE " if page else ""
        text = card.told(notice)
        sys.stdout.write(f"{bell}{head}{notice['incident']} → {clean(to)}: {text}\n")
    sys.stdout.flush()


@click.command()
@click.option("--host", help="Address to listen on; loopback by default.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of /v1; 0 takes a free one.")
def up(host: str | None, port: int | None) -> None:
    """Run everything on this machine, for real: Temporal, worker, doors."""
    with _importing():
        from worker import start

    raise click.exceptions.Exit(asyncio.run(start.up(_settings(host, port), bring, say)))


@click.command()
def worker() -> None:
    """Run the process that works: workflows and actions."""
    with _importing():
        from worker import start_work

    raise click.exceptions.Exit(asyncio.run(start_work.work(_settings(None, None), say)))


@click.command()
@click.option("--host", help="Address to listen on; loopback by default.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of /v1; 0 takes a free one.")
def serve(host: str | None, port: int | None) -> None:
    """Run the process that answers: /v1, alerts, notices."""
    with _importing():
        from worker import start

    raise click.exceptions.Exit(asyncio.run(start.serve(_settings(host, port), bring, say)))


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """Import without collecting garbage: what modules make stays, and to look through it is a quarter of a start."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _settings(host: str | None, port: int | None) -> Any:
    from worker.settings import Settings

    given = dict(os.environ)
    if host is not None:
        given["STANCH_HOST"] = host
    if port is not None:
        given["STANCH_PORT"] = str(port)
    return Settings.load(given)
