"""``repeat``: pass after pass, until a condition holds or the passes are spent."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from playbooks.plan import PlannedStep, RepeatStep
from workflows.errors import StepFailed
from workflows.run import Run
from workflows.scope import Place
from workflows.state import StepRecord
from workflows.values import evaluate, load_reads

Walk = Callable[[Sequence[PlannedStep], Place], Awaitable[None]]


async def repeat_step(run: Run, step: PlannedStep, place: Place, record: StepRecord, walk: Walk) -> None:
    """Run passes until ``until`` holds. ``record.branch`` says where it stands: in a ``pass``, ``between`` two, or
    ``spent``; its output counts the passes.

    Raises:
        StepFailed: ``repeat_spent``, the passes are spent and ``until`` does not hold.
    """
    spec = step.spec
    assert isinstance(spec, RepeatStep)
    turn = f"{place.key(step.path)}:next"
    while True:
        if record.branch != "pass":
            begun = record.output["passes"] if record.branch == "between" else 0
            if begun and spec.every_seconds:
                await run.wait(lambda: False, place, run.state.deadlines[turn])
            _forget(run, step, place)
            record.branch, record.output = "pass", {"passes": begun + 1}
            # Never begins anew, so that a pass is never taken for another, not even within a repeat.
            record.passes += 1
        await walk(spec.steps, replace(place, pass_=record.passes))
        await load_reads(run, step, place)
        record.world_now = run.clock.stamp()
        holds = bool(evaluate(run, spec.until, place, record, path=step.path))
        run.note("step.pass", place=place, step=step, number=record.passes, holds=holds)
        if holds:
            return
        if record.output["passes"] >= spec.at_most:
            record.branch = "spent"
            message = f"After {spec.at_most} passes it does not hold yet: {spec.until[:120]}"
            raise StepFailed(step.path, "repeat_spent", message)
        record.branch = "between"
        run.state.deadlines[turn] = run.clock.after(spec.every_seconds)


def _forget(run: Run, step: PlannedStep, place: Place) -> None:
    """Forget the pass before, so that its steps run again. Their closed questions stay: their rounds go on."""
    state, is_inside = run.state, run.index.within(step, place)
    for key in [key for key in state.records if is_inside(key)]:
        if passes := state.records.pop(key).passes:
            state.passes[key] = passes
    for held in (state.frames, state.approvals, state.deadlines):
        for key in [key for key in held if is_inside(key)]:
            del held[key]
