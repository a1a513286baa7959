"""What follows a failure: the step's ``on_failure``, and effects of which nobody knows whether they happened."""

from dataclasses import replace

from playbooks.contract import ActionFacts, ActionResult, Affected, Json, Permit, Verb
from playbooks.digest import digest_of
from playbooks.plan import ActionStep, Escalate, PlannedStep, Terminal, Waiting
from workflows.attempts import Attempts, Trouble
from workflows.errors import StepFailed
from workflows.questions import closed, live, open_gate, timing
from workflows.run import Run
from workflows.scope import Place
from workflows.state import Gate, Need, StepRecord

CHAIN = (Escalate(role="incident_commander", within_seconds=900),)
FAILURE_WAITING = Waiting(within_seconds=900, chain=CHAIN, terminal=Terminal(outcome="stop"))


def _needs(step: PlannedStep, facts: ActionFacts | None) -> list[Need]:
    owner = step.owner or (facts.owner if facts else "incident_commander")
    return [Need(roles=(owner,), count=1, why="the owner of what failed")]


async def resolve_unknown(
    run: Run,
    step: PlannedStep,
    place: Place,
    record: StepRecord,
    attempts: Attempts,
    params: dict[str, Json],
    permit: Permit | None,
) -> ActionResult:
    """Ask whether an effect happened; only a person or a successful verify ends it.

    Returns:
        The result as far as it is known.

    Raises:
        StepFailed: it did not happen.
    """
    record.status = "unknown"
    run.reporter.changed(always=True)
    name = step.title or step.path
    while True:
        question = f"{name} was sent, but its outcome is not known. Did it happen? {record.message}".strip()
        verdict = await asked_what_happened(run, step, place, record, attempts.facts, question)
        if verdict == "happened":
            return await _as_it_is(attempts, params, permit)
        if verdict == "not_happened":
            record.denied_tries = record.tries
            raise StepFailed(step.path, "did_not_happen", "A person found that it did not happen.")
        try:
            result = await attempts.act(Verb.VERIFY, params, permit)
        except Trouble as trouble:
            record.message = f"It could not be verified: {trouble.message}"
            record.tries += 1
            continue
        if result.verified:
            return result
        record.message = f"Reading back does not show it: {result.summary}"


async def asked_what_happened(
    run: Run, step: PlannedStep, place: Place, record: StepRecord, facts: ActionFacts, question: str
) -> str | None:
    """Ask the owner what became of an effect: ``happened``, ``not_happened`` or ``verify``. No silence ends it."""
    gate = live(run, place.key(step.path))
    if gate is None or gate.kind != "unknown":
        about = {"unknown": place.name(step.path), "tries": record.tries, "plan": run.input.plan_digest}
        gate = open_gate(
            run,
            step,
            place,
            Gate(
                kind="unknown",
                path=step.path,
                item=place.item,
                digest=digest_of(about),
                question=question,
                needs=_needs(step, facts),
                verdicts=["happened", "not_happened", "verify"],
                **timing(run, FAILURE_WAITING) | {"terminal": None},
            ),
        )
    # Neither a cancel nor an enclosing time-out answers it: what happened has to be found out all the same.
    gate = await closed(run, step, replace(place, always=True, until=None, halts=()), record, gate)
    record.by = list(gate.decided_by)
    return gate.verdict


async def _as_it_is(attempts: Attempts, params: dict[str, Json], permit: Permit | None) -> ActionResult:
    """A person says it happened: take what reading back shows, else only their word."""
    try:
        result = await attempts.act(Verb.VERIFY, params, permit)
    except Trouble:
        result = ActionResult()
    if result.verified:
        return result
    return ActionResult(
        changed=True,
        summary="A person found that it happened.",
        verified=None,
        affected=Affected(),
        warnings=("not verified by reading back; a person found that it happened",),
    )


async def after_failure(run: Run, step: PlannedStep, place: Place, record: StepRecord, failed: StepFailed) -> str:
    """Ask what to do after a failure: ``retry skip undo stop``. Silence escalates, then stops."""
    key = place.key(step.path)
    gate = live(run, key)
    if gate is None or gate.kind != "failure":
        facts = run.plan.actions.get(step.spec.name) if isinstance(step.spec, ActionStep) else None
        undoable = any(effect.key == place.name(step.path) for effect in run.state.undoable)
        gate = open_gate(
            run,
            step,
            place,
            Gate(
                kind="failure",
                path=step.path,
                item=place.item,
                digest=digest_of(
                    {
                        "failure": place.name(step.path),
                        "tries": record.tries,
                        "code": failed.code,
                        "plan": run.input.plan_digest,
                    }
                ),
                question=f"{step.title or step.path} failed ({failed.code}): {failed.message} What now?",
                needs=_needs(step, facts),
                verdicts=["retry", "skip", *(["undo"] if undoable else []), "stop"],
                **timing(run, FAILURE_WAITING),
            ),
        )
    gate = await closed(run, step, place, record, gate)
    record.by = list(gate.decided_by)
    return gate.verdict if gate.status == "answered" and gate.verdict else "stop"
