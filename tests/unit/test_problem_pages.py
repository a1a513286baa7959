"""Every problem code has a fault that gives exactly it, at the line that the page says, and a mend that is clean."""

from typing import Any

import pytest
import yaml

from activities.catalog import CATALOG
from playbooks.compile import validate
from playbooks.loader import Library, load, load_text
from playbooks.problems import CODES, Problem
from playbooks.regimes_loader import shipped
from worker.reference import DOCS
from worker.reference_problems import whole

ENTRIES: dict[str, Any] = yaml.safe_load((DOCS / "problems.yaml").read_text(encoding="utf-8"))
SHOWN = {code: entry for code, entry in ENTRIES.items() if "fault" in entry}


def judged(text: str, others: dict[str, str], times: int = 1) -> tuple[list[Problem], int]:
    """What is found in an example, and how many lines stand above what is shown of it."""
    sources = [load_text(whole(other, name=name)[0], f"{name}.yaml")[0] for name, other in others.items()]
    file, above = whole(text, times=times)
    source, found = load_text(file, "example.yaml")
    if source is not None:
        library = Library([source, *(other for other in sources if other is not None)])
        found = validate(source, library=library, actions=CATALOG.facts(), regimes=shipped)
    return [problem for problem in found if problem.file == "example.yaml"], above


def test_every_code_has_its_page_and_no_other() -> None:
    assert list(ENTRIES) == list(CODES)
    for code, entry in ENTRIES.items():
        assert entry["why"].endswith("."), code
        assert len({"fault", "never", "file"} & entry.keys()) == 1, code


@pytest.mark.parametrize("code", SHOWN)
def test_the_fault_gives_exactly_its_code_at_its_line(code: str) -> None:
    entry = SHOWN[code]
    found, above = judged(entry["fault"], entry.get("others", {}), entry.get("times", 1))
    assert [problem.code for problem in found] == [code], "\n".join(map(str, found)) or "nothing was found"
    if "line" in entry:
        assert found[0].line - above == entry["line"], found[0]
    assert (found[0].severity == "warning") == (code == "approval_depends")


@pytest.mark.parametrize("code", SHOWN)
def test_the_mend_is_clean(code: str) -> None:
    entry = SHOWN[code]
    found, _ = judged(entry["mend"], entry.get("mend_others", entry.get("others", {})))
    assert found == [], "\n".join(map(str, found))
    assert entry["mend"] != entry["fault"] or entry.get("mend_others") != entry.get("others")


def test_a_file_that_is_not_there() -> None:
    source, found = load(ENTRIES["not_found"]["file"])
    assert source is None and [problem.code for problem in found] == ["not_found"]
