"""A simulated step-ca as an ASGI application: the part of its HTTP API that Stanch uses, as 0.30.2 answers it.

What changes something there (``CHANGING``): method, path, and the kind of effect that a request of Stanch's has.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from jwt.exceptions import PyJWTError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from activities.systems.stepca import pki
from activities.systems.stepca.peer.state import REASONS, Ca

CHANGING = (
    ("POST", r"^(?:/1\.0)?/sign$", "issue", "serial of the answer's `crt`"),
    ("POST", r"^(?:/1\.0)?/revoke$", "revoke", "`serial` of the request"),
)
UNAUTHORISED = "The request lacked necessary authorization to be completed."
FORBIDDEN = "The request was forbidden by the certificate authority: "
INCOMPLETE = "The request could not be completed: "
SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class Refusal(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = JSONResponse({"status": status, "message": message}, status)


class StepCaPeer:
    """One simulated authority; serve it over https with a certificate of ``tls_files``."""

    name = "stepca"

    def __init__(self, ca: Ca) -> None:
        self.ca = ca
        self._routes: dict[tuple[str, str], Callable[[Request, bytes], Response]] = {
            ("GET", "/health"): lambda request, body: JSONResponse({"status": "ok"}),
            ("GET", "/version"): lambda request, body: JSONResponse({"version": "0.30.2"}),
            ("GET", "/provisioners"): self._provisioners,
            ("GET", "/roots"): lambda request, body: JSONResponse({"crts": [ca.authority.root]}, 201),
            ("GET", "/intermediates"): lambda request, body: JSONResponse({"crts": [ca.authority.intermediate]}, 201),
            ("GET", "/crl"): self._list,
            ("POST", "/sign"): self._sign,
            ("POST", "/revoke"): self._revoke,
        }

    def view(self) -> dict[str, Any]:
        """Its state, without secrets."""
        return self.ca.view()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        body = await request.body()
        path = request.url.path.removeprefix("/1.0")
        try:
            if request.method == "GET" and path.startswith("/root/"):
                response = self._root(path.removeprefix("/root/"))
            else:
                route = self._routes.get((request.method, path))
                response = route(request, body) if route else Response("404 page not found\n", 404)
        except Refusal as refusal:
            response = refusal.response
        await response(scope, receive, send)

    def _root(self, fingerprint: str) -> Response:
        if fingerprint.lower() != self.ca.authority.root_fingerprint:
            raise Refusal(404, f'root certificate with fingerprint "{fingerprint}" was not found')
        return JSONResponse({"ca": self.ca.authority.root})

    def _provisioners(self, request: Request, body: bytes) -> Response:
        authority = self.ca.authority
        row = {"type": "JWK", "name": authority.provisioner, "key": authority.provisioner_jwk}
        return JSONResponse({"provisioners": [row], "nextCursor": ""})

    def _list(self, request: Request, body: bytes) -> Response:
        if not self.ca.keeps_list:
            raise Refusal(404, "no CRL available")
        found, kind = self.ca.revocation_list(), "application/pkix-crl"
        if "pem" in request.query_params:
            found, kind = (
                x509.load_der_x509_crl(found).public_bytes(serialization.Encoding.PEM),
                "application/x-pem-file",
            )
        return Response(found, 200, {"Content-Disposition": 'attachment; filename="crl.crl"'}, media_type=kind)

    def _sign(self, request: Request, body: bytes) -> Response:
        asked = _body(body)
        try:
            csr = x509.load_pem_x509_csr(str(asked.get("csr", "")).encode())
        except ValueError:
            raise Refusal(400, f"{INCOMPLETE}error decoding json.") from None
        claims = self._claims(asked, "sign")
        if not csr.is_signature_valid:
            raise Refusal(400, f"{INCOMPLETE}invalid certificate request.")
        common, names = pki.names_of(csr)
        wanted = [str(name) for name in claims.get("sans") or [claims["sub"]]]
        if common and common != claims["sub"] and common not in wanted:
            said = f"got {common}, want [{' '.join([str(claims['sub']), *wanted])}]"
            raise Refusal(403, f"{FORBIDDEN}certificate request does not contain the valid common name - {said}.")
        if sorted(names) != sorted(wanted):
            said = f"got [{' '.join(names)}], want [{' '.join(wanted)}]"
            raise Refusal(403, f"{FORBIDDEN}certificate request does not contain the valid DNS names - {said}.")
        now = datetime.now(UTC).replace(microsecond=0)
        start, end = now - self.ca.backdate, _instant(asked.get("notAfter"), now, timedelta(minutes=5))
        if end - now > self.ca.longest:
            raise Refusal(
                403, f"{FORBIDDEN}requested duration is more than the authorized maximum certificate duration."
            )
        if end - now < self.ca.shortest:
            raise Refusal(
                403, f"{FORBIDDEN}requested duration is less than the authorized minimum certificate duration."
            )
        leaf = pki.sign_leaf(self.ca.authority, csr.public_key(), str(claims["sub"]), names, (start, end))
        self.ca.signed[str(leaf.serial_number)] = leaf
        chain = [pki.pem(leaf), self.ca.authority.intermediate]
        answer = {"crt": chain[0], "ca": chain[1], "certChain": chain, "tlsOptions": {"minVersion": 1.2}}
        return JSONResponse(answer, 201)

    def _revoke(self, request: Request, body: bytes) -> Response:
        asked = _body(body)
        text = str(asked.get("serial", ""))
        try:
            serial = str(int(text, 16 if text.lower().startswith("0x") else 10))
        except ValueError:
            raise Refusal(400, f"{INCOMPLETE}'{text}' is not a valid serial number.") from None
        code = int(asked.get("reasonCode", 0))
        if code not in REASONS:
            raise Refusal(400, f"{INCOMPLETE}reasonCode out of bounds.")
        if not asked.get("passive"):
            raise Refusal(501, "The requested method is not implemented by the certificate authority.")
        claims = self._claims(asked, "revoke")
        if claims["sub"] != serial:
            said = f'request serial number "{serial}" and token subject "{claims["sub"]}" do not match.'
            raise Refusal(403, f"{FORBIDDEN}{said}")
        if not self.ca.revoke(serial, code):
            raise Refusal(400, f"{INCOMPLETE}certificate with serial number '{serial}' is already revoked.")
        return JSONResponse({"status": "ok"})

    def _claims(self, asked: dict[str, Any], what: str) -> dict[str, Any]:
        """The claims of a one-time token; it is used up by this."""
        token = str(asked.get("ott") or "")
        if not token:
            raise Refusal(400, f"{INCOMPLETE}missing ott.")
        authority = self.ca.authority
        try:
            if jwt.get_unverified_header(token).get("kid") != authority.provisioner_jwk["kid"]:
                raise Refusal(401, UNAUTHORISED)
            claims: dict[str, Any] = jwt.decode(
                token,
                pki.load_key(authority.provisioner_key).public_key(),
                algorithms=["ES256"],
                issuer=authority.provisioner,
                leeway=60,
                options={"require": ["sub", "aud", "exp"], "verify_aud": False},
            )
        except PyJWTError:
            raise Refusal(401, UNAUTHORISED) from None
        hosts = "|".join(re.escape(name) for name in self.ca.names)
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        meant = any(re.fullmatch(rf"https://(?:{hosts})(?::\d+)?(?:/1\.0)?/{what}", str(name)) for name in audiences)
        one_time = str(claims.get("jti") or token)
        if not meant or one_time in self.ca.used:
            raise Refusal(401, UNAUTHORISED)
        self.ca.used.add(one_time)
        return claims


def _body(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, f"{INCOMPLETE}error decoding json.")
    return found


def _instant(text: Any, now: datetime, default: timedelta) -> datetime:
    """``notAfter``: an instant (RFC 3339), or a span from now (``1h5m``)."""
    if not text:
        return now + default
    found = SPAN.fullmatch(str(text))
    if found and any(found.groups()):
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return now + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        raise Refusal(400, f"{INCOMPLETE}error decoding json.") from None
