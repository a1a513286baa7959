"""Guard policy: whom it demands, for what, in which words; and that nothing worse ever needs fewer."""

import re
import tomllib
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.catalog import CATALOG
from playbooks.contract import ActionFacts, Idempotency, Risk
from playbooks.policy import EFFECTS, Demand, Policy, Requirement, RiskRule, beyond, idle, requirement
from worker.settings import FileSettings, Settings
from worker.start_checks import policy as doctors_policy

ROLES = ("crm_owner", "legal", "platform_owner", "privacy_officer")


def act(name: str = "crm.end", risk: Risk = Risk.CONTAIN, **more: object) -> ActionFacts:
    """An action as policy sees it."""
    fields: dict = {
        "name": name,
        "system": name.partition(".")[0],
        "title": name,
        "risk": risk,
        "idempotency": Idempotency.NATURAL,
        "owner": "crm_owner",
        "queue": "crm",
    }
    return ActionFacts(**{**fields, **more})


def asks(policy: Policy, action: ActionFacts | None = None, severity: int | None = 3, **more: int) -> str:
    """Who is needed, in words; ``never`` if it is refused."""
    found = requirement(policy, action or act(), severity=severity, **more)  # type: ignore[arg-type]
    return "never" if found.refused else found.who


def demand(**fields: object) -> Policy:
    """The default policy with one more rule."""
    return Policy(demands=(Demand(**{"name": "Ours", **fields}),))  # type: ignore[arg-type]


DESTROY = act(risk=Risk.DESTROY)
FREEZE = act(reversible=True)
ABORT = act(preauthorised="jobs_read_from_org")


@pytest.mark.parametrize(
    ("action", "given", "who", "rule"),
    [
        (act(risk=Risk.READ), {}, "nobody", "read: free"),
        (act(risk=Risk.NOTIFY), {"affected": 5000, "protected": 3}, "nobody", "notify: free"),
        (act(), {}, "1 of crm_owner", "contain: 1 of crm_owner"),
        (act(), {"severity": 5}, "1 of crm_owner", "contain: 1 of crm_owner"),
        (FREEZE, {"severity": None}, "1 of crm_owner", "contain: 1 of crm_owner"),
        (FREEZE, {"severity": 4}, "nobody", "contain: reversible at severity 4, free"),
        (ABORT, {"targets_read": True}, "nobody", "contain: pre-authorised (jobs_read_from_org)"),
        (ABORT, {}, "1 of crm_owner", "contain: 1 of crm_owner"),
        (act(risk=Risk.CHANGE, reversible=True), {"severity": 5}, "1 of crm_owner", "change: 1 of crm_owner"),
        (DESTROY, {}, "2 of crm_owner", "destroy: 2 of crm_owner"),
        (DESTROY, {"protected": 1}, "3 of crm_owner", "destroy: 2 of crm_owner; 1 protected target: 1 more"),
        (act(), {"affected": 1000}, "1 of crm_owner", "contain: 1 of crm_owner"),
        (act(), {"affected": 1001}, "2 of crm_owner", "contain: 1 of crm_owner; more than 1000 affected: 1 more"),
        (
            FREEZE,
            {"severity": 5, "affected": 1001, "protected": 2},
            "2 of crm_owner",
            "contain: reversible at severity 5, free; 2 protected targets: 1 more; more than 1000 affected: 1 more",
        ),
    ],
)
def test_defaults_are_the_contracts(action: ActionFacts, given: dict, who: str, rule: str) -> None:
    found = requirement(Policy(), action, **{"severity": 3, **given})
    assert (found.who, found.rule, found.refused) == (who, rule, False)
    assert {need.why for need in found.needs} <= {rule}


@pytest.mark.parametrize(
    ("owners", "who"),
    [
        ({}, "1 of crm_owner"),
        ({"aws": ("platform_owner",)}, "1 of crm_owner"),
        ({"crm": ("legal",)}, "1 of legal"),
        ({"crm.*": ("legal",)}, "1 of legal"),
        ({"crm.end": ("legal",), "crm": ("privacy_officer",)}, "1 of legal"),
        ({"crm.e*": ("legal",), "crm.*": ("privacy_officer",)}, "1 of legal"),
        ({"*": ("legal",), "crm": ("privacy_officer",)}, "1 of privacy_officer"),
    ],
)
def test_who_owns_a_system_or_an_action_is_told_by_the_closest_pattern(owners: dict, who: str) -> None:
    assert asks(Policy(owners=owners)) == who


