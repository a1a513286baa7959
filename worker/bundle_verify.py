"""Offline verification of a bundle: no server, no store, nothing extracted."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.bundle_chain import Chain, check_heads, check_journal, signed_by
from worker.bundle_format import (
    EVIDENCE,
    FORMAT,
    HEADS,
    JOURNAL,
    MANIFEST,
    MAX_MANIFEST,
    MAX_SIGNATURE,
    PLANS,
    SIGNATURE,
    Member,
    NotIntact,
    canonical,
)
from worker.bundle_zip import Container
from worker.store.keys import known_signers

Signers = Mapping[str, tuple[str, str]]
"""Key id to public key (hex) and whose it is."""

REHEARSALS = ("demo", "exercise")


@dataclass(frozen=True)
class Intact:
    """A bundle that is what was exported. ``signer`` says whose key signed it."""

    incident: str
    mode: str
    exported_at: str
    key_id: str
    signer: str
    entries: int
    head: str
    heads: int
    members: int
    missing: list[dict[str, str]] = field(default_factory=list)
    """What the export could not include, each with the reason."""


def verify(path: Path, signers: Signers) -> Intact:
    """Check a bundle from its signature down to its last byte.

    Raises:
        NotIntact: with the first bad place.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        container = Container(file)
        manifest, key_id = _manifest(container, signers)
        public, name = signers[key_id]
        members = _members(manifest)
        incident, journal = str(manifest.get("incident")), manifest.get("journal")
        if not isinstance(journal, dict):
            raise NotIntact(MANIFEST, "it says nothing of the journal")
        for wanted in (JOURNAL, HEADS):
            if wanted not in members or wanted not in container.records:
                raise NotIntact(wanted, "it is missing")
        chain = check_journal(_checked(container, members[JOURNAL]), incident, journal)
        heads = check_heads(_checked(container, members[HEADS]), incident, chain, public, key_id)
        _check_members(container, members)
        _check_references(members, chain)
        container.check_layout()
    _check_role(name, str(manifest.get("mode")))
    return Intact(
        incident=incident,
        mode=str(manifest.get("mode")),
        exported_at=str(manifest.get("exported_at")),
        key_id=key_id,
        signer=name,
        entries=len(chain.hashes),
        head=chain.hashes[-1] if chain.hashes else "",
        heads=heads,
        members=len(container.records),
        missing=list(manifest.get("missing") or ()),
    )


def bundle_is_intact(export: Path, home: Path) -> bool:
    """Whether a bundle is intact and signed by a key that this home knows."""
    try:
        verify(export, known_signers(home))
    except NotIntact:
        return False
    return True


def _manifest(container: Container, signers: Signers) -> tuple[dict[str, Any], str]:
    """The manifest, once a known key is seen to have signed it: nothing else is believed before."""
    for name in (MANIFEST, SIGNATURE):
        if name not in container.records:
            raise NotIntact(name, "it is missing; without it nothing here is signed")
    signature = canonical(container.read(SIGNATURE, MAX_SIGNATURE), SIGNATURE)
    content = container.read(MANIFEST, MAX_MANIFEST)
    key_id = signature.get("key_id")
    if signature.keys() != {"algorithm", "key_id", "of", "sig"} or not isinstance(key_id, str):
        raise NotIntact(SIGNATURE, "it has not the fields of a signature")
    if signature["algorithm"] != "Ed25519" or signature["of"] != MANIFEST:
        raise NotIntact(SIGNATURE, "it is not a signature of the manifest")
    if key_id not in signers:
        raise NotIntact(
            SIGNATURE, f"it was signed by a key that is not known here ({key_id[:64]})", code="unknown_signer"
        )
    if not signed_by(signers[key_id][0], signature["sig"], content):
        raise NotIntact(MANIFEST, f"it is not what the key {key_id} signed")
    manifest = canonical(content, MANIFEST)
    if manifest.get("format") != FORMAT:
        raise NotIntact(MANIFEST, f"its format is not {FORMAT}")
    return manifest, key_id


def _members(manifest: Mapping[str, Any]) -> dict[str, Member]:
    try:
        listed = [Member(**row) for row in manifest["members"]]
        return {str(member.name): member for member in listed}
    except (KeyError, TypeError):
        raise NotIntact(MANIFEST, "its list of members cannot be read") from None


def _checked(container: Container, member: Member) -> Iterator[bytes]:
    """A member's content as it goes by; at its end it has to be what the manifest says."""
    digest, size = hashlib.sha256(), 0
    # A little more than it should be may come, so that the first bad line can be named.
    for chunk in container.chunks(member.name, 2 * member.bytes + 65536):
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if (size, digest.hexdigest()) != (member.bytes, member.sha256):
        raise NotIntact(member.name, "its content is not what was exported")


def _check_members(container: Container, members: Mapping[str, Member]) -> None:
    for member in members.values():
        if member.name not in container.records:
            raise NotIntact(member.name, "it is missing")
        if member.name not in (JOURNAL, HEADS):
            for _chunk in _checked(container, member):
                pass
        if member.name.startswith(EVIDENCE) and member.name != EVIDENCE + member.sha256:
            raise NotIntact(member.name, "its content does not have the digest that its name says")
    for name in container.records:
        if name not in members and name not in (MANIFEST, SIGNATURE):
            raise NotIntact(name, "it was added: the manifest does not list it")


def _check_references(members: Mapping[str, Member], chain: Chain) -> None:
    """Evidence is what the journal kept, all of it and nothing else; the plans of its runs are there."""
    held = {name.removeprefix(EVIDENCE) for name in members if name.startswith(EVIDENCE)}
    for sha in sorted(chain.kept - held):
        raise NotIntact(EVIDENCE + sha, "the journal keeps it, and it could not be exported: it was gone or altered")
    for sha in sorted(held - chain.kept):
        raise NotIntact(EVIDENCE + sha, "no entry of the journal keeps it")
    for sha, seq in chain.referred.items():
        if sha not in held:
            raise NotIntact(EVIDENCE + sha, f"entry {seq} refers to it, and it is not there", seq=seq)
    plans = {member.sha256 for name, member in members.items() if name.startswith(PLANS)}
    for sha, seq in chain.plans.items():
        if sha not in plans:
            raise NotIntact(PLANS + sha[:64], f"entry {seq} names this plan, and it is not there", seq=seq)


def _check_role(signer: str, mode: str) -> None:
    if signer in REHEARSALS and mode != "exercise":
        raise NotIntact(
            SIGNATURE,
            f"the key of the {signer} home signed a {mode} incident, and it proves nothing about one",
            code="wrong_signer",
        )
