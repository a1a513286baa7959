"""The outline of a playbook: every step by its place, what an ``approve`` covers, which expressions a step reads.

Shared by the review (which judges) and the compiler (which writes the plan), so that both mean the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from playbooks.contract import Json
from playbooks.expr_names import Read, reads
from playbooks.expr_text import ExprError, templates
from playbooks.loader import Source
from playbooks.model_steps import (
    ActionStep,
    ApproveStep,
    AskStep,
    BaseStep,
    ChooseStep,
    ClocksStep,
    HumanStep,
    IfStep,
    Loc,
    NoteStep,
    Otherwise,
    RepeatStep,
    RequireStep,
    RunStep,
    SetStep,
    StopStep,
    TellStep,
    WaitStep,
    WorkflowStep,
    blocks,
)


class Part(NamedTuple):
    """Something of a step that may hold expressions: a ``value`` with templates, or a bare ``condition``
    (``until`` of a verify also sees ``result``). ``at`` is relative to the step."""

    at: Loc
    sort: Literal["value", "condition", "until"]
    value: Json


def parts(step: BaseStep) -> Iterator[Part]:
    """The parts of a step itself that may hold expressions; not those of the steps inside of it."""
    if step.when is not None:
        yield Part(("when",), "condition", step.when)
    if step.for_each is not None:
        yield Part(("for_each",), "value", step.for_each)
    yield from _of_kind(step)


def _of_kind(step: BaseStep) -> Iterator[Part]:
    match step:
        case ActionStep():
            yield Part(("with_",), "value", step.with_)
        case WorkflowStep():
            yield Part(("workflow", "with_"), "value", step.with_)
        case AskStep():
            yield Part(("ask",), "value", step.ask)
            for name, field in step.form.items():
                yield Part(("form", name, "default"), "value", field.default)
            yield Part(("on_timeout", len(step.on_timeout) - 1, "default"), "value", step.on_timeout[-1].default)
        case HumanStep():
            yield Part(("human",), "value", step.human)
            if step.verify is not None:
                yield Part(("verify", "with_"), "value", step.verify.with_)
                yield Part(("verify", "until"), "until", step.verify.until)
        case WaitStep():
            if step.wait.until is not None:
                yield Part(("wait", "until"), "condition", step.wait.until)
            elif step.wait.for_ is not None:
                yield Part(("wait", "for_"), "value", step.wait.for_)
        case IfStep():
            yield Part(("if_",), "condition", step.if_)
        case ChooseStep():
            for number, way in enumerate(step.choose):
                if not isinstance(way, Otherwise):
                    yield Part(("choose", number, "when"), "condition", way.when)
        case RepeatStep():
            yield Part(("repeat", "until"), "condition", step.repeat.until)
        case RunStep():
            yield Part(("run", "with_"), "value", step.run.with_)
        case SetStep():
            yield Part(("set",), "value", step.set)
        case ClocksStep():
            yield Part(("clocks", "at"), "value", step.clocks.at)
        case TellStep():
            yield Part(("tell",), "value", step.tell)
        case NoteStep():
            yield Part(("note",), "value", step.note)
        case RequireStep():
            yield Part(("require",), "condition", step.require)
            yield Part(("message",), "value", step.message)
        case StopStep():
            yield Part(("stop",), "value", step.stop)


def sources(part: Part) -> list[tuple[Loc, str]]:
    """The expressions of a part, each with its place relative to the step. Text that is no template is skipped."""
    if part.sort == "value":
        return list(_sources(part.at, part.value))
    return [(part.at, part.value)]


def _sources(at: Loc, value: Json) -> Iterator[tuple[Loc, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _sources((*at, key), item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _sources((*at, number), item)
    elif isinstance(value, str):
        try:
            found = list(templates(value))
        except ExprError:
            return
        yield from ((at, source) for source in found)


def reads_of(step: BaseStep) -> list[tuple[Loc, Read]]:
    """What a step's own expressions read; those that leave the grammar read nothing."""
    return [found for part in parts(step) for found in _read_by(sources(part))]


def reads_in(at: Loc, value: Json) -> list[tuple[Loc, Read]]:
    """What the templates within a value read."""
    return list(_read_by(_sources(at, value)))


def _read_by(found: Iterable[tuple[Loc, str]]) -> Iterator[tuple[Loc, Read]]:
    for at, source in found:
        try:
            yield from [(at, read) for read in reads(source)]
        except ExprError:
            continue


class Alternative(NamedTuple):
    """One of the ways on from an ``if`` or a ``choose``: the block at ``at``, relative to the step (both empty where
    none runs), and the conditions that decided for it, each with what it came to."""

    at: Loc
    block: Sequence[BaseStep]
    because: tuple[tuple[str, bool], ...]


