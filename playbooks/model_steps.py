"""The kinds of steps an author writes. A step has exactly one kind key; its class is found by that key.

Keys that are words of Python carry an underscore here (``with_``) and none in the file.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, StrictInt, StrictStr, Tag, model_validator

from playbooks.contract import Json
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
    Slug,
    Text,
    Undo,
    chain,
    wrong,
)

Loc = tuple[str | int, ...]
TAG = "kind:"
LATER_KINDS = frozenset(("choose", "repeat", "workflow"))
"""Kinds of the language that this version does not run: refused, never ignored."""

Phase = Literal["triage", "contain", "eradicate", "recover", "notify", "learn"]
Parameters = dict[StrictStr, Json]


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


class Verify(Authored):
    """How Stanch sees for itself that a person's work is done."""

    action: ActionName = Field(description="A read action")
    with_: Parameters = Field(default={}, alias="with", description="Its parameters")
    until: Condition = Field(description="Holds when the work is done; sees `result`")
    every: Duration = Field(default="1m", description="How often to look")


class HumanStep(BaseStep):
    """Something a person does outside of Stanch and then confirms."""

    kind: ClassVar[str] = "human"
    human: Text = Field(description="What to do; may contain expressions")
    owner: Role = Field(description="Role that does it")
    verify: Verify | None = Field(default=None, description="Checked after the owner says done")
    within: Duration = Field(description="How long to wait")
    on_timeout: chain("continue", "stop") = Field(description="What follows silence")  # type: ignore[valid-type]


class WaitFor(Authored):
    """Either a length of time, or a condition."""

    for_: StrictStr | None = Field(default=None, alias="for", description="Duration, or an expression that gives one")
    until: Condition | None = Field(default=None, description="Condition that ends the wait")
    every: Duration | None = Field(default=None, description="How often the condition is evaluated, else `1m`")

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if isinstance(value, dict):
            if "event" in value:
                said = "Waiting for an event is not in this version of Stanch."
                raise wrong("not_in_this_version", said, at=("event",), key=True)
            if ("for" in value) == ("until" in value):
                raise wrong("missing_key", "A wait takes either for or until.", "Write {for: 5m}.")
            if "for" in value and "every" in value:
                raise wrong("bad_value", "every goes with until, not with for.", at=("every",), key=True)
            if isinstance(value.get("for"), str) and "{{" not in value["for"]:
                Timed.model_validate({"for": value["for"]})
        return value


class Timed(Authored):
    """A literal length of time."""

    for_: Duration = Field(alias="for", description="Such as 5m")


class WaitStep(BaseStep):
    """Let time pass, or wait until something holds."""

    kind: ClassVar[str] = "wait"
    wait: WaitFor = Field(description="`{for: D}` or `{until: EXPR, every: D}`")
    within: Duration | None = Field(default=None, description="With until: how long to wait at most")
    on_timeout: chain("continue", "stop") | None = Field(  # type: ignore[valid-type]
        default=None, description="With until: what follows if it never holds"
    )

    @model_validator(mode="after")
    def _ends(self) -> "WaitStep":
        if self.wait.until is not None and (self.within is None or self.on_timeout is None):
            missing = "within" if self.within is None else "on_timeout"
            raise wrong("wait_without_end", f"A wait for a condition needs {missing}.", "Or it might never end.")
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


class DoStep(BaseStep):
    """Steps as a group, for `for_each`, `when` or `timeout`."""

    kind: ClassVar[str] = "do"
    do: "Steps" = Field(description="The steps, in order")


class SubPlaybook(Authored):
    """Another playbook, run within this run."""

    playbook: Slug = Field(description="Its id")
    with_: Parameters = Field(default={}, alias="with", description="Its inputs")


class RunStep(BaseStep):
    """Run another playbook as a part of this one; it sees only its inputs, `incident` and `run`."""

    kind: ClassVar[str] = "run"
    run: SubPlaybook = Field(description="`{playbook: ID, with: {…}}`")


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


class Dated(Authored):
    """A fact with an instant from which legal clocks count."""

    fact: Name = Field(description="Name of the fact, without `incident.`")
    at: Json = Field(description="The instant, RFC 3339, or an expression that gives one")


class ClocksStep(BaseStep):
    """Add or correct a dated fact from which clocks count."""

    kind: ClassVar[str] = "clocks"
    clocks: Dated = Field(description="`{fact: NAME, at: EXPR}`")


class Wanted(Authored):
    """One draft of a report to an authority or to people."""

    regime: StrictStr = Field(description="Id of the regime, such as `eu_gdpr_art33`")
    stage: StrictStr = Field(description="Stage of the regime")


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
    ActionStep, ApproveStep, AskStep, HumanStep, WaitStep, ParallelStep, IfStep, DoStep, RunStep,
    SetStep, ClocksStep, DraftStep, TellStep, NoteStep, RequireStep, StopStep,
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
    | Annotated[DoStep, Tag("kind:do")]
    | Annotated[RunStep, Tag("kind:run")]
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

for _model in (ParallelStep, IfStep, DoStep):
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
    elif isinstance(step, DoStep):
        yield ("do",), step.do


def walk(steps: Sequence[BaseStep], at: Loc) -> Iterator[tuple[Loc, BaseStep]]:
    """Every step of a block and of the blocks inside it, in the order of the file, each with its place."""
    for number, step in enumerate(steps):
        here = (*at, number)
        yield here, step
        for inner, block in blocks(step):
            yield from walk(block, (*here, *inner))
