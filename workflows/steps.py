"""The kinds of steps that are neither actions nor blocks: questions, waits, facts, drafts, words."""

from temporalio.exceptions import ActivityError

from playbooks.contract import Json, Urgency, Verb
from playbooks.digest import digest_of
from playbooks.plan import (
    AskStep,
    Check,
    ClocksStep,
    DraftStep,
    HumanStep,
    InputFacts,
    NoteStep,
    PlannedStep,
    RequireStep,
    SetStep,
    StopStep,
    TellStep,
    Waiting,
    WaitStep,
    fits,
)
from workflows.attempts import Attempts, Trouble
from workflows.errors import RunStopped, StepFailed
from workflows.events import event_taken
from workflows.gates import parse, with_defaults
from workflows.messages import DraftsInput, FactChange
from workflows.questions import closed, live, needs_of, open_gate, timing
from workflows.run import Run, finish, size_of
from workflows.scope import Place
from workflows.state import Fact, Gate, Need, StepRecord
from workflows.values import evaluate, not_built_in, render, suppliers

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


async def ask_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Ask people a form; the answer is the output, and whoever answered is its supplier."""
    spec = step.spec
    assert isinstance(spec, AskStep)
    gate = live(run, place.key(step.path))
    if gate is None:
        question = str(render(run, spec.text, place, record, path=step.path))
        form, waiting = _form(run, step, spec, place, record)
        gate = _ask(run, step, place, "ask", question, ["answer"], needs_of(spec.by, "the playbook"), waiting, form)
    gate = await closed(run, step, place, record, gate)
    record.by = list(gate.decided_by)
    outcome = gate.terminal.outcome if gate.terminal else "unanswered"
    if gate.status == "answered":
        record.output, record.suppliers = gate.answer, list(gate.decided_by)
    elif outcome == "stop":
        record.stops = True
        raise StepFailed(step.path, "timeout", "Nobody answered in time, and the playbook says stop.")
    elif outcome == "default" and gate.terminal is not None:
        record.output = dict(gate.terminal.values)
        record.summary = "Nobody answered in time; the default was taken."
    else:
        record.summary = "unanswered"
        run.state.warnings.append(f"{step.path}: nobody answered in time.")
    if spec.fills_inputs:
        frame = run.state.frames[place.frame_key]
        frame.inputs |= record.output
        for name in record.output:
            frame.suppliers[name] = list(record.suppliers)
    _done(run, step, place, record, answered=gate.status == "answered", fields=sorted(record.output))


def _form(
    run: Run, step: PlannedStep, spec: AskStep, place: Place, record: StepRecord
) -> tuple[dict[str, InputFacts], Waiting]:
    """The form with its defaults as they are now, and what silence answers by them."""
    form = {
        name: field.model_copy(update={"default": render(run, field.default, place, record, path=step.path)})
        for name, field in spec.form.items()
    }
    terminal = spec.waiting.terminal
    if terminal.outcome == "default":
        taken = render(run, dict(terminal.values), place, record, path=step.path)
        terminal = terminal.model_copy(update={"values": with_defaults(form, taken)})
    given = [(name, field.default) for name, field in form.items() if field.default is not None]
    for name, value in (*given, *terminal.values.items()):
        if not fits(form[name].type, value, form[name].options):
            raise StepFailed(step.path, "wrong_type", f"The default of {name} must be {form[name].type}.")
    return form, spec.waiting.model_copy(update={"terminal": terminal})


def _ask(
    run: Run,
    step: PlannedStep,
    place: Place,
    kind: str,
    question: str,
    verdicts: list[str],
    needs: list[Need],
    waiting: Waiting,
    form: dict[str, InputFacts],
) -> Gate:
    key = place.key(step.path)
    round_ = run.state.gates[key].round if key in run.state.gates else 0
    about = {"question": question, "step": key, "round": round_, "plan": run.input.plan_digest}
    return open_gate(
        run,
        step,
        place,
        Gate(
            kind=kind,
            path=step.path,
            item=place.item,
            digest=digest_of(about),
            question=question,
            needs=needs,
            verdicts=verdicts,
            form=form,
            **timing(run, waiting),
        ),
    )


async def human_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Wait until the owner says done, and then until reading back shows it."""
    spec = step.spec
    assert isinstance(spec, HumanStep)
    key = place.key(step.path)
    until = run.state.deadlines.setdefault(key, run.clock.after(spec.waiting.within_seconds))
    if not record.by:
        gate = live(run, key)
        if gate is None:
            question = str(render(run, spec.text, place, record, path=step.path))
            needs = [Need(roles=(spec.owner,), count=1, why="the owner of the step")]
            gate = _ask(run, step, place, "human", question, ["done"], needs, spec.waiting, {})
        gate = await closed(run, step, place, record, gate)
        if gate.status != "answered":
            _given_up(run, step, place, record, gate.terminal.outcome if gate.terminal else "continue")
            return
        record.by = list(gate.decided_by)
        until = run.state.deadlines[key] = max(until, gate.deadline or until)
    record.output = {"done_by": ", ".join(record.by)}
    if spec.verify is not None:
        seen = await _until(run, step, place, record, spec.verify, until)
        if seen is None:
            _given_up(run, step, place, record, spec.waiting.terminal.outcome)
            return
        record.output["result"], record.verified = seen, True
    _done(run, step, place, record, by=list(record.by), verified=record.verified)


