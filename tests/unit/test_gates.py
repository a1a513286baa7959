"""Gates: who may decide, what is refused with which code, and what closes the question."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from playbooks.contract import Decision
from playbooks.digest import sign_decision
from playbooks.plan import Escalate, InputFacts
from workflows.gates import count, escalate, form_problem, judge, missing, people_needed
from workflows.state import Gate, Need

KEY = Ed25519PrivateKey.generate()
KEYS = {"k": KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()}
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
DIGEST = "ab" * 32


def gate(**more: object) -> Gate:
    """An approve gate of two CRM owners, open and recorded."""
    fields: dict = {
        "kind": "approve",
        "path": "go",
        "digest": DIGEST,
        "question": "Go?",
        "needs": [Need(roles=("crm_owner",), count=2)],
        "verdicts": ["approve", "deny", "break_glass"],
        "opened_at": "2026-11-23T09:50:00.000000Z",
        "deadline": "2026-11-23T10:05:00.000000Z",
        "recorded": True,
    }
    return Gate(**{**fields, **more})


def decision(
    person: str = "amal", verdict: str = "approve", roles: tuple[str, ...] = ("crm_owner",), **more: object
) -> Decision:
    """A decision signed by the desk."""
    fields: dict = {
        "incident": "INC-1",
        "run": "r",
        "step": "go",
        "person": person,
        "roles_at": roles,
        "door": "cli",
        "verdict": verdict,
        "digest": DIGEST,
        "nonce": f"n-{person}",
        "at": "2026-11-23T10:00:00.000000Z",
    }
    return sign_decision(Decision(**{**fields, **more}), KEY, "k")


def code(held: Gate | None, made: Decision, now: datetime = NOW) -> str | None:
    """Refusal code, or None."""
    refusal = judge(held, made, now, KEYS)
    return refusal.code if refusal else None


def test_two_owners_approve() -> None:
    held = gate()
    for person in ("amal", "bo"):
        made = decision(person)
        assert code(held, made) is None
        count(held, made)
    assert held.status == "approved" and held.decided_by == ["amal", "bo"]


def test_one_is_not_enough_and_the_receipt_says_who_is_missing() -> None:
    held = gate()
    receipt = count(held, decision())
    assert held.status == "open" and receipt.votes == 1 and receipt.needed == 2
    assert missing(held) == "1 of crm_owner"


@pytest.mark.parametrize(
    ("needs", "people"),
    [
        ([], 1),
        ([("a", 2)], 2),
        ([("a", 1), ("b", 1)], 2),
        ([("a", 1), ("b", 1), ("ab", 2)], 2),
        ([("ab", 3), ("a", 1), ("b", 1)], 3),
        ([("ab", 2), ("c", 1)], 3),
        ([("ab", 1), ("bc", 2)], 2),
    ],
)
def test_a_receipt_counts_the_people_that_all_needs_take_together(needs: list[tuple[str, int]], people: int) -> None:
    assert people_needed([Need(roles=tuple(roles), count=number) for roles, number in needs]) == people


@pytest.mark.parametrize(
    ("held", "made", "expected"),
    [
        (gate(), decision().model_copy(update={"person": "eve"}), "bad_signature"),
        (None, decision(), "not_waiting"),
        (gate(recorded=False), decision(), "not_waiting"),
        (gate(status="approved"), decision(), "closed"),
        (gate(status="expired"), decision(), "expired"),
        (gate(), decision(digest="cd" * 32), "digest_mismatch"),
        (gate(), decision(verdict="answer"), "bad_verdict"),
        (gate(excluded=["amal"]), decision(), "requester"),
        (gate(), decision(roles=("legal",)), "wrong_role"),
        (gate(), decision(roles=()), "wrong_role"),
        (gate(), decision(verdict="break_glass", roles=("incident_commander",)), "bad_value"),
        (gate(), decision(verdict="break_glass", roles=("legal",), reason="now"), "wrong_role"),
        (gate(), decision(verdict="break_glass", roles=("crm_owner",), reason="now"), "wrong_role"),
    ],
)
def test_refusals(held: Gate | None, made: Decision, expected: str) -> None:
    assert code(held, made) == expected


def test_a_late_decision_is_refused_only_when_nobody_else_will_be_asked() -> None:
    late = datetime(2026, 11, 23, 10, 5, tzinfo=UTC)
    assert code(gate(), decision(), late) == "expired"
    assert code(gate(chain=[Escalate(role="incident_commander", within_seconds=60)]), decision(), late) is None


def test_the_same_person_twice_counts_once() -> None:
    held = gate()
    count(held, decision())
    assert code(held, decision(nonce="another")) == "already_decided"


def test_one_denial_ends_it() -> None:
    held = gate()
    count(held, decision())
    count(held, decision("bo", "deny"))
    assert held.status == "denied" and held.decided_by == ["bo"]


def test_break_glass_needs_the_commander_and_a_reason() -> None:
    held = gate()
    made = decision(verdict="break_glass", roles=("incident_commander",), reason="customer data is leaving now")
    assert code(held, made) is None
    count(held, made)
    assert held.status == "approved" and held.break_glass


def test_each_role_needs_its_own() -> None:
    held = gate(needs=[Need(roles=("crm_owner",), count=1), Need(roles=("legal",), count=1)])
    count(held, decision())
    assert held.status == "open"
    count(held, decision("lee", roles=("legal",)))
    assert held.status == "approved"


def test_escalation_adds_a_role_and_keeps_votes() -> None:
    held = gate(chain=[Escalate(role="incident_commander", within_seconds=60)])
    count(held, decision())
    assert escalate(held, NOW, "2026-11-23T10:20:00.000000Z") == "incident_commander"
    made = decision("ic", roles=("incident_commander",))
    assert code(held, made) is None
    count(held, made)
    assert held.status == "approved" and held.decided_by == ["amal", "ic"]


FORM = {
    "flag": InputFacts(type="boolean"),
    "number": InputFacts(type="integer", required=False),
    "kind": InputFacts(type="choice", options=("a", "b"), required=False),
    "when": InputFacts(type="datetime", required=False),
    "names": InputFacts(type="list[string]", required=False),
}


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"flag": True}, None),
        ({"flag": False, "number": 3, "kind": "a", "when": "2026-11-23T10:00:00Z", "names": ["x"]}, None),
        ({}, "flag is missing."),
        ({"flag": 1}, "flag must be boolean."),
        ({"flag": True, "number": True}, "number must be integer."),
        ({"flag": True, "number": "3"}, "number must be integer."),
        ({"flag": True, "kind": "c"}, "kind must be one of a, b."),
        ({"flag": True, "when": "yesterday"}, "when must be datetime."),
        ({"flag": True, "when": "2026-11-23T10:00:00"}, "when must be datetime."),
        ({"flag": True, "names": ["x", 1]}, "names must be list[string]."),
        ({"flag": True, "other": 1}, "There is no field other."),
    ],
)
def test_forms(values: dict, wrong: str | None) -> None:
    assert form_problem(FORM, values) == wrong


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(("crm_owner", "legal"))), max_size=12),
)
def test_never_fewer_distinct_people_than_asked(wanted: int, votes: list[tuple[str, str]]) -> None:
    held = gate(needs=[Need(roles=("crm_owner",), count=wanted)])
    for number, (person, role) in enumerate(votes):
        made = decision(person, roles=(role,), nonce=f"n{number}")
        if judge(held, made, NOW, KEYS) is None:
            count(held, made)
    owners = {vote.person for vote in held.votes if "crm_owner" in vote.roles}
    assert (held.status == "approved") == (len(owners) >= wanted)
