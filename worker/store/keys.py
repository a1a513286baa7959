"""The installation's signing key: one Ed25519 key for decisions and for heads of the journal.

It lies in ``keys/signing.json`` of a home, readable by its owner only, and is made once. ``keys/signing.pub`` beside
it is its public half, to be handed to whoever verifies.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from playbooks.digest import sha256_hex

FILE = "signing.json"
PUBLIC_FILE = "signing.pub"


class KeyUnreadable(Exception):
    """A key file is not one; the message names the file, never what is in it."""

    code = "key_unreadable"


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
        """The home's key, made if there is none; two processes at once get the same one.

        Raises:
            KeyUnreadable: its file was damaged.
        """
        path = home / "keys" / FILE
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            key = Ed25519PrivateKey.generate()
            raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex()
            _place(path, json.dumps({"public": public_hex(key.public_key()), "private": raw}), 0o600)
        loaded = cls(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(_field(path, "private"))))
        if not path.with_name(PUBLIC_FILE).exists():
            _place(path.with_name(PUBLIC_FILE), loaded.public_hex + "\n", 0o644)
        return loaded


def _place(path: Path, text: str, mode: int) -> None:
    mine = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with os.fdopen(os.open(mine, os.O_CREAT | os.O_WRONLY | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link fails where the file is there already: the first of two processes wins.
        os.link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()


def _field(path: Path, name: str) -> str:
    """One half of a key, 32 bytes in hex."""
    try:
        value = str(json.loads(path.read_text(encoding="ascii"))[name])
        if len(bytes.fromhex(value)) != 32:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise KeyUnreadable(f"{path} is no signing key. Nothing was done. Restore it from a backup.") from None
    return value


def known_signers(home: Path) -> dict[str, tuple[str, str]]:
    """Key id to public key and what it signs for: this home, its demo and its exercises.

    Raises:
        KeyUnreadable: a key file was damaged.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, folder in (("this home", home), ("demo", home / "demo"), ("exercise", home / "exercise")):
        path = folder / "keys" / FILE
        if path.exists():
            public = _field(path, "public")
            found.setdefault(key_id_of(public), (public, name))
    return found
