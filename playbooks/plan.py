"""RunPlan: the frozen form of a playbook that the interpreter walks.

A plan is compiled once, before its run starts, and never changes: neither an edit of the playbook nor a new
policy or action version touches a run in flight. ``plan_version`` guards the shape.

Authored values stay as written: a string that is exactly one ``{{ expr }}`` keeps the type of its result,
any other string with braces renders to text. ``expr`` fields (``when``, ``until``, conditions) hold the bare
expression without braces.
"""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from playbooks.contract import ActionFacts, Frozen, Json, RunContext
from playbooks.policy import Policy

PLAN_VERSION = 1
MAX_NUMBER = 2**53 - 1
"""Of a number that every reader of JSON reads alike."""

_DURATION = re.compile(r"[0-9]{1,9}[smhd]")


class PlaybookRef(Frozen):
    """Which playbook, exactly. ``digest`` is the SHA-256 of the file."""

    id: str
    version: str
    title: str
    digest: str


def fits(kind: str, value: Json, options: tuple[str, ...] = ()) -> bool:
    """Whether a JSON value is of a declared type of an input or form field."""
    if kind.startswith("list["):
        return isinstance(value, list) and all(fits(kind[5:-1], item, options) for item in value)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("integer", "number"):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return (whole or (kind == "number" and isinstance(value, float))) and abs(value) <= MAX_NUMBER
    if not isinstance(value, str) or not _is_text(value):
        return False
    if kind == "choice":
        return value in options
    if kind == "datetime":
        return _is_instant(value)
    return kind != "duration" or _DURATION.fullmatch(value) is not None


def _is_text(value: str) -> bool:
    """Whether a text can be written at all: half a character has no bytes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_instant(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


class InputFacts(Frozen):
    """One declared input or form field: ``string integer number boolean datetime duration choice`` or
    ``list[TYPE]``."""

    type: str
    required: bool = True
    default: Json = None
    options: tuple[str, ...] = ()
    description: str = ""


class OutputFacts(Frozen):
    """One declared output of a playbook; types as of inputs."""

    type: str
    value: Json = None


class Retry(Frozen):
    """``times`` further attempts after the first; waits ``every_seconds`` times ``backoff`` to the n."""

    times: int = 0
    every_seconds: float = 10
    backoff: float = 2


class Quorum(Frozen):
    """Who decides: ``count`` people of any of ``roles``, or ``each`` role its own number."""

    roles: tuple[str, ...] = ()
    count: int = 1
    each: dict[str, int] = Field(default_factory=dict)
    deny_count: int = 1


class Escalate(Frozen):
    """One link of a time-out chain: add ``role``, page it, and wait again."""

    role: str
    within_seconds: float


class Terminal(Frozen):
    """How a chain ends: ``deny stop continue unanswered default``; ``values`` go with ``default``."""

    outcome: Literal["deny", "stop", "continue", "unanswered", "default"]
    values: dict[str, Json] = Field(default_factory=dict)


class Waiting(Frozen):
    """How long a step waits for a person or a condition, and what follows silence."""

    within_seconds: float
    chain: tuple[Escalate, ...] = ()
    terminal: Terminal


class ActionStep(Frozen):
    kind: Literal["action"] = "action"
    name: str
    with_: dict[str, Json] = Field(default_factory=dict)
    covered_by: str | None = None
    """Path of the approve step that names it, if one does."""


class WorkflowStep(ActionStep):
    """An effect like an action, named ``workflow.TYPE``: it starts somebody else's workflow; then the step waits for
    its end."""

    kind: Literal["workflow"] = "workflow"  # type: ignore[assignment]


class ApproveStep(Frozen):
    kind: Literal["approve"] = "approve"
    covers: tuple[str, ...]
    """Paths of the covered action steps, blocks already expanded, in order; a covered ``run`` is its path."""
    names: tuple[str, ...] = ()
    """As the author named them."""
    by: Quorum
    waiting: Waiting
    on_deny: Literal["continue", "stop"] = "continue"
    valid_for_seconds: float = 3600


class AskStep(Frozen):
    kind: Literal["ask"] = "ask"
    text: str
    by: Quorum
    form: dict[str, InputFacts]
    waiting: Waiting
    fills_inputs: bool = False
    """Generated for inputs that a route could not fill: the answers become the frame's inputs."""


class Check(Frozen):
    """A read action repeated until ``until`` (which sees ``result``) holds."""

    action: str
    with_: dict[str, Json] = Field(default_factory=dict)
    until: str
    every_seconds: float


class HumanStep(Frozen):
    kind: Literal["human"] = "human"
    text: str
    owner: str
    verify: Check | None = None
    waiting: Waiting


class WaitStep(Frozen):
    kind: Literal["wait"] = "wait"
    for_seconds: float | str | None = None
    """Seconds, or a template that gives a duration."""
    until: str | None = None
    every_seconds: float | None = None
    event: str | None = None
    waiting: Waiting | None = None


class IfStep(Frozen):
    kind: Literal["if"] = "if"
    condition: str
    then: tuple["PlannedStep", ...]
    otherwise: tuple["PlannedStep", ...] = ()


