"""Changes within a step that is in both playbooks: what it does, on what, when, and what follows if it fails."""

from playbooks.contract import Json
from playbooks.diff_findings import Findings, Weight, weigh
from playbooks.diff_people import compare_by, compare_length, compare_waiting
from playbooks.diff_view import Meaning, Seen
from playbooks.model_steps import (
    ActionStep,
    AskStep,
    ClocksStep,
    DraftStep,
    HumanStep,
    NoteStep,
    RepeatStep,
    RequireStep,
    RunStep,
    SetStep,
    StopStep,
    TellStep,
    WaitStep,
    WorkflowStep,
)
from playbooks.review_safety import is_duty

_LOUD = ("low", "normal", "high", "page")
_GOES_ON = "continue"


def matters(seen: Seen) -> bool:
    """Whether it is worse if a step runs less often: evidence, duties, questions, guards, looking again."""
    if isinstance(seen.step, AskStep | HumanStep | TellStep | ClocksStep | DraftStep | SetStep | RequireStep):
        return True
    return seen.is_evidence


def compare_common(old: Seen, new: Seen, found: Findings) -> None:
    """What every step may say, beside its conditions."""
    name = new.name
    if old.always != new.always:
        _place(old, new, found)
    before, after = _on_failure(old), _on_failure(new)
    if before != after:
        said = f"When {name} fails: {after} now, {before} before."
        weight = weigh(after == _GOES_ON, before == _GOES_ON)
        found.change("on_failure", weight, old, new, said, "on_failure")
    if (old.step.undo is None) != (new.step.undo is None):
        given = new.step.undo is not None
        said = f"{name} {'can no longer' if given else 'can now'} be undone."
        found.change("undo", weigh(given, not given), old, new, said, "undo")
    compare_length(old, new, "timeout", f"{name} may take", found, code="timeout", longer_is_worse=True)
    if old.step.owner != new.step.owner:
        said = f"{new.step.owner or 'nobody by name'} answers for {name} now, {old.step.owner or 'nobody'} before."
        found.change("owner", Weight.NEUTRAL, old, new, said, "owner")
    if old.step.phase != new.step.phase:
        said = f"{name} belongs to {new.step.phase or 'no phase'} now, to {old.step.phase or 'none'} before."
        found.change("timing", Weight.NEUTRAL, old, new, said, "phase")
    for key in ("retry", "at_once", "fail_fast"):
        if getattr(old.step, key, None) != getattr(new.step, key, None):
            said = f"{name}: {key} has changed."
            found.change("timing", Weight.NEUTRAL, old, new, said, key)


def _place(old: Seen, new: Seen, found: Findings) -> None:
    name = new.name
    into = "moved into always: it runs now however the run ends"
    out = "moved out of always: a denial, a failure or a stop passes it by now"
    said = f"{name} {into if new.always else out}."
    if new.is_effect:
        weight = weigh(new.always, old.always)
    else:
        weight = weigh(old.always, new.always) if matters(new) else Weight.NEUTRAL
    found.change("place", weight, old, new, said)


def _on_failure(seen: Seen) -> str:
    return seen.step.on_failure or ("ask" if seen.is_effect else "stop")


