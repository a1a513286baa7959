"""Approve steps, and effects that ask by themselves: preview, freeze, ask, grant."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from playbooks.contract import ActionFacts, Envelope, Json, Preview, Scope
from playbooks.digest import approval_digest
from playbooks.plan import ActionStep, ApproveStep, Escalate, PlannedStep, RunStep, Terminal, Waiting
from playbooks.policy import Need, merged, together
from workflows.attempts import Attempts, Trouble
from workflows.calls import stamp
from workflows.envelopes import Shown, demanded, envelope_of, freeze, targets_of
from workflows.errors import RunDenied, StepFailed
from workflows.gates import parse
from workflows.questions import closed, live, needs_of, open_gate, timing
from workflows.run import Run, finish
from workflows.scope import Above, Loop, Place, decided, facts_of, instance, item_of
from workflows.standing import in_advance
from workflows.state import Approval, FrozenCall, FrozenStep, Gate, StepRecord
from workflows.values import evaluate, load_reads, render, suppliers

SELF_ASK = Waiting(
    within_seconds=1800,
    chain=(Escalate(role="incident_commander", within_seconds=900),),
    terminal=Terminal(outcome="deny"),
)
SELF_VALID_SECONDS = 3600
PREVIEWS_AT_ONCE = 10


async def approve_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Run an approve step: freeze and preview what it covers, ask, and keep the grant."""
    spec = step.spec
    assert isinstance(spec, ApproveStep)
    key = place.key(step.path)
    gate = live(run, key)
    if gate is None:
        approval, shown, needs, excluded = await _freeze_covered(run, step, spec, place)
        run.state.approvals[key] = approval
        if not shown:
            _settle(run, step, place, record, approval, False, "Nothing of what it covers would run.")
            return
        if given_in_advance(run, step, place, approval, needs, excluded, spec.valid_for_seconds):
            record.by = list(approval.by)
            _settle(run, step, place, record, approval, True, "approved in advance")
            return
        gate = open_gate(
            run,
            step,
            place,
            Gate(
                kind="approve",
                path=step.path,
                item=place.item,
                digest=approval_digest(key, [part.call.digest for part in shown], place.pass_),
                question=step.title or f"Approve {', '.join(spec.names) or step.path}?",
                needs=needs,
                deny_count=spec.by.deny_count,
                verdicts=["approve", "deny", "break_glass"],
                excluded=excluded,
                preview=[part.card() for part in shown],
                valid_for_seconds=spec.valid_for_seconds,
                **timing(run, spec.waiting),
            ),
        )
    approval = run.state.approvals[key]
    gate = await closed(run, step, place, record, gate)
    grant(run, approval, gate)
    record.by = list(gate.decided_by)
    _settle(run, step, place, record, approval, bool(approval.approved), _how(gate))
    if approval.approved:
        return
    if gate.status == "expired" and gate.terminal is not None and gate.terminal.outcome == "stop":
        record.stops = True
        raise StepFailed(step.path, "timeout", "Nobody decided in time, and the playbook says stop.")
    if spec.on_deny == "stop":
        record.stops = True
        raise RunDenied(f"{step.path} was denied.")


def _how(gate: Gate) -> str:
    return {"approved": "approved", "denied": "denied", "expired": "nobody decided in time"}.get(gate.status, "closed")


def _settle(
    run: Run, step: PlannedStep, place: Place, record: StepRecord, approval: Approval, yes: bool, why: str
) -> None:
    approval.approved = yes
    record.output = {"approved": yes}
    record.summary = why
    finish(record, "done", run.clock.stamp())
    run.note("step.done", place=place, step=step, approved=yes)


def grant(run: Run, approval: Approval, gate: Gate) -> None:
    """Write a closed gate's decision into the approval. Valid from the decision on."""
    approval.approved = gate.status == "approved"
    approval.by = list(gate.decided_by)
    approval.rule = together(*(need.why for need in gate.needs))
    if gate.break_glass is not None:
        approval.rule = "break-glass"
    approval.protected_allowed = approval.approved
    if approval.approved:
        decided = parse(gate.closed_at or run.clock.stamp())
        approval.expires_at = stamp(decided + timedelta(seconds=gate.valid_for_seconds or SELF_VALID_SECONDS))


def given_in_advance(
    run: Run,
    step: PlannedStep,
    place: Place,
    approval: Approval,
    needs: list[Need],
    excluded: list[str],
    valid_seconds: float,
) -> bool:
    """Grant an approval by standing ones, if they fill every need; nobody is asked then."""
    calls = [call for frozen in approval.steps.values() for call in frozen.calls.values()]
    now, whole = run.clock.stamp(), merged(needs)
    found = in_advance(run.input.standing, whole, calls, facts_of(run.state), now, excluded)
    if found is None:
        return False
    for frozen in approval.steps.values():
        frozen.calls = {item: found.bound(call) for item, call in frozen.calls.items()}
    approval.approved, approval.by, approval.standing = True, found.people, found.ids
    approval.rule = together(*(need.why for need in whole), f"in advance by {', '.join(found.ids)}")
    approval.expires_at = min(found.until, stamp(parse(now) + timedelta(seconds=valid_seconds)))
    run.note("approval.standing", place=place, step=step, standing=found.ids, by=found.people)
    return True


