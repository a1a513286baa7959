"""Envelopes: what an approval bounds, and how a difference is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.contract import ActionFacts, FieldFacts, Idempotency, Mode, Preview, Risk, Scope
from playbooks.policy import Policy
from workflows.envelopes import demanded, differences, envelope_of, freeze, targets_of


def facts(**more: object) -> ActionFacts:
    """A containment of targets."""
    fields: dict = {
        "name": "lab.end",
        "system": "lab",
        "title": "End",
        "risk": Risk.CONTAIN,
        "idempotency": Idempotency.NATURAL,
        "owner": "crm_owner",
        "queue": "lab",
        "params": {"targets": FieldFacts(type="targets")},
    }
    return ActionFacts(**{**fields, **more})


def sealed(params: dict, shown: int, **more: object):
    """The envelope of a call of which so many targets were shown."""
    return envelope_of(facts(**more), plan="p", step="s", item=None, params=params, shown=shown, mode=Mode.LIVE)


SET = {"ref": "sha256:aa", "sha256": "aa", "count": 7, "sample": []}


def test_named_targets_are_bound_by_hash_and_number() -> None:
    envelope = sealed({"targets": SET}, 5)
    assert (envelope.scope, envelope.target_sha256, envelope.max_affected) == (Scope.EXACT, "aa", 7)


def test_a_literal_list_is_bound_by_its_own_hash() -> None:
    one, other = sealed({"targets": ["a", "b"]}, 2), sealed({"targets": ["a", "c"]}, 2)
    assert one.max_affected == 2
    assert one.target_sha256 != other.target_sha256


@pytest.mark.parametrize(("shown", "most"), [(0, 10), (1, 11), (10, 20), (50, 60), (51, 62), (100, 120), (101, 122)])
def test_a_selector_may_find_a_little_more_than_was_shown(shown: int, most: int) -> None:
    envelope = sealed({}, shown, selector=True)
    assert (envelope.scope, envelope.target_sha256, envelope.max_affected) == (Scope.SELECTOR, None, most)


@given(st.integers(0, 10**6))
def test_a_selectors_bound_is_never_below_a_fifth_more_nor_ten_more(shown: int) -> None:
    most = sealed({}, shown, selector=True).max_affected
    assert most >= shown + 10
    assert most * 10 >= shown * 12
    assert most <= max(shown + 10, shown * 1.2 + 1)


def test_no_targets_named() -> None:
    assert targets_of(facts(params={}), {"x": 1}) == (None, None)


def test_what_differs_is_told_in_sentences() -> None:
    call = freeze(sealed({"targets": SET}, 7), Preview(summary="s", count=7, protected=("root",)))
    assert call.protected == 1
    assert differences(call, {"targets": SET}) == []
    grown = differences(call, {"targets": {**SET, "sha256": "bb", "count": 9}})
    assert grown == ["targets: approved 7 targets (aa), now 9 targets (bb)."]
    assert differences(call, {}) == ["targets: approved 7 targets (aa), now nothing."]
    assert differences(None, {}) == ["This was not among what was approved."]


@pytest.mark.parametrize(
    ("risk", "reversible", "severity", "count", "protected", "needed"),
    [
        (Risk.READ, False, None, 5, 0, 0),
        (Risk.NOTIFY, False, None, 5, 0, 0),
        (Risk.CONTAIN, True, 3, 5, 0, 1),
        (Risk.CONTAIN, True, 4, 5, 0, 0),
        (Risk.CONTAIN, True, None, 5, 0, 1),
        (Risk.CONTAIN, False, 5, 5, 0, 1),
        (Risk.CONTAIN, True, 5, 5, 1, 1),
        (Risk.CONTAIN, True, 5, 1001, 0, 1),
        (Risk.CONTAIN, False, 5, 1001, 1, 3),
        (Risk.CHANGE, True, 5, 1, 0, 1),
        (Risk.DESTROY, False, 5, 1, 0, 2),
    ],
)
def test_default_policy(
    risk: Risk, reversible: bool, severity: int | None, count: int, protected: int, needed: int
) -> None:
    names = tuple(f"p{number}" for number in range(protected))
    call = freeze(sealed({"targets": ["x"]}, count), Preview(summary="s", count=count, protected=names))
    demand = demanded(Policy(), facts(risk=risk, reversible=reversible), severity, [call])
    assert [need.count for need in demand.needs] == ([needed] if needed else [])
    assert not demand.refused


def test_a_risk_without_a_rule_is_refused() -> None:
    call = freeze(sealed({"targets": ["x"]}, 1), Preview(summary="s", count=1))
    assert demanded(Policy(rules={}), facts(), 5, [call]).refused
