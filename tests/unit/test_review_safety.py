"""The safety tier: approvals that dominate effects, evidence on every path, duties that nothing passes by."""

# ruff: noqa: UP031 - YAML is full of braces

import pytest

from playbooks.policy import Demand, Policy, RiskRule
from tests.books import as_marked, judged, marks, refusals, warned, whole
from tests.unit.test_review_reads import fine

BY = "by: {roles: [platform_owner]}, within: 1h, on_timeout: [deny]"
GO = "- {id: go, approve: [cut], %s}\n" % BY
CUT = "- {id: cut, action: lab.cut}\n"


def book(*steps: str, **parts: str) -> str:
    """A playbook of these steps."""
    return whole("".join(step if step.endswith("\n") else step + "\n" for step in steps), **parts)


def warns(text: str, *others: str) -> None:
    """Assert the warning that an effect is gated by severity, at its marks."""
    assert warned(text, *others) == [("approval_depends", place) for place in marks(text)]


# --- approvals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["lab.cut", "lab.change", "lab.destroy", "lab.abort"])
def test_a_gated_effect_needs_an_approval(action: str) -> None:
    effect = f"- {{id: cut, action: {action}, with: {{targets: [a]}}}}\n"
    as_marked(book(effect.replace("{id", "»{id")), "approval_missing")
    fine(book(GO, effect))


@pytest.mark.parametrize("action", ["lab.look", "lab.save", "lab.tell"])
def test_reads_and_words_need_none(action: str) -> None:
    fine(book(f"- action: {action}"))


def test_a_reversible_containment_is_free_from_some_severity_on() -> None:
    warns(book("- »id: p\n  action: lab.pause"))
    assert warned(book(GO.replace("cut", "p"), "- {id: p, action: lab.pause}")) == []


def test_what_the_system_itself_listed_is_preauthorised() -> None:
    look, abort = "- {id: look, action: lab.look}\n", "- »id: a\n  action: lab.abort\n  with: {targets: %s}"
    fine(book(look, abort.replace("»", "") % "'{{ steps.look.targets }}'"))
    as_marked(book(look, abort % "[a]"), "approval_missing")
    as_marked(book(look, abort % "'{{ inputs.them }}'", inputs="them: {type: {list: string}}"), "approval_missing")
    as_marked(book(look, abort % "'{{ steps.look.targets | default([]) }}'"), "approval_missing")
    other = "- {id: look, action: other.save}\n"
    as_marked(book(other, abort % "'{{ steps.look.targets }}'"), "approval_missing")


def test_the_approval_stands_where_it_surely_has_its_turn() -> None:
    cut = "- »id: cut\n  action: lab.cut\n"
    as_marked(book(GO.replace("approve", "when: incident.severity > 3, approve"), cut), "approval_missing")
    as_marked(book(GO.replace("approve", "for_each: [1], approve"), cut), "approval_missing")
    same = "when: incident.severity > 3, "
    fine(book(GO.replace("approve", same + "approve"), CUT.replace("action", same + "action")))
    fine(
        book(
            GO.replace("approve", same + "approve"), "- {when: incident.severity > 3, do: [{id: cut, action: lab.cut}]}"
        )
    )


def test_an_approval_covers_the_blocks_it_names() -> None:
    for block in (
        "- id: cut\n  do:\n    - {id: one, action: lab.cut}\n    - {id: two, action: lab.destroy}\n",
        "- id: cut\n  parallel:\n    a: [{id: one, action: lab.cut}]\n    b: [{id: two, action: lab.cut}]\n",
        "- id: cut\n  if: incident.severity > 3\n  then: [{id: one, action: lab.cut}]\n  else: [{action: lab.change}]\n",
        "- id: cut\n  for_each: [a, b]\n  action: lab.cut\n  with: {targets: ['{{ item }}']}\n",
        "- id: cut\n  for_each: [a, b]\n  do:\n    - {action: lab.cut, with: {targets: ['{{ item }}']}}\n",
    ):
        fine(book(GO, block))


def test_naming_one_step_does_not_cover_its_neighbour() -> None:
    as_marked(book(GO, CUT, "- »id: more\n  action: lab.cut"), "approval_missing")
    as_marked(book(GO, CUT, always="- »action: lab.cut"), "approval_missing")


