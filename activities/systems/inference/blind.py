"""Requests that the gateway let through to a model and that no inference log has, and the other way round.

Compared by request id, in as many passes as keep the ids of one pass small. An id is held as 64 bits of its hash: of
a million ids two are taken for one about once in forty million comparisons of whole logs.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from activities.systems.inference.config import InferenceConfig
from activities.systems.inference.files import Line, micros

IDS_AT_ONCE = 1_000_000
KEPT = 1000
"""Requests kept in the report, at most."""
Lines = Callable[[], Iterator[Line]]


@dataclass
class Blind:
    """What was found. ``checked`` answered inference requests of the gateway; ``unnamed`` of them have no id."""

    checked: int = 0
    unlogged: int = 0
    unnamed: int = 0
    bypassed: int = 0
    paths: set[str] = field(default_factory=set)
    callers: set[str] = field(default_factory=set)
    rows: list[dict[str, Any]] = field(default_factory=list)


def find_blind(gateway: Lines, logged: Lines, config: InferenceConfig, since: int, expected: int) -> Blind:
    """Compare the two logs from an instant on.

    Args:
        gateway: Begins a pass over the gateway's log.
        logged: Begins a pass over the inference log.
        config: Which paths are no inference, whose requests are Stanch's own.
        since: Microseconds since 1970.
        expected: Lines in both logs, roughly; decides how many passes there are.
    """
    found = Blind()
    parts = max(1, -(-expected // IDS_AT_ONCE))
    for part in range(parts):
        known: set[int] = set()
        for line in logged():
            id_ = _id(line)
            if id_ is not None and id_ % parts == part:
                known.add(id_)
        passed: set[int] = set()
        for line in gateway():
            id_ = _id(line)
            if id_ is not None and id_ % parts != part:
                continue
            if id_ is None and part:
                continue
            if id_ is not None:
                passed.add(id_)
            if _answered(line, config, since):
                found.checked += 1
                if id_ is None or id_ not in known:
                    found.unnamed += id_ is None
                    _keep(found, line)
        own = frozenset(config.own_callers)
        for line in logged():
            id_ = _id(line)
            at = micros(line.get("at"))
            if at is None or at < since or line.get("caller") in own:
                continue
            if (id_ is None and part == 0) or (id_ is not None and id_ % parts == part and id_ not in passed):
                found.bypassed += 1
    found.rows.sort(key=lambda row: (str(row["at"]), str(row["id"])))
    return found


def _answered(line: Line, config: InferenceConfig, since: int) -> bool:
    """Whether a server answered it well, and it is inference. What the gateway refused never reached a model."""
    at, status = micros(line.get("at")), line.get("status")
    if at is None or at < since or not isinstance(status, int) or not 200 <= status < 300:
        return False
    if str(line.get("server") or "<NOSRV>") == "<NOSRV>":
        return False
    path = urlsplit(str(line.get("path") or "")).path
    # The metadata of one model is no inference; the pattern for it would also match everything below.
    known = path.startswith("/v2/models/") and path.count("/") == 3
    return not known and not any(fnmatchcase(path, pattern) for pattern in config.not_inference)


def _keep(found: Blind, line: Line) -> None:
    found.unlogged += 1
    path = urlsplit(str(line.get("path") or "")).path
    caller = str(line.get("caller") or line.get("key") or "")
    if len(found.paths) < KEPT:
        found.paths.add(path[:200])
    if caller and len(found.callers) < KEPT:
        found.callers.add(caller[:200])
    if len(found.rows) < KEPT:
        names = ("at", "caller", "key", "status", "bytes", "backend", "server")
        id_ = str(line.get("request_id") or "")
        found.rows.append({"id": id_, "path": path, **{name: line.get(name) for name in names}})


def _id(line: Line) -> int | None:
    text = line.get("request_id")
    if not isinstance(text, str) or not text:
        return None
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
