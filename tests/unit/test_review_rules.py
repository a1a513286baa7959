"""The graph tier: actions and their parameters, types, what an approve may name, facts, sizes and cycles."""

# ruff: noqa: UP031 - YAML is full of braces

import time

import pytest

from playbooks.compile import MAX_DEPTH, validate
from playbooks.loader import Library
from tests.books import ACTIONS, as_marked, judged, loaded, marks, refusals, whole
from tests.unit.test_review_reads import ASK, GO, LOOK, fine

WHO = "by: {roles: [legal]}, within: 1h, on_timeout: [deny]"


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("- action: »lab.lok", "unknown_action"),
        ("- action: »look", "unknown_action"),
        ("- action: »Lab.look", "unknown_action"),
        ("- action: »'{{ inputs.app }}'", "unknown_action"),
        ("- action: »x.y\n  with: {a: b}", "unknown_action"),
        ("- human: x\n  owner: legal\n  within: 1h\n  on_timeout: [stop]\n  verify: {action: »lab.lok, until: true}",
         "unknown_action"),
        ("- human: x\n  owner: legal\n  within: 1h\n  on_timeout: [stop]\n  verify: {action: »lab.pause, until: true}",
         "bad_value"),
        ("- action: lab.look\n  with: {»target: [a]}", "unknown_key"),
        ("- action: lab.look\n  with: {targets: »5}", "wrong_type"),
        ("- action: lab.look\n  with: {»targets: {a: b}}", "wrong_type"),
        ("- action: lab.look\n  with: {»targets: [1]}", "wrong_type"),
        ("- action: lab.look\n  with:\n    »targets: [%s]" % ", ".join(["a"] * 501), "wrong_type"),
        ("- »action: salesforce.end_sessions", "missing_key"),
        ("- »id: x\n  action: salesforce.end_sessions\n  with: {}", "missing_key"),
        ("- action: salesforce.end_sessions\n  with: {targets: »}", "wrong_type"),
        ("- action: salesforce.count_oauth_tokens\n  with: {app: »5}", "wrong_type"),
        ("- action: salesforce.count_oauth_tokens\n  with: {»app: [a]}", "wrong_type"),
        ("- action: salesforce.count_oauth_tokens\n  with: {app: »true}", "wrong_type"),
        ("- action: salesforce.count_oauth_tokens\n  with: {app: »'{{ incident.severity }}'}", "wrong_type"),
        ("- action: salesforce.count_oauth_tokens\n  with: {app: »'{{ 1 < 2 }}'}", "wrong_type"),
        ("- action: salesforce.count_oauth_tokens\n  with: {app: »'{{ [1] }}'}", "wrong_type"),
        ("- action: salesforce.collect_setup_audit\n  with: {since: »yesterday}", "wrong_type"),
        ("- action: salesforce.collect_setup_audit\n  with: {since: »2026-11-23}", "wrong_type"),
        ("- action: salesforce.collect_setup_audit\n  with: {since: »2026-11-23T10:00:00}", "wrong_type"),
        ("- action: salesforce.collect_setup_audit\n  with: {since: »5}", "wrong_type"),
        ("- action: salesforce.list_bulk_jobs\n  with: {states: »Open}", "wrong_type"),
        ("- action: salesforce.list_bulk_jobs\n  with: {»states: [1]}", "wrong_type"),
        ("- wait: {for: »'{{ incident.severity }}'}", "wrong_type"),
        ("- wait: {for: »'{{ incident.title | length }}'}", "wrong_type"),
    ],
)  # fmt: skip
def test_actions_and_their_parameters(step: str, code: str) -> None:
    as_marked(whole(step, inputs="app: {type: string}"), code)


@pytest.mark.parametrize(
    "given",
    [
        "{targets: [a, b]}",
        "{targets: ['{{ inputs.app }}', b]}",
        "{targets: '{{ steps.look.targets }}'}",
        "{targets: '{{ steps.look.names }}'}",
        "{targets: '{{ steps.look.names | unique }}'}",
        '{targets: "{{ inputs.users | default(steps.look.targets) }}"}',
        "{targets: [%s]}" % ", ".join(["a"] * 500),
        "{}",
    ],
)
def test_targets_are_a_set_or_a_list(given: str) -> None:
    fine(whole(LOOK + f"- {{action: lab.look, with: {given}}}",
               inputs="app: {type: string}\nusers: {type: {list: string}, required: no}"))  # fmt: skip


