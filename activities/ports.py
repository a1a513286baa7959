"""What actions need of the store, of secrets and of systems, as the worker provides it.

Synchronous methods are thread-safe and short. Any exception of the journal means that the store is away.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from playbooks.contract import EvidenceRef, Json, NewEntry, Notice, TargetSet

P = ParamSpec("P")
T = TypeVar("T")


class Journal(Protocol):
    """Append-only record of incidents; entries are unique by (incident, key)."""

    def append(self, incident: str, entries: Sequence[NewEntry]) -> list[int]:
        """Write entries, ignoring those that are already there; their sequence numbers."""

    def entries(self, incident: str, after: int = 0) -> list[dict[str, Json]]:
        """Entries with ``seq`` above ``after``."""

    def outcome(self, incident: str, key: str) -> dict[str, Json] | None:
        """Body of the outcome recorded for an idempotency key."""

    def intent(self, incident: str, key: str, attempt: int, body: dict[str, Json]) -> bool:
        """Record an intent unless a higher attempt has one; ``False`` means do not act."""

    def record_outcome(self, incident: str, key: str, attempt: int, body: dict[str, Json]) -> None:
        """Record an outcome, once per key."""

    def intents(self, incident: str, key: str) -> list[dict[str, Json]]:
        """Bodies of the intents of a key, oldest first."""

    def sign_heads(self, reason: str, incident: str | None = None) -> object:
        """Sign the heads of the chains that changed, or of one."""


class Evidence(Protocol):
    """Content-addressed files with custody."""

    def put(
        self, incident: str, content: bytes | Path, *, name: str, media_type: str, source: str, actor: str
    ) -> EvidenceRef:
        """Keep a file."""

    def read(self, ref: str) -> bytes:
        """Its bytes, checked against their hash."""

    def rows(self, ref: str) -> Iterator[dict[str, Json]]:
        """Its JSON lines."""

    def put_rows(
        self, incident: str, rows: Iterable[Mapping[str, Json]], *, name: str, source: str, actor: str
    ) -> TargetSet:
        """Keep targets, one JSON line each."""


class Hold(Protocol):
    """The switch that stops every new effect."""

    def get(self) -> object | None:
        """The hold in force, with ``reason`` and ``person``; ``None`` without one."""


class Standing(Protocol):
    """Approvals that owners gave in advance."""

    def in_force(self, id_: str, now: str) -> bool:
        """Whether one is neither revoked nor over."""


class Notices(Protocol):
    """Outbox of what people are told."""

    def put(self, notices: Sequence[Notice]) -> object:
        """Queue notices, ignoring those that are already there."""


class Incidents(Protocol):
    """Snapshots and inputs of runs."""

    def save_snapshot(
        self,
        run: str,
        incident: str,
        status: dict[str, Json],
        state: dict[str, Json] | None,
        version: int,
    ) -> object:
        """Keep a run's or incident's status unless a newer one is there."""

    def load_run(self, run: str) -> dict[str, Json] | None:
        """The saved input of a run."""


class Drafts(Protocol):
    """Drafts of notifications."""

    def save(self, incident: str, draft: dict[str, Json], markdown: str) -> object:
        """Keep a draft; what it returns may name its place."""


class Store(Protocol):
    """The installation's store."""

    @property
    def journal(self) -> Journal:
        """The record."""

    @property
    def evidence(self) -> Evidence:
        """The files."""

    @property
    def hold(self) -> Hold:
        """The switch."""

    @property
    def standing(self) -> Standing:
        """The approvals in advance."""

    @property
    def notices(self) -> Notices:
        """The outbox."""

    @property
    def incidents(self) -> Incidents:
        """The snapshots."""

    @property
    def drafts(self) -> Drafts:
        """The notifications."""

    def transaction(self) -> AbstractContextManager[Any]:
        """Group several writes."""

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Run a method of the store without holding up the loop."""

    def write(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """As ``call``, for a method that writes; it may share a transaction with others, none of whose failures
        touches it."""


class Vault(Protocol):
    """Resolver of credential references such as ``secret:env/NAME`` and ``secret:file/PATH``."""

    def get(self, reference: str) -> str:
        """The secret. It must never reach a payload, a log or a message."""


class Systems(Protocol):
    """Connected clients of systems, one per system and worker, made at first use."""

    async def client(self, system: str) -> Any:
        """The system's client: what its ``client.connect(config, vault)`` returned."""
