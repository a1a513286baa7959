"""The token broker: signs in to Salesforce, and keeps the access token in this process's memory only.

simple-salesforce's own re-login recurses without end on a lasting 401 and signs in once per thread (facts
§0.3, §1.6), so it is given ready tokens. Flows: JWT bearer (RFC 7523; ``exp`` at most 3 minutes ahead) and
client credentials (RFC 6749 §4.4; answered on the My Domain host only).
"""

import hashlib
import hmac
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
import requests

from activities.errors import AuthFailed, ConnectorError, RateLimited
from activities.ports import Vault
from activities.systems.salesforce.adapter import SIGN_IN, Expired, PinnedSession, error_code, mapped, of_answer
from activities.systems.salesforce.config import SalesforceConfig

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_SECONDS = 150
EARLY = 30.0
"""Seconds before its end at which a token is renewed; half of its life if that is less."""


@dataclass(frozen=True)
class AccessToken:
    """An access token, and whose it is. Its value never appears in a representation."""

    value: str = field(repr=False)
    user: str
    org: str
    until: float

    def __reduce__(self) -> str:
        raise TypeError("an access token is never written down")


class TokenBroker:
    """One sign-in at a time for all threads of a worker."""

    def __init__(self, config: SalesforceConfig, vault: Vault, session: type[PinnedSession] = PinnedSession) -> None:
        self._config, self._vault, self._session = config, vault, session
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._fingerprint_key: bytes | None = None

    def token(self) -> AccessToken:
        """The token in use, or a fresh one.

        Raises:
            AuthFailed: The sign-in is refused.
            Transient: Salesforce is not reachable.
        """
        with self._lock:
            if self._token is None or time.monotonic() >= self._token.until:
                self._token = self._sign_in()
            return self._token

    @property
    def known_user(self) -> str | None:
        """Whose the token in use is, without asking for one."""
        return self._token.user if self._token is not None else None

    def refused(self, token: AccessToken) -> None:
        """Forget a token that Salesforce has refused; another thread may have a newer one already."""
        with self._lock:
            if self._token is not None and self._token.value == token.value:
                self._token = None

    def fingerprint(self, secret_text: str) -> str:
        """Keyed fingerprint of a grant's delete token: the same in every worker that has the credential."""
        if self._fingerprint_key is None:
            config = self._config
            credential = config.private_key if config.flow == "jwt" else config.consumer_secret
            known = self._secret(config.fingerprint_key or credential or "")
            self._fingerprint_key = hashlib.sha256(b"stanch/fingerprint/1" + known.encode()).digest()
        return hmac.new(self._fingerprint_key, secret_text.encode(), hashlib.sha256).hexdigest()[:32]

    def _secret(self, reference: str) -> str:
        try:
            return self._vault.get(reference)
        except Exception as error:
            # A vault's own errors have a code and name the reference only; of others nothing is told.
            said = str(error) if hasattr(error, "code") else f"{reference}: {type(error).__name__}."
            raise AuthFailed(
                f"A credential of the Salesforce integration cannot be read. Nothing was sent. {said}"
            ) from None

    def _sign_in(self) -> AccessToken:
        config = self._config
        session = self._session(config)
        try:
            with mapped("signing in", session=session):
                answer = session.post(config.token_url + SIGN_IN, data=self._form())
            if answer.status_code != 200:
                raise _refused(answer, session)
            with mapped("signing in"):
                return self._read(answer.json())
        finally:
            session.close()

    def _form(self) -> dict[str, str]:
        config = self._config
        key = config.consumer_key
        key = self._secret(key) if key.startswith("secret:") else key
        if config.flow == "client_credentials":
            assert config.consumer_secret is not None
            secret_text = self._secret(config.consumer_secret)
            return {"grant_type": "client_credentials", "client_id": key, "client_secret": secret_text}
        assert config.private_key is not None
        claims = {
            "iss": key,
            "sub": config.username,
            "aud": config.audience,
            "exp": int(time.time()) + JWT_SECONDS,
        }
        try:
            assertion = jwt.encode(claims, self._secret(config.private_key), algorithm="RS256")
        except (ValueError, jwt.PyJWTError):
            raise AuthFailed(
                "The private key of the Salesforce integration is no PEM key for RS256. Nothing was sent. "
                "Put the key whose certificate the app holds where the settings say."
            ) from None
        return {"grant_type": JWT_BEARER, "assertion": assertion}

    def _read(self, answer: dict[str, Any]) -> AccessToken:
        # ``id`` is https://HOST/id/ORG/USER; only its last parts are used, the host is never called.
        org, user = str(answer["id"]).rstrip("/").split("/")[-2:]
        lasts = float(answer.get("expires_in") or self._config.token_minutes * 60)
        until = time.monotonic() + lasts - min(EARLY, lasts / 2)
        return AccessToken(str(answer["access_token"]), user, org, until)


def _refused(answer: requests.Response, session: PinnedSession) -> ConnectorError:
    status, code = answer.status_code, error_code(answer.content)
    if status < 500 and status != 429:
        return AuthFailed(
            f"Salesforce refuses the sign-in ({status} {code}). Nothing was done. Check consumer key, user, its "
            "pre-authorisation for the app, and the key or secret. `stanch doctor` tries again."
        )
    found = of_answer(status, answer.content, "signing in", write=False, session=session)
    return found if not isinstance(found, Expired) else RateLimited(str(found))
