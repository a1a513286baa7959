"""What Stanch must be told of a step-ca authority. The provisioner's key is a reference, never itself."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class StepCaConfig(BaseModel):
    """One authority and the JWK provisioner that Stanch acts as.

    The provisioner should be one of Stanch's own, whose claims allow certificates of at most an hour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """``https://HOST[:PORT]`` of the authority, as it names itself (``dnsNames``)."""
    root: Path
    """PEM file of the root certificate: the only one that is trusted here."""
    provisioner: str
    """Name of the JWK provisioner."""
    key: str
    """Reference of the provisioner's private key: PEM, or a JSON Web Key that is not encrypted."""
    endpoint: str | None = None
    """Loopback address of a simulated authority that stands in for the host above."""
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    read_timeout: float = Field(default=20.0, gt=0, le=300)

    @field_validator("url")
    @classmethod
    def _https_host(cls, url: str) -> str:
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
            raise ValueError("a simulated authority is at http://127.0.0.1:PORT")
        return f"http://{parts.netloc}"

    @field_validator("key")
    @classmethod
    def _reference(cls, text: str) -> str:
        if not text.startswith("secret:"):
            raise ValueError("write a reference such as secret:file/PATH, not the secret itself")
        return text


CONFIG = StepCaConfig
