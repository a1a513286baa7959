"""What Stanch must be told of a training service that speaks the job API (``docs/job-api.md``)."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class TrainingConfig(BaseModel):
    """``[systems.training]``. Credentials are references, never themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """``https://HOST[/PREFIX]``; ``http`` on this machine only."""
    token: str
    """Reference of the bearer token."""
    endpoint: str | None = None
    """Where a simulated service stands in for it, on this machine. For exercises: a live worker refuses it."""
    reading_token: str | None = None
    """Reference of a token that may only read, where Stanch only looks; by default ``token``."""
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    read_timeout: float = Field(default=30.0, gt=0, le=300)
    poll_seconds: float = Field(default=10.0, gt=0, le=25)
    """How long one look at a running job waits for a change."""

    @field_validator("url")
    @classmethod
    def _safe(cls, url: str) -> str:
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in LOOPBACK
        if not parts.hostname or parts.username or parts.query or not (parts.scheme == "https" or local):
            raise ValueError("write https://HOST; http is for 127.0.0.1 only")
        return url.rstrip("/")

    @field_validator("endpoint")
    @classmethod
    def _loopback(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or not parts.port:
            raise ValueError("a simulated service is at http://127.0.0.1:PORT")
        return url.rstrip("/")

    @field_validator("token", "reading_token")
    @classmethod
    def _reference(cls, text: str | None) -> str | None:
        if text is not None and not text.startswith("secret:"):
            raise ValueError("write a reference such as secret:file/PATH, not the token itself")
        return text


CONFIG = TrainingConfig
