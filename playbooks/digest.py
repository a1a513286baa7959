"""Digests, idempotency keys, signatures: what makes "the very same" checkable.

All of it is pure and deterministic; workflows pass this module through the sandbox. JCS is RFC 8785, hashes are
SHA-256 in lowercase hex, signatures Ed25519 (RFC 8032) in hex.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel

from playbooks.contract import Decision, Envelope, Json, Mode, Verb


def plain(value: Any) -> Json:
    """A value as JSON has it; models are dumped field by field."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=False)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def jcs(value: Any) -> bytes:
    """Canonical JSON (RFC 8785).

    Raises:
        ValueError: the value has no canonical form (a float out of range, an integer beyond 2^53).
    """
    simple = plain(value)
    try:
        text = _write(_whole(simple))
    except (TypeError, ValueError):
        return rfc8785.dumps(simple)
    return rfc8785.dumps(simple) if _SORTED_OTHERWISE.search(text) else text.encode()


# The standard library writes whole numbers and nearly all text in canonical form, three times faster; the rest,
# and every refusal, is left to the reference.
_write = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_SORTED_OTHERWISE = re.compile("[\ud800-\U0010ffff]")
"""Characters whose order in UTF-16, by which keys are sorted, is not that of their numbers; and lone surrogates."""
_SAFE = 2**53


def _whole(value: Json) -> Json:
    """The value with whole floats as integers, as their canonical form is.

    Raises:
        ValueError: there are other numbers in it, or what JSON has not.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, int | float) and -_SAFE < value < _SAFE and value == int(value):
        return int(value)
    raise ValueError


def sha256_hex(content: bytes | str) -> str:
    """SHA-256 in lowercase hex; text is taken as UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value or model."""
    return sha256_hex(jcs(value))


def envelope_digest(envelope: Envelope) -> str:
    """What one effect's approval is bound to."""
    body = envelope.model_dump(mode="json")
    body["pass"] = body.pop("pass_")
    return digest_of(body)


def approval_digest(step: str, envelopes: Sequence[str], pass_: int = 0) -> str:
    """What people decide on at an approve step: its instance, and the digest of every covered call, in order."""
    return digest_of({"approve": step, "pass": pass_, "envelopes": list(envelopes)})


def idempotency_key(
    mode: Mode, incident: str, lineage: str, step: str, pass_: int, item: str | None, verb: Verb, epoch: int
) -> str:
    """Names one effect for ever: the same in every attempt, execution and worker.

    Built from business names only, never from an id of the engine's. An undo starts a new ``epoch``.
    """
    return digest_of([str(mode), incident, lineage, step, pass_, item, str(verb), epoch])


def _signed_bytes(decision: Decision) -> bytes:
    return jcs(decision.model_dump(mode="json", exclude={"sig"}))


def sign_decision(decision: Decision, key: Ed25519PrivateKey, key_id: str) -> Decision:
    """The decision with the desk's signature over all its other fields."""
    unsigned = decision.model_copy(update={"key_id": key_id, "sig": ""})
    return unsigned.model_copy(update={"sig": key.sign(_signed_bytes(unsigned)).hex()})


def verify_decision(decision: Decision, keys: Mapping[str, str]) -> bool:
    """Whether the desk signed exactly this decision. ``keys`` maps key id to public key in hex.

    Any defect is ``False``: an unknown key, bad hex, a wrong length, a value without a canonical form or nested
    too deeply.
    """
    public = keys.get(decision.key_id)
    if public is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
            bytes.fromhex(decision.sig), _signed_bytes(decision)
        )
    except (InvalidSignature, ValueError, TypeError, AttributeError, RecursionError):
        return False
    return True


def normalised(value: Json) -> Json:
    """Text in NFC at every depth, as journal entries have it."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, Mapping):
        return {unicodedata.normalize("NFC", str(key)): normalised(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [normalised(item) for item in value]
    return value


def entry_hash(entry: Mapping[str, Json]) -> str:
    """Hash of a journal entry: SHA-256 of the JCS of all its fields but ``hash``."""
    return digest_of({name: value for name, value in entry.items() if name != "hash"})


def genesis(incident: str) -> str:
    """``prev`` of an incident's first entry."""
    return sha256_hex(f"stanch/1/{incident}")
