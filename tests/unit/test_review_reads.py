"""The graph tier: what expressions read is there, has run, and is surely set or tested."""

# ruff: noqa: UP031 - YAML is full of braces

import pytest

from tests.books import as_marked, refusals, whole

LOOK = "- {id: look, action: lab.look}\n"
ASK = """
- id: q
  ask: What is it?
  by: {roles: [legal]}
  form: {sure: {type: string}, maybe: {type: integer, required: false}, usual: {type: boolean, default: true}}
  within: 1h
  on_timeout: [%s]
"""
HUMAN = """
- id: h
  human: Do it.
  owner: legal
  verify: {action: lab.look, until: "{{ result.count == 0 }}"}
  within: 1h
  on_timeout: [%s]
"""
GO = """
- id: go
  approve: [cut]
  by: {roles: [legal]}
  within: 1h
  on_timeout: [deny]
- {id: cut, action: lab.cut}
"""
OTHER = whole("- {note: x}", id="other", inputs="app: {type: string}")


def note(source: str) -> str:
    """A step that reads."""
    return "- {note: »'{{ %s }}'}\n" % source


def fine(text: str) -> None:
    """Assert that a playbook has no error."""
    assert refusals(text.replace("»", ""), OTHER) == []


# --- what is there at all -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("steps.lok.count", "unknown_step"),
        ("steps.look.cuont", "unknown_key"),
        ("steps.look.count.value", "unknown_key"),
        ("steps.look.names.first", "unknown_key"),
        ("steps.look.targets.rows", "unknown_key"),
        ("steps.look.cuont | default(1)", "unknown_key"),
        ("steps.look.count.value | default(1)", "unknown_key"),
        ("steps.look.meta.state", "unknown_key"),
        ("inputs.ap", "unknown_key"),
        ("inputs.app.name", "unknown_key"),
        ("incident.severity.value", "unknown_key"),
        ("run.name", "unknown_key"),
        ("run.id.x", "unknown_key"),
        ("lipsum", "unsafe_expression"),
        ("cycler.next", "unsafe_expression"),
        ("item", "unsafe_expression"),
        ("result.count", "unsafe_expression"),
        ("look.count", "unsafe_expression"),
        ("steps", "unsafe_expression"),
        ("inputs.app.upper()", "unsafe_expression"),
        ("steps[inputs.app].count", "unsafe_expression"),
        ("1 +", "unsafe_expression"),
    ],
)
def test_what_is_not_there(source: str, code: str) -> None:
    as_marked(whole(LOOK + note(source), inputs="app: {type: string}"), code)


@pytest.mark.parametrize(
    "source",
    [
        "steps.look.count",
        "steps.look.targets.count",
        "steps.look.targets.sample[0]",
        "steps.look.names[0]",
        "steps.look.seen_at",
        "steps.look.meta.status",
        "steps.look.meta.affected.count",
        'steps["look"].count',
        "inputs.app",
        "incident.id | lower",
        "incident.severity + 1",
        "incident.org",
        "incident.detected_at - hours(1)",
        "run.id",
        "run.mode",
        "run.started_at",
        "run.playbook",
        "now()",
    ],
)
def test_what_is_there(source: str) -> None:
    fine(whole(LOOK + note(source), inputs="app: {type: string}"))


