"""Evaluating what an author wrote, at one place of the walk, and knowing whose values it depends on."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from temporalio.exceptions import ActivityError, ApplicationError

from playbooks import expr
from playbooks.contract import Json
from playbooks.plan import PlannedStep
from workflows.errors import StepFailed
from workflows.gates import parse
from workflows.messages import LoadInput
from workflows.scope import Place, scope
from workflows.state import StepRecord

if TYPE_CHECKING:
    from workflows.run import Run

READ_LIMIT = 256 * 1024


async def load_reads(run: "Run", step: PlannedStep, place: Place, *, paths: Iterable[str] = ()) -> None:
    """Load the outputs by reference that a step's expressions read.

    Raises:
        StepFailed: ``output_too_large``, over 256 KB for one step.
    """
    await load_paths(run, (*step.reads, *paths), step.path)


async def load_paths(run: "Run", paths: Iterable[str], at: str) -> None:
    """Load the outputs by reference of these steps, for what stands ``at``. Raises as ``load_reads`` does."""
    refs: dict[str, int] = {}
    for path in paths:
        for key, record in run.state.records.items():
            if record.output_ref and (key == path or key.startswith(f"{path}[")):
                refs[record.output_ref] = record.output_bytes
    if sum(refs.values()) > READ_LIMIT:
        message = f"This step reads {sum(refs.values())} bytes of outputs; at most {READ_LIMIT} can be loaded."
        raise StepFailed(at, "output_too_large", message)
    missing = tuple(ref for ref in refs if ref not in run.loaded)
    if missing:
        wanted = LoadInput(incident=run.input.incident, refs=missing)
        try:
            run.loaded.update((await run.activity(run.calls.load_outputs(wanted))).values)
        except ActivityError as error:
            raise not_built_in(at, error) from error


def not_built_in(path: str, error: ActivityError) -> StepFailed:
    """A built-in activity that failed for good, as a failure of the step that needed it."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
        return StepFailed(path, str(details.get("code") or cause.type or "failed"), cause.message)
    return StepFailed(path, "failed", "A part of Stanch itself did not answer.")


def names_here(run: "Run", place: Place, result: dict[str, Json] | None = None) -> dict[str, Json]:
    """The scope of expressions at a place."""
    about: dict[str, Json] = {
        "id": run.input.run,
        "playbook": place.frame.frame.playbook.id,
        "started_at": run.state.world_started,
        "mode": run.plan.context.mode.value,
    }
    return scope(run.state, place, run=about, loaded=run.loaded, result=result)


def _now(run: "Run", record: StepRecord | None) -> datetime:
    return parse(record.world_now) if record and record.world_now else run.clock.now()


def evaluate(
    run: "Run",
    source: str,
    place: Place,
    record: StepRecord | None,
    *,
    path: str = "",
    result: dict[str, Json] | None = None,
) -> Json:
    """Evaluate a bare expression; an author's error fails the step, never the workflow."""
    try:
        return expr.evaluate(source, names_here(run, place, result), now=_now(run, record))
    except expr.ExprError as error:
        raise StepFailed(path, f"expression_{error.code}", f"{error} (in: {source[:120]})") from error


def render(run: "Run", value: Json, place: Place, record: StepRecord | None, *, path: str = "") -> Json:
    """Render every template within a value."""
    if not any(True for _ in expr.templates(value)):
        return value
    try:
        return expr.render(value, names_here(run, place), now=_now(run, record))
    except expr.ExprError as error:
        raise StepFailed(path, f"expression_{error.code}", str(error)) from error


def suppliers(
    run: "Run", place: Place, *, values: Iterable[Json] = (), sources: Iterable[str | None] = ()
) -> list[str]:
    """People whose answers these values depend on, directly or by way of earlier steps, inputs and facts."""
    people: dict[str, None] = {}
    wanted = [source for value in values for source in expr.templates(value)]
    wanted += [source for source in sources if source]
    loops = {loop.name: loop for loop in place.loops}
    for source in wanted:
        for chain in expr.names(source):
            head, name = chain[0], chain[1] if len(chain) > 1 else ""
            if head in loops:
                people.update(dict.fromkeys(loops[head].suppliers))
            elif head == "inputs":
                people.update(dict.fromkeys(run.state.frames[place.frame_key].suppliers.get(name, ())))
            elif head == "incident":
                people.update(dict.fromkeys(_of_fact(run, name)))
            elif head == "steps":
                people.update(dict.fromkeys(_of_step(run, place, name)))
    return list(people)


def _of_fact(run: "Run", name: str) -> list[str]:
    fact = run.state.own_facts.get(name) or run.state.facts.facts.get(name)
    return [fact.by] if fact is not None and fact.trust == "person" and fact.by else []


def _of_step(run: "Run", place: Place, name: str) -> list[str]:
    path = place.frame.paths.get(name)
    if path is None:
        return []
    keys = [key for key in run.state.records if key == path or key.startswith(f"{path}[")]
    return [person for key in keys for person in run.state.records[key].suppliers]
