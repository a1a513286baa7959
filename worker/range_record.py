"""The range's one record over all its systems: what was changed and what was asked, in one order."""

import itertools
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Change:
    """A state change of one target; ``caused`` is what it brought along."""

    seq: int
    at: str
    actor: str
    system: str
    kind: str
    target: str
    caused: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A request that was answered (status 0: cut off), and what it read."""

    seq: int
    at: str
    actor: str
    system: str
    method: str
    path: str
    status: int
    read: tuple[str, ...]


class Record:
    """Append-only; ``seq`` counts changes and requests together, so that they can be compared."""

    def __init__(self) -> None:
        self._seq = itertools.count(1)
        self._lock = threading.Lock()
        self.changes: list[Change] = []
        self.asked: list[Asked] = []

    def change(self, *, actor: str, system: str, kind: str, target: str, caused: list[str]) -> None:
        """Enter a state change."""
        with self._lock:
            entry = Change(next(self._seq), _now(), actor, system, kind, target, tuple(caused))
            self.changes.append(entry)

    def log(self, *, actor: str, system: str, method: str, path: str, status: int, read: list[str]) -> None:
        """Enter a request."""
        with self._lock:
            entry = Asked(next(self._seq), _now(), actor, system, method, path, status, tuple(read))
            self.asked.append(entry)

    def effects(self, actor: str = "stanch") -> list[dict[str, Any]]:
        """Changes made with Stanch's credentials, one per target; logins are none."""
        return [
            {name: value for name, value in asdict(change).items() if name != "actor"}
            for change in list(self.changes)
            if change.actor == actor
        ]

    def requests(self) -> list[dict[str, Any]]:
        """All requests, by anybody."""
        return [asdict(asked) for asked in list(self.asked)]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
