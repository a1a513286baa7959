"""What a playbook gives back: checked where it is declared, surely set or not where it is read."""

import pytest

from tests.books import as_marked, judged, refusals, whole

CHILD = whole("- {id: look, action: lab.look}", id="other") + "outputs:\n  found: {type: integer, value: %s}\n"
RUN = "- {id: child, run: {playbook: other}}\n- note: %s\n"
GOOD = CHILD % "'{{ steps.look.count }}'"


def test_an_output_is_read_by_its_name() -> None:
    assert refusals(whole(RUN % "'{{ steps.child.found }}'"), GOOD) == []
    as_marked(whole(RUN % "»'{{ steps.child.fond }}'"), "unknown_key", GOOD)
    as_marked(whole(RUN % "»'{{ steps.child.found.x }}'"), "unknown_key", GOOD)
    count = "- {action: salesforce.list_sessions, with: {users: »'{{ steps.child.found }}'}}"
    as_marked(whole(RUN % "x" + count), "wrong_type", GOOD)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("»'{{ steps.nobody.count }}'", "unknown_step"),
        ("»'{{ steps.look.names }}'", "wrong_type"),
        ("»'{{ steps.look.counted }}'", "unknown_key"),
        ("»'{{ inputs.app }}'", "unknown_key"),
        ("»'{{ x }}'", "unsafe_expression"),
        ("»true", "wrong_type"),
    ],
)
def test_an_output_is_checked_where_it_is_declared(value: str, code: str) -> None:
    as_marked(CHILD % value, code)
    assert [problem.code for problem in judged(whole(RUN % "x"), (CHILD % value).replace("»", ""))] == [code]


@pytest.mark.parametrize(
    "child",
    [
        CHILD.replace("action: lab.look}", "action: lab.look, when: incident.severity > 3}")
        % "'{{ steps.look.count }}'",
        CHILD.replace("{id: look", "{when: incident.severity > 3, stop: Enough.}\n  - {id: look")
        % "'{{ steps.look.count }}'",
        CHILD.replace("integer", "string") % "'{{ steps.look.remark }}'",
        CHILD.replace("integer", "string") % "'{{ incident.region }}'",
    ],
    ids=["a condition", "a stop", "a field that may lack", "a fact that may lack"],
)
def test_an_output_that_may_lack_is_maybe_unset_for_the_caller(child: str) -> None:
    assert refusals(child) == []
    as_marked(whole(RUN % "»'{{ steps.child.found }}'"), "maybe_unset", child)
    assert refusals(whole(RUN % "'{{ steps.child.found | default(0) }}'"), child) == []


def test_a_run_that_may_not_happen_leaves_nothing_for_sure() -> None:
    maybe = RUN.replace("run:", "when: incident.severity > 3, run:")
    as_marked(whole(maybe % "»'{{ steps.child.found }}'"), "maybe_unset", GOOD)


def test_outputs_of_outputs() -> None:
    middle = whole("- {id: inner, run: {playbook: other}}", id="middle")
    middle += "outputs:\n  passed: {type: integer, value: '{{ steps.inner.found }}'}\n"
    run = "- {id: child, run: {playbook: middle}}\n- note: %s\n"
    assert refusals(whole(run % "'{{ steps.child.passed }}'"), middle, GOOD) == []
    as_marked(whole(run % "»'{{ steps.child.found }}'"), "unknown_key", middle, GOOD)


def test_playbooks_that_run_each_other_are_told_once() -> None:
    one = whole("- {id: a, run: {playbook: other}}\n- note: '{{ steps.a.found }}'", id="one")
    other = whole("- {id: b, run: {playbook: one}}", id="other") + "outputs: {found: {type: string, value: x}}\n"
    assert [problem.code for problem in judged(one, other, one)] == ["playbook_cycle"]
