"""Opening a gate, telling whom it concerns, and waiting for its end: decided, expired or given up."""

from playbooks.contract import Json, Urgency
from playbooks.plan import Escalate, PlannedStep, Quorum, Waiting
from workflows.errors import RunCancelled, StepFailed
from workflows.gates import escalate
from workflows.run import Run
from workflows.scope import Place
from workflows.state import Gate, Need, StepRecord

URGENT = frozenset({"approve", "failure", "unknown"})


def live(run: Run, key: str) -> Gate | None:
    """The gate here that is open, or closed but not yet acted upon."""
    gate = run.state.gates.get(key)
    return None if gate is None or gate.consumed else gate


def needs_of(quorum: Quorum, why: str) -> list[Need]:
    """A playbook's quorum as needs: any of the roles, or each its own number."""
    if quorum.each:
        return [Need(roles=(role,), count=number, why=why) for role, number in quorum.each.items()]
    return [Need(roles=quorum.roles, count=quorum.count, why=why)]


def timing(run: Run, waiting: Waiting) -> dict[str, Json]:
    """The deadline and the chain behind it, for a gate that opens now."""
    return {
        "opened_at": run.clock.stamp(),
        "deadline": run.clock.after(waiting.within_seconds),
        "chain": list(waiting.chain),
        "terminal": waiting.terminal,
    }


def open_gate(run: Run, step: PlannedStep, place: Place, gate: Gate) -> Gate:
    """Put a gate into the state and tell those who may decide; it is offered once it is recorded."""
    key = place.key(step.path)
    last = run.state.gates.get(key)
    gate.round = last.round + 1 if last else 1
    gate.pass_ = place.pass_
    run.state.gates[key] = gate
    run.note(
        "gate.opened",
        place=place,
        step=step,
        gate=gate.kind,
        digest=gate.digest,
        round=gate.round,
        needs=[{"roles": list(need.roles), "count": need.count} for need in gate.needs],
        shown=_shown(gate),
    )
    tell_gate(run, key, gate, Urgency.HIGH if gate.kind in URGENT else Urgency.NORMAL)
    return gate


def _shown(gate: Gate) -> dict[str, Json]:
    """Number of targets that people are shown, by step."""
    counts: dict[str, Json] = {}
    for card in gate.preview:
        step, count = str(card.get("step")), card.get("count")
        held = counts.get(step, 0)
        counts[step] = (held if isinstance(held, int) else 0) + (count if isinstance(count, int) else 0)
    return counts


def tell_gate(run: Run, key: str, gate: Gate, urgency: Urgency, link: int = 0, roles: tuple[str, ...] = ()) -> None:
    """Tell the deciding roles that something waits for them."""
    asked = roles or tuple(dict.fromkeys(role for need in gate.needs for role in need.roles))
    run.tell(
        f"{key}:gate{gate.round}" + (f".{link}" if link else ""),
        tuple(f"role:{role}" for role in asked),
        urgency,
        step=key,
        kind="gate",
        gate=gate.kind,
        question=gate.question,
        digest=gate.digest,
    )


async def closed(run: Run, step: PlannedStep, place: Place, record: StepRecord, gate: Gate) -> Gate:
    """Wait until the gate is decided or its time-out chain has ended, and mark it acted upon.

    Raises:
        RunCancelled, StepFailed: the run or the enclosing block ended first; the gate is then closed.
        Suspended: this execution ends; the gate stays open.
    """
    # An effect that may have happened stays ``unknown`` while people find out: nothing may close over it.
    record.status = "unknown" if gate.kind == "unknown" else "waiting"
    record.waiting_for = gate.kind
    if not gate.recorded:
        await run.flush()
        gate.recorded = True
    key = place.key(step.path)
    try:
        while gate.status == "open":
            if await run.wait(lambda: gate.status != "open", place, gate.deadline):
                break
            _silence(run, step, place, key, gate)
    except (RunCancelled, StepFailed):
        gate.status, gate.closed_at = "closed", run.clock.stamp()
        _conclude(run, step, place, key, gate)
        raise
    _conclude(run, step, place, key, gate)
    record.waiting_for = None
    if gate.kind != "unknown":
        record.status = "running"
    return gate


def _silence(run: Run, step: PlannedStep, place: Place, key: str, gate: Gate) -> None:
    if gate.chain:
        link: Escalate = gate.chain[0]
        role = escalate(gate, run.clock.now(), run.clock.after(link.within_seconds))
        run.note("gate.escalated", place=place, step=step, role=role, round=gate.round)
        tell_gate(run, key, gate, Urgency.PAGE, gate.escalations, (role,))
    elif gate.terminal is not None:
        gate.status, gate.closed_at = "expired", run.clock.stamp()
    else:
        gate.deadline = None


def _conclude(run: Run, step: PlannedStep, place: Place, key: str, gate: Gate) -> None:
    gate.consumed = True
    gate.preview = []
    run.note(
        "gate.closed",
        place=place,
        step=step,
        gate=gate.kind,
        digest=gate.digest,
        status=gate.status,
        verdict=gate.verdict,
        by=list(gate.decided_by),
        refused=gate.refused,
        round=gate.round,
    )
    if gate.break_glass is not None:
        run.state.warnings.append(f"{step.path}: break-glass by {', '.join(gate.decided_by)}; review it afterwards.")
        run.reporter.glass_broken(key, gate)
    roles = dict.fromkeys(role for need in gate.needs for role in need.roles)
    run.tell(
        f"{key}:result{gate.round}",
        tuple(f"role:{role}" for role in roles),
        Urgency.NORMAL,
        step=key,
        kind="result",
        gate=gate.kind,
        status=gate.status,
        verdict=gate.verdict,
        by=list(gate.decided_by),
        supersedes=f"{key}:gate{gate.round}",
    )
