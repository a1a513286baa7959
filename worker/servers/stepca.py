"""A certificate authority of the range: the files of root, intermediate and provisioner, and a real step-ca on them.

    files = write_authority(folder)
    with StepCaServer(files, folder, needed("step-ca", env)) as server:
        client = connect(server.settings(), secrets)
        certificate = issue(client, "crm-sync", minutes=60)

The simulated authority uses the same files: ``LoopbackServer(StepCaPeer(Ca(files.authority)), tls=files.tls())``.
"""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from cryptography import x509

from activities.systems.stepca import pki
from activities.systems.stepca.client import StepCa
from worker.servers.process import Process, free_port, quiet

LONGEST = timedelta(hours=1)
LEAF = """{
  "subject": {{ toJson .Subject }},
  "sans": {{ toJson .SANs }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["serverAuth", "clientAuth"],
  "crlDistributionPoints": %s
}"""
"""step-ca's own template of certificates, and where their revocation list is published."""


@dataclass(frozen=True)
class ClientCertificate:
    """A certificate and its key, as a client of the gateway holds them. ``pem`` is the chain, then the key."""

    subject: str
    serial: str
    fingerprint: str
    not_after: datetime
    chain: str
    key: str = field(repr=False)

    @property
    def pem(self) -> str:
        """Chain and key in one, as HAProxy, httpx and ``secret:file/…`` take them."""
        return self.chain + self.key


@dataclass(frozen=True)
class AuthorityFiles:
    """An authority and the folder that holds its files; those with keys are for their owner only."""

    authority: pki.Authority
    folder: Path

    @property
    def root(self) -> Path:
        """PEM of the root certificate."""
        return self.folder / "root.pem"

    @property
    def clients(self) -> Path:
        """PEM of intermediate and root: what a gateway trusts for its clients."""
        return self.folder / "clients.pem"

    @property
    def key(self) -> Path:
        """PEM of the provisioner's key."""
        return self.folder / "provisioner.key"

    def settings(self, url: str, endpoint: str | None = None) -> dict[str, Any]:
        """What ``[systems.stepca]`` holds for this authority."""
        known = {
            "url": url,
            "root": str(self.root),
            "provisioner": self.authority.provisioner,
            "key": f"secret:file/{self.key}",
        }
        return {**known, "endpoint": endpoint} if endpoint else known

    def tls(self, names: tuple[str, ...] = ("127.0.0.1", "localhost"), name: str = "server") -> tuple[Path, Path]:
        """Files of a fresh server certificate (chain, key) of this authority, good for a day."""
        key, now = pki.new_key(), datetime.now(UTC)
        life = (now - pki.SKEW, now + timedelta(days=1))
        leaf = pki.sign_leaf(self.authority, key.public_key(), names[0], names, life)
        chain, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_text(pki.pem(leaf) + self.authority.intermediate)
        _private(secret, pki.key_pem(key))
        return chain, secret


def write_authority(folder: Path, authority: pki.Authority | None = None) -> AuthorityFiles:
    """The files of an authority, a fresh one by default."""
    folder.mkdir(parents=True, exist_ok=True)
    files = AuthorityFiles(authority or pki.make_authority(), folder)
    files.root.write_text(files.authority.root)
    files.clients.write_text(files.authority.intermediate + files.authority.root)
    _private(files.key, files.authority.provisioner_key)
    return files


def issue(client: StepCa, subject: str, minutes: int = 60) -> ClientCertificate:
    """A fresh key and a certificate for it, from whichever authority the client is of.

    Raises:
        ConnectorError: The authority did not sign it.
    """
    key = pki.new_key()
    issued = client.sign(pki.request(key, subject), subject, (subject,), timedelta(minutes=minutes))
    return ClientCertificate(
        subject, issued.serial, issued.fingerprint, issued.not_after, issued.chain, pki.key_pem(key)
    )


class StepCaServer:
    """A real step-ca with a revocation list that is made anew at each revocation."""

    def __init__(self, files: AuthorityFiles, folder: Path, binary: Path, env: Mapping[str, str] = os.environ) -> None:
        """``folder`` takes its settings, database and log."""
        self._files, self._folder = files, folder
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        settings = folder / "ca.json"
        _private(settings, json.dumps(self._ca_json(port), indent=2))
        command = [str(binary), str(settings)]
        self._process = Process(command, quiet(env), folder / "step-ca.log", self._answers, patience=20.0)

    def __enter__(self) -> "StepCaServer":
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    def settings(self) -> dict[str, Any]:
        """What ``[systems.stepca]`` holds for it."""
        return self._files.settings(self.url)

    @property
    def trust(self) -> ssl.SSLContext:
        """For clients that trust its root and no other."""
        return ssl.create_default_context(cafile=str(self._files.root))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", verify=self.trust, timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _ca_json(self, port: int) -> dict[str, Any]:
        authority, folder = self._files.authority, self._folder
        (folder / "intermediate.pem").write_text(authority.intermediate)
        _private(folder / "intermediate.key", authority.intermediate_key)
        claims = {
            "minTLSCertDuration": "1m",
            "maxTLSCertDuration": f"{LONGEST.seconds // 60}m",
            "defaultTLSCertDuration": "5m",
        }
        # A list names where it is published, and only counts for certificates that name the same place (RFC 5280
        # §6.3.3): without it HAProxy and every other OpenSSL trust no certificate at all.
        published = f"https://127.0.0.1:{port}/1.0/crl"
        provisioner = {
            "options": {"x509": {"template": LEAF % json.dumps([published])}},
            "type": "JWK",
            "name": authority.provisioner,
            "key": authority.provisioner_jwk,
            "claims": claims,
        }
        return {
            "root": str(self._files.root),
            "crt": str(folder / "intermediate.pem"),
            "key": str(folder / "intermediate.key"),
            "address": f"127.0.0.1:{port}",
            "dnsNames": ["127.0.0.1", "localhost"],
            "logger": {"format": "json"},
            "db": {"type": "badgerv2", "dataSource": str(folder / "db")},
            "crl": {"enabled": True, "generateOnRevoke": True, "idpURL": published},
            "authority": {"provisioners": [provisioner], "backdate": "1m0s"},
        }


def serial_of(certificate: str) -> str:
    """Serial number, in decimal, of a PEM certificate (the first of a chain)."""
    return str(x509.load_pem_x509_certificate(certificate.encode()).serial_number)


def _private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