def test_effects_anywhere_are_found() -> None:
    for block in (
        "{do: [»{action: lab.cut}]}",
        "{parallel: {a: [»{action: lab.cut}]}}",
        "{if: true, then: [»{action: lab.cut}]}",
        "{if: true, then: [{note: x}], else: [»{action: lab.cut}]}",
        "{for_each: [1], do: [»{action: lab.cut}]}",
    ):
        as_marked(book(f"- {block}"), "approval_missing")  # fmt: skip
        as_marked(book("- {note: x}", always=f"- {block}"), "approval_missing")


@pytest.mark.parametrize(
    "steps",
    [
        "- »id: cut\n  action: lab.cut\n" + GO,
        "- {if: incident.severity > 3, then: [%s]}\n" % GO[2:].strip() + "- »id: cut\n  action: lab.cut\n",
        "- choose: [{when: incident.severity > 3, do: [%s]}]\n" % GO[2:].strip() + "- »id: cut\n  action: lab.cut\n",
        "- parallel: {a: [%s], b: [»{id: cut, action: lab.cut}]}\n" % GO[2:].strip(),
    ],
)
def test_an_approval_that_does_not_surely_stand_before_it(steps: str) -> None:
    as_marked(book(steps), "approval_missing")


def test_an_approval_in_always_covers_what_stands_there() -> None:
    fine(book("- {note: x}", always=GO + CUT))


def test_a_child_asks_for_its_own_effects() -> None:
    child = whole("- »id: cut\n  action: lab.cut\n", id="other")
    run = "- {id: child, run: {playbook: other}}\n"
    for text in (book(run), book("- {id: go, approve: [child], %s}\n" % BY, run)):
        found = [problem for problem in judged(text, child) if problem.severity == "error"]
        assert [(problem.file, problem.code) for problem in found] == [("other0.yaml", "approval_missing")]
        assert [(problem.line, problem.column) for problem in found] == marks(child)
    assert refusals(book(run), whole(GO + CUT, id="other")) == []


def test_another_policy() -> None:
    open_handed = Policy(rules={"contain": RiskRule(count=0), "change": RiskRule(count=1)})
    assert refusals(book(CUT), policy=open_handed) == []
    as_marked(book("- »action: lab.change"), "approval_missing", policy=open_handed)
    as_marked(book(GO, "- »id: cut\n  action: lab.destroy"), "approval_missing", policy=open_handed)
    assert refusals(book(CUT), safety=False) == []


def demands(**fields: object) -> Policy:
    """The default policy with one more rule."""
    return Policy(demands=(Demand(**{"name": "Ours", **fields}),))  # type: ignore[arg-type]


def test_a_policy_with_further_rules() -> None:
    pause = "- »id: p\n  action: lab.pause\n"
    as_marked(book(pause), "approval_missing", policy=demands(count=1))
    as_marked(book(pause), "approval_missing", policy=demands(never=True, environments=("production",)))
    assert refusals(book(pause), policy=demands(count=1, severity_below=4)) == []
    (warning,) = judged(book(pause), policy=demands(never=True, severity_below=4))
    assert warning.code == "approval_depends" and "(never: Ours)" in warning.message
    (missing,) = judged(book("- {id: cut, action: lab.cut}"), policy=Policy(owners={"lab": ("legal", "crm_owner")}))
    assert (
        "without the approval of 1 of legal, 1 of crm_owner that policy demands (contain: 1 each of" in missing.message
    )
    as_marked(book("- »id: cut\n  action: lab.cut\n"), "approval_missing", policy=demands(count=2, protected=True))


