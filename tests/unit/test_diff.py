"""Comparing playbooks by meaning: twins with the finding that each must give, and weakenings that must be seen."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from playbooks.compile import validate
from playbooks.diff import diff
from playbooks.diff_findings import CODES, Finding, Weight
from playbooks.loader import LIBRARY, Library, load
from playbooks.problems import has_errors
from tests.books import ACTIONS, loaded, whole

LESS, SAFER, NEUTRAL = Weight.LESS_SAFE, Weight.SAFER, Weight.NEUTRAL
BASE = """\
- {id: logs, action: lab.save, with: {targets: [a, b]}}
- {id: disk, action: lab.save_disk}
- {id: look, action: lab.look}
- id: go
  approve: [cut, wipe, end]
  by: {roles: [crm_owner, legal], count: 2}
  within: 15m
  on_timeout: [{escalate: incident_commander, within: 15m}, deny]
  on_deny: stop
  valid_for: 1h
- {id: cut, action: lab.cut, with: {targets: [a, b]}, retry: {times: 2}}
- {id: wipe, action: lab.wipe, with: {targets: "{{ steps.look.targets }}"}}
- {id: end, when: incident.severity > 3, action: lab.destroy, timeout: 5m}
- {id: free, action: lab.pause, with: {targets: [a]}}
- {id: again, action: lab.look}
- {require: "{{ steps.again.count == 0 }}", message: It came back.}
- id: block
  human: Block the app
  owner: crm_owner
  verify: {action: lab.look, until: "{{ result.count == 0 }}", every: 1m}
  within: 2h
  on_timeout: [stop]
"""
ALWAYS = """\
- id: data
  ask: Did data leave?
  by: {roles: [privacy_officer]}
  form: {left: {type: boolean}, people: {type: integer, required: false}}
  within: 4h
  on_timeout: [{escalate: legal, within: 1h}, unanswered]
