"""The generated pages are current, and the examples in them are true."""

import pytest
import yaml

from playbooks.compile import validate
from playbooks.loader import Library, load_text
from playbooks.model_steps import KINDS
from tests.books import ACTIONS
from worker.reference import DOCS, pages

EXAMPLES = yaml.safe_load((DOCS / "kinds.yaml").read_text(encoding="utf-8"))
HEAD = "stanch: 1\nid: example\nversion: 1.0.0\ntitle: Example\nsteps:\n"


def problems(text: str) -> list[str]:
    """Codes of the errors of a playbook made of these steps."""
    whole = HEAD + "".join(f"  {line}\n" for line in text.splitlines())
    source, found = load_text(whole, "example.yaml")
    if source is not None:
        found = validate(source, library=Library.shipped(), actions=ACTIONS)
    return [problem.code for problem in found if problem.severity == "error"]


@pytest.mark.parametrize("name", ["playbook-reference.md", "actions.md", "commands.md", "problems.md"])
def test_generated_pages_are_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run `make docs` and commit"


def test_every_kind_has_its_examples() -> None:
    assert set(EXAMPLES) == {*KINDS, "for_each"}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_good_example_is_good(kind: str) -> None:
    assert problems(EXAMPLES[kind]["good"]) == []


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_bad_example_is_refused_for_its_reason(kind: str) -> None:
    assert problems(EXAMPLES[kind]["bad"])[:1] == [EXAMPLES[kind]["code"]]
