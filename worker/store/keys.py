"""The installation's signing key: one Ed25519 key for decisions and for heads of the journal.

It lies in ``keys/signing.json`` of a home, readable by its owner only, and is made once.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from playbooks.digest import sha256_hex

FILE = "signing.json"


def public_hex(key: Ed25519PublicKey) -> str:
    """A public key in hex, 32 bytes."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def key_id_of(public: str) -> str:
    """A key's name: the first 16 digits of the SHA-256 of its public half."""
    return sha256_hex(bytes.fromhex(public))[:16]


@dataclass(frozen=True)
class SigningKey:
    """A private key with its name."""

    private: Ed25519PrivateKey

    @property
    def public_hex(self) -> str:
        """Its public half."""
        return public_hex(self.private.public_key())

    @property
    def key_id(self) -> str:
        """Its name."""
        return key_id_of(self.public_hex)

    def sign(self, content: bytes) -> str:
        """Signature in hex."""
        return self.private.sign(content).hex()

    @classmethod
    def load(cls, home: Path) -> "SigningKey":
        """The home's key, made if there is none; two processes at once get the same one."""
        path = home / "keys" / FILE
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make(path)
        raw = bytes.fromhex(json.loads(path.read_text(encoding="ascii"))["private"])
        return cls(Ed25519PrivateKey.from_private_bytes(raw))


def _make(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex()
    mine = path.with_name(f".{FILE}.{os.getpid()}")
    with os.fdopen(os.open(mine, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"public": public_hex(key.public_key()), "private": raw}, file)
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link fails where the file is there already: the first of two processes wins.
        os.link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()


def known_signers(home: Path) -> dict[str, tuple[str, str]]:
    """Key id to public key and what it signs for: this home, its demo and its exercises."""
    found = {}
    for name, folder in (("this home", home), ("demo", home / "demo"), ("exercise", home / "exercise")):
        path = folder / "keys" / FILE
        if path.exists():
            public = str(json.loads(path.read_text(encoding="ascii"))["public"])
            found.setdefault(key_id_of(public), (public, name))
    return found
