"""The graph tier: tests that make a read safe, loops, ``always``, and playbooks within playbooks."""

# ruff: noqa: UP031 - YAML is full of braces

import pytest

from tests.books import as_marked, refusals, whole
from tests.unit.test_review_reads import ASK, GO, LOOK, OTHER, fine, note

MAYBE = ASK % "unanswered"


# --- a test makes it safe -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        "- {note: '{{ steps.q.sure | default(0) }}'}",
        "- {note: '{{ steps.q.sure if steps.q.sure is defined else 0 }}'}",
        "- {note: '{{ steps.q.sure }}', when: steps.q.sure is defined}",
        "- {note: '{{ steps.q.sure }}', when: \"steps.q.sure | default('') == 'x'\"}",
        "- {note: '{{ steps.q.sure }}', when: incident.severity > 3 and steps.q.sure is defined}",
        "- {note: '{{ steps.q.sure }}', when: not (steps.q.sure is not defined)}",
        "- {when: steps.q.sure is defined, do: [{note: '{{ steps.q.sure }}'}]}",
        "- {when: steps.q.sure is defined, for_each: ['{{ steps.q.sure }}'], note: x}",
        "- {if: steps.q.sure is defined, then: [{note: '{{ steps.q.sure }}'}]}",
        "- {if: steps.q.sure is not defined, then: [{note: x}], else: [{note: '{{ steps.q.sure }}'}]}",
        "- {if: steps.q.sure is not defined, then: [{stop: x}]}\n- {note: '{{ steps.q.sure }}'}",
        "- {require: steps.q.sure is defined, message: x}\n- {note: '{{ steps.q.sure }}'}",
        "- {if: steps.q.sure is defined, then: [{parallel: {a: [{note: '{{ steps.q.sure }}'}]}}]}",
    ],
)
def test_what_tests_a_field(step: str) -> None:
    fine(whole(MAYBE + step))


@pytest.mark.parametrize(
    "step",
    [
        "- {note: »'{{ steps.q.sure }}', when: steps.q.maybe is defined}",
        "- {note: »'{{ steps.q.sure }}', when: steps.q.meta.status == 'done'}",
        "- {note: »'{{ steps.q.sure }}', when: steps.q.sure is not defined}",
        "- {note: »'{{ steps.q.sure }}', when: steps.q.sure is defined or incident.severity > 3}",
        "- {note: »'{{ steps.q.sure }}', when: \"steps.q.sure | default('x') == 'x'\"}",
        "- {if: steps.q.sure is defined, then: [{note: x}], else: [{note: »'{{ steps.q.sure }}'}]}",
        "- {if: steps.q.sure is defined, then: [{note: x}]}\n- {note: »'{{ steps.q.sure }}'}",
        "- {if: steps.q.sure is not defined, then: [{note: x}]}\n- {note: »'{{ steps.q.sure }}'}",
        "- {if: steps.q.sure is not defined, then: [{stop: x, when: true}]}\n- {note: »'{{ steps.q.sure }}'}",
        "- {when: true, require: steps.q.sure is defined, message: x}\n- {note: »'{{ steps.q.sure }}'}",
        "- {note: x, when: steps.q.sure is defined}\n- {note: »'{{ steps.q.sure }}'}",
        "- {note: »'{{ steps.q.sure + 1 | default(0) }}'}",
        "- {parallel: {a: [{require: steps.q.sure is defined, message: x}], b: [{note: »'{{ steps.q.sure }}'}]}}",
    ],
)
def test_what_does_not_test_it(step: str) -> None:
    as_marked(whole(MAYBE + step), "maybe_unset")


def test_the_approval_does_not_prove_the_outcome() -> None:
    as_marked(whole(GO + "- {note: »'{{ steps.cut.count }}', when: steps.go.approved}"), "maybe_unset")


# --- always ---------------------------------------------------------------------------------------


