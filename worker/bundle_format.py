"""What a bundle is: the names of its members, and the limits within which one is read.

A bundle is a ZIP of plain members: the journal and its signed heads, evidence with its custody, drafts, plans, runs,
histories, and at the end a manifest of them all and the signature over it.
"""

import json
import re
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict

from playbooks.digest import jcs, sha256_hex

MANIFEST = "manifest.json"
SIGNATURE = "signatures/manifest.json"
HEADS = "signatures/heads.jsonl"
JOURNAL = "journal.jsonl"
INCIDENT = "incident.json"
CUSTODY = "custody.jsonl"
EVIDENCE = "evidence/"
PLANS = "plans/"

MAX_MEMBERS = 100_000
MAX_NAME = 400
MAX_MANIFEST = 64 * 1024 * 1024
MAX_SIGNATURE = 4096
MAX_LINE = 16 * 1024 * 1024

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


class NotIntact(Exception):
    """A bundle is not what was exported.

    Args:
        member: The first bad member; empty for the container itself.
        message: What is wrong there.
        line: Its line, from 1.
        seq: The journal entry there.
        code: ``not_intact``, ``unknown_signer`` or ``wrong_signer``.
    """

    def __init__(
        self, member: str, message: str, *, line: int | None = None, seq: int | None = None, code: str = "not_intact"
    ) -> None:
        super().__init__(message)
        self.member, self.message, self.line, self.seq, self.code = member, message, line, seq, code

    @property
    def place(self) -> str:
        """Where it is: ``MEMBER`` or ``MEMBER:LINE``."""
        name = self.member or "the file"
        return name if self.line is None else f"{name}:{self.line}"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Member(_Part):
    """A member as the manifest lists it."""

    name: str
    bytes: int
    sha256: str


class Missing(_Part):
    """What belongs into the bundle and could not be had."""

    member: str
    why: str


class JournalFacts(_Part):
    """The journal's length, the hash of its last entry (empty without one), and how many signed heads it has."""

    entries: int
    head: str
    heads: int


class Signer(_Part):
    """Whose key signs; the public half is for people, who trust it only if they know it from elsewhere."""

    key_id: str
    public: str


class Manifest(_Part):
    """What a bundle holds; signed as it is written, in canonical JSON."""

    format: Literal["stanch-bundle/1"] = "stanch-bundle/1"
    incident: str
    mode: Literal["live", "exercise"]
    exported_at: str
    journal: JournalFacts
    members: list[Member]
    missing: list[Missing]
    signer: Signer


def safe_name(name: str) -> bool:
    """Whether a member's name is a plain relative path."""
    return len(name) <= MAX_NAME and all(_SEGMENT.fullmatch(part) for part in name.split("/"))


def member_name(folder: str, name: str, ending: str) -> str:
    """``FOLDER/NAMEENDING``; a name that no path can have is replaced by its digest."""
    whole = f"{folder}/{name}{ending}"
    return whole if safe_name(whole) else f"{folder}/{sha256_hex(name)[:32]}{ending}"


def canonical(content: bytes, member: str, *, line: int | None = None) -> dict[str, Any]:
    """A JSON object that is written in its one canonical form.

    Raises:
        NotIntact: it is anything else.
    """
    try:
        value = json.loads(content, parse_float=_no_float, parse_constant=_no_float)
        if not isinstance(value, dict) or jcs(value) != content:
            raise ValueError("not canonical")
    except (ValueError, RecursionError):
        raise NotIntact(member, "it is not the canonical JSON that an export writes", line=line) from None
    return value


def references(body: Any) -> set[str]:
    """Digests of the evidence that a journal entry's body refers to."""
    found: set[str] = set()
    stack = [body]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            # Only the shapes that Stanch itself writes: an id from outside may look like a reference, too.
            named = [value.get(key) for key in ("text_ref", "result_ref", "raw")]
            if value.get("ref") == f"sha256:{value.get('sha256')}":
                named.append(value["ref"])
            found.update(name[7:] for name in named if isinstance(name, str) and _SHA256.fullmatch(name))
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return found


def _no_float(text: str) -> NoReturn:
    raise ValueError(text)
