"""What a dry run knows without asking any system: values, ways that are open, passes, playbooks within playbooks."""

import json
from pathlib import Path
from typing import Any

import pytest

from playbooks.loader import Library, Source
from tests.books import whole
from worker.cli.main import execute
from worker.desk.playbooks import inputs, sources
from worker.store import Store
from worker.store.peek import peek

NOW = "2026-03-01T00:00:00.000000Z"
ASK = "- {id: q, ask: Sure?, by: {roles: [legal]}, form: {n: {type: integer}}, within: 1h, on_timeout: [%s]}\n"
ANSWERED = ASK % "{default: {n: 1}}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but a test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STANCH_CONFIG", raising=False)
    monkeypatch.delenv("STANCH_HOME", raising=False)


def planned(capsys: pytest.CaptureFixture[str], book: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """The steps of a plan that is whole, by path."""
    Path("book.yaml").write_text(book)
    code = execute(["playbook", "plan", "book.yaml", *arguments, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 0 and document["ok"] and document["offline"], document
    return {step["path"]: step for step in document["steps"]}


def test_a_playbook_within_sees_its_inputs_and_nothing_else(capsys) -> None:
    Path("books").mkdir()
    child = whole(
        "- {id: a, note: 'for {{ inputs.who }} by {{ inputs.how }}'}\n- {id: b, note: '{{ inputs.n }}'}",
        id="child",
        inputs="who: {type: string}\nhow: {type: string, default: 'hand of {{ incident.title }}'}\nn: {type: integer}",
        always="- {id: z, note: end}",
    )
    child += "outputs:\n  hello: {type: string, value: 'hi {{ inputs.who }}'}\n"
    child += "  count: {type: integer, value: '{{ inputs.n }}'}\n"
    Path("books/child.yaml").write_text(child)
    Path("stanch.toml").write_text('playbooks = ["books"]\n')
    book = ANSWERED + "- {id: sub, run: {playbook: child, with: {who: '{{ inputs.name }}', n: '{{ steps.q.n }}'}}}\n"
    book += "- {id: said, note: '{{ steps.sub.hello }}'}\n- {id: more, note: x, when: steps.sub.count > 1}"
    steps = planned(capsys, whole(book, inputs="name: {type: string}"), "-i", "name=Mona")
    assert steps["sub/a"]["text"] == "for Mona by hand of Example"
    assert steps["sub"]["unknown"] == {"n": ["steps.q.n (what people answer)"]}
    assert steps["sub/b"]["text"] == "{{ inputs.n }}", "what is not known stays as it is written"
    assert steps["said"]["text"] == "hi Mona"
    assert steps["more"]["because"] == ["steps.sub.count (inputs.n (steps.q.n (what people answer)))"]
    assert (steps["sub/a"]["block"], steps["sub/a"]["depth"], steps["sub/z"]["block"]) == ("child", 1, "always")


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("incident.severity == 3", ["runs", "skipped", "skipped"]),
        ("incident.severity == 2", ["skipped", "depends", "depends"]),
        ("steps.q.n > 3", ["depends", "depends", "depends"]),
    ],
)
def test_of_several_ways_those_that_may_be_taken_are_open(first: str, status: list[str], capsys) -> None:
    ways = "- choose:\n  - {when: %s, do: [{id: a, note: a}]}\n  - {when: steps.q.n > 1, do: [{id: b, note: b}]}\n"
    book = ANSWERED + (ways % first) + "  - {else: [{id: c, note: c}]}"
    steps = {step["id"]: step["status"] for step in planned(capsys, whole(book)).values()}
    assert [steps[name] for name in "abc"] == status


def test_of_passes_the_first_is_shown_and_what_the_last_gives_is_open(capsys) -> None:
    book = (
        "- id: again\n  repeat: {do: [{id: look, action: salesforce.count_oauth_tokens}, {id: w, note: x}],\n"
        "    until: steps.look.count == 0, at_most: 3}\n- {id: n, note: '{{ steps.look.count }}'}\n"
        "- {id: m, note: m, when: steps.look.count == 0}"
    )
    steps = planned(capsys, whole(book))
    assert steps["look"]["missing"]["code"] == "not_asked" and steps["w"]["status"] == "runs"
    assert steps["m"]["because"] == ["steps.look.count (what the last pass gives)"]


def test_what_a_step_sets_is_known_only_if_the_step_is(capsys) -> None:
    book = ANSWERED + (
        "- {set: {incident.app: LeadPulse}}\n- {id: a, note: 'of {{ incident.app }}'}\n"
        "- {id: s, set: {incident.severity: 5}, when: steps.q.n > 1}\n- {id: b, note: x, when: incident.severity > 4}"
    )
    Path("book.yaml").write_text(whole(book))
    steps = planned(capsys, whole(book))
    assert steps["a"]["text"] == "of LeadPulse"
    assert steps["b"]["because"] == ["incident.severity (what s sets)"]
    execute(["playbook", "plan", "book.yaml", "--json"])
    assert json.loads(capsys.readouterr().out)["severity"] is None


def test_what_depends_on_whether_a_step_runs_is_open_too(capsys) -> None:
    book = ANSWERED + "- {id: a, note: a, when: steps.q.n > 1}\n- {id: b, note: b, when: steps.a.meta.status == 'done'}"
    assert planned(capsys, whole(book))["b"]["because"] == ["whether a runs"]


def test_a_stop_ends_what_comes_after_it_and_never_always(capsys) -> None:
    book = "- {id: go, note: x}\n- if: incident.severity == 3\n  then: [{id: s, stop: Enough.}]\n- {id: after, note: y}"
    steps = planned(capsys, whole(book, always="- {id: z, note: z}"))
    assert [steps[name]["status"] for name in ("go", "s", "after", "z")] == ["runs", "runs", "skipped", "runs"]
    steps = planned(capsys, whole(book, always="- {id: z, note: z}"), "--severity", "4")
    assert [steps[name]["status"] for name in ("go", "s", "after", "z")] == ["runs", "skipped", "runs", "runs"]


def test_an_expression_that_fails_is_said_and_stops_nothing(capsys) -> None:
    book = "- {id: a, note: '{{ inputs.n / 0 }}'}\n- {id: b, note: x, when: 1 / inputs.n > 0}\n- {id: c, note: y}"
    steps = planned(capsys, whole(book, inputs="n: {type: integer, default: 0}"))
    assert "expression that fails" in steps["a"]["unknown"]["text"][0]
    assert steps["b"]["status"] == "depends" and "expression that fails" in steps["b"]["because"][0]
    assert steps["c"]["status"] == "runs"


def test_what_is_open_is_shown_for_people_with_its_reason_once(capsys) -> None:
    inner = "{id: a, do: [{id: b, note: b}]}"
    Path("book.yaml").write_text(
        whole(ANSWERED + f"- if: steps.q.n > 1\n  then: [{inner}]\n  else: [{{id: c, note: c}}]")
    )
    assert execute(["playbook", "plan", "book.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "answers: 1 of legal" in shown and "then:" in shown and "else:" in shown
    assert shown.count("depends on: steps.q.n (what people answer)") == 2


SAMPLE = {"string": "x", "integer": 1, "boolean": "yes", "datetime": "2026-01-01T00:00:00Z", "list[string]": "x"}


@pytest.mark.parametrize("source", list(sources(Library.shipped())), ids=lambda source: source.playbook.id)
def test_every_shipped_playbook_can_be_foreseen(source: Source, capsys) -> None:
    given = [
        word
        for name, field in inputs(source).items()
        if field["required"]
        for word in ("-i", f"{name}={SAMPLE[field['type']]}")
    ]
    assert execute(["playbook", "plan", source.playbook.id, *given, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    steps = {step["path"] for step in document["steps"]}
    assert {step.id for _, step in source.playbook.walk() if step.id} <= {step["id"] for step in document["steps"]}
    assert document["ok"] and len(steps) == len(document["steps"])
    assert execute(["playbook", "plan", source.playbook.id, *given]) == 0


def test_people_are_read_without_touching_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a b' / 'stanch.db'}"
    assert peek(url, NOW) is None and list(tmp_path.iterdir()) == []
    store = Store(url, tmp_path / "a b")
    store.people.add("ann", ["legal", "admin"])
    assert peek(url, NOW).people == {"ann": frozenset({"legal", "admin"})}
    store.close()
    before = (tmp_path / "a b" / "stanch.db").read_bytes()
    assert peek(url, NOW).people == {"ann": frozenset({"legal", "admin"})}
    assert (tmp_path / "a b" / "stanch.db").read_bytes() == before
    (tmp_path / "broken.db").write_bytes(b"not a database, but long enough to be read as one" * 100)
    assert peek(f"sqlite:///{tmp_path / 'broken.db'}", NOW) is None