def test_always_sees_all_main_steps_as_maybe_unset() -> None:
    as_marked(whole(LOOK, always=note("steps.look.count")), "maybe_unset")
    as_marked(whole(GO, always=note("steps.go.approved")), "maybe_unset")
    as_marked(whole("- set: {incident.thing: 1}", always=note("incident.thing")), "maybe_unset")
    as_marked(whole("- require: incident.thing is defined\n  message: x", always=note("incident.thing")), "maybe_unset")
    fine(whole(LOOK, always="- note: '{{ steps.look.count | default(0) }} {{ steps.look.meta.status }}'"))
    fine(whole(LOOK, always="- {note: '{{ steps.look.count }}', when: steps.look.count is defined}"))


def test_main_steps_do_not_see_always() -> None:
    as_marked(whole(note("steps.late.count"), always="- {id: late, action: lab.look}"), "used_before")


def test_a_step_of_always_has_its_turn_also_where_the_one_before_has_failed() -> None:
    as_marked(whole("- {note: x}", always=LOOK + note("steps.look.count")), "maybe_unset")
    as_marked(whole("- {note: x}", always="- require: incident.thing is defined\n  message: x\n" + note("incident.thing")),
              "maybe_unset")  # fmt: skip
    fine(
        whole("- {note: x}", always="- do:\n    - {id: look, action: lab.look}\n    - {note: '{{ steps.look.count }}'}")
    )
    fine(whole("- {note: x}", always=ASK % "{default: {sure: x}}" + note("steps.q.sure")))
    fine(whole("- {note: x}", always="- set: {incident.thing: 1}\n" + note("incident.thing")))
    as_marked(whole("- {note: x}", always=ASK % "stop" + note("steps.q.sure")), "maybe_unset")


def test_always_sees_the_loops_of_the_main_steps_from_outside() -> None:
    steps = "- id: loop\n  for_each: [1]\n  do: [{id: inner, action: lab.look}]"
    as_marked(whole(steps, always=note("steps.inner.count | default(0)")), "unknown_step")
    fine(whole(steps, always=note("steps.loop.outputs | default([])")))


# --- loops ----------------------------------------------------------------------------------------

LOOP = "- id: loop\n  for_each: [a, b]\n  as: app\n  do:\n    - {id: inner, action: lab.look}\n    %s\n"


def test_inside_of_a_loop_its_names_mean_this_item() -> None:
    fine(whole(LOOP % "- {note: '{{ app }} {{ steps.inner.count }}'}"))
    fine(whole("- {for_each: [a], note: '{{ item }}'}"))
    as_marked(whole("- {for_each: [a], as: app, note: »'{{ item }}'}"), "unsafe_expression")
    as_marked(whole("- {for_each: [a], note: '{{ item }}', when: »item == 'a'}"), "unsafe_expression")
    as_marked(whole("- {for_each: [»'{{ item }}'], note: x}"), "unsafe_expression")
    as_marked(whole("- {for_each: [a], note: x}\n- {note: »'{{ item }}'}"), "unsafe_expression")


def test_from_outside_only_items_and_outputs_are_read() -> None:
    book = LOOP % "- {note: x}"
    fine(whole(book + note("steps.loop.outputs") + note("steps.loop.items[0].status") + note("steps.loop.meta.status")))
    as_marked(whole(book + note("steps.inner.count")), "unknown_step")
    as_marked(whole(book + note("steps.inner.meta.status")), "unknown_step")
    as_marked(whole(book + note("steps.loop.count")), "unknown_key")
    as_marked(whole("- {id: one, for_each: [a], action: lab.look}\n" + note("steps.one.count")), "unknown_key")
    fine(whole("- {id: one, for_each: [a], action: lab.look}\n" + note("len(steps.one.outputs)")))


def test_loops_within_loops() -> None:
    book = "- id: outer\n  for_each: [1]\n  as: x\n  do:\n    - id: mid\n      for_each: [2]\n      as: %s\n      do:\n"
    book += "        - {id: deep, action: lab.look}\n        - {note: '{{ x }} {{ steps.deep.count }}'}\n"
    fine(whole(book % "y" + "    - {note: '{{ steps.mid.outputs }}'}\n" + note("steps.outer.items")))
    as_marked(whole(book % "»x"), "name_taken")
    as_marked(whole(book % "y" + "    - {note: »'{{ steps.deep.count }}'}\n"), "unknown_step")
    as_marked(whole(book % "y" + note("steps.deep.count") + note("steps.mid.outputs")), "unknown_step")


