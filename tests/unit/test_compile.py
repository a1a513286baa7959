"""The plan: frozen, whole, the same everywhere; what it is told and what it refuses."""

# ruff: noqa: UP031 - YAML is full of braces
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from playbooks.compile import MAX_PLAN, Compiled, compile_plan, validate
from playbooks.contract import Mode, RunContext
from playbooks.loader import Library
from playbooks.plan import PLAN_VERSION, PlannedStep, RunPlan
from playbooks.policy import Policy, RiskRule
from tests.books import ACTIONS, loaded, whole

ROOT = Path(__file__).resolve().parents[2]
INCIDENT = {
    "id": "INC-2026-1",
    "kind": "crm.oauth_token_theft",
    "severity": 4,
    "title": "A {{ 1 }} title",
    "opened_at": "2026-11-23T10:00:00Z",
    "detected_at": "2026-11-23T09:00:00Z",
    "first_seen": "2026-11-23T08:00:00Z",
    "org": "00D",
}
BY = "by: {roles: [platform_owner]}, within: 1h, on_timeout: [{escalate: legal, within: 30m}, deny]"


def compiled(text: str, *others: str, inputs: dict[str, Any] | None = None, **options: Any) -> Compiled:
    """Compile a playbook."""
    given = {"policy": Policy(), "incident": INCIDENT, "context": RunContext(), "actions": ACTIONS, **options}
    library = Library(loaded(other) for other in others)
    return compile_plan(loaded(text), library=library, inputs=inputs or {}, **given)


def plan(text: str, *others: str, **options: Any) -> RunPlan:
    """The plan of a playbook that has one."""
    found = compiled(text, *others, **options)
    assert found.plan is not None, found.problems
    return found.plan


def refusals(found: Compiled) -> list[tuple[str, int]]:
    """Codes and lines of what forbids a plan."""
    assert found.plan is None and found.digest == ""
    return [(problem.code, problem.line) for problem in found.problems if problem.severity == "error"]


def step(text: str, *others: str, **options: Any) -> PlannedStep:
    """The first step of a plan."""
    return plan(text, *others, **options).frame.steps[0]


LOOK = whole("- {id: look, action: lab.look}")


# --- digests --------------------------------------------------------------------------------------


def test_the_digest_is_sha256_over_the_canonical_json_of_the_plan() -> None:
    found = compiled(LOOK)
    assert found.plan is not None
    assert found.digest == hashlib.sha256(rfc8785.dumps(found.plan.model_dump(mode="json"))).hexdigest()


def test_a_plan_survives_the_wire() -> None:
    found = compiled(Library.shipped().get("crm-oauth-token-theft").text, *shipped(), inputs={"app": "Data Loader"})
    assert found.plan is not None
    again = RunPlan.model_validate_json(found.plan.model_dump_json())
    assert again == found.plan
    assert hashlib.sha256(rfc8785.dumps(again.model_dump(mode="json"))).hexdigest() == found.digest


def shipped() -> list[str]:
    """Texts of the playbooks that come with Stanch."""
    return [source.text for source in Library.shipped().sources()]


@pytest.mark.parametrize("seed", ["0", "1", "77"])
def test_the_digest_is_the_same_in_every_process(seed: str) -> None:
    code = (
        "from tests.unit.test_compile import *\nprint(compiled(shipped()[0], *shipped(), inputs={'app': 'x'}).digest)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
                         env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin"})  # fmt: skip
    assert ran.stdout.strip() == compiled(shipped()[0], *shipped(), inputs={"app": "x"}).digest


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"app": "other"}},
        {"policy": Policy(large_over=10)},
        {"context": RunContext(mode=Mode.EXERCISE)},
        {"actions": {**ACTIONS, "lab.look": ACTIONS["lab.look"].model_copy(update={"version": 2})}},
    ],
    ids=["inputs", "policy", "mode", "version"],
)
def test_whatever_the_run_depends_on_is_in_the_digest(change: dict[str, Any]) -> None:
    text = whole("- {action: lab.look}", inputs="app: {type: string, default: x}")
    assert compiled(text).digest != compiled(text, **change).digest