async def _freeze_covered(
    run: Run, step: PlannedStep, spec: ApproveStep, place: Place
) -> tuple[Approval, list[Shown], list[Need], list[str]]:
    approval = Approval(path=step.path)
    shown: list[Shown] = []
    needs = needs_of(spec.by, "the playbook")
    people: dict[str, None] = dict.fromkeys(run.input.starters)
    around = place.frame.above[step.path]
    for path in spec.covers:
        covered = run.index.steps[path]
        if isinstance(covered.spec, RunStep) and covered.spec.covered_by is not None:
            shown += await _freeze_start(run, covered, place, approval, people)
        if not isinstance(covered.spec, ActionStep):
            continue
        frozen = approval.steps[path] = FrozenStep()
        inner = place.frame.above[path][len(around) :]
        await load_reads(run, covered, place, paths=[path for above in inner for path in above.step.reads])
        places = [at for at in _instances(run, inner, covered, place) if not _is_done(run, covered, at)]
        frozen.runs = bool(places)
        facts = run.plan.actions[covered.spec.name]
        parts = await _preview_all(run, covered, places, facts)
        for part, where in zip(parts, places, strict=True):
            frozen.calls[item_of(where.loops[len(place.loops) :]) or ""] = part.call
            sources = [covered.when, *(above.step.when for above in inner)]
            asked = suppliers(run, where, values=[covered.spec.with_, covered.for_each], sources=sources)
            people.update(dict.fromkeys(asked))
        shown += parts
        needed = demanded(run.plan.policy, facts, facts_of(run.state).get("severity"), [part.call for part in parts])
        if needed.refused:
            raise StepFailed(step.path, "policy_refused", f"{covered.path}: {needed.rule}.")
        if parts:
            needs += needed.needs
    return approval, shown, merged(needs), list(people)


def _is_done(run: Run, covered: PlannedStep, place: Place) -> bool:
    """Whether a run that goes on after another took it over as done, or sent; then there is nothing to approve."""
    record = run.state.records.get(place.key(covered.path))
    if run.input.after is None or record is None or record.pass_ != place.pass_:
        return False
    return record.finished or record.status == "unknown"


async def _freeze_start(
    run: Run, covered: PlannedStep, place: Place, approval: Approval, people: dict[str, None]
) -> list[Shown]:
    """The start of a sub-playbook, as an approve step shows and freezes it; its steps ask for themselves."""
    frozen = approval.steps[covered.path] = FrozenStep()
    inner = place.frame.above[covered.path][len(place.frame.above[approval.path]) :]
    await load_reads(run, covered, place, paths=[path for above in inner for path in above.step.reads])
    places = [at for at in _instances(run, inner, covered, place) if not _is_begun(run, covered, at)]
    frozen.runs = bool(places)
    shown = [shown_start(run, covered, where) for where in places]
    for part, where in zip(shown, places, strict=True):
        frozen.calls[item_of(where.loops[len(place.loops) :]) or ""] = part.call
        people.update(dict.fromkeys(requesters(run, covered, where)))
    return shown


def _is_begun(run: Run, covered: PlannedStep, place: Place) -> bool:
    """Whether a run that goes on after another took the sub-playbook over."""
    assert isinstance(covered.spec, RunStep)
    return instance(covered.spec.frame.prefix, (*place.outer, *place.loops)) in run.state.frames


def shown_start(run: Run, step: PlannedStep, place: Place) -> Shown:
    """What starting a sub-playbook here means, for a card."""
    spec = step.spec
    assert isinstance(spec, RunStep)
    book = spec.frame.playbook
    params = render(run, spec.with_, place, run.state.records.get(place.key(step.path)), path=step.path)
    envelope = Envelope(
        plan=run.input.plan_digest,
        step=step.path,
        pass_=place.pass_,
        item=place.item,
        action=f"run {book.id}",
        version=1,
        params=params,
        scope=Scope.EXACT,
        max_affected=0,
        mode=run.plan.context.mode,
    )
    preview = Preview(summary=f"Start the playbook {book.id} {book.version}. Its own effects ask for themselves.")
    return Shown(freeze(envelope, preview), preview, step.title or book.title, step.path, place.item)


def _instances(run: Run, above: tuple[Above, ...], covered: PlannedStep, place: Place) -> list[Place]:
    """Every place where a covered step would run, as conditions and loops stand now."""
    places = [place]
    for enclosing in (*above, None):
        step = enclosing.step if enclosing else covered
        places = [deeper for at in places for deeper in _deeper(run, step, at)]
        if enclosing is not None:
            because = decided(enclosing.step, enclosing.block)
            places = [at for at in places if _led(run, step, at, because)]
    return places


def _led(run: Run, step: PlannedStep, place: Place, because: tuple[tuple[str, bool], ...]) -> bool:
    return all(bool(evaluate(run, condition, place, None, path=step.path)) is truth for condition, truth in because)


