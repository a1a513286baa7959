"""The shape of every kind: a good step, and twins of it that differ in one part and are refused at that part."""

import pytest

from playbooks.model_steps import KINDS
from tests.books import HEAD, as_marked, refusals, whole

APPROVE = """
- id: go
  approve: [cut]
  by: {roles: [crm_owner], count: 2}
  within: 15m
  on_timeout: [{escalate: incident_commander, within: 15m}, deny]
  on_deny: continue
  valid_for: 1h
- {id: cut, action: lab.cut}
"""
ASK = """
- id: q
  ask: Did personal data leave?
  by: {roles: [privacy_officer]}
  form:
    left: {type: boolean}
    how: {type: choice, options: [mail, disk], required: no}
  within: 4h
  on_timeout: [{escalate: incident_commander, within: 2h}, {default: {left: true}}]
"""
HUMAN = """
- id: block
  human: Block the app.
  owner: crm_owner
  verify: {action: lab.look, with: {targets: [a]}, until: result.count == 0, every: 1m}
  within: 2h
  on_timeout: [continue]
"""
GOOD = {
    "action": "- id: a\n  action: lab.look\n  with: {targets: [x]}\n",
    "approve": APPROVE,
    "ask": ASK,
    "human": HUMAN,
    "wait": "- wait: {for: 10m}\n- wait: {until: incident.severity > 3, every: 1m}\n  within: 1h\n  on_timeout: [stop]\n",
    "parallel": "- parallel:\n    one: [{note: x}]\n    two: [{note: y}]\n  fail_fast: no\n",
    "if": "- if: incident.severity > 3\n  then: [{note: x}]\n  else: [{note: y}]\n",
    "choose": "- choose:\n  - {when: incident.severity > 3, do: [{note: x}]}\n  - {else: [{note: y}]}\n",
    "repeat": "- repeat: {do: [{note: x}], until: incident.severity > 3, at_most: 5, every: 1m}\n",
    "do": "- do: [{note: x}, {note: y}]\n  timeout: 10m\n",
    "run": "- run: {playbook: other, with: {app: x}}\n",
    "workflow": "- id: go\n  approve: [train]\n  by: {roles: [model_owner]}\n  within: 1h\n  on_timeout: [deny]\n"
    "- id: train\n  workflow: {type: retrain, with: {model: x}}\n",
    "set": "- set: {incident.personal_data: true, incident.severity: 4}\n",
    "clocks": '- clocks: {fact: awareness, at: "2026-11-23T10:00:00Z"}\n',
    "draft": "- draft: applicable\n- draft: [{regime: eu_gdpr_art33, stage: notification}]\n",
    "tell": "- tell: Hello.\n  to: [channel, crm_owner]\n  urgency: high\n",
    "note": "- note: Hello.\n",
    "require": "- require: incident.severity > 3\n  message: Too small.\n",
    "stop": "- stop: Enough.\n",
}
OTHER = whole("- {note: x}", inputs="app: {type: string}", id="other")

