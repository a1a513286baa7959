"""Taking effects back, newest first: a step's own after its failure, or what a person asked to undo, or all that a
cancelled run offers to undo.

An undo is an effect like any other: previewed, permitted, journaled, read back. It starts a new epoch of its step,
so that a later apply is never taken for the earlier one. What is no longer as Stanch left it is not touched.
"""

from temporalio import workflow

from playbooks.contract import ActionResult, Json, Permit, Urgency, Verb
from playbooks.digest import approval_digest
from playbooks.plan import ActionStep, Escalate, NoteStep, PlannedStep, RunPlan, Terminal, Waiting
from playbooks.policy import merged, owners_of
from workflows.approvals import grant
from workflows.attempts import Attempts, Trouble
from workflows.envelopes import Shown, demanded, envelope_of, freeze, permit_of
from workflows.errors import RunCancelled, WalkEnded
from workflows.failures import asked_what_happened
from workflows.messages import Receipt, UndoRequest
from workflows.questions import closed, live, open_gate, timing
from workflows.run import Run
from workflows.scope import Loop, Place, PlanIndex, facts_of, path_of
from workflows.state import Approval, FrozenCall, FrozenStep, Gate, Need, RunState, StepRecord, Undoable, UndoAsked
from workflows.undo_order import taken_up, taking_up, to_undo, undo_order

OFFER = "@undo"
OFFER_WAITING = Waiting(
    within_seconds=1800,
    chain=(Escalate(role="incident_commander", within_seconds=900),),
    terminal=Terminal(outcome="deny"),
)
CHANGED_SINCE = "changed_since"
SHOWN_LEFT = 5
SHOWN_REASON = 500
NOT_WITHOUT = "it took up what {} did, which is not taken back; nothing was sent"
UNDO_RULE = "an undo takes one of the target's owners, though policy leaves the effect free ({})"


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


def beyond_undo(plan: RunPlan, index: PlanIndex, state: RunState, only: str | None = None) -> list[str]:
    """Effects of a run, or of one step instance, that cannot be taken back, newest first, each with its reason."""
    held = {effect.key for effect in state.undoable}
    lines = []
    for key, record in reversed(state.records.items()):
        step = index.steps.get(path_of(key))
        if step is None or not isinstance(step.spec, ActionStep) or not record.changed or only not in (None, key):
            continue
        facts = plan.actions[step.spec.name]
        sources = taken_up(state.undoable, key, plan.actions) if only else []
        if not facts.risk.is_effect or (key in held and not sources):
            continue
        reason = step.no_undo or facts.irreversible_because
        if record.status == "undone":
            reason = "already undone"
        elif record.code == "not_ours":
            reason = "no longer as Stanch left it"
        reason = NOT_WITHOUT.format(", ".join(sources)) if sources else reason
        lines.append(f"{key} ({facts.name}): {reason or 'nothing is on record that an undo could go by'}")
    return lines


def ask_undo(run: Run, request: UndoRequest) -> Receipt:
    """Take a person's wish to undo; the offer is previewed and asked beside the walk."""
    state = run.state
    if run.closing:
        return Receipt(accepted=False, code="closed", message="The run is ending. Nothing was asked; ask again.")
    open_ = next((asked.key for asked in state.undos if not asked.end), None)
    if open_ is None and (gate := live(run, OFFER)) is not None and gate.status == "open":
        open_ = OFFER
    if open_ is not None:
        message = f"An undo is already offered at {open_}. Decide it first."
        return Receipt(accepted=False, code="already_offered", message=message)
    wanted = _wanted(run, request.step)
    if not wanted:
        return nothing_to_undo(beyond_undo(run.plan, run.index, state, request.step))
    asked = UndoAsked(
        key=f"{OFFER}{len(state.undos) + 1}", person=request.person, step=request.step, reason=request.reason
    )
    state.undos.append(asked)
    run.note("undo.asked", actor=request.person, door="desk", text=request.reason, key=asked.key, of=request.step)
    effects = "1 effect is" if len(wanted) == 1 else f"{len(wanted)} effects are"
    message = f"Asked: {effects} previewed; then the undo waits for approval at {asked.key}."
    return Receipt(accepted=True, message=message, run=run.input.run)


def _wanted(run: Run, only: str | None) -> list[Undoable]:
    """What is to be taken back, newest first; a step under way is not, its own question offers that."""
    effects = to_undo(run.state.undoable, run.plan.actions, only)
    return [effect for effect in effects if _record_of(run, effect).finished]


def nothing_to_undo(reasons: list[str]) -> Receipt:
    """The refusal where no effect can be taken back, with the reason of each."""
    why = "; ".join(reasons) or "nothing was changed"
    return Receipt(accepted=False, code="nothing_to_undo", message=f"Nothing can be undone: {why}.")


