"""What the review makes of ``choose`` and ``repeat``: what is surely set, secured and approved behind them."""

import pytest

from playbooks.compile import compile_plan
from playbooks.contract import RunContext
from playbooks.diff_view import stands_before
from playbooks.loader import Library
from playbooks.outline import Outline, enclosing
from playbooks.plan import ApproveStep, ChooseStep, RepeatStep
from playbooks.policy import Policy
from tests.books import ACTIONS, as_marked, loaded, refusals, whole

GO = "id: go, approve: [{name}], by: {{roles: [platform_owner]}}, within: 1h, on_timeout: [deny]"
CHOICE = """
- choose:
  - when: incident.severity > 3
    do: [{id: a, action: lab.save}, {id: c, action: lab.look}]
  - when: incident.severity > 2
    do: [{id: b, action: lab.save}]
  - else: [{note: Small.}]
"""
REPEAT = """
- id: settle
  repeat:
    do:
    - {id: look, action: lab.look}
    - {id: go, approve: [cut], by: {roles: [platform_owner]}, within: 1h, on_timeout: [deny]}
    - {id: cut, action: lab.cut, with: {targets: "{{ steps.look.targets }}"}}
    until: steps.look.count == 0
    at_most: 5
"""


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ("note: '{{ steps.c.count | default(0) }}'", "note: »'{{ steps.c.count }}'", "maybe_unset"),
        ("note: '{{ steps.c.meta.status }}'", "note: »'{{ steps.c.remark }}'", "maybe_unset"),
        ("note: '{{ steps.a.count | default(0) }}'", "note: »'{{ steps.d.count }}'", "unknown_step"),
    ],
)
def test_only_what_every_way_sets_is_set_behind_a_choice(good: str, bad: str, code: str) -> None:
    assert refusals(whole(f"{CHOICE}- {good}")) == []
    as_marked(whole(f"{CHOICE}- {bad}"), code)


def test_a_way_that_stops_takes_nothing_away() -> None:
    reading = "- note: '{{ steps.a.count }}'"
    stops = CHOICE.replace("[{id: b, action: lab.save}]", "[{stop: x}]").replace("[{note: Small.}]", "[{stop: y}]")
    assert refusals(whole(stops + reading)) == []
    as_marked(whole(CHOICE.replace("[{note: Small.}]", "[{stop: y}]") + reading.replace("'", "»'", 1)), "maybe_unset")
    as_marked(whole(stops.replace("  - else: [{stop: y}]\n", "") + reading.replace("'", "»'", 1)), "maybe_unset")


def test_a_condition_holds_in_its_way_and_not_in_those_after_it() -> None:
    first = "- choose:\n  - {when: incident.region is defined, do: [{note: '{{ incident.region }}'}]}\n"
    assert refusals(whole(first)) == []
    as_marked(whole(first + "  - {else: [{note: »'{{ incident.region }}'}]}\n"), "maybe_unset")
    turned = first.replace("is defined", "is not defined").replace("'{{ incident.region }}'", "x")
    assert refusals(whole(turned + "  - {when: incident.region == 'x', do: [{note: '{{ incident.region }}'}]}\n")) == []


def test_a_way_does_not_see_another() -> None:
    as_marked(whole(CHOICE.replace("note: Small.", "note: »'{{ steps.a.count }}'")), "used_before")
    as_marked(whole(CHOICE.replace("when: incident.severity > 2", "when: »steps.a.count > 2")), "used_before")


def test_evidence_counts_where_every_way_secures_it() -> None:
    text = "- {id: disk, action: lab.save_disk}\n- {%s}\n- %sid: wipe\n  action: lab.wipe\n  with: {targets: [a]}\n"
    go = GO.format(name="wipe")
    every = CHOICE.replace("[{note: Small.}]", "[{id: e, action: lab.save}]")
    assert refusals(whole(every + text % (go, ""))) == []
    as_marked(whole(CHOICE + text % (go, "»")), "evidence_missing")


