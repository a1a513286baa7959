"""The client of one gateway: its lists, servers, revocations and policy, each change live and in its files.

Synchronous and thread-safe. It knows nothing of Temporal.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from activities.connecting import settings_of
from activities.errors import NotFound, Rejected
from activities.ports import Vault
from activities.systems.gateway import log, models
from activities.systems.gateway.config import GatewayConfig
from activities.systems.gateway.files import Files
from activities.systems.gateway.models import DATA, LISTS, REVOKED, SERVERS, ListFile, Seen, Server
from activities.systems.gateway.policy import CLIENTS, DECISION, DENIED, Policy
from activities.systems.gateway.probe import Answer, probe
from activities.systems.gateway.runtime import Runtime

DENIED_IN_FILE = ("stanch", "denied_digests")


def connect(config: Mapping[str, Any] | GatewayConfig, vault: Vault) -> "Gateway":
    """A client; nothing is sent before its first use.

    Raises:
        AuthFailed: The settings cannot be used; the message says which.
    """
    return Gateway(settings_of(GatewayConfig, "gateway", config), vault)


def connect_reading(config: Mapping[str, Any] | GatewayConfig, vault: Vault) -> "Gateway":
    """A client that can only read: any change is refused before it leaves this process.

    Raises:
        AuthFailed: As of ``connect``.
    """
    return Gateway(settings_of(GatewayConfig, "gateway", config), vault, reading=True)


class Gateway:
    """One HAProxy, the files it starts from, and the OPA that it asks."""

    def __init__(self, config: GatewayConfig, vault: Vault, *, reading: bool = False) -> None:
        self.config = config
        self._vault = vault
        self._reading = reading
        limits = {"connect": config.connect_timeout, "read": config.read_timeout}
        token = config.opa_token
        self.runtime = Runtime(config.socket, **limits, reading=reading)
        self.policy = Policy(config.opa, None if token is None else lambda: vault.get(token), **limits, reading=reading)
        self.files = Files(config.maps)

    def close(self) -> None:
        """Close its connections."""
        self.policy.close()

    @property
    def own(self) -> tuple[str, ...]:
        """Names, fingerprints and hashes of Stanch's own clients."""
        return self.config.own

    def ping(self) -> str:
        """Look whether the gateway, its files and its policy engine can be used; a sentence for ``stanch doctor``.

        Raises:
            Rejected: Something that the actions need is not there; the message says what.
        """
        version = dict(line.split(": ", 1) for line in self.runtime.show("show info").splitlines() if ": " in line).get(
            "Version", "of unknown version"
        )
        loaded = self.runtime.show("show map") + self.runtime.show("show acl")
        missing = [found.file for found in LISTS if f"({self.files.path(found.file)})" not in loaded]
        if missing:
            raise Rejected(
                f"HAProxy {version} answers, but does not use {', '.join(missing)} of {self.config.maps}. "
                "Look whether it runs the reference configuration and names that folder."
            )
        for found in LISTS:
            self.files.entries(found.file)
        self.files.data(DATA)
        if self.policy.decide(DECISION, question()) is None:
            raise Rejected(f"HAProxy {version} answers, but OPA has no policy at {DECISION}. Load gateway.rego.")
        return f"HAProxy {version} and its policy engine answer, with every list that the actions need."

    # Lists

    def live(self, which: ListFile) -> dict[str, str]:
        """Entries of a list, as the running gateway has them."""
        return models.entries(self.runtime.show(f"show {which.kind} {self.files.path(which.file)}"), which.kind)

    def kept(self, which: ListFile) -> dict[str, str]:
        """Entries of a list, as the gateway will have them after a reload."""
        return self.files.entries(which.file)

    def keep(self, which: ListFile, entries: Mapping[str, str | None]) -> None:
        """Set entries in the file, so that they are there after a reload; ``None`` takes one out."""
        known = self.kept(which)
        put = {key: value for key, value in entries.items() if value is not None and known.get(key) != value}
        drop = [key for key, value in entries.items() if value is None and key in known]
        if put or drop:
            self._may_write()
            self.files.edit(which.file, put, drop)

    def set_live(self, which: ListFile, key: str, value: str | None, known: Mapping[str, str]) -> None:
        """Set one entry in the running gateway, ``None`` takes it out; ``known`` is what it has now."""
        path = self.files.path(which.file)
        if value is None:
            if key in known:
                self.runtime.change(f"del {which.kind} {path} {key}")
        elif key not in known:
            # A second `add` would make a second entry.
            self.runtime.change(f"add {which.kind} {path} {key} {value}".rstrip())
        elif known[key] != value:
            self.runtime.change(f"set map {path} {key} {value}")

    # Servers

    def servers(self, backend: str | None = None) -> list[Server]:
        """Servers of a backend, or all.

        Raises:
            NotFound: There is no such backend.
        """
        found = models.servers(self.runtime.show("show stat"))
        if backend is None:
            return found
        rows = [server for server in found if server.backend == backend]
        if not rows:
            raise NotFound(f"The gateway has no backend {backend} with servers. Nothing was changed.")
        return rows

    def server_states(self) -> dict[str, tuple[int, int]]:
        """``backend/server`` to its administrative state and weight, live."""
        return models.states(self.runtime.show("show servers state"))

    def kept_states(self) -> dict[str, tuple[int, int]]:
        """The same, as after a reload; empty if nothing was kept yet."""
        return models.states(self.files.read(SERVERS))

    def set_state(self, server: str, state: str) -> None:
        """Bring ``backend/server`` to ``ready``, ``drain`` or ``maint``."""
        self.runtime.change(f"set server {server} state {state}")

    def set_weight(self, server: str, weight: int) -> None:
        """Set a weight of 0 to 256."""
        self.runtime.change(f"set server {server} weight {weight}")

    def keep_servers(self) -> None:
        """Write what servers are now into the file that a reload reads."""
        self._may_write()
        self.files.write(SERVERS, self.runtime.show("show servers state"))

    # Clients

    def seen(self) -> list[Seen]:
        """Clients that sent a request within the last week, since the gateway was last started or reloaded."""
        return models.seen(self.runtime.show("show table seen"), datetime.now(UTC))

    def clients(self, since: datetime) -> tuple[list[Seen], bool]:
        """Clients since an instant, of the running gateway and of its log; whether none can be missing.

        Who used a key alone is told by policy, which knows whose each key is.
        """
        logged, whole = log.clients(self.config.logs, since) if self.config.logs else ([], False)
        known = self.policy.read(CLIENTS)
        owners = {
            str(key): str(name)
            for name, client in (known.items() if isinstance(known, dict) else ())
            for key in client.get("keys", ())
        }
        found: dict[tuple[str, str, str], Seen] = {}
        for client in [*logged, *self.seen()]:
            if not client.certificate:
                client = replace(client, name=owners.get(client.key, client.name))
            who = (client.certificate, client.key, client.name)
            if client.last >= since and (who not in found or found[who].last < client.last):
                found[who] = client
        return list(found.values()), whole

    def allows(self, *, certificate: str = "", name: str = "", key: str = "") -> bool:
        """Whether a client would be let in: neither blocked nor refused by policy."""
        if certificate and certificate in self.live(models.CERTIFICATES):
            return False
        if key and key in self.live(models.KEYS):
            return False
        asked = question(certificate=certificate, name=name, key=key, path=self.config.probe_path)
        said = self.policy.decide(DECISION, asked)
        return isinstance(said, dict) and said.get("allow") is True

    def probe(self, credential: str, path: str | None = None) -> Answer:
        """Send one request as the client whose credential a reference names.

        Raises:
            AuthFailed: ``url`` is not set, or the credential is none.
            Unavailable: The gateway does not answer.
        """
        return probe(self.config, self._vault.get(credential), path)

    # Releases

    def deny_digest(self, digest: str, incident: str | None) -> None:
        """Refuse a release at admission, or with ``None`` admit it again; the file first, as with lists."""
        if self.kept_denied().get(digest) != incident:
            self._may_write()
            put, drop = ({digest: incident}, []) if incident else ({}, [digest])
            self.files.edit_data(DATA, DENIED_IN_FILE, put, drop)
        if incident is None:
            self.policy.drop(f"{DENIED}/{digest}")
        else:
            self.policy.put(f"{DENIED}/{digest}", incident)

    def kept_denied(self) -> dict[str, str]:
        """Refused digests as after a restart of the policy engine."""
        return dict(self.files.data(DATA, *DENIED_IN_FILE) or {})

    # Revocations

    def revoked(self) -> set[str]:
        """Serial numbers that the running gateway refuses, in hex without leading zeros."""
        path = self.files.path(REVOKED)
        return models.serials(self.runtime.show(f"show ssl crl-file {path}"))

    def kept_revocations(self) -> str:
        """The gateway's file of revocations (PEM)."""
        return self.files.read(REVOKED)

    def load_revocations(self, pem: str) -> None:
        """Put a new list of revocations into the running gateway and its file."""
        path = self.files.path(REVOKED)
        self._may_write()
        self.files.write(REVOKED, pem)
        self.runtime.change(f"set ssl crl-file {path} <<\n{pem.strip()}\n", says="transaction ")
        self.runtime.change(f"commit ssl crl-file {path}", says="Success!")

    def block_serials(self, serials: Collection[str]) -> None:
        """Refuse certificates by serial number on connections that are open already."""
        written = sorted(map(models.octets, serials))
        self.keep(models.SERIALS, dict.fromkeys(written, ""))
        known = self.live(models.SERIALS)
        for serial in written:
            self.set_live(models.SERIALS, serial, "", known)

    def _may_write(self) -> None:
        if self._reading:
            raise Rejected("This client only reads. Nothing was changed.")


def question(
    *, certificate: str = "", name: str = "", key: str = "", method: str = "POST", path: str = ""
) -> dict[str, str]:
    """What the gateway asks the policy engine of a request."""
    return {"certificate": certificate, "name": name, "key": key, "method": method, "path": path}


def share(servers: Sequence[Server], name: str) -> float:
    """Percent of new requests that a server gets by its weight among those that take any."""
    total = sum(server.weight for server in servers if server.takes)
    own = sum(server.weight for server in servers if server.takes and server.name == name)
    return 100 * own / total if total else 0.0
