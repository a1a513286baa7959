"""Books by file or id, each made ready once; the installation's own folders of playbooks belong to the library."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from playbooks.loader import TESTS, Library
from playbooks.problems import Problem
from worker.foreign import catalog_of
from worker.settings import Settings, SettingsError
from worker.trial.book import Book, NotReady, beside, open_book
from worker.trial.testfile import playbook_of


def own_settings() -> tuple[tuple[Path, ...], dict[str, Any]]:
    """The installation's folders of playbooks, its policy, and all actions with the workflows that it declares;
    nothing if the settings cannot be read."""
    try:
        settings = Settings.load(os.environ)
    except SettingsError:
        return (), {}
    more = {"policy": settings.file.policy, "actions": catalog_of(settings).facts()}
    return tuple(settings.playbook_folders), more


@lru_cache(maxsize=8)
def library(folders: tuple[Path, ...]) -> Library:
    """The shipped playbooks and those of the folders."""
    return Library.shipped(*folders)


def book_at(path: Path) -> Book:
    """The book of a playbook's file.

    Raises:
        NotReady: The playbook is refused.
    """
    stat = path.stat()
    return _book_at(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=32)
def _book_at(path: Path, changed: int, size: int) -> Book:
    folders, more = own_settings()
    return open_book(path, library(folders), **more)


def book_of(playbook: str | Path) -> Book:
    """The book of a playbook by id or by file.

    Raises:
        NotReady: There is none, or it is refused.
    """
    path = Path(playbook)
    if path.suffix in (".yaml", ".yml"):
        return book_at(path) if path.is_file() else _none(str(path), "There is no such file.")
    folders, _ = own_settings()
    source = library(folders).get(str(playbook))
    return book_at(Path(source.name)) if source is not None else _none(str(playbook), "There is no such playbook.")


def book_of_test(tests: Path) -> Book:
    """The book of a test file: the playbook beside it, else the one that it names.

    Raises:
        NotReady: There is none, or it is refused.
    """
    near = tests.with_name(tests.name.removesuffix(TESTS) + ".yaml")
    if near.is_file():
        return book_at(near)
    named, problems = playbook_of(tests)
    if named is None:
        raise NotReady(problems or [_problem(str(tests), f"There is no playbook {near.name} beside it.")])
    return book_of(named)


def tested() -> list[str]:
    """The file of every playbook of the library that has a test file."""
    folders, _ = own_settings()
    return [source.name for source in library(folders).sources() if beside(Path(source.name)).is_file()]


def _none(name: str, said: str) -> Book:
    raise NotReady([_problem(name, said)])


def _problem(name: str, said: str) -> Problem:
    return Problem(name, 1, 1, "not_found", "error", said, "`stanch playbook list` shows all playbooks.")
