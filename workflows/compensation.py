"""Taking effects back, newest first: one step's own after its failure, or all that a cancelled run offers to undo.

An undo is an effect like any other: previewed, permitted, journaled, read back. It starts a new epoch of its step,
so that a later apply is never taken for the earlier one.
"""

from playbooks.contract import Verb
from playbooks.digest import approval_digest
from playbooks.plan import Escalate, NoteStep, PlannedStep, Terminal, Waiting
from playbooks.policy import merged
from workflows.approvals import grant
from workflows.attempts import Attempts, Trouble
from workflows.envelopes import Shown, demanded, envelope_of, freeze, permit_of
from workflows.errors import WalkEnded
from workflows.questions import closed, live, open_gate, timing
from workflows.run import Run
from workflows.scope import Loop, Place, facts_of
from workflows.state import Approval, FrozenCall, FrozenStep, Gate, Need, StepRecord, Undoable

OFFER = "@undo"
OFFER_STEP = PlannedStep(path=OFFER, title="Undo what this run did", spec=NoteStep(text=""))
OFFER_WAITING = Waiting(
    within_seconds=1800,
    chain=(Escalate(role="incident_commander", within_seconds=900),),
    terminal=Terminal(outcome="deny"),
)


async def undo_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Take back a failed step's own effect, if there is one; what cannot be taken back is a warning."""
    key = place.name(step.path)
    effect = next((effect for effect in run.state.undoable if effect.key == key), None)
    if effect is None:
        run.state.warnings.append(f"{key}: nothing could be undone.")
        return
    try:
        shown = await _preview(run, effect)
    except Trouble as trouble:
        run.state.warnings.append(f"{key}: its undo could not be previewed: {trouble.message}")
        return
    by = list(record.by)
    rule = "undo of the step's own effect after its failure, " + (f"by {', '.join(by)}" if by else "by the playbook")
    await _take_back(run, effect, Approval(path=key, approved=True, by=by, rule=rule), shown.call)


async def offer_undo(run: Run) -> bool:
    """Offer to take back everything, newest first. Returns whether all of it was undone.

    Raises:
        Suspended: this execution ends; the offer stays open.
    """
    state = run.state
    if state.undo_state or (OFFER not in state.approvals and not state.undoable):
        return state.undo_state == "undone"
    place = Place(run.index.frames[run.plan.frame.prefix], always=True)
    record = state.records.setdefault(OFFER, StepRecord())
    approval = state.approvals.setdefault(OFFER, Approval(path=OFFER))
    if approval.approved is None:
        gate = live(run, OFFER)
        if gate is None:
            gate = await _offer(run, place, approval)
        gate = await closed(run, OFFER_STEP, place, record, gate)
        grant(run, approval, gate)
    if not approval.approved:
        state.undo_state = "declined"
        return False
    for effect in reversed(list(state.undoable)):
        if not await _take_back(run, effect, approval, approval.steps[effect.key].calls[""]):
            record.code = "partly"
    state.undo_state = record.code or "undone"
    return state.undo_state == "undone"


async def _offer(run: Run, place: Place, approval: Approval) -> Gate:
    shown: list[Shown] = []
    needs: list[Need] = []
    for effect in reversed(run.state.undoable):
        try:
            part = await _preview(run, effect)
        except Trouble as trouble:
            run.state.warnings.append(f"{effect.key}: its undo could not be previewed: {trouble.message}")
            continue
        approval.steps[effect.key] = FrozenStep(calls={"": part.call})
        shown.append(part)
        facts = run.plan.actions[effect.action]
        demand = demanded(run.plan.policy, facts, facts_of(run.state).get("severity"), [part.call])
        needs += demand.needs or [Need(roles=(facts.owner,), count=1, why=f"undo; {demand.rule}")]
    run.state.undoable = [effect for effect in run.state.undoable if effect.key in approval.steps]
    return open_gate(
        run,
        OFFER_STEP,
        place,
        Gate(
            kind="undo",
            path=OFFER,
            digest=approval_digest(OFFER, [part.call.digest for part in shown]),
            question="The run was cancelled. Undo what it did, newest first?",
            needs=merged(needs) or [Need(roles=("incident_commander",), count=1)],
            verdicts=["approve", "deny"],
            preview=[part.card() for part in shown],
            **timing(run, OFFER_WAITING),
        ),
    )


def _attempts(run: Run, effect: Undoable) -> Attempts:
    step = run.index.steps[effect.path]
    indices = [int(part) for part in effect.item.split("/")] if effect.item else []
    loops = tuple(Loop(effect.path, index, "item", None) for index in indices)
    place = Place(run.index.frames[run.plan.frame.prefix], loops=loops, always=True, pass_=effect.pass_)
    return Attempts(run, step, place, _record_of(run, effect), run.plan.actions[effect.action])


def _record_of(run: Run, effect: Undoable) -> StepRecord:
    """The record of the step instance; made anew for an earlier pass of a ``repeat``, whose records are gone."""
    held = run.state.records.get(effect.key.partition("#")[0])
    if held is not None and held.pass_ == effect.pass_:
        return held
    gone = StepRecord(status="done", pass_=effect.pass_, tries=effect.tries, epoch=effect.epoch)
    return run.state.records.setdefault(effect.key, gone)


async def _preview(run: Run, effect: Undoable) -> Shown:
    attempts = _attempts(run, effect)
    seen = await attempts.preview(effect.params, effect.undo_args)
    envelope = envelope_of(
        attempts.facts,
        plan=run.input.plan_digest,
        step=effect.path,
        item=effect.item,
        params=effect.params,
        shown=seen.count,
        mode=run.plan.context.mode,
        pass_=effect.pass_,
    )
    return Shown(freeze(envelope, seen), seen, f"Undo: {effect.summary}", effect.path, effect.item)


async def _take_back(run: Run, effect: Undoable, approval: Approval, call: FrozenCall) -> bool:
    attempts = _attempts(run, effect)
    record = attempts.record
    record.epoch += 1
    try:
        result = await attempts.act(Verb.UNDO, effect.params, permit_of(approval, call), effect.undo_args)
    except WalkEnded:
        record.epoch -= 1
        raise
    except Trouble as trouble:
        run.state.warnings.append(f"{effect.key}: not undone: {trouble.message}")
        run.note("undo.failed", step=attempts.step, place=attempts.place, code=trouble.code)
        run.state.undoable = [left for left in run.state.undoable if left.key != effect.key]
        return False
    run.state.undoable = [left for left in run.state.undoable if left.key != effect.key]
    record.status, record.summary = "undone", result.summary
    run.note("step.undone", step=attempts.step, place=attempts.place)
    return True
