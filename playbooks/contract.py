"""What the language, the workflows and the activities share: facts about actions, and the shapes on the wire.

Everything here is plain data. A field is only ever added, with a default; the meaning of one never changes,
because plans and histories written by an older version must stay readable.
"""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Json = Any
"""A plain JSON value: what may enter a plan, a state or a payload."""

MAX_LITERAL_TARGETS = 500
MAX_OUTPUT_INLINE = 64 * 1024
MAX_OUTPUT = 1_500_000


class Frozen(BaseModel):
    """A value on the wire: immutable, and open to fields that a newer version adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Risk(StrEnum):
    """What an action can do to the business, weakest first."""

    READ = "read"
    NOTIFY = "notify"
    CONTAIN = "contain"
    CHANGE = "change"
    DESTROY = "destroy"

    @property
    def rank(self) -> int:
        """Position in the order of risks, 0 for read."""
        return _RANKS[self]

    @property
    def is_effect(self) -> bool:
        """Whether the pre-effect gate and an intent apply."""
        return self.rank >= Risk.CONTAIN.rank


_RANKS = {risk: rank for rank, risk in enumerate(Risk)}


class Idempotency(StrEnum):
    """Why a second apply of the same call does no harm."""

    NATURAL = "natural"
    KEYED = "keyed"
    CHECK_FIRST = "check_first"
    ONCE = "once"


class Mode(StrEnum):
    """Whether a run touches the real world."""

    LIVE = "live"
    EXERCISE = "exercise"


class Verb(StrEnum):
    """What an action is asked to do."""

    PREVIEW = "preview"
    APPLY = "apply"
    VERIFY = "verify"
    UNDO = "undo"


class Scope(StrEnum):
    """How an approval bounds the targets: these very ones, or what a selector finds, up to a maximum."""

    EXACT = "exact"
    SELECTOR = "selector"


class FieldFacts(Frozen):
    """Type of one parameter or output.

    ``type`` is one of ``string integer number boolean datetime duration any map targets grants`` or
    ``list[TYPE]``. ``targets`` is a TargetSet or at most 500 ids.
    """

    type: str
    required: bool = True
    default: Json = None
    description: str = ""


class ActionFacts(Frozen):
    """All that the compiler and the interpreter need to know of an action, without importing it."""

    name: str
    version: int = 1
    system: str
    title: str
    risk: Risk
    idempotency: Idempotency
    reversible: bool = False
    irreversible_because: str | None = None
    acquires: tuple[str, ...] = ()
    needs_evidence: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    owner: str
    undone_after: tuple[str, ...] = ()
    """Actions whose outcome it takes up, so that it is taken back after them and only with them, though it is newer."""
    preauthorised: str | None = None
    """Under which condition policy lets it run without approval, by name; ``None`` for never."""
    selector: bool = False
    """Whether its parameters select live targets (``*_of_app``), so that an approval needs a maximum."""
    timeout_seconds: int = 60
    heartbeat_seconds: int | None = None
    max_attempts: int = 5
    queue: str
    """Credential domain; the task queue is this behind the worker's prefix."""
    params: dict[str, FieldFacts] = Field(default_factory=dict)
    outputs: dict[str, FieldFacts] = Field(default_factory=dict)


class EvidenceRef(Frozen):
    """A content-addressed file of the evidence store. ``ref`` is ``sha256:HEX``; ``bytes`` its size."""

    ref: str
    sha256: str
    bytes: int
    name: str = ""
    media_type: str = "application/octet-stream"


FOREIGN = "workflow"
"""System of the actions that start workflows of others: ``workflow.TYPE`` for each type that the settings declare."""


class TargetSet(Frozen):
    """A list of targets by reference: the rows lie in evidence as JSON lines, each with at least ``id``."""

    ref: str
    sha256: str
    count: int
    sample: tuple[str, ...] = ()
    complete: bool = True


class Affected(Frozen):
    """Targets that a step itself changed (not those already in the wanted state)."""

    count: int = 0
    sample: tuple[str, ...] = ()


class Items(Frozen):
    """Outcome per target of a mass action, as counts; ``report`` holds a row for each."""

    done: int = 0
    already: int = 0
    failed: int = 0
    unknown: int = 0
    report: EvidenceRef | None = None
    failures: tuple[str, ...] = ()
    """At most 20, each ``ID: CODE``."""


class ActionResult(Frozen):
    """What every action returns."""

    changed: bool = False
    summary: str = ""
    output: dict[str, Json] = Field(default_factory=dict)
    output_ref: EvidenceRef | None = None
    """Where ``output`` lies when it is over 64 KB; then ``output`` is empty."""
    evidence: tuple[EvidenceRef, ...] = ()
    undo_args: dict[str, Json] | None = None
    verified: bool | None = None
    affected: Affected = Affected()
    items: Items | None = None
    warnings: tuple[str, ...] = ()


