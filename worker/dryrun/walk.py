"""A dry run: the walk through a plan that nobody started, with all that can be known before.

Reads are run for real, effects are previewed for real, expressions are evaluated with what is known. What depends on
an answer, on an effect or on an event is not known before, and says on what it depends; then every way is shown.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from activities.errors import ActionError
from playbooks import expr
from playbooks.contract import FOREIGN, ActionFacts, Json, Preview, Risk
from playbooks.plan import (
    ActionStep,
    ApproveStep,
    AskStep,
    Frame,
    HumanStep,
    NoteStep,
    PlannedStep,
    RepeatStep,
    RequireStep,
    RunPlan,
    RunStep,
    SetStep,
    StopStep,
    TellStep,
    WaitStep,
)
from worker.dryrun.known import Known
from worker.dryrun.look import Look
from workflows.envelopes import envelope_of, freeze
from workflows.scope import Loop, Place, PlanIndex, decided, item_key, nested
from workflows.state import FrozenCall, StepRecord

MAX_ITEMS = 500
OFFLINE = "no system is asked"


@dataclass
class Row:
    """One step of the walk.

    Attributes:
        step: The planned step.
        place: Where it stands.
        depth: How many blocks are around it.
        block: Name of the block that it stands in, e.g. ``else``; empty at the top.
        status: ``runs``, ``depends`` (not known before whether it will) or ``skipped``.
        because: On what it depends, or why it is skipped.
        item: What this one of a ``for_each`` is about.
        params: Of an action, rendered; what is not known is left out.
        unknown: Parameter, or another part, to what it depends on.
        text: What people read: the question, the task, the message.
        summary: What a read found, in words.
        output: What a read found.
        preview: What an effect would do now.
        missing: Code and reason why there is no preview or reading, though there could be one.
        call: An effect's call as people would approve it.
    """

    step: PlannedStep
    place: Place
    depth: int
    block: str
    status: str = "runs"
    because: tuple[str, ...] = ()
    item: str | None = None
    params: dict[str, Json] = field(default_factory=dict)
    unknown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    text: str = ""
    summary: str = ""
    output: dict[str, Json] | None = None
    preview: Preview | None = None
    missing: tuple[str, str] | None = None
    call: FrozenCall | None = None

    @property
    def name(self) -> str:
        """Path with the item's number, as in a run."""
        return self.place.key(self.step.path)


@dataclass(frozen=True)
class Way:
    """What holds for a sequence of steps: depth, block, and on what it depends that they run at all."""

    depth: int = 0
    block: str = ""
    because: tuple[str, ...] = ()
    skipped: bool = False

    def inside(self, block: str, because: Iterable[str] = (), *, skipped: bool = False) -> "Way":
        """The way into a block."""
        reasons = tuple(dict.fromkeys((*self.because, *because)))
        return Way(self.depth + 1, block, reasons, self.skipped or skipped)