def test_every_expression_of_a_text_is_read_wherever_it_stands() -> None:
    for step in (
        "- {tell: »'a {{ 1 }} b {{ steps.x.y }}', to: channel}",
        "- {note: x, when: »steps.x.y}",
        "- {note: x, when: »'{{ steps.x.y }}'}",
        "- {note: x, for_each: »'{{ steps.x.y }}'}",
        "- {note: x, for_each: [1, »'{{ steps.x.y }}']}",
        "- {action: lab.look, with: {targets: »'{{ steps.x.y }}'}}",
        "- {action: lab.look, with: {targets: [a, »'{{ steps.x.y }}']}}",
        "- {wait: {for: »'{{ steps.x.y }}'}}",
        "- {wait: {until: »steps.x.y}, within: 1h, on_timeout: [stop]}",
        "- {if: »steps.x.y, then: [{note: x}]}",
        "- {if: true, then: [{note: x}], else: [{note: »'{{ steps.x.y }}'}]}",
        "- {do: [{note: »'{{ steps.x.y }}'}]}",
        "- {parallel: {a: [{note: »'{{ steps.x.y }}'}]}}",
        "- {run: {playbook: other, with: {app: »'{{ steps.x.y }}'}}}",
        "- {set: {incident.thing: »'{{ steps.x.y }}'}}",
        "- {set: {incident.thing: {a: [»'{{ steps.x.y }}']}}}",
        "- {clocks: {fact: awareness, at: »'{{ steps.x.y }}'}}",
        "- {require: »steps.x.y, message: x}",
        "- {require: true, message: »'{{ steps.x.y }}'}",
        "- {stop: »'{{ steps.x.y }}'}",
        "- {human: »'{{ steps.x.y }}', owner: legal, within: 1h, on_timeout: [stop]}",
        "- human: x\n  owner: legal\n  within: 1h\n  on_timeout: [stop]\n"
        "  verify: {action: lab.look, with: {targets: »'{{ steps.x.y }}'}, until: »steps.x.y}",
        "- ask: »'{{ steps.x.y }}'\n  by: {roles: [legal]}\n  within: 1h\n  on_timeout: [stop]\n"
        "  form: {a: {type: string, default: »'{{ steps.x.y }}'}}",
    ):
        as_marked(whole(step), "unknown_step", OTHER)
        as_marked(whole("- {note: x}", always=step), "unknown_step", OTHER)


def test_result_is_known_in_until_of_a_verify_only() -> None:
    fine(whole(HUMAN % "stop"))
    as_marked(whole("- {wait: {until: »result.count == 0}, within: 1h, on_timeout: [stop]}"), "unsafe_expression")


# --- what has run ---------------------------------------------------------------------------------


def test_used_before_it_runs() -> None:
    as_marked(whole(note("steps.look.count") + LOOK), "used_before")
    as_marked(whole(note("steps.look.count"), always=LOOK), "used_before")
    as_marked(whole("- {id: look, action: lab.look, with: {targets: »'{{ steps.look.targets }}'}}"), "used_before")
    as_marked(whole("- id: look\n  action: lab.look\n  when: »steps.look.count > 1"), "used_before")
    fine(whole(LOOK + note("steps.look.count")))


def test_default_does_not_excuse_what_has_not_run() -> None:
    as_marked(whole(note("steps.look.count | default(0)") + LOOK), "used_before")


def test_its_status_is_known_from_the_start() -> None:
    fine(whole(note("steps.look.meta.status") + LOOK))


def test_branches_do_not_see_each_other_but_all_are_visible_after() -> None:
    as_marked(whole("- parallel:\n    one: [{id: look, action: lab.look}]\n    two: [{note: »'{{ steps.look.count }}'}]"),
              "used_before")  # fmt: skip
    fine(whole("- parallel:\n    one:\n      - {id: look, action: lab.look}\n      - {note: '{{ steps.look.count }}'}\n"
               "    two: [{id: more, action: lab.look}]\n- {note: '{{ steps.look.count + steps.more.count }}'}"))  # fmt: skip


def test_ways_do_not_see_each_other() -> None:
    as_marked(whole("- if: true\n  then: [{id: look, action: lab.look}]\n  else: [{note: »'{{ steps.look.count }}'}]"),
              "used_before")  # fmt: skip
    as_marked(whole("- if: »steps.look.count > 1\n  then: [{id: look, action: lab.look}]"), "used_before")


# --- what is surely set (semantics 1) -------------------------------------------------------------


@pytest.mark.parametrize("end", ["unanswered", "{default: {sure: x}}", "stop"])
def test_an_ask_that_may_stay_unanswered(end: str) -> None:
    book = ASK % end
    check = as_marked_or_fine(end == "unanswered")
    check(whole(book + note("steps.q.sure")))
    check(whole(book + note("steps.q.usual")))
    as_marked(whole(book + note("steps.q.maybe")), "maybe_unset")
    fine(whole(book + note("steps.q.maybe | default(0)")))


def as_marked_or_fine(unset: bool):
    """How to look at a read that is or is not maybe unset."""
    return (lambda text: as_marked(text, "maybe_unset")) if unset else fine


def test_a_default_sets_only_what_it_names() -> None:
    as_marked(whole(ASK % "{default: {maybe: 1}}" + note("steps.q.sure")), "maybe_unset")
    fine(whole(ASK % "{default: {maybe: 1}}" + note("steps.q.usual")))


