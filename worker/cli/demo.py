"""``stanch demo``: an alert becomes a contained incident, in a simulated world."""

import asyncio
import os
import random
from pathlib import Path

import click

from worker.cli.output import json_option, say


@click.command()
@click.option("--playbook", metavar="ID", help="Start this one instead of what the alert's route says.")
@click.option("--alert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Another alert's file.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of the simulated world; a new one by default.")
@click.option("--unattended", is_flag=True, help="Scripted people decide; without it you are asked.")
@click.option("--keep", is_flag=True, help="Stay up after the end, until Ctrl-C.")
@json_option
def demo(
    playbook: str | None, alert: Path | None, seed: int | None, unattended: bool, keep: bool, as_json: bool
) -> None:
    """Watch an alert become a contained incident: Temporal, worker, doors and a simulated world.

    Exit 0 only if every effect is verified in the world's own record.
    """
    from worker.demo import Wanted, play
    from worker.settings import Settings

    wanted = Wanted(
        seed=random.SystemRandom().randrange(100_000) if seed is None else seed,
        playbook=playbook,
        alert=alert,
        unattended=unattended,
        keep=keep,
        as_json=as_json,
    )
    if not unattended and as_json:
        raise click.UsageError("--json needs --unattended: a document has no room for questions.")
    raise click.exceptions.Exit(asyncio.run(play(Settings.load(os.environ), wanted, say)))