async def asked_undo(run: Run, asked: UndoAsked) -> None:
    """Do what a person asked to undo, once it is approved.

    Raises:
        Suspended: this execution ends; the offer stays open.
    """
    what = asked.step or "what it did, newest first"
    after = run.input.after
    alone = after is not None and after.verb == "undo"
    reason = asked.reason or (after.reason if after is not None and alone else "")
    why = f": “{reason.strip()[:SHOWN_REASON]}”" if reason.strip() else ""
    question = f"{asked.person} asks to undo {what}{why}. Undo it?"
    try:
        asked.end = await _offered(run, asked.key, question, asked.step, [asked.person], ends_on_cancel=alone)
    except RunCancelled:
        asked.end = "cancelled"
    run.note("undo.finished", key=asked.key, end=asked.end)
    if asked.end == "undone" and run.input.after is None:
        run.state.warnings.append(f"{asked.step or 'What it had done'} was undone; {asked.person} asked for it.")


async def offer_undo(run: Run) -> bool:
    """Offer to take back everything, newest first. Returns whether all of it was undone.

    Raises:
        Suspended: this execution ends; the offer stays open.
    """
    state = run.state
    if not state.undo_state and OFFER not in state.approvals and not state.undoable:
        # Asked once, at the cancel: what a duty does afterwards is not offered, not by another execution either.
        state.undo_state = "nothing"
    if not state.undo_state:
        question = "The run was cancelled. Undo what it did, newest first?"
        state.undo_state = await _offered(run, OFFER, question, None, [])
    return state.undo_state == "undone"


async def _offered(
    run: Run, key: str, question: str, only: str | None, askers: list[str], *, ends_on_cancel: bool = False
) -> str:
    """Preview, ask, take back: ``undone``, ``partly`` or ``declined``. Everything of it outlives an execution."""
    state = run.state
    step = PlannedStep(path=key, title="Undo what this run did", spec=NoteStep(text=""))
    place = Place(run.index.frames[run.plan.frame.prefix], always=not ends_on_cancel)
    record = state.records.setdefault(key, StepRecord())
    approval = state.approvals.setdefault(key, Approval(path=key))
    if approval.approved is None:
        gate = live(run, key)
        if gate is None:
            gate = await _ask(run, step, place, record, approval, question, only, askers)
        gate = await closed(run, step, place, record, gate)
        grant(run, approval, gate)
    if not approval.approved:
        return "declined"
    for effect in undo_order(state.undoable, run.plan.actions):
        frozen = approval.steps.get(effect.key)
        if frozen is None:
            continue
        followers = taking_up(state.undoable, effect.key, run.plan.actions)
        if not await _take_back(run, effect, approval, frozen.calls[""]):
            record.code = "partly"
            _left(run, key, f"{effect.key}: {_record_of(run, effect).message}")
            for left in followers:
                if approval.steps.pop(left, None) is not None:
                    _left(run, key, f"{left}: {NOT_WITHOUT.format(effect.key)}")
        approval.steps.pop(effect.key)
    if record.code and workflow.patched("2026-11-25-undo-incomplete-told"):
        _tell_incomplete(run, key, askers)
    return record.code or "undone"


def _left(run: Run, key: str, line: str) -> None:
    run.state.undo_left.setdefault(key, []).append(line)


def _tell_incomplete(run: Run, key: str, askers: list[str]) -> None:
    """Page who asked for an undo, and the commander: what is left, and what to do next."""
    left = run.state.undo_left.get(key, [])
    more = f"; and {len(left) - SHOWN_LEFT} more" if len(left) > SHOWN_LEFT else ""
    again = f" Mend the cause, then `stanch incident undo {run.input.incident}` asks for the rest."
    run.tell(
        f"{key}:incomplete",
        (*(f"person:{person}" for person in askers), "role:incident_commander"),
        Urgency.PAGE,
        step=key,
        kind="text",
        text=f"An undo is not complete. Left: {'; '.join(left[:SHOWN_LEFT])}{more}."
        f"{again if run.state.undoable else ''} What is no longer as Stanch left it, look at by hand.",
    )