def compare_kind(old: Seen, new: Seen, meaning: Meaning, found: Findings) -> None:
    """What is special to a kind; approvals are compared by what they cover."""
    name, was, now = new.name, old.step, new.step
    if isinstance(was, ActionStep | WorkflowStep) and isinstance(now, ActionStep | WorkflowStep):
        _action(old, new, meaning, found)
    elif isinstance(was, AskStep) and isinstance(now, AskStep):
        compare_by(old, new, was.by, now.by, f"Answers to {name}", found)
        compare_waiting(old, new, f"Answers to {name}", found)
        _form(old, new, meaning, found)
        _text(old, new, was.ask, now.ask, meaning, found)
    elif isinstance(was, HumanStep) and isinstance(now, HumanStep):
        compare_waiting(old, new, f"The task {name}", found)
        _verify(old, new, meaning, found)
        _text(old, new, was.human, now.human, meaning, found)
    elif isinstance(was, WaitStep) and isinstance(now, WaitStep):
        compare_waiting(old, new, f"The wait {name}", found)
        before = (meaning.condition(was.wait.until or ""), meaning(was.wait.for_), was.wait.event)
        if before != (Meaning({}).condition(now.wait.until or ""), Meaning({})(now.wait.for_), now.wait.event):
            found.change("guard", Weight.NEUTRAL, old, new, f"{name} waits for something else.", "wait")
    elif isinstance(was, TellStep) and isinstance(now, TellStep):
        _tell(old, new, found)
        _text(old, new, was.tell, now.tell, meaning, found)
    elif isinstance(was, DraftStep) and isinstance(now, DraftStep):
        _drafts(old, new, found)
    elif isinstance(was, RequireStep) and isinstance(now, RequireStep):
        if meaning.condition(was.require) != Meaning({}).condition(now.require):
            said = f"{name} demands something else: {now.require}; before {was.require}."
            found.change("guard", Weight.LESS_SAFE, old, new, said, "require")
        _text(old, new, was.message, now.message, meaning, found)
    elif isinstance(was, SetStep) and isinstance(now, SetStep):
        _facts(old, new, meaning, found)
    elif isinstance(was, ClocksStep) and isinstance(now, ClocksStep):
        if (was.clocks.fact, meaning(was.clocks.at)) != (now.clocks.fact, Meaning({})(now.clocks.at)):
            said = f"{name} sets another clock: from {now.clocks.fact}, before from {was.clocks.fact}."
            found.change("duty", Weight.LESS_SAFE, old, new, said, "clocks")
    elif isinstance(was, RepeatStep) and isinstance(now, RepeatStep):
        _repeat(old, new, meaning, found)
    elif isinstance(was, RunStep) and isinstance(now, RunStep):
        if meaning(was.run.with_) != Meaning({})(now.run.with_):
            found.change("parameters", Weight.NEUTRAL, old, new, f"{name} gets other inputs.", "run", "with")
    elif isinstance(was, NoteStep | StopStep) and isinstance(now, NoteStep | StopStep):
        _text(old, new, getattr(was, was.kind), getattr(now, now.kind), meaning, found)


def _repeat(old: Seen, new: Seen, meaning: Meaning, found: Findings) -> None:
    assert isinstance(old.step, RepeatStep) and isinstance(new.step, RepeatStep)
    was, now = old.step.repeat, new.step.repeat
    if meaning.condition(was.until) != Meaning({}).condition(now.until):
        said = f"{new.name} is repeated until {now.until}; before, until {was.until}."
        found.change("verification", Weight.LESS_SAFE, old, new, said, "repeat", "until")
    if was.at_most != now.at_most:
        said = f"{new.name} is repeated at most {now.at_most} times now, {was.at_most} before."
        found.change("timing", Weight.NEUTRAL, old, new, said, "repeat", "at_most")
    if was.every != now.every:
        said = (
            f"{new.name} waits {now.every or 'not at all'} between two passes now, {was.every or 'not at all'} before."
        )
        found.change("timing", Weight.NEUTRAL, old, new, said, "repeat", "every")


def _text(old: Seen, new: Seen, was: str, now: str, meaning: Meaning, found: Findings) -> None:
    if meaning(was) != Meaning({})(now):
        found.change("text", Weight.NEUTRAL, old, new, f"What {new.name} says is worded otherwise.", new.step.kind)


# --- actions --------------------------------------------------------------------------------------


