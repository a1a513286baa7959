"""Inputs that an alert could not fill: one question, where it holds up least, and what waits for it."""

from typing import Any

import pytest

from playbooks.loader import Library
from playbooks.plan import PlannedStep
from tests.books import whole
from tests.unit.test_compile import BY, compiled, paths, plan, shipped

INPUTS = "app: {type: string}\nuser: {type: string, description: Who}\nlevel: {type: integer, default: 3}"
READS = "{action: salesforce.count_oauth_tokens, with: {app: '{{ inputs.app }}'}}"
QUESTION = "@inputs"


def asked(steps: str, *others: str, always: str = "", given: dict[str, Any] | None = None) -> dict[str, Any]:
    """The plan of steps whose inputs are not given, as JSON."""
    text = whole(steps, inputs=INPUTS, always=always)
    return plan(text, *others, inputs=given, ask_missing=True).model_dump(mode="json")


def order(found: dict[str, Any]) -> list[str]:
    """Paths in the order of the plan."""
    return paths(found["frame"])


def needs(found: Any) -> dict[str, list[str]]:
    """Path to the inputs without which the step is skipped."""
    if isinstance(found, dict):
        own = {found["path"]: found["needs_inputs"]} if found.get("needs_inputs") else {}
        for item in found.values():
            own |= needs(item)
        return own
    together: dict[str, list[str]] = {}
    for item in found if isinstance(found, list) else []:
        together |= needs(item)
    return together


def test_the_question_stands_directly_before_what_depends_on_it() -> None:
    found = asked(f"- {{id: first, action: lab.look}}\n- {{id: reads, {READS[1:]}\n- {{id: last, note: x}}")
    assert order(found) == ["first", QUESTION, "reads", "last"]
    assert needs(found) == {"reads": ["app"]}


def test_it_asks_the_incident_commander_then_pages_then_goes_on() -> None:
    text = whole("- {id: reads, note: '{{ inputs.app }} {{ inputs.user }}'}", inputs=INPUTS)
    question: PlannedStep = plan(text, ask_missing=True).frame.steps[0]
    spec = question.spec
    assert spec.kind == "ask" and spec.fills_inputs
    assert spec.by.roles == ("incident_commander",)
    assert spec.waiting.within_seconds == 1800
    assert [link.role for link in spec.waiting.chain] == ["incident_commander"]
    assert spec.waiting.terminal.outcome == "unanswered"
    assert {name: (field.type, field.required) for name, field in spec.form.items()} == {
        "app": ("string", True),
        "user": ("string", True),
    }
    assert spec.form["user"].description == "Who"
    assert "app" in spec.text and question.line == 10


def test_only_what_is_missing_and_needed_is_asked_for() -> None:
    found = asked("- {id: reads, note: '{{ inputs.user }} {{ inputs.level }}'}", given={"app": "x"})
    assert list(found["frame"]["steps"][0]["spec"]["form"]) == ["user"]
    assert order(asked("- {note: '{{ inputs.user }}'}", given={"app": "x", "user": "y"})) == ["@0"]
    assert order(asked("- {note: x}")) == ["@0"]
    assert order(asked("- {note: '{{ inputs.app | default(1) }}'}")) == ["@0"]


def test_without_leave_to_ask_they_are_problems() -> None:
    found = compiled(whole("- {note: '{{ inputs.app }}'}", inputs=INPUTS))
    assert found.plan is None and [problem.code for problem in found.problems] == ["missing_key", "missing_key"]


def test_what_reads_a_dependent_depends_too() -> None:
    found = asked(f"- {{id: a, {READS[1:]}\n- {{id: b, note: '{{{{ steps.a.count }}}}'}}\n- {{id: c, note: x}}\n"
                  "- {id: d, note: '{{ steps.a.count | default(0) }}'}\n- {id: e, note: '{{ steps.a.meta.status }}'}\n"
                  "- {id: f, set: {incident.thing: '{{ inputs.app }}'}}\n- {id: g, note: '{{ incident.thing }}'}\n"
                  "- {id: h, set: {incident.severity: '{{ len(inputs.app) }}'}}\n- {id: i, note: '{{ incident.severity }}'}")  # fmt: skip
    assert set(needs(found)) == {"a", "b", "f", "g", "h"}


