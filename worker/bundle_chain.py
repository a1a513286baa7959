"""The journal in a bundle, and the signed heads over it: checked line by line, so that the first bad one is named."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from playbooks.digest import digest_of, entry_hash, genesis, jcs
from worker.bundle_format import HEADS, JOURNAL, MAX_LINE, JournalFacts, NotIntact, canonical, references

ENTRY = {"seq", "incident", "at", "kind", "actor", "door", "body", "prev", "hash"}
HEAD = {"n", "at", "reason", "incident", "seq", "head", "prev", "key_id", "hash", "sig"}
_SIGNATURE = re.compile("[0-9a-f]{128}")
HEADS_GENESIS = digest_of("stanch/heads/1")


@dataclass
class Chain:
    """What a journal was found to hold. ``hashes`` of its entries lie in order."""

    hashes: list[str] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    """Digests of the files of evidence whose custody it records."""
    referred: dict[str, int] = field(default_factory=dict)
    """Digests that bodies refer to, each with the first entry that does."""
    plans: dict[str, int] = field(default_factory=dict)
    """Digests of the plans that runs started with, each with the first entry that says so."""

    def note(self, entry: Mapping[str, Any]) -> None:
        """Take in what an entry refers to."""
        body = entry["body"] if isinstance(entry["body"], dict) else {}
        self.hashes.append(entry["hash"])
        if entry["kind"] == "evidence.kept":
            self.kept.add(str(body.get("sha256")))
        if entry["kind"] == "run.started" and "plan" in body:
            self.plans.setdefault(str(body["plan"]), entry["seq"])
        for sha in references(body):
            self.referred.setdefault(sha, entry["seq"])


def signed_by(public: str, sig: Any, content: bytes) -> bool:
    """Whether this Ed25519 key (hex) signed it; a signature has one spelling, in lowercase hex."""
    if not isinstance(sig, str) or not _SIGNATURE.fullmatch(sig):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(sig), content)
    except (InvalidSignature, ValueError):
        return False
    return True


def lines(chunks: Iterable[bytes], member: str) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1; each has to end.

    Raises:
        NotIntact: a line is too long or has no end.
    """
    number, rest = 1, b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield number, line
            number += 1
        if len(rest) > MAX_LINE:
            raise NotIntact(member, "the line is longer than an entry can be", line=number)
    if rest:
        raise NotIntact(member, "the line is cut: it has no end", line=number)


def check_journal(chunks: Iterable[bytes], incident: str, wanted: JournalFacts) -> Chain:
    """Recompute every hash and link.

    Args:
        chunks: The member's content.
        incident: Whose journal it is.
        wanted: The manifest's word on it.

    Raises:
        NotIntact: with the first bad line.
    """
    chain, prev = Chain(), genesis(incident)
    for number, line in lines(chunks, JOURNAL):
        entry = canonical(line, JOURNAL, line=number)
        seq = entry.get("seq")
        if entry.keys() != ENTRY or type(seq) is not int:
            raise NotIntact(JOURNAL, "it has not the fields of an entry", line=number)
        _check_entry(entry, number, incident, prev)
        prev = entry["hash"]
        chain.note(entry)
    count = len(chain.hashes)
    if count != wanted.entries:
        raise NotIntact(
            JOURNAL,
            f"the journal ends after {count} entries; the manifest tells of {wanted.entries}",
            line=count + 1,
            seq=count + 1,
        )
    if chain.hashes and prev != wanted.head:
        raise NotIntact(JOURNAL, "the last entry is not the one that the manifest names", line=count, seq=count)
    return chain


def _check_entry(entry: Mapping[str, Any], number: int, incident: str, prev: str) -> None:
    seq = entry["seq"]
    if entry["incident"] != incident:
        raise NotIntact(JOURNAL, f"it is an entry of another incident than {incident}", line=number, seq=seq)
    if entry_hash(entry) != entry["hash"]:
        raise NotIntact(JOURNAL, f"entry {seq} was altered: its hash does not fit it", line=number, seq=seq)
    if seq != number:
        what = "an entry is missing before it" if seq > number else "it is there twice or moved"
        raise NotIntact(JOURNAL, f"entry {seq} stands where {number} belongs: {what}", line=number, seq=seq)
    if entry["prev"] != prev:
        raise NotIntact(JOURNAL, f"entry {seq} does not follow on the one before it", line=number, seq=seq)


def check_heads(chunks: Iterable[bytes], incident: str, chain: Chain, public: str, key_id: str) -> int:
    """Every signed head has to name an entry as it is, and the last one the last entry; how many there are.

    Raises:
        NotIntact: with the first bad line.
    """
    last: dict[str, Any] = {"n": 0, "seq": 0, "hash": HEADS_GENESIS}
    count = 0
    for count, line in lines(chunks, HEADS):
        head = canonical(line, HEADS, line=count)
        if head.keys() != HEAD or type(head["seq"]) is not int or type(head["n"]) is not int:
            raise NotIntact(HEADS, "it has not the fields of a signed head", line=count)
        unsigned = {name: value for name, value in head.items() if name != "sig"}
        hashed = digest_of({name: value for name, value in unsigned.items() if name != "hash"})
        if head["hash"] != hashed or head["key_id"] != key_id or not signed_by(public, head["sig"], jcs(unsigned)):
            raise NotIntact(HEADS, "its hash or signature does not fit it", line=count)
        _check_head(head, last, count, incident, chain)
        last = head
    if last["seq"] != len(chain.hashes):
        raise NotIntact(HEADS, f"no signature covers the entries after {last['seq']}", line=count + 1)
    return count


def _check_head(head: Mapping[str, Any], last: Mapping[str, Any], line: int, incident: str, chain: Chain) -> None:
    if head["incident"] != incident:
        raise NotIntact(HEADS, f"it is a head of another incident than {incident}", line=line)
    if head["n"] <= last["n"] or head["seq"] <= last["seq"]:
        raise NotIntact(HEADS, "the heads are out of order", line=line)
    # Heads of other incidents lie between; only neighbours can be held against each other here.
    if head["n"] == last["n"] + 1 and head["prev"] != last["hash"]:
        raise NotIntact(HEADS, "it does not follow on the head before it", line=line)
    if head["seq"] > len(chain.hashes) or chain.hashes[head["seq"] - 1] != head["head"]:
        raise NotIntact(HEADS, f"it signs another entry {head['seq']} than the journal holds", line=line)
