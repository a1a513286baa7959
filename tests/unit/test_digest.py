"""Digests and signatures: the same for the same content, different for any other, and never an exception."""

import json

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from playbooks.contract import Decision, Envelope, Mode, Scope, Verb
from playbooks.digest import (
    approval_digest,
    digest_of,
    entry_hash,
    envelope_digest,
    genesis,
    idempotency_key,
    jcs,
    sign_decision,
    verify_decision,
)

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
KEYS = {"desk-1": PUBLIC}
DECISION = Decision(
    incident="INC-2026-1",
    run="run/INC-2026-1/p/1",
    step="go",
    person="amal",
    roles_at=("crm_owner",),
    door="cli",
    verdict="approve",
    digest="ab" * 32,
    nonce="n1",
    at="2026-11-23T10:00:00.000000Z",
)


def test_a_signed_decision_verifies() -> None:
    assert verify_decision(sign_decision(DECISION, KEY, "desk-1"), KEYS)


@pytest.mark.parametrize(
    "change",
    [
        {"person": "mallory"},
        {"verdict": "deny"},
        {"digest": "cd" * 32},
        {"roles_at": ("crm_owner", "incident_commander")},
        {"values": {"x": 1}},
        {"run": "run/INC-2026-2/p/1"},
        {"at": "2026-11-23T10:00:01.000000Z"},
        {"sig": ""},
        {"sig": "zz"},
        {"sig": "00" * 64},
        {"sig": "00" * 3},
        {"key_id": "desk-2"},
        {"values": {"big": 2**60}},
        {"values": {"nan": float("nan")}},
    ],
)
def test_any_change_after_signing_is_refused(change: dict) -> None:
    assert not verify_decision(sign_decision(DECISION, KEY, "desk-1").model_copy(update=change), KEYS)


def test_another_desks_signature_is_refused() -> None:
    assert not verify_decision(sign_decision(DECISION, Ed25519PrivateKey.generate(), "desk-1"), KEYS)


def test_a_public_key_that_is_none_is_refused() -> None:
    assert not verify_decision(sign_decision(DECISION, KEY, "desk-1"), {"desk-1": "00"})


ENVELOPE = Envelope(
    plan="p", step="s", action="a.b_c", version=1, params={"x": [1]}, scope=Scope.EXACT, max_affected=3, mode=Mode.LIVE
)


@pytest.mark.parametrize(
    "change",
    [
        {"plan": "q"},
        {"step": "t"},
        {"pass_": 1},
        {"item": "0"},
        {"action": "a.b_d"},
        {"version": 2},
        {"params": {"x": [1, 2]}},
        {"scope": Scope.SELECTOR},
        {"max_affected": 4},
        {"mode": Mode.EXERCISE},
        {"target_sha256": "00"},
    ],
)
def test_an_envelope_digest_covers_every_field(change: dict) -> None:
    assert envelope_digest(ENVELOPE) != envelope_digest(ENVELOPE.model_copy(update=change))


def test_an_approval_digest_covers_its_calls_in_order() -> None:
    assert approval_digest("go", ["a", "b"]) != approval_digest("go", ["b", "a"])
    assert approval_digest("go", ["a"]) != approval_digest("go", ["a"], 1)
    assert approval_digest("go", ["a"]) != approval_digest("og", ["a"])


def test_an_idempotency_key_tells_everything_apart_that_is_apart() -> None:
    base = (Mode.LIVE, "INC-1", "run", "revoke", 0, None, Verb.APPLY, 0)
    others = [
        (Mode.EXERCISE, *base[1:]),
        (*base[:4], 1, *base[5:]),
        (*base[:5], "0", *base[6:]),
        (*base[:6], Verb.UNDO, 0),
        (*base[:7], 1),
    ]
    assert len({idempotency_key(*key) for key in (base, *others)}) == 6


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_order_of_keys_never_matters(value: dict) -> None:
    assert jcs(value) == jcs(dict(reversed(list(value.items()))))


@given(json_values, json_values)
def test_equal_digests_mean_equal_values(left: object, right: object) -> None:
    if digest_of(left) == digest_of(right):
        assert jcs(left) == jcs(right)


def test_an_entry_hash_leaves_out_only_itself() -> None:
    entry = {"seq": 1, "prev": genesis("INC-1"), "kind": "x", "body": {}}
    assert entry_hash(entry) == entry_hash({**entry, "hash": "anything"})
    assert entry_hash(entry) != entry_hash({**entry, "kind": "y"})
    assert genesis("INC-1") != genesis("INC-2")


_TEXT = st.text() | st.sampled_from(
    ["", "\\u0041", '"', "\\", "1.5", "1e5", "NaN", "\x00\x1f\x7f", "\n\t\b\f\r", "\u2028", "\ue000", "\U00010000"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    max_leaves=30,
)


def _by_the_book(value: object) -> bytes | str:
    try:
        return rfc8785.dumps(value)
    except ValueError:
        return "refused"


def _ours(value: object) -> bytes | str:
    try:
        return jcs(value)
    except ValueError:
        return "refused"


@given(_VALUES)
def test_the_quick_way_gives_the_same_bytes_as_the_standard(value: object) -> None:
    assert _ours(value) == _by_the_book(value)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        -0.0,
        1e16,
        1e-7,
        float("inf"),
        float("nan"),
        2**53,
        -(2**53),
        [1, True, None, "e"],
        {"\ue000": 1, "\U00010000": 2},
        {"b": {"z": 1, "a": "1.5e3"}, "a": ["x\\u", '"', "\x7f"]},
        "\ud800",
    ],
    ids=lambda value: json.dumps(value)[:20],
)
def test_what_the_quick_way_cannot_write_is_written_by_the_book(value: object) -> None:
    assert _ours(value) == _by_the_book(value)
