"""Vault's things as Stanch knows them: keys, versions of secrets, secret ids, names that are safe in a path."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from activities.errors import InvalidParams

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]*(?:/[A-Za-z0-9_][A-Za-z0-9._ -]*)*")
MARK = "stanch_rolled"
"""Entry of a secret's custom metadata by which a version is known as ours."""


def name(text: str, what: str = "name") -> str:
    """A key's or role's name, safe in a path.

    Raises:
        InvalidParams: It is none.
    """
    if not NAME.fullmatch(text):
        raise InvalidParams(f"A {what} of Vault is letters, digits, dots, dashes. Nothing was done. Check the input.")
    return text


def path(text: str, what: str = "path") -> str:
    """A path without a mount, safe to put behind one; slashes around it are dropped.

    Raises:
        InvalidParams: It is empty or climbs.
    """
    bare = text.strip("/")
    if not PATH.fullmatch(bare) or len(bare) > 500 or ".." in bare:
        raise InvalidParams(f"A {what} of Vault is names with slashes between. Nothing was done. Check the input.")
    return bare


def instant(value: Any) -> datetime | None:
    """Vault's dates: RFC 3339 with nanoseconds, or seconds since 1970; ``None`` for none."""
    if value in (None, "", 0):
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    text = re.sub(r"(\.\d{6})\d+", r"\1", str(value).replace("Z", "+00:00"))
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class Identity:
    """Whom a token stands for. ``path`` is where it was issued, as its lease is named."""

    name: str
    path: str
    role: str
    accessor: str
    policies: tuple[str, ...]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Identity":
        """Of ``auth/token/lookup-self``."""
        return cls(
            str(data.get("display_name") or ""),
            str(data.get("path") or ""),
            str((data.get("meta") or {}).get("role_name") or ""),
            str(data.get("accessor") or ""),
            tuple(map(str, data.get("policies") or ())),
        )


@dataclass(frozen=True)
class TransitKey:
    """Settings of a transit key; never its material. ``versions`` are those it still holds, with their dates."""

    name: str
    type: str
    latest: int
    minimum: int
    versions: dict[int, datetime]
    convergent: bool = False
    """The same plaintext gives the same ciphertext, which programs may look things up by."""

    @classmethod
    def of(cls, key: str, data: Mapping[str, Any]) -> "TransitKey":
        """Of ``transit/keys/NAME``; an asymmetric key lists its versions as objects."""
        made: dict[int, datetime] = {}
        for number, value in (data.get("keys") or {}).items():
            at = instant(value.get("creation_time") if isinstance(value, Mapping) else value)
            if at is not None:
                made[int(number)] = at
        # Vault shows 0 where nothing was ever set; it means the first.
        return cls(
            key,
            str(data.get("type") or ""),
            int(data["latest_version"]),
            max(int(data.get("min_decryption_version") or 1), 1),
            made,
            data.get("convergent_encryption") is True,
        )

    def row(self) -> dict[str, Any]:
        """As evidence."""
        made = {str(number): at.isoformat() for number, at in sorted(self.versions.items())}
        return {
            "convergent": self.convergent,
            "id": self.name,
            "type": self.type,
            "latest_version": self.latest,
            "min_decryption_version": self.minimum,
            "versions": made,
        }


@dataclass(frozen=True)
class SecretState:
    """A KV secret without its values: current version, when it was written, its custom metadata."""

    path: str
    version: int
    created: datetime | None
    gone: bool
    """Whether the current version is deleted or destroyed."""
    custom: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, where: str, data: Mapping[str, Any]) -> "SecretState":
        """Of ``metadata/PATH``."""
        current = int(data.get("current_version") or 0)
        row = (data.get("versions") or {}).get(str(current)) or {}
        gone = not row or bool(row.get("deletion_time")) or bool(row.get("destroyed"))
        custom = {str(key): str(value) for key, value in (data.get("custom_metadata") or {}).items()}
        return cls(where, current, instant(row.get("created_time")), gone, custom)

    def row(self) -> dict[str, Any]:
        """As evidence."""
        at = self.created.isoformat() if self.created else None
        return {"id": self.path, "version": self.version, "created": at, "gone": self.gone, "custom": self.custom}


def mark(key: str, before: int, values: Mapping[str, str]) -> str:
    """What is written beside a secret so that the version after ``before`` is known as this call's.

    The values have well over 100 bits each, so their digest gives nothing away.
    """
    names = sorted(values)
    content = "\0".join(f"{name}\0{values[name]}" for name in names)
    return f"{key[:16]}:{before}:{','.join(names)}:{hashlib.sha256(content.encode()).hexdigest()}"


def is_marked(state: SecretState, key: str, before: int, data: Mapping[str, Any]) -> bool:
    """Whether the current values are those that a call set when version ``before`` was the current one."""
    if state.version != before + 1 or state.gone:
        return False
    known = state.custom.get(MARK, "")
    parts = known.split(":")
    values = {name: str(data.get(name)) for name in parts[2].split(",")} if len(parts) == 4 else {}
    return bool(values) and mark(key, before, values) == known


@dataclass(frozen=True)
class SecretId:
    """A secret id of an AppRole, by its accessor."""

    role: str
    accessor: str
    created: datetime | None

    def row(self) -> dict[str, Any]:
        """As evidence."""
        at = self.created.isoformat() if self.created else None
        return {"id": self.accessor, "role": self.role, "created": at}
