"""What a simulated gateway holds: lists, servers, tables of clients, revocations; loaded from the folder's files."""

import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from activities.systems.gateway.models import LISTS, LONGEST_SEEN, REVOKED, SERVERS, states

DRAIN, MAINT = 0x08, 0x01
VERSION = "2.6.12-peer"


@dataclass
class PeerServer:
    """A model server behind the gateway."""

    name: str
    address: str
    weight: int
    admin: int = 0
    up: bool = True
    requests: int = 0
    errors: int = 0
    no_connection: int = 0
    credit: float = 0.0

    @property
    def status(self) -> str:
        """As ``show stat`` names it."""
        if self.admin & MAINT:
            return "MAINT"
        return "DRAIN" if self.admin & DRAIN else "UP" if self.up else "DOWN"


@dataclass
class Row:
    """A client in a table: when it was last there, and its requests of the last minute."""

    last: float
    count: int = 0
    recent: list[float] = field(default_factory=list)


class GatewayState:
    """Made anew at a reload: what is in no file is gone, as with HAProxy."""

    def __init__(self, folder: Path, servers: dict[str, tuple[str, int]]) -> None:
        """``servers`` are address and weight by name."""
        self.folder = folder
        self.started = time.time()
        self.lists = {found.file: self._entries(found.file, found.kind) for found in LISTS}
        self.servers = {name: PeerServer(name, address, weight) for name, (address, weight) in servers.items()}
        for name, (admin, weight) in states((folder / "maps" / SERVERS).read_text()).items():
            server = self.servers.get(name.removeprefix("models/"))
            if server is not None:
                server.admin, server.weight = admin, weight
        self.revocations = (folder / "maps" / REVOKED).read_text()
        self.pending: str | None = None
        self.seen: dict[str, Row] = {}
        self.rates: dict[str, Row] = {}
        self._addresses = itertools.count(0x55B3BC000000, 0x90)

    def address(self) -> str:
        """What a line of a list starts with."""
        return hex(next(self._addresses))

    def path(self, file: str) -> str:
        """A file's path, as commands name it."""
        return str(self.folder / "maps" / file)

    def file_of(self, path: str) -> str | None:
        """Which list a command means."""
        name = path.removeprefix(f"{self.folder}/maps/")
        return name if name in self.lists else None

    def value(self, file: str, key: str) -> str | None:
        """An entry of a list; of one that is there twice the first."""
        return next((value for known, value in self.lists[file] if known == key), None)

    def note(self, certificate: str, key: str, name: str) -> None:
        """Remember a client."""
        row = self.seen.setdefault(f"{certificate}|{key}|{name}", Row(time.time()))
        row.last, row.count = time.time(), row.count + 1

    def over(self, client: str) -> bool:
        """Count a request of a client; whether it is over its limit."""
        if not client:
            return False
        now = time.time()
        row = self.rates.setdefault(client, Row(now))
        row.recent = [*(at for at in row.recent if at > now - 60), now]
        row.last = now
        limit = self.value("limits.map", client) or self.value("limits.map", "default") or "600"
        return len(row.recent) > int(limit)

    def pick(self, but: set[str]) -> PeerServer | None:
        """The next server by weight (smooth weighted round robin)."""
        able = [s for s in self.servers.values() if s.status == "UP" and s.weight and s.name not in but]
        total = sum(server.weight for server in able)
        for server in able:
            server.credit += server.weight
        best = max(able, key=lambda server: server.credit, default=None)
        if best is not None:
            best.credit -= total
        return best

    def revoked(self) -> set[int]:
        """Serial numbers that are refused."""
        found: set[int] = set()
        for part in self.revocations.split("-----END X509 CRL-----"):
            if "-----BEGIN" in part:
                crl = x509.load_pem_x509_crl((part.strip() + "\n-----END X509 CRL-----\n").encode())
                found |= {entry.serial_number for entry in crl}
        return found

    def exp(self, row: Row) -> int:
        """Milliseconds until the gateway forgets it."""
        return int((row.last - time.time() + LONGEST_SEEN.total_seconds()) * 1000)

    def _entries(self, file: str, kind: str) -> list[tuple[str, str]]:
        lines = (self.folder / "maps" / file).read_text().splitlines()
        parts = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
        return [(part[0], part[1].strip() if kind == "map" and len(part) == 2 else "") for part in parts]
