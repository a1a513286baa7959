"""What an alert names is looked up before it is acted on."""

# ruff: noqa: UP031 - YAML is full of braces

import pytest

from tests.books import as_marked, judged, refusals, whole

GO = "- {id: go, approve: [cut], by: {roles: [legal]}, within: 1h, on_timeout: [deny]}\n"
LOOK = '- {id: look, action: lab.look, with: {targets: "{{ inputs.who }}"}}\n'
CUT = '- {id: cut, action: lab.cut, with: {targets: »"{{ inputs.who }}"}}\n'
INPUTS = "who: {type: {list: string}, default: [x]}\nat: {type: datetime, default: '{{ incident.first_seen }}'}"


def book(*steps: str, starts: bool = True, inputs: str = INPUTS, **parts: str) -> str:
    """A playbook that an alert may start."""
    text = whole("".join(steps), inputs=inputs, **parts)
    return text.replace("inputs:", "starts_on: [key.exposed]\ninputs:", 1) if starts else text


def test_what_an_alert_names_is_looked_up_first() -> None:
    as_marked(book(GO, CUT), "unverified_target")
    assert refusals(book(LOOK, GO, CUT)) == []


def test_a_lookup_after_it_or_of_something_else_is_none() -> None:
    as_marked(book(GO, CUT, LOOK), "unverified_target")
    as_marked(book(LOOK.replace("inputs.who", "['x']"), GO, CUT), "unverified_target")
    as_marked(book(LOOK.replace("lab.look", "other.save"), GO, CUT), "unverified_target")


@pytest.mark.parametrize(
    "weak",
    [
        LOOK.replace("with:", "on_failure: continue, with:"),
        LOOK.replace("with:", "when: incident.severity > 3, with:"),
        "- {if: incident.severity > 3, then: [%s]}\n" % LOOK[2:].strip(),
    ],
)
def test_a_lookup_that_may_not_have_happened_is_none(weak: str) -> None:
    as_marked(book(weak, GO, CUT), "unverified_target")


def test_branches_that_surely_ran_count() -> None:
    both = "- parallel: {a: [%s], b: [{note: x}]}\n" % LOOK[2:].strip()
    assert refusals(book(both, GO, CUT)) == []
    assert refusals(book(both.replace("parallel: {a: ", "do: ").replace(", b: [{note: x}]}", ""), GO, CUT)) == []


def test_only_text_of_an_alert_counts() -> None:
    assert refusals(book(GO, CUT, starts=False)) == []
    assert refusals(book(GO, CUT.replace('"{{ inputs.who }}"', "[a]"))) == []
    ask = "- {id: q, ask: Who?, by: {roles: [legal]}, form: {who: {type: {list: string}}}, within: 1h, on_timeout: [stop]}\n"
    assert refusals(book(ask, GO, CUT.replace("inputs.who", "steps.q.who"))) == []
    look = "- {id: look, action: lab.look}\n"
    assert refusals(book(look, GO, CUT.replace("inputs.who", "steps.look.targets"))) == []


def test_facts_of_the_incident_are_text_too() -> None:
    as_marked(book(GO, CUT.replace("{{ inputs.who }}", "{{ [incident.title] }}"), starts=False), "unverified_target")
    set_ = "- {set: {incident.app: x}}\n"
    effect = CUT.replace("{{ inputs.who }}", "{{ [incident.app] }}")
    assert refusals(book(set_, GO, effect)) == []


def test_the_item_of_a_loop_is_what_the_loop_runs_over() -> None:
    each = '- {id: cut, for_each: "{{ inputs.who }}", as: one, action: lab.cut, with: {»targets: ["{{ one }}"]}}\n'
    as_marked(book(GO, each), "unverified_target")
    assert refusals(book(LOOK, GO, each)) == []
    inner = '- {id: cut, for_each: "{{ inputs.who }}", as: one, do: [{for_each: "{{ [one] }}", action: lab.cut, '
    inner += 'with: {»targets: ["{{ item }}"]}}]}\n'
    as_marked(book(GO, inner), "unverified_target")
    assert refusals(book(LOOK, GO, inner)) == []


def test_reads_may_take_what_they_like() -> None:
    assert judged(book(LOOK)) == []


def child(*steps: str) -> str:
    """A playbook that only others start, of one input."""
    return whole("".join(steps), id="other", inputs="who: {type: {list: string}}")


RUN = '- {id: r, run: {playbook: other, with: {who: "{{ inputs.who }}"}}}\n'
OTHER = INPUTS + "\nwhom: {type: {list: string}, default: [y]}"


def test_a_playbook_that_is_run_looks_up_what_it_is_handed() -> None:
    assert refusals(book(RUN, GO, CUT), child(LOOK)) == []
    as_marked(book(RUN.replace("inputs.who", "inputs.whom"), GO, CUT, inputs=OTHER), "unverified_target", child(LOOK))
    assert refusals(book(RUN, GO, CUT.replace("inputs.who", "inputs.whom"), inputs=OTHER), child(LOOK))
    as_marked(book(RUN.replace("{{ inputs.who }}", "{{ ['x'] }}"), GO, CUT), "unverified_target", child(LOOK))


def test_a_playbook_that_is_run_acts_on_what_an_alert_names() -> None:
    inner = child(GO, CUT.replace("»", ""))
    for text, codes in (
        (book(RUN), ["unverified_target"]),
        (book(LOOK, RUN), []),
        (book(LOOK.replace("inputs.who", "inputs.whom"), RUN, inputs=OTHER), ["unverified_target"]),
        (book(RUN, starts=False), []),
        (book(RUN.replace("{{ inputs.who }}", "{{ ['x'] }}")), []),
    ):
        found = [problem for problem in judged(text, inner) if problem.severity == "error"]
        assert [problem.code for problem in found] == codes
        assert all(problem.file == "other0.yaml" for problem in found), "at the parameter of the effect"