- {id: clock, clocks: {fact: awareness, at: "{{ incident.detected_at }}"}}
- {id: record, set: {incident.personal_data: true}}
- {id: drafts, draft: applicable}
- {id: word, tell: Drafts are ready., to: [legal, privacy_officer], urgency: high}
"""


def compared(old: str, new: str, *others: str) -> list[Finding]:
    """Findings between two texts that are both free of errors of shape and graph."""
    library = Library(loaded(other, f"other{number}.yaml") for number, other in enumerate(others))
    both = [loaded(text, f"{name}.yaml") for name, text in (("old", old), ("new", new))]
    for source in both:
        found = validate(source, library=library, actions=ACTIONS, safety=False)
        assert not has_errors(found), found
    return diff(*both, library=library, actions=ACTIONS)


TWINS: list[tuple[str, str, str, str]] = [
    ("approve: [cut, wipe, end]", "approve: [wipe, end]", "approval", "cut"),
    ("count: 2}", "count: 1}", "decider_count", "go"),
    ("roles: [crm_owner, legal], count: 2", "roles: [crm_owner, legal, ops], count: 2", "decider_roles", "go"),
    ("by: {roles: [crm_owner, legal], count: 2}", "by: {roles: [ops, legal], count: 2}", "decider_roles", "go"),
    ("count: 2}", "count: 2, deny_count: 2}", "deny_count", "go"),
    ("valid_for: 1h", "valid_for: 2h", "valid_for", "go"),
    ("  valid_for: 1h\n", "  valid_for: 90m\n", "valid_for", "go"),
    ("on_deny: stop", "on_deny: continue", "on_deny", "go"),
    ("  on_deny: stop\n", "", "on_deny", "go"),
    ("- {id: logs, action: lab.save, with: {targets: [a, b]}}\n", "", "evidence", "logs"),
    ("targets: [a, b]}}\n- {id: disk", "targets: [a]}}\n- {id: disk", "parameters", "logs"),
    ("{id: disk, action: lab.save_disk}", "{id: disk, action: lab.save_disk, on_failure: continue}", "evidence", "wipe"),
    ("{id: disk, ", "{id: disk, when: incident.severity > 2, ", "condition", "disk"),
    ("lab.cut, with: {targets: [a, b]}", "lab.cut, with: {targets: [a, b, c]}", "parameters", "cut"),
    ("lab.cut, with: {targets: [a, b]}", "lab.cut", "parameters", "cut"),
    ('"{{ steps.look.targets }}"', "[x]", "parameters", "wipe"),
    ("lab.pause, with: {targets: [a]}", 'lab.pause, with: {targets: "{{ steps.look.targets }}"}', "parameters", "free"),
    ("{id: free, action: lab.pause", "{id: free, action: lab.change", "action", "free"),
    (", retry: {times: 2}}", ", undo: {no: never}}", "undo", "cut"),
    (", timeout: 5m}", "}", "timeout", "end"),
    (", timeout: 5m}", ", timeout: 10m}", "timeout", "end"),
    ("- {id: again, ", "- {id: more, action: lab.pause}\n- {id: again, ", "effect", "more"),
    ("- {require: \"{{ steps.again.count == 0 }}\", message: It came back.}\n", "", "guard", ""),
    ("steps.again.count == 0", "steps.again.count < 9", "guard", ""),
    ('  verify: {action: lab.look, until: "{{ result.count == 0 }}", every: 1m}\n', "", "verification", "block"),
    ("result.count == 0", "result.count < 9", "verification", "block"),
    ("on_timeout: [stop]", "on_timeout: [continue]", "silence", "block"),
    ("[{escalate: legal, within: 1h}, unanswered]", "[unanswered]", "escalation", "data"),
    ("[{escalate: legal, within: 1h}, unanswered]", "[{escalate: legal, within: 1h}, {default: {left: false}}]",
     "silence", "data"),
    ("[{escalate: incident_commander, within: 15m}, deny]",
     "[{escalate: incident_commander, within: 15m}, {escalate: ops, within: 15m}, deny]", "escalation", "go"),
    (", people: {type: integer, required: false}", "", "form", "data"),
    ("draft: applicable", "draft: [{regime: eu_gdpr_art33, stage: notification}]", "draft", "drafts"),
    ("to: [legal, privacy_officer]", "to: [legal]", "recipients", "word"),
    ("urgency: high", "urgency: low", "recipients", "word"),
    ("- {id: clock, clocks: {fact: awareness, at: \"{{ incident.detected_at }}\"}}\n", "", "duty", "clock"),
    ("fact: awareness", "fact: notified", "duty", "clock"),
    ("- {id: record, set: {incident.personal_data: true}}\n", "", "duty", "record"),
    ("{id: drafts, ", "{id: drafts, when: incident.severity > 2, ", "condition", "drafts"),
    ("- {id: word, tell: Drafts are ready., to: [legal, privacy_officer], urgency: high}", "", "duty", "word"),
    ("- id: data\n  ask: Did data leave?", "- id: data\n  when: incident.severity > 2\n  ask: Did data leave?",
     "condition", "data"),
]  # fmt: skip
"""What is written, what is written instead, and the finding: always less safe, and safer the other way."""


@pytest.mark.parametrize(("old", "new", "code", "step"), TWINS, ids=[f"{t[2]}-{n}" for n, t in enumerate(TWINS)])
def test_a_weaker_twin_is_seen_and_said_where_it_stands(old: str, new: str, code: str, step: str) -> None:
    text = whole(BASE, always=ALWAYS)
    indented = [part.replace("\n", "\n  ") for part in (old, new)]
    assert text.count(indented[0]) == 1, "the twin must differ in one place"
    twin = text.replace(*indented)
    found = compared(text, twin)
    less = [finding for finding in found if finding.weight is LESS]
    assert (code, step) in [(finding.code, finding.step if step else "") for finding in less], found
    told = next(finding for finding in less if finding.code == code)
    assert told.old_line is not None or told.new_line is not None
    assert told.said[-1] == "." and told.code in CODES
    # Nobody can say which of two conditions or targets is less, nor which of two roles decides better.
    if (
        code not in ("guard", "verification", "action")
        and step != "free"
        and "ops, legal" not in new
        and "fact:" not in new
    ):
        back = compared(twin, text)
        assert not [finding for finding in back if finding.weight is LESS], back
    elif not new:
        assert not [finding for finding in compared(twin, text) if finding.weight is LESS]


def test_lines_are_those_of_what_changed() -> None:
    text = whole(BASE, always=ALWAYS)
    (found,) = compared(text, "# a line more\n" + text.replace("valid_for: 1h", "valid_for: 3h"))
    line = text.splitlines().index("    valid_for: 1h") + 1
    assert (found.old_line, found.new_line) == (line, line + 1)
    assert (found.old_file, found.new_file) == ("old.yaml", "new.yaml")


def test_spelling_titles_labels_and_comments_mean_nothing() -> None:
    text = whole(BASE, always=ALWAYS)
    other = text.replace("title: Example", "title: Another  # much better").replace("version: 1.0.0", "version: 2.0.0")
    other = other.replace("{id: logs,", "{id: logs, title: Secure them, labels: {a: b},")
    other = other.replace('"{{ steps.look.targets }}"', "'{{steps.look.targets}}'").replace("when: incident.severity > 3",
                                                                                           "when: '{{incident.severity  > 3 }}'")  # fmt: skip
    other = other.replace("valid_for: 1h", "valid_for: 60m").replace("within: 2h", "within: 120m")
    assert other.count("'{{") == 2 and compared(text, other) == []


def test_a_renamed_step_is_the_same_step() -> None:
    text = whole(BASE, always=ALWAYS)
    other = text.replace("id: look", "id: seen").replace("steps.look.", "steps.seen.").replace("id: word", "id: told")
    other = other.replace("id: go", "id: decide")
    assert [(found.code, found.weight, found.step) for found in compared(text, other)] == [
        ("renamed", NEUTRAL, "seen"),
        ("renamed", NEUTRAL, "decide"),
        ("renamed", NEUTRAL, "told"),
    ]


def test_a_duty_that_leaves_always_can_be_passed_by() -> None:
    moved = "- {id: drafts, draft: applicable}\n"
    old, new = whole(BASE, always=ALWAYS), whole(moved + BASE, always=ALWAYS.replace(moved, ""))
    assert [(found.code, found.weight) for found in compared(old, new)] == [("place", LESS)]
    assert [(found.code, found.weight) for found in compared(new, old)] == [("place", SAFER)]


def test_an_effect_that_moves_into_always_runs_after_a_denial_too() -> None:
    moved = "- {id: free, action: lab.pause, with: {targets: [a]}}\n"
    old, new = whole(BASE, always=ALWAYS), whole(BASE.replace(moved, ""), always=ALWAYS + moved)
    assert ("place", LESS, "free") in [(found.code, found.weight, found.step) for found in compared(old, new)]


def test_evidence_after_the_effect_is_too_late() -> None:
    logs = "- {id: logs, action: lab.save, with: {targets: [a, b]}}\n"
    found = compared(whole(BASE, always=ALWAYS), whole(BASE.replace(logs, "") + logs, always=ALWAYS))
    assert {("evidence", LESS, name) for name in ("wipe", "cut", "end", "free")} <= {
        (one.code, one.weight, one.step) for one in found
    }


def test_what_a_playbook_runs_is_part_of_it() -> None:
    child = whole("- {id: logs, action: lab.save}\n- {id: free, action: lab.pause}", id="other")
    run = "- {id: child, run: {playbook: other}}\n"
    found = compared(whole("- {note: x}"), whole("- {note: x}\n" + run), child)
    assert ("effect", LESS, "child/free") in [(one.code, one.weight, one.step) for one in found]
    assert next(one for one in found if one.step == "child/free").new_file == "other0.yaml"


def test_an_alert_that_nobody_answers_any_more() -> None:
    text = whole(BASE).replace("steps:", "starts_on: [key.exposed, crm.admin_abuse]\nsteps:")
    (found,) = compared(text, text.replace("key.exposed, ", ""))
    assert (found.code, found.weight) == ("alert", LESS) and "key.exposed" in found.said


def test_roles_that_each_must_be_heard() -> None:
    each = BASE.replace("roles: [crm_owner, legal], count: 2", "each: {crm_owner: 1, legal: 1}")
    assert [(found.code, found.weight) for found in compared(whole(each), whole(BASE))] == [("decider_each", LESS)]
    assert [(found.code, found.weight) for found in compared(whole(BASE), whole(each))] == [("decider_each", SAFER)]


def test_a_repeat_that_asks_for_less() -> None:
    text = whole(
        "- {id: r, repeat: {do: [{id: l, action: lab.look}], until: steps.l.count == 0, at_most: 5, every: 1m}}"
    )
    (found,) = compared(text, text.replace("count == 0", "count < 3"))
    assert (found.code, found.weight, found.step) == ("verification", LESS, "r")
    (found,) = compared(text, text.replace("at_most: 5", "at_most: 9"))
    assert (found.code, found.weight) == ("timing", NEUTRAL)


def test_a_way_that_is_chosen_otherwise() -> None:
    way = "- {id: c, choose: [{when: incident.severity > 3, do: [{id: t, tell: Hi, to: [legal]}]}]}"
    (found,) = compared(whole(way), whole(way.replace("> 3", "> 4")))
    assert (found.code, found.weight, found.step) == ("condition", LESS, "t")


def test_what_a_wait_is_for_and_what_is_given_back() -> None:
    wait = "- {wait: {event: said}, within: 4h, on_timeout: [continue]}"
    (found,) = compared(whole(wait), whole(wait.replace("said", "told")))
    assert (found.code, found.weight) == ("guard", NEUTRAL)
    (found,) = compared(whole(wait), whole(wait.replace("continue", "stop")))
    assert (found.code, found.weight) == ("silence", SAFER)
    given = "outputs: {n: {type: integer, value: 1}}\nsteps:"
    (found,) = compared(whole(wait), whole(wait).replace("steps:", given))
    assert (found.code, found.weight) == ("output", NEUTRAL) and "n is new" in found.said


# --- properties -----------------------------------------------------------------------------------

Book = dict[str, Any]
SHIPPED = Library.shipped()
BOOKS = {
    "lab": whole(BASE, always=ALWAYS),
    **{source.playbook.id: source.text for source in SHIPPED.sources()},
}


def steps_of(book: Book) -> Iterator[tuple[list[Any], int, Book]]:
    """Every step with the list that holds it."""
    waiting = [book["steps"], book.get("always", [])]
    while waiting:
        block = waiting.pop()
        for number, step in enumerate(block):
            yield block, number, step
            waiting += [step[key] for key in ("then", "else", "do") if isinstance(step.get(key), list)]
            waiting += step.get("parallel", {}).values()


def drop_step(block: list[Any], number: int, step: Book) -> bool:
    facts = ACTIONS.get(step.get("action", ""))
    if not {"ask", "human", "tell", "draft", "clocks", "set", "require", "approve"} & step.keys() and not (
        facts and facts.acquires
    ):
        return False
    block[number] = {"note": "Nothing"}
    return True


def lower_count(block: list[Any], number: int, step: Book) -> bool:
    if step.get("by", {}).get("count", 1) < 2:
        return False
    step["by"]["count"] -= 1
    return True


def add_role(block: list[Any], number: int, step: Book) -> bool:
    if "roles" not in step.get("by", {}) or "approve" not in step:
        return False
    step["by"]["roles"].append("anybody")
    return True


def longer(block: list[Any], number: int, step: Book) -> bool:
    if "approve" not in step:
        return False
    step["valid_for"] = "9d"
    return True


def go_on(block: list[Any], number: int, step: Book) -> bool:
    if step.get("on_failure") == "continue" or "action" not in step:
        return False
    step["on_failure"] = "continue"
    return True


def unverified(block: list[Any], number: int, step: Book) -> bool:
    return step.pop("verify", None) is not None


def conditional(block: list[Any], number: int, step: Book) -> bool:
    if not {"ask", "tell", "draft", "clocks", "set", "human"} & step.keys() or "when" in step:
        return False
    step["when"] = "{{ incident.severity > 4 }}"
    return True


def uncovered(block: list[Any], number: int, step: Book) -> bool:
    if len(step.get("approve", [])) < 2:
        return False
    step["approve"].pop()
    return True


WEAKENINGS: list[Callable[[list[Any], int, Book], bool]] = [
    drop_step, lower_count, add_role, longer, go_on, unverified, conditional, uncovered,
]  # fmt: skip


@pytest.mark.parametrize("name", ["lab", "crm-oauth-token-theft"])
def test_whatever_leaves_always_is_reported(name: str) -> None:
    plain = yaml.safe_load(BOOKS[name])
    old, seen = loaded(yaml.safe_dump(plain, sort_keys=False), "old.yaml"), 0
    for number, step in enumerate(plain["always"]):
        kinds = {"ask", "tell", "draft", "clocks", "set"} & step.keys()
        if not kinds or len(plain["always"]) < 2:
            continue
        weaker = deepcopy(plain)
        weaker["steps"].append(weaker["always"].pop(number))
        new = loaded(yaml.safe_dump(weaker, sort_keys=False), "new.yaml")
        if has_errors(validate(new, library=SHIPPED, actions=ACTIONS, safety=False)):
            continue
        there = diff(old, new, library=SHIPPED, actions=ACTIONS)
        assert [found.weight for found in there if found.code == "place"] == [LESS], (name, number, there)
        back = diff(new, old, library=SHIPPED, actions=ACTIONS)
        assert not [found for found in back if found.weight is LESS], (name, number, back)
        seen += 1
    assert seen


@pytest.mark.parametrize("name", BOOKS)
def test_a_playbook_does_not_differ_from_itself(name: str) -> None:
    source = loaded(BOOKS[name])
    assert diff(source, loaded(BOOKS[name]), library=SHIPPED, actions=ACTIONS) == []


@pytest.mark.parametrize("weaken", WEAKENINGS, ids=lambda weaken: weaken.__name__)
def test_every_weakening_of_every_playbook_is_reported(weaken: Callable[[list[Any], int, Book], bool]) -> None:
    seen = 0
    for name, text in BOOKS.items():
        plain = yaml.safe_load(text)
        old = loaded(yaml.safe_dump(plain, sort_keys=False), "old.yaml")
        places = range(len(list(steps_of(plain))))
        # Of the long ones every third step, of the longest fewer: each takes a while.
        stride = 3 * max(1, len(places) // 50)
        for place in places if len(places) < 30 else places[WEAKENINGS.index(weaken) % stride :: stride]:
            weaker = deepcopy(plain)
            if not weaken(*list(steps_of(weaker))[place]):
                continue
            new = loaded(yaml.safe_dump(weaker, sort_keys=False), "new.yaml")
            if has_errors(validate(new, library=SHIPPED, actions=ACTIONS, safety=False)):
                continue  # something reads what is no longer there: refused, not compared
            there = diff(old, new, library=SHIPPED, actions=ACTIONS)
            back = diff(new, old, library=SHIPPED, actions=ACTIONS)
            assert any(found.weight is LESS for found in there), (name, place, there)
            assert not any(found.weight is LESS for found in back), (name, place, back)
            seen += 1
    assert seen, "nothing could be weakened"


def test_shipped_playbooks_compare_to_each_other_without_failing() -> None:
    sources = SHIPPED.sources()
    for number, one in enumerate(sources):
        # Itself, and those that stand next: all pairs would take half a minute.
        for other in (one, sources[number - 1], sources[number - 4]):
            found = diff(one, other, library=SHIPPED, actions=ACTIONS)
            assert bool(found) == (one is not other)
    assert load(LIBRARY / "none.yaml")[0] is None
