"""``stanch playbook``: list, look at, check and preview playbooks. Needs no server."""

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import click

from worker.cli import card
from worker.cli.output import clean, emit, fail, json_option, say, show
from worker.cli.playbook_test import test
from worker.cli.values import pairs, typed


def _settings() -> Any:
    """What this installation was told, its own folders of playbooks among it."""
    from worker.settings import Settings

    return Settings.load(os.environ)


def _library(folders: tuple[Path, ...], *given: Any) -> Any:
    """The given playbooks, those that are shipped, those of further folders; the first of an id stays."""
    from playbooks.loader import Library

    return Library([*given, *Library.shipped(*folders).sources()])


def _own_folders() -> tuple[Path, ...]:
    """The settings' folders of playbooks; none, and a word about it, if the settings cannot be read."""
    from worker.settings import SettingsError

    try:
        return _settings().playbook_folders  # type: ignore[no-any-return]
    except SettingsError as error:
        say(f"stanch: {clean(error)} Playbooks of your own folders are not known here.")
        return ()


def _own_actions(sources: list[Any]) -> Any:
    """All actions; with those of the settings only where a playbook starts a workflow that they may declare."""
    from activities.catalog import CATALOG
    from playbooks.model_steps import WorkflowStep
    from worker.settings import SettingsError

    if any(isinstance(step, WorkflowStep) for source in sources for _, step in source.playbook.walk()):
        from worker.foreign import catalog_of

        try:
            return catalog_of(_settings()).facts()
        except SettingsError as error:
            say(f"stanch: {clean(error)} The workflows that your settings declare are not known here.")
    return CATALOG.facts()


def _source(name: str, settings: Any) -> tuple[Any, list[Any]]:
    """A playbook by id or by file, and what is wrong with it."""
    from playbooks.loader import load

    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            fail("not_found", f"There is no file {name}. Nothing was checked.")
        return load(path)
    source = _library(settings.playbook_folders).get(name)
    if source is None:
        fail("not_found", f"There is no playbook {name}.", "`stanch playbook list` shows them all.")
    return source, []


@click.group()
def playbook() -> None:
    """List, check and preview playbooks."""


playbook.add_command(test)


