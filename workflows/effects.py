"""Action steps: permit, apply, understand the end, and ask people where only people can say.

An effect runs in this order: the approval that covers it (or policy, or a question of its own), a comparison of
what was approved with what would run now, the action with that permit, and what follows a failure.
"""

from temporalio import workflow

from playbooks.contract import ActionFacts, ActionResult, Json, Permit, Verb
from playbooks.plan import ActionStep, ApproveStep, PlannedStep
from workflows.approvals import (
    SELF_ASK,
    SELF_VALID_SECONDS,
    ask_for,
    check_params,
    covering,
    given_in_advance,
    grant,
    preview,
    requesters,
    without_item,
)
from workflows.attempts import Attempts, Trouble
from workflows.envelopes import demanded, differences, permit_of
from workflows.errors import RunDenied, StepFailed
from workflows.failures import resolve_unknown
from workflows.gates import parse
from workflows.questions import closed, live, needs_of
from workflows.run import Run, finish, size_of
from workflows.scope import Place, facts_of
from workflows.state import Approval, FrozenCall, FrozenStep, Need, StepRecord, Undoable
from workflows.values import evaluate, render, suppliers

TOO_OLD = "The approval is no longer valid; it was given too long ago."
MAX_ROUNDS = 5
"""How often one effect may be refused as changed before it counts as failed."""


class Denied(Exception):
    """People said no to this effect."""

    def __init__(self, message: str, *, stops: bool = False) -> None:
        super().__init__(message)
        self.stops = stops