TWINS = [
    ("action", "action: lab.look", "»acton: lab.look", "unknown_key"),
    ("action", "action: lab.look", "action: »5", "wrong_type"),
    ("action", "action: lab.look", "»action: [lab.look]", "wrong_type"),
    ("action", "with: {targets: [x]}", "with: »x", "wrong_type"),
    ("action", "id: a", "id: »A", "bad_value"),
    ("action", "id: a", "id: »a-b", "bad_value"),
    ("action", "id: a", "id: »1a", "bad_value"),
    ("action", "id: a", "id: »5", "wrong_type"),
    ("action", "id: a", "id: »not", "name_taken"),
    ("action", "id: a", "»id:", "wrong_type"),
    ("approve", "approve: [cut]", "»approve: []", "bad_value"),
    ("approve", "approve: [cut]", "approve: »cut", "wrong_type"),
    ("approve", "count: 2", "count: »0", "bad_value"),
    ("approve", "count: 2", "count: »two", "wrong_type"),
    ("approve", "count: 2", "count: »2.0", "wrong_type"),
    ("approve", "{roles: [crm_owner], count: 2}", "{roles: [»Crm Owner]}", "bad_value"),
    ("approve", "within: 15m\n  on", "within: »15 minutes\n  on", "bad_value"),
    ("approve", "within: 15m\n  on", "within: »15\n  on", "wrong_type"),
    ("approve", "within: 15m\n  on", "within: »0m\n  on", "bad_value"),
    ("approve", ", deny]", ", »continue]", "wait_without_end"),
    ("approve", ", deny]", ", »unanswered]", "wait_without_end"),
    ("approve", ", deny]", ", »nope]", "bad_value"),
    ("approve", "on_deny: continue", "on_deny: »ask", "bad_value"),
    ("approve", "on_deny: continue", "»on_denial: continue", "unknown_key"),
    ("approve", "valid_for: 1h", "valid_for: »11y", "bad_value"),
    ("approve", "valid_for: 1h", "valid_for: »4000d", "bad_value"),
    ("ask", "ask: Did personal data leave?", "ask: »''", "bad_value"),
    ("ask", "left: {type: boolean}", "left: {type: »bool}", "bad_value"),
    ("ask", "required: no", "required: »maybe", "wrong_type"),
    ("ask", "{default: {left: true}}", "»continue", "wait_without_end"),
    ("ask", "{default: {left: true}}", "»deny", "wait_without_end"),
    ("human", "human: Block the app.", "»human: [Block]", "wrong_type"),
    ("human", "until: result.count == 0", "until: »''", "bad_value"),
    ("human", "every: 1m", "every: »often", "bad_value"),
    ("human", "[continue]", "[»deny]", "wait_without_end"),
    ("human", "[continue]", "[»unanswered]", "wait_without_end"),
    ("human", "owner: crm_owner", "owner: »CRM owner", "bad_value"),
    ("wait", "{for: 10m}", "{for: »soon}", "bad_value"),
    ("wait", "{for: 10m}", "{for: 10m, »every: 1m}", "bad_value"),
    ("wait", "wait: {for: 10m}", "»wait: {event: approved}", "wait_without_end"),
    ("wait", "{until: incident.severity > 3, every: 1m}", "{event: approved, »every: 1m}", "bad_value"),
    ("wait", "{until: incident.severity > 3, every: 1m}", "{event: »Approved!}", "bad_value"),
    ("wait", "wait: {for: 10m}", "»wait: {for: 10m, event: approved}", "missing_key"),
    ("wait", "[stop]", "[»deny]", "wait_without_end"),
    ("wait", "[stop]", "[»unanswered]", "wait_without_end"),
    ("parallel", "one: [{note: x}]", "»one: []", "bad_value"),
    ("parallel", "one: [{note: x}]", "one: »x", "wrong_type"),
    ("parallel", "one: [{note: x}]", "»One: [{note: x}]", "bad_value"),
    ("parallel", "fail_fast: no", "fail_fast: »sometimes", "wrong_type"),
    ("if", "if: incident.severity > 3", "if: »4", "wrong_type"),
    ("if", "then: [{note: x}]", "»then: []", "bad_value"),
    ("if", "else: [{note: y}]", "else: [»y]", "wrong_type"),
    ("if", "else: [{note: y}]", "»otherwise: [{note: y}]", "unknown_key"),
    ("ask", "left: {type: boolean}", "left: {»type: {list: many}}", "bad_value"),
    ("ask", "left: {type: boolean}", "»items: {type: boolean}", "name_taken"),
    ("approve", "within: 15m}, deny]", "»wihtin: 15m}, deny]", "unknown_key"),
    ("do", "do: [{note: x}, {note: y}]", "»do: []", "bad_value"),
    ("choose", "do: [{note: x}]", "»do: []", "bad_value"),
    ("choose", "when: incident.severity > 3", "when: »3", "wrong_type"),
    ("choose", "when: incident.severity > 3", "when: true, »if: incident.severity > 3", "unknown_key"),
    ("choose", "{when: incident.severity > 3, do: [{note: x}]}", "»{when: incident.severity > 3}", "missing_key"),
    ("choose", "{when: incident.severity > 3, do: [{note: x}]}", "»{do: [{note: x}]}", "missing_key"),
    ("choose", "{when: incident.severity > 3, do: [{note: x}]}", "»x", "wrong_type"),
    ("choose", "{when: incident.severity > 3, do: [{note: x}]}", "{»else: [{note: x}]}", "bad_value"),
    ("choose", "{else: [{note: y}]}", "{»else: []}", "bad_value"),
    ("choose", "{else: [{note: y}]}", "{else: [{note: y}], »when: true}", "unknown_key"),
    ("choose", "{else: [{note: y}]}", "{else: [{note: y}], »do: [{note: z}]}", "unknown_key"),
    ("repeat", "do: [{note: x}]", "»do: []", "bad_value"),
    ("repeat", "- repeat: {do: [{note: x}], ", "- »repeat: {", "missing_key"),
    (
        "repeat",
        "- repeat: {do: [{note: x}], until: incident.severity > 3,",
        "- »repeat: {do: [{note: x}],",
        "missing_key",
    ),
    ("repeat", "until: incident.severity > 3", "until: »''", "bad_value"),
    (
        "repeat",
        "- repeat: {do: [{note: x}], until: incident.severity > 3, at_most: 5, every: 1m}",
        "- »repeat: {do: [{note: x}], until: incident.severity > 3, every: 1m}",
        "unbounded_repeat",
    ),
    ("repeat", "at_most: 5", "at_most: »0", "bad_value"),
    ("repeat", "at_most: 5", "at_most: »1001", "bad_value"),
    ("repeat", "at_most: 5", "at_most: »many", "wrong_type"),
    ("repeat", "every: 1m", "every: »often", "bad_value"),
    ("repeat", "every: 1m", "»evry: 1m", "unknown_key"),
    ("tell", "to: [channel, crm_owner]", "»to: []", "bad_value"),
    ("do", "timeout: 10m", "timeout: »10", "wrong_type"),
    ("run", "playbook: other", "playbook: »Other One", "bad_value"),
    ("workflow", "workflow: {type: retrain, with", "»workflow: {with", "missing_key"),
    ("workflow", "type: retrain", "type: »Re train", "bad_value"),
    ("workflow", "type: retrain", "type: »retrian", "unknown_action"),
    ("workflow", "with: {model: x}", "with: {model: x, »modle: y}", "unknown_key"),
    ("workflow", "with: {model: x}", "with: {»model: [x]}", "wrong_type"),
    ("workflow", "with: {model: x}", "»wiht: {model: x}", "unknown_key"),
    ("workflow", "workflow: {type: retrain, with: {model: x}}", "action: »workflow.retrain", "unknown_action"),
    ("set", "incident.personal_data: true", "»personal_data: true", "bad_value"),
    ("set", "incident.personal_data: true", "incident.personal_data: »null", "bad_value"),
    ("set", "incident.personal_data: true", "»incident.id: x", "bad_value"),
    ("set", "incident.personal_data: true", "»incident.opened_at: x", "bad_value"),
    ("clocks", "fact: awareness", "fact: »Awareness", "bad_value"),
    ("draft", "applicable", "»all", "bad_value"),
    ("draft", "{regime: eu_gdpr_art33, stage: notification}", "»eu_gdpr_art33", "wrong_type"),
    ("tell", "[channel, crm_owner]", "[channel, »CRM owner]", "bad_value"),
    ("tell", "urgency: high", "urgency: »huge", "bad_value"),
    ("note", "note: Hello.", "note: »5", "wrong_type"),
    ("note", "note: Hello.", "note: »'  '", "bad_value"),
    ("require", "message: Too small.", "message: »''", "bad_value"),
    ("stop", "stop: Enough.", "stop: »true", "wrong_type"),
]


