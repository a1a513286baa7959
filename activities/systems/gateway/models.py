"""What the gateway says and is told, as values: lists, servers, clients that were seen."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from activities.errors import InvalidParams, Rejected

DIGEST = re.compile(r"^[0-9a-f]{64}$")
NAME = re.compile(r"^[A-Za-z0-9_.-]{1,64}$")
LONGEST_SEEN = timedelta(days=7)
"""How long the gateway remembers a client; the ``expire`` of its table."""


@dataclass(frozen=True)
class ListFile:
    """A list that the gateway looks things up in: a file, loaded at start, edited live by the runtime API."""

    file: str
    kind: str = "map"


CERTIFICATES = ListFile("blocked_certs.map")
KEYS = ListFile("blocked_keys.acl", "acl")
LIMITS = ListFile("limits.map")
STRIPPED = ListFile("stripped.map")
SERIALS = ListFile("revoked_serials.acl", "acl")
LISTS = (CERTIFICATES, KEYS, LIMITS, STRIPPED, SERIALS)
REVOKED = "revoked.pem"
SERVERS = "servers.state"
DATA = "data.json"


@dataclass(frozen=True)
class Server:
    """A server of a backend, as ``show stat`` tells it; counters are since the gateway's last reload."""

    backend: str
    name: str
    status: str
    weight: int
    requests: int
    errors: int

    @property
    def id(self) -> str:
        """``backend/server``."""
        return f"{self.backend}/{self.name}"

    @property
    def takes(self) -> bool:
        """Whether it takes new requests, if it has a weight."""
        return self.status.startswith(("UP", "no check"))

    @property
    def drained(self) -> bool:
        """Whether somebody took it out; its health does not matter."""
        return self.status.startswith(("DRAIN", "MAINT"))


@dataclass(frozen=True)
class Seen:
    """A client that sent a request: fingerprint of its certificate, SHA-256 of its key, common name, last time."""

    certificate: str
    key: str
    name: str
    last: datetime


def digest(text: str) -> str:
    """A SHA-256 in lower-case hex, from any usual way to write one.

    Raises:
        InvalidParams: It is none; nothing was done.
    """
    plain = text.strip().lower().removeprefix("sha256:").replace(":", "")
    if not DIGEST.match(plain):
        raise InvalidParams(
            "A certificate, key or release is named by its SHA-256 (64 hexadecimal digits). Nothing was done. "
            "List the clients, and pass what that step gives."
        )
    return plain


def name(text: str) -> str:
    """A name of a backend, server or output, which goes into a command.

    Raises:
        InvalidParams: It has other characters than such names have.
    """
    if not NAME.match(text):
        raise InvalidParams("A name has letters, digits, dot, dash and underscore only. Nothing was done.")
    return text


def entries(text: str, kind: str) -> dict[str, str]:
    """Key to value of ``show map`` or ``show acl``, whose lines are ``0xADDRESS KEY [VALUE]``.

    Of a key that is there twice, which is how HAProxy takes a second ``add``, the first counts there too.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(maxsplit=2)
        if len(parts) >= 2 and parts[0].startswith("0x"):
            found.setdefault(parts[1], parts[2] if kind == "map" and len(parts) == 3 else "")
    return found


def servers(text: str) -> list[Server]:
    """Servers of ``show stat``.

    Raises:
        Rejected: It is not that table.
    """
    rows = list(csv.DictReader(io.StringIO(text.lstrip("# "))))
    if not rows or "svname" not in rows[0]:
        raise Rejected("The gateway's statistics cannot be read. Nothing was done.")
    return [
        Server(
            backend=row["pxname"],
            name=row["svname"],
            status=row["status"],
            weight=_number(row.get("uweight") or row.get("weight")),
            requests=_number(row.get("stot")),
            # No connection, no whole answer, or an answer that says so itself.
            errors=_number(row.get("econ")) + _number(row.get("eresp")) + _number(row.get("hrsp_5xx")),
        )
        for row in rows
        if row["svname"] not in ("FRONTEND", "BACKEND")
    ]


def seen(text: str, now: datetime) -> list[Seen]:
    """Clients of ``show table seen``; the time of the last request follows from how long an entry still lives."""
    found = []
    for line in text.splitlines():
        got = re.match(r"0x[0-9a-f]+: key=(.*?) use=\d+ exp=(\d+)", line)
        if not got:
            continue
        certificate, _, rest = re.sub(r"\\(.)", r"\1", got[1]).partition("|")
        key, _, common = rest.partition("|")
        found.append(Seen(certificate, key, common, now - LONGEST_SEEN + timedelta(milliseconds=int(got[2]))))
    return found


def serials(text: str) -> set[str]:
    """Serial numbers of ``show ssl crl-file``, in hex without leading zeros."""
    return {hex_[1].lower().lstrip("0") for hex_ in re.finditer(r"Serial Number:\s*([0-9A-Fa-f]+)", text)}


def octets(serial: str) -> str:
    """A serial number as the gateway writes it in its lists: whole octets in lower-case hex."""
    return serial.zfill(len(serial) + len(serial) % 2)


def states(text: str) -> dict[str, tuple[int, int]]:
    """``backend/server`` to its administrative state and weight, of ``show servers state``."""
    lines = text.splitlines()
    head = next((line for line in lines if line.startswith("# be_id")), "")
    columns = head.lstrip("# ").split()
    found = {}
    for line in lines if columns else ():
        parts = line.split()
        if len(parts) == len(columns):
            row = dict(zip(columns, parts, strict=True))
            known = (int(row["srv_admin_state"]), int(row["srv_uweight"]))
            found[f"{row['be_name']}/{row['srv_name']}"] = known
    return found


def weights(current: dict[str, int], server: str, percent: int) -> dict[str, int]:
    """Weights by which a server gets so many of a hundred requests; the others keep their proportions.

    Args:
        current: Weights of the servers that take requests, the one in question among them.
        server: Which one.
        percent: 0 to 100.

    Raises:
        InvalidParams: Weights of 0 to 256 do not give that share within one point.
    """
    others = {name_: weight for name_, weight in current.items() if name_ != server}
    total = sum(others.values())
    if percent == 0:
        return {**others, server: 0}
    if percent == 100 or not total:
        if not total and percent != 100:
            raise InvalidParams("No other server takes requests, so this one gets all. Nothing was done.")
        return {**dict.fromkeys(others, 0), server: current[server] or 100}
    wanted = total * percent / (100 - percent)
    scale = min(1.0, 256 / wanted)
    if scale < 1:
        others = {name_: round(weight * scale) for name_, weight in others.items()}
    own = min(256, round(wanted * scale))
    if abs(100 * own / (own + sum(others.values()) or 1) - percent) > 1:
        raise InvalidParams(
            "These weights do not allow that share. Nothing was done. Raise the weights of all servers."
        )
    return {**others, server: own}


def chosen(found: Iterable[Seen], callers: Iterable[str]) -> tuple[list[Seen], list[str]]:
    """Clients whose name, fingerprint or key is named; and what was named that no client was seen with."""
    known = list(found)
    wanted = {caller.strip().casefold(): caller for caller in callers}
    hit: set[str] = set()
    rows = []
    for client in known:
        names = {client.name.casefold(), client.certificate, client.key} & wanted.keys()
        if names:
            rows.append(client)
            hit |= names
    return rows, [caller for plain, caller in wanted.items() if plain not in hit]


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
