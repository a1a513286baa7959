"""A frame: one playbook's steps, then its ``always`` part, however the steps ended."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from playbooks.contract import Json
from playbooks.plan import Frame, PlannedStep, RunStep, fits
from workflows.approvals import ask_for, covering, grant, shown_start
from workflows.envelopes import differences
from workflows.errors import RunCancelled, RunDenied, RunStopped, StepFailed, Suspended, WalkEnded
from workflows.gates import parse
from workflows.questions import closed, needs_of
from workflows.run import Run, size_of
from workflows.scope import Place
from workflows.state import Approval, FrameState, FrozenStep, StepRecord
from workflows.values import load_paths, render, suppliers

MAX_OUTPUTS = 64 * 1024
TOO_OLD = "The approval is no longer valid; it was given too long ago."
Walk = Callable[[Sequence[PlannedStep], Place], Awaitable[None]]


def start_frame(run: Run, step: PlannedStep, spec: RunStep, place: Place, inner: Place, record: StepRecord) -> None:
    """Give a sub-playbook its inputs, once.

    Raises:
        StepFailed: an input is missing or of the wrong type.
    """
    key = inner.frame_key
    if key in run.state.frames:
        return
    values = render(run, spec.with_, place, record, path=step.path)
    state = FrameState(inputs=dict(values))
    for name, value in spec.with_.items():
        state.suppliers[name] = suppliers(run, place, values=[value], sources=[step.when])
    run.state.frames[key] = state
    for name, declared in spec.frame.inputs.items():
        if state.inputs.get(name) is None:
            state.inputs.pop(name, None)
            if declared.default is not None:
                state.inputs[name] = render(run, declared.default, inner, record, path=step.path)
            elif declared.required:
                del run.state.frames[key]
                raise StepFailed(step.path, "missing_key", f"{spec.frame.playbook.id} needs the input {name}.")
            continue
        if not fits(declared.type, state.inputs[name], declared.options):
            del run.state.frames[key]
            message = f"The input {name} of {spec.frame.playbook.id} must be {declared.type}."
            raise StepFailed(step.path, "wrong_type", message)


async def may_start(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> bool:
    """Whether people let a sub-playbook start that an approve step names; asked anew where its inputs have changed.

    Raises:
        RunDenied: they did not, and the playbook says stop.
    """
    cover, frozen, asking = covering(run, step, place)
    if asking is None:
        return True
    key = place.key(step.path)
    own = run.state.approvals.get(key)
    if own is None:
        if cover is not None and cover.approved is False:
            return False
        shown = shown_start(run, step, place)
        changed = differences(frozen, shown.call.params)
        valid = cover is not None and (cover.expires_at is None or run.clock.now() < parse(cover.expires_at))
        if valid and not changed:
            return True
        own = Approval(path=step.path, steps={step.path: FrozenStep(calls={"": shown.call})})
        run.state.approvals[key] = own
        ask_for(run, step, place, shown, needs_of(asking.by, "the playbook"), changed or [TOO_OLD], asking.waiting)
    if own.approved is None:
        gate = await closed(run, step, place, record, run.state.gates[key])
        grant(run, own, gate)
        record.by = list(gate.decided_by)
    if not own.approved and asking.on_deny == "stop":
        record.stops = True
        raise RunDenied(f"The start of {step.path} was denied.")
    return bool(own.approved)


async def run_frame(run: Run, frame: Frame, place: Place, walk: Walk) -> None:
    """Run a frame's steps and then its ``always`` part.

    Raises:
        WalkEnded: how the frame ended, if not well; ``Suspended`` before its end.
    """
    state = run.state.frames.setdefault(place.frame_key, FrameState(inputs=dict(run.plan.values)))
    if state.part == "steps":
        end = await _ended(_main(run, frame, place, state, walk))
        state.outcome, state.code, state.reason = end
        state.part = "always"
    if state.part == "always":
        await _always(run, frame, replace(place, always=True, until=None, halts=()), state, walk)
        state.part = "ended"
    _raise_end(state)


async def _main(run: Run, frame: Frame, place: Place, state: FrameState, walk: Walk) -> None:
    """The steps, and where they end well what the playbook gives back."""
    try:
        await walk(frame.steps, place)
    except RunStopped:
        await _give_back(run, frame, place, state)
        raise
    await _give_back(run, frame, place, state)


async def _give_back(run: Run, frame: Frame, place: Place, state: FrameState) -> None:
    at = frame.prefix.rstrip("/") or frame.playbook.id
    await load_paths(run, frame.output_reads, at)
    found: dict[str, Json] = {}
    for name, output in frame.outputs.items():
        try:
            value = render(run, output.value, place, None, path=at)
        except StepFailed as failed:
            if failed.code != "expression_undefined":
                raise
            continue
        if value is None:
            continue
        if not fits(output.type, value):
            raise StepFailed(at, "wrong_type", f"The output {name} of {frame.playbook.id} must be {output.type}.")
        found[name] = value
    if size_of(found) > MAX_OUTPUTS:
        message = f"The outputs of {frame.playbook.id} are larger than {MAX_OUTPUTS // 1024} KB together."
        raise StepFailed(at, "output_too_large", message)
    state.outputs = found
    values = [output.value for output in frame.outputs.values()]
    state.output_suppliers = suppliers(run, place, values=values)


async def _ended(walking: Awaitable[None]) -> tuple[str, str | None, str]:
    try:
        await walking
    except Suspended:
        raise
    except RunStopped as stopped:
        return "stopped", None, str(stopped)
    except RunDenied as denied:
        return "denied", "denied", str(denied)
    except RunCancelled:
        return "cancelled", "cancelled", ""
    except StepFailed as failed:
        return "failed", failed.code, f"{failed.path}: {failed.message}"
    return "done", None, ""


async def _always(run: Run, frame: Frame, place: Place, state: FrameState, walk: Walk) -> None:
    """Every step of ``always`` gets its turn, also after one of them failed."""
    for step in frame.always:
        outcome, code, reason = await _ended(walk((step,), place))
        if outcome == "failed" and state.outcome in ("done", "stopped"):
            state.outcome, state.code, state.reason = outcome, code, reason
        elif outcome not in ("done", "stopped") and reason != state.reason:
            warning = f"always: {reason or outcome}"
            if warning not in run.state.warnings:
                run.state.warnings.append(warning)


def _raise_end(state: FrameState) -> None:
    if state.outcome == "failed":
        path, _, message = state.reason.partition(": ")
        raise StepFailed(path, state.code or "failed", message)
    if state.outcome == "denied":
        raise RunDenied(state.reason)
    if state.outcome == "cancelled":
        raise RunCancelled


def end_of(error: WalkEnded | None, state: FrameState) -> tuple[str, str | None, str]:
    """Status, code and reason of a run whose main frame ended so."""
    if error is None:
        return "done", None, state.reason
    return state.outcome or "failed", state.code, state.reason