def alternatives(step: BaseStep) -> list[Alternative]:
    """The ways on from a step of which exactly one is taken; none if the step does not choose."""
    if isinstance(step, IfStep):
        no = Alternative(("else",) if step.else_ else (), step.else_ or (), ((step.if_, False),))
        return [Alternative(("then",), step.then, ((step.if_, True),)), no]
    if not isinstance(step, ChooseStep):
        return []
    found, failed = list[Alternative](), tuple[tuple[str, bool], ...]()
    for number, way in enumerate(step.choose):
        if isinstance(way, Otherwise):
            return [*found, Alternative(("choose", number, "else"), way.else_, failed)]
        found.append(Alternative(("choose", number, "do"), way.do, (*failed, (way.when, True))))
        failed = (*failed, (way.when, False))
    return [*found, Alternative((), (), failed)]


class Outline:
    """Places of a playbook's steps, and who covers whom."""

    def __init__(self, source: Source) -> None:
        """Walk it once."""
        self.source = source
        self.steps: dict[Loc, BaseStep] = dict(source.playbook.walk())
        self.order: dict[Loc, int] = {loc: number for number, loc in enumerate(self.steps)}
        self.by_id: dict[str, Loc] = {step.id: loc for loc, step in self.steps.items() if step.id is not None}
        self._leaves: dict[Loc, list[Loc]] = {}
        self.covered: dict[Loc, Loc] = {}
        """Place of an action, workflow or run step to that of the approve step that covers it, the first if several."""
        self.beyond: dict[Loc, Loc] = {}
        """The same of those that an approve step names from outside of their repeat, and so does not cover: each pass
        asks anew."""
        self.missed: dict[Loc, Loc] = {}
        """The same of those that an approve step names though it does not surely stand before them."""
        for loc, step in self.steps.items():
            if isinstance(step, ApproveStep):
                for named in self._named(loc):
                    found = self.beyond if self._repeats_between(loc, named) else self.covered
                    found.setdefault(named, loc)
                for named in self._misses(loc, step):
                    self.missed.setdefault(named, loc)

    def covers(self, approve: Loc) -> list[Loc]:
        """Places of the action, workflow and run steps that an approve step names, blocks expanded, in its order; only
        those that it stands before, in the same pass."""
        return [loc for loc in self._named(approve) if not self._repeats_between(approve, loc)]

    def _named(self, approve: Loc) -> list[Loc]:
        step = self.steps[approve]
        assert isinstance(step, ApproveStep)
        named = [self.by_id[name] for name in step.approve if name in self.by_id]
        found = [leaf for loc in named if dominates(approve, loc) for leaf in self.leaves(loc)]
        return list(dict.fromkeys(found))

    def _misses(self, approve: Loc, step: ApproveStep) -> Iterator[Loc]:
        for loc in (self.by_id[name] for name in step.approve if name in self.by_id):
            if not dominates(approve, loc) and approve[: len(loc)] != loc:
                yield from self.leaves(loc)

    def leaves(self, loc: Loc) -> list[Loc]:
        """The action, workflow and run steps at and under a place."""
        if loc not in self._leaves:
            self._leaves[loc] = list(self._find_leaves(loc))
        return self._leaves[loc]

    def _find_leaves(self, loc: Loc) -> Iterator[Loc]:
        step = self.steps[loc]
        if isinstance(step, ActionStep | WorkflowStep | RunStep):
            yield loc
        for inner, block in blocks(step):
            for number in range(len(block)):
                yield from self.leaves((*loc, *inner, number))

    def _repeats_between(self, approve: Loc, covered: Loc) -> bool:
        return any(isinstance(self.steps[loc], RepeatStep) for loc in self.between(approve, covered))

    def between(self, approve: Loc, covered: Loc) -> list[Loc]:
        """The places of the blocks around a covered step that do not also enclose its approve step, outermost
        first, and of the step itself."""
        return [loc for loc in enclosing(covered) if len(loc) >= len(approve)] + [covered]


def stops(block: Sequence[BaseStep]) -> bool:
    """Whether a block surely ends the run."""
    return bool(block) and isinstance(block[-1], StopStep) and block[-1].when is None and block[-1].for_each is None


def enclosing(loc: Loc) -> list[Loc]:
    """Places of the steps around a place, outermost first."""
    return [loc[: number + 1] for number in range(1, len(loc) - 1) if is_step(loc, number)]


def is_step(loc: Loc, number: int) -> bool:
    """Whether a part of a place is the number of a step; else it is a key, or the number of a way of a ``choose``
    (whose key follows the number of a step, where the name of a branch follows ``parallel``)."""
    return isinstance(loc[number], int) and not (loc[number - 1] == "choose" and isinstance(loc[number - 2], int))


def dominates(first: Loc, later: Loc) -> bool:
    """Whether a step surely had its turn before another: it stands before it in the same or an enclosing block."""
    sequence = first[:-1]
    number, other = first[-1], later[len(sequence)] if len(later) > len(sequence) else None
    return later[: len(sequence)] == sequence and isinstance(number, int) and isinstance(other, int) and other > number