def test_a_condition_or_a_loop_depends_as_well() -> None:
    found = asked("- {id: a, note: x, when: inputs.app == 'x'}\n- {id: b, note: x, for_each: ['{{ inputs.app }}']}\n"
                  "- {id: c, if: inputs.app == 'x', then: [{id: d, note: x}]}\n- {id: e, do: [{id: f, note: x}]}")  # fmt: skip
    assert set(needs(found)) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("block", "before"),
    [
        ("- {id: b, do: [{id: one, note: x}, {id: two, note: '{{ inputs.app }}'}]}", ["b", "one", QUESTION, "two"]),
        ("- {id: b, do: [{id: one, note: x}, {id: two, do: [{id: three, note: '{{ inputs.app }}'}]}]}",
         ["b", "one", "two", QUESTION, "three"]),
        ("- {id: b, parallel: {l: [{id: one, note: x}], r: [{id: two, note: '{{ inputs.app }}'}]}}",
         ["b", "one", QUESTION, "two"]),
        ("- {id: b, parallel: {l: [{id: one, note: '{{ inputs.app }}'}], r: [{id: two, note: '{{ inputs.app }}'}]}}",
         [QUESTION, "b", "one", "two"]),
        ("- {id: b, when: true, do: [{id: one, note: '{{ inputs.app }}'}]}", [QUESTION, "b", "one"]),
        ("- {id: b, for_each: [1], do: [{id: one, note: '{{ inputs.app }}'}]}", [QUESTION, "b", "one"]),
        ("- {id: b, if: true, then: [{id: one, note: '{{ inputs.app }}'}]}", [QUESTION, "b", "one"]),
    ],
)  # fmt: skip
def test_it_goes_as_far_inside_as_it_surely_has_its_turn(block: str, before: list[str]) -> None:
    assert order(asked(f"- {{id: first, note: x}}\n{block}")) == ["first", *before]


def test_it_stands_before_the_approval_of_what_depends_on_it() -> None:
    go = "- {id: go, approve: [%s], %s}\n"
    cut = "- {id: cut, action: lab.cut, with: {targets: ['{{ inputs.app }}']}}\n"
    found = asked("- {id: first, note: x}\n" + go % ("cut", BY) + cut)
    assert order(found) == ["first", QUESTION, "go", "cut"]
    assert set(needs(found)) == {"cut"}
    found = asked(go % ("block", BY) + "- {id: block, when: inputs.app == 'x', do: [{id: inner, action: lab.cut}]}")
    assert order(found) == [QUESTION, "go", "block", "inner"]
    found = asked(go % ("free", BY) + "- {id: free, action: lab.cut}\n- {id: reads, note: '{{ inputs.app }}'}")
    assert order(found) == ["go", "free", QUESTION, "reads"]


def test_what_only_always_needs_is_asked_there() -> None:
    found = asked("- {id: first, note: x}", always="- {id: a, note: x}\n- {id: b, note: '{{ inputs.app }}'}")
    assert [step["path"] for step in found["frame"]["always"]] == ["a", QUESTION, "b"]
    found = asked("- {id: first, note: '{{ inputs.app }}'}", always="- {id: b, note: '{{ inputs.app }}'}")
    assert order(found) == [QUESTION, "first", "b"]
    assert set(needs(found)) == {"first", "b"}


def test_a_playbook_that_is_run_depends_by_what_it_is_given() -> None:
    other = whole("- {id: inside, note: '{{ inputs.app }}'}", id="other", inputs="app: {type: string}")
    found = asked("- {id: child, run: {playbook: other, with: {app: '{{ inputs.app }}'}}}", other)
    assert order(found) == [QUESTION, "child", "child/inside"]
    assert needs(found) == {"child": ["app"]}


def test_the_token_theft_playbook_secures_logs_before_it_asks() -> None:
    text = Library.shipped().get("crm-oauth-token-theft").text  # type: ignore[union-attr]
    found = plan(text, *shipped(), ask_missing=True).model_dump(mode="json")
    steps = order(found)
    assert steps.index("event_logs") < steps.index(QUESTION) < steps.index("snapshot")
    assert {"snapshot", "tokens", "revoke", "freeze"} <= set(needs(found))
    assert not {"audit", "event_logs", "go", "personal_data", "drafts"} & set(needs(found))