def _action(old: Seen, new: Seen, meaning: Meaning, found: Findings) -> None:
    was, now = old.step, new.step
    assert isinstance(was, ActionStep | WorkflowStep) and isinstance(now, ActionStep | WorkflowStep)
    if was.action != now.action:
        before, after = old.facts, new.facts
        riskier = before and after and after.risk.rank - before.risk.rank
        lost = before and after and before.reversible and not after.reversible and after.risk.is_effect
        said = f"{new.name} runs {now.action} now, {was.action} before"
        said += f" ({after.risk} instead of {before.risk})." if before and after and riskier else "."
        said += " It cannot be undone." if lost else ""
        worse = bool(riskier and riskier > 0) or bool(lost) or (old.is_evidence and not new.is_evidence)
        found.change("action", weigh(worse, riskier and riskier < 0), old, new, said, "action")
    for key in sorted(was.with_.keys() | now.with_.keys()):
        _parameter(old, new, key, meaning, found)
    if meaning(was.for_each) != Meaning({})(now.for_each):
        said = f"{new.name} runs for other items."
        found.change("parameters", _width(old, new, was.for_each, now.for_each), old, new, said, "for_each")


def _parameter(old: Seen, new: Seen, key: str, meaning: Meaning, found: Findings) -> None:
    was, now = getattr(old.step, "with_", {}), getattr(new.step, "with_", {})
    before, after = was.get(key), now.get(key)
    if (key in was) == (key in now) and meaning(before) == Meaning({})(after):
        return
    wide = new.is_effect or not new.is_evidence
    if key not in now:
        said = f"{new.name} is no longer narrowed by {key}."
        weight = weigh(new.is_effect, new.is_evidence)
    elif key not in was:
        said = f"{new.name} is narrowed by {key} now."
        weight = weigh(new.is_evidence, new.is_effect)
    else:
        weight = _width(old, new, before, after)
        how = {Weight.LESS_SAFE: "wider" if wide else "less", Weight.SAFER: "narrower" if wide else "more"}
        said = f"{new.name}: {key} has changed{' and is ' + how[weight] if weight in how else ''}."
        if old.targets_read and not new.targets_read:
            weight, said = Weight.LESS_SAFE, f"{new.name}: {key} is no longer, as it is, what the system itself listed."
    found.change("parameters", weight, old, new, said, "with", key) if key in now else found.add(
        "parameters", weight, said, old=old, new=new, at=("with",)
    )


def _width(old: Seen, new: Seen, was: Json, now: Json) -> Weight:
    """Of an effect more is worse, of evidence less; what cannot be told is worse where nobody approves it."""
    if not isinstance(was, list) or not isinstance(now, list):
        return Weight.LESS_SAFE if new.is_effect and new.approve is None else Weight.NEUTRAL
    before, after = {repr(item) for item in was}, {repr(item) for item in now}
    if new.is_effect:
        return weigh(after - before, before - after)
    return weigh(before - after, after - before) if new.is_evidence else Weight.NEUTRAL


# --- people and duties ----------------------------------------------------------------------------


def _form(old: Seen, new: Seen, meaning: Meaning, found: Findings) -> None:
    was, now = old.step, new.step
    assert isinstance(was, AskStep) and isinstance(now, AskStep)
    for name in sorted(was.form.keys() | now.form.keys()):
        before, after = was.form.get(name), now.form.get(name)
        if after is None:
            said = f"{new.name} no longer asks for {name}."
            found.add("form", Weight.LESS_SAFE, said, old=old, new=new, at=("form",))
        elif before is None:
            found.add("form", Weight.SAFER, f"{new.name} asks for {name} as well.", old=old, new=new, at=("form",))
        elif (before.type, before.must_be_given, meaning(before.default), before.options) != (
            after.type, after.must_be_given, Meaning({})(after.default), after.options,
        ):  # fmt: skip
            weight = weigh(before.must_be_given and not after.must_be_given, after.must_be_given)
            found.change("form", weight, old, new, f"{new.name} asks for {name} otherwise.", "form", name)


