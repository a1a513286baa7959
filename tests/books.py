"""Playbooks as tests write them: steps under a plain header, with ``»`` before what is wrong.

``refusals`` takes the marks out, judges the rest and gives what was found; ``marks`` says where the marks stood. A
test so shows an author's mistake at its place.
"""

from collections.abc import Mapping
from typing import Any

from activities.catalog import CATALOG
from playbooks.compile import validate
from playbooks.contract import ActionFacts, FieldFacts, Idempotency, Risk
from playbooks.loader import Library, Source, load_text
from playbooks.problems import Problem

MARK = "»"
HEAD = "stanch: 1\nid: example\nversion: 1.0.0\ntitle: Example\n"


def _facts(name: str, risk: Risk, **more: Any) -> ActionFacts:
    system = name.partition(".")[0]
    given = {
        "system": system,
        "title": name,
        "idempotency": Idempotency.NATURAL,
        "owner": "platform_owner",
        "queue": system,
        "params": {"targets": FieldFacts(type="targets", required=False)},
        "outputs": {"count": FieldFacts(type="integer"), "targets": FieldFacts(type="targets")},
    }
    return ActionFacts(name=name, risk=risk, **{**given, **more})


LAB = {
    facts.name: facts
    for facts in (
        _facts("lab.look", Risk.READ, outputs={
            "count": FieldFacts(type="integer"),
            "targets": FieldFacts(type="targets"),
            "names": FieldFacts(type="list[string]"),
            "seen_at": FieldFacts(type="datetime"),
            "remark": FieldFacts(type="string", required=False),
        }),
        _facts("lab.save", Risk.READ, acquires=("logs",)),
        _facts("lab.save_disk", Risk.READ, acquires=("disk",)),
        _facts("lab.tell", Risk.NOTIFY),
        _facts("workflow.retrain", Risk.CHANGE, owner="model_owner", irreversible_because="It learns.", params={
            "model": FieldFacts(type="string"),
        }, outputs={"version": FieldFacts(type="string")}),
        _facts("lab.pause", Risk.CONTAIN, reversible=True),
        _facts("lab.cut", Risk.CONTAIN, irreversible_because="It is gone."),
        _facts("lab.abort", Risk.CONTAIN, preauthorised="jobs_read_from_org"),
        _facts("lab.wipe", Risk.CONTAIN, reversible=True, needs_evidence=("logs", "disk")),
        _facts("lab.change", Risk.CHANGE, reversible=True),
        _facts("lab.destroy", Risk.DESTROY),
        _facts("other.save", Risk.READ, acquires=("logs", "disk")),
    )
}  # fmt: skip
"""Actions of every risk, free of any system's own rules."""
ACTIONS: Mapping[str, ActionFacts] = {**CATALOG.facts(), **LAB}


def whole(steps: str, *, always: str = "", inputs: str = "", id: str = "example") -> str:
    """A playbook file: header, inputs, steps, always; the blocks are indented here."""
    text = HEAD.replace("id: example", f"id: {id}")
    for key, block in (("inputs", inputs), ("steps", steps), ("always", always)):
        if block:
            text += f"{key}:\n" + "".join(f"  {line}\n" for line in block.strip("\n").splitlines())
    return text


def marks(text: str) -> list[tuple[int, int]]:
    """Line and column of each mark, as they are without the marks before them."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split(MARK)[:-1]
        found += [(number, len("".join(parts[: count + 1])) + 1) for count in range(len(parts))]
    return found


def loaded(text: str, name: str = "example.yaml") -> Source:
    """A playbook whose shape is right."""
    source, problems = load_text(text.replace(MARK, ""), name)
    assert source is not None, problems
    return source


def judged(text: str, *others: str, **options: Any) -> list[Problem]:
    """Every problem of a playbook; ``others`` are playbooks that it may run."""
    library = Library(loaded(other, f"other{number}.yaml") for number, other in enumerate(others))
    source, problems = load_text(text.replace(MARK, ""), "example.yaml")
    return problems if source is None else validate(source, library=library, actions=ACTIONS, **options)


def refusals(text: str, *others: str, **options: Any) -> list[tuple[str, tuple[int, int]]]:
    """Code and place of every error."""
    return [
        (problem.code, (problem.line, problem.column))
        for problem in judged(text, *others, **options)
        if problem.severity == "error"
    ]


def warned(text: str, *others: str) -> list[tuple[str, tuple[int, int]]]:
    """Code and place of every warning, of a playbook without errors."""
    problems = judged(text, *others)
    assert not [problem for problem in problems if problem.severity == "error"], problems
    return [(problem.code, (problem.line, problem.column)) for problem in problems]


def as_marked(text: str, code: str, *others: str, **options: Any) -> None:
    """Assert that exactly the marked places are refused, all with one code; and that marks are not forgotten."""
    places = marks(text)
    assert places, "no mark"
    found = judged(text, *others, **options)
    shown = [(problem.code, (problem.line, problem.column)) for problem in found if problem.severity == "error"]
    assert shown == [(code, place) for place in places], "\n".join(map(str, found)) or "nothing was found"