def test_what_is_set_in_a_loop_is_not_surely_set_after_it() -> None:
    as_marked(whole("- for_each: [1]\n  set: {incident.thing: 1}\n" + note("incident.thing")), "maybe_unset")


def test_a_loop_may_be_over_without_output_too() -> None:
    book = "- {id: loop, for_each: [a], action: lab.look, on_failure: continue}\n"
    as_marked(whole(book + note("steps.loop.outputs")), "maybe_unset")


@pytest.mark.parametrize(
    ("loop", "code"),
    [
        ("for_each: »'{{ steps.look.count }}'", "wrong_type"),
        ("for_each: »'{{ inputs.app }}'", "wrong_type"),
        ("for_each: »'a {{ inputs.app }}'", "wrong_type"),
        ("for_each: »'{{ inputs.app | lower }}'", "wrong_type"),
        ("»for_each: [%s]" % ", ".join(["1"] * 501), "bad_value"),
    ],
)
def test_a_loop_goes_through_a_list(loop: str, code: str) -> None:
    as_marked(whole(LOOK + "- note: x\n  " + loop, inputs="app: {type: string}"), code)


def test_a_loop_over_five_hundred_is_fine() -> None:
    fine(whole("- note: x\n  for_each: [%s]" % ", ".join(["1"] * 500)))
    fine(whole(LOOK + "- {note: '{{ item }}', for_each: '{{ steps.look.names }}'}"))
    fine(
        whole(
            "- {note: x, for_each: '{{ inputs.apps | default([]) }}'}",
            inputs="apps: {type: {list: string}, required: no}",
        )
    )


def test_an_item_has_the_type_of_its_list() -> None:
    as_marked(whole(LOOK + "- {note: »'{{ item.name }}', for_each: '{{ steps.look.names }}'}"), "unknown_key")
    as_marked(
        whole("- {for_each: [1, 2], action: salesforce.count_oauth_tokens, with: {app: »'{{ item }}'}}"), "wrong_type"
    )
    fine(whole("- {for_each: [{name: a}], action: salesforce.count_oauth_tokens, with: {app: '{{ item.name }}'}}"))


# --- playbooks within playbooks -------------------------------------------------------------------


def test_a_child_is_another_world() -> None:
    run = "- {id: child, run: {playbook: other, with: {app: x}}}\n"
    child = whole("- {id: inside, note: '{{ inputs.app }} {{ incident.id }} {{ run.id }}'}", id="other",
                  inputs="app: {type: string}")  # fmt: skip
    assert refusals(whole(run), child) == []
    as_marked(whole(run + note("steps.inside.meta.status")), "unknown_step", child)
    as_marked(whole(run + note("steps.child.inside")), "unknown_key", child)
    nosy = whole("- {note: »'{{ steps.look.count }}'}", id="other", inputs="app: {type: string}")
    as_marked_in_other(whole(LOOK + run), "unknown_step", nosy)


def as_marked_in_other(text: str, code: str, other: str) -> None:
    """Assert that the other playbook is refused, in its own file, at its mark."""
    from tests.books import judged, marks

    found = [problem for problem in judged(text, other) if problem.severity == "error"]
    assert [(problem.file, problem.code) for problem in found] == [("other0.yaml", code)]
    assert [(problem.line, problem.column) for problem in found] == marks(other)


@pytest.mark.parametrize(
    ("run", "code"),
    [
        ("run: {playbook: »nobody}", "unknown_step"),
        ("run: {playbook: other, with: {app: x, »ap: y}}", "unknown_key"),
        ("run: {playbook: other, with: {app: »5}}", "wrong_type"),
        ("run: {playbook: other, with: {»app: [x]}}", "wrong_type"),
        ("run: {playbook: other, with: {app: »'{{ incident.severity }}'}}", "wrong_type"),
    ],
)
def test_what_a_run_names_and_gives(run: str, code: str) -> None:
    as_marked(whole(f"- {run}"), code, OTHER)


def test_a_run_gives_what_is_needed() -> None:
    as_marked(whole("- »id: child\n  run: {playbook: other}"), "missing_key", OTHER)
    optional = OTHER.replace("string}", "string, default: x}")
    assert refusals(whole("- {run: {playbook: other}}"), optional) == []
