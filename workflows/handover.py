"""Ending a run where it stands, so that another goes on from its state under a new version of its playbook."""

from playbooks.plan import ActionStep
from workflows.messages import HandOverRequest, Receipt
from workflows.run import Run
from workflows.scope import path_of


def hand_over(run: Run, request: HandOverRequest) -> Receipt:
    """Take the wish to end here. Refused while an action is under way or an undo is offered."""
    if run.closing or run.state.handed_over:
        return Receipt(accepted=False, code="closed", message="The run is ending. Nothing was migrated.")
    busy = under_way(run)
    if busy:
        names = ", ".join(busy)
        return Receipt(accepted=False, code="step_in_flight", message=f"Under way: {names}. Nothing was migrated.")
    if any(not asked.end for asked in run.state.undos) or run.state.cancelled:
        return Receipt(accepted=False, code="already_offered", message="An undo is offered. Nothing was migrated.")
    run.state.handed_over = request.to
    run.note("run.handed_over", actor=request.person, door="desk", text=request.reason, to=request.to)
    return Receipt(accepted=True, message=f"{run.input.run} ends here.", run=run.input.run)


def close_gates(run: Run) -> None:
    """Close what still waits for people, once the walk has ended: the other run asks anew."""
    for gate in run.state.gates.values():
        if gate.status == "open":
            gate.status, gate.closed_at = "closed", run.clock.stamp()
            step = run.index.steps.get(gate.path)
            run.note("gate.closed", step=step, gate=gate.kind, digest=gate.digest, status="closed", round=gate.round)


def under_way(run: Run) -> list[str]:
    """Actions that were sent and have not come back."""
    found = []
    for key, record in run.state.records.items():
        step = run.index.steps.get(path_of(key))
        if step is not None and isinstance(step.spec, ActionStep) and record.status == "running" and not record.items:
            found.append(key)
    return found