@pytest.mark.parametrize("end", ["continue", "stop"])
def test_a_human_step_that_may_go_on_without(end: str) -> None:
    check = as_marked_or_fine(end == "continue")
    check(whole(HUMAN % end + note("steps.h.done_by")))
    check(whole(HUMAN % end + note("steps.h.result.count")))


def test_covered_steps_may_be_denied() -> None:
    as_marked(whole(GO + note("steps.cut.count")), "maybe_unset")
    as_marked(whole(GO.replace("lab.cut", "lab.look") + note("steps.cut.count")), "maybe_unset")
    fine(whole(GO + note("steps.cut.count | default(0)")))
    fine(whole(GO + note("steps.go.approved")))
    block = GO.replace("- {id: cut, action: lab.cut}", "- id: cut\n  do:\n    - {id: inner, action: lab.cut}")
    as_marked(whole(block + note("steps.inner.count")), "maybe_unset")


@pytest.mark.parametrize("more", ["when: incident.severity > 3", "on_failure: continue", "on_failure: ask"])
def test_steps_that_may_be_over_without_output(more: str) -> None:
    as_marked(whole("- {id: look, action: lab.look, %s}\n" % more + note("steps.look.count")), "maybe_unset")
    block = "- do: [{id: look, action: lab.look}]\n  %s\n"
    as_marked(whole(block % more + note("steps.look.count")), "maybe_unset")
    fine(whole(block % "on_failure: stop" + note("steps.look.count")))


def test_an_effect_asks_on_failure_by_default() -> None:
    steps = "- {id: p, action: lab.pause%s}\n"
    as_marked(whole(steps % "" + note("steps.p.count")), "maybe_unset")
    fine(whole(steps % ", on_failure: stop" + note("steps.p.count")))
    fine(whole(steps % ", on_failure: undo" + note("steps.p.count")))


def test_an_output_that_an_action_may_leave_out() -> None:
    as_marked(whole(LOOK + note("steps.look.remark")), "maybe_unset")


def test_an_approve_that_may_not_run() -> None:
    as_marked(whole(GO.replace("within", "when: incident.severity > 3\n  within") + note("steps.go.approved")),
              "maybe_unset")  # fmt: skip
    as_marked(whole("- if: true\n  then:" + GO.replace("\n", "\n    ") + "\n" + note("steps.go.approved")),
              "maybe_unset")  # fmt: skip


def test_inputs_and_facts() -> None:
    inputs = "a: {type: string}\nb: {type: string, required: no}\nc: {type: string, required: no, default: x}"
    fine(whole(note("inputs.a") + note("inputs.c"), inputs=inputs))
    as_marked(whole(note("inputs.b"), inputs=inputs), "maybe_unset")
    as_marked(whole(note("incident.personal_data")), "maybe_unset")
    as_marked(whole(note("incident.our_own_thing")), "maybe_unset")
    fine(whole("- set: {incident.our_own_thing: 1}\n" + note("incident.our_own_thing")))
    as_marked(whole("- set: {incident.our_own_thing: 1}\n  when: incident.severity > 3\n" + note("incident.our_own_thing")),
              "maybe_unset")  # fmt: skip


def test_one_way_of_an_if() -> None:
    one = "- if: incident.severity > 3\n  then: [{id: a, action: lab.look}]\n"
    as_marked(whole(one + note("steps.a.count")), "maybe_unset")
    both = one + "  else: [{set: {incident.thing: 1}}]\n"
    as_marked(whole(both + note("incident.thing")), "maybe_unset")
    fine(whole("- if: true\n  then: [{set: {incident.thing: 1}}]\n  else: [{set: {incident.thing: 2}}]\n"
               + note("incident.thing")))  # fmt: skip
    fine(whole(one.replace("incident.severity > 3", "true") + "  else: [{stop: x}]\n" + note("steps.a.count")))
    fine(whole("- if: true\n  then: [{stop: x}]\n  else: [{id: a, action: lab.look}]\n" + note("steps.a.count")))


@pytest.mark.parametrize(
    "source", ["inputs.app * 1000", "1 + 2 * inputs.app", "inputs.app % 3", "[1 if inputs.app * 2 else 3]"]
)
def test_text_is_never_repeated_or_formatted(source: str) -> None:
    as_marked(whole(note(source), inputs="app: {type: string, default: x}"), "unsafe_expression")
    assert refusals(whole(note(source).replace("»", ""), inputs="app: {type: integer, default: 1}")) == []