def test_what_it_does_not_use_is_not() -> None:
    fewer = {name: facts for name, facts in ACTIONS.items() if name == "lab.look"}
    assert compiled(LOOK).digest == compiled(LOOK, actions=fewer).digest
    assert compiled(LOOK).digest == compiled(LOOK, whole("- {note: x}", id="other")).digest


def test_a_sub_playbook_is_in_the_digest() -> None:
    run, child = whole("- {run: {playbook: other}}"), whole("- {note: x}", id="other")
    assert compiled(run, child).digest != compiled(run, child + "# a comment\n").digest


def test_the_playbook_is_named_by_the_digest_of_its_file() -> None:
    ref = plan(LOOK).frame.playbook
    assert (ref.id, ref.version, ref.title) == ("example", "1.0.0", "Example")
    assert ref.digest == hashlib.sha256(LOOK.encode()).hexdigest()


def test_versions_actions_policy_and_context_stand_in_the_plan() -> None:
    policy, context = Policy(rules={"contain": RiskRule(count=3)}), RunContext(mode=Mode.EXERCISE, rate=60)
    found = plan(whole("- {human: x, owner: legal, within: 1h, on_timeout: [stop], "
                       "verify: {action: lab.save, until: true}}\n- {run: {playbook: other}}"),
                 whole("- {action: lab.look}", id="other"), policy=policy, context=context)  # fmt: skip
    assert found.plan_version == PLAN_VERSION
    assert set(found.actions) == {"lab.look", "lab.save"}
    assert found.actions["lab.look"].version == 1
    assert (found.policy, found.context) == (policy, context)


# --- steps ----------------------------------------------------------------------------------------


def test_paths_are_ids_or_places() -> None:
    text = whole("- {note: a}\n- {id: b, note: b}\n- {do: [{note: c}]}\n- {parallel: {x: [{note: d}, {id: e, note: e}]}}\n"
                 "- {if: true, then: [{note: f}], else: [{note: g}]}\n- {id: child, run: {playbook: other}}",
                 always="- {note: z}")  # fmt: skip
    found = plan(text, whole("- {note: a}\n- {id: b, note: b}", id="other", always="- {note: c}"))
    assert sorted(paths(json.loads(found.model_dump_json()))) == sorted(
        ["@0", "b", "@2", "@2.do.0", "@3", "@3.x.0", "e", "@4", "@4.then.0", "@4.else.0", "child", "@always.0",
         "child/@0", "child/b", "child/@always.0"]
    )  # fmt: skip


def paths(value: Any) -> list[str]:
    """Every path in a plan."""
    if isinstance(value, dict):
        own = [value["path"]] if "spec" in value else []
        return own + [path for item in value.values() for path in paths(item)]
    return [path for item in value for path in paths(item)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("authored", "on_failure"),
    [
        ("action: lab.look", "stop"),
        ("action: lab.tell", "stop"),
        ("id: p, action: lab.pause", "ask"),
        ("id: p, action: lab.pause, on_failure: continue", "continue"),
        ("id: p, action: lab.pause, on_failure: undo", "undo"),
        ("note: x", "stop"),
        ("do: [{id: p, action: lab.pause}]", "stop"),
        ("action: lab.look, on_failure: ask", "ask"),
    ],
)
def test_what_follows_a_failure(authored: str, on_failure: str) -> None:
    assert step(whole(f"- {{{authored}}}")).on_failure == on_failure


