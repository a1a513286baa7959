"""What Stanch must be told of a Salesforce org. Credentials are references, never themselves."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCOPES = ("api", "refresh_token")
PERMISSIONS = (
    "ApiEnabled",
    "ManageUsers",
    "CustomizeApplication",
    "ViewSetup",
    "ViewEventLogFiles",
    "ManageDataIntegrations",
    "FreezeUsers",
)
"""What the integration user needs; ``stanch doctor`` tells which are missing."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ReadingCredential(BaseModel):
    """Whom to sign in as where Stanch only looks; what is left out is as for everything else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    consumer_key: str | None = None
    """The app's public client id, or a reference."""
    consumer_secret: str | None = None
    """Reference."""
    username: str | None = None
    private_key: str | None = None
    """Reference of the PEM key whose certificate the app holds."""

    @field_validator("consumer_secret", "private_key")
    @classmethod
    def _reference(cls, text: str | None) -> str | None:
        return reference(text)


def reference(text: str | None) -> str | None:
    """A reference to a secret, or nothing.

    Raises:
        ValueError: It is the secret itself.
    """
    if text is not None and not text.startswith("secret:"):
        raise ValueError("write a reference such as secret:file/PATH, not the secret itself")
    return text


class SalesforceConfig(BaseModel):
    """One org and the integration that Stanch signs in with.

    ``jwt`` needs ``username`` and ``private_key``; ``client_credentials`` needs ``consumer_secret``. The
    integration should be an External Client App of its own with its own user (facts: it must survive the
    revocation of everything else).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_url: str
    """``https://NAME.my.salesforce.com``: the only host that ever gets a token of ours."""
    login_url: str | None = None
    """Where tokens are asked for; by default the instance itself."""
    audience: str = "https://login.salesforce.com"
    """``aud`` of the JWT: login or test, or the My Domain URL."""
    api_version: str = Field(default="65.0", pattern=r"^\d{2,3}\.0$")
    flow: Literal["jwt", "client_credentials"] = "jwt"
    consumer_key: str
    """The app's public client id, or a reference."""
    consumer_secret: str | None = None
    """Reference."""
    username: str | None = None
    private_key: str | None = None
    """Reference of the PEM key whose certificate the app holds."""
    fingerprint_key: str | None = None
    """Reference of the key for fingerprints of grants; by default derived from the credential in use."""
    app: str = "Stanch"
    """The integration's name in the org. It is Stanch's own: no action ever touches its tokens."""
    endpoint: str | None = None
    """Loopback address of a simulated org that stands in for the hosts above."""
    reading: ReadingCredential | None = None
    """Credential of its own for what only reads: ``stanch playbook plan``."""
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    read_timeout: float = Field(default=30.0, gt=0, le=300)
    token_minutes: float = Field(default=10.0, gt=0, le=120)
    """How long a token without ``expires_in`` is used before a fresh one is asked for."""

    @field_validator("instance_url", "login_url", "audience")
    @classmethod
    def _https_host(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username or parts.path not in ("", "/"):
            raise ValueError("write https://HOST, nothing before or behind it")
        return f"https://{parts.netloc.lower()}"

    @field_validator("endpoint")
    @classmethod
    def _loopback(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or not parts.port:
            raise ValueError("a simulated org is at http://127.0.0.1:PORT")
        return f"http://{parts.netloc}"

    @field_validator("consumer_secret", "private_key", "fingerprint_key")
    @classmethod
    def _reference(cls, text: str | None) -> str | None:
        return reference(text)

    @model_validator(mode="after")
    def _credential(self) -> "SalesforceConfig":
        if self.flow == "jwt" and not (self.username and self.private_key):
            raise ValueError("the jwt flow needs username and private_key")
        if self.flow == "client_credentials" and not self.consumer_secret:
            raise ValueError("the client_credentials flow needs consumer_secret")
        return self

    def for_reading(self) -> "SalesforceConfig":
        """The same org, signed in to with the reading credential if there is one."""
        given = self.reading.model_dump(exclude_none=True) if self.reading else {}
        return self.model_copy(update={**given, "reading": None})

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts that a request may go to, with port if not 443."""
        return frozenset(urlsplit(url).netloc for url in (self.instance_url, self.token_url))

    @property
    def token_url(self) -> str:
        """Where tokens are asked for."""
        return self.login_url or self.instance_url


CONFIG = SalesforceConfig