async def _until(
    run: Run, step: PlannedStep, place: Place, record: StepRecord, check: Check, until: str
) -> dict[str, Json] | None:
    """Repeat a read action until its result is as wanted; ``None`` when the time is over."""
    facts = run.plan.actions[check.action]
    if not record.reading:
        record.status, record.waiting_for = "waiting", f"check by {check.action}"
    while True:
        await _until_next(run, step, place, until)
        params = render(run, check.with_, place, record, path=step.path)
        if not record.reading:
            # Each reading is a pass of its own, never the stored outcome of an earlier one.
            record.passes, record.reading = record.passes + 1, True
        try:
            result = await Attempts(run, step, place, record, facts).act(Verb.APPLY, params)
            seen = result.output
            if evaluate(run, check.until, place, record, path=step.path, result=seen):
                return seen
        except Trouble as trouble:
            record.message = f"The check did not work: {trouble.message}"
        record.reading = False
        if run.clock.now() >= parse(until):
            return None
        run.state.deadlines[_next(step, place)] = run.clock.after(check.every_seconds)


def _next(step: PlannedStep, place: Place) -> str:
    return f"{place.key(step.path)}:next"


async def _until_next(run: Run, step: PlannedStep, place: Place, until: str) -> None:
    """Wait for the next turn of a check; its instant outlives this execution."""
    turn = run.state.deadlines.get(_next(step, place))
    if turn is not None:
        await run.wait(lambda: False, place, min(turn, until))


def _given_up(run: Run, step: PlannedStep, place: Place, record: StepRecord, outcome: str) -> None:
    if outcome == "stop":
        record.stops = True
        raise StepFailed(step.path, "timeout", "It was not done in time, and the playbook says stop.")
    finish(record, "failed", run.clock.stamp(), code="timeout", message="It was not done in time.")
    run.state.warnings.append(f"{step.path}: not done in time.")
    run.note("step.failed", place=place, step=step, code="timeout")


async def wait_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Let time pass, or wait until a condition over the facts holds or an event comes."""
    spec = step.spec
    assert isinstance(spec, WaitStep)
    key = place.key(step.path)
    record.status, record.waiting_for = "waiting", "time" if spec.until is None else "condition"
    if spec.event is not None and spec.waiting is not None:
        limit = run.state.deadlines.setdefault(key, run.clock.after(spec.waiting.within_seconds))
        if await event_taken(run, step, place, record, spec.event, limit):
            _done(run, step, place, record, event=spec.event, by=list(record.by))
        else:
            _given_up(run, step, place, record, spec.waiting.terminal.outcome)
        return
    if spec.until is None:
        seconds = _seconds(step, render(run, spec.for_seconds, place, record, path=step.path))
        limit = run.state.deadlines.setdefault(key, run.clock.after(seconds))
        await run.wait(lambda: False, place, limit)
        _done(run, step, place, record)
        return
    assert spec.waiting is not None
    limit = run.state.deadlines.setdefault(key, run.clock.after(spec.waiting.within_seconds))
    while True:
        await _until_next(run, step, place, limit)
        run.take_facts()
        record.world_now = run.clock.stamp()
        if evaluate(run, spec.until, place, record, path=step.path):
            _done(run, step, place, record)
            return
        if run.clock.now() >= parse(limit):
            _given_up(run, step, place, record, spec.waiting.terminal.outcome)
            return
        run.state.deadlines[_next(step, place)] = run.clock.after(spec.every_seconds or 60)


def _seconds(step: PlannedStep, value: Json) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    if text[:-1].isdigit() and text[-1:] in UNITS:
        return int(text[:-1]) * UNITS[text[-1]]
    raise StepFailed(step.path, "wrong_type", f"A wait needs a duration such as 5m, not {text[:40]!r}.")


async def set_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Set facts of the incident; its own run sees them at once."""
    spec = step.spec
    assert isinstance(spec, SetStep)
    changes = []
    for name, value in spec.facts.items():
        rendered = render(run, value, place, record, path=step.path)
        if rendered is None:
            raise StepFailed(step.path, "wrong_type", f"incident.{name} cannot be set to none; a person clears facts.")
        people = suppliers(run, place, values=[value], sources=[step.when])
        trust, by = ("person", people[0]) if people else ("read", run.input.run)
        at = run.clock.stamp()
        run.state.own_facts[name] = Fact(value=rendered, trust=trust, by=by, source=step.path, at=at)
        changes.append(FactChange(fact=name, value=rendered, trust=trust, by=by, source=step.path, at=at))
    run.reporter.facts(tuple(changes))
    _done(run, step, place, record, facts=sorted(spec.facts))


