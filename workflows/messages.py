"""Arguments and results of the workflows' inputs, updates, signals, queries and built-in activities.

One model in, one model out. Fields are only added, with defaults. Instants are RFC 3339 UTC strings.
"""

from typing import Literal

from pydantic import Field

from playbooks.contract import Frozen, Json, NewEntry, Notice, RunContext, StandingApproval
from playbooks.plan import RunPlan
from workflows.state import FactsSnapshot, IncidentState, RunState

# Names of the built-in activities, all on the core queue.
RECORD = "stanch.record"
LOAD_OUTPUTS = "stanch.load_outputs"
LOAD_RUN = "stanch.load_run"
COMPUTE_CLOCKS = "stanch.compute_clocks"
WRITE_DRAFTS = "stanch.write_drafts"


class Thresholds(Frozen):
    """When a workflow continues as new, counted from its own first task (events, bytes)."""

    soft_events: int = 2000
    soft_bytes: int = 1_000_000
    hard_events: int = 8000
    hard_bytes: int = 3_000_000


class After(Frozen):
    """What a run goes on from: it undoes, reruns or migrates the run ``of``, because ``person`` asked for it.

    ``step`` is the key of the one step instance to undo; without it all that can be undone is.
    """

    verb: Literal["undo", "rerun", "migrate"]
    of: str
    person: str
    reason: str = ""
    step: str | None = None


class RunInput(Frozen):
    """Start of a PlaybookRun. The desk saves it in the store before it starts the run.

    ``run`` is the workflow id ``run/INC-…/<playbook>/<n>``; ``starters`` are people who started, reran or
    migrated it (they may not approve); an alert adds none. ``desk_keys`` maps key id to Ed25519 public key
    (hex). ``state`` is set by continue-as-new only; ``seed`` is the state that a run takes over which goes on
    ``after`` another.
    """

    run: str
    incident: str
    lineage: str
    plan: RunPlan
    plan_digest: str
    facts: FactsSnapshot = FactsSnapshot()
    starters: tuple[str, ...] = ()
    desk_keys: dict[str, str] = Field(default_factory=dict)
    queue_prefix: str = "stanch"
    thresholds: Thresholds = Thresholds()
    standing: tuple[StandingApproval, ...] = ()
    """Approvals in advance that were in force at the start; each is looked up again before its effect."""
    state: RunState | None = None
    after: After | None = None
    seed: RunState | None = None


class RunResult(Frozen):
    """How a run ended. ``status`` is ``done failed denied cancelled undone``; ``outputs`` are its playbook's."""

    run: str
    status: str
    reason: str = ""
    outputs: dict[str, Json] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class PauseRequest(Frozen):
    """Update ``pause`` or ``resume`` of a run, by a person the desk has checked."""

    person: str
    reason: str = ""


class UndoRequest(Frozen):
    """Update ``undo`` of a run: offer to take back the effect of one step instance, or of all."""

    person: str
    step: str | None = None
    reason: str = ""


class EventGiven(Frozen):
    """Update ``event`` of a run, by a person the desk has checked. ``body`` is data from outside, of any fields."""

    name: str
    body: dict[str, Json] = Field(default_factory=dict)
    person: str
    door: str = "desk"
    nonce: str


class HandOverRequest(Frozen):
    """Update ``hand_over`` of a run: end here, so that another goes on from its state under another plan."""

    person: str
    to: str
    reason: str = ""


class Receipt(Frozen):
    """Answer to an update that is not a decision. ``run`` is the run that it concerns, where that is news."""

    accepted: bool
    code: str = "ok"
    message: str = ""
    run: str | None = None


class RunChanged(Frozen):
    """Signal ``run_changed`` of a run to its incident; ``seq`` grows, a repeat is ignored.

    ``contain_started`` and ``contain_verified`` count effect steps of phase contain; ``unknown`` steps whose
    outcome nobody knows yet.
    """

    run: str
    seq: int
    status: str
    phase: str | None = None
    contain_started: int = 0
    contain_verified: int = 0
    unknown: int = 0
    outputs_ref: str | None = None
    supersedes: str | None = None
    """The run whose state this one took over: what it reports includes that run's."""
    at: str = ""


class ReviewOpened(Frozen):
    """Signal ``review_opened`` of a run to its incident: ``person`` broke the glass at ``step``, round ``round``.

    ``roles`` own what it let through; the incident commander may review it, too. ``reason`` is the person's.
    """

    run: str
    seq: int
    step: str
    round: int
    person: str
    roles: tuple[str, ...] = ()
    at: str = ""
    reason: str = ""