class DryRun:
    """One walk.

    Args:
        plan: The plan that a start would freeze.
        digest: Of the plan.
        facts: The incident's facts, by name.
        look: How systems are looked at; ``None`` for none.
    """

    def __init__(self, plan: RunPlan, digest: str, facts: Mapping[str, Json], look: Look | None) -> None:
        self.plan, self._digest, self._look = plan, digest, look
        self.known = Known(plan, facts)
        self._index = PlanIndex(plan)
        self.rows: list[Row] = []

    async def walk(self) -> list[Row]:
        """Every step in order, each item and both ways where it is open which one is taken."""
        place = Place(self._index.frames[self.plan.frame.prefix])
        self.known.frame(place.frame_key, dict(self.plan.values))
        await self._frame(self.plan.frame, place, Way())
        return self.rows

    async def _frame(self, frame: Frame, place: Place, way: Way) -> None:
        await self._sequence(frame.steps, place, way)
        for step in frame.always:
            await self._sequence((step,), replace(place, always=True), replace(way, block="always"))

    async def _sequence(self, steps: Sequence[PlannedStep], place: Place, way: Way) -> bool:
        """Walk steps in order; whether the sequence surely ends before its last."""
        ended = False
        for step in steps:
            if await self._step(step, place, way):
                ended = True
                way = replace(way, skipped=True, because=(f"the run has ended at {step.id or step.path}",))
        return ended

    async def _step(self, step: PlannedStep, place: Place, way: Way) -> bool:
        """Walk one step; whether the sequence surely ends with it."""
        row = Row(step, place, way.depth, way.block, because=way.because)
        row.status = "skipped" if way.skipped else "depends" if way.because else "runs"
        if not way.skipped:
            self._conditions(row)
        if row.status == "skipped":
            await self._skip(row, way)
            return False
        if step.for_each is not None:
            await self._each(row, way)
            return False
        return await self._kind(row, replace(way, because=row.because))

    def _conditions(self, row: Row) -> None:
        given = self.known.inputs(row.place)
        asked = [f"inputs.{name} (asked for)" for name in row.step.needs_inputs if given.get(name) is None]
        because = [*row.because, *asked]
        if row.step.when is not None:
            open_ = self.known.depends(row.step.when, row.place)
            if not open_:
                try:
                    if not self.known.evaluate(row.step.when, row.place):
                        row.status, row.because = "skipped", (f"when is false: {row.step.when}",)
                        return
                except expr.ExprError as error:
                    open_ = [f"an expression that fails: {error}"]
            because += open_
        row.because = tuple(dict.fromkeys(because))
        row.status = "depends" if row.because else "runs"

    async def _skip(self, row: Row, way: Way) -> None:
        self.rows.append(row)
        self.known.record(row.name, "skipped")
        inner = way.inside("", skipped=True)
        for block, steps in nested(row.step):
            await self._sequence(steps, row.place, replace(inner, block=block, because=row.because))

    async def _each(self, row: Row, way: Way) -> None:
        step, place = row.step, row.place
        open_ = [reason for source in expr.templates(step.for_each) for reason in self.known.depends(source, place)]
        items: Json = None
        if not open_:
            try:
                items = self.known.render(step.for_each, place)
            except expr.ExprError as error:
                open_ = [f"an expression that fails: {error}"]
        if isinstance(items, list) and len(items) <= MAX_ITEMS:
            keys = [item_key(item, number) for number, item in enumerate(items)]
            self.known.record(row.name, items=keys)
            for number, (key, item) in enumerate(zip(keys, items, strict=True)):
                inside = place.within(Loop(step.path, number, step.as_, item))
                one = Row(step, inside, row.depth, row.block, row.status, row.because, item=key)
                await self._kind(one, replace(way, because=row.because))
            unknown = [self.known.unknown.get(f"{row.name}[{number}]") for number in range(len(keys))]
            if any(unknown):
                self.known.unknown[row.name] = next(reason for reason in unknown if reason)
            if not items:
                row.status, row.because = "skipped", ("for_each has no items",)
                await self._skip(row, way)
            return
        reasons = open_ or [f"a list of at most {MAX_ITEMS} items"]
        self.known.loops.add(step.path)
        inside = place.within(Loop(step.path, 0, step.as_, None))
        one = Row(step, inside, row.depth, row.block, "depends", (*row.because, *reasons), item="each")
        await self._kind(one, replace(way, because=one.because))
        self.known.unknown[row.name] = "its items are not known before"

    async def _kind(self, row: Row, way: Way) -> bool:
        self.rows.append(row)
        spec, place, key = row.step.spec, row.place, row.name
        record = self.known.record(key)
        if row.because:
            self.known.maybe[key] = row.because
        match spec:
            case ActionStep():
                await self._action(row, spec, record)
            case ApproveStep():
                self.known.unknown[key] = "what people decide"
            case AskStep():
                self._say(row, spec.text)
                self.known.unknown[key] = "what people answer"
            case HumanStep():
                self._say(row, spec.text)
                self.known.unknown[key] = "what is done by hand"
            case WaitStep():
                self.known.unknown[key] = "how the wait ends"
            case SetStep():
                self._set(row, spec)
            case RequireStep():
                self._say(row, spec.message)
                open_ = self.known.depends(spec.condition, place)
                if open_:
                    row.unknown["require"] = tuple(open_)
                elif not self._holds(row, spec.condition):
                    return not row.because
            case StopStep():
                self._say(row, spec.reason)
                return not row.because
            case TellStep() | NoteStep():
                self._say(row, spec.text)
            case RunStep():
                await self._run(row, spec, way)
            case RepeatStep():
                await self._sequence(spec.steps, place, way.inside("do"))
                for path in self._index.inside(row.step):
                    self.known.unknown[place.key(path)] = "what the last pass gives"
                self.known.unknown[key] = "how many passes there are"
            case _:
                return await self._blocks(row, way)
        return False

    async def _blocks(self, row: Row, way: Way) -> bool:
        """Walk the blocks inside of a step; whether one that is surely taken surely ends the run."""
        blocks, ended = list(nested(row.step)), False
        if not blocks:
            self.known.unknown[row.name] = "what it gives"
        for name, steps in blocks:
            open_: list[str] = []
            skipped = False
            for condition, truth in decided(row.step, name):
                depends = self.known.depends(condition, row.place)
                open_ += depends
                skipped = skipped or (not depends and self._holds(row, condition) is not truth)
            because = [f"{condition} is otherwise" for condition, _ in decided(row.step, name)] if skipped else open_
            inner = way.inside(name, because, skipped=skipped)
            ended = await self._sequence(steps, row.place, inner) or ended
        return ended

    async def _run(self, row: Row, spec: RunStep, way: Way) -> None:
        frame, place = spec.frame, row.place
        inner = Place(self._index.frames[frame.prefix], outer=(*place.outer, *place.loops))
        inputs: dict[str, Json] = {}
        self.known.frame(inner.frame_key, inputs)
        self._parameters(row, spec.with_)
        inputs.update({name: value for name, value in row.params.items() if value is not None})
        for name, declared in frame.inputs.items():
            if name in inputs or name in row.unknown or declared.default is None:
                continue
            try:
                inputs[name] = self.known.render(declared.default, inner)
            except expr.ExprError as error:
                row.unknown[name] = (f"an expression that fails: {error}",)
        self.known.unknown |= {f"{inner.frame_key}:{name}": ", ".join(reasons) for name, reasons in row.unknown.items()}
        await self._frame(frame, inner, way.inside(frame.playbook.id))
        outputs = self.known.state.records[row.name].output
        for name, output in frame.outputs.items():
            open_ = [reason for source in expr.templates(output.value) for reason in self.known.depends(source, inner)]
            if open_:
                self.known.unknown[f"{row.name}.{name}"] = ", ".join(dict.fromkeys(open_))
                continue
            with contextlib.suppress(expr.ExprError):
                outputs[name] = self.known.render(output.value, inner)

    async def _action(self, row: Row, spec: ActionStep, record: StepRecord) -> None:
        facts = self.plan.actions[spec.name]
        self._parameters(row, spec.with_)
        if row.unknown:
            reasons = dict.fromkeys(reason.partition(" (")[0] for found in row.unknown.values() for reason in found)
            self.known.unknown[row.name] = f"it needs {', '.join(reasons)}"
            return
        effect = facts.risk is not Risk.READ
        self.known.unknown[row.name] = "what it does" if effect else "what it finds"
        if facts.system == FOREIGN and not effect:
            row.missing = ("not_asked", "Whatever it reads, a plan starts no workflow of others.")
            return
        if self._look is None or not self._look.reaches(facts.system):
            reason = OFFLINE if self._look is None else f"{facts.system} is not configured here"
            row.missing = ("not_asked", f"{reason}.")
            return
        try:
            if not effect:
                row.summary, row.output = await self._look.read(spec.name, row.params, row.step.path)
                record.output = row.output
                del self.known.unknown[row.name]
            elif facts.risk.is_effect:
                row.preview = (await self._look.preview(spec.name, row.params, row.step.path)).preview
                row.call = self._call(row, facts, row.preview.count)
        except ActionError as error:
            row.missing = (error.code, error.message)
            if not effect:
                self.known.unknown[row.name] = "what could not be read"

    def _call(self, row: Row, facts: ActionFacts, count: int) -> FrozenCall:
        assert row.preview is not None
        envelope = envelope_of(
            facts,
            plan=self._digest,
            step=row.step.path,
            item=row.place.item,
            params=row.params,
            shown=count,
            mode=self.plan.context.mode,
        )
        return freeze(envelope, row.preview)

    def _set(self, row: Row, spec: SetStep) -> None:
        self._parameters(row, spec.facts)
        for name in spec.facts:
            reasons = (*row.unknown.get(name, ()), *row.because)
            if reasons:
                self.known.facts[name] = f"what {row.step.id or row.step.path} sets"
            else:
                self.known.set(name, row.params[name])

    def _parameters(self, row: Row, values: Mapping[str, Json]) -> None:
        """Render what is known of the values into the row, and say of the rest on what it depends."""
        for name, value in values.items():
            found = [self.known.why(source, row.place) for source in expr.templates(value)]
            unknown = [reason for reasons, _ in found for reason in reasons]
            maybe = [reason for _, reasons in found for reason in reasons]
            if unknown:
                row.unknown[name] = tuple(dict.fromkeys(unknown))
                continue
            try:
                row.params[name] = self.known.render(value, row.place)
            except expr.ExprError as error:
                row.unknown[name] = (f"an expression that fails: {error}",)
            row.because = tuple(dict.fromkeys((*row.because, *maybe)))
        if row.because and row.status == "runs":
            row.status = "depends"

    def _say(self, row: Row, text: str) -> None:
        open_ = [reason for source in expr.templates(text) for reason in self.known.depends(source, row.place)]
        row.text = text
        if not open_:
            try:
                row.text = str(self.known.render(text, row.place))
            except expr.ExprError as error:
                row.unknown["text"] = (f"an expression that fails: {error}",)

    def _holds(self, row: Row, condition: str) -> bool:
        try:
            return bool(self.known.evaluate(condition, row.place))
        except expr.ExprError as error:
            row.unknown["condition"] = (f"an expression that fails: {error}",)
            return False