async def clocks_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Add or correct a dated fact that clocks run from."""
    spec = step.spec
    assert isinstance(spec, ClocksStep)
    value = render(run, spec.at, place, record, path=step.path)
    try:
        instant = parse(str(value))
    except ValueError as error:
        message = f"{spec.fact} needs an instant, not {str(value)[:40]!r}."
        raise StepFailed(step.path, "wrong_type", message) from error
    if instant.tzinfo is None:
        raise StepFailed(step.path, "wrong_type", f"{spec.fact} needs an instant with its zone.")
    people = suppliers(run, place, values=[spec.at], sources=[step.when])
    trust, by = ("person", people[0]) if people else ("read", run.input.run)
    run.state.dated[spec.fact] = str(value)
    change = FactChange(fact=spec.fact, value=str(value), trust=trust, by=by, source=step.path, at=run.clock.stamp())
    run.reporter.facts((), (change,))
    _done(run, step, place, record, fact=spec.fact)


async def draft_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Write drafts of notifications into the store. Nothing is ever sent."""
    spec = step.spec
    assert isinstance(spec, DraftStep)
    held = run.state.facts.facts | run.state.own_facts
    wanted = DraftsInput(
        incident=run.input.incident,
        run=run.input.run,
        step=place.name(step.path),
        facts={name: fact.model_dump(mode="json") for name, fact in held.items()},
        dated=run.state.dated,
        wanted=() if spec.applicable else tuple((item.regime, item.stage) for item in spec.items),
        now=record.world_now or run.clock.stamp(),
    )
    try:
        result = await run.activity(run.calls.write_drafts(wanted))
    except ActivityError as error:
        raise not_built_in(step.path, error) from error
    record.output = {"drafts": list(result.drafts)}
    record.output_bytes = size_of(record.output)
    names = [f"{draft.get('regime')} {draft.get('stage')}" for draft in result.drafts]
    record.summary = f"{len(names)} drafts written, none sent"
    _done(run, step, place, record, drafts=names)


async def tell_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Put a message into the outbox."""
    spec = step.spec
    assert isinstance(spec, TellStep)
    text = str(render(run, spec.text, place, record, path=step.path))
    to = tuple(name if name in ("channel", "mail", "page") else f"role:{name}" for name in spec.to)
    urgency = Urgency.PAGE if "page" in spec.to else Urgency(spec.urgency)
    key = place.key(step.path)
    run.tell(f"{place.name(step.path)}:tell", to, urgency, step=key, kind="text", text=text)
    _done(run, step, place, record, to=list(to))


async def note_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Keep a line of text in the record; its text lies in evidence."""
    spec = step.spec
    assert isinstance(spec, NoteStep)
    run.note("note", place=place, step=step, text=str(render(run, spec.text, place, record, path=step.path)))
    finish(record, "done", run.clock.stamp())


async def require_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Go on only if a condition holds."""
    spec = step.spec
    assert isinstance(spec, RequireStep)
    if not evaluate(run, spec.condition, place, record, path=step.path):
        message = str(render(run, spec.message, place, record, path=step.path))
        raise StepFailed(step.path, "require_failed", message)
    _done(run, step, place, record)


async def stop_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """End this playbook early, and well."""
    spec = step.spec
    assert isinstance(spec, StopStep)
    reason = str(render(run, spec.reason, place, record, path=step.path))
    _done(run, step, place, record)
    record.stops, record.message = True, reason
    raise RunStopped(reason)


def _done(run: Run, step: PlannedStep, place: Place, record: StepRecord, **body: Json) -> None:
    finish(record, "done", run.clock.stamp())
    run.note("step.done", place=place, step=step, **body)


STEPS = {
    "ask": ask_step,
    "human": human_step,
    "wait": wait_step,
    "set": set_step,
    "clocks": clocks_step,
    "draft": draft_step,
    "tell": tell_step,
    "note": note_step,
    "require": require_step,
    "stop": stop_step,
}