@playbook.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Playbooks that are shipped, and those of your own folders."""
    from playbooks.loader import Library
    from worker.desk.playbooks import listing

    library = Library.shipped(*_settings().playbook_folders)
    rows = listing(library)
    if as_json:
        emit({"playbooks": rows, "problems": [problem.as_json() for problem in library.problems]})
        return
    table = [("PLAYBOOK", "VERSION", "STARTS ON", "TITLE")]
    for row in rows:
        table.append((row["id"], row["version"], ", ".join(row["starts_on"]), clean(row["title"])))
    show(card.columns(table))
    for problem in library.problems:
        say(_said(problem))


@playbook.command("show")
@click.argument("name")
@json_option
def show_(name: str, as_json: bool) -> None:
    """One playbook (id or file): what it asks for and what it does, in order."""
    from worker.desk.playbooks import described

    source, problems = _source(name, _settings())
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
    for name_, type_ in document["outputs"].items():
        show(f"  output {name_}: {type_}")
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
    from playbooks.loader import TESTS, Library, load
    from playbooks.problems import in_order

    found: list[Any] = []
    sources = []
    tests = [path for path in files if path.name.endswith(TESTS)]
    if len(tests) == len(files):
        fail("not_found", "These are tests of playbooks. Nothing was checked.", "`stanch playbook test` runs them.")
    if tests:
        # As a pattern such as *.yaml gives them.
        say(f"stanch: Tests were passed over ({len(tests)}); `stanch playbook test` runs them.")
    for path in dict.fromkeys(path for path in files if path not in tests):
        source, problems = load(path)
        found += problems
        sources += [] if source is None else [source]
    found += Library(sources).problems
    # A file whose shape is wrong is told at once, without all that judges its meaning.
    found = in_order(found + (_judged(sources) if sources else []))
    errors = [problem for problem in found if problem.severity == "error"]
    if as_json:
        emit({"ok": not errors, "problems": [problem.as_json() for problem in found]})
    else:
        _print(found)
        if not errors:
            fine = "1 playbook is" if len(sources) == 1 else f"{len(sources)} playbooks are"
            show(f"{fine} fine" + (f", with {len(found)} warning(s)." if found else "."))
    if errors:
        raise click.exceptions.Exit(1)


def _judged(sources: list[Any]) -> list[Any]:
    from playbooks.compile import validate as check
    from playbooks.loader import Library
    from playbooks.regimes_loader import shipped
    from playbooks.review_steps import called_by

    runs = any(called_by(source) for source in sources)
    library, actions = _library(_own_folders(), *sources) if runs else Library(sources), _own_actions(sources)
    return [
        problem for source in sources for problem in check(source, library=library, actions=actions, regimes=shipped)
    ]


@playbook.command()
def schema() -> None:
    """JSON Schema of the language, for editors."""
    from playbooks.schema import json_schema

    show(json.dumps(json_schema(), ensure_ascii=False, indent=2))


@playbook.command()
@click.argument("name")
@click.option("-i", "--input", "inputs", multiple=True, metavar="K=V", help="An input of the playbook.")
@click.option("--severity", type=click.IntRange(0, 5), default=3, show_default=True, help="Of the incident.")
@click.option("--offline", is_flag=True, help="Ask no system; only what the playbook itself says.")
@json_option
def plan(name: str, inputs: tuple[str, ...], severity: int, offline: bool, as_json: bool) -> None:
    """What a run with these inputs would do: each step with its preview from the live systems, who must approve what
    and by which rule, and what can be undone. Changes nothing: its clients can only read.

    Exit 1 if a system could not be read, or an effect can never be approved; the plan is shown all the same.
    """
    import asyncio

    from playbooks.contract import RunContext
    from worker.cli.plan import lines
    from worker.desk.playbooks import described, imagined, planned
    from worker.dryrun.dryrun import dry_run
    from worker.foreign import catalog_of

    settings = _settings()
    source, problems = _source(name, settings)
    if source is None:
        _refuse(problems, as_json)
    values = typed(pairs(inputs, "-i"), described(source)["inputs"], "-i")
    facts = imagined(source, severity=severity, org=settings.file.organisation)
    compiled = planned(
        source,
        _library(settings.playbook_folders, source),
        values,
        actions=catalog_of(settings).facts(),
        policy=settings.file.policy,
        context=RunContext(mode=settings.mode),
        facts=facts,
    )
    if compiled.plan is None:
        _refuse(list(compiled.problems), as_json)
    document = asyncio.run(dry_run(settings, compiled.plan, compiled.digest, facts, offline=offline))
    document["warnings"] = [problem.as_json() for problem in compiled.problems]
    if as_json:
        emit({**document, "plan": compiled.plan.model_dump(mode="json")})
    else:
        for line in lines(document):
            show(line)
        _print(list(compiled.problems))
    if not document["ok"]:
        raise click.exceptions.Exit(1)


@playbook.command()
@click.argument("old")
@click.argument("new")
@json_option
def diff(old: str, new: str, as_json: bool) -> None:
    """What changes by meaning from OLD to NEW (ids or files); exit 1 if something is less safe."""
    from playbooks.compile import validate as check
    from playbooks.problems import has_errors
    from worker.desk.playbooks import compared
    from worker.foreign import catalog_of

    settings = _settings()
    actions = catalog_of(settings).facts()
    both = []
    for name in (old, new):
        source, problems = _source(name, settings)
        library = _library(settings.playbook_folders, *([] if source is None else [source]))
        if source is not None:
            problems = check(source, library=library, actions=actions, policy=settings.file.policy, safety=False)
        if source is None or has_errors(problems):
            say(f"{clean(name)} has errors. Nothing was compared.")
            _refuse(problems, as_json)
        both.append((source, library))
    (was, old_library), (now, library) = both
    document = compared(
        was, now, old_library=old_library, library=library, actions=actions, policy=settings.file.policy
    )
    if as_json:
        emit(document)
    else:
        _print_changes(document["findings"])
    if not document["ok"]:
        raise click.exceptions.Exit(1)


@playbook.command()
@click.argument("name")
@click.option("--format", "form", type=click.Choice(["svg", "mermaid"]), default="svg", help="What is drawn.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write, else stdout.")
def graph(name: str, form: str, output: Path | None) -> None:
    """Draw a playbook (id or file): its steps, their risk, who decides, what follows silence."""
    from playbooks.compile import validate as check
    from playbooks.problems import has_errors
    from worker.desk.playbooks import drawn
    from worker.foreign import catalog_of

    settings = _settings()
    actions = catalog_of(settings).facts()
    source, problems = _source(name, settings)
    library = _library(settings.playbook_folders, *([] if source is None else [source]))
    if source is not None:
        problems = check(source, library=library, actions=actions, policy=settings.file.policy, safety=False)
    if source is None or has_errors(problems):
        _refuse(problems, as_json=False)
    picture = drawn(source, form, library=library, actions=actions, policy=settings.file.policy)
    if output is None:
        show(picture.rstrip("\n"))
        return
    output.write_text(picture, encoding="utf-8")
    say(f"Wrote {clean(output)}.")


SAID = {"less_safe": "LESS SAFE", "neutral": "changed", "safer": "safer"}


def _print_changes(findings: list[dict[str, Any]]) -> None:
    for found in findings:
        lines = [f"{found[side]['line']}" if found[side] else "-" for side in ("old", "new")]
        show(f"{SAID[found['severity']]:<9}  {clean(found['message'])}")
        show(f"           {found['code']}, line {' > '.join(lines)}")
    counts = [sum(1 for found in findings if found["severity"] == name) for name in SAID]
    show(f"{counts[0]} less safe, {counts[1]} to look at, {counts[2]} safer." if findings else "Nothing has changed.")


def _refuse(problems: list[Any], as_json: bool) -> NoReturn:
    if as_json:
        emit({"ok": False, "problems": [problem.as_json() for problem in problems]})
    else:
        _print(problems)
    raise click.exceptions.Exit(1)


def _print(problems: list[Any]) -> None:
    for problem in problems:
        show(_said(problem))


def _said(problem: Any) -> str:
    place = f"{clean(problem.file)}:{problem.line}:{problem.column}"
    hint = f"\n    {clean(problem.hint)}" if problem.hint else ""
    return f"{place}: {problem.severity} {problem.code}: {clean(problem.message)}{hint}"