async def action_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Run one action instance to its end. Raises as ``called`` does."""
    if await called(run, step, place, record):
        finish(record, "done", run.clock.stamp())


async def called(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> bool:
    """Call an action and keep its result; ``False`` if it was denied, which is then the end of the step.

    Raises:
        StepFailed: it failed; what follows is for ``on_failure``.
        RunDenied: it was denied and the playbook says stop.
    """
    spec = step.spec
    assert isinstance(spec, ActionStep)
    facts = run.plan.actions[spec.name]
    attempts = Attempts(run, step, place, record, facts)
    try:
        if facts.risk.is_effect:
            params, result = await _effect(run, step, place, record, facts, attempts)
        else:
            params = render(run, spec.with_, place, record, path=step.path)
            check_params(step, facts, params)
            result = await _applied(run, step, place, record, attempts, params, None)
    except Denied as denied:
        record.stops = denied.stops
        finish(record, "denied", run.clock.stamp(), code="denied", message=str(denied))
        run.note("step.denied", place=place, step=step)
        if denied.stops:
            raise RunDenied(str(denied)) from denied
        return False
    keep_result(run, step, place, record, attempts, params, result)
    return True


async def _effect(
    run: Run, step: PlannedStep, place: Place, record: StepRecord, facts: ActionFacts, attempts: Attempts
) -> tuple[dict[str, Json], ActionResult]:
    key = place.key(step.path)
    while record.changes < MAX_ROUNDS:
        approval = run.state.approvals.get(key)
        if record.status != "unknown" or approval is None:
            approval = await _granted(run, step, place, record, facts, list(record.difference))
        call = approval.steps[step.path].calls[""]
        permit = permit_of(approval, call)
        try:
            return call.params, await _applied(run, step, place, record, attempts, call.params, permit)
        except Trouble as trouble:
            if trouble.code == "protected" and permit.protected_allowed:
                raise StepFailed(step.path, trouble.code, trouble.message) from trouble
            run.note("step.changed", place=place, step=step, code=trouble.code)
            record.changes, record.difference = record.changes + 1, list(trouble.difference)
            run.state.approvals.pop(key, None)
    record.changes, record.difference = 0, []
    raise StepFailed(step.path, "plan_changed", f"It changed {MAX_ROUNDS} times before it could run.")


async def _applied(
    run: Run,
    step: PlannedStep,
    place: Place,
    record: StepRecord,
    attempts: Attempts,
    params: dict[str, Json],
    permit: Permit | None,
) -> ActionResult:
    if record.status == "unknown":
        return await resolve_unknown(run, step, place, record, attempts, params, permit)
    try:
        result = await attempts.act(Verb.APPLY, params, permit)
    except Trouble as trouble:
        if trouble.kind == "unknown":
            record.code, record.message = trouble.code, trouble.message
            return await resolve_unknown(run, step, place, record, attempts, params, permit)
        if trouble.kind == "failed":
            raise StepFailed(step.path, trouble.code, trouble.message) from trouble
        raise
    if result.verified is False:
        _remember_undo(run, step, place, record, attempts, params, result)
        record.summary, record.changed, record.verified = result.summary, result.changed, False
        record.affected = result.affected
        message = f"It was applied, but reading back does not show it: {result.summary}"
        raise StepFailed(step.path, "not_verified", message)
    return result


async def _granted(
    run: Run, step: PlannedStep, place: Place, record: StepRecord, facts: ActionFacts, changed: list[str]
) -> Approval:
    """The approval under which this effect may run now, asking for one where there is none."""
    key = place.key(step.path)
    own = run.state.approvals.get(key)
    gate = live(run, key)
    if own is not None and gate is not None and gate.kind == "approve":
        return await _asked(run, step, place, record, own)
    if own is not None and own.approved:
        changed = _compared(run, step, place, record, own.steps[step.path].calls[""])
        if not changed and not _lapsed(run, own):
            return own
        changed = changed or _lapsed(run, own)
    cover, frozen, asking = covering(run, step, place)
    needs: list[Need] = []
    if cover is not None and asking is not None and not changed:
        if cover.approved is False:
            raise Denied("The decision that covers it was no.")
        changed = _compared(run, step, place, record, frozen)
        if frozen is not None and not changed and not _lapsed(run, cover):
            calls = {step.path: FrozenStep(calls={"": frozen})}
            own = run.state.approvals[key] = cover.model_copy(update={"path": step.path, "steps": calls})
            return own
        changed = changed or _lapsed(run, cover)
    if asking is not None:
        needs = needs_of(asking.by, "the playbook")
    if changed:
        run.note("approval.plan_changed", place=place, step=step)
    shown = await preview(run, step, place, facts)
    demand = demanded(run.plan.policy, facts, facts_of(run.state).get("severity"), [shown.call])
    if demand.refused:
        raise StepFailed(step.path, "policy_refused", f"Policy does not allow it: {demand.rule}.")
    own = Approval(path=step.path, steps={step.path: FrozenStep(calls={"": shown.call})}, rule=demand.rule)
    run.state.approvals[key] = own
    covered = cover is not None and cover.approved
    if not demand.needs and not covered and _policy_alone(run, step, place, asking):
        own.approved = True
        return own
    needs = [*needs, *demand.needs]
    # What changed since people decided is for people.
    asked = requesters(run, step, place)
    if not changed and given_in_advance(run, step, place, own, needs, asked, SELF_VALID_SECONDS):
        return own
    ask_for(run, step, place, shown, needs, changed, asking.waiting if asking else SELF_ASK)
    return await _asked(run, step, place, record, own)


def _policy_alone(run: Run, step: PlannedStep, place: Place, asking: ApproveStep | None) -> bool:
    """Whether only policy has a say: no approve step covers it, or its own condition left that step out.

    An approve step that failed has decided nothing, and what the playbook asks for is still to be asked.
    """
    if asking is None:
        return True
    assert isinstance(step.spec, ActionStep) and step.spec.covered_by is not None
    record = run.state.records.get(place.seen(step.spec.covered_by) or "")
    if record is not None and record.code == "when_false":
        return True
    return not workflow.patched("2026-11-25-approve-step-failed")


async def _asked(run: Run, step: PlannedStep, place: Place, record: StepRecord, own: Approval) -> Approval:
    gate = await closed(run, step, place, record, run.state.gates[place.key(step.path)])
    grant(run, own, gate)
    record.by = list(gate.decided_by)
    if own.approved:
        return own
    asking = _asking(run, step)
    stops = asking is not None and asking.on_deny == "stop"
    if gate.status == "expired":
        stops = gate.terminal is not None and gate.terminal.outcome == "stop"
        raise Denied("Nobody decided in time.", stops=stops)
    raise Denied(f"Denied by {', '.join(gate.decided_by)}.", stops=stops)


def _asking(run: Run, step: PlannedStep) -> ApproveStep | None:
    assert isinstance(step.spec, ActionStep)
    spec = run.index.steps[step.spec.covered_by].spec if step.spec.covered_by else None
    return spec if isinstance(spec, ApproveStep) else None


def _lapsed(run: Run, approval: Approval) -> list[str]:
    """Why an approval counts no more, in a sentence; empty if it does."""
    if approval.void:
        return [approval.void]
    old = approval.expires_at is not None and run.clock.now() >= parse(approval.expires_at)
    return [TOO_OLD] if old else []


def _compared(run: Run, step: PlannedStep, place: Place, record: StepRecord, frozen: FrozenCall | None) -> list[str]:
    """Render the covered step once more and say what differs from what was approved."""
    assert isinstance(step.spec, ActionStep)
    lines = differences(frozen, render(run, step.spec.with_, place, record, path=step.path))
    if step.when is not None and frozen is not None:
        outside = without_item(place, step.path)
        if not evaluate(run, step.when, outside, record, path=step.path):
            lines.append("Its condition no longer holds.")
    return lines


def keep_result(
    run: Run,
    step: PlannedStep,
    place: Place,
    record: StepRecord,
    attempts: Attempts,
    params: dict[str, Json],
    result: ActionResult,
) -> None:
    """Keep what a call gave in the step's record, and what undoing it needs."""
    assert isinstance(step.spec, ActionStep)
    record.summary, record.changed, record.verified = result.summary, result.changed, result.verified
    record.affected = result.affected
    record.suppliers = suppliers(run, place, values=[step.spec.with_, step.for_each], sources=[step.when])
    own = run.state.approvals.pop(place.key(step.path), None)
    record.by = record.by or (list(own.by) if own else [])
    record.outcome_key = f"{attempts.key(Verb.APPLY)}/{record.tries}"
    if result.output_ref is not None:
        record.output_ref, record.output_bytes = result.output_ref.ref, result.output_ref.bytes
    else:
        record.output, record.output_bytes = result.output, size_of(result.output)
    for warning in result.warnings:
        run.state.warnings.append(f"{place.key(step.path)}: {warning}")
    _remember_undo(run, step, place, record, attempts, params, result)


def _remember_undo(
    run: Run,
    step: PlannedStep,
    place: Place,
    record: StepRecord,
    attempts: Attempts,
    params: dict[str, Json],
    result: ActionResult,
) -> None:
    key = place.name(step.path)
    if not (attempts.facts.reversible and result.changed) or step.no_undo is not None:
        return
    # A later try may have changed more: its result holds the undo of all tries.
    run.state.undoable = [effect for effect in run.state.undoable if effect.key != key]
    run.state.undoable.append(
        Undoable(
            key=key,
            path=step.path,
            pass_=place.pass_,
            item=place.item,
            tries=record.tries,
            epoch=record.epoch,
            action=attempts.facts.name,
            version=attempts.facts.version,
            params=params,
            undo_args=result.undo_args or {},
            summary=result.summary,
        )
    )
