"""Offline verification of a bundle: no server, no store, nothing extracted."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from worker.bundle_chain import Chain, check_heads, check_journal, signed_by
from worker.bundle_format import (
    EVIDENCE,
    HEADS,
    JOURNAL,
    MANIFEST,
    MAX_MANIFEST,
    MAX_SIGNATURE,
    PLANS,
    SIGNATURE,
    Manifest,
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
        members = {member.name: member for member in manifest.members}
        incident = manifest.incident
        for wanted in (JOURNAL, HEADS):
            if wanted not in members or wanted not in container.records:
                raise NotIntact(wanted, "it is missing")
        reading = _Reading(container, members[JOURNAL])
        chain = check_journal(reading.chunks(), incident, manifest.journal)
        reading.end()
        reading = _Reading(container, members[HEADS])
        heads = check_heads(reading.chunks(), incident, chain, public, key_id)
        reading.end()
        if heads != manifest.journal.heads:
            raise NotIntact(HEADS, f"there are {heads} signed heads; the manifest tells of {manifest.journal.heads}")
        _check_members(container, members)
        _check_references(members, chain)
        container.check_layout()
    _check_role(name, manifest.mode)
    return Intact(
        incident=incident,
        mode=manifest.mode,
        exported_at=manifest.exported_at,
        key_id=key_id,
        signer=name,
        entries=len(chain.hashes),
        head=chain.hashes[-1] if chain.hashes else "",
        heads=heads,
        members=len(container.records),
        missing=[absent.model_dump() for absent in manifest.missing],
    )


def bundle_is_intact(export: Path, home: Path) -> bool:
    """Whether a bundle is intact and signed by a key that this home knows."""
    try:
        verify(export, known_signers(home))
    except NotIntact:
        return False
    return True


def _manifest(container: Container, signers: Signers) -> tuple[Manifest, str]:
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
    try:
        manifest = Manifest.model_validate(canonical(content, MANIFEST))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise NotIntact(MANIFEST, f"it is signed, and no manifest that this version reads: see {where}") from None
    if len({member.name for member in manifest.members}) != len(manifest.members):
        raise NotIntact(MANIFEST, "it lists a member twice")
    return manifest, key_id


class _Reading:
    """A member's content as it goes by, held against the manifest at its end."""

    def __init__(self, container: Container, member: Member) -> None:
        self._container, self._member = container, member
        self._digest, self._size = hashlib.sha256(), 0

    def chunks(self) -> Iterator[bytes]:
        """The content, or a little more than it should be, so that the first bad line can be named."""
        for chunk in self._container.chunks(self._member.name, 2 * self._member.bytes + 65536):
            self._digest.update(chunk)
            self._size += len(chunk)
            yield chunk

    def end(self) -> None:
        """All was read: it has to be what the manifest says.

        Raises:
            NotIntact: it is not.
        """
        if (self._size, self._digest.hexdigest()) != (self._member.bytes, self._member.sha256):
            raise NotIntact(self._member.name, "its content is not what was exported")


def _check_members(container: Container, members: Mapping[str, Member]) -> None:
    for member in members.values():
        if member.name not in container.records:
            raise NotIntact(member.name, "it is missing")
        if member.name not in (JOURNAL, HEADS):
            reading = _Reading(container, member)
            for _chunk in reading.chunks():
                pass
            reading.end()
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