def test_common_keys_are_kept() -> None:
    found = step(whole("- id: a\n  title: T\n  phase: contain\n  owner: legal\n  when: '{{ incident.severity > 3 }}'\n"
                       "  for_each: [1]\n  as: n\n  at_once: 3\n  timeout: 5m\n  retry: {times: 1, every: 2m, backoff: 3}\n"
                       "  labels: {a: [b]}\n  undo: {no: because}\n  action: lab.look\n"
                       "  with: {targets: ['{{ n }}']}"))  # fmt: skip
    assert (found.title, found.phase, found.owner, found.when) == ("T", "contain", "legal", "incident.severity > 3")
    assert (found.for_each, found.as_, found.at_once, found.timeout_seconds) == ([1], "n", 3, 300)
    assert found.retry is not None
    assert (found.retry.times, found.retry.every_seconds, found.retry.backoff) == (1, 120, 3)
    assert (found.labels, found.no_undo, found.line) == ({"a": ["b"]}, "because", 6)
    assert found.spec.with_ == {"targets": ["{{ n }}"]}


def test_durations_are_seconds_and_chains_are_spelt_out() -> None:
    found = step(whole("- {id: go, approve: [cut], %s}\n- {id: cut, action: lab.cut}" % BY)).spec
    assert (found.waiting.within_seconds, found.valid_for_seconds, found.on_deny) == (3600, 3600, "continue")
    assert [(link.role, link.within_seconds) for link in found.waiting.chain] == [("legal", 1800)]
    assert found.waiting.terminal.outcome == "deny"
    assert (found.by.roles, found.by.count, found.by.deny_count) == (("platform_owner",), 1, 1)


def test_approvals_are_spread_over_blocks() -> None:
    found = plan(whole("- {id: go, approve: [block, more], %s}\n"
                       "- id: block\n  do:\n    - {id: one, action: lab.cut}\n"
                       "    - parallel: {a: [{action: lab.change}], b: [{note: x}]}\n"
                       "    - {if: true, then: [{id: look, action: lab.look}]}\n"
                       "- {id: more, run: {playbook: other}}\n" % BY), whole("- {note: x}", id="other"))  # fmt: skip
    approve, block, more = found.frame.steps
    assert approve.spec.covers == ("one", "@1.do.1.a.0", "look", "more")
    assert approve.spec.names == ("block", "more")
    assert block.spec.steps[0].spec.covered_by == "go"
    assert block.spec.steps[1].spec.branches["a"][0].spec.covered_by == "go"
    assert block.spec.steps[2].spec.then[0].spec.covered_by == "go"
    assert more.spec.frame.steps[0].path == "more/@0"


def test_what_a_step_reads_is_known_beforehand() -> None:
    found = plan(whole("- {id: look, action: lab.look}\n- {id: also, action: lab.look}\n"
                       "- {note: '{{ steps.look.count }} {{ steps.also.meta.status }}', when: steps.look.count > 1}"))  # fmt: skip
    assert found.frame.steps[2].reads == ("look",)


def test_waits() -> None:
    found = plan(whole("- {wait: {for: 90s}}\n- {wait: {for: '{{ hours(2) }}'}}\n"
                       "- {wait: {until: '{{ incident.severity > 3 }}', every: 30s}, within: 1h, on_timeout: [continue]}"))  # fmt: skip
    first, second, third = (one.spec for one in found.frame.steps)
    assert (first.for_seconds, second.for_seconds) == (90, "{{ hours(2) }}")
    assert (third.until, third.every_seconds, third.waiting.terminal.outcome) == (
        "incident.severity > 3",
        30,
        "continue",
    )


# --- inputs ---------------------------------------------------------------------------------------

INPUTS = """
app: {type: string}
since: {type: datetime, default: "{{ incident.first_seen - hours(24) }}"}
level: {type: integer, default: 3}
mode: {type: choice, options: [soft, hard], required: no}
users: {type: {list: string}, required: no}
"""
TOLD = whole("- {note: '{{ inputs.app }}'}", inputs=INPUTS)


def test_defaults_are_filled_in_once() -> None:
    assert plan(TOLD, inputs={"app": "x"}).values == {"app": "x", "since": "2026-11-22T08:00:00Z", "level": 3}
    assert plan(TOLD, inputs={"app": "x", "level": 5, "users": []}).values["users"] == []
    assert plan(TOLD, inputs={"app": "x", "mode": None}).values.get("mode") is None


