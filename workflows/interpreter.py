"""Walking a plan. Re-entrant: after each continue-as-new the walk starts from the top and passes what is finished.

A piece of the walk ends normally or with one of the exceptions of ``errors.WalkEnded``; any other exception is a
bug and stays a failed workflow task, to be seen and mended, never a run that ends wrongly.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import workflow

from playbooks.contract import Json
from playbooks.plan import ChooseStep, DoStep, IfStep, ParallelStep, PlannedStep, RepeatStep, RunStep
from workflows.approvals import approve_step
from workflows.calls import stamp
from workflows.compensation import undo_step
from workflows.effects import action_step
from workflows.errors import RunCancelled, RunDenied, RunStopped, StepFailed, Suspended, WalkEnded
from workflows.failures import after_failure
from workflows.foreign import workflow_step
from workflows.frames import may_start, run_frame, start_frame
from workflows.gates import parse
from workflows.passes import repeat_step
from workflows.resumption import again_inside, begin_again
from workflows.run import Run, finish, size_of
from workflows.scope import Halt, Loop, Place, item_key, nested
from workflows.state import StepRecord
from workflows.steps import STEPS
from workflows.values import evaluate, load_reads, render, suppliers

MAX_ITEMS = 500
NO_RETRY = frozenset({"policy_refused", "timeout", "too_many_items", "output_too_large", "state_too_large"})


class Interpreter:
    """Walks the plan of one run."""

    def __init__(self, run: Run) -> None:
        """Everything it needs and changes is in ``run``."""
        self.run = run

    async def walk(self) -> None:
        """Run the main playbook with its ``always`` part.

        Raises:
            WalkEnded: how it ended, if not well.
        """
        frame = self.run.plan.frame
        place = Place(self.run.index.frames[frame.prefix])
        await run_frame(self.run, frame, place, self.sequence)

    async def sequence(self, steps: Sequence[PlannedStep], place: Place) -> None:
        """Run steps in order."""
        for step in steps:
            await self.step(step, place)

    async def step(self, step: PlannedStep, place: Place) -> None:
        """Run a step, all its items included."""
        key = place.key(step.path)
        record = self.run.state.records.get(key)
        if record is not None and record.finished:
            return _as_it_ended(step, record)
        if step.for_each is None:
            return await self._instance(step, place)
        if record is None or record.started_at is None or record.again:
            await self.run.checkpoint(place, step)
            record = self._begin(key, place)
        return await self._guarded(step, place, record, self._each)

    async def _instance(self, step: PlannedStep, place: Place) -> None:
        key = place.key(step.path)
        record = self.run.state.records.get(key)
        if record is None or record.started_at is None or record.again:
            await self.run.checkpoint(place, step)
            record = self._begin(key, place)
            self.run.reporter.changed(phase=step.phase)
        await self._guarded(step, place, record, self._kind)

    def _begin(self, key: str, place: Place) -> StepRecord:
        run = self.run
        now = run.clock.stamp()
        if key in run.state.records and run.state.records[key].again:
            begin_again(run.state, key)
        record = run.state.records.setdefault(key, StepRecord(passes=run.state.passes.get(key, 0)))
        record.status, record.started_at, record.world_now = "running", now, now
        record.facts_version, record.pass_ = run.state.facts.version, place.pass_
        return record

    async def _guarded(self, step: PlannedStep, place: Place, record: StepRecord, body: Any) -> None:
        """Run a body under the step's time-out, conditions, retries and ``on_failure``."""
        while not record.finished:
            try:
                if await self._tried(step, place, record, body):
                    return
            except RunCancelled:
                if not record.finished and record.status != "unknown":
                    finish(record, "skipped", self.run.clock.stamp(), code="cancelled")
                    self.run.note("step.skipped", place=place, step=step, code="cancelled")
                raise
            except RunStopped as stopped:
                if not record.finished:
                    finish(record, "done", self.run.clock.stamp(), message=str(stopped))
                    record.stops = True
                    self.run.note("step.done", place=place, step=step)
                raise
            except RunDenied as denied:
                if not record.finished:
                    record.stops = True
                    finish(record, "denied", self.run.clock.stamp(), code="denied", message=str(denied))
                raise

    def _timed(self, step: PlannedStep, place: Place, record: StepRecord) -> Place:
        """The place with the end of the step's own time."""
        if step.timeout_seconds is None:
            return place
        began = parse(record.timed or self.run.clock.stamp())
        limit = stamp(began + timedelta(seconds=step.timeout_seconds))
        return replace(place, until=min(limit, place.until) if place.until else limit)

    async def _tried(self, step: PlannedStep, place: Place, record: StepRecord, body: Any) -> bool:
        """Run a body once within the step's time, and find out what follows its failure; ``False`` to try again.

        Raises:
            WalkEnded: how it ended, if not well.
        """
        try:
            if record.trouble is not None:
                raise StepFailed(**record.trouble)
            await load_reads(self.run, step, place)
            if not self._skipped(step, place, record):
                await body(step, self._timed(step, place, record), record)
                self.run.keep_small()
        except StepFailed as failed:
            failed.path = failed.path or step.path
            record.trouble = trouble_of(failed)
            return not await self._again(step, place, record, failed)
        return True

    def _skipped(self, step: PlannedStep, place: Place, record: StepRecord) -> bool:
        """Decide once, before the first item, whether the step runs at all."""
        if record.decided or record.items is not None or record.tries or record.branch or self._is_item(step, place):
            return False
        frame = self.run.state.frames[place.frame_key]
        missing = [name for name in step.needs_inputs if frame.inputs.get(name) is None]
        code = None
        if missing:
            code = "input_unanswered"
            self.run.state.warnings.append(f"{step.path}: skipped, nobody gave {', '.join(missing)}.")
        elif step.when is not None and not self._asked_already(step, place):
            code = None if evaluate(self.run, step.when, place, record, path=step.path) else "when_false"
        if code is None:
            record.decided = True
            return False
        finish(record, "skipped", self.run.clock.stamp(), code=code)
        self.run.note("step.skipped", place=place, step=step, code=code, facts=record.facts_version)
        return True

    def _is_item(self, step: PlannedStep, place: Place) -> bool:
        return step.for_each is not None and bool(place.loops) and place.loops[-1].path == step.path

    def _asked_already(self, step: PlannedStep, place: Place) -> bool:
        """Whether an approval froze that it runs, or a question is open: then it is compared, not decided, here."""
        gate = self.run.state.gates.get(place.key(step.path))
        if gate is not None and gate.pass_ == place.pass_:
            return True
        covered_by = getattr(step.spec, "covered_by", None)
        key = place.seen(covered_by) if covered_by else None
        approval = self.run.state.approvals.get(key) if key else None
        if approval is None or not approval.approved:
            return False
        frozen = approval.steps.get(step.path)
        return frozen is not None and frozen.runs

    async def _again(self, step: PlannedStep, place: Place, record: StepRecord, failed: StepFailed) -> bool:
        """What follows a failure; ``True`` to try again.

        Raises:
            StepFailed: the sequence ends here.
        """
        run = self.run
        verdict = "stop"
        if not record.stops and not self._item_stopped(step, place, record):
            try:
                verdict = await self._verdict(step, place, record, failed)
            except StepFailed as late:
                record.trouble = trouble_of(late)
            except RunCancelled:
                finish(record, "failed", run.clock.stamp(), code=failed.code, message=failed.message)
                run.note("step.failed", place=place, step=step, code=failed.code)
                raise
            failed = StepFailed(**record.trouble or trouble_of(failed))
        if verdict == "retry":
            record.status, record.trouble = "running", None
            again_inside(run.state, run.index.within(step, place))
            return True
        if verdict == "undo":
            await undo_step(run, step, place, record)
        status = "skipped" if verdict == "skip" else "failed"
        record.trouble = trouble_of(failed)
        finish(record, status, run.clock.stamp(), code=failed.code, message=failed.message)
        run.note(f"step.{status}", place=place, step=step, code=failed.code)
        if verdict in ("skip", "continue"):
            run.state.warnings.append(f"{place.key(step.path)}: {failed.message}")
            return False
        record.stops = True
        raise failed

    def _item_stopped(self, step: PlannedStep, place: Place, record: StepRecord) -> bool:
        """Whether this is a loop of which an item has failed for good: what follows was decided there."""
        if record.each is None or step.on_failure == "continue":
            return False
        keys = (f"{place.key(step.path)}[{number}]" for number in range(len(record.each)))
        items = [held for key in keys if (held := self.run.state.records.get(key)) is not None]
        return any(held.status == "failed" and held.stops for held in items)

    async def _verdict(self, step: PlannedStep, place: Place, record: StepRecord, failed: StepFailed) -> str:
        try:
            if await self._retried(step, self._timed(step, place, record), record, failed):
                return "retry"
        except StepFailed as late:
            # The time was over before the next attempt.
            failed, record.trouble = late, trouble_of(late)
        if step.on_failure != "ask":
            return step.on_failure
        # Nobody is asked about what can no longer be tried.
        self.run.over(place)
        verdict = await after_failure(self.run, step, place, record, failed)
        if verdict == "retry":
            record.timed_from = self.run.clock.stamp()
            for name in ("", ":next"):
                self.run.state.deadlines.pop(place.key(step.path) + name, None)
        return verdict

    async def _retried(self, step: PlannedStep, place: Place, record: StepRecord, failed: StepFailed) -> bool:
        """Wait for the author's next attempt, if there is one left."""
        retry = step.retry
        if retry is None or record.retries >= retry.times or failed.code in NO_RETRY:
            return False
        turn = f"{place.key(step.path)}:retry{record.retries}"
        wait = retry.every_seconds * retry.backoff**record.retries
        until = self.run.state.deadlines.setdefault(turn, self.run.clock.after(wait))
        await self.run.wait(lambda: False, place, until)
        record.retries += 1
        return True

    # --- kinds ----------------------------------------------------------------------------------

    async def _kind(self, step: PlannedStep, place: Place, record: StepRecord) -> None:
        kind = step.kind
        if kind == "action":
            await action_step(self.run, step, place, record)
        elif kind == "approve":
            await approve_step(self.run, step, place, record)
        elif kind == "workflow":
            await workflow_step(self.run, step, place, record)
        elif kind in STEPS:
            await STEPS[kind](self.run, step, place, record)
        else:
            await self._block(step, place, record)
            if record.finished:
                return
            finish(record, "done", self.run.clock.stamp())
            way: dict[str, Json] = {"way": record.branch} if isinstance(step.spec, IfStep | ChooseStep) else {}
            self.run.note("step.done", place=place, step=step, **way)

    async def _block(self, step: PlannedStep, place: Place, record: StepRecord) -> None:
        spec = step.spec
        if isinstance(spec, DoStep):
            await self.sequence(spec.steps, place)
        elif isinstance(spec, IfStep | ChooseStep):
            if record.branch is None:
                record.branch = self._way(step, spec, place, record)
            await self.sequence(dict(nested(step))[record.branch], place)
        elif isinstance(spec, RepeatStep):
            await repeat_step(self.run, step, place, record, self.sequence)
        elif isinstance(spec, ParallelStep):
            await self._parallel(spec, place)
        elif isinstance(spec, RunStep):
            inner = Place(
                self.run.index.frames[spec.frame.prefix],
                outer=(*place.outer, *place.loops),
                always=place.always,
                until=place.until,
                halts=place.halts,
                pass_=place.pass_,
            )
            if inner.frame_key not in self.run.state.frames and not await may_start(self.run, step, place, record):
                finish(record, "denied", self.run.clock.stamp(), code="denied", message="Its start was denied.")
                self.run.note("step.denied", place=place, step=step)
                return
            start_frame(self.run, step, spec, place, inner, record)
            await run_frame(self.run, spec.frame, inner, self.sequence)
            ended = self.run.state.frames[inner.frame_key]
            record.output, record.output_bytes = ended.outputs, size_of(ended.outputs)
            record.suppliers = ended.output_suppliers
        else:
            raise AssertionError(f"no such kind: {step.kind}")

    def _way(self, step: PlannedStep, spec: IfStep | ChooseStep, place: Place, record: StepRecord) -> str:
        """The block whose condition is the first to hold; ``else`` where none does."""
        choices = [spec.condition] if isinstance(spec, IfStep) else [choice.condition for choice in spec.choices]
        for (name, _), condition in zip(nested(step), choices, strict=False):
            if evaluate(self.run, condition, place, record, path=step.path):
                return name
        return "else"

    async def _parallel(self, spec: ParallelStep, place: Place) -> None:
        halt = Halt()
        inner = replace(place, halts=(*place.halts, halt)) if spec.fail_fast else place

        async def branch(steps: Sequence[PlannedStep]) -> None:
            try:
                await self.sequence(steps, inner)
            except StepFailed:
                halt.failed = True
                raise

        await _all([branch(steps) for steps in spec.branches.values()])

    async def _each(self, step: PlannedStep, place: Place, record: StepRecord) -> None:
        if record.each is None:
            items = render(self.run, step.for_each, place, record, path=step.path)
            if not isinstance(items, list):
                raise StepFailed(step.path, "wrong_type", "for_each needs a list.")
            if len(items) > MAX_ITEMS:
                message = f"{len(items)} items; at most {MAX_ITEMS}. Use an action that takes all targets at once."
                raise StepFailed(step.path, "too_many_items", message)
            record.each, record.items = items, [item_key(item, number) for number, item in enumerate(items)]
        people = tuple(suppliers(self.run, place, values=[step.for_each]))
        turns = asyncio.Semaphore(step.at_once)

        async def one(number: int, value: Json) -> None:
            inner = place.within(Loop(step.path, number, step.as_, value, people))
            held = self.run.state.records.get(inner.key(step.path))
            if held is not None and held.finished:
                return _as_it_ended(step, held)
            async with turns:
                return await self._instance(step, inner)

        await _all([one(number, value) for number, value in enumerate(record.each)])
        items = [place.within(Loop(step.path, number, step.as_, value)) for number, value in enumerate(record.each)]
        denied = items and all(self.run.state.records[inner.key(step.path)].status == "denied" for inner in items)
        if denied and workflow.patched("2026-11-30-all-items-denied"):
            finish(record, "denied", self.run.clock.stamp(), code="denied", message="None of its items was approved.")
            self.run.note("step.denied", place=place, step=step, items=len(items))
            return
        finish(record, "done", self.run.clock.stamp())
        self.run.note("step.done", place=place, step=step, items=len(items))


