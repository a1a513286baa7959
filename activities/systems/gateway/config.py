"""What Stanch must be told of a gateway. Credentials are references, never themselves."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class GatewayConfig(BaseModel):
    """One HAProxy with the policy engine (OPA) that it asks, set up as docs/gateway.md describes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    socket: str
    """Runtime API, of level ``admin``: the path of its socket, or ``tcp:127.0.0.1:PORT``."""
    maps: str
    """Folder of the map and list files, as HAProxy names it in its configuration and as it is here."""
    opa: str
    """``http://127.0.0.1:8181`` or ``https://HOST``: OPA's API."""
    opa_token: str | None = None
    """Reference of OPA's bearer token."""
    logs: str | None = None
    """Folder of the gateway's log of requests; without it clients from before a reload are not known."""
    crl: str | None = None
    """Where the authority of the clients' certificates publishes its list of revoked ones."""
    ca: str | None = None
    """File with the certificates of the authorities whose lists are taken (PEM)."""
    url: str | None = None
    """``https://HOST:PORT``, as clients reach the gateway; for probes."""
    endpoint: str | None = None
    """Loopback address of a simulated gateway that stands in for ``url``."""
    server_ca: str | None = None
    """File with the authority of the gateway's own certificate (PEM); by default those that the system trusts."""
    probe_path: str = "/v2/models/churn-scorer/infer"
    """What a probe asks for."""
    probe_body: str | None = None
    """JSON that a probe sends; by default a V2 inference of four zeros that asks for log probabilities."""
    own: tuple[str, ...] = ()
    """Names, fingerprints and hashes of keys of Stanch's own clients; no action ever touches them."""
    connect_timeout: float = Field(default=3.0, gt=0, le=60)
    read_timeout: float = Field(default=10.0, gt=0, le=120)

    @field_validator("socket")
    @classmethod
    def _local(cls, text: str) -> str:
        if text.startswith("tcp:"):
            host, _, port = text.removeprefix("tcp:").rpartition(":")
            # Whoever reaches it owns the gateway, and it has no password.
            if host not in LOOPBACK or not port.isdigit():
                raise ValueError("write the path of the socket, or tcp:127.0.0.1:PORT")
        elif not text.startswith("/"):
            raise ValueError("write the whole path of the socket, or tcp:127.0.0.1:PORT")
        return text

    @field_validator("maps")
    @classmethod
    def _whole(cls, text: str) -> str:
        if not text.startswith("/") or any(char.isspace() for char in text) or ";" in text:
            raise ValueError("write the whole path of the folder, without blanks")
        return text.rstrip("/")

    @field_validator("opa", "crl", "url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("write http://HOST:PORT or https://HOST:PORT, without credentials")
        return url.rstrip("/")

    @field_validator("endpoint")
    @classmethod
    def _loopback(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname not in LOOPBACK or not parts.port:
            raise ValueError("a simulated gateway is at https://127.0.0.1:PORT")
        return f"{parts.scheme}://{parts.netloc}"

    @field_validator("opa_token")
    @classmethod
    def _reference(cls, text: str | None) -> str | None:
        if text is not None and not text.startswith("secret:"):
            raise ValueError("write a reference such as secret:file/PATH, not the secret itself")
        return text

    @property
    def address(self) -> str | None:
        """Where clients reach it."""
        return self.endpoint or self.url


CONFIG = GatewayConfig
