"""What Stanch must be told of the replicas that serve a model. Credentials are references, never themselves."""

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

CALLER = "stanch-probe"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Probe(BaseModel):
    """One input tensor of the V2 protocol that every replica of a model can answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[int, ...]
    datatype: Literal[
        "BOOL",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP16",
        "FP32",
        "FP64",
        "BYTES",
    ]
    data: tuple[Any, ...]


class ServingConfig(BaseModel):
    """Every replica of the model servers, each by its own address, never one address in front of them all.

    Behind a balancer one replica answers for the others: a rollback that reached one of two would look whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    replicas: tuple[str, ...] = Field(min_length=1, max_length=100)
    """``https://HOST[:PORT]`` of each; ``http`` too, since model servers stand in a network of their own."""
    canaries: tuple[str, ...] = Field(default=(), max_length=100)
    """Model servers that get a new version first, each by its own address; none of them is one of ``replicas``."""
    token: str | None = None
    """Reference of the bearer token that is sent to every replica."""
    probes: dict[str, Probe] = Field(default={})
    """Model to the input that asks it as a customer would; without one it is zeros in the shape of the metadata."""
    digest_parameter: str = "digest"
    """Name under which the answer's ``parameters`` hold the digest of what was loaded."""
    caller: str = CALLER
    """What the inference log calls Stanch's own probes (sent as ``x-client-cn``, as the gateway does for customers)."""
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    read_timeout: float = Field(default=15.0, gt=0, le=300)
    load_timeout: float = Field(default=120.0, gt=0, le=1800)
    """Longest that a replica may take to load a model."""

    settle_seconds: float = Field(default=0.5, ge=0, le=60)
    """How long a replica is given, after it said yes, until its answers have to be the new ones. MLServer and Triton
    answer a load when it is done; a server that answers at once needs longer."""

    @field_validator("replicas", "canaries")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        found = []
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
                raise ValueError("write http(s)://HOST[:PORT][/PATH] without a user for each replica")
            found.append(f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}")
        if len(set(found)) != len(found):
            raise ValueError("a replica is named twice")
        return tuple(found)

    @field_validator("token")
    @classmethod
    def _reference(cls, text: str | None) -> str | None:
        if text is not None and not text.startswith("secret:"):
            raise ValueError("write a reference such as secret:file/PATH, not the secret itself")
        return text

    @model_validator(mode="after")
    def _places(self) -> "ServingConfig":
        if set(self.replicas) & set(self.canaries):
            raise ValueError("a canary is named among the replicas")
        open_ones = [url for url in (*self.replicas, *self.canaries) if urlsplit(url).scheme == "http"]
        if self.token and not all(urlsplit(url).hostname in LOOPBACK for url in open_ones):
            raise ValueError("a token is sent by https only, or on this machine")
        return self


CONFIG = ServingConfig
