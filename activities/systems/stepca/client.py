"""The client of one step-ca authority: sign, revoke, read the revocation list. Synchronous and thread-safe."""

import json
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from jwt.exceptions import PyJWTError

from activities.connecting import settings_of
from activities.errors import Ambiguous, AuthFailed, ConnectorError, Forbidden, NotFound, Rejected, Unavailable
from activities.ports import Vault
from activities.systems.stepca import pki
from activities.systems.stepca.config import StepCaConfig
from activities.systems.stepca.http import Line
from activities.systems.stepca.models import Issued, RevocationList, issued_by, read_list, serial

TOKEN_LIFE = 120
"""Seconds that a provisioner token is good for; step-ca takes each only once."""
BACKDATE = timedelta(minutes=5)
"""How far step-ca may date a certificate back for slow clocks (its default is one minute)."""
REASONS = {
    "unspecified": 0,
    "key_compromise": 1,
    "affiliation_changed": 3,
    "superseded": 4,
    "cessation_of_operation": 5,
    "privilege_withdrawn": 9,
}
"""Reason codes of RFC 5280 §5.3.1 that make sense for a client certificate."""


def connect(config: Mapping[str, Any] | StepCaConfig, vault: Vault) -> "StepCa":
    """A client; nothing is sent before its first use.

    Raises:
        AuthFailed: The settings or the root certificate cannot be used; the message says which.
    """
    return StepCa(settings_of(StepCaConfig, "stepca", config), vault)


def connect_reading(config: Mapping[str, Any] | StepCaConfig, vault: Vault) -> "StepCa":
    """A client that can only read: any other request is refused before it leaves this process.

    Raises:
        AuthFailed: As of ``connect``.
    """
    return StepCa(settings_of(StepCaConfig, "stepca", config), vault, reading=True)