def test_of_several_owners_each_is_heard() -> None:
    policy = Policy(owners={"crm": ("crm_owner", "privacy_officer")})
    assert asks(policy) == "1 of crm_owner, 1 of privacy_officer"
    two = "1 of crm_owner, 1 of privacy_officer, 2 of crm_owner or privacy_officer"
    assert asks(policy, DESTROY) == two, "one person who holds both roles is one person"
    assert asks(policy, FREEZE, 5) == "nobody"
    found = requirement(policy, DESTROY, severity=3)
    assert found.rule == "destroy: 2 people, 1 each of crm_owner and privacy_officer among them"


@pytest.mark.parametrize(
    ("fields", "severity", "more", "who"),
    [
        ({"count": 2}, 3, {}, "2 of crm_owner"),
        ({"count": 2}, 5, {}, "2 of crm_owner"),
        ({"extra": 1}, 3, {}, "2 of crm_owner"),
        ({"count": 2, "extra": 1}, 3, {"protected": 1}, "4 of crm_owner"),
        ({"count": 1, "roles": ("legal",)}, 3, {}, "1 of crm_owner, 1 of legal"),
        ({"never": True}, 3, {}, "never"),
        ({"never": True, "actions": ("aws.*",)}, 3, {}, "1 of crm_owner"),
        ({"never": True, "actions": ("crm",)}, 3, {}, "never"),
        ({"never": True, "risks": (Risk.DESTROY,)}, 3, {}, "1 of crm_owner"),
        ({"never": True, "environments": ("production",)}, 3, {}, "never"),
        ({"never": True, "environments": ("staging",)}, 3, {}, "1 of crm_owner"),
        ({"never": True, "irreversible": True}, 3, {}, "never"),
        ({"never": True, "protected": True}, 3, {}, "1 of crm_owner"),
        ({"never": True, "protected": True}, 3, {"protected": 1}, "never"),
        ({"extra": 2, "affected_over": 50}, 3, {"affected": 50}, "1 of crm_owner"),
        ({"extra": 2, "affected_over": 50}, 3, {"affected": 51}, "3 of crm_owner"),
        ({"count": 2, "severity_below": 3}, 3, {}, "1 of crm_owner"),
        ({"count": 2, "severity_below": 3}, 2, {}, "2 of crm_owner"),
        ({"count": 2, "severity_below": 3}, None, {}, "2 of crm_owner"),
    ],
)
def test_a_further_rule_counts_where_all_that_it_says_holds(
    fields: dict, severity: int | None, more: dict, who: str
) -> None:
    assert asks(demand(**fields), act(), severity, **more) == who


def test_a_reversible_action_escapes_a_rule_for_what_cannot_be_undone() -> None:
    assert asks(demand(never=True, irreversible=True), FREEZE) == "1 of crm_owner"


def test_systems_have_environments_and_an_unnamed_one_is_production() -> None:
    rule = Demand(name="Nothing is destroyed in production", environments=("production",), never=True)
    policy = Policy(environments={"lab*": "staging", "crm": "test"}, demands=(rule,))
    assert [asks(policy, act(name)) for name in ("lab2.end", "crm.end", "aws.end")] == [
        "1 of crm_owner",
        "1 of crm_owner",
        "never",
    ]
    both = Policy(environments={"crm": "test", "crm.end": "production"}, demands=(rule,))
    assert asks(both) == "never", "what two entries name is in both environments"


