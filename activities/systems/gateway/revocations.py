"""Lists of revoked certificates (RFC 5280 §5): fetched from the authority, checked, and put beside those of others.

A list that is not the authority's, is over, or is older than the one in use is never loaded: with a bad one the
gateway would refuse every client, with an old one it would let revoked ones in again.
"""

import re
from datetime import datetime
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from activities.errors import AuthFailed, Rejected, Unavailable
from activities.systems.gateway.config import GatewayConfig

PEM = re.compile(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
MOST = 32 * 1024 * 1024


def fetched(config: GatewayConfig) -> x509.CertificateRevocationList:
    """The authority's list as it is published now.

    Raises:
        AuthFailed: ``crl`` or ``ca`` is not set.
        Unavailable: The authority does not answer.
        Rejected: What it answers is no such list.
    """
    if config.crl is None or config.ca is None:
        raise AuthFailed("systems.gateway: crl and ca are not both set. Nothing was done. Set them.")
    try:
        # Signed by the authority itself, so the way it comes by needs no trust of its own.
        answer = httpx.get(config.crl, timeout=config.read_timeout, trust_env=False, verify=False)
    except httpx.HTTPError:
        raise Unavailable("The authority's list of revocations cannot be fetched. Nothing was changed.") from None
    if answer.status_code != 200 or len(answer.content) > MOST:
        raise Unavailable(f"The authority answered {answer.status_code} for its list. Nothing was changed.")
    try:
        if b"-----BEGIN" in answer.content:
            return x509.load_pem_x509_crl(answer.content)
        return x509.load_der_x509_crl(answer.content)
    except ValueError:
        raise Rejected("What the authority gave is no list of revocations. Nothing was changed.") from None


def merged(
    kept: str, new: x509.CertificateRevocationList, config: GatewayConfig, now: datetime
) -> tuple[str, set[str]]:
    """The gateway's file with the new list in place of the same authority's former one.

    Args:
        kept: The file as it is, with one list for each authority.
        new: What the authority published.
        config: Names the file with the authorities.
        now: The list must not be over.

    Returns:
        The new file, and the serial numbers of the new list in hex without leading zeros.

    Raises:
        Rejected: The list may not be loaded; the message says why.
    """
    _check_signed(new, config)
    if new.next_update_utc is not None and new.next_update_utc <= now:
        raise Rejected("The authority's list is over: it should have published a newer one. Nothing was changed.")
    parts = []
    for text in PEM.findall(kept):
        known = x509.load_pem_x509_crl(text.encode())
        if known.issuer != new.issuer:
            parts.append(text)
        elif known.last_update_utc > new.last_update_utc:
            raise Rejected("The authority gave an older list than the one in use. Nothing was changed.")
    parts.append(new.public_bytes(Encoding.PEM).decode().strip())
    return "\n".join(parts) + "\n", {format(entry.serial_number, "x") for entry in new}


def _check_signed(new: x509.CertificateRevocationList, config: GatewayConfig) -> None:
    try:
        authorities = x509.load_pem_x509_certificates(Path(config.ca or "").read_bytes())
    except (OSError, ValueError):
        raise AuthFailed("systems.gateway: ca cannot be read. Nothing was changed.") from None
    for authority in authorities:
        if authority.subject != new.issuer:
            continue
        try:
            # The kinds of key that can sign one are those that have a public key of this type.
            if new.is_signature_valid(authority.public_key()):  # type: ignore[arg-type]
                return
        except (InvalidSignature, TypeError, ValueError):
            continue
    raise Rejected("The list is not signed by an authority of ours. Nothing was changed. Look where it came from.")
