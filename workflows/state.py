"""What the workflows carry over continue-as-new: plain JSON, typed.

``RunState`` is mutable by the interpreter only. A step instance is keyed by its path, and by one index in
brackets for each enclosing ``for_each``: ``revoke``, ``revoke[3]``. Of the passes of a ``repeat`` only the last has
records: what an earlier pass leaves is its journal, and what undoing its effects needs.
"""

from typing import Any

from pydantic import BaseModel, Field

from playbooks.contract import Affected, Decision, Envelope, Frozen, Json, NewEntry, Notice
from playbooks.plan import Escalate, InputFacts, Terminal
from playbooks.policy import Need as Need

STATE_VERSION = 1
FINISHED = frozenset({"done", "skipped", "failed", "denied", "undone"})


class Fact(Frozen):
    """A fact and where it is from. ``trust`` is ``person read alert``, strongest first."""

    value: Json = None
    trust: str = "alert"
    by: str = ""
    source: str = ""
    at: str = ""


class FactsSnapshot(Frozen):
    """The incident's facts as one run sees them, numbered."""

    version: int = 1
    facts: dict[str, Fact] = Field(default_factory=dict)

    def values(self) -> dict[str, Json]:
        """Fact name to value."""
        return {name: fact.value for name, fact in self.facts.items()}


class StepRecord(BaseModel):
    """One step instance. ``status`` as the contract; ``stops`` marks a failure that ends its sequence."""

    status: str = "running"
    waiting_for: str | None = None
    output: dict[str, Json] = Field(default_factory=dict)
    output_ref: str | None = None
    output_bytes: int = 0
    outcome_key: str | None = None
    started_at: str | None = None
    world_now: str | None = None
    finished_at: str | None = None
    by: list[str] = Field(default_factory=list)
    affected: Affected | None = None
    changed: bool | None = None
    verified: bool | None = None
    summary: str = ""
    code: str | None = None
    message: str = ""
    stops: bool = False
    suppliers: list[str] = Field(default_factory=list)
    """People who supplied a value that this output depends on."""
    facts_version: int = 0
    tries: int = 0
    retries: int = 0
    """Further attempts by the author's ``retry``."""
    again: bool = False
    """Whether it comes anew, as it failed and the block around it is tried again."""
    timed_from: str | None = None
    """From when its time-out counts, where a person let it be tried again; else from its start."""
    pass_: int = 0
    """Pass of the ``repeat`` around the step; 0 outside of any."""
    passes: int = 0
    """How often a check was read, or passes of a ``repeat``, over all passes of what is around it."""
    epoch: int = 0
    changes: int = 0
    """How often it was refused as changed since people were last asked what follows; ``difference`` says what."""
    difference: list[str] = Field(default_factory=list)
    denied_tries: int = 0
    """Tries up to this one did not happen: a person found so."""
    undoing: str = ""
    """Its status before an undo of it was sent; set until the outcome of that is known."""
    decided: bool = False
    """Whether its condition was found true, or there is none: it is not looked at again."""
    items: list[str] | None = None
    """Keys of a ``for_each``, in input order; ``each`` holds the items themselves."""
    each: list[Json] | None = None
    branch: str | None = None
    """Which way an ``if`` or ``choose`` went; where a ``repeat`` stands."""
    trouble: dict[str, str] | None = None
    """How it failed (``path code message``), for the executions that come after: ``path`` may be a step inside."""
    reading: bool = False
    """Whether the pass that ``passes`` counts is still under way."""

    @property
    def timed(self) -> str | None:
        """From when its time-out counts."""
        return self.timed_from or self.started_at

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return (self.status in FINISHED and not self.again) or bool(self.undoing)


class Vote(Frozen):
    """An accepted decision, as a gate keeps it."""

    person: str
    roles: tuple[str, ...]
    verdict: str
    door: str
    at: str
    reason: str = ""
    nonce: str = ""