def test_more_people_than_there_can_be() -> None:
    one = Policy(maximum={"platform_owner": 1})
    assert refusals(book(GO, CUT), policy=one) == []
    asks = "- {id: go, approve: [cut], %s}\n"
    two = asks % "by: {roles: [platform_owner], count: »2}, within: 1h, on_timeout: [deny]"
    as_marked(book(two, CUT), "approval_unreachable", policy=one)
    each = asks % "by: {each: {legal: 9, platform_owner: »2}}, within: 1h, on_timeout: [deny]"
    as_marked(book(each, CUT), "approval_unreachable", policy=one)
    either = asks % "by: {roles: [platform_owner, legal], count: 2}, within: 1h, on_timeout: [deny]"
    assert refusals(book(either, CUT), policy=one) == [], "nobody said how many lawyers there are"
    by_hand = "- {id: h, human: Look., owner: »platform_owner, within: 1h, on_timeout: [stop]}\n"
    as_marked(book(by_hand), "approval_unreachable", policy=Policy(maximum={"platform_owner": 0}))
    assert refusals(book(by_hand), policy=one) == []
    destroy = book(GO, "- »id: cut\n  action: lab.destroy\n")
    as_marked(destroy, "approval_unreachable", policy=one)


# --- what is approved is known --------------------------------------------------------------------


@pytest.mark.parametrize(
    "steps",
    [
        "- {id: look, action: lab.look}\n- {id: cut, action: lab.cut, with: {targets: »'{{ steps.look.targets }}'}}",
        "- {id: look, action: lab.look}\n- {id: cut, action: lab.cut, when: »steps.look.count > 1}",
        "- {id: look, action: lab.look}\n- {id: cut, action: lab.cut, for_each: »'{{ steps.look.names }}'}",
        "- {id: look, action: lab.look}\n- {when: »steps.look.count > 1, do: [{id: cut, action: lab.cut}]}",
        "- {id: look, action: lab.look}\n- {if: »steps.look.count > 1, then: [{id: cut, action: lab.cut}]}",
        "- {id: look, action: lab.look}\n- {id: cut, action: lab.cut, when: »steps.look.meta.status == 'done'}",
        "- {id: cut, action: lab.cut, with: {targets: [»'{{ now() }}']}}",
        "- {id: cut, action: lab.cut, when: »now() > incident.opened_at}",
        "- {id: cut, action: lab.cut, when: »steps.go.approved}",
        "- {set: {incident.severity: 5}}\n- {id: cut, action: lab.cut, when: »incident.severity > 3}",
    ],
)
def test_what_people_could_not_know_when_they_were_asked(steps: str) -> None:
    as_marked(book(GO, steps), "approval_inputs_unknown")


@pytest.mark.parametrize(
    "steps",
    [
        "- {id: cut, action: lab.cut, with: {targets: '{{ steps.before.targets }}'}}",
        "- {id: cut, action: lab.cut, when: steps.before.count > 1}",
        "- {id: cut, action: lab.cut, for_each: '{{ steps.before.names }}', with: {targets: ['{{ item }}']}}",
        "- {for_each: '{{ steps.before.names }}', as: n, do: [{id: cut, action: lab.cut, with: {targets: ['{{ n }}']}}]}",
        "- {id: cut, action: lab.cut, when: incident.severity > 3}\n- {set: {incident.severity: 5}}",
    ],
)
def test_what_they_could_know(steps: str) -> None:
    fine(book("- {id: before, action: lab.look}", GO, steps))


# --- evidence -------------------------------------------------------------------------------------

SAVE, DISK = "- {id: save, action: lab.save}\n", "- {id: disk, action: lab.save_disk}\n"
WIPE = "- »id: wipe\n  action: lab.wipe\n"


def test_evidence_comes_first() -> None:
    as_marked(book(WIPE), "evidence_missing")
    as_marked(book(WIPE, SAVE, DISK), "evidence_missing")
    as_marked(book(SAVE, WIPE), "evidence_missing")
    as_marked(book(DISK, WIPE), "evidence_missing")
    fine(book(SAVE, DISK, WIPE))


def test_evidence_of_another_system_does_not_count() -> None:
    as_marked(book("- {action: other.save}", WIPE), "evidence_missing")