def test_instants_and_durations_are_text_too() -> None:
    fine(whole('- {action: salesforce.collect_setup_audit, with: {since: "2026-11-23T10:00:00Z"}}'))
    fine(whole("- {action: salesforce.collect_setup_audit, with: {since: '{{ incident.first_seen - hours(24) }}'}}"))
    fine(whole("- {wait: {for: '{{ inputs.pause }}'}}", inputs="pause: {type: duration, default: 5m}"))


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("{type: integer, default: »x}", "wrong_type"),
        ("{type: integer, default: »1.5}", "wrong_type"),
        ("{type: boolean, default: »1}", "wrong_type"),
        ("{type: boolean, default: »'yes'}", "wrong_type"),
        ("{type: string, default: »1}", "wrong_type"),
        ("{type: datetime, default: »2026-11-23}", "wrong_type"),
        ("{type: duration, default: »soon}", "wrong_type"),
        ("{type: choice, options: [a, b], default: »c}", "wrong_type"),
        ("{type: {list: choice}, options: [a, b], »default: [a, c]}", "wrong_type"),
        ("{type: {list: string}, default: »a}", "wrong_type"),
        ("{type: {list: integer}, »default: [1, a]}", "wrong_type"),
        ("{type: integer, default: »'{{ incident.title }}'}", "wrong_type"),
        ("{type: string, default: »'{{ incident.nope }}'}", "maybe_unset"),
        ("{type: string, default: »'{{ inputs.other }}'}", "used_before"),
        ("{type: string, default: »'{{ steps.look.remark }}'}", "used_before"),
        ("{type: string, default: »'{{ run.id }}'}", "unsafe_expression"),
        ("{type: datetime, default: »'{{ now() - hours(1) }}'}", "unsafe_expression"),
        ("{type: string, default: »'{{ ().__class__ }}'}", "unsafe_expression"),
        ("{type: string, default: »'{{ incident.title'}", "unsafe_expression"),
        ("{type: string, default: »'{{ nothing }}'}", "unsafe_expression"),
    ],
)
def test_defaults_of_inputs(field: str, code: str) -> None:
    as_marked(whole(LOOK, inputs=f"a: {field}\nother: {{type: string}}"), code)


@pytest.mark.parametrize(
    "field",
    [
        "{type: integer, default: 0}",
        "{type: number, default: 1}",
        "{type: boolean, default: false}",
        "{type: choice, options: [a, b], default: b}",
        "{type: {list: choice}, options: [a, b], default: [b]}",
        "{type: {list: string}, default: []}",
        "{type: duration, default: 5m}",
        '{type: datetime, default: "2026-11-23T10:00:00+01:00"}',
        "{type: datetime, default: '{{ incident.first_seen - hours(24) }}'}",
        "{type: string, default: '{{ incident.nope | default(\"x\") }}'}",
        "{type: string, default: 'of {{ incident.id }}'}",
    ],
)
def test_good_defaults_of_inputs(field: str) -> None:
    fine(whole(LOOK, inputs=f"a: {field}"))


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("{default: {»nope: x}}", "unknown_key"),
        ("{default: {sure: »5}}", "wrong_type"),
        ("{default: {maybe: »x}}", "wrong_type"),
        ("{default: {usual: »'no'}}", "wrong_type"),
        ("{default: {sure: »'{{ incident.severity }}'}}", "wrong_type"),
        ("{default: {sure: »'{{ incident.nope }}'}}", "maybe_unset"),
        ("{default: {sure: »'{{ steps.later.x }}'}}", "unknown_step"),
    ],
)
def test_what_silence_answers(end: str, code: str) -> None:
    as_marked(whole(ASK.replace("%s", end)), code)


def test_silence_may_answer_by_what_is_known() -> None:
    fine(whole(ASK % "{default: {sure: '{{ incident.title }}', maybe: '{{ incident.severity }}'}}"))


# --- approvals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("approve", "after", "code"),
    [
        ("[»nope]", "- {id: cut, action: lab.cut}", "unknown_step"),
        ("[cut, »ctu]", "- {id: cut, action: lab.cut}", "unknown_step"),
        ("[»look]", "- {id: cut, action: lab.cut}", "bad_value"),
        ("[»go]", "- {id: cut, action: lab.cut}", "bad_value"),
        ("[»say]", "- {id: say, note: x}", "bad_value"),
        ("[»block]", "- {id: block, do: [{note: x}]}", "bad_value"),
    ],
)
def test_what_an_approve_may_name(approve: str, after: str, code: str) -> None:
    as_marked(whole(LOOK + f"- {{id: go, approve: {approve}, {WHO}}}\n{after}"), code)