def test_a_duty_under_an_approval_can_be_skipped_in_a_choice_too() -> None:
    steps = """
- {id: go, approve: [cut], by: {roles: [platform_owner]}, within: 1h, on_timeout: [deny]}
- {id: cut, action: lab.cut, with: {targets: [a]}}
"""
    duty = "- choose:\n  - when: %s\n    do: [{note: x}]\n  - else: [%s{draft: applicable}]\n"
    assert refusals(whole(steps, always=duty % ("incident.severity > 3", ""))) == []
    as_marked(whole(steps, always=duty % ("not (steps.go.approved | default(false))", "»")), "duty_can_be_skipped")


def test_a_repeat_is_seen_from_behind_as_its_last_pass() -> None:
    assert refusals(whole(REPEAT + "- note: '{{ steps.look.count }} {{ steps.settle.passes }}'")) == []
    as_marked(whole(REPEAT + "- note: '{{ steps.settle.pass }}'".replace("'", "»'", 1)), "unknown_key")
    as_marked(whole(REPEAT.replace("steps.look.count == 0", "»steps.cut.count == 0")), "maybe_unset")
    as_marked(whole(REPEAT.replace("steps.look.count == 0", "»result.count == 0")), "unsafe_expression")
    unsure = REPEAT.replace("at_most: 5\n", "at_most: 5\n  on_failure: continue\n")
    as_marked(whole(unsure + "- note: »'{{ steps.look.count }}'"), "maybe_unset")


def test_a_pass_does_not_see_the_one_before() -> None:
    before = "    - {note: »'{{ steps.cut.count | default(0) }}'}\n    - {id: look"
    as_marked(whole(REPEAT.replace("    - {id: look", before)), "used_before")


def test_each_pass_asks_anew() -> None:
    inside = "    - {id: go, approve: [cut], by: {roles: [platform_owner]}, within: 1h, on_timeout: [deny]}\n"
    assert inside in REPEAT and refusals(whole(REPEAT)) == []
    outside = inside.strip() + REPEAT.replace(inside, "").replace("{id: cut,", "»{id: cut,")
    as_marked(whole(outside), "approval_missing")
    free = outside.replace("action: lab.cut,", "action: lab.look,")
    as_marked(whole(free), "approval_missing")
    block = outside.replace("approve: [cut]", "approve: [settle]").replace("{id: look", "»{id: look")
    as_marked(whole(block), "approval_missing")


def test_a_repeat_without_a_bound_is_refused_at_its_step() -> None:
    as_marked(
        whole(REPEAT.replace("    at_most: 5\n", "").replace("- id: settle", "- »id: settle")), "unbounded_repeat"
    )


def test_places_in_a_choice_are_told_from_branches_of_that_name() -> None:
    steps = "- choose:\n  - {when: true, do: [{note: a}]}\n- parallel:\n    choose: [{note: b}, {do: [{note: c}]}]\n"
    outline = Outline(loaded(whole(steps)))
    for loc in outline.steps:
        assert all(around in outline.steps for around in enclosing(loc)), loc
    assert [len(enclosing(loc)) for loc in outline.steps] == [0, 1, 0, 1, 1, 2]


def test_the_plan_of_both() -> None:
    compiled = compile_plan(
        loaded(whole(CHOICE + REPEAT.replace("at_most: 5", "at_most: 5\n    every: 2m"))),
        library=Library.of(),
        actions=ACTIONS,
        policy=Policy(),
        inputs={},
        incident={},
        context=RunContext(),
    )
    assert compiled.plan is not None, compiled.problems
    choice, repeat = (step.spec for step in compiled.plan.frame.steps)
    assert isinstance(choice, ChooseStep) and isinstance(repeat, RepeatStep)
    assert [way.condition for way in choice.choices] == ["incident.severity > 3", "incident.severity > 2"]
    assert [step.path for step in choice.otherwise] == ["@0.choose.2.else.0"]
    assert (repeat.until, repeat.at_most, repeat.every_seconds) == ("steps.look.count == 0", 5, 120)
    approve = repeat.steps[1].spec
    assert isinstance(approve, ApproveStep) and approve.covers == ("cut",)


def test_the_ways_of_a_choice_do_not_stand_before_each_other() -> None:
    outline = Outline(loaded(whole(CHOICE + "- {id: end, note: x}")))
    first, second, end = (outline.by_id[name] for name in ("a", "b", "end"))
    assert not stands_before(first, second) and not stands_before(second, first)
    assert stands_before(second, end) and stands_before(first, outline.by_id["c"])
