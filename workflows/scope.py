"""What expressions of a step may see: inputs, incident, earlier steps, the item, the run. Pure.

The index of a plan is made once per execution. Within a ``for_each`` an inner id means this item's step;
outside of it only ``items`` and ``outputs`` of the loop are visible. Within a ``repeat`` an inner id means this
pass, and after it the last.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from playbooks.contract import Json
from playbooks.plan import (
    ChooseStep,
    DoStep,
    Frame,
    IfStep,
    ParallelStep,
    PlannedStep,
    RepeatStep,
    RunPlan,
    RunStep,
    WaitStep,
)
from workflows.state import RunState, StepRecord


@dataclass(frozen=True)
class Loop:
    """One enclosing ``for_each``: its step's path, the index of this item, its value under ``name``.

    ``suppliers`` are the people whose values the list of items depends on.
    """

    path: str
    index: int
    name: str
    value: Json
    suppliers: tuple[str, ...] = ()


Loops = tuple[Loop, ...]


def instance(path: str, loops: Loops) -> str:
    """Key of a step instance: ``path[3]``."""
    return instance_of(path, [loop.index for loop in loops])


def instance_of(path: str, indices: Sequence[int]) -> str:
    """Key of a step instance by the indices of the loops around it."""
    return path + "".join(f"[{index}]" for index in indices)


def path_of(key: str) -> str:
    """The step's path in an instance key, without items and passes."""
    return re.split(r"[\[#]", key, maxsplit=1)[0]


def item_of(loops: Loops) -> str | None:
    """The item part of a step instance: ``3``, ``3/1``; ``None`` outside of loops."""
    return "/".join(str(loop.index) for loop in loops) or None


def item_key(item: Json, number: int) -> str:
    """What people call an item of a ``for_each``: its id, key or name, itself if it is plain, else its number."""
    if isinstance(item, dict):
        named = next((item[name] for name in ("id", "key", "name") if isinstance(item.get(name), str)), None)
        return named or str(number)
    return str(item)[:80] if isinstance(item, str | int | float | bool) else str(number)


def nested(step: PlannedStep) -> Iterator[tuple[str, tuple[PlannedStep, ...]]]:
    """The blocks of steps inside a step of the same frame, by name."""
    spec = step.spec
    if isinstance(spec, IfStep):
        yield "then", spec.then
        yield "else", spec.otherwise
    elif isinstance(spec, ParallelStep):
        yield from spec.branches.items()
    elif isinstance(spec, ChooseStep):
        for number, choice in enumerate(spec.choices):
            yield str(number), choice.steps
        yield "else", spec.otherwise
    elif isinstance(spec, DoStep | RepeatStep):
        yield "do", spec.steps


def decided(step: PlannedStep, block: str) -> tuple[tuple[str, bool], ...]:
    """The conditions of a step that lead into one of its blocks, each with what it must come to, in order."""
    spec = step.spec
    if isinstance(spec, IfStep):
        return ((spec.condition, block == "then"),)
    if not isinstance(spec, ChooseStep):
        return ()
    chosen = len(spec.choices) if block == "else" else int(block)
    return tuple((choice.condition, number == chosen) for number, choice in enumerate(spec.choices[: chosen + 1]))


@dataclass(frozen=True)
class Above:
    """An enclosing step, and the block of it that holds the step."""

    step: PlannedStep
    block: str


@dataclass
class FrameIndex:
    """A frame's declared ids: id to path, and path to what encloses the step in this frame, outermost first."""

    frame: Frame
    paths: dict[str, str] = field(default_factory=dict)
    above: dict[str, tuple[Above, ...]] = field(default_factory=dict)


class PlanIndex:
    """Every step and frame of a plan, by path and by prefix."""

    def __init__(self, plan: RunPlan) -> None:
        """Walk the plan once."""
        self.steps: dict[str, PlannedStep] = {}
        self.frames: dict[str, FrameIndex] = {}
        self._frame(plan.frame)

    def _frame(self, frame: Frame) -> None:
        index = self.frames[frame.prefix] = FrameIndex(frame)
        self._block(frame.steps, index, ())
        self._block(frame.always, index, ())

    def _block(self, steps: tuple[PlannedStep, ...], index: FrameIndex, above: tuple[Above, ...]) -> None:
        for step in steps:
            self.steps[step.path] = step
            index.above[step.path] = above
            if step.id is not None:
                index.paths[step.id] = step.path
            for name, block in nested(step):
                self._block(block, index, (*above, Above(step, name)))
            if isinstance(step.spec, RunStep):
                self._frame(step.spec.frame)

    def inside(self, step: PlannedStep) -> Iterator[str]:
        """Paths of all steps inside of a step, and prefixes of the frames that they run."""
        if isinstance(step.spec, RunStep):
            frame = step.spec.frame
            yield frame.prefix
            yield from self._all((*frame.steps, *frame.always))
        for _, block in nested(step):
            yield from self._all(block)

    def within(self, step: PlannedStep, place: "Place") -> Callable[[str], bool]:
        """Whether a key of the state (of a record, frame, approval or deadline) is of something inside of a step
        instance."""
        paths, indices = frozenset(self.inside(step)), place.key("")

        def is_within(key: str) -> bool:
            name = key.partition(":")[0]
            path = name.partition("[")[0]
            return path in paths and name.startswith(path + indices)

        return is_within

    def _all(self, steps: tuple[PlannedStep, ...]) -> Iterator[str]:
        for step in steps:
            yield step.path
            yield from self.inside(step)