class StepCa:
    """One authority, as Stanch's provisioner sees it."""

    own: tuple[str, ...] = ()
    """Stanch holds no certificate of this authority."""

    def __init__(self, config: StepCaConfig, vault: Vault, *, reading: bool = False) -> None:
        """Reads the root certificate.

        Raises:
            AuthFailed: It cannot be read, or is none.
        """
        self.config, self._vault = config, vault
        try:
            text = config.root.expanduser().read_text(encoding="ascii")
            self.root = x509.load_pem_x509_certificate(text.encode())
            self._line = Line(config, text, reading=reading)
        except (OSError, ValueError) as error:
            raise AuthFailed(
                f"systems.stepca.root: {config.root} cannot be used as a root certificate "
                f"({type(error).__name__}). Nothing was done. Name the PEM file of the authority's root."
            ) from None
        self._lock = threading.Lock()
        self._issuers: tuple[x509.Certificate, ...] = ()

    def close(self) -> None:
        """Close its connections."""
        self._line.close()

    def ping(self) -> str:
        """Whether it answers, knows our provisioner and keeps a revocation list; a sentence for ``stanch doctor``.

        Raises:
            AuthFailed: It does not know the provisioner, or knows it by another key.
            Forbidden: It keeps no revocation list, so that no revocation could be verified.
        """
        self._line.get("/health", "asking whether it is up")
        kid = self._signing()[1]
        rows = _json(self._line.get("/1.0/provisioners?limit=100", "listing provisioners")).get("provisioners") or []
        mine = [row for row in rows if row.get("type") == "JWK" and row.get("name") == self.config.provisioner]
        if not mine:
            raise AuthFailed(
                f"step-ca has no JWK provisioner named {self.config.provisioner}. Add it, or mend the name."
            )
        if all((row.get("key") or {}).get("kid") != kid for row in mine):
            raise AuthFailed(f"step-ca knows the provisioner {self.config.provisioner} by another key than ours.")
        try:
            count = len(self.revocations().entries)
        except NotFound:
            raise Forbidden(
                "step-ca keeps no revocation list, so a revocation could not be verified. Set "
                '`"crl": {"enabled": true, "generateOnRevoke": true}` in its ca.json.'
            ) from None
        return f"Provisioner {self.config.provisioner} is known; {count} certificates are on the revocation list."

    def revocations(self) -> RevocationList:
        """The revocation list, its signature checked against the authority's intermediates.

        Raises:
            Unavailable: It is no list, or nobody we trust signed it.
        """
        doing = "reading the revocation list"
        content = self._line.get("/1.0/crl", doing).content
        try:
            return read_list(content, self._trusted())
        except ValueError:
            pass
        try:
            # The intermediate may have been replaced since it was read.
            return read_list(content, self._trusted(fresh=True))
        except ValueError:
            raise Unavailable(
                f"step-ca, {doing}: what it gave is no revocation list signed below the pinned root. Nothing is "
                "known of what is revoked. Look whether this is the right authority."
            ) from None

    def revoke(self, number: str, *, reason: str = "key_compromise", text: str = "") -> bool:
        """Put a serial number on the revocation list; ``False`` if it is on it already.

        step-ca takes any number, also one that it never gave to a certificate.
        """
        number = serial(number)
        doing = "revoking a certificate"
        body = {
            "serial": number,
            "ott": self._token(number, "revoke"),
            "passive": True,
            "reasonCode": REASONS[reason],
            "reason": text[:200],
        }
        try:
            self._line.post("/1.0/revoke", doing, body)
        except Rejected:
            # 400 also says that it was revoked before; the list tells that apart.
            if number in self.revocations().serials:
                return False
            raise
        return True

    def sign(self, csr: str, subject: str, names: tuple[str, ...], life: timedelta) -> Issued:
        """Have a request signed, and check that the certificate is what was asked for.

        Args:
            csr: PEM.
            subject: Common name that the certificate must have.
            names: Alternative names that it must have.
            life: From now; step-ca adds what it dates back.

        Raises:
            Rejected: The certificate is not what was asked for. It was revoked again if that was possible.
        """
        body = {
            "csr": csr,
            "ott": self._token(subject, "sign", sans=list(names)),
            "notAfter": f"{int(life.total_seconds())}s",
        }
        response = self._line.post("/1.0/sign", "signing a certificate", body)
        try:
            found = _json(response)
            pems = found.get("certChain") or [found.get("crt"), found.get("ca")]
            chain = [x509.load_pem_x509_certificate(str(text).encode()) for text in pems if text]
            leaf, issuer = chain[0], chain[1]
        except (ValueError, IndexError, Unavailable):
            raise Ambiguous("step-ca gave no certificate that can be read; one may have been issued.") from None
        wrong = self._unlike(leaf, issuer, csr, subject, names, life)
        if wrong:
            said = "It was revoked again."
            try:
                self.revoke(str(leaf.serial_number), reason="cessation_of_operation")
            except ConnectorError:
                said = f"It could not be revoked again: serial {leaf.serial_number}."
            raise Rejected(f"step-ca signed something else than was asked for ({wrong}). {said}")
        return Issued.of(leaf, "".join(pki.pem(certificate) for certificate in chain))

    def genuine(self, chain: str) -> bool:
        """Whether a chain (PEM, leaf first) leads to the pinned root."""
        certificates = x509.load_pem_x509_certificates(chain.encode())
        below = [*certificates[1:], self.root]
        return all(issued_by(*pair) for pair in zip(certificates, below, strict=True))

    def _unlike(
        self,
        leaf: x509.Certificate,
        issuer: x509.Certificate,
        csr: str,
        subject: str,
        names: tuple[str, ...],
        life: timedelta,
    ) -> str:
        asked = x509.load_pem_x509_csr(csr.encode())
        if not issued_by(leaf, issuer) or not issued_by(issuer, self.root):
            return "it does not lead to the pinned root"
        spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        if leaf.public_key().public_bytes(*spki) != asked.public_key().public_bytes(*spki):
            return "it is for another key"
        if Issued.of(leaf, "").subject != subject:
            return "it is for another subject"
        try:
            given: Any = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            given = ()
        if {str(name.value) for name in given} - set(names):
            return "it has further names"
        if leaf.not_valid_after_utc > datetime.now(UTC) + life + BACKDATE:
            return "it is valid for longer"
        return ""

    def _trusted(self, *, fresh: bool = False) -> tuple[x509.Certificate, ...]:
        """The root and the intermediates that it signed."""
        with self._lock:
            if self._issuers and not fresh:
                return self._issuers
        rows = _json(self._line.get("/1.0/intermediates", "reading intermediate certificates")).get("crts") or []
        try:
            found = [x509.load_pem_x509_certificate(str(text).encode()) for text in rows]
        except ValueError:
            raise Unavailable("step-ca gave intermediate certificates that cannot be read.") from None
        trusted = (self.root, *(certificate for certificate in found if issued_by(certificate, self.root)))
        with self._lock:
            self._issuers = trusted
        return trusted

    def _token(self, subject: str, what: str, **claims: Any) -> str:
        """A one-time token of the provisioner (RFC 7519) for one request on one subject."""
        key, kid = self._signing()
        now = int(time.time())
        body = {
            "iss": self.config.provisioner,
            "sub": subject,
            "aud": f"{self.config.url}/1.0/{what}",
            "iat": now,
            "nbf": now - 30,
            "exp": now + TOKEN_LIFE,
            "jti": uuid.uuid4().hex,
            "sha": pki.fingerprint(self.root),
            **claims,
        }
        return jwt.encode(body, key, algorithm="ES256", headers={"kid": kid})

    def _signing(self) -> tuple[Any, str]:
        """The provisioner's key and its id."""
        text = self._vault.get(self.config.key).strip()
        try:
            if text.startswith("{"):
                jwk = json.loads(text)
                key = jwt.PyJWK.from_dict(jwk, algorithm="ES256").key
                if not hasattr(key, "private_numbers"):
                    raise ValueError("only the public half")
                return key, str(jwk.get("kid") or pki.public_jwk(key)["kid"])
            loaded = pki.load_key(text)
            return loaded, pki.public_jwk(loaded)["kid"]
        except (ValueError, TypeError, PyJWTError):
            raise AuthFailed(
                "systems.stepca.key: what is behind the reference is no private NIST P-256 key (PEM or an unencrypted "
                "JSON Web Key). Nothing was done. One that is encrypted is opened by `step crypto jwe decrypt`."
            ) from None


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable("step-ca gave an answer that is not understood. It may have done what was asked.")
    return found
