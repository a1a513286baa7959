"""``stanch new``: a package of one's own, with one action, its peer, a playbook and tests that pass."""

from pathlib import Path

import click

from worker.cli.output import clean, emit, fail, json_option, show


@click.command()
@click.argument("package")
@click.option("--system", help="Name of the system, small letters and digits; else made of PACKAGE.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to write it, else ./PACKAGE.")
@json_option
def new(package: str, system: str | None, folder: Path | None, as_json: bool) -> None:
    """Write PACKAGE: one action on a system of your own.

    With its client, a peer for tests, a playbook, and tests that pass. Nothing is overwritten.
    """
    from worker.new.package import NewRefused, names, write

    try:
        given = names(package, system)
        target = (folder or Path(package)).absolute()
        written = write(given, target)
    except NewRefused as refused:
        fail(refused.code, str(refused))
    action = f"{given.system}.disable_accounts"
    if as_json:
        files = [str(path) for path in written]
        emit({"ok": True, "folder": str(target), "system": given.system, "actions": [action], "files": files})
        return
    show(f"Wrote {clean(target)}: the action {action}, its client, a peer, a playbook and tests.")
    show(f"Next: cd {clean(target)} && pip install -e . && pytest")