class Gate(BaseModel):
    """A question that waits for people. ``kind`` is ``approve ask human failure unknown undo``."""

    kind: str
    path: str
    pass_: int = 0
    item: str | None = None
    digest: str
    question: str
    needs: list[Need] = Field(default_factory=list)
    deny_count: int = 1
    verdicts: list[str]
    form: dict[str, InputFacts] = Field(default_factory=dict)
    excluded: list[str] = Field(default_factory=list)
    preview: list[dict[str, Json]] = Field(default_factory=list)
    difference: list[str] = Field(default_factory=list)
    remains: list[str] = Field(default_factory=list)
    """What an undo cannot take back, a sentence each with its reason."""
    opened_at: str
    deadline: str | None = None
    chain: list[Escalate] = Field(default_factory=list)
    terminal: Terminal | None = None
    valid_for_seconds: float | None = None
    recorded: bool = False
    status: str = "open"
    """``open approved denied answered expired closed``."""
    closed_at: str | None = None
    votes: list[Vote] = Field(default_factory=list)
    denials: list[Vote] = Field(default_factory=list)
    answer: dict[str, Json] = Field(default_factory=dict)
    verdict: str | None = None
    decided_by: list[str] = Field(default_factory=list)
    break_glass: str | None = None
    refused: int = 0
    escalations: int = 0
    """Links of the chain taken so far; it names their notices, so it must outlive an execution."""
    round: int = 1
    consumed: bool = False
    """Whether the walk has acted on how it closed."""


class FrozenCall(BaseModel):
    """One covered call as it was approved: executed verbatim."""

    params: dict[str, Json]
    envelope: Envelope
    digest: str
    count: int = 0
    protected: int = 0


class FrozenStep(BaseModel):
    """A covered step as rendered at its approve step. ``calls`` is keyed by item index, ``""`` without."""

    runs: bool = True
    items: list[Json] | None = None
    calls: dict[str, FrozenCall] = Field(default_factory=dict)


class Approval(BaseModel):
    """What an approve step (or a step that asked by itself) froze, and how it was decided."""

    path: str
    steps: dict[str, FrozenStep] = Field(default_factory=dict)
    approved: bool | None = None
    by: list[str] = Field(default_factory=list)
    rule: str = ""
    expires_at: str | None = None
    protected_allowed: bool = False
    standing: list[str] = Field(default_factory=list)
    """Ids of the standing approvals that approved it, where nobody was asked."""
    void: str = ""
    """Why it counts no more, in a sentence; what it covered is then asked anew."""


class FrameState(BaseModel):
    """A frame's own inputs, and how far it is: ``steps``, ``always`` or ``ended``."""

    inputs: dict[str, Json] = Field(default_factory=dict)
    suppliers: dict[str, list[str]] = Field(default_factory=dict)
    """Input name to the people who supplied it."""
    outputs: dict[str, Json] = Field(default_factory=dict)
    output_suppliers: list[str] = Field(default_factory=list)
    """People who supplied a value that its outputs depend on."""
    part: str = "steps"
    outcome: str | None = None
    code: str | None = None
    reason: str = ""


class Undoable(Frozen):
    """An effect that can be taken back. ``path``, ``pass_`` and ``item`` name the step instance, and ``key`` all
    three; ``tries`` and ``epoch`` are those of its record, which an effect of an earlier pass outlives."""

    key: str
    path: str
    pass_: int = 0
    item: str | None = None
    tries: int = 0
    epoch: int = 0
    action: str
    version: int = 1
    params: dict[str, Json] = Field(default_factory=dict)
    undo_args: dict[str, Json] = Field(default_factory=dict)
    summary: str = ""


class UndoAsked(BaseModel):
    """An undo that a person asked for. ``key`` names its question; ``step`` the one step instance, if not all.

    ``end`` is ``undone partly declined cancelled``, empty until it has ended.
    """

    key: str
    person: str
    step: str | None = None
    reason: str = ""
    end: str = ""


class Event(Frozen):
    """An event from outside that no step has taken yet. ``by`` is who sent it."""

    name: str
    body: dict[str, Json] = Field(default_factory=dict)
    by: str = ""
    at: str = ""
    bytes: int = 0


class Seen(Frozen):
    """An accepted decision's receipt, by nonce: the same update gets it again, another is a replay."""

    update: str
    receipt: dict[str, Any]


