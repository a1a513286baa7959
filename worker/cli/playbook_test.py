"""``stanch playbook test``: play the cases of test files, without a server and in no time."""

from pathlib import Path
from typing import Any

import click

from worker.cli.output import clean, emit, fail, json_option, show


@click.command("test")
@click.argument("names", nargs=-1, metavar="[FILES|IDS]...")
@click.option("--case", "only", metavar="NAME", help="Only the case of this name.")
@click.option("--min", "least", type=click.IntRange(0, 100), help="Percentage of ways that must be tried.")
@json_option
def test(names: tuple[str, ...], only: str | None, least: int | None, as_json: bool) -> None:
    """Run the tests beside playbooks (NAME.test.yaml); by default those of every playbook that has some.

    FILES are playbooks or their tests. Exit 1 if a case went otherwise than expected, or too few ways were tried.
    """
    from worker.trial.book import NotReady
    from worker.trial.play import play_suite
    from worker.trial.report import document, lines
    from worker.trial.shelf import tested

    reports, problems = [], []
    for name in names or tested():
        try:
            book, tests = _found(name)
            reports.append(play_suite(book, book.suite(tests), only))
        except NotReady as refused:
            problems += refused.problems
    if only is not None and reports and not any(report.played for report in reports):
        fail("not_found", f"There is no case {only}. Nothing was run.")
    short = [r for r in reports if least is not None and r.coverage().percent < least]
    ok = not problems and not short and all(report.ok for report in reports)
    if as_json:
        emit(document(reports, problems, ok))
    else:
        for line in lines(reports, problems, least):
            show(clean(line))
    if not ok:
        raise click.exceptions.Exit(1)


def _found(name: str) -> tuple[Any, Path]:
    """The book of a playbook (id or file) or of its tests, and the file of the tests."""
    from playbooks.loader import TESTS
    from worker.trial.book import beside
    from worker.trial.shelf import book_of, book_of_test

    path = Path(name)
    if path.suffix in (".yaml", ".yml") and not path.is_file():
        fail("not_found", f"There is no file {name}. Nothing was run.")
    if name.endswith(TESTS):
        return book_of_test(path), path
    book = book_of(name)
    tests = beside(Path(book.source.name))
    if not tests.is_file():
        fail("not_found", f"There is no file {tests}. Nothing was run.", "Tests are named NAME.test.yaml.")
    return book, tests