@pytest.mark.parametrize(
    "way",
    [
        "- {when: incident.severity > 3, do: [{action: lab.save}, {action: lab.save_disk}]}",
        "- {action: lab.save, when: incident.severity > 3}\n- {action: lab.save_disk}",
        "- {action: lab.save, on_failure: continue}\n- {action: lab.save_disk}",
        "- {action: lab.save, on_failure: ask}\n- {action: lab.save_disk}",
        "- {for_each: [1], do: [{action: lab.save}, {action: lab.save_disk}]}",
        "- {if: true, then: [{action: lab.save}, {action: lab.save_disk}]}",
        "- {if: true, then: [{action: lab.save}], else: [{action: lab.save_disk}]}",
        "- {on_failure: continue, do: [{action: lab.save}, {action: lab.save_disk}]}",
        "- {on_failure: continue, parallel: {a: [{action: lab.save}], b: [{action: lab.save_disk}]}}",
        "- {id: go, approve: [save], %s}\n- {id: save, action: lab.save}\n- {action: lab.save_disk}" % BY,
        "- {if: true, then: [{stop: x, when: incident.severity > 3}], else: [{action: lab.save}, {action: lab.save_disk}]}",
    ],
)
def test_evidence_that_some_way_passes_by(way: str) -> None:
    as_marked(book(way, WIPE), "evidence_missing")


@pytest.mark.parametrize(
    "way",
    [
        "- {do: [{action: lab.save}, {action: lab.save_disk}]}",
        "- {parallel: {a: [{action: lab.save}], b: [{action: lab.save_disk}]}}",
        "- {if: true, then: [{action: lab.save}, {action: lab.save_disk}], else: [{action: lab.save_disk}, {action: lab.save}]}",
        "- {if: true, then: [{stop: x}], else: [{action: lab.save}, {action: lab.save_disk}]}",
        "- {if: true, then: [{action: lab.save}, {action: lab.save_disk}], else: [{stop: x}]}",
        "- {action: lab.save, on_failure: stop, retry: {times: 3}}\n- {action: lab.save_disk, timeout: 5m}",
        "- {id: go, approve: [save], on_deny: stop, %s}\n- {id: save, action: lab.save}\n- {action: lab.save_disk}"
        % BY,
        "- {run: {playbook: other}}",
    ],
)
def test_evidence_on_every_way(way: str) -> None:
    assert refusals(book(way, WIPE).replace("»", ""), whole(SAVE + DISK, id="other")) == []


def test_branches_do_not_wait_for_each_other() -> None:
    as_marked(book("- parallel:\n    a: [{action: lab.save}, {action: lab.save_disk}]\n    b: [»{id: wipe, action: lab.wipe}]"),
              "evidence_missing")  # fmt: skip
    fine(
        book(
            "- parallel:\n    a: [{action: lab.save}, {action: lab.save_disk}, {id: wipe, action: lab.wipe}]\n    b: [{note: x}]"
        )
    )


def test_evidence_under_the_same_condition_as_the_effect() -> None:
    fine(
        book(
            "- {when: incident.severity > 3, do: [{action: lab.save}, {action: lab.save_disk}, {id: wipe, action: lab.wipe}]}"
        )
    )


def test_always_cannot_rely_on_the_main_steps() -> None:
    as_marked(book(SAVE, DISK, always=WIPE), "evidence_missing")
    as_marked(book("- {note: x}", always=SAVE + DISK + WIPE), "evidence_missing")
    fine(
        book(
            "- {note: x}",
            always="- do:\n    - {action: lab.save}\n    - {action: lab.save_disk}\n    - {action: lab.wipe}",
        )
    )


def test_a_child_is_judged_with_the_evidence_of_its_caller() -> None:
    child, run = whole(WIPE, id="other"), "- {run: {playbook: other}}\n"
    assert refusals(book(SAVE, DISK, run), child.replace("»", "")) == []
    found = [problem for problem in judged(book(SAVE, run, DISK, run), child) if problem.severity == "error"]
    assert [(problem.file, problem.code) for problem in found] == [("other0.yaml", "evidence_missing")]
    assert [(problem.line, problem.column) for problem in found] == marks(child)


def test_a_child_that_may_stop_early_secures_nothing_surely() -> None:
    child = whole("- {stop: x, when: incident.severity > 3}\n" + SAVE + DISK, id="other")
    as_marked(book("- {run: {playbook: other}}", WIPE), "evidence_missing", child)
    later = whole(SAVE + DISK, id="other", always="- {stop: x}")
    assert refusals(book("- {run: {playbook: other}}", WIPE).replace("»", ""), later) == []
    failing = whole("- {note: x}", id="other", always=SAVE + DISK)
    as_marked(book("- {run: {playbook: other}}", WIPE), "evidence_missing", failing)
