"""Payload codec: AES-256-GCM with a ring of keys, so that Temporal never holds a readable payload.

A payload is replaced by ``nonce || ciphertext`` of its serialised form; its metadata names the key. The key
id is authenticated too, so that a payload cannot be moved to another key. New payloads use the current key,
old ones are read with whichever key they name.
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter, EncodingPayloadConverter, PayloadCodec

ENCODING = b"binary/encrypted"
UNREADABLE = b"stanch/unreadable"
KEY_ID = "stanch-key-id"
NONCE_BYTES = 12
KEY_BYTES = 32


class CodecError(Exception):
    """A payload cannot be read. The message names the key, never the payload."""

    code = "payload_unreadable"


@dataclass(frozen=True)
class KeyRing:
    """Keys by id, and which one is current. Never printed."""

    current: str
    keys: Mapping[str, bytes]

    def __post_init__(self) -> None:
        if self.current not in self.keys:
            raise CodecError(f"The key ring names {self.current!r} as current but does not hold it.")
        for key_id, key in self.keys.items():
            if len(key) != KEY_BYTES:
                raise CodecError(f"Key {key_id!r} has {len(key)} bytes; AES-256 takes {KEY_BYTES}.")

    def __repr__(self) -> str:
        return f"KeyRing(current={self.current!r}, keys={sorted(self.keys)})"

    @classmethod
    def fresh(cls) -> "KeyRing":
        """A ring with one new random key."""
        return cls(current := secrets.token_hex(4), {current: secrets.token_bytes(KEY_BYTES)})

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read ``{"current": ID, "keys": {ID: HEX}}``.

        Raises:
            CodecError: it is something else.
        """
        try:
            ring = json.loads(text)
            return cls(ring["current"], {str(name): bytes.fromhex(key) for name, key in ring["keys"].items()})
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CodecError(
                'A key ring is written as {"current": "ID", "keys": {"ID": "64 hex digits"}}. This one is not.'
            ) from None

    def dump(self) -> str:
        """The ring as ``parse`` reads it."""
        keys = {name: key.hex() for name, key in self.keys.items()}
        return json.dumps({"current": self.current, "keys": keys}, indent=1)

    def rotated(self) -> "KeyRing":
        """The same ring with a new current key; old payloads stay readable."""
        new = KeyRing.fresh()
        return KeyRing(new.current, {**self.keys, **new.keys})

    @classmethod
    def at(cls, path: Path) -> "KeyRing":
        """The ring of a file; made, readable by its owner only, if it is not there.

        Two processes that start at once end with the same ring.
        """
        try:
            return cls.parse(path.read_text())
        except FileNotFoundError:
            pass
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(cls.fresh().dump())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, path)
        except FileExistsError:
            pass
        finally:
            partial.unlink()
        return cls.parse(path.read_text())


class ReadablePayloadConverter(CompositePayloadConverter):
    """Pydantic models; a payload that the codec could not read is refused with the reason."""

    def __init__(self) -> None:
        """Made by the SDK."""
        super().__init__(_Unreadable(), *PydanticPayloadConverter().converters.values())


class _Unreadable(EncodingPayloadConverter):
    encoding = UNREADABLE.decode()

    def to_payload(self, value: Any) -> None:
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        raise CodecError(payload.data.decode(errors="replace"))


class EncryptionCodec(PayloadCodec):
    """Encrypts every payload, and reads none that is not encrypted."""

    def __init__(self, ring: KeyRing, *, allow_plain: bool = False) -> None:
        """``allow_plain`` lets histories from before encryption be read."""
        self._current = ring.current
        self._ciphers = {name: AESGCM(key) for name, key in ring.keys.items()}
        self._allow_plain = allow_plain

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload with the current key."""
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt each payload with the key it names.

        One that is plain, altered, or under a key that is not on the ring becomes a payload that cannot be
        converted. Raising here would fail the whole task that brings it: anybody who may speak to Temporal
        could bring a run to a standstill.
        """
        return [self._readable(payload) for payload in payloads]

    def _readable(self, payload: Payload) -> Payload:
        try:
            return self._decrypted(payload)
        except CodecError as error:
            return Payload(metadata={"encoding": UNREADABLE}, data=str(error).encode())

    def _encrypted(self, payload: Payload) -> Payload:
        nonce = os.urandom(NONCE_BYTES)
        key_id = self._current.encode()
        sealed = self._ciphers[self._current].encrypt(nonce, payload.SerializeToString(), key_id)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: key_id}, data=nonce + sealed)

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            if self._allow_plain:
                return payload
            raise CodecError("A payload came unencrypted; it was not read. Who else writes to this namespace?")
        key_id = payload.metadata.get(KEY_ID, b"")
        name = key_id.decode(errors="replace")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise CodecError(f"A payload needs the key {name!r}, which is not on the ring. Add it to read it.")
        try:
            plain = cipher.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], key_id)
        except InvalidTag:
            raise CodecError(f"A payload under the key {name!r} was altered or belongs to another key.") from None
        return Payload.FromString(plain)