class Preview(Frozen):
    """What an approver is shown: exactly what would happen.

    ``count`` is of targets that would change, ``already`` of those in the wanted state; ``impact`` says in a
    sentence each who or what stops working.
    """

    summary: str
    count: int = 0
    already: int = 0
    sample: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """What people call each target of ``sample``; for cards only, never journaled."""
    impact: tuple[str, ...] = ()
    reversible: bool = False
    irreversible_because: str | None = None
    protected: tuple[str, ...] = ()
    """Protected targets among them, by name; each raises the quorum. Stanch's own are never touched."""
    excluded: tuple[str, ...] = ()
    """Targets that were named but are left out, each with the reason."""
    target_sha256: str | None = None
    evidence: EvidenceRef | None = None


class RunContext(Frozen):
    """Whether a run is real, and how its world's time passes. Instants are RFC 3339 UTC."""

    mode: Mode = Mode.LIVE
    rate: int = 1
    """World seconds per real second."""
    world_start: str | None = None
    real_start: str | None = None


class Envelope(Frozen):
    """What an approval covers: this action with these parameters on these targets, and nothing else."""

    plan: str
    step: str
    pass_: int = 0
    item: str | None = None
    action: str
    version: int
    params: dict[str, Json]
    scope: Scope
    target_sha256: str | None = None
    max_affected: int
    mode: Mode


class StandingApproval(Frozen):
    """An approval that an owner gave in advance, for what fits all of it until an instant (RFC 3339).

    ``params`` are those that must be as given; others are free. ``kinds`` are the incidents' kinds, empty for any;
    ``severity_from`` 0 asks for none. ``roles`` are the owner's, by which ``person`` gave it.
    """

    id: str = ""
    person: str
    roles: tuple[str, ...]
    action: str
    version: int = 1
    params: dict[str, Json] = Field(default_factory=dict)
    max_affected: int
    kinds: tuple[str, ...] = ()
    severity_from: int = 0
    given_at: str
    until: str


class Permit(Frozen):
    """Why an effect may be applied: checked once more by the pre-effect gate in the activity."""

    rule: str
    """The policy rule in words, e.g. ``contain: 1 of crm_owner``."""
    envelope: Envelope | None = None
    digest: str | None = None
    approved_by: tuple[str, ...] = ()
    expires_at: str | None = None
    protected_allowed: bool = False
    """Whether the approvers were shown protected targets and the raised quorum was met."""
    standing: tuple[str, ...] = ()
    """Ids of the standing approvals by which it was approved; each must still be in force."""


class NewEntry(Frozen):
    """A journal entry that the workflow wants written; unique by (incident, key), so repeats are free.

    ``body`` carries ids, counts and references only. ``at`` is RFC 3339 UTC with six decimals. ``text`` is free
    text that belongs to the entry: the store keeps it as evidence and puts ``text_ref`` into the body.
    """

    key: str
    kind: str
    at: str
    actor: str = "stanch"
    door: str = "workflow"
    body: dict[str, Json] = Field(default_factory=dict)
    text: str = ""


class ActionCall(Frozen):
    """Input of every action activity."""

    action: str
    version: int = 1
    verb: Verb = Verb.APPLY
    params: dict[str, Json] = Field(default_factory=dict)
    incident: str
    run: str
    lineage: str
    """Names the run for idempotency keys; a rerun keeps it. Never a Temporal run id."""
    step: str
    pass_: int = 0
    item: str | None = None
    epoch: int = 0
    tries: int = 0
    """How many activities this step instance had before: the fence of intents is ``tries * 1000`` plus Temporal's
    attempt, so that a later activity always outranks an earlier one."""
    denied_tries: int = 0
    """Of those, the ones up to this did not happen: a person found so."""
    context: RunContext = RunContext()
    plan_digest: str = ""
    facts_version: int = 0
    """Version of the incident's facts that the step read."""
    permit: Permit | None = None
    undo_args: dict[str, Json] | None = None
    entries: tuple[NewEntry, ...] = ()
    """Workflow decisions that the journal does not yet hold; written before anything else happens."""


class Urgency(StrEnum):
    """How loud a notice is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    PAGE = "page"


class Notice(Frozen):
    """Something people are told: a card, a page, a reminder, a result. Unique by ``id``.

    ``to`` is a list of ``role:NAME``, ``person:NAME`` or ``channel``. ``body`` is typed by its ``kind`` key:
    ``text`` (``text``), ``gate`` (a waiting decision), ``result`` (the outcome of one).
    """

    id: str
    incident: str
    run: str | None = None
    step: str | None = None
    to: tuple[str, ...] = ()
    urgency: Urgency = Urgency.NORMAL
    body: dict[str, Json] = Field(default_factory=dict)
    supersedes: str | None = None
    at: str = ""


class Decision(Frozen):
    """What a person decided, signed by the desk (Ed25519 over the JCS of all fields but ``sig``).

    ``verdict`` is ``approve deny answer done retry skip undo stop happened not_happened verify break_glass``.
    ``values`` holds the fields of a form.
    """

    incident: str
    run: str
    step: str
    person: str
    roles_at: tuple[str, ...] = ()
    door: str
    verdict: str
    digest: str
    reason: str = ""
    values: dict[str, Json] = Field(default_factory=dict)
    nonce: str
    at: str
    key_id: str = ""
    sig: str = ""


class DecisionReceipt(Frozen):
    """The workflow's answer to a decision. ``code`` is ``ok`` or one of the refusal codes of the contract."""

    accepted: bool
    code: str
    message: str
    votes: int = 0
    needed: int = 0
