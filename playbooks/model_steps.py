"""The kinds of steps an author writes. A step has exactly one kind key; its class is found by that key.

Keys that are words of Python carry an underscore here (``with_``) and none in the file.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, StrictInt, Tag, model_validator

from playbooks.contract import FOREIGN, Json
from playbooks.model_parts import Dated, Foreign, Parameters, SubPlaybook, Verify, WaitFor, Wanted
from playbooks.model_values import (
    ActionName,
    Authored,
    By,
    Condition,
    Duration,
    FactName,
    Flag,
    InputField,
    Labels,
    LoopName,
    Name,
    OutputName,
    Recipients,
    Retry,
    Role,
    Text,
    Undo,
    chain,
    wrong,
)

Loc = tuple[str | int, ...]
TAG = "kind:"
LATER_KINDS = frozenset[str]()
"""Kinds of the language that this version does not run: refused, never ignored."""

Phase = Literal["triage", "contain", "eradicate", "recover", "notify", "learn"]


class BaseStep(Authored):
    """What every step may say."""

    kind: ClassVar[str]

    id: Name | None = Field(default=None, description="Unique in the file; expressions read `steps.ID.FIELD`")
    title: Text | None = Field(default=None, description="What people see; else the kind and its subject")
    phase: Phase | None = Field(default=None, description="Part of the response it belongs to")
    owner: Role | None = Field(default=None, description="Role that is asked when it fails")
    when: Condition | None = Field(
        default=None, description="Evaluated once, before `for_each`; false skips the step and leaves its output unset"
    )
    for_each: Json = Field(default=None, description="List of at most 500 items, or an expression that gives one")
    as_: LoopName | None = Field(default=None, alias="as", description="Name of the item in expressions, else `item`")
    at_once: Annotated[StrictInt, Field(ge=1, le=500)] = Field(default=10, description="Items at the same time")
    timeout: Duration | None = Field(default=None, description="For the whole step with its retries")
    retry: Retry | None = Field(default=None, description="Further attempts after a failure")
    on_failure: Literal["stop", "continue", "ask", "undo"] | None = Field(
        default=None, description="Default: `ask` from risk contain up, else `stop`"
    )
    labels: Labels = Field(default={}, description="Free labels, such as techniques of a framework")
    undo: Undo | None = Field(default=None, description="`{no: REASON}` opts out of undo")

    @model_validator(mode="after")
    def _loop(self) -> "BaseStep":
        given = self.model_fields_set & {"as_", "at_once"}
        if given and "for_each" not in self.model_fields_set:
            name = sorted(given)[0].rstrip("_")
            raise wrong("bad_value", f"{name} has a meaning only with for_each.", at=(name,), key=True)
        if "for_each" in self.model_fields_set and not isinstance(self.for_each, list | str):
            raise wrong("wrong_type", "for_each takes a list, or an expression that gives one.", at=("for_each",))
        return self


class ActionStep(BaseStep):
    """Do something on a system: look, contain, change."""

    kind: ClassVar[str] = "action"
    action: ActionName = Field(description="Name of the action, `SYSTEM.VERB_NOUN`")
    with_: Parameters = Field(default={}, alias="with", description="Its parameters")


class ApproveStep(BaseStep):
    """Ask people whether the named steps may run, exactly as shown to them."""

    kind: ClassVar[str] = "approve"
    approve: Annotated[list[Name], Field(min_length=1)] = Field(description="Ids of the steps or blocks it covers")
    by: By = Field(description="Who decides; policy may ask for more")
    within: Duration = Field(description="How long to wait for the decision")
    on_timeout: chain("deny", "stop") = Field(description="What follows silence")  # type: ignore[valid-type]
    on_deny: Literal["continue", "stop"] = Field(default="continue", description="Whether a denial ends the run")
    valid_for: Duration = Field(default="1h", description="How long the approval holds from the decision")


class AskStep(BaseStep):
    """Ask people for facts, by a form."""

    kind: ClassVar[str] = "ask"
    ask: Text = Field(description="The question; may contain expressions")
    by: By = Field(description="Who answers")
    form: Annotated[dict[OutputName, InputField], Field(min_length=1)] = Field(description="Its fields by name")
    within: Duration = Field(description="How long to wait for the answer")
    on_timeout: chain("default", "unanswered", "stop") = Field(  # type: ignore[valid-type]
        description="What follows silence"
    )


class HumanStep(BaseStep):
    """Something a person does outside of Stanch and then confirms."""

    kind: ClassVar[str] = "human"
    human: Text = Field(description="What to do; may contain expressions")
    owner: Role = Field(description="Role that does it")
    verify: Verify | None = Field(default=None, description="Checked after the owner says done")
    within: Duration = Field(description="How long to wait")
    on_timeout: chain("continue", "stop") = Field(description="What follows silence")  # type: ignore[valid-type]


class WaitStep(BaseStep):
    """Let time pass, or wait until something holds or an event is delivered to the run."""

    kind: ClassVar[str] = "wait"
    wait: WaitFor = Field(description="`{for: D}`, `{until: EXPR, every: D}` or `{event: NAME}`")
    within: Duration | None = Field(default=None, description="With until and event: how long to wait at most")
    on_timeout: chain("continue", "stop") | None = Field(  # type: ignore[valid-type]
        default=None, description="With until and event: what follows if that is too short"
    )

    @model_validator(mode="after")
    def _ends(self) -> "WaitStep":
        if self.wait.for_ is None and (self.within is None or self.on_timeout is None):
            missing = "within" if self.within is None else "on_timeout"
            what = "a condition" if self.wait.event is None else "an event"
            raise wrong("wait_without_end", f"A wait for {what} needs {missing}.", "Or it might never end.")
        if self.wait.for_ is not None and (self.within is not None or self.on_timeout is not None):
            at = ("within",) if self.within is not None else ("on_timeout",)
            said = "A wait for a length of time ends by itself; within and on_timeout have no meaning here."
            raise wrong("bad_value", said, at=at, key=True)
        if self.on_timeout is not None and len(self.on_timeout) > 1:
            said = "Nobody can be asked to end a wait; give on_timeout one entry."
            raise wrong("bad_value", said, at=("on_timeout",))
        return self


class ParallelStep(BaseStep):
    """Branches that run side by side."""

    kind: ClassVar[str] = "parallel"
    parallel: Annotated[dict[Name, "Steps"], Field(min_length=1)] = Field(description="Steps by name of branch")
    fail_fast: Flag = Field(default=False, description="Whether a failing branch stops its siblings from going on")


class IfStep(BaseStep):
    """One of two ways."""

    kind: ClassVar[str] = "if"
    if_: Condition = Field(alias="if", description="Condition")
    then: "Steps" = Field(description="Steps if it holds")
    else_: "Steps | None" = Field(default=None, alias="else", description="Steps if it does not")


class Way(Authored):
    """One way of a choice."""

    when: Condition = Field(description="Condition")
    do: "Steps" = Field(description="Steps if it is the first that holds")


class Otherwise(Authored):
    """The last way of a choice, where no condition held."""

    else_: "Steps" = Field(alias="else", description="Steps if no condition holds; only as the last entry")


def _way_kind(value: Any) -> str:
    if isinstance(value, dict):
        return TAG + ("otherwise" if "else" in value and not {"when", "do"} <= value.keys() else "way")
    return TAG + ("otherwise" if isinstance(value, Otherwise) else "way")


class ChooseStep(BaseStep):
    """The first of several ways whose condition holds; none, if none does."""

    kind: ClassVar[str] = "choose"
    choose: Annotated[
        list[
            Annotated[
                Annotated[Way, Tag(f"{TAG}way")] | Annotated[Otherwise, Tag(f"{TAG}otherwise")],
                Discriminator(_way_kind),
            ]
        ],
        Field(min_length=1),
    ] = Field(description="List of `{when, do}`, in order; the last may be `{else: […]}`")

    @model_validator(mode="after")
    def _else_is_last(self) -> "ChooseStep":
        for number, way in enumerate(self.choose[:-1]):
            if isinstance(way, Otherwise):
                said = "Nothing after else can ever be chosen."
                raise wrong("bad_value", said, "Put it last.", at=("choose", number, "else"), key=True)
        if isinstance(self.choose[0], Otherwise):
            said = "There is nothing to choose from."
            raise wrong("bad_value", said, "Put a {when, do} before it.", at=("choose", 0, "else"), key=True)
        return self


class DoStep(BaseStep):
    """Steps as a group, for `for_each`, `when` or `timeout`."""

    kind: ClassVar[str] = "do"
    do: "Steps" = Field(description="The steps, in order")


class Repeat(Authored):
    """Steps that run again until something holds, a limited number of times."""

    do: "Steps" = Field(description="The steps of one pass, in order")
    until: Condition = Field(description="Evaluated after each pass, whose steps it sees; ends the repeat")
    at_most: Annotated[StrictInt, Field(ge=1, le=1000)] = Field(description="Passes after which it fails, 1 to 1000")
    every: Duration | None = Field(default=None, description="Wait between two passes, else none")


class RepeatStep(BaseStep):
    """Steps that run again until something holds. It fails with `repeat_spent` when that takes too many passes."""

    kind: ClassVar[str] = "repeat"
    repeat: Repeat = Field(description="`{do: [steps], until: EXPR, at_most: N, every: D}`")


class RunStep(BaseStep):
    """Run another playbook as a part of this one; it sees only its inputs, `incident` and `run`."""

    kind: ClassVar[str] = "run"
    run: SubPlaybook = Field(description="`{playbook: ID, with: {…}}`")


class WorkflowStep(BaseStep):
    """Start a workflow of somebody else's, and wait for its end. Policy sees it as an effect of its declared risk."""

    kind: ClassVar[str] = "workflow"
    workflow: Foreign = Field(description="`{type: NAME, with: {…}}`; the type is declared in the settings")

    @property
    def action(self) -> str:
        """Name of the action that starts it."""
        return f"{FOREIGN}.{self.workflow.type}"

    @property
    def with_(self) -> Parameters:
        """Its inputs."""
        return self.workflow.with_


