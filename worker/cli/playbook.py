"""``stanch playbook``: list, look at, check and preview playbooks. Needs no server."""

import json
from pathlib import Path
from typing import Any

import click

from worker.cli import card
from worker.cli.output import clean, emit, fail, json_option, show
from worker.cli.values import pairs, typed


def _library(folders: tuple[Path, ...] = ()) -> Any:
    from playbooks.loader import Library

    return Library.of(*folders) if folders else Library.shipped()


def _source(name: str) -> tuple[Any, list[Any]]:
    """A playbook by id or by file, and what is wrong with it."""
    from playbooks.loader import load

    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        if not path.is_file():
            fail("not_found", f"There is no file {name}. Nothing was checked.")
        return load(path)
    source = _library().get(name)
    if source is None:
        fail("not_found", f"There is no playbook {name}.", "`stanch playbook list` shows them all.")
    return source, []


@click.group()
def playbook() -> None:
    """List, check and preview playbooks."""


@playbook.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Playbooks that are shipped."""
    from worker.desk.playbooks import listing

    rows = listing(_library())
    if as_json:
        emit({"playbooks": rows})
        return
    table = [("PLAYBOOK", "VERSION", "STARTS ON", "TITLE")]
    for row in rows:
        table.append((row["id"], row["version"], ", ".join(row["starts_on"]), clean(row["title"])))
    show(card.columns(table))


@playbook.command("show")
@click.argument("name")
@json_option
def show_(name: str, as_json: bool) -> None:
    """One playbook (id or file): what it asks for and what it does, in order."""
    from worker.desk.playbooks import described

    source, problems = _source(name)
    if source is None:
        _refuse(problems, as_json)
    document = described(source)
    if as_json:
        emit(document)
        return
    show(f"{document['id']} {document['version']}  {clean(document['title'])}\n{document['digest']}")
    for name_, field in document["inputs"].items():
        need = "" if field["required"] else ", optional"
        show(f"  input {name_}: {field['type']}{need}  {clean(field['description'])}")
    for line in document["outline"]:
        show(f"  {clean(line)}")


@playbook.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def validate(files: tuple[Path, ...], as_json: bool) -> None:
    """Check playbook FILES; exit 1 if one cannot be started."""
    for path in files:
        if not path.is_file():
            fail("not_found", f"There is no file {path}. Nothing was checked.")
    from activities.catalog import CATALOG
    from playbooks.compile import validate as check
    from playbooks.loader import load

    found: list[Any] = []
    for path in files:
        source, problems = load(path)
        found += problems
        if source is not None:
            found += check(source, library=_library(), actions=CATALOG.facts())
    errors = [problem for problem in found if problem.severity == "error"]
    if as_json:
        emit({"ok": not errors, "problems": [_shown(problem) for problem in found]})
    else:
        _print(found)
        if not errors:
            show(f"{len(files)} playbook(s) fine" + (f", {len(found)} warning(s)." if found else "."))
    if errors:
        raise click.exceptions.Exit(1)


@playbook.command()
def schema() -> None:
    """JSON Schema of the language, for editors."""
    from playbooks.schema import schema as make

    show(json.dumps(make(), ensure_ascii=False, indent=2))


@playbook.command()
@click.argument("name")
@click.option("-i", "--input", "inputs", multiple=True, metavar="K=V")
@json_option
def plan(name: str, inputs: tuple[str, ...], as_json: bool) -> None:
    """The plan that a start would freeze: steps, approvals, actions. Changes nothing."""
    from worker.desk.playbooks import described, planned

    source, problems = _source(name)
    if source is None or any(problem.severity == "error" for problem in problems):
        _refuse(problems, as_json)
    values = typed(pairs(inputs, "-i"), described(source)["inputs"], "-i")
    compiled = planned(source, _library(), values)
    if compiled.plan is None:
        _refuse(list(compiled.problems), as_json)
    document = compiled.plan.model_dump(mode="json")
    if as_json:
        emit({"digest": compiled.digest, "plan": document})
        return
    show(f"plan {compiled.digest}")
    for line in described(source)["outline"]:
        show(f"  {clean(line)}")
    _print(list(compiled.problems))


def _refuse(problems: list[Any], as_json: bool) -> None:
    if as_json:
        emit({"ok": False, "problems": [_shown(problem) for problem in problems]})
    else:
        _print(problems)
    raise click.exceptions.Exit(1)


def _shown(problem: Any) -> dict[str, Any]:
    keys = ("file", "line", "column", "code", "severity", "message", "hint")
    return {key: getattr(problem, key) for key in keys}


def _print(problems: list[Any]) -> None:
    for problem in problems:
        place = f"{clean(problem.file)}:{problem.line}:{problem.column}"
        show(f"{place}: {problem.severity} {problem.code}: {clean(problem.message)}")
        if problem.hint:
            show(f"    {clean(problem.hint)}")
