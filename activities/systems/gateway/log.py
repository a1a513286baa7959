"""The gateway's log of requests: who used which certificate, also before a reload.

A line is a JSON object with ``at`` (RFC 3339), and ``caller``, ``certificate`` and ``key`` where there are any.
Others, such as HAProxy's word that it was reloaded, are passed over.
"""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from activities.context import parse_instant
from activities.systems.gateway.models import Seen

MOST = 512 * 1024 * 1024
"""Bytes of log that are read, the newest files first."""


def clients(folder: str, since: datetime) -> tuple[list[Seen], bool]:
    """Clients that sent a request since an instant, and whether all files could be read whole."""
    found: dict[tuple[str, str, str], datetime] = {}
    left, whole = MOST, True
    try:
        files = [(file.stat().st_mtime, file) for file in Path(folder).iterdir() if ".jsonl" in file.name]
    except OSError:
        return [], False
    for changed, file in sorted(files, reverse=True):
        if datetime.fromtimestamp(changed, UTC) < since:
            break
        try:
            for line in _lines(file):
                left -= len(line)
                if left < 0:
                    return _seen(found), False
                got = _client(line)
                if got is None:
                    # Cut off by a full disk; the last may be under way. HAProxy's own words are no request.
                    whole = whole and not (line.startswith("{") and line.endswith("\n"))
                elif got[1] >= since and (got[0][0] or got[0][1]):
                    found[got[0]] = max(got[1], found.get(got[0], got[1]))
        except (OSError, EOFError, UnicodeDecodeError):
            whole = False
    return _seen(found), whole


def _lines(file: Path) -> Iterator[str]:
    if file.name.endswith(".gz"):
        with gzip.open(file, "rt", encoding="utf-8") as packed:
            yield from packed
    else:
        with file.open(encoding="utf-8") as plain:
            yield from plain


def _client(line: str) -> tuple[tuple[str, str, str], datetime] | None:
    try:
        row = json.loads(line.strip("\0\n"))
        who = (str(row.get("certificate", "")), str(row.get("key", "")), str(row.get("caller", "")))
        return who, parse_instant(str(row["at"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _seen(found: dict[tuple[str, str, str], datetime]) -> list[Seen]:
    return [Seen(certificate, key, name, last) for (certificate, key, name), last in found.items()]