class RunState(BaseModel):
    """Everything of a run that outlives one execution."""

    state_version: int = STATE_VERSION
    status: str = "running"
    started_at: str = ""
    finished_at: str | None = None
    world_started: str = ""
    reason: str = ""
    code: str | None = None
    cancelled: bool = False
    paused: bool = False
    records: dict[str, StepRecord] = Field(default_factory=dict)
    frames: dict[str, FrameState] = Field(default_factory=dict)
    gates: dict[str, Gate] = Field(default_factory=dict)
    approvals: dict[str, Approval] = Field(default_factory=dict)
    deadlines: dict[str, str] = Field(default_factory=dict)
    passes: dict[str, int] = Field(default_factory=dict)
    """Step instance to ``passes`` of its record in the passes before, so that no number comes twice."""
    facts: FactsSnapshot = FactsSnapshot()
    incoming: FactsSnapshot | None = None
    own_facts: dict[str, Fact] = Field(default_factory=dict)
    dated: dict[str, str] = Field(default_factory=dict)
    """Dated facts that this run added for the clocks."""
    undoable: list[Undoable] = Field(default_factory=list)
    undo_state: str = ""
    undos: list[UndoAsked] = Field(default_factory=list)
    undo_left: dict[str, list[str]] = Field(default_factory=dict)
    """Key of an undo to what it could not take back, a sentence each."""
    handed_over: str = ""
    """Version of the playbook under which another run goes on; this one then ends where it stands."""
    warnings: list[str] = Field(default_factory=list)
    unrecorded: list[NewEntry] = Field(default_factory=list)
    notices: list[Notice] = Field(default_factory=list)
    entry_count: int = 0
    snapshot_count: int = 0
    reports: list[dict[str, Json]] = Field(default_factory=list)
    report_count: int = 0
    reported_phase: str | None = None
    seen: dict[str, Seen] = Field(default_factory=dict)
    events: list[Event] = Field(default_factory=list)
    event_nonces: list[str] = Field(default_factory=list)
    desk_keys: dict[str, str] = Field(default_factory=dict)
    open_decisions: list[Decision] = Field(default_factory=list)


class IncidentRun(BaseModel):
    """A run as its incident knows it."""

    status: str = "expected"
    seq: int = 0
    phase: str | None = None
    contain_started: int = 0
    contain_verified: int = 0
    unknown: int = 0
    expected_at: str = ""
    child: bool = False
    superseded: bool = False
    """Whether a later run took over its state and reports for it."""


class Review(BaseModel):
    """The after-review of a broken glass. ``verdict`` is ``justified not_justified``, ``None`` until then."""

    run: str
    step: str
    round: int
    person: str
    roles: list[str]
    opened_at: str
    reason: str = ""
    verdict: str | None = None
    by: str = ""
    at: str | None = None


class IncidentState(BaseModel):
    """Everything of an incident that outlives one execution."""

    state_version: int = STATE_VERSION
    status: str = "open"
    opened_at: str = ""
    closed_at: str | None = None
    facts: FactsSnapshot = FactsSnapshot()
    losers: dict[str, list[Fact]] = Field(default_factory=dict)
    """Values that a stronger source overruled, kept with their provenance."""
    alerts: int = 0
    last_alert: str = ""
    runs: dict[str, IncidentRun] = Field(default_factory=dict)
    fact_seqs: dict[str, int] = Field(default_factory=dict)
    clocks: list[dict[str, Json]] = Field(default_factory=list)
    clock_versions: dict[str, str] = Field(default_factory=dict)
    dated: dict[str, str] = Field(default_factory=dict)
    clock_decisions: dict[str, dict[str, Json]] = Field(default_factory=dict)
    clocks_stale: bool = True
    reminded: list[str] = Field(default_factory=list)
    commander: str = ""
    reviews: list[Review] = Field(default_factory=list)
    unrecorded: list[NewEntry] = Field(default_factory=list)
    notices: list[Notice] = Field(default_factory=list)
    entry_count: int = 0
    snapshot_count: int = 0
    seen: dict[str, dict[str, Json]] = Field(default_factory=dict)
