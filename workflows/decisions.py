"""Taking one decision: once, whoever repeats it, and with a trace of every refusal."""

from playbooks.contract import Decision, DecisionReceipt
from workflows.gates import count, judge, refuse
from workflows.run import Run
from workflows.state import Gate, Seen

REFUSALS_IN_FULL = 50


def decide(run: Run, decision: Decision, update: str) -> DecisionReceipt:
    """Judge and count a decision.

    A repeat of an accepted decision by the same update gets the same receipt; by another update it is a replay.
    Only accepted receipts are kept: a refusal must not outlive its reason.
    """
    state = run.state
    gate = state.gates.get(decision.step)
    if decision.incident != run.input.incident or decision.run != run.input.run:
        return _refused(run, None, decision, refuse("not_waiting", "It was made for another run."))
    seen = state.seen.get(decision.nonce)
    if seen is not None:
        if seen.update == update:
            return DecisionReceipt.model_validate(seen.receipt)
        return _refused(run, gate, decision, refuse("nonce_used"))
    refusal = judge(gate, decision, run.clock.now(), state.desk_keys)
    if refusal is not None or gate is None:
        return _refused(run, gate, decision, refusal or refuse("not_waiting"))
    receipt = count(gate, decision)
    state.seen[decision.nonce] = Seen(update=update, receipt=receipt.model_dump(mode="json"))
    step = run.index.steps.get(gate.path)
    run.note(
        "decision.accepted",
        step=step,
        pass_=gate.pass_,
        actor=decision.person,
        door=decision.door,
        text=decision.reason,
        gate=gate.kind,
        item=gate.item,
        round=gate.round,
        verdict=decision.verdict,
        digest=decision.digest,
        roles=list(decision.roles_at),
        fields=sorted(decision.values),
        nonce=decision.nonce,
        key_id=decision.key_id,
        sig=decision.sig,
        decided_at=decision.at,
    )
    return receipt


def _refused(run: Run, gate: Gate | None, decision: Decision, receipt: DecisionReceipt) -> DecisionReceipt:
    if gate is not None:
        gate.refused += 1
        if gate.refused > REFUSALS_IN_FULL:
            return receipt
    elif sum(entry.kind == "decision.refused" for entry in run.state.unrecorded) >= REFUSALS_IN_FULL:
        return receipt
    run.note(
        "decision.refused",
        step=run.index.steps.get(gate.path) if gate is not None else None,
        actor=decision.person,
        door=decision.door,
        code=receipt.code,
        verdict=decision.verdict,
        digest=decision.digest,
        at_step=decision.step,
    )
    return receipt
