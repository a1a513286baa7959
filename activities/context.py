"""What an action's body gets beside its parameters: its client, evidence, progress, world time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from activities.errors import EvidenceMissing, InvalidParams
from activities.ports import Evidence
from playbooks.contract import MAX_LITERAL_TARGETS, ActionCall, EvidenceRef, Json, RunContext, TargetSet


def parse_instant(text: str) -> datetime:
    """RFC 3339 to an aware instant."""
    instant = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def stamp(instant: datetime) -> str:
    """RFC 3339 UTC with six decimals."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def world_time(context: RunContext, real: datetime) -> datetime:
    """The instant in the run's world: real time in a live run, faster in a scaled exercise."""
    if context.world_start is None or context.real_start is None:
        return real
    since = real - parse_instant(context.real_start)
    return parse_instant(context.world_start) + since * context.rate


class Guarded:
    """Names and ids that effects must spare: protected ones by settings, and Stanch's own."""

    def __init__(self, protected: Iterable[str] = (), own: Iterable[str] = ()) -> None:
        """Names are compared without case."""
        self._protected = {name.casefold() for name in protected}
        self._own = {name.casefold() for name in own}

    def protects(self, *names: str) -> bool:
        """Whether any of a target's names or ids is protected."""
        return any(name.casefold() in self._protected for name in names if name)

    def owns(self, *names: str) -> bool:
        """Whether any of them is Stanch's own integration."""
        return any(name.casefold() in self._own for name in names if name)


class ActionContext:
    """One call of an action, as its body sees it. Safe to use from the body's thread.

    Attributes:
        call: The call, as the workflow made it.
        key: Idempotency key; the same for every attempt.
        client: The system's client.
        guarded: What effects must spare.
        prior: Earlier intents of this key whose outcome nobody knows, oldest first (bodies).
        resume: Where an earlier attempt said it was (its last ``progress``), or ``None``.
        evidence: References of everything put so far; they become the result's ``evidence``.
    """

    def __init__(
        self,
        call: ActionCall,
        key: str,
        *,
        evidence: Evidence,
        client: Any = None,
        guarded: Guarded | None = None,
        prior: Sequence[Mapping[str, Json]] = (),
        resume: Json = None,
        on_progress: Callable[[Json], None] = lambda position: None,
        on_sent: Callable[[], None] = lambda: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.call = call
        self.key = key
        self.client = client
        self.guarded = guarded or Guarded()
        self.prior = tuple(prior)
        self.resume = resume
        self.evidence: list[EvidenceRef] = []
        self._store = evidence
        self._on_progress = on_progress
        self._on_sent = on_sent
        self._stopping = stopping

    def now(self) -> datetime:
        """The world's instant now, aware, UTC."""
        return world_time(self.call.context, datetime.now(UTC))

    def put(self, content: bytes | Path, *, name: str, media_type: str = "application/json") -> EvidenceRef:
        """Keep a file as evidence of this incident: its bytes, or a path to copy it from."""
        ref = self._store.put(
            self.call.incident,
            content,
            name=name,
            media_type=media_type,
            source=self._source,
            actor="stanch",
        )
        self.evidence.append(ref)
        return ref

    def put_rows(self, rows: Iterable[Mapping[str, Json]], *, name: str) -> TargetSet:
        """Keep rows, each with at least ``id``, as JSON lines; the reference that may enter a payload."""
        return self._store.put_rows(
            self.call.incident, [dict(row) for row in rows], name=name, source=self._source, actor="stanch"
        )

    def rows(self, targets: TargetSet | Sequence[str]) -> list[dict[str, Json]]:
        """The rows of a target set, or ``{"id": …}`` for each literal id.

        Raises:
            EvidenceMissing: The rows are gone, or are not as many as the set says.
            InvalidParams: More than 500 literals.
        """
        if not isinstance(targets, TargetSet):
            if len(targets) > MAX_LITERAL_TARGETS:
                raise InvalidParams(
                    f"{len(targets)} literal targets were given; at most {MAX_LITERAL_TARGETS} may be. "
                    "Nothing was done. Pass the target set of a list step instead."
                )
            return [{"id": target} for target in dict.fromkeys(targets)]
        rows = self.rows_of(targets.ref)
        if len(rows) != targets.count:
            raise EvidenceMissing(
                f"A target set says {targets.count} targets, its file holds {len(rows)}. Nothing was done."
            )
        return rows

    def rows_of(self, ref: str) -> list[dict[str, Json]]:
        """The JSON lines of a file of evidence.

        Raises:
            EvidenceMissing: They are gone, or are not what they were.
        """
        try:
            return [dict(row) for row in self._store.rows(ref)]
        except (LookupError, OSError, ValueError) as error:
            raise EvidenceMissing(
                f"The rows of a target set ({ref[:20]}…) cannot be read from evidence. Nothing was "
                "done. Check the evidence folder, then list the targets again."
            ) from error

    def progress(self, position: Json) -> None:
        """Say how far the work is; a later attempt finds it as ``resume``."""
        self._on_progress(position)

    def sent(self) -> None:
        """Say that a request which may have had an effect was sent."""
        self._on_sent()

    def stopping(self) -> bool:
        """Whether to stop at the next safe place: the run was cancelled or the worker shuts down."""
        return self._stopping()

    @property
    def _source(self) -> str:
        return f"{self.call.action}@{self.call.version} {self.call.step}"
