"""What a certificate authority of one's own is made of: root, intermediate, provisioner key, requests. Pure.

No ``step`` command is needed: step-ca reads PEM files and a JSON Web Key (RFC 7517) that ``cryptography`` makes.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT_LIFE, INTERMEDIATE_LIFE = timedelta(days=3650), timedelta(days=1825)
SKEW = timedelta(minutes=5)
"""How far certificates of the authority itself are dated back, for clocks that go slow."""


@dataclass(frozen=True)
class Authority:
    """Certificates (PEM) and keys of an authority; the keys never show in ``repr``."""

    root: str
    intermediate: str
    intermediate_key: str = field(repr=False)
    provisioner: str
    provisioner_key: str = field(repr=False)
    root_list: str = ""
    """The root's own revocation list (PEM), empty: who checks whole chains needs one of every authority in them."""

    @property
    def root_fingerprint(self) -> str:
        """SHA-256 of the root's DER, lowercase hex: how clients pin it."""
        return fingerprint(x509.load_pem_x509_certificate(self.root.encode()))

    @property
    def provisioner_jwk(self) -> dict[str, str]:
        """The provisioner's public key as a JSON Web Key."""
        return public_jwk(load_key(self.provisioner_key))


def make_authority(name: str = "Stanch range", provisioner: str = "stanch") -> Authority:
    """A fresh root, an intermediate below it and a provisioner key (all NIST P-256)."""
    now = datetime.now(UTC)
    root_key, key = new_key(), new_key()
    root_name, inner_name = _name(f"{name} root"), _name(f"{name} intermediate")
    root = _authority(root_name, root_name, root_key, root_key, (now - SKEW, now + ROOT_LIFE), 1)
    inner = _authority(inner_name, root_name, key, root_key, (now - SKEW, now + INTERMEDIATE_LIFE), 0)
    listed = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root_name)
        .last_update(now - SKEW)
        .next_update(now + ROOT_LIFE)
        .add_extension(x509.CRLNumber(1), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return Authority(
        pem(root),
        pem(inner),
        key_pem(key),
        provisioner,
        key_pem(new_key()),
        listed.public_bytes(serialization.Encoding.PEM).decode(),
    )


def _authority(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    life: tuple[datetime, datetime],
    below: int,
) -> x509.Certificate:
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(life[0])
        .not_valid_after(life[1])
        .add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def sign_leaf(
    authority: Authority,
    key: Any,
    subject: str,
    names: Sequence[str],
    life: tuple[datetime, datetime],
) -> x509.Certificate:
    """A certificate for clients and servers below the intermediate.

    Args:
        authority: Signs it.
        key: Public key.
        subject: Common name.
        names: Alternative names.
        life: From when until when, aware.
    """
    issuer = x509.load_pem_x509_certificate(authority.intermediate.encode())
    signer = load_key(authority.intermediate_key)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(life[0])
        .not_valid_after(life[1])
        .add_extension(usage, critical=True)
        .add_extension(purposes, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .sign(signer, hashes.SHA256())
    )


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh NIST P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as PEM (PKCS #8, not encrypted)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def load_key(text: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 private key of PEM.

    Raises:
        ValueError: It is another key, or none.
    """
    key = serialization.load_pem_private_key(text.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("a NIST P-256 key is needed")
    return key


def pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate's DER in lowercase hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """The public half as a JSON Web Key, named by its thumbprint (RFC 7638)."""
    numbers = key.public_key().public_numbers()
    x, y = (_unpadded(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y))
    members = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    kid = _unpadded(hashlib.sha256(members.encode()).digest())
    return {"use": "sig", "kty": "EC", "kid": kid, "crv": "P-256", "alg": "ES256", "x": x, "y": y}


def request(key: ec.EllipticCurvePrivateKey, subject: str, names: Sequence[str] = ()) -> str:
    """A signing request (PEM) for a subject, with alternative names (DNS names or IP addresses)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(subject))
    alternative = [_general(name) for name in names or (subject,)]
    builder = builder.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def names_of(csr: x509.CertificateSigningRequest) -> tuple[str, list[str]]:
    """Common name of a request, and its alternative names as text."""
    common = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        names: Any = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = ()
    return (str(common[0].value) if common else ""), [str(name.value) for name in names]


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _unpadded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
