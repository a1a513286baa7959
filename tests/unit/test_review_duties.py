"""The safety tier: what the law may wait for stands where no denial, failure or stop passes it by."""

# ruff: noqa: UP031 - YAML is full of braces

import pytest

from tests.books import as_marked, refusals, whole
from tests.unit.test_review_reads import fine
from tests.unit.test_review_safety import GO, book

DUTIES = [
    "»draft: applicable",
    "»draft: [{regime: eu_gdpr_art33, stage: notification}]",
    "»clocks: {fact: awareness, at: '{{ incident.detected_at }}'}",
    "»tell: Tell the authority.\n  to: legal",
    "»tell: Tell the authority.\n  to: [privacy_officer, legal]",
    "»tell: Tell the customers.\n  to: mail\n  phase: notify",
]
WAIT = "within: 1h, on_timeout: [%s]"
PASSING = {
    "an action": "- {action: lab.look}",
    "a deny that stops": "- {id: go, approve: [cut], by: {roles: [platform_owner]}, on_deny: stop, within: 1h, on_timeout: [deny]}\n"
    "- {id: cut, action: lab.cut, on_failure: continue}",
    "an approval that fails": GO + "- {id: cut, action: lab.cut, on_failure: continue}",
    "silence that stops": "- {ask: x, by: {roles: [legal]}, form: {a: {type: string}}, %s}" % WAIT % "stop",
    "a person who does not come": "- {human: x, owner: legal, %s}" % WAIT % "stop",
    "a wait that stops": "- {wait: {until: incident.severity > 3}, %s}" % WAIT % "stop",
    "a stop": "- {stop: x, when: incident.severity > 3}",
    "a stop in a way": "- {if: incident.severity > 3, then: [{stop: x}]}",
    "a requirement": "- {require: incident.severity > 3, message: x}",
    "a playbook": "- {run: {playbook: other}}",
    "an action in a branch": "- {parallel: {a: [{action: lab.look}]}}",
    "an action in a group": "- {do: [{action: lab.look}]}",
    "a time-out": "- {do: [{note: x}], timeout: 5m}",
}
HARMLESS = {
    "a note": "- {note: x}",
    "a fact": "- {set: {incident.severity: 4}}",
    "an action that may fail": "- {action: lab.look, on_failure: continue}",
    "a question that may stay open": "- {ask: x, by: {roles: [legal]}, form: {a: {type: string}}, %s}"
    % WAIT
    % "unanswered",
    "a person who may not come": "- {human: x, owner: legal, %s}" % WAIT % "continue",
    "a wait": "- {wait: {for: 5m}}",
    "another word": "- {tell: x, to: channel}",
}
OTHER = whole("- {note: x}", id="other")


@pytest.mark.parametrize("duty", DUTIES)
@pytest.mark.parametrize("way", PASSING)
def test_a_duty_that_is_passed_by(way: str, duty: str) -> None:
    as_marked(book(PASSING[way], "- " + duty.replace("»", "»title: Duty\n  ")), "duty_can_be_skipped", OTHER)


@pytest.mark.parametrize("duty", DUTIES)
@pytest.mark.parametrize("way", HARMLESS)
def test_a_duty_that_nothing_passes_by(way: str, duty: str) -> None:
    fine(book(HARMLESS[way], "- " + duty))


@pytest.mark.parametrize("way", PASSING)
def test_in_always_every_duty_has_its_turn(way: str) -> None:
    steps = PASSING[way] if not way.startswith("a playbook") else "- {note: x}"
    fine(book(steps, always="- draft: applicable"))
    if "approv" not in way and "deny" not in way:
        fine(book("- {note: x}", always=f"{steps}\n- draft: applicable"))


def test_a_group_in_always_is_a_sequence_again() -> None:
    as_marked(
        book("- {note: x}", always="- do:\n    - {action: lab.look}\n    - »draft: applicable"), "duty_can_be_skipped"
    )
    fine(book("- {note: x}", always="- parallel:\n    a: [{action: lab.look}]\n    b: [{draft: applicable}]"))


def test_the_word_of_others_is_no_duty() -> None:
    fine(book("- {action: lab.look}", "- {tell: x, to: [legal, incident_commander]}", "- {tell: x, to: channel}"))


@pytest.mark.parametrize(
    "step",
    [
        "- »draft: applicable\n  when: steps.go.approved | default(false)",
        "- »draft: applicable\n  when: steps.go.approved | default(false) == true",
        "- »draft: applicable\n  when: steps.go.approved | default(false) and incident.severity > 3",
        "- when: steps.go.approved | default(false)\n  do: [»{draft: applicable}]",
        "- if: steps.go.approved | default(false)\n  then: [»{draft: applicable}]",
        "- if: not steps.go.approved | default(false)\n  then: [{note: x}]\n  else: [»{draft: applicable}]",
    ],
)
def test_a_duty_that_hangs_on_the_approval(step: str) -> None:
    as_marked(book(GO, "- {id: cut, action: lab.cut}", always=step), "duty_can_be_skipped")


@pytest.mark.parametrize(
    "step",
    [
        "- draft: applicable\n  when: incident.severity > 3",
        "- draft: applicable\n  when: not (steps.go.approved | default(false))",
        "- draft: applicable\n  when: steps.go.approved | default(true)",
        "- draft: applicable\n  when: steps.go.meta.status == 'done'",
        "- draft: applicable\n  when: steps.q.approved | default(false)",
        "- if: steps.go.approved | default(false)\n  then: [{note: x}]\n  else: [{draft: applicable}]",
    ],
)
def test_a_duty_under_another_condition(step: str) -> None:
    ask = "- {id: q, ask: x, by: {roles: [legal]}, form: {approved: {type: boolean}}, %s}\n" % WAIT % "unanswered"
    assert refusals(book(ask, GO, "- {id: cut, action: lab.cut}", always=step)) == []


DUTIFUL = whole("- draft: applicable", id="other")
RUN = "- {id: r, run: {playbook: other}}"


def test_a_playbook_of_duties_is_a_duty() -> None:
    look = "- {action: lab.look}"
    as_marked(book(look, f"- »{RUN[2:]}"), "duty_can_be_skipped", DUTIFUL)
    as_marked(book(look, f"- repeat: {{do: [»{RUN[2:]}], until: true, at_most: 2}}"), "duty_can_be_skipped", DUTIFUL)
    assert refusals(book(look, always=RUN), DUTIFUL) == []
    assert refusals(book(RUN), DUTIFUL) == []
    within = "- »id: cut_off\n  when: steps.go.approved | default(false)\n  run: {playbook: other}"
    as_marked(book(GO, "- {id: cut, action: lab.cut}", always=within), "duty_can_be_skipped", DUTIFUL)
    middle = whole(RUN, id="middle")
    as_marked(book(look, f"- »{RUN[2:].replace('other', 'middle')}"), "duty_can_be_skipped", middle, DUTIFUL)


def test_what_is_in_always_of_another_playbook_is_for_its_own_runs() -> None:
    other = whole("- {action: lab.look}", id="other", always="- draft: applicable")
    assert refusals(book("- {action: lab.look}", RUN), other) == []
