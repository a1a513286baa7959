"""What the record holds of one step of a run: its plan, its entries, its status, and what of it is missing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from playbooks.plan import ActionStep, ApproveStep, PlannedStep, RunPlan
from workflows.scope import Above, FrameIndex, PlanIndex

_KEY = re.compile(r"^(?P<path>[^\[\]]+)(?P<items>(?:\[\d+\])*)$")
_INDEX = re.compile(r"\[(\d+)\]")


@dataclass
class Known:
    """All that the store holds of one run, and the live status if a worker gave it."""

    run: str
    plan: RunPlan
    plan_digest: str
    entries: Sequence[Mapping[str, Any]]
    """The incident's journal, in order; ``text`` is what a person said with an entry, where the store holds it."""
    status: Mapping[str, Any]
    given: Mapping[str, Any]
    """The run's input as it was saved before the start."""
    facts: Mapping[str, Any]
    """The incident's facts as they are now, with provenance."""
    before: Sequence[str] = ()
    """Runs that this one goes on from, undoing, rerunning or migrating them; newest first."""
    index: PlanIndex = field(init=False)

    def __post_init__(self) -> None:
        """Index the plan."""
        self.index = PlanIndex(self.plan)

    def frame(self, path: str) -> FrameIndex:
        """The playbook of the plan that holds a step."""
        return next(frame for frame in self.index.frames.values() if path in frame.above)

    def above(self, path: str) -> tuple[Above, ...]:
        """The steps around a step in its own playbook, outermost first."""
        return self.frame(path).above[path]

    def of_step(self, path: str, item: str | None) -> list[Mapping[str, Any]]:
        """Entries of one step, and of one item of it if one is asked for; those of the runs before are its own."""
        runs = {self.run, *self.before}
        found = [
            entry for entry in self.entries if entry["body"].get("run") in runs and entry["body"].get("step") == path
        ]
        return [entry for entry in found if item is None or entry["body"].get("item") == item]


@dataclass
class Telling:
    """What is told of one step, part by part."""

    known: Known
    step: PlannedStep
    item: str | None
    entries: list[Mapping[str, Any]]
    shown: Mapping[str, Any]
    """The step as the status shows it."""
    missing: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The step and its item, as people name it."""
        return self.step.path + (f"[{self.item.replace('/', '][')}]" if self.item else "")

    @property
    def status(self) -> str:
        """Its status."""
        return str(self.shown.get("status") or "pending")

    @property
    def action(self) -> str | None:
        """Name of its action."""
        return self.step.spec.name if isinstance(self.step.spec, ActionStep) else None

    def last(self, *kinds: str) -> Mapping[str, Any] | None:
        """The newest entry of these kinds."""
        return next((entry for entry in reversed(self.entries) if entry["kind"] in kinds), None)


def split(step: str) -> tuple[str, str | None] | None:
    """A step's path and item from ``path`` or ``path[3][1]``; ``None`` if it is neither."""
    found = _KEY.fullmatch(step)
    return (found["path"], "/".join(_INDEX.findall(found["items"])) or None) if found else None


def covering(telling: Telling) -> str | None:
    """Path of the approve step that covers the step, or its own if it is one."""
    spec = telling.step.spec
    if isinstance(spec, ApproveStep):
        return telling.step.path
    return spec.covered_by if isinstance(spec, ActionStep) else None


def when(at: object) -> str:
    """An instant as people read it, to the second."""
    text = str(at or "")
    return f"{text[:10]} {text[11:19]}Z" if len(text) > 18 else text or "an unknown time"


def targets(count: object) -> str:
    """A number of targets."""
    return "1 target" if count == 1 else f"{count} targets"
