"""State of a simulated Vault: tokens and leases, policies, mounts with what they hold."""

import base64
import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def now() -> datetime:
    """Of the server's clock."""
    return datetime.now(UTC)


def stamp(at: datetime) -> str:
    """RFC 3339 with nanoseconds, as Vault writes instants."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


@dataclass
class Token:
    """A token with its lease; ``path`` is where it was issued."""

    id: str
    accessor: str
    path: str
    policies: tuple[str, ...]
    name: str
    meta: dict[str, str] = field(default_factory=dict)
    ttl: int = 0
    made: float = field(default_factory=time.time)

    @property
    def lease(self) -> str:
        """Id of its lease; the token itself is no part of it."""
        return f"{self.path}/h{uuid.uuid5(uuid.NAMESPACE_OID, self.id).hex}"

    @property
    def over(self) -> bool:
        """Whether its life has ended."""
        return bool(self.ttl) and time.time() > self.made + self.ttl


@dataclass
class Version:
    """One version of a KV secret."""

    data: dict[str, Any]
    made: datetime
    deleted: str = ""
    destroyed: bool = False


@dataclass
class Secret:
    """A KV secret with the versions that are kept."""

    versions: dict[int, Version] = field(default_factory=dict)
    current: int = 0
    custom: dict[str, str] = field(default_factory=dict)
    made: datetime = field(default_factory=now)
    keep: int = 10
    cas_required: bool = False
    delete_after: str = "0s"


@dataclass
class Key:
    """A transit key (AES-256-GCM) with its versions."""

    versions: dict[int, tuple[bytes, datetime]] = field(default_factory=dict)
    minimum: int = 1
    type: str = "aes256-gcm96"

    @property
    def latest(self) -> int:
        """Number of the newest version."""
        return max(self.versions)

    def rotate(self, at: datetime | None = None) -> None:
        """Add a version."""
        self.versions[len(self.versions) + 1] = (AESGCM.generate_key(256), at or now())

    def encrypt(self, plain: bytes, version: int | None = None) -> str:
        """With the newest version, unless one is named."""
        number = version or self.latest
        nonce = secrets.token_bytes(12)
        sealed = nonce + AESGCM(self.versions[number][0]).encrypt(nonce, plain, None)
        return f"vault:v{number}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, text: str) -> bytes:
        """Raises ValueError in Vault's words where it cannot."""
        try:
            start, number, body = text.split(":", 2)
            sealed, version = base64.b64decode(body), int(number.removeprefix("v"))
        except ValueError:
            raise ValueError("invalid ciphertext: no prefix") from None
        if start != "vault" or version not in self.versions:
            raise ValueError("invalid ciphertext: version is too new")
        if version < self.minimum:
            raise ValueError("ciphertext or signature version is disallowed by policy (too old)")
        return AESGCM(self.versions[version][0]).decrypt(sealed[:12], sealed[12:], None)


@dataclass
class Role:
    """An AppRole with its secret ids: accessor to (secret id, made at)."""

    role_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    policies: tuple[str, ...] = ()
    ttl: int = 3600
    secret_ids: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def issue(self, at: datetime | None = None) -> tuple[str, str]:
        """A fresh secret id: itself and its accessor."""
        secret, accessor = str(uuid.uuid4()), str(uuid.uuid4())
        self.secret_ids[accessor] = (secret, at or now())
        return secret, accessor


class State:
    """One server. A mount's kind is ``kv``, ``transit`` or ``approle``; its name has no slash at its ends."""

    def __init__(self, root: str = "") -> None:
        """With a root token, and the mounts of a development server."""
        self.root = root or f"s.{secrets.token_urlsafe(18)}"
        self.sealed = False
        self.tokens: dict[str, Token] = {}
        self.policies: dict[str, dict[str, list[str]]] = {}
        self.kv: dict[str, dict[str, Secret]] = {"secret": {}}
        self.transit: dict[str, dict[str, Key]] = {}
        self.approle: dict[str, dict[str, Role]] = {}
        self.leases: dict[str, str] = {}
        """Further leases, such as of database passwords: id to what they are of."""
        self.add_token(Token(self.root, str(uuid.uuid4()), "auth/token/root", ("root",), "root"))

    def add_token(self, token: Token) -> Token:
        """Make it valid."""
        self.tokens[token.id] = token
        return token

    def issue(self, path: str, policies: tuple[str, ...], name: str, ttl: int, meta: dict[str, str]) -> Token:
        """A fresh token."""
        made = Token(f"s.{secrets.token_urlsafe(18)}", str(uuid.uuid4()), path, policies, name, meta, ttl)
        return self.add_token(made)

    def token(self, id_: str) -> Token | None:
        """A valid token."""
        found = self.tokens.get(id_)
        if found is not None and found.over:
            del self.tokens[id_]
            return None
        return found

    def live_leases(self) -> dict[str, Token | None]:
        """Every lease; of a token, or of something else."""
        return {token.lease: token for token in self.tokens.values() if token.ttl} | dict.fromkeys(self.leases)

    def revoke_prefix(self, prefix: str) -> int:
        """End every lease below a prefix; how many there were."""
        ended = [(lease, token) for lease, token in self.live_leases().items() if lease.startswith(f"{prefix}/")]
        for lease, token in ended:
            self.leases.pop(lease, None)
            if token is not None:
                self.tokens.pop(token.id, None)
        return len(ended)

    def allow(self, name: str, text: str) -> None:
        """Set a policy from its JSON (``{"path": {"secret/*": {"capabilities": […]}}}``).

        Raises:
            ValueError: It is none.
        """
        rules = json.loads(text)["path"]
        self.policies[name] = {str(path): list(rule["capabilities"]) for path, rule in rules.items()}

    def put(self, mount: str, path: str, data: dict[str, Any], age: timedelta = timedelta()) -> Secret:
        """A new version of a secret."""
        secret = self.kv[mount].setdefault(path, Secret())
        secret.current += 1
        secret.versions[secret.current] = Version(data, now() - age)
        for old in [number for number in secret.versions if number <= secret.current - secret.keep]:
            del secret.versions[old]
        return secret

    def view(self) -> dict[str, Any]:
        """What there is, without a secret, a token or a key."""
        return {
            "sealed": self.sealed,
            "secrets": {
                f"{mount}/{path}": {"version": secret.current, "versions": sorted(secret.versions)}
                for mount, held in self.kv.items()
                for path, secret in held.items()
            },
            "keys": {
                f"{mount}/{name}": {"latest": key.latest, "minimum": key.minimum}
                for mount, keys in self.transit.items()
                for name, key in keys.items()
            },
            "roles": {
                f"{mount}/{name}": {"secret_ids": len(role.secret_ids)}
                for mount, roles in self.approle.items()
                for name, role in roles.items()
            },
            "leases": sorted(self.live_leases()),
        }
