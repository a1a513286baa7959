"""What Stanch must be told of an MLflow registry. Credentials are references, never themselves."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Tags(BaseModel):
    """Names of the tags that a registry is run by; the defaults are those of ``docs/models.md``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    builder: str = "builder"
    """Of a version: who or what built it."""
    built_at: str = "built_at"
    """Of a version: when it was built, RFC 3339."""
    dataset: str = "dataset"
    """Of a version: id of the dataset snapshot."""
    dataset_at: str = "dataset_at"
    """Of a version: when that snapshot was taken, RFC 3339."""
    eval_run: str = "eval_run"
    """Of a version: id of the run that holds its evaluation."""
    trainer: str = "trainer"
    """Of a version: the person who trained it."""
    release_digest: str = "release_digest"
    """Of a version: SHA-256 of its canonical release manifest."""
    quarantine: str = "quarantine"
    """Of a version, set by Stanch: incident id."""
    revoked: str = "revoked"
    """Of a version, set by Stanch: incident id."""
    revoked_reason: str = "revoked_reason"
    """Of a version, set by Stanch: the reason in a person's words."""
    frozen: str = "frozen"
    """Of a model, set by Stanch: incident id."""
    consumers: str = "consumers"
    """Of a model: who uses it, separated by commas."""


class Anchor(BaseModel):
    """A signer that is trusted: either a public key or a certificate (its authority's, or its own)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    public_key: str | None = None
    """PEM text or a file of it: EC on P-256, P-384 or P-521."""
    certificate: str | None = None
    """PEM text or a file of it."""

    @model_validator(mode="after")
    def _one(self) -> "Anchor":
        if (self.public_key is None) == (self.certificate is None):
            raise ValueError("give either public_key or certificate")
        return self


class Signing(BaseModel):
    """Whose signatures are accepted, and with what Stanch signs (OpenSSF model signing)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trusted: tuple[Anchor, ...] = ()
    key: str | None = None
    """Reference of the PEM private key that ``sign_version`` signs with."""
    key_name: str = "stanch"
    """Name of that key for people."""
    certificate: str | None = None
    """PEM text or a file of it, for signing with a certificate instead of a bare key."""
    chain: tuple[str, ...] = ()
    """Certificates between that one and a trusted one."""
    file: str = Field(default="model.sig", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the signature beside the files of a version."""

    @field_validator("key")
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


class MlflowConfig(BaseModel):
    """One MLflow tracking server with its registry, and the account that Stanch uses there.

    The account needs EDIT on the registered models that are to be contained, and READ on their experiments. With
    ``token`` it is sent as a bearer token, with ``username`` and ``password`` as HTTP basic authentication (MLflow's
    own ``basic-auth`` application).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """``https://HOST[/PREFIX]``, or ``http://`` on this machine: the only place that a request goes to."""
    endpoint: str | None = None
    """Loopback address of a simulated registry that stands in for it."""
    token: str | None = None
    """Reference."""
    username: str | None = None
    password: str | None = None
    """Reference."""
    tags: Tags = Tags()
    thresholds: Path | None = None
    """YAML file of evaluation thresholds: ``{MODEL: {SUITE: {METRIC: {min|max|not_below_baseline_by: NUMBER}}}}``."""
    signing: Signing = Signing()
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    read_timeout: float = Field(default=30.0, gt=0, le=300)
    largest_download: int = Field(default=16 * 1024**3, gt=0)
    """Bytes of a version's files that are downloaded at most, to sign them or to check a signature."""

    @field_validator("url")
    @classmethod
    def _place(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.query:
            raise ValueError("write https://HOST, without credentials in it")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("http:// is for this machine only; credentials would be sent in clear")
        return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"

    @field_validator("endpoint")
    @classmethod
    def _loopback(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or not parts.port:
            raise ValueError("a simulated registry is at http://127.0.0.1:PORT")
        return f"http://{parts.netloc}"

    @property
    def place(self) -> str:
        """Where requests go to."""
        return self.endpoint or self.url

    @field_validator("token", "password")
    @classmethod
    def _reference(cls, text: str | None) -> str | None:
        return reference(text)

    @model_validator(mode="after")
    def _credential(self) -> "MlflowConfig":
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.token is not None and self.username is not None:
            raise ValueError("give either token or username and password")
        return self


CONFIG = MlflowConfig
