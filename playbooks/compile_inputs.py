"""Inputs that an alert could not fill: where they are asked for, and which steps cannot run without them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from playbooks.expr_names import Chain
from playbooks.model_steps import ApproveStep, BaseStep, DoStep, Loc, ParallelStep, SetStep
from playbooks.outline import Outline, reads_of
from playbooks.plan import AskStep, Escalate, InputFacts, PlannedStep, Quorum, Terminal, Waiting
from playbooks.review_scope import ALWAYS_KNOWN

PATH = "@inputs"
COMMANDER = "incident_commander"
WITHIN_SECONDS = 30 * 60
ESCALATED_SECONDS = 15 * 60


@dataclass(frozen=True)
class Missing:
    """``needs``: place of a step to the inputs that it cannot run without. ``before``: the place of the step
    that the question stands directly before; ``None`` if nothing depends on them."""

    names: tuple[str, ...] = ()
    needs: dict[Loc, tuple[str, ...]] = field(default_factory=dict)
    before: Loc | None = None


def missing_inputs(outline: Outline, names: Sequence[str]) -> Missing:
    """Find what depends on inputs that are not given.

    A step depends on an input if one of its expressions reads it, or reads what a step that depends on it leaves
    or sets, where that may not be unset. The question goes as far inside of blocks as all that depends on it
    allows: what needs no answer runs at once. An approve step shows what it covers, so it waits for the answer
    too, but is not skipped without one.
    """
    needs: dict[Loc, tuple[str, ...]] = {}
    sources: dict[Chain, set[str]] = {("inputs", name): {name} for name in names}
    for loc, step in outline.steps.items():
        wanted: set[str] = set()
        for _, read in reads_of(step):
            if not read.guarded and read.chain[2:3] != ("meta",):
                wanted |= sources.get(read.chain[:2], set())
        if wanted:
            needs[loc] = tuple(sorted(wanted))
            if step.id is not None and not isinstance(step, ApproveStep):
                sources["steps", step.id] = wanted
            if isinstance(step, SetStep):
                facts = {name.removeprefix("incident.") for name in step.set} - ALWAYS_KNOWN.keys()
                sources |= {("incident", name): wanted for name in facts}
    waiting = {*needs, *_asking(outline, needs)}
    playbook = outline.source.playbook
    before = _first(("steps",), playbook.steps, waiting) or _first(("always",), playbook.always, waiting)
    asked = tuple(name for name in names if any(name in wanted for wanted in needs.values()))
    return Missing(asked, needs, before)


def _asking(outline: Outline, needs: Collection[Loc]) -> Iterator[Loc]:
    """The approve steps that cover something which depends on the inputs."""
    for covered, approve in outline.covered.items():
        if any(loc in needs for loc in outline.between(approve, covered)):
            yield approve


def _first(at: Loc, steps: Sequence[BaseStep], waiting: Collection[Loc]) -> Loc | None:
    for number, step in enumerate(steps):
        loc = (*at, number)
        if loc in waiting:
            return loc
        if any(other[: len(loc)] == loc for other in waiting):
            return _inside(loc, step, waiting) or loc
    return None


def _inside(loc: Loc, step: BaseStep, waiting: Collection[Loc]) -> Loc | None:
    """The place inside of a block that surely runs, if only one of its parts depends on the inputs."""
    if step.when is not None or step.for_each is not None:
        return None
    if isinstance(step, DoStep):
        return _first((*loc, "do"), step.do, waiting)
    if isinstance(step, ParallelStep):
        found = [_first((*loc, "parallel", name), branch, waiting) for name, branch in step.parallel.items()]
        found = [place for place in found if place is not None]
        return found[0] if len(found) == 1 else None
    return None


def question(missing: Missing, declared: dict[str, InputFacts], title: str, line: int) -> PlannedStep:
    """The generated question: the incident commander, then a page, then it stays unanswered."""
    wanted = ", ".join(missing.names)
    return PlannedStep(
        path=PATH,
        title=f"What the alert did not say: {wanted}",
        line=line,
        spec=AskStep(
            text=f"{title}: the alert does not say {wanted}. What depends on it waits; the rest is already running.",
            by=Quorum(roles=(COMMANDER,)),
            form={name: declared[name] for name in missing.names},
            waiting=Waiting(
                within_seconds=WITHIN_SECONDS,
                chain=(Escalate(role=COMMANDER, within_seconds=ESCALATED_SECONDS),),
                terminal=Terminal(outcome="unanswered"),
            ),
            fills_inputs=True,
        ),
    )