def test_every_kind_is_here() -> None:
    assert set(GOOD) == set(KINDS)


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_step_is_good(kind: str) -> None:
    assert refusals(whole(GOOD[kind]), OTHER) == []


@pytest.mark.parametrize(("kind", "good", "bad", "code"), TWINS)
def test_its_twin_is_refused_at_its_part(kind: str, good: str, bad: str, code: str) -> None:
    assert GOOD[kind].count(good) == 1
    as_marked(whole(GOOD[kind].replace(good, bad)), code, OTHER)


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("key", ["when", "on_failure", "for_each", "retry", "undo", "labels", "title"])
def test_a_key_without_a_value_is_never_ignored(kind: str, key: str) -> None:
    first = GOOD[kind].strip("\n").splitlines()[0]
    as_marked(
        whole(GOOD[kind].replace(first, f"{first.replace('- ', f'- »{key}:{chr(10)}  ', 1)}")), "wrong_type", OTHER
    )


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("title: »''", "bad_value"),
        ("phase: »contian", "bad_value"),
        ("owner: »CRM", "bad_value"),
        ("when: »5", "wrong_type"),
        ("when: »'x {{ true }}'", "unsafe_expression"),
        ("when: »'{{ true'", "unsafe_expression"),
        ("»as: x", "bad_value"),
        ("»at_once: 5", "bad_value"),
        ("timeout: »ten", "bad_value"),
        ("timeout: »-5m", "bad_value"),
        ("timeout: »1.5h", "bad_value"),
        ("retry: {times: »many}", "wrong_type"),
        ("retry: {times: »21}", "bad_value"),
        ("retry: {»time: 3}", "unknown_key"),
        ("retry: {backoff: »0.5}", "bad_value"),
        ("retry: {every: »10}", "wrong_type"),
        ("»retry: [3]", "wrong_type"),
        ("retry: »3", "wrong_type"),
        ("on_failure: »explode", "bad_value"),
        ("undo: »no", "wrong_type"),
        ("undo: {no: »''}", "bad_value"),
        ("labels: »x", "wrong_type"),
        ("labels: {a: »true}", "wrong_type"),
        ("labels: {a: [x, »1.5]}", "wrong_type"),
        ("labels: {»a: {b: c}}", "wrong_type"),
        ("»lables: {a: b}", "unknown_key"),
        ("»with: {a: b}", "unknown_key"),
        ("»with_: {a: b}", "unknown_key"),
        ("»kind: note", "unknown_key"),
    ],
)
def test_common_keys(key: str, code: str) -> None:
    as_marked(whole(f"- note: x\n  {key}"), code)