class ReviewRequest(Frozen):
    """Update ``review`` of an incident: what somebody else finds of a broken glass, with a reason.

    ``verdict`` is ``justified not_justified``; ``roles`` are the person's at that moment, as the desk read them.
    """

    person: str
    roles: tuple[str, ...]
    step: str
    verdict: str
    reason: str
    run: str | None = None


class FactChange(Frozen):
    """A fact with its provenance. ``trust`` is ``person read alert``, strongest first."""

    fact: str
    value: Json = None
    trust: str = "person"
    by: str = ""
    reason: str = ""
    source: str = ""
    at: str = ""
    nonce: str = ""


class FactsSet(Frozen):
    """Signal ``facts_set`` of a run to its incident (``set:`` and ``clocks:`` steps)."""

    run: str
    seq: int
    changes: tuple[FactChange, ...] = ()
    dated: tuple[FactChange, ...] = ()
    """Dated facts of the clocks: ``value`` is an instant."""


class AlertsAttached(Frozen):
    """Signal ``alerts_attached``: at most one per incident each 5 s. ``count`` is the total so far."""

    count: int
    last: str = ""
    facts: tuple[FactChange, ...] = ()


class Attach(Frozen):
    """Update ``attach`` of an incident (also with start): a run that the desk starts at the same time."""

    run: str | None = None
    count: int = 1


class ClockChange(Frozen):
    """Update ``clock``: what a person says of a clock.

    ``verb`` is ``confirm correct submit dismiss handover``; ``at`` the instant for correct and submit;
    ``reason`` is required but for confirm and submit.
    """

    clock: str
    verb: str
    person: str
    at: str | None = None
    reason: str = ""
    nonce: str = ""


class CloseRequest(Frozen):
    """Update ``close``: as ``closed`` or ``false_alarm``."""

    person: str
    status: str = "closed"
    reason: str = ""


class IncidentInput(Frozen):
    """Start of an Incident. ``facts`` holds at least ``id kind severity title opened_at detected_at first_seen
    org``; ``state`` is set by continue-as-new only."""

    incident: str
    facts: FactsSnapshot
    context: RunContext = RunContext()
    queue_prefix: str = "stanch"
    thresholds: Thresholds = Thresholds()
    adopt_after_seconds: float = 2
    state: IncidentState | None = None


class RecordInput(Frozen):
    """Input of ``stanch.record``: all of it is written in one transaction.

    ``snapshot`` is a run's or incident's status for display, ``state`` the run's for a rerun; ``version``
    orders snapshots, so that an older one never overwrites a newer.
    """

    incident: str
    run: str | None = None
    entries: tuple[NewEntry, ...] = ()
    notices: tuple[Notice, ...] = ()
    snapshot: dict[str, Json] | None = None
    state: dict[str, Json] | None = None
    version: int = 0
    sign: bool = False
    """Whether a decision is among the entries, so that the head is signed at once."""


class RecordResult(Frozen):
    """``written`` counts new entries (repeats are free)."""

    written: int = 0


class LoadInput(Frozen):
    """Input of ``stanch.load_outputs``. A ref is ``outcome:KEY`` or ``sha256:HEX``."""

    incident: str
    refs: tuple[str, ...]


class LoadedOutputs(Frozen):
    """Ref to the output stored there."""

    values: dict[str, Json] = Field(default_factory=dict)


class LoadRun(Frozen):
    """Input of ``stanch.load_run``: its result is the saved RunInput."""

    incident: str
    run: str


class ClocksInput(Frozen):
    """Input of ``stanch.compute_clocks``: the incident's facts and dated facts, and what people said."""

    incident: str
    facts: dict[str, Json]
    dated: dict[str, str] = Field(default_factory=dict)
    decisions: dict[str, dict[str, Json]] = Field(default_factory=dict)
    """Clock id to ``{state, at, person, reason}``."""
    now: str


class ClocksResult(Frozen):
    """The incident's clocks, as ``playbooks.clocks`` gives them."""

    clocks: tuple[dict[str, Json], ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)


class DraftsInput(Frozen):
    """Input of ``stanch.write_drafts``: ``wanted`` is a list of (regime, stage), empty for all applicable."""

    incident: str
    run: str
    step: str
    facts: dict[str, Json]
    dated: dict[str, str] = Field(default_factory=dict)
    wanted: tuple[tuple[str, str], ...] = ()
    now: str


class DraftsResult(Frozen):
    """Each draft: ``regime stage due path missing completeness``."""

    drafts: tuple[dict[str, Json], ...] = ()
