"""What Stanch must be told of a Vault or OpenBao server. Credentials are references, never themselves."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOUNT = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$"
Mount = Annotated[str, Field(pattern=MOUNT, max_length=200)]


class VaultConfig(BaseModel):
    """One server (or cluster) and how Stanch signs in: a token, or an AppRole of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    """``https://HOST[:PORT]``; plain http only on loopback."""
    token: str | None = None
    """Reference of a token."""
    role_id: str | None = None
    """The role id of Stanch's AppRole, or a reference."""
    secret_id: str | None = None
    """Reference of its secret id."""
    login_mount: Mount = "approle"
    """Where Stanch's own AppRole is mounted."""
    namespace: str | None = None
    """Namespace (Vault Enterprise, OpenBao)."""
    kv_mount: Mount = "secret"
    """Where the KV engine, version 2, is mounted."""
    transit_mount: Mount = "transit"
    approle_mount: Mount = "approle"
    secret_fields: tuple[str, ...] = ("password", "secret", "token", "api_key", "key", "value")
    """Fields of a KV secret that ``vault.roll_secret`` replaces where it has several and the step names none."""
    ca: Path | None = None
    """PEM file of the only root that is trusted; by default the usual ones."""
    endpoint: str | None = None
    """Loopback address of a simulated server that stands in for ``url``."""
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    read_timeout: float = Field(default=20.0, gt=0, le=300)

    @field_validator("url")
    @classmethod
    def _host(cls, url: str) -> str:
        parts = urlsplit(url)
        plain = parts.scheme == "http" and parts.hostname in LOOPBACK
        if (parts.scheme != "https" and not plain) or not parts.hostname or parts.username or parts.path.strip("/"):
            raise ValueError("write https://HOST (plain http only on loopback), nothing before or behind it")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @field_validator("endpoint")
    @classmethod
    def _loopback(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or not parts.port:
            raise ValueError("a simulated server is at http://127.0.0.1:PORT")
        return f"http://{parts.netloc}"

    @field_validator("token", "secret_id")
    @classmethod
    def _reference(cls, text: str | None) -> str | None:
        if text is not None and not text.startswith("secret:"):
            raise ValueError("write a reference such as secret:file/PATH, not the secret itself")
        return text

    @model_validator(mode="after")
    def _credential(self) -> "VaultConfig":
        by_role = self.role_id is not None and self.secret_id is not None
        if (self.token is None) == (not by_role):
            raise ValueError("give either token, or role_id and secret_id")
        return self


CONFIG = VaultConfig