class SetStep(BaseStep):
    """Set facts of the incident."""

    kind: ClassVar[str] = "set"
    set: Annotated[dict[FactName, Json], Field(min_length=1)] = Field(description="`incident.NAME` to value")

    @model_validator(mode="after")
    def _values(self) -> "SetStep":
        for name, value in self.set.items():
            if value is None:
                raise wrong("bad_value", f"{name} has no value.", "Only a person can clear a fact.", at=("set", name))
        return self


class ClocksStep(BaseStep):
    """Add or correct a dated fact from which clocks count."""

    kind: ClassVar[str] = "clocks"
    clocks: Dated = Field(description="`{fact: NAME, at: EXPR}`")


def _draft_kind(value: Any) -> str:
    return "word" if isinstance(value, str) else "list"


class DraftStep(BaseStep):
    """Write drafts of reports. Nothing is ever sent."""

    kind: ClassVar[str] = "draft"
    draft: Annotated[
        Annotated[Literal["applicable"], Tag(f"{TAG}word")]
        | Annotated[list[Wanted], Field(min_length=1), Tag(f"{TAG}list")],
        Discriminator(lambda value: TAG + _draft_kind(value)),
    ] = Field(description="`applicable`, or a list of `{regime, stage}`")


class TellStep(BaseStep):
    """Tell people something."""

    kind: ClassVar[str] = "tell"
    tell: Text = Field(description="The text; may contain expressions")
    to: Recipients = Field(description="`channel`, `mail`, `page` or roles")
    urgency: Literal["low", "normal", "high", "page"] = Field(default="normal", description="How loud")