def test_a_value_is_data_never_a_template() -> None:
    assert plan(TOLD, inputs={"app": "{{ 7 * 7 }}"}).values["app"] == "{{ 7 * 7 }}"
    text = whole("- {note: x}", inputs="name: {type: string, default: '{{ incident.title }}'}")
    assert plan(text).values["name"] == "A {{ 1 }} title"


@pytest.mark.parametrize(
    ("given", "code", "line"),
    [
        ({}, "missing_key", 6),
        ({"app": 5}, "wrong_type", 6),
        ({"app": ["x"]}, "wrong_type", 6),
        ({"app": "x", "level": "3"}, "wrong_type", 8),
        ({"app": "x", "level": True}, "wrong_type", 8),
        ({"app": "x", "level": 1.5}, "wrong_type", 8),
        ({"app": "x", "since": "yesterday"}, "wrong_type", 7),
        ({"app": "x", "since": "2026-11-23T10:00:00"}, "wrong_type", 7),
        ({"app": "x", "mode": "other"}, "wrong_type", 9),
        ({"app": "x", "users": "a"}, "wrong_type", 10),
        ({"app": "x", "users": [1]}, "wrong_type", 10),
        ({"app": "half a character: \ud800"}, "wrong_type", 6),
        ({"app": "x", "level": 2**53}, "wrong_type", 8),
        ({"app": "x", "apps": "x"}, "unknown_key", 5),
    ],
)
def test_what_is_given_must_fit(given: dict[str, Any], code: str, line: int) -> None:
    assert refusals(compiled(TOLD, inputs=given)) == [(code, line)]


def test_a_default_without_a_value_is_told() -> None:
    text = whole("- {note: x}", inputs="a: {type: datetime, default: '{{ incident.title - hours(1) }}'}")
    assert refusals(compiled(text)) == [("maybe_unset", 6)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e17, "1", True])
def test_a_number_is_one_that_json_has(value: Any) -> None:
    text = whole("- {note: x}", inputs="n: {type: number}")
    assert plan(text, inputs={"n": 1.5}).values == {"n": 1.5}
    assert refusals(compiled(text, inputs={"n": value})) == [("wrong_type", 6)]


def test_a_duration_must_be_one() -> None:
    text = whole("- {wait: {for: '{{ inputs.pause }}'}}", inputs="pause: {type: duration}")
    assert plan(text, inputs={"pause": "5m"}).values == {"pause": "5m"}
    assert refusals(compiled(text, inputs={"pause": "soon"})) == [("wrong_type", 6)]


# --- limits ---------------------------------------------------------------------------------------


def test_what_is_wrong_with_the_playbook_comes_first() -> None:
    text = whole("- {id: cut, action: lab.cut}", inputs="app: {type: string}")
    assert refusals(compiled(text)) == [("approval_missing", 8)]
    assert compiled(text, inputs={"app": "x"}, safety=False).plan is not None


def test_warnings_come_with_the_plan() -> None:
    found = compiled(whole("- {id: p, action: lab.pause}"))
    assert found.plan is not None and [problem.code for problem in found.problems] == ["approval_depends"]


def test_a_plan_has_at_most_256_kb_with_its_inputs() -> None:
    text = whole("- {note: x}", inputs="data: {type: string}")
    size = len(rfc8785.dumps(plan(text, inputs={"data": ""}).model_dump(mode="json")))
    assert compiled(text, inputs={"data": "x" * (MAX_PLAN - size)}).plan is not None
    assert refusals(compiled(text, inputs={"data": "x" * (MAX_PLAN - size + 1)})) == [("plan_too_large", 7)]


def test_what_was_judged_before_is_believed() -> None:
    before = validate(loaded(LOOK), library=Library(), actions=ACTIONS, policy=Policy())
    assert compiled(LOOK, judged=before) == compiled(LOOK)
    wrong = validate(loaded(whole("- {id: look, action: lab.nothing}")), library=Library(), actions=ACTIONS)
    assert refusals(compiled(LOOK, judged=wrong)) == [(problem.code, problem.line) for problem in wrong]
