"""A certificate authority for the gateway's tests: a root, an intermediate that signs, and its list of revocations."""

import datetime as dt
import ipaddress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """A certificate authority of one test session."""

    def __init__(self) -> None:
        self.root, self._root_key = self._make("root", None, ca=True)
        self.certificate = self.root
        self.certificate, self._key = self._make("clients authority", self._root_key, ca=True)
        self.revoked: list[int] = []
        self.made = 0

    def issue(self, name: str, *, server: bool = False) -> tuple[str, x509.Certificate]:
        """PEM of a certificate and its key, and the certificate."""
        certificate, key = self._make(name, self._key, server=server)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _pem(certificate) + _pem(self.certificate) + private.decode(), certificate

    @property
    def pem(self) -> str:
        """Its own certificate, and that of its root, which has no list."""
        return _pem(self.certificate) + _pem(self.root)

    def revocations(self, *, days: float = 1, key: Any = None, at: dt.datetime | None = None) -> bytes:
        """Its list, newer each time."""
        self.made += 1
        now = at or dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(hours=1) + dt.timedelta(0, self.made)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now).next_update(now + dt.timedelta(days=days))
        for serial in self.revoked:
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(one)
        return builder.sign(key or self._key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def _make(self, name: str, signer: Any, *, ca: bool = False, server: bool = False) -> tuple[x509.Certificate, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject if signer else subject)
            .public_key(key.public_key())
            .serial_number(self._serial(name))
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        public = (signer or key).public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if server:
            local = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(local, critical=False)
        usage = x509.KeyUsage(True, False, False, False, False, ca, ca, False, False)
        return builder.add_extension(usage, critical=True).sign(signer or key, hashes.SHA256()), key

    def _serial(self, name: str) -> int:
        """Some in an odd number of hexadecimal digits, some whose first bit is set: both are written in other ways."""
        low = x509.random_serial_number() >> 16
        return {"harvester": 0x5 << 144 | low % (1 << 144), "partner-atlas": 0x9C << 144 | low % (1 << 144)}.get(
            name, x509.random_serial_number()
        )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