@pytest.mark.parametrize(
    ("loop", "code"),
    [
        ("for_each: »x", "wrong_type"),
        ("for_each: »5", "wrong_type"),
        ("»for_each: {a: b}", "wrong_type"),
        ("for_each: [1]\n  as: »steps", "name_taken"),
        ("for_each: [1]\n  as: »now", "name_taken"),
        ("for_each: [1]\n  as: »result", "name_taken"),
        ("for_each: [1]\n  as: »Item", "bad_value"),
        ("for_each: [1]\n  at_once: »0", "bad_value"),
        ("for_each: [1]\n  at_once: »501", "bad_value"),
    ],
)
def test_loops(loop: str, code: str) -> None:
    as_marked(whole(f"- note: x\n  {loop}"), code)
    assert refusals(whole("- note: x\n  for_each: [1]\n  as: other\n  at_once: 5")) == []


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("»a: {type: string}", "missing_key"),
        ("»a: {value: x}", "missing_key"),
        ("a: {type: »text, value: x}", "bad_value"),
        ("a: {type: »choice, value: x}", "bad_value"),
        ("a: {type: string, value: x, »required: false}", "unknown_key"),
        ("»meta: {type: string, value: x}", "name_taken"),
        ("»items: {type: string, value: x}", "name_taken"),
        ("a: »x", "wrong_type"),
    ],
)
def test_outputs(output: str, code: str) -> None:
    as_marked(f"{HEAD}outputs: {{{output}}}\nsteps: [{{note: x}}]\n", code)
    assert refusals(HEAD + "outputs: {a: {type: {list: string}, value: [x]}}\nsteps: [{note: x}]\n") == []


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("- »id: a", "missing_key"),
        ("- »{}", "missing_key"),
        ("- note: x\n  »tell: y", "bad_value"),
        ("- »x", "wrong_type"),
        ("- »null", "wrong_type"),
        ("- »notes: x", "unknown_key"),
        ("- id: a\n  »apporve: [b]", "unknown_key"),
        ("- »tell: x", "missing_key"),
        ("- »require: true", "missing_key"),
        ("- »if: true", "missing_key"),
        ("- »human: x\n  within: 1h\n  on_timeout: [stop]", "missing_key"),
        ("- »human: x\n  owner: legal\n  on_timeout: [stop]", "wait_without_end"),
        ("- »human: x\n  owner: legal\n  within: 1h", "wait_without_end"),
        ("- »wait: {until: true}\n  within: 1h", "wait_without_end"),
        ("- »wait: {until: true}\n  on_timeout: [stop]", "wait_without_end"),
        ("- »wait: {}", "missing_key"),
        ("- »wait: {for: 1m, until: true}", "missing_key"),
        ("- wait: {for: 1m}\n  »within: 1h", "bad_value"),
        ("- wait: {for: 1m}\n  »on_timeout: [stop]", "bad_value"),
        ("- wait: {until: true}\n  within: 1h\n  »on_timeout: [{escalate: legal, within: 1h}, stop]", "bad_value"),
    ],
)
def test_what_a_step_needs_stands_at_its_first_line(step: str, code: str) -> None:
    as_marked(whole(step), code)