async def _ask(
    run: Run,
    step: PlannedStep,
    place: Place,
    record: StepRecord,
    approval: Approval,
    question: str,
    only: str | None,
    askers: list[str],
) -> Gate:
    shown: list[Shown] = []
    needs: list[Need] = []
    remains = beyond_undo(run.plan, run.index, run.state, only)
    for effect in _wanted(run, only):
        sources = taken_up(run.state.undoable, effect.key, run.plan.actions)
        if lacking := [source for source in sources if source not in approval.steps]:
            why = NOT_WITHOUT.format(", ".join(lacking))
            remains.append(f"{effect.key} ({effect.action}): {why}")
            record.code = "partly"
            _left(run, step.path, f"{effect.key}: {why}")
            continue
        try:
            part = await _preview(run, effect)
        except Trouble as trouble:
            run.state.warnings.append(f"{effect.key}: its undo could not be previewed: {trouble.message}")
            remains.append(f"{effect.key} ({effect.action}): it could not be previewed; {trouble.message}")
            record.code = "partly"
            _left(run, step.path, f"{effect.key}: its undo could not be previewed: {trouble.message}")
            continue
        approval.steps[effect.key] = FrozenStep(calls={"": part.call})
        shown.append(part)
        facts = run.plan.actions[effect.action]
        demand = demanded(run.plan.policy, facts, facts_of(run.state).get("severity"), [part.call])
        owners = owners_of(run.plan.policy, facts)
        needs += demand.needs or [Need(roles=owners, count=1, why=UNDO_RULE.format(demand.rule.replace("; ", ", ")))]
    return open_gate(
        run,
        step,
        place,
        Gate(
            kind="undo",
            path=step.path,
            digest=approval_digest(step.path, [part.call.digest for part in shown]),
            question=question,
            needs=merged(needs) or [Need(roles=("incident_commander",), count=1)],
            verdicts=["approve", "deny", "break_glass"],
            excluded=list(dict.fromkeys((*run.input.starters, *askers))),
            preview=[part.card() for part in shown],
            remains=remains,
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
    """Undo one effect and keep what became of it; whether it is undone."""
    async with run.undoing:
        if all(left.key != effect.key for left in run.state.undoable):
            return _record_of(run, effect).status == "undone"
        attempts = _attempts(run, effect)
        permit = permit_of(approval, call)
        try:
            result = await _sent(run, effect, attempts, permit)
        except Trouble as trouble:
            return _not_undone(run, effect, attempts, trouble.code, trouble.message)
        code, message = _lacking(result)
        if code is not None:
            return _not_undone(run, effect, attempts, code, message)
        record = attempts.record
        run.state.undoable = [left for left in run.state.undoable if left.key != effect.key]
        record.summary, record.code = result.summary, None
        if record.finished:
            record.status = "undone"
        run.note("step.undone", step=attempts.step, place=attempts.place)
        run.reporter.changed(always=True)
        return True


async def _sent(run: Run, effect: Undoable, attempts: Attempts, permit: Permit) -> ActionResult:
    """Send one undo; where its outcome is not known, ask until it is.

    Raises:
        Trouble: it did not happen.
    """
    record = attempts.record
    if not record.undoing:
        record.epoch += 1
        try:
            result = await attempts.act(Verb.UNDO, effect.params, permit, effect.undo_args)
        except WalkEnded:
            record.epoch -= 1
            raise
        except Trouble as trouble:
            if trouble.kind != "unknown":
                raise
            record.message = trouble.message
        else:
            if not _in_doubt(result):
                return result
            record.message = result.summary
        record.undoing = record.status
    found = await _found_out(run, effect, attempts, permit)
    record.status, record.undoing, record.message = record.undoing, "", ""
    if found is None:
        raise Trouble("failed", "did_not_happen", "A person found that it is not taken back.")
    return found


async def _found_out(run: Run, effect: Undoable, attempts: Attempts, permit: Permit) -> ActionResult | None:
    record, step = attempts.record, attempts.step
    record.status = "unknown"
    run.reporter.changed(always=True)
    undo_args: dict[str, Json] = effect.undo_args
    while True:
        name = step.title or effect.key
        question = f"The undo of {name} was sent, but its outcome is not known. Is it taken back? {record.message}"
        verdict = await asked_what_happened(run, step, attempts.place, record, attempts.facts, question.strip())
        if verdict == "happened":
            return ActionResult(changed=True, verified=None, summary="A person found that it is taken back.")
        if verdict == "not_happened":
            return None
        try:
            result = await attempts.act(Verb.VERIFY, effect.params, permit, undo_args)
        except Trouble as trouble:
            record.message = f"It could not be verified: {trouble.message}"
            continue
        if result.verified:
            return result
        record.message = f"Reading back does not show it: {result.summary}"


def _codes(result: ActionResult) -> set[str]:
    return {line.rpartition(": ")[2] for line in result.items.failures} if result.items else set()


def _in_doubt(result: ActionResult) -> bool:
    """Whether something was sent of which the system said nothing."""
    return result.items is not None and result.items.unknown > 0 and not _codes(result) <= {CHANGED_SINCE}


def _lacking(result: ActionResult) -> tuple[str | None, str]:
    """Why a finished undo does not count as one: a code and words; ``None`` if it does."""
    if result.items is not None and result.items.failed:
        return "undo_incomplete", f"Not all of it could be taken back: {result.summary}."
    if CHANGED_SINCE in _codes(result):
        return "not_ours", f"Some of it is no longer as Stanch left it and was not touched: {result.summary}."
    put_back = result.items is not None and result.items.already > 0
    if not result.changed and not (put_back and workflow.patched("2026-11-30-undo-put-back")):
        return "not_ours", "It is no longer as Stanch left it; nothing was touched."
    if result.verified is False:
        return "not_verified", f"It was taken back, but reading back does not show it: {result.summary}."
    return None, ""


def _not_undone(run: Run, effect: Undoable, attempts: Attempts, code: str, message: str) -> bool:
    if code == "not_ours":
        # There is nothing of ours left to take back.
        run.state.undoable = [left for left in run.state.undoable if left.key != effect.key]
    attempts.record.code, attempts.record.message = code, message
    run.state.warnings.append(f"{effect.key}: not undone: {message}")
    run.note("undo.failed", step=attempts.step, place=attempts.place, code=code)
    return False
