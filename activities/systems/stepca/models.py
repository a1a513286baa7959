"""Certificates and revocations as Stanch knows them: serials, issued certificates, the revocation list. No I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from activities.errors import InvalidParams
from activities.systems.stepca import pki

SERIAL = re.compile(r"[0-9]{1,49}")
HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,40}")
"""At most 20 octets (RFC 5280 §4.1.2.2)."""


def serial(value: object) -> str:
    """A serial number in decimal, as step-ca names certificates.

    Args:
        value: Decimal, or hexadecimal with ``0x`` or with colons between its octets.

    Raises:
        InvalidParams: It is none.
    """
    text = str(value).strip()
    if SERIAL.fullmatch(text):
        return str(int(text))
    bare = text.replace(":", "")
    if HEX.fullmatch(bare) and (text[:2].lower() == "0x" or ":" in text):
        return str(int(bare, 16))
    raise InvalidParams(
        "A value that should be a certificate's serial number is none (decimal, 0x…, or octets with colons). "
        "Nothing was done. A fingerprint does not name a certificate to step-ca."
    )


@dataclass(frozen=True)
class Issued:
    """A certificate that was just signed, with its chain."""

    serial: str
    fingerprint: str
    subject: str
    not_before: datetime
    not_after: datetime
    chain: str

    @classmethod
    def of(cls, leaf: x509.Certificate, chain: str) -> "Issued":
        """Of a parsed leaf and the whole chain as PEM."""
        names = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return cls(
            str(leaf.serial_number),
            pki.fingerprint(leaf),
            str(names[0].value) if names else "",
            leaf.not_valid_before_utc,
            leaf.not_valid_after_utc,
            chain,
        )


@dataclass(frozen=True)
class Revoked:
    """One entry of the revocation list."""

    serial: str
    at: datetime
    reason: str

    def row(self) -> dict[str, str]:
        """As a row of evidence."""
        return {"id": self.serial, "label": self.serial, "revoked_at": self.at.isoformat(), "reason": self.reason}


@dataclass(frozen=True)
class RevocationList:
    """A list whose signature was checked."""

    entries: tuple[Revoked, ...]
    made: datetime
    until: datetime | None
    content: bytes

    @property
    def serials(self) -> frozenset[str]:
        """Serial numbers on it."""
        return frozenset(entry.serial for entry in self.entries)

    def stale(self, now: datetime) -> bool:
        """Whether a newer one should have been made by now."""
        return self.until is not None and now > self.until


def read_list(content: bytes, issuers: Iterable[x509.Certificate]) -> RevocationList:
    """The revocation list of DER bytes.

    Args:
        content: DER.
        issuers: Certificates that may have signed it; they are trusted.

    Raises:
        ValueError: It is no list, or none of the issuers signed it.
    """
    found = x509.load_der_x509_crl(content)
    signers = [issuer for issuer in issuers if issuer.subject == found.issuer]
    if not any(found.is_signature_valid(signer.public_key()) for signer in signers):  # type: ignore[arg-type]
        raise ValueError("the list is not signed by this authority")
    entries = tuple(Revoked(str(entry.serial_number), entry.revocation_date_utc, _reason(entry)) for entry in found)
    return RevocationList(entries, found.last_update_utc, found.next_update_utc, content)


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except x509.ExtensionNotFound:
        return "unspecified"


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether an issuer signed a certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def in_force(certificate: x509.Certificate, at: datetime) -> bool:
    """Whether an instant lies in its validity."""
    return certificate.not_valid_before_utc <= at.astimezone(UTC) <= certificate.not_valid_after_utc