class Choice(Frozen):
    condition: str
    steps: tuple["PlannedStep", ...]


class ChooseStep(Frozen):
    kind: Literal["choose"] = "choose"
    choices: tuple[Choice, ...]
    """The first whose condition holds is taken."""
    otherwise: tuple["PlannedStep", ...] = ()


class ParallelStep(Frozen):
    kind: Literal["parallel"] = "parallel"
    branches: dict[str, tuple["PlannedStep", ...]]
    fail_fast: bool = False


class DoStep(Frozen):
    kind: Literal["do"] = "do"
    steps: tuple["PlannedStep", ...]


class RepeatStep(Frozen):
    kind: Literal["repeat"] = "repeat"
    steps: tuple["PlannedStep", ...]
    """One pass."""
    until: str
    at_most: int
    every_seconds: float = 0
    """Wait between two passes."""


class RunStep(Frozen):
    kind: Literal["run"] = "run"
    with_: dict[str, Json] = Field(default_factory=dict)
    covered_by: str | None = None
    """Path of the approve step that names it, if one does: it covers the start, not the steps."""
    frame: "Frame"


class SetStep(Frozen):
    kind: Literal["set"] = "set"
    facts: dict[str, Json]
    """Fact name without ``incident.`` to value."""


class ClocksStep(Frozen):
    kind: Literal["clocks"] = "clocks"
    fact: str
    at: Json


class DraftWanted(Frozen):
    regime: str
    stage: str


class DraftStep(Frozen):
    kind: Literal["draft"] = "draft"
    applicable: bool = False
    items: tuple[DraftWanted, ...] = ()


class TellStep(Frozen):
    kind: Literal["tell"] = "tell"
    text: str
    to: tuple[str, ...]
    """``channel``, ``mail``, ``page`` or role names."""
    urgency: str = "normal"


class NoteStep(Frozen):
    kind: Literal["note"] = "note"
    text: str


class RequireStep(Frozen):
    kind: Literal["require"] = "require"
    condition: str
    message: str


class StopStep(Frozen):
    kind: Literal["stop"] = "stop"
    reason: str


Spec = Annotated[
    ActionStep
    | WorkflowStep
    | ApproveStep
    | AskStep
    | HumanStep
    | WaitStep
    | IfStep
    | ChooseStep
    | ParallelStep
    | DoStep
    | RepeatStep
    | RunStep
    | SetStep
    | ClocksStep
    | DraftStep
    | TellStep
    | NoteStep
    | RequireStep
    | StopStep,
    Field(discriminator="kind"),
]


class PlannedStep(Frozen):
    """One step. ``path`` is unique in the plan: the frame's prefix (``parent/``) and the id, or, for a step
    without one, its place (``@3`` at the top, ``@3.jobs.0`` in a branch, ``@always.2``)."""

    id: str | None = None
    path: str
    title: str = ""
    phase: str | None = None
    owner: str | None = None
    when: str | None = None
    for_each: Json = None
    as_: str = "item"
    at_once: int = 10
    timeout_seconds: float | None = None
    retry: Retry | None = None
    on_failure: Literal["stop", "continue", "ask", "undo"] = "stop"
    no_undo: str | None = None
    labels: dict[str, Json] = Field(default_factory=dict)
    needs_inputs: tuple[str, ...] = ()
    """Inputs without which the step is skipped (they were asked for, and may stay unanswered)."""
    reads: tuple[str, ...] = ()
    """Paths of the steps whose outputs its expressions read, for outputs that live by reference."""
    line: int = 0
    spec: Spec

    @property
    def kind(self) -> str:
        """The step's kind, as written in the playbook."""
        return self.spec.kind


class Frame(Frozen):
    """One playbook within a plan: its own names, its own ``always``."""

    playbook: PlaybookRef
    prefix: str = ""
    """Of its steps' paths: empty for the main playbook, ``parent/`` for a sub-playbook."""
    inputs: dict[str, InputFacts] = Field(default_factory=dict)
    steps: tuple[PlannedStep, ...] = ()
    always: tuple[PlannedStep, ...] = ()
    outputs: dict[str, OutputFacts] = Field(default_factory=dict)
    """Evaluated where ``steps`` have ended well, before ``always``."""
    output_reads: tuple[str, ...] = ()
    """Paths of the steps whose outputs the outputs read."""


class RunPlan(Frozen):
    """What one run will do. Its digest is SHA-256 over the JCS of ``model_dump(mode="json")``."""

    plan_version: int = PLAN_VERSION
    context: RunContext = RunContext()
    frame: Frame
    values: dict[str, Json] = Field(default_factory=dict)
    """The main frame's inputs, defaults filled in; an input that is still to be asked for is absent."""
    actions: dict[str, ActionFacts] = Field(default_factory=dict)
    policy: Policy = Policy()


for _model in (IfStep, Choice, ChooseStep, ParallelStep, DoStep, RepeatStep, RunStep, PlannedStep, Frame, RunPlan):
    _model.model_rebuild()
