"""One request as a client: with its certificate or its key, to see what it really gets."""

import http.client
import json
import re
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from activities.errors import AuthFailed, InvalidParams, Unavailable
from activities.systems.gateway.config import GatewayConfig

REFUSALS = (401, 403, 429, 502, 503)
MAX_ANSWER = 4 * 1024 * 1024
BODY: dict[str, Any] = {
    "inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [0.0, 0.0, 0.0, 0.0]}],
    "parameters": {"logprobs": True},
}


@dataclass(frozen=True)
class Answer:
    """What the client got. ``status`` 0: its certificate was refused before any request."""

    status: int
    log_probabilities: bool
    readable: bool = True

    @property
    def refused(self) -> bool:
        """Whether it got nothing of what it asked for."""
        return self.status == 0 or self.status in REFUSALS


def probe(config: GatewayConfig, credential: str, path: str | None) -> Answer:
    """Ask as the client.

    Args:
        config: Where the gateway is.
        credential: PEM of a certificate with its chain and its key, or an API key.
        path: Instead of the path of the settings.

    Raises:
        AuthFailed: The settings or the credential cannot be used.
        Unavailable: The gateway cannot be reached, so nothing is known.
    """
    if config.address is None:
        raise AuthFailed("systems.gateway: url is not set, so nobody can be asked. Nothing was sent.")
    there = urlsplit(config.address)
    asked = path or config.probe_path
    if not re.match(r"^/[!-~]*$", asked):
        raise InvalidParams("A path starts with a slash and has no blanks. Nothing was sent.")
    headers = {"Content-Type": "application/json", "User-Agent": "stanch-probe"}
    pem = "-----BEGIN" in credential
    if not pem:
        if not re.match(r"^[!-~]{1,512}$", credential):
            raise AuthFailed("The credential is neither a PEM file nor an API key. Nothing was sent.")
        headers["X-Api-Key"] = credential
    context = _context(config, credential if pem else None) if there.scheme == "https" else None
    body = config.probe_body or json.dumps(BODY)
    link = _link(there.hostname or "", there.port, context, config.connect_timeout)
    try:
        link.connect()
    except ssl.SSLCertVerificationError:
        raise Unavailable("The gateway's own certificate is not trusted. Nothing was sent. Set server_ca.") from None
    except ssl.SSLError:
        return Answer(0, log_probabilities=False)
    except OSError:
        raise Unavailable("The gateway cannot be reached, so what a client gets is not known.") from None
    try:
        if link.sock is not None:
            link.sock.settimeout(config.read_timeout)
        link.request("POST", asked, body=body, headers=headers)
        answer = link.getresponse()
        content = answer.read(MAX_ANSWER + 1)
    except TimeoutError:
        raise Unavailable("The gateway did not answer in time, so what a client gets is not known.") from None
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        # With TLS 1.3 a client learns only now that its certificate was refused.
        return Answer(0, log_probabilities=False)
    except http.client.HTTPException:
        raise Unavailable("What the gateway answered is no HTTP, so what a client gets is not known.") from None
    finally:
        link.close()
    return _judged(answer.status, content)


def _link(host: str, port: int | None, context: ssl.SSLContext | None, timeout: float) -> http.client.HTTPConnection:
    if context is None:
        return http.client.HTTPConnection(host, port or 80, timeout=timeout)
    return http.client.HTTPSConnection(host, port or 443, timeout=timeout, context=context)


def _judged(status: int, content: bytes) -> Answer:
    try:
        if len(content) > MAX_ANSWER:
            raise ValueError
        tree = json.loads(content) if content and status == 200 else None
    except ValueError:
        # What cannot be read may hold anything.
        return Answer(status, log_probabilities=status == 200, readable=status != 200)
    return Answer(status, log_probabilities=_holds(tree))


def _holds(node: Any) -> bool:
    """Whether an output, or a member at any depth, is named like log probabilities."""
    if isinstance(node, dict):
        named = isinstance(node.get("name"), str) and _is_one(node["name"])
        return named or any(_is_one(key) or _holds(value) for key, value in node.items())
    return isinstance(node, list) and any(map(_holds, node))


def _is_one(name: str) -> bool:
    return "logprob" in re.sub(r"[^a-z0-9]", "", name.lower())


def _context(config: GatewayConfig, pem: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.server_ca)
    except (OSError, ssl.SSLError):
        raise AuthFailed("systems.gateway: server_ca cannot be read. Nothing was sent.") from None
    if pem is None:
        return context
    # OpenSSL reads certificates from files only; this one is ours alone and gone at once.
    with tempfile.TemporaryDirectory(prefix="stanch-") as folder:
        file = Path(folder) / "client.pem"
        file.touch(mode=0o600)
        file.write_text(pem + "\n")
        try:
            context.load_cert_chain(file)
        except (OSError, ssl.SSLError):
            raise AuthFailed("The credential is no certificate with its key in PEM. Nothing was sent.") from None
    return context
