"""Standing approvals: what they fit, whose they count for, and that they end."""

from pathlib import Path
from typing import Any

import pytest

from playbooks.contract import Envelope, Mode, Scope, StandingApproval
from playbooks.digest import envelope_digest
from playbooks.policy import Need
from worker.store import Store
from workflows.standing import InAdvance, in_advance
from workflows.state import FrozenCall

NOW, INCIDENT = "2026-03-01T00:00:00.000000Z", {"kind": "crm.oauth_token_theft", "severity": 4}
ONE, TWO = (Need(roles=("crm_owner",), count=1),), (Need(roles=("crm_owner",), count=2),)


def given(person: str = "amal", **more: Any) -> StandingApproval:
    """A standing approval of ending at most ten."""
    fields: dict[str, Any] = {
        "id": f"SA-{person}",
        "person": person,
        "roles": ("crm_owner",),
        "action": "lab.end",
        "max_affected": 10,
        "given_at": "2026-01-01T00:00:00.000000Z",
        "until": "2026-03-02T00:00:00.000000Z",
    }
    return StandingApproval(**{**fields, **more})


def call(count: int = 3, protected: int = 0, **more: Any) -> FrozenCall:
    """A call as it would run."""
    fields: dict[str, Any] = {
        "plan": "p",
        "step": "s",
        "action": "lab.end",
        "version": 1,
        "params": {"app": "X", "users": ["a"]},
        "scope": Scope.SELECTOR,
        "max_affected": 13,
        "mode": Mode.LIVE,
    }
    envelope = Envelope(**{**fields, **more})
    digest = envelope_digest(envelope)
    return FrozenCall(params=envelope.params, envelope=envelope, digest=digest, count=count, protected=protected)


def found(standing: list[StandingApproval], *calls: FrozenCall, needs=ONE, now=NOW, excluded=(), **facts: Any):
    """What approves these calls in advance."""
    return in_advance(standing, needs, calls or (call(),), {**INCIDENT, **facts}, now, excluded)


def test_what_fits_is_approved_and_held_to_what_was_approved() -> None:
    approved = found([given()])
    assert isinstance(approved, InAdvance)
    assert (approved.ids, approved.people, approved.until) == (["SA-amal"], ["amal"], given().until)
    bound = approved.bound(call())
    assert bound.envelope.max_affected == 10 and bound.digest == envelope_digest(bound.envelope)


@pytest.mark.parametrize(
    "more",
    [
        {"action": "lab.other"},
        {"version": 2},
        {"params": {"app": "Y"}},
        {"params": {"app": "X", "other": 1}},
        {"max_affected": 2},
        {"kinds": ("crm.admin_abuse",)},
        {"severity_from": 5},
        {"until": NOW},
        {"given_at": "2026-03-01T00:00:01.000000Z"},
        {"roles": ("legal",)},
    ],
    ids=str,
)
def test_what_does_not_fit_is_asked(more: dict[str, Any]) -> None:
    assert found([given(**more)]) is None


def test_conditions_that_hold() -> None:
    assert found([given(params={"app": "X"}, kinds=("crm.oauth_token_theft",), severity_from=4)])
    assert found([given(severity_from=1)], severity=None) is None, "what is not known is not severe"
    assert found([given()], severity=None)


def test_protected_targets_are_never_approved_in_advance() -> None:
    assert found([given()], call(protected=1)) is None


def test_it_counts_as_its_givers_vote_and_no_more() -> None:
    assert found([given(), given(id="SA-2")], needs=TWO) is None, "one person is one person"
    assert found([given(), given("bo")], needs=TWO).people == ["amal", "bo"]
    assert found([given(), given("bo")], needs=TWO, excluded=["bo"]) is None, "who asked for it"
    also = (*ONE, Need(roles=("legal",), count=1))
    assert found([given()], needs=also) is None
    assert found([given(), given("dara", roles=("legal",))], needs=also).people == ["amal", "dara"]
    assert found([given()], needs=()) is None
    assert found([]) is None


def test_every_call_must_be_approved_by_the_same_people() -> None:
    other = call(action="lab.touch")
    assert found([given()], call(), other) is None
    assert found([given(), given("bo", action="lab.touch")], call(), other) is None
    both = found([given(max_affected=20), given(id="SA-t", action="lab.touch", max_affected=5)], call(), other)
    assert both.ids == ["SA-amal", "SA-t"] and both.most == 5


def test_the_widest_of_a_persons_own_counts_and_the_first_end_is_the_end() -> None:
    wide, late = given(id="SA-w", max_affected=12), given("bo", until="2026-03-01T06:00:00.000000Z")
    assert found([given(), wide], call(count=11)).ids == ["SA-w"]
    assert found([given(), late], needs=TWO).until == late.until


def test_they_are_kept_numbered_revoked_and_end_with_the_role(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'stanch.db'}", tmp_path)
    store.people.add("amal", ["crm_owner", "admin"])
    first, second = (store.standing.give(given(), "quiet nights") for _ in range(2))
    assert (first.id, second.id) == ("SA-1", "SA-2")
    assert [approval.id for approval in store.standing.active(NOW)] == ["SA-1", "SA-2"]
    assert store.standing.revoke("SA-1", "bo", "no more") is True
    assert store.standing.revoke("SA-1", "bo", "no more") is False
    assert [store.standing.revoke(wrong, "bo", "x") for wrong in ("SA-9", "SA-", "x", "SA-\u0663")] == [False] * 4
    assert [store.standing.in_force(id_, NOW) for id_ in ("SA-1", "SA-2", "SA-9")] == [False, True, False]
    assert store.standing.in_force("SA-2", given().until) is False
    kept = store.standing.all()[0]
    assert [kept[name] for name in ("id", "reason", "revoked_by", "revoked_because")] == [
        "SA-1",
        "quiet nights",
        "bo",
        "no more",
    ]
    store.people.add("amal", ["admin"])
    assert store.standing.in_force("SA-2", NOW) is False and store.standing.active(NOW) == []
    store.close()