class NoteStep(BaseStep):
    """Write a line into the incident's record."""

    kind: ClassVar[str] = "note"
    note: Text = Field(description="The text; may contain expressions")


class RequireStep(BaseStep):
    """End the run as failed unless something holds."""

    kind: ClassVar[str] = "require"
    require: Condition = Field(description="Condition")
    message: Text = Field(description="What to say if it does not hold")


class StopStep(BaseStep):
    """End the run, done."""

    kind: ClassVar[str] = "stop"
    stop: Text = Field(description="The reason")


STEP_CLASSES: tuple[type[BaseStep], ...] = (
    ActionStep, ApproveStep, AskStep, HumanStep, WaitStep, ParallelStep, IfStep, ChooseStep, DoStep, RepeatStep,
    RunStep, WorkflowStep, SetStep, ClocksStep, DraftStep, TellStep, NoteStep, RequireStep, StopStep,
)  # fmt: skip
KINDS: dict[str, type[BaseStep]] = {model.kind: model for model in STEP_CLASSES}


def kinds_of(step: Any) -> list[str]:
    """The kind keys among a step's keys."""
    return [key for key in step if key in KINDS or key in LATER_KINDS] if isinstance(step, dict) else []


def _tag(value: Any) -> str | None:
    if isinstance(value, BaseStep):
        return TAG + value.kind
    found = kinds_of(value)
    return TAG + found[0] if len(found) == 1 and found[0] in KINDS else None