def test_an_approve_stands_before_what_it_covers_in_its_block_or_one_around_it() -> None:
    cut, go = "{id: cut, action: lab.cut}", "{id: go, approve: [cut], %s}" % WHO
    as_marked(whole(f"- »{cut}\n- {go}"), "approval_missing")
    as_marked(whole(f"- {{if: true, then: [{go}]}}\n- »{cut}"), "approval_missing")
    as_marked(whole(f"- {{parallel: {{a: [{go}], b: [»{cut}]}}}}"), "approval_missing")
    as_marked(whole(f"- {go}", always=f"- »{cut}"), "approval_missing")
    look, go_look = "{id: cut, action: lab.look}", go.replace("[cut]", "[»cut]")
    as_marked(whole(f"- {look}\n- {go_look}"), "bad_value")
    as_marked(whole(f"- {{id: cut, do: [{go_look}, {{action: lab.look}}]}}"), "bad_value")
    for block in ("{do: [%s]}", "{if: true, then: [%s]}", "{if: true, then: [{note: x}], else: [%s]}",
                  "{parallel: {a: [%s]}}", "{for_each: [1], do: [%s]}"):  # fmt: skip
        fine(whole(f"- {go}\n- {block % cut}"))
        fine(whole("- " + block % f"{go}, {cut}"))


def test_one_approval_covers_a_step() -> None:
    go = "- {id: %s, approve: [%s], %s}\n"
    steps = go % ("one", "cut", WHO) + go % ("two", "»cut", WHO) + "- {id: cut, action: lab.cut}"
    as_marked(whole(steps), "bad_value")
    steps = go % ("one", "block", WHO) + go % ("two", "»cut", WHO) + "- {id: block, do: [{id: cut, action: lab.cut}]}"
    as_marked(whole(steps), "bad_value")


# --- facts, clocks, drafts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("- set: {incident.severity: »9}", "wrong_type"),
        ("- set: {incident.thing: »'{{ none }}'}", "bad_value"),
        ("- set: {incident.severity: »high}", "wrong_type"),
        ("- set: {incident.severity: »'{{ incident.title }}'}", "wrong_type"),
        ("- set: {incident.personal_data: »maybe}", "wrong_type"),
        ("- set: {incident.personal_data: »'{{ incident.severity }}'}", "wrong_type"),
        ("- set: {incident.risk_to_people: »extreme}", "wrong_type"),
        ("- clocks: {fact: »personal_data, at: '{{ now() }}'}", "wrong_type"),
        ("- clocks: {fact: awareness, at: »soon}", "wrong_type"),
        ("- clocks: {fact: awareness, at: »'{{ incident.severity }}'}", "wrong_type"),
        ("- clocks: {fact: awareness, at: »5}", "wrong_type"),
    ],
)
def test_facts_have_types(step: str, code: str) -> None:
    as_marked(whole(step), code)


def test_a_fact_nobody_counts_from_is_a_warning() -> None:
    text = whole("- clocks: {fact: »our_own_fact, at: '{{ now() }}'}")
    (problem,) = judged(text)
    assert (problem.code, problem.severity) == ("bad_value", "warning")
    assert [(problem.line, problem.column)] == marks(text)


def test_a_title_is_no_template() -> None:
    text = whole("- {note: x, title: »'About {{ incident.id }}'}")
    assert [(p.code, p.severity, (p.line, p.column)) for p in judged(text)] == [("bad_value", "warning", *marks(text))]


@pytest.mark.parametrize(("word", "hint"), [("yes", "true"), ("no", "false"), ("on", "true"), ("off", "false")])
def test_yes_and_no_are_true_and_false_in_conditions(word: str, hint: str) -> None:
    (problem,) = judged(whole(f"- {{note: x, when: {word}}}"))
    assert (problem.code, problem.hint) == ("unsafe_expression", f"Write {hint}.")


# --- size and cycles ------------------------------------------------------------------------------