@pytest.mark.parametrize("missing", ["stanch", "id", "version", "title"])
def test_the_header_must_be_whole(missing: str) -> None:
    lines = [line for line in HEAD.splitlines() if not line.startswith(f"{missing}:")]
    as_marked("»" + "\n".join(lines) + "\nsteps: [{note: x}]\n", "missing_key")


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ("stanch: 1", "stanch: »2", "not_in_this_version"),
        ("stanch: 1", "stanch: »'1'", "bad_value"),
        ("stanch: 1", "stanch: »true", "bad_value"),
        ("stanch: 1", "stanch: »1.0", "bad_value"),
        ("id: example", "id: »Example", "bad_value"),
        ("id: example", "id: »a_b", "bad_value"),
        ("id: example", "id: »-a", "bad_value"),
        ("id: example", "id: »../a", "bad_value"),
        ("id: example", f"id: »{'a' * 65}", "bad_value"),
        ("version: 1.0.0", "version: »1.0", "wrong_type"),
        ("version: 1.0.0", "version: »1", "wrong_type"),
        ("version: 1.0.0", "version: »v1.0.0", "bad_value"),
        ("title: Example", "title: »' '", "bad_value"),
        ("title: Example", "title: Example\n»owner: me", "unknown_key"),
        ("title: Example", "title: Example\nstarts_on: [»crm.nothing]", "bad_value"),
        ("title: Example", "title: Example\nstarts_on: »unknown", "wrong_type"),
        ("title: Example", "title: Example\n»labels:", "wrong_type"),
        ("title: Example", "title: Example\n»inputs: [app]", "wrong_type"),
        ("title: Example", "title: Example\ninputs: {»App: {type: string}}", "bad_value"),
        ("title: Example", "title: Example\ninputs: {app: »string}", "wrong_type"),
        ("title: Example", "title: Example\ninputs: {»app: {}}", "missing_key"),
        ("title: Example", "title: Example\ninputs: {app: {type: »text}}", "bad_value"),
        ("title: Example", "title: Example\ninputs: {app: {type: string, »defualt: x}}", "unknown_key"),
        ("title: Example", "title: Example\ninputs: {»app: {type: string, options: [a]}}", "bad_value"),
        ("title: Example", "title: Example\ninputs: {app: {type: string, »default: }}", "wrong_type"),
        ("title: Example", "title: Example\n»always: []", "bad_value"),
        ("title: Example", "title: Example\nalways: »x", "wrong_type"),
    ],
)
def test_the_header(good: str, bad: str, code: str) -> None:
    text = HEAD + "steps: [{note: x}]\n"
    assert refusals(text) == []
    as_marked(text.replace(good, bad), code)