Step = Annotated[
    Annotated[ActionStep, Tag("kind:action")]
    | Annotated[ApproveStep, Tag("kind:approve")]
    | Annotated[AskStep, Tag("kind:ask")]
    | Annotated[HumanStep, Tag("kind:human")]
    | Annotated[WaitStep, Tag("kind:wait")]
    | Annotated[ParallelStep, Tag("kind:parallel")]
    | Annotated[IfStep, Tag("kind:if")]
    | Annotated[ChooseStep, Tag("kind:choose")]
    | Annotated[DoStep, Tag("kind:do")]
    | Annotated[RepeatStep, Tag("kind:repeat")]
    | Annotated[RunStep, Tag("kind:run")]
    | Annotated[WorkflowStep, Tag("kind:workflow")]
    | Annotated[SetStep, Tag("kind:set")]
    | Annotated[ClocksStep, Tag("kind:clocks")]
    | Annotated[DraftStep, Tag("kind:draft")]
    | Annotated[TellStep, Tag("kind:tell")]
    | Annotated[NoteStep, Tag("kind:note")]
    | Annotated[RequireStep, Tag("kind:require")]
    | Annotated[StopStep, Tag("kind:stop")],
    Discriminator(_tag, custom_error_type="step_kind", custom_error_message="A step has exactly one kind"),
]
Steps = Annotated[list[Step], Field(min_length=1)]

for _model in (ParallelStep, IfStep, Way, Otherwise, ChooseStep, DoStep, Repeat, RepeatStep):
    _model.model_rebuild()


def blocks(step: BaseStep) -> Iterator[tuple[Loc, Sequence[BaseStep]]]:
    """The blocks of steps inside a step, each with its place relative to the step."""
    if isinstance(step, ParallelStep):
        for name, branch in step.parallel.items():
            yield ("parallel", name), branch
    elif isinstance(step, IfStep):
        yield ("then",), step.then
        if step.else_ is not None:
            yield ("else",), step.else_
    elif isinstance(step, ChooseStep):
        for number, way in enumerate(step.choose):
            yield ("choose", number, *(("else",) if isinstance(way, Otherwise) else ("do",))), _steps_of(way)
    elif isinstance(step, DoStep):
        yield ("do",), step.do
    elif isinstance(step, RepeatStep):
        yield ("repeat", "do"), step.repeat.do


def _steps_of(way: Way | Otherwise) -> Sequence[BaseStep]:
    return way.else_ if isinstance(way, Otherwise) else way.do


def walk(steps: Sequence[BaseStep], at: Loc) -> Iterator[tuple[Loc, BaseStep]]:
    """Every step of a block and of the blocks inside it, in the order of the file, each with its place."""
    for number, step in enumerate(steps):
        here = (*at, number)
        yield here, step
        for inner, block in blocks(step):
            yield from walk(block, (*here, *inner))
