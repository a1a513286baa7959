"""Whether a delivery is from who it says: bearer tokens and signatures over the raw bytes, in constant time.

Schemes: Standard Webhooks 1.0.0 (v1 HMAC, v1a Ed25519); GitHub ``X-Hub-Signature-256``; PagerDuty v3; Splunk
Observability ``X-SFX-Signature``; Slack ``v0``. Each secret of a source is tried, so that one can be changed
without a gap.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

MAX_SIGNATURES = 10


class Unverified(Exception):
    """A delivery whose sender is not proven. ``code`` is stable; the message never holds what was sent."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Proof:
    """What a verified delivery proved. ``verified`` is ``valid`` or ``unsigned``.

    ``delivery`` is a signed id that a repeated delivery repeats, if the scheme has one in its headers.
    """

    verified: str = "valid"
    delivery: str | None = None


@dataclass(frozen=True)
class Scheme:
    """How a family of senders signs. ``text`` is what is signed, in parts, with ``{time}`` and ``{body}``;
    ``delivery`` the path in the body of an id that a repeated delivery repeats."""

    header: str = ""
    prefix: str = ""
    encoding: str = "hex"
    separator: str | None = None
    time_header: str | None = None
    text: tuple[str, ...] = ("{body}",)
    delivery: str | None = None


SCHEMES: dict[str, Scheme | None] = {
    "bearer": None,
    "standard_webhooks": None,
    "hmac": Scheme(header="x-hub-signature-256", prefix="sha256="),
    "github": Scheme(header="x-hub-signature-256", prefix="sha256="),
    "pagerduty": Scheme(header="x-pagerduty-signature", prefix="v1=", separator=",", delivery="event.id"),
    "splunk_observability": Scheme(header="x-sfx-signature", encoding="base64"),
    "slack": Scheme(
        header="x-slack-signature",
        prefix="v0=",
        time_header="x-slack-request-timestamp",
        text=("v0:", "{time}", ":", "{body}"),
    ),
    "none": None,
}
"""Scheme to its form; those without one are written out below."""


def verify(
    scheme: str,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    tolerance: int = 300,
) -> Proof:
    """Prove who sent a delivery.

    Args:
        scheme: A name in ``SCHEMES``.
        secrets: Tokens or keys themselves, resolved; any one of them proves it.
        headers: Names in lower case.
        body: The raw bytes.
        now: For signed timestamps.
        tolerance: Seconds that they may be away.

    Raises:
        Unverified: ``no_secret signature_missing signature_invalid timestamp_outside``.
    """
    if scheme == "none":
        return Proof(verified="unsigned")
    usable = [secret for secret in secrets if secret]
    if not usable:
        raise Unverified("no_secret", "The source has no secret that can be read, so nothing proves a sender.")
    if scheme == "bearer":
        return _bearer(usable, headers)
    if scheme == "standard_webhooks":
        return _standard_webhooks(usable, headers, body, now, tolerance)
    form = SCHEMES[scheme]
    if form is None:
        raise Unverified("no_secret", "The source's scheme is not known.")
    return _hmac(form, usable, headers, body, now, tolerance)


def _bearer(secrets: Sequence[str], headers: Mapping[str, str]) -> Proof:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unverified("signature_missing", "The delivery brings no bearer token.")
    given = hashlib.sha256(token.strip().encode("utf-8", "replace")).digest()
    # Every secret is compared, as hashes of one length: the time taken tells nothing about any of them.
    right = [hmac.compare_digest(given, hashlib.sha256(secret.encode()).digest()) for secret in secrets]
    if not any(right):
        raise Unverified("signature_invalid", "The bearer token is not this source's.")
    return Proof()


def _hmac(
    form: Scheme, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime, tolerance: int
) -> Proof:
    given = headers.get(form.header, "")
    if not given:
        raise Unverified("signature_missing", f"The delivery brings no {form.header}.")
    written = ""
    if form.time_header is not None:
        written = headers.get(form.time_header, "")
        _fresh(written, now, tolerance)
    signed = b"".join({"{body}": body, "{time}": written.encode()}.get(part, part.encode()) for part in form.text)
    wanted = [hmac.new(secret.encode(), signed, hashlib.sha256).digest() for secret in secrets]
    parts = given.split(form.separator)[:MAX_SIGNATURES] if form.separator else [given]
    for part in parts:
        stripped = part.strip()
        if not stripped.startswith(form.prefix):
            continue
        found = _decoded(stripped.removeprefix(form.prefix), form.encoding)
        if any([hmac.compare_digest(found, each) for each in wanted]):
            return Proof()
    raise Unverified("signature_invalid", "No signature of the delivery fits its body and this source's secret.")


def _standard_webhooks(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime, tolerance: int
) -> Proof:
    delivery, written = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not delivery or not written or not given:
        raise Unverified("signature_missing", "The delivery lacks webhook-id, webhook-timestamp or webhook-signature.")
    moment = _fresh(written, now, tolerance)
    signatures = [part.partition(",") for part in given.split()[:MAX_SIGNATURES]]
    for secret in secrets:
        if secret.startswith("whpk_"):
            signed = f"{delivery}.{written}.".encode("utf-8", "replace") + body
            right = any([_ed25519(secret, signature, signed) for kind, _, signature in signatures if kind == "v1a"])
        else:
            wanted = _v1(secret, delivery, moment, body)
            right = any(
                [hmac.compare_digest(_decoded(text, "base64"), wanted) for kind, _, text in signatures if kind == "v1"]
            )
        if right:
            return Proof(delivery=delivery)
    raise Unverified("signature_invalid", "No signature of the delivery fits its body and this source's secret.")


def _v1(secret: str, delivery: str, moment: datetime, body: bytes) -> bytes:
    try:
        signature = Webhook(secret).sign(delivery, moment, body.decode())
    except (ValueError, RuntimeError, EmptyWebhookSecretError):
        raise Unverified("signature_invalid", "The body is not UTF-8, or the source's secret is not base64.") from None
    return base64.b64decode(signature.removeprefix("v1,"))


def _ed25519(key: str, signature: str, signed: bytes) -> bool:
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
        public.verify(_decoded(signature, "base64"), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _fresh(written: str, now: datetime, tolerance: int) -> datetime:
    """The signed instant, in whole seconds.

    Raises:
        Unverified: it is none, or too far from now: a recorded delivery sent again, or a clock gone wrong.
    """
    if not written.isascii() or not written.isdigit() or len(written) > 12:
        raise Unverified("timestamp_outside", "The signed timestamp is not a number of seconds.")
    moment = datetime.fromtimestamp(int(written), tz=UTC) if int(written) < 253_402_300_800 else datetime.max
    if moment.tzinfo is None or abs((now - moment).total_seconds()) > tolerance:
        raise Unverified("timestamp_outside", f"The signed timestamp is more than {tolerance} s away from now.")
    return moment


def _decoded(text: str, encoding: str) -> bytes:
    """The bytes of a signature; empty for anything malformed, which no signature equals."""
    try:
        if encoding == "hex":
            return bytes.fromhex(text) if text.isascii() else b""
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""
