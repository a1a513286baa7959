"""Playbook files and folders of them: read whole or refused with places, never with an exception."""

import hashlib
import time
from pathlib import Path

import pytest

from playbooks.loader import LIBRARY, MAX_BYTES, Library, load, load_text
from tests.books import HEAD, as_marked, whole

GOOD = whole("- {id: hello, note: Hello.}")


def test_the_digest_is_that_of_the_bytes_of_the_file(tmp_path: Path) -> None:
    for number, content in enumerate((GOOD, GOOD + "# Größe\n", GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD)):
        path = tmp_path / f"{number}.yaml"
        path.write_bytes(content.encode())
        source, problems = load(path)
        assert source is not None and not problems
        assert source.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert source.name == str(path)


def test_ten_megabytes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(GOOD.encode() + b"# " + b"x" * 10_000_000)
    began = time.thread_time()
    source, (problem,) = load(path)
    assert time.thread_time() - began < 1
    assert source is None
    assert (problem.code, problem.line, problem.column, problem.severity) == ("yaml_too_big", 1, 1, "error")


def test_the_limit_is_a_megabyte() -> None:
    comment = "# " + "x" * (MAX_BYTES - len(GOOD) - 3) + "\n"
    assert load_text(GOOD + comment)[0] is not None
    assert [problem.code for problem in load_text(GOOD + comment + "#")[1]] == ["yaml_too_big"]


def test_a_file_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.yaml", tmp_path, Path("/dev/zero"), tmp_path / "a\0b"):
        source, (problem,) = load(path)
        assert source is None and problem.code == "not_found"


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="needs a file whose reading fails")
def test_a_file_that_cannot_be_read() -> None:
    source, (problem,) = load("/proc/self/mem")
    assert source is None and problem.code == "not_found" and "cannot be read" in problem.message


@pytest.mark.parametrize("content", ["»- a list\n", "# first\n\n»just text\n", "»42\n", "»null\n", "»[]\n"])
def test_a_playbook_is_a_mapping(content: str) -> None:
    as_marked(content, "wrong_type")


def test_an_empty_file_is_said_to_be_empty() -> None:
    _, (problem,) = load_text("")
    assert problem.code == "yaml_syntax" and "empty" in problem.message


def test_every_defect_of_shape_is_told_at_once_and_in_order() -> None:
    text = "stanch: 1\nid: Example\nversion: 1\ntitel: x\nsteps:\n  - {note: 5}\n  - {tell: x}\n"
    _, problems = load_text(text)
    assert [(problem.line, problem.column, problem.code) for problem in problems] == [
        (1, 1, "missing_key"),
        (2, 5, "bad_value"),
        (3, 10, "wrong_type"),
        (4, 1, "unknown_key"),
        (6, 12, "wrong_type"),
        (7, 5, "missing_key"),
    ]


def test_a_duplicate_id_stands_at_the_later_one_wherever_it_is() -> None:
    as_marked(whole("- {id: a, note: x}\n- {id: »a, note: y}\n- {id: »a, note: z}"), "duplicate_id")
    as_marked(whole("- {id: a, note: x}", always="- {id: »a, note: y}"), "duplicate_id")
    as_marked(whole("- {if: true, then: [{id: a, note: x}], else: [{id: »a, note: y}]}"), "duplicate_id")
    as_marked(whole("- id: a\n  do:\n    - {id: »a, note: x}"), "duplicate_id")
    as_marked(whole("- parallel: {one: [{id: a, note: x}], two: [{id: »a, note: y}]}"), "duplicate_id")


def test_a_branch_or_input_may_be_named_like_a_step() -> None:
    text = whole("- parallel: {a: [{id: a, note: x}], b: [{id: b, note: y}]}", inputs="a: {type: string}")
    assert load_text(text)[1] == []


# --- libraries ------------------------------------------------------------------------------------


def folder_of(path: Path, **books: str) -> Path:
    """A folder of files by name."""
    path.mkdir()
    for name, text in books.items():
        (path / f"{name}.yaml").write_text(text)
    return path


def test_a_library_holds_what_can_be_loaded_and_tells_of_the_rest(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", a=whole("- {note: x}", id="a"), broken=HEAD + "steps: [{noet: x}]\n")
    library = Library.of(one, tmp_path / "none")
    assert library.ids() == ["a"] and "a" in library and "example" not in library
    assert {problem.code for problem in library.problems} == {"unknown_key", "not_found"}
    assert library.get("example") is None


def test_the_first_of_the_same_id_stays(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", a=whole("- {note: first}", id="a"))
    two = folder_of(tmp_path / "two", a=whole("- {note: second}", id="a"), b=whole("- {note: x}", id="b"))
    library = Library.of(one, two)
    assert library.ids() == ["a", "b"]
    assert library.get("a").name == str(one / "a.yaml")  # type: ignore[union-attr]
    (problem,) = library.problems
    assert (problem.code, problem.file) == ("duplicate_id", str(two / "a.yaml"))


def test_added_folders_cannot_replace_what_is_shipped(tmp_path: Path) -> None:
    mine = folder_of(tmp_path / "mine", mine=whole("- {note: x}", id="crm-triage"))
    library = Library.shipped(mine)
    assert Path(library.get("crm-triage").name).is_relative_to(LIBRARY)  # type: ignore[union-attr]
    assert [problem.code for problem in library.problems] == ["duplicate_id"]


def test_what_is_shipped_is_whole() -> None:
    library = Library.shipped()
    assert library.problems == []
    assert {"crm-oauth-token-theft", "crm-triage", "post-incident-review"} <= set(library.ids())
    assert [source.playbook.id for source in library.sources()] == library.ids()
