"""State of a simulated step-ca: what it signed, what is revoked, which tokens were used."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from activities.systems.stepca import pki

REASONS = {
    0: x509.ReasonFlags.unspecified,
    1: x509.ReasonFlags.key_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    9: x509.ReasonFlags.privilege_withdrawn,
}


@dataclass
class Ca:
    """One authority. ``shortest`` and ``longest`` bound what the provisioner may ask for."""

    authority: pki.Authority
    names: tuple[str, ...] = ("127.0.0.1", "localhost")
    shortest: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=1)
    backdate: timedelta = timedelta(minutes=1)
    keeps_list: bool = True
    signed: dict[str, x509.Certificate] = field(default_factory=dict)
    revoked: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    lists: int = 0

    def revoke(self, serial: str, code: int) -> bool:
        """Revoke a serial number, whether or not it is of a certificate; ``False`` if it was revoked before."""
        if serial in self.revoked:
            return False
        self.revoked[serial] = (datetime.now(UTC), code)
        return True

    def revocation_list(self) -> bytes:
        """The signed list as DER, good for a day."""
        self.lists += 1
        now = datetime.now(UTC)
        issuer = x509.load_pem_x509_certificate(self.authority.intermediate.encode())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.subject)
            .last_update(now)
            .next_update(now + timedelta(hours=24))
            .add_extension(x509.CRLNumber(self.lists), critical=False)
        )
        for serial, (at, code) in self.revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(int(serial)).revocation_date(at)
            if code:
                entry = entry.add_extension(x509.CRLReason(REASONS[code]), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        signed = builder.sign(pki.load_key(self.authority.intermediate_key), hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.DER)

    def view(self) -> dict[str, Any]:
        """What there is, without secrets."""
        return {
            "certificates": [
                {
                    "serial": serial,
                    "subject": certificate.subject.rfc4514_string(),
                    "fingerprint": pki.fingerprint(certificate),
                    "not_after": certificate.not_valid_after_utc.isoformat(),
                    "revoked": serial in self.revoked,
                }
                for serial, certificate in self.signed.items()
            ],
            "revoked": sorted(self.revoked),
        }