def test_several_thresholds_and_every_rule_is_told_by_its_name() -> None:
    rules = (
        Demand(name="More than 50", affected_over=50, extra=1),
        Demand(name="More than 500", affected_over=500, extra=1),
        Demand(name="Mass action", affected_over=500, count=3),
        Demand(name="A lawyer looks", affected_over=50, count=1, roles=("legal",)),
    )
    found = requirement(Policy(demands=rules), act(), severity=3, affected=600)
    assert found.who == "5 of crm_owner, 1 of legal"
    said = "Mass action: 3 of crm_owner; contain: 1 of crm_owner; More than 50: 1 more; More than 500: 1 more"
    assert found.rule == f"{said}; A lawyer looks: 1 of legal"
    assert [need.why for need in found.needs] == [said, "A lawyer looks: 1 of legal"]


def test_a_refusal_names_its_rule() -> None:
    assert requirement(demand(never=True), act(), severity=5).rule == "never: Ours"
    assert requirement(Policy(rules={}), act(), severity=5).rule == "contain: no rule, refused"
    assert requirement(Policy(rules={}), act(risk=Risk.READ), severity=5).rule == "read: free"


def test_a_pattern_that_means_no_action_is_found() -> None:
    policy = Policy(
        owners={"crm": ("legal",), "crn.*": ("legal",)},
        environments={"aws": "test"},
        demands=(Demand(name="x", actions=("crm.end", "crm.edn"), extra=1),),
    )
    assert idle(policy, {"crm.end": act()}) == ["crn.*", "aws", "crm.edn"]


def test_doctor_names_it(tmp_path: Path) -> None:
    assert doctors_policy(Settings.load({}, tmp_path)).state == "ok"
    (tmp_path / "stanch.toml").write_text('[policy.owners]\n"salesfroce.*" = ["crm_owner"]\n')
    found = doctors_policy(Settings.load({}, tmp_path))
    assert found.state == "fail" and "salesfroce.*" in found.message


@pytest.mark.parametrize(
    ("roles", "count", "said"),
    [
        (("legal",), 1, None),
        (("legal",), 2, "2 of legal are needed, and policy.maximum says that 1 hold it at most."),
        (("legal", "crm_owner"), 3, None),
        (("legal", "crm_owner"), 4, "4 of legal or crm_owner are needed, and policy.maximum says that 3"),
        (("legal", "model_owner"), 9, None),
    ],
)
def test_declared_maxima(roles: tuple[str, ...], count: int, said: str | None) -> None:
    found = beyond(Policy(maximum={"legal": 1, "crm_owner": 2}), roles, count)
    assert (found is None) if said is None else (found or "").startswith(said)


# --- the page -------------------------------------------------------------------------------------

ROW = re.compile(r"^\| `(salesforce\.\w+)` \| (\d) \| (\d+) \| (\d+) \| (.+) \|$", re.M)
PAGE = (Path(__file__).parents[2] / "docs/policy.md").read_text(encoding="utf-8")


def worked() -> list[tuple[Policy, tuple[str, ...]]]:
    """Every row of the page's examples, with the policy above it."""
    found, policy = [], Policy()
    for part in re.split(r"^(?=```toml|<!-- example)", PAGE, flags=re.M)[1:]:
        block = re.match(r"```toml\n(.*?)```", part, re.S)
        if block:
            policy = Policy.model_validate(FileSettings.model_validate(tomllib.loads(block[1])).policy.model_dump())
        found += [(policy, row) for row in ROW.findall(part)]
    return found


@pytest.mark.parametrize(("policy", "row"), worked(), ids=lambda value: value[0] if isinstance(value, tuple) else "")
def test_the_pages_examples_are_true(policy: Policy, row: tuple[str, ...]) -> None:
    name, severity, affected, protected, who = row
    counts = {"affected": int(affected), "protected": int(protected)}
    assert asks(policy, CATALOG.facts()[name], int(severity), **counts) == who


def test_the_page_has_examples() -> None:
    assert len(worked()) > 15


# --- properties -----------------------------------------------------------------------------------

