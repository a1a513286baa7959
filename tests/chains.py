"""A journal recomputed from the contract's own words, without a line of the code under test."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from playbooks.contract import NewEntry

AT = "2026-11-24T10:00:00.000000Z"


def entry(key: str, *, text: str = "", kind: str = "test.said", **body: Any) -> NewEntry:
    """An entry to append."""
    return NewEntry(key=key, kind=kind, at=AT, actor="test", door="test", body=body, text=text)


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def assert_chain(incident: str, entries: Sequence[dict[str, Any]]) -> None:
    """``seq`` from 1 without gaps, the genesis, every hash and every link."""
    prev = sha256(f"stanch/1/{incident}".encode())
    for seq, found in enumerate(entries, start=1):
        assert set(found) == {"seq", "incident", "at", "kind", "actor", "door", "body", "prev", "hash"}
        assert (found["seq"], found["incident"], found["prev"]) == (seq, incident, prev)
        assert not floats(found)
        prev = sha256(rfc8785.dumps({name: value for name, value in found.items() if name != "hash"}))
        assert found["hash"] == prev


def assert_heads(heads: Sequence[dict[str, Any]], public: str, entries: Sequence[dict[str, Any]]) -> None:
    """Every signature and hash of a whole chain of heads of one incident, down to its genesis."""
    prev, key = sha256(rfc8785.dumps("stanch/heads/1")), Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    for n, head in enumerate(heads, start=1):
        unsigned = {name: value for name, value in head.items() if name != "sig"}
        key.verify(bytes.fromhex(head["sig"]), rfc8785.dumps(unsigned))
        hashed = sha256(rfc8785.dumps({name: value for name, value in unsigned.items() if name != "hash"}))
        assert (head["n"], head["prev"], head["hash"]) == (n, prev, hashed)
        assert head["head"] == entries[head["seq"] - 1]["hash"]
        prev = hashed


def floats(value: Any) -> bool:
    """Whether JSON text of a value holds a float."""
    seen: list[str] = []
    json.loads(json.dumps(value), parse_float=seen.append)
    return bool(seen)