def _verify(old: Seen, new: Seen, meaning: Meaning, found: Findings) -> None:
    was, now = getattr(old.step, "verify", None), getattr(new.step, "verify", None)
    if was is None and now is None:
        return
    if now is None or was is None:
        said = (
            f"Whether {new.name} is really done is no longer checked: a person's word is enough."
            if now is None
            else f"Whether {new.name} is really done is checked now."
        )
        found.change("verification", weigh(now is None, was is None), old, new, said, "verify")
        return
    if (was.action, meaning(was.with_)) != (now.action, Meaning({})(now.with_)):
        said = f"{new.name} is checked otherwise."
        found.change("verification", Weight.NEUTRAL, old, new, said, "verify")
    if meaning.condition(was.until) != Meaning({}).condition(now.until):
        said = f"{new.name} counts as done when {now.until}; before, when {was.until}."
        # Whether one condition asks for less than another cannot be told: a person must look.
        found.change("verification", Weight.LESS_SAFE, old, new, said, "verify", "until")
    if was.every != now.every:
        said = f"{new.name} is checked every {now.every} now, every {was.every} before."
        found.change("timing", Weight.NEUTRAL, old, new, said, "verify", "every")


def _tell(old: Seen, new: Seen, found: Findings) -> None:
    was, now = old.step, new.step
    assert isinstance(was, TellStep) and isinstance(now, TellStep)
    lost, gained = sorted(set(was.to) - set(now.to)), sorted(set(now.to) - set(was.to))
    if lost or gained:
        who = [f"{name} is no longer told" for name in lost] + [f"{name} is told as well" for name in gained]
        found.change("recipients", weigh(lost, gained), old, new, f"{new.name}: {', '.join(who)}.", "to")
    if was.urgency != now.urgency:
        softer = _LOUD.index(now.urgency) < _LOUD.index(was.urgency)
        said = f"{new.name} is told with urgency {now.urgency} now, {was.urgency} before."
        found.change("recipients", weigh(softer, not softer), old, new, said, "urgency")
    if is_duty(was) != is_duty(now) and not lost and not gained:
        said = f"{new.name} {'counts as' if is_duty(now) else 'is no longer'} a legal duty."
        found.change("duty", weigh(is_duty(was), is_duty(now)), old, new, said)


def _drafts(old: Seen, new: Seen, found: Findings) -> None:
    was, now = old.step, new.step
    assert isinstance(was, DraftStep) and isinstance(now, DraftStep)
    if was.draft == now.draft:
        return
    if isinstance(was.draft, str) or isinstance(now.draft, str):
        listed = isinstance(was.draft, str)
        said = "only those that it lists, whatever applies" if listed else "all that apply"
        found.change(
            "draft", weigh(listed, not listed), old, new, f"{new.name} writes the drafts of {said} now.", "draft"
        )
        return
    before = {f"{item.regime} {item.stage}" for item in was.draft}
    after = {f"{item.regime} {item.stage}" for item in now.draft}
    what = [f"no longer {name}" for name in sorted(before - after)] + [
        f"also {name}" for name in sorted(after - before)
    ]
    if what:
        said = f"{new.name} writes {', '.join(what)}."
        found.change("draft", weigh(before - after, after - before), old, new, said, "draft")


def _facts(old: Seen, new: Seen, meaning: Meaning, found: Findings) -> None:
    was, now = old.step, new.step
    assert isinstance(was, SetStep) and isinstance(now, SetStep)
    lost, gained = sorted(was.set.keys() - now.set.keys()), sorted(now.set.keys() - was.set.keys())
    if lost or gained:
        what = [f"no longer sets {name}" for name in lost] + [f"sets {name} as well" for name in gained]
        found.change("duty", weigh(lost, gained), old, new, f"{new.name} {', '.join(what)}.", "set")
    for name in sorted(was.set.keys() & now.set.keys()):
        if meaning(was.set[name]) != Meaning({})(now.set[name]):
            said = f"{new.name} sets {name} to something else."
            found.change("duty", Weight.NEUTRAL, old, new, said, "set", name)