def _deeper(run: Run, step: PlannedStep, place: Place) -> list[Place]:
    given = run.state.frames[place.frame_key].inputs
    if any(given.get(name) is None for name in step.needs_inputs):
        return []
    if step.when is not None and not evaluate(run, step.when, place, None, path=step.path):
        return []
    if step.for_each is None:
        return [place]
    items = render(run, step.for_each, place, None, path=step.path)
    people = tuple(suppliers(run, place, values=[step.for_each]))
    if not isinstance(items, list):
        raise StepFailed(step.path, "wrong_type", "for_each needs a list.")
    return [place.within(Loop(step.path, number, step.as_, value, people)) for number, value in enumerate(items)]


async def _preview_all(run: Run, step: PlannedStep, places: list[Place], facts: ActionFacts) -> list[Shown]:
    limit = asyncio.Semaphore(PREVIEWS_AT_ONCE)

    async def one(where: Place) -> Shown:
        async with limit:
            return await preview(run, step, where, facts)

    parts = await asyncio.gather(*(one(where) for where in places), return_exceptions=True)
    for part in parts:
        if isinstance(part, BaseException):
            raise part
    return [part for part in parts if isinstance(part, Shown)]


async def preview(run: Run, step: PlannedStep, place: Place, facts: ActionFacts) -> Shown:
    """Preview one call exactly as it would run.

    Raises:
        StepFailed: it cannot be previewed, so it cannot be approved either.
    """
    assert isinstance(step.spec, ActionStep)
    record = run.state.records.get(place.key(step.path)) or StepRecord(pass_=place.pass_)
    params = render(run, step.spec.with_, place, record, path=step.path)
    check_params(step, facts, params)
    try:
        seen = await Attempts(run, step, place, record, facts).preview(params)
    except Trouble as trouble:
        message = f"It cannot be previewed: {trouble.message}"
        raise StepFailed(step.path, trouble.code, message) from trouble
    envelope = envelope_of(
        facts,
        plan=run.input.plan_digest,
        step=step.path,
        item=place.item,
        params=params,
        shown=seen.count,
        mode=run.plan.context.mode,
        pass_=place.pass_,
    )
    return Shown(freeze(envelope, seen), seen, step.title or facts.title, step.path, place.item)


def check_params(step: PlannedStep, facts: ActionFacts, params: dict[str, Json]) -> None:
    """Refuse rendered parameters that lack what the action requires, or name too many literal targets."""
    for name, field in facts.params.items():
        if params.get(name) is None and field.required and field.default is None:
            raise StepFailed(step.path, "wrong_type", f"{facts.name} needs {name}, which came out empty.")
        if field.type in ("targets", "grants") and isinstance(params.get(name), list):
            _, count = targets_of(facts, {name: params[name]})
            if (count or 0) > 500:
                raise StepFailed(step.path, "too_many_items", f"{name} names {count} targets; at most 500.")


def requesters(run: Run, step: PlannedStep, place: Place) -> list[str]:
    """Those who asked for an effect or supplied a value of it: they do not approve it."""
    assert isinstance(step.spec, ActionStep | RunStep)
    asked = suppliers(run, place, values=[step.spec.with_, step.for_each], sources=[step.when])
    return list(dict.fromkeys((*run.input.starters, *asked)))


def ask_for(
    run: Run,
    step: PlannedStep,
    place: Place,
    shown: Shown,
    needs: list[Need],
    why: list[str],
    waiting: Waiting,
) -> Gate:
    """Open the gate of an effect that asks by itself: not covered, or changed since it was approved."""
    question = f"Approve {step.title or step.path}?"
    if why:
        question = f"{step.title or step.path} changed since it was approved. Approve it as it is now?"
    return open_gate(
        run,
        step,
        place,
        Gate(
            kind="approve",
            path=step.path,
            item=place.item,
            digest=shown.call.digest,
            question=question,
            needs=merged(needs),
            verdicts=["approve", "deny", "break_glass"],
            excluded=requesters(run, step, place),
            preview=[shown.card()],
            difference=why,
            valid_for_seconds=SELF_VALID_SECONDS,
            **timing(run, waiting),
        ),
    )


def covering(
    run: Run, step: PlannedStep, place: Place
) -> tuple[Approval | None, FrozenCall | None, ApproveStep | None]:
    """The approval that covers this instance, and the call that was frozen for it."""
    spec = step.spec
    assert isinstance(spec, ActionStep | RunStep)
    if spec.covered_by is None:
        return None, None, None
    asking = run.index.steps[spec.covered_by]
    assert isinstance(asking.spec, ApproveStep)
    key = place.seen(spec.covered_by)
    approval = run.state.approvals.get(key) if key else None
    if approval is None or approval.approved is None:
        return None, None, asking.spec
    frozen = approval.steps.get(step.path, FrozenStep(runs=False))
    around = [above.step.path for above in place.frame.above[spec.covered_by] if above.step.for_each is not None]
    inner = tuple(loop for loop in place.loops if loop.path not in around)
    return approval, frozen.calls.get(item_of(inner) or ""), asking.spec


def without_item(place: Place, path: str) -> Place:
    """The place just outside of a step's own ``for_each``."""
    return replace(place, loops=tuple(loop for loop in place.loops if loop.path != path))