def events_of(index: PlanIndex) -> list[str]:
    """Names of the events that a plan waits for, sorted."""
    specs = [step.spec for step in index.steps.values()]
    return sorted({spec.event for spec in specs if isinstance(spec, WaitStep) and spec.event is not None})


@dataclass
class Halt:
    """Shared by the branches of a ``fail_fast`` block: once one fails, no other starts a step."""

    failed: bool = False


@dataclass(frozen=True)
class Place:
    """Where the walk stands: the frame, the loops around the frame and those inside of it, whether this is an
    ``always`` part, the earliest deadline of what encloses it (RFC 3339), the blocks that may halt it, and the pass
    of the innermost ``repeat`` around it (0 outside of any)."""

    frame: FrameIndex
    outer: Loops = ()
    loops: Loops = ()
    always: bool = False
    until: str | None = None
    halts: tuple[Halt, ...] = ()
    pass_: int = 0

    @property
    def halted(self) -> bool:
        """Whether a sibling's failure ends this branch."""
        return any(halt.failed for halt in self.halts)

    @property
    def frame_key(self) -> str:
        """Key of the frame's state."""
        return instance(self.frame.frame.prefix, self.outer)

    @property
    def item(self) -> str | None:
        """The item part of a decision's or an envelope's name."""
        return item_of((*self.outer, *self.loops))

    def key(self, path: str) -> str:
        """Instance key of the step that stands here."""
        return instance(path, (*self.outer, *self.loops))

    def name(self, path: str) -> str:
        """Instance key of the step that stands here, told apart from that of other passes: ``path[3]#2``."""
        return f"{self.key(path)}#{self.pass_}" if self.pass_ else self.key(path)

    def seen(self, path: str) -> str | None:
        """Instance key of another step of this frame as seen from here; ``None`` where it is out of sight."""
        held = {loop.path: loop for loop in self.loops}
        around = [above.step.path for above in self.frame.above[path] if above.step.for_each is not None]
        if any(outer not in held for outer in around):
            return None
        return instance(path, (*self.outer, *(held[outer] for outer in around)))

    def within(self, loop: Loop) -> "Place":
        """The place inside one item of a loop."""
        return replace(self, loops=(*self.loops, loop))


def step_view(
    state: RunState, key: str, record: StepRecord | None, loaded: dict[str, dict[str, Json]]
) -> dict[str, Json]:
    """What ``steps.ID`` shows: the output's fields, and ``meta``."""
    if record is None:
        return {"meta": {"status": "pending"}}
    view = dict(output_of(record, loaded))
    if record.items is not None:
        entries = []
        for number, name in enumerate(record.items):
            part = state.records.get(f"{key}[{number}]")
            output = output_of(part, loaded) if part else {}
            entries.append({"key": name, "status": part.status if part else "pending", "output": output})
        view = {"items": entries, "outputs": [entry["output"] for entry in entries]}
    view["meta"] = {
        "status": record.status,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "by": list(record.by),
        "affected": record.affected.model_dump(mode="json") if record.affected else None,
    }
    return view


def output_of(record: StepRecord, loaded: dict[str, dict[str, Json]]) -> dict[str, Json]:
    """A step's output, also where it lives by reference and was loaded."""
    return loaded.get(record.output_ref, {}) if record.output_ref else record.output


def scope(
    state: RunState,
    place: Place,
    *,
    run: dict[str, Json],
    loaded: dict[str, dict[str, Json]],
    result: dict[str, Json] | None = None,
) -> dict[str, Json]:
    """The names an expression sees at a place."""
    steps = {}
    for name, path in place.frame.paths.items():
        key = place.seen(path)
        steps[name] = step_view(state, key or path, state.records.get(key) if key else None, loaded)
    names: dict[str, Json] = {
        "inputs": state.frames[place.frame_key].inputs,
        "incident": facts_of(state),
        "steps": steps,
        "run": run,
    }
    for loop in place.loops:
        names[loop.name] = loop.value
    if result is not None:
        names["result"] = result
    return names


def facts_of(state: RunState) -> dict[str, Json]:
    """The incident's facts as this run sees them: its snapshot, and what it set itself meanwhile."""
    return state.facts.values() | {name: fact.value for name, fact in state.own_facts.items()}
