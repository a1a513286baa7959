"""What systems answer in a trial: one stub for each action, or for one step, with a sensible answer by default.

An action that nobody gave an answer finds nothing, or changes all that it was told to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from temporalio.exceptions import FailureError, TimeoutError, TimeoutType

from activities import errors
from activities.action import Proposal
from activities.errors import ActionError, to_application_error
from playbooks.contract import ActionCall, ActionFacts, ActionResult, Affected, Json, Preview, TargetSet, Verb
from playbooks.digest import jcs, sha256_hex

FAILURES: dict[str, tuple[type[ActionError] | None, str]] = {
    "transient": (errors.Unavailable, "the system is away; a later try may work"),
    "rate_limited": (errors.RateLimited, "the system asks to come back later"),
    "rejected": (errors.Rejected, "the system refuses the request"),
    "forbidden": (errors.Forbidden, "a permission is missing"),
    "not_found": (errors.NotFound, "the thing named is not there"),
    "conflict": (errors.Conflict, "its state does not allow it"),
    "auth_failed": (errors.AuthFailed, "the credentials are not accepted"),
    "unknown": (errors.Ambiguous, "it was sent, and nobody knows whether it happened"),
    "timeout": (None, "no answer within the action's time"),
    "plan_changed": (errors.PlanChanged, "what would happen is no longer what was approved"),
    "protected": (errors.Protected, "protected targets that the approval did not show"),
    "held": (errors.Held, "effects are on hold"),
    "no_worker": (None, "no worker serves the system"),
}
"""Ways to fail, by the word that a test says, and what each means."""
NO_WORKER_SECONDS = 60.0
SAMPLE = 20


@dataclass(frozen=True)
class Stub:
    """How an action answers one call.

    ``output`` fills its fields, the rest stays as by default. ``fails`` is a key of ``FAILURES``; ``times`` how many
    attempts fail before it works, ``None`` for all. ``count``, ``already`` and ``protected`` are the preview's.
    ``happened`` says of an unknown outcome what reading back will find; ``verified`` what it finds otherwise.
    ``on`` is the verb that the failure belongs to: ``apply preview undo``.
    """

    output: Mapping[str, Json] = field(default_factory=dict)
    fails: str | None = None
    times: int | None = None
    on: str = "apply"
    count: int | None = None
    already: int = 0
    protected: tuple[str, ...] = ()
    changed: bool = True
    happened: bool = True
    verified: bool | None = None
    seconds: float = 0
    warnings: tuple[str, ...] = ()


@dataclass
class Stubs:
    """Stubs by step path or action name, each with the calls it has had; a later call takes the next of a sequence."""

    given: Mapping[str, Sequence[Stub]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    def of(self, call: ActionCall) -> tuple[str, Stub]:
        """The stub for a call, and the key under which its failures are counted."""
        name = next((name for name in (call.step, call.action) if self.given.get(name)), None)
        if name is None:
            return call.action, Stub()
        row = self.given[name]
        number = min(self.calls.get(name, 0), len(row) - 1)
        return f"{name}#{number}", row[number]

    def answers(self, call: ActionCall) -> bool:
        """Whether somebody gave an answer for it."""
        return bool(self.given.get(call.step) or self.given.get(call.action))

    def answered(self, call: ActionCall) -> None:
        """A call has come to its end: the next one takes the next stub."""
        for name in (call.step, call.action):
            if self.given.get(name):
                self.calls[name] = self.calls.get(name, 0) + 1
                return

    def strikes(self, key: str, stub: Stub, verb: Verb) -> bool:
        """Whether this attempt fails."""
        if stub.fails is None or stub.on != verb.value:
            return False
        before = self.failed.get(key, 0)
        if stub.times is not None and before >= stub.times:
            return False
        self.failed[key] = before + 1
        return True


def error_of(fails: str, facts: ActionFacts, attempt: int) -> tuple[FailureError, float]:
    """The error of a failing attempt as Temporal carries it, and the seconds that it took."""
    kind, said = FAILURES[fails]
    if fails == "timeout":
        late = TimeoutError("activity timeout", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[])
        return late, float(facts.timeout_seconds)
    if kind is None:
        idle = TimeoutError("activity timeout", type=TimeoutType.SCHEDULE_TO_START, last_heartbeat_details=[])
        return idle, NO_WORKER_SECONDS
    error = kind(f"{facts.name}: {said}.")
    if isinstance(error, errors.RateLimited):
        error.retry_after = timedelta(seconds=30)
    if isinstance(error, errors.Protected):
        error.details["protected"] = ["a protected target"]
    waits = isinstance(error, errors.JournalUnavailable)
    final = not waits and attempt >= facts.max_attempts
    return to_application_error(error, final=final), 0.0


def preview_of(stub: Stub, call: ActionCall, facts: ActionFacts) -> Preview:
    """What an effect would do."""
    named = targets_in(call, facts)
    known = count_of(call, facts)
    count = stub.count if stub.count is not None else (1 if known is None else known)
    return Preview(
        summary=f"{facts.title}: {count}",
        count=count,
        already=stub.already,
        sample=tuple(named[:SAMPLE]),
        reversible=facts.reversible,
        irreversible_because=facts.irreversible_because,
        protected=stub.protected,
    )


def proposal_of(stub: Stub, call: ActionCall, facts: ActionFacts) -> Proposal:
    """What the gate measures against the approval."""
    return Proposal(preview=preview_of(stub, call, facts))


def result_of(stub: Stub, call: ActionCall, facts: ActionFacts, now: datetime) -> ActionResult:
    """What a call that works returns."""
    output = outputs_of(stub, facts, now)
    if not facts.risk.is_effect:
        return ActionResult(output=output, summary="read", warnings=stub.warnings)
    shown = preview_of(replace(stub), call, facts)
    changed = stub.changed and shown.count > 0
    count = shown.count if changed else 0
    return ActionResult(
        changed=changed,
        summary=f"{count} changed",
        output=output,
        undo_args={"of": call.step} if facts.reversible and changed else None,
        verified=True if stub.verified is None else stub.verified,
        affected=Affected(count=count, sample=shown.sample),
        warnings=stub.warnings,
    )


def outputs_of(stub: Stub, facts: ActionFacts, now: datetime) -> dict[str, Json]:
    """The given fields, targets as sets, and the defaults of those that are always there."""
    found: dict[str, Json] = {}
    for name, known in facts.outputs.items():
        value = stub.output.get(name)
        if value is None:
            if known.required:
                found[name] = _nothing(known.type, now)
        elif known.type in ("targets", "grants") and isinstance(value, list):
            found[name] = target_set([str(item) for item in value])
        else:
            found[name] = value
    return found


def _nothing(kind: str, now: datetime) -> Json:
    if kind.startswith("list["):
        return []
    if kind in ("targets", "grants"):
        return target_set([])
    plain: dict[str, Json] = {
        "string": "",
        "integer": 0,
        "number": 0,
        "boolean": False,
        "duration": "0s",
        "datetime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "map": {},
    }
    return plain.get(kind)


def target_set(names: Sequence[str]) -> dict[str, Json]:
    """A set of targets by reference, as reads of a system leave them."""
    digest = sha256_hex(jcs(list(names)))
    kept = TargetSet(ref=f"sha256:{digest}", sha256=digest, count=len(names), sample=tuple(names[:SAMPLE]))
    return kept.model_dump(mode="json")


def targets_in(call: ActionCall, facts: ActionFacts) -> list[str]:
    """The targets that a call names, of a set the first ones."""
    for name, known in facts.params.items():
        value = call.params.get(name)
        if known.type not in ("targets", "grants") or value is None:
            continue
        named = value.get("sample", []) if isinstance(value, Mapping) else value
        return [str(item) for item in named] if isinstance(named, list) else []
    return []


def count_of(call: ActionCall, facts: ActionFacts) -> int | None:
    """How many targets a call names; ``None`` if it names none."""
    for name, known in facts.params.items():
        value = call.params.get(name)
        if known.type not in ("targets", "grants") or value is None:
            continue
        if isinstance(value, Mapping):
            return int(value.get("count", 0))
        return len(value) if isinstance(value, list) else None
    return None