ACTIONS = st.builds(
    act,
    name=st.sampled_from(["crm.end", "crm.freeze", "aws.rotate"]),
    risk=st.sampled_from(list(Risk)),
    reversible=st.booleans(),
    preauthorised=st.sampled_from([None, "jobs_read_from_org", "other"]),
)
PATTERNS = st.sampled_from(["*", "crm", "crm.*", "crm.end", "aws.r*", "no.such"])
SEVERITIES = st.none() | st.integers(0, 5)
SOME = st.sampled_from([(), *((role,) for role in ROLES), *combinations(ROLES, 2)])
DEMANDS = st.builds(
    Demand,
    name=st.sampled_from(["a", "b", "c"]),
    actions=st.lists(PATTERNS, min_size=1, max_size=2).map(tuple),
    risks=st.lists(st.sampled_from(EFFECTS), min_size=1, max_size=3).map(tuple),
    environments=st.sampled_from([(), ("production",), ("test",)]),
    irreversible=st.booleans(),
    protected=st.booleans(),
    affected_over=st.none() | st.integers(0, 30),
    severity_below=st.none() | st.integers(1, 5),
    count=st.integers(0, 3),
    roles=SOME,
    extra=st.integers(0, 2),
    never=st.sampled_from([False, False, False, True]),
)
RULES = st.builds(RiskRule, count=st.integers(0, 3), free_reversible_from=st.none() | st.integers(0, 5))
POLICIES = st.builds(
    Policy,
    rules=st.dictionaries(st.sampled_from(["contain", "change", "destroy"]), RULES, max_size=3),
    protected_extra=st.integers(0, 2),
    large_over=st.integers(0, 30),
    large_extra=st.integers(0, 2),
    owners=st.dictionaries(PATTERNS, SOME.filter(bool), max_size=3),
    environments=st.dictionaries(PATTERNS, st.sampled_from(["production", "test"]), max_size=2),
    demands=st.lists(DEMANDS, max_size=3).map(tuple),
)


def at_least(more: Requirement, less: Requirement) -> bool:
    """Whether every set of people that would do for ``more`` would do for ``less`` too."""
    if more.refused:
        return True
    held: Counter[frozenset[str]] = Counter({frozenset(need.roles): need.count for need in more.needs})
    return not less.refused and all(held[frozenset(need.roles)] >= need.count for need in less.needs)


@settings(max_examples=50)
@given(POLICIES, ACTIONS, SEVERITIES, st.integers(0, 40), st.integers(0, 3), st.booleans(), st.data())
def test_nothing_worse_needs_fewer_people(policy, action, severity, affected, protected, read, data) -> None:
    lower = data.draw(st.none() | st.integers(0, severity)) if severity is not None else None
    more, further = data.draw(st.integers(affected, 50)), data.draw(st.integers(protected, 5))
    least = requirement(policy, action, severity=severity, affected=affected, protected=protected, targets_read=read)
    worse = requirement(
        policy, action, severity=lower, affected=more, protected=further, targets_read=read and data.draw(st.booleans())
    )
    assert at_least(worse, least)


@settings(max_examples=50)
@given(POLICIES, DEMANDS, st.integers(0, 3), ACTIONS, SEVERITIES, st.integers(0, 40), st.integers(0, 3), st.booleans())
def test_a_rule_more_never_lowers_anything(policy, rule, at, action, severity, affected, protected, read) -> None:
    known = {"severity": severity, "affected": affected, "protected": protected, "targets_read": read}
    demands = (*policy.demands[:at], rule, *policy.demands[at:])
    stricter = policy.model_copy(update={"demands": demands})
    assert at_least(requirement(stricter, action, **known), requirement(policy, action, **known))


@settings(max_examples=50)
@given(POLICIES, ACTIONS, SEVERITIES, st.integers(0, 40), st.integers(0, 3), st.booleans())
def test_only_reads_and_words_go_without_a_rule_and_every_answer_says_why(
    policy, action, severity, affected, protected, read
) -> None:
    found = requirement(policy, action, severity=severity, affected=affected, protected=protected, targets_read=read)
    assert found.rule
    assert all(need.count > 0 and need.roles and need.why for need in found.needs)
    if not action.risk.is_effect:
        assert not found.needs and not found.refused
    elif action.risk.value not in policy.rules:
        assert found.refused
    again = Policy.model_validate_json(policy.model_dump_json())
    assert found == requirement(
        again, action, severity=severity, affected=affected, protected=protected, targets_read=read
    )