def _as_it_ended(step: PlannedStep, record: StepRecord) -> None:
    """Pass a finished step, or end the sequence again as it ended then."""
    if not record.stops:
        return
    if record.status == "denied" or (step.kind == "approve" and record.code is None):
        raise RunDenied(record.message or f"{step.path} was denied.")
    if record.status == "done":
        raise RunStopped(record.message)
    if record.trouble is not None:
        raise StepFailed(**record.trouble)
    raise StepFailed(step.path, record.code or "failed", record.message)


def trouble_of(failed: StepFailed) -> dict[str, str]:
    """A failure as plain JSON, so that another execution can raise it again."""
    return {"path": failed.path, "code": failed.code, "message": failed.message}


async def _all(parts: list[Coroutine[Any, Any, None]]) -> None:
    """Run all parts to their ends, then raise what weighs most; a failing part never cancels its siblings."""
    ends = [end for end in await asyncio.gather(*parts, return_exceptions=True) if end is not None]
    for end in ends:
        if not isinstance(end, WalkEnded):
            raise end
    for kind in (Suspended, RunCancelled, RunDenied):
        for end in ends:
            if isinstance(end, kind):
                raise end
    failures = [end for end in ends if isinstance(end, StepFailed)]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        causes = "; ".join(f"{failure.path}: {failure.message}" for failure in failures)
        raise StepFailed(failures[0].path, failures[0].code, causes)
    for end in ends:
        raise end
