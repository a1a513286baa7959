"""Signature Version 4 as the peer checks it (IAM user guide, "Create a signed AWS API request")."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=5)


class BadSignature(Exception):
    """The request is not signed as it should be; ``code`` is AWS's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Claim:
    """What an Authorization header says."""

    key: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str


def claim_of(headers: Mapping[str, str]) -> Claim:
    """Read the header.

    Raises:
        BadSignature: There is none, or it is malformed.
    """
    text = headers.get("authorization", "")
    if not text:
        raise BadSignature("MissingAuthenticationToken")
    found = re.fullmatch(
        rf"{ALGORITHM} Credential=([^/]+)/(\d{{8}})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
        r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
        text,
    )
    if found is None:
        raise BadSignature("IncompleteSignature")
    key, date, region, service, signed, signature = found.groups()
    return Claim(key, date, region, service, tuple(signed.split(";")), signature)


def check(
    claim: Claim,
    secret: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> None:
    """Whether the request was signed with this secret, lately.

    Raises:
        BadSignature: Not so.
    """
    stamped = headers.get("x-amz-date", "")
    try:
        at = datetime.strptime(stamped, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise BadSignature("IncompleteSignature") from None
    if not {"host", "x-amz-date"} <= set(claim.signed) or stamped[:8] != claim.date:
        raise BadSignature("IncompleteSignature")
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in parse_qsl(query, True))
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/-_.~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in claim.signed),
            "",
            ";".join(claim.signed),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    text = "\n".join([ALGORITHM, stamped, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (claim.date, claim.region, claim.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), claim.signature):
        raise BadSignature("SignatureDoesNotMatch")
    if abs(now - at) > SKEW:
        raise BadSignature("RequestExpired")
