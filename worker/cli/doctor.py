"""``stanch doctor``: what this installation depends on, each with whether it works and how to mend it."""

import asyncio
import os

import click

from worker.cli.output import clean, emit, json_option, show

MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check settings, store, keys, Temporal, workers, systems and people; exit 1 if something is broken."""
    from worker.settings import Settings
    from worker.start_checks import examine

    findings = asyncio.run(examine(Settings.load(os.environ)))
    broken = any(finding.state == "fail" for finding in findings)
    if as_json:
        emit({"ok": not broken, "checks": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            show(f"{MARKS[finding.state]} {finding.name:<22} {clean(finding.message)}")
            if finding.mend and finding.state != "ok":
                show(f"  {'':<22} → {clean(finding.mend)}")
    if broken:
        raise click.exceptions.Exit(1)
