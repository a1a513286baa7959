"""The release set of a model version: the parts that are moved as one, and the digest that names them together.

``release.json`` among a version's artifacts says which files they are::

    {"weights": {"path": "model.safetensors", "sha256": "…"}, "adapter": null, "tokenizer": {…}, "prompt": {…},
     "index": {…}, "serving_config": {…}}

Each part is named, or said to be absent by ``null``; weights and serving configuration are never absent. Pure: it
judges what it is given.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from playbooks.contract import Json
from playbooks.digest import jcs, sha256_hex

MANIFEST = "release.json"
LARGEST_MANIFEST = 1_000_000
PARTS = ("weights", "adapter", "tokenizer", "prompt", "index", "serving_config")
NEVER_ABSENT = ("weights", "serving_config")


class NotARelease(ValueError):
    """A release manifest cannot be used; the message says why."""


@dataclass(frozen=True)
class Part:
    """One file of the set: its path among the version's artifacts, and what its bytes hash to."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Release:
    """A release set as its manifest names it. ``digest`` is the SHA-256 of the manifest's canonical JSON (RFC 8785)."""

    parts: Mapping[str, Part | None]
    digest: str

    @property
    def files(self) -> dict[str, str]:
        """Path to SHA-256 of every part that is there."""
        return {part.path: part.sha256 for part in self.parts.values() if part is not None}


def release_digest(manifest: Mapping[str, Json]) -> str:
    """The digest of a release: SHA-256 of its manifest's canonical JSON, lower-case hex."""
    return sha256_hex(jcs(dict(manifest)))


def read_release(content: bytes) -> Release:
    """A manifest's bytes as a release set.

    Raises:
        NotARelease: It is no such manifest, or a part is neither named nor said to be absent.
    """
    if len(content) > LARGEST_MANIFEST:
        raise NotARelease("the release manifest is over 1 MB")
    try:
        manifest = json.loads(content)
    except ValueError:
        raise NotARelease("the release manifest is not JSON") from None
    if not isinstance(manifest, dict):
        raise NotARelease("the release manifest is not a JSON object")
    missing = [name for name in PARTS if name not in manifest]
    missing += [name for name in NEVER_ABSENT if name in manifest and manifest[name] is None]
    if missing:
        raise NotARelease(f"the release set lacks {', '.join(missing)}")
    parts = {name: _part(name, manifest[name]) for name in PARTS}
    try:
        digest = release_digest(manifest)
    except (ValueError, TypeError, RecursionError):
        raise NotARelease("the release manifest has no canonical form") from None
    return Release(parts, digest)


def problems(release: Release, found: Mapping[str, str | None]) -> list[str]:
    """What is wrong with a set, a sentence each; empty if every part is there with the bytes that it should have.

    Args:
        release: As its manifest says.
        found: SHA-256 of each file that is there, by path; ``None`` where it could not be read.
    """
    said = []
    for name, part in release.parts.items():
        if part is None:
            continue
        if part.path not in found:
            said.append(f"{name} is missing ({part.path})")
        elif found[part.path] is None:
            said.append(f"{name} could not be read ({part.path})")
        elif found[part.path] != part.sha256:
            said.append(f"{name} is not what the release manifest says ({part.path})")
    return said


def _part(name: str, value: Json) -> Part | None:
    if value is None:
        return None
    path, sha256 = (value.get("path"), value.get("sha256")) if isinstance(value, dict) else (None, None)
    if not isinstance(path, str) or not isinstance(sha256, str) or len(sha256) != 64:
        raise NotARelease(f"the release set's {name} names no path with a SHA-256")
    return Part(path, sha256.lower())
