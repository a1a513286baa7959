"""What Stanch must be told of an AWS account. Credentials are references, never themselves."""

import re
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

LOOPBACK = ("127.0.0.1", "localhost", "::1")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")


class AwsConfig(BaseModel):
    """One account in one region, and the IAM user that Stanch acts as.

    Nothing else is ever asked for credentials or places: no profile, no ``~/.aws``, no variable, no instance
    metadata. The user should be one of its own that no playbook contains.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: str
    """Where KMS, Secrets Manager and SageMaker are asked; IAM is global."""
    access_key_id: str
    """Reference."""
    secret_access_key: str
    """Reference."""
    protected: tuple[str, ...] = ()
    """Names of users and roles, ids of access keys, names of secrets whose change takes one more approver."""
    endpoint: str | None = None
    """Loopback address of a simulated account that stands in for every service."""
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    read_timeout: float = Field(default=30.0, gt=0, le=300)

    @field_validator("region")
    @classmethod
    def _region(cls, text: str) -> str:
        if not REGION.fullmatch(text):
            raise ValueError("write a region such as eu-central-1")
        return text

    @field_validator("access_key_id", "secret_access_key")
    @classmethod
    def _reference(cls, text: str) -> str:
        if not text.startswith("secret:"):
            raise ValueError("write a reference such as secret:file/PATH, not the secret itself")
        return text

    @field_validator("endpoint")
    @classmethod
    def _loopback(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or not parts.port:
            raise ValueError("a simulated account is at http://127.0.0.1:PORT")
        return f"http://{parts.netloc}"


CONFIG = AwsConfig