def runs(name: str, *others: str, times: int = 1) -> str:
    """A playbook that runs others."""
    steps = "".join(f"- {{run: {{playbook: {other}}}}}\n" for other in others for _ in range(times))
    return whole(steps or "- {note: x}", id=name)


def test_playbooks_that_run_each_other() -> None:
    as_marked(runs("example", "»example"), "playbook_cycle", runs("example", "example"))
    text = runs("example", "b")
    others = [runs("b", "c"), runs("c", "»example"), text]
    found = [problem for problem in judged(text, *others) if problem.severity == "error"]
    assert [(problem.code, problem.file) for problem in found] == [("playbook_cycle", "other1.yaml")]
    assert [(found[0].line, found[0].column)] == marks(others[1])
    assert "example > b > c > example" in found[0].message


def test_the_same_child_twice_is_no_cycle() -> None:
    assert refusals(runs("example", "b", "c"), runs("b", "d"), runs("c", "d"), runs("d")) == []


def chain(depth: int) -> list[str]:
    """Playbooks one below the other."""
    return [runs(f"p{number}", *([f"p{number + 1}"] if number < depth else [])) for number in range(1, depth + 1)]


def test_five_levels_and_no_more() -> None:
    assert refusals(runs("example", "p1"), *chain(MAX_DEPTH)) == []
    found = judged(runs("example", "p1"), *chain(MAX_DEPTH + 1))
    assert [(problem.code, problem.file) for problem in found] == [("plan_too_large", f"other{MAX_DEPTH - 1}.yaml")]


def test_a_plan_over_256_kb_is_refused() -> None:
    small, large = ["- {id: s%d, note: '%s'}" % (number, "x" * 1500) for number in range(200)], 130
    assert refusals(whole("\n".join(small[:large]))) == []
    text = whole("\n".join(small)).replace("steps:", "»steps:")
    as_marked(text, "plan_too_large")


def test_comments_do_not_count() -> None:
    assert refusals(whole("- {note: x}") + "# long\n" * 100_000) == []


def test_what_multiplies_is_refused_at_once() -> None:
    books = [runs("a", "b", times=400), runs("b", "c", times=400), runs("c", "d", times=400), runs("d", "e", times=400),
             runs("e")]  # fmt: skip
    began = time.thread_time()
    as_marked(runs("example", "a", times=400).replace("steps:", "»steps:"), "plan_too_large", *books)
    assert time.thread_time() - began < 10


def test_a_large_playbook_is_judged_quickly() -> None:
    text = whole("".join("- {id: s%d, action: lab.look, with: {targets: '{{ steps.s0.targets }}'}}\n" % number
                         if number else "- {id: s0, action: lab.look}\n" for number in range(200)))  # fmt: skip
    source = loaded(text)
    began = time.thread_time()
    assert validate(source, library=Library(), actions=ACTIONS) == []
    assert time.thread_time() - began < 1


def test_a_block_nested_as_deeply_as_yaml_allows() -> None:
    step = "{id: look, action: lab.look}"
    for _ in range(17):
        step = "{do: [%s]}" % step
    fine(whole(f"- {step}\n- {{note: '{{{{ steps.look.count }}}}'}}"))


def test_go_is_fine() -> None:
    fine(whole(GO))


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ("".join("- {id: s%d, note: '{{ steps.sx%d.y }}'}\n" % (n, n) for n in range(2500)), "unknown_step"),
        ("".join("- {id: s%d, action: lab.loook}\n" % n for n in range(2500)), "unknown_action"),
        ("".join("- {id: g%d, approve: [b], %s}\n" % (n, WHO) for n in range(800))
         + "- {id: b, do: [%s]}" % ", ".join(["{action: lab.cut}"] * 1500), "bad_value"),
        ("- {id: s0, action: lab.look}\n" + "".join("- {id: s%d, action: lab.look, with: {targets: '{{ steps.s0.targets }}'}}\n"
                                                     % n for n in range(1, 2200)), "plan_too_large"),
        ("".join("- {note: x, when: '%s'}\n" % " or ".join(["run.id is defined"] * 45) for n in range(500)), "plan_too_large"),
    ],
    ids=["unknown steps", "unknown actions", "approvals", "reads", "conditions"],
)  # fmt: skip
def test_nothing_grows_with_the_square_of_the_file(steps: str, code: str) -> None:
    began = time.thread_time()
    assert {found for found, _ in refusals(whole(steps))} == {code}
    assert time.thread_time() - began < 10
