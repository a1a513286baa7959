"""Options that many commands share."""

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def as_option(command: Command) -> Command:
    """``--as NAME``: act as a person of a demo or exercise home."""
    text = "Person, in demo and exercise homes only."
    return click.option("--as", "as_person", metavar="NAME", help=text)(command)


def run_option(command: Command) -> Command:
    """``--run ID``: which run, where a step is in two."""
    return click.option("--run", metavar="RUN", help="Which run, where more than one is meant.")(command)


def reason_option(command: Command) -> Command:
    """``--reason T``: kept in the record."""
    return click.option("--reason", default="", metavar="T", help="Kept in the record.")(command)
