"""What changes for people and systems when one playbook takes the place of another; not which lines differ.

What may now happen without approval, who may decide, what is no longer verified, secured or told. Pure: the same
two playbooks, library, actions and policy give the same findings.
"""

from collections.abc import Iterator, Mapping

from playbooks.contract import ActionFacts
from playbooks.diff_findings import Finding, Findings, Weight, weigh
from playbooks.diff_match import Matched, Pair, match
from playbooks.diff_people import compare_approve
from playbooks.diff_steps import compare_common, compare_kind, matters
from playbooks.diff_view import Meaning, Seen, View, conditions, stands_before, view
from playbooks.expr_names import reads
from playbooks.expr_text import templates
from playbooks.loader import Library, Source
from playbooks.model_steps import (
    ActionStep,
    ApproveStep,
    AskStep,
    ClocksStep,
    DraftStep,
    HumanStep,
    RequireStep,
    SetStep,
    StopStep,
    TellStep,
    WaitStep,
    WorkflowStep,
)
from playbooks.policy import Policy
from playbooks.review_targets import Evidence, looked_up

_ORDER = (Weight.LESS_SAFE, Weight.NEUTRAL, Weight.SAFER)


def diff(
    old: Source,
    new: Source,
    *,
    library: Library,
    actions: Mapping[str, ActionFacts],
    policy: Policy | None = None,
    old_library: Library | None = None,
) -> list[Finding]:
    """Compare two playbooks by meaning. Titles, labels, comments and versions mean nothing here.

    Args:
        old: The playbook as it was. Its graph tier has found no error; nor has the other's.
        new: The playbook as it is to be.
        library: Where the playbooks that they run are found.
        actions: All actions by name.
        policy: What must be approved anyway; the default policy if none is given.
        old_library: As ``library``, for the old playbook, where it is another.

    Returns:
        Findings, what is less safe first, then by place in the new file.
    """
    rules = policy or Policy()
    before = view(old, library=old_library or library, actions=actions, policy=rules)
    after = view(new, library=library, actions=actions, policy=rules)
    return _Diff(before, after).findings()


class _Diff:
    def __init__(self, old: View, new: View) -> None:
        self._old, self._new = old, new
        self._matched: Matched = match(old, new)
        self._pair_of_old = {id(pair.old): pair for pair in self._matched.pairs}
        self._meaning = Meaning(self._matched.renamed())
        self._found = Findings()

    def findings(self) -> list[Finding]:
        self._header()
        for pair in self._matched.pairs:
            self._both(pair)
        self._conditions()
        self._approvals()
        for seen in self._matched.gone:
            self._gone(seen)
        for seen in self._matched.come:
            self._come(seen)
        self._evidence_before()
        self._sequence()
        unique = dict.fromkeys(self._found.found)
        return sorted(unique, key=lambda one: (_ORDER.index(one.weight), one.new_line or one.old_line or 0, one.code))

    def _header(self) -> None:
        was, now = self._old.source.playbook, self._new.source.playbook
        lost = [kind for kind in was.starts_on if kind not in now.starts_on]
        for kind in lost:
            self._top("alert", Weight.LESS_SAFE, f"Alerts of kind {kind} no longer start it.", "starts_on")
        for kind in now.starts_on:
            if kind not in was.starts_on:
                self._top("alert", Weight.NEUTRAL, f"Alerts of kind {kind} start it now.", "starts_on")
        for name in sorted(was.inputs.keys() | now.inputs.keys()):
            before, after = was.inputs.get(name), now.inputs.get(name)
            if before is None or after is None:
                said = f"The input {name} is {'new' if before is None else 'gone'}."
                self._top("input", Weight.NEUTRAL, said, "inputs")
            elif (before.type, before.required, before.options) != (after.type, after.required, after.options) or (
                self._meaning(before.default) != Meaning({})(after.default)
            ):
                self._top("input", Weight.NEUTRAL, f"The input {name} is declared otherwise.", "inputs", name)

        for name in sorted(was.outputs.keys() | now.outputs.keys()):
            gives, given = was.outputs.get(name), now.outputs.get(name)
            if (
                gives is None
                or given is None
                or gives.type != given.type
                or (self._meaning(gives.value) != Meaning({})(given.value))
            ):
                what = "new" if gives is None else "gone" if given is None else "another value"
                self._top("output", Weight.NEUTRAL, f"The output {name} is {what}.", "outputs")

    def _top(self, code: str, weight: Weight, said: str, *at: str) -> None:
        old, new = self._old.source, self._new.source
        self._found.found.append(
            Finding(code, weight, "", said, old.name, old.where(at)[0], new.name, new.where(at)[0])
        )

    def _both(self, pair: Pair) -> None:
        old, new = pair
        if old.step.id != new.step.id and new.step.id is not None:
            said = f"{old.name} is called {new.path} now."
            self._found.change("renamed", Weight.NEUTRAL, old, new, said, "id")
        compare_common(old, new, self._found)
        compare_kind(old, new, self._meaning, self._found)

    # --- conditions -------------------------------------------------------------------------------

    def _conditions(self) -> None:
        for old, new in self._matched.pairs:
            was, now = conditions(old), conditions(new)
            meant = {self._meaning.condition(source): source for source in was}
            means = {Meaning({}).condition(source): source for source in now}
            lost = [source for key, source in meant.items() if key not in means]
            gained = [source for key, source in means.items() if key not in meant]
            if not lost and not gained:
                continue
            inner = [pair.new for pair in self._matched.pairs if pair.new is new or new in pair.new.around]
            weight = weigh(
                (gained and any(map(matters, inner)))
                or (lost and any(seen.is_effect and seen.approve is None for seen in inner)),
                lost and any(map(matters, inner)),
            )
            said = f"{new.name} " + (
                f"runs only when {' and '.join(gained)} now" if gained else f"runs whether or not {' and '.join(lost)}"
            )
            said += f", before when {' and '.join(lost)}." if gained and lost else "."
            self._found.change("condition", weight, old, new, said, "when")

    # --- approvals --------------------------------------------------------------------------------

    def _approvals(self) -> None:
        asked: dict[tuple[int, int], tuple[Pair, list[str]]] = {}
        for old, new in self._matched.pairs:
            if isinstance(new.step, ApproveStep):
                asked.setdefault((id(old), id(new)), (Pair(old, new), []))
            if old.approve is None and new.approve is None:
                continue
            if old.approve is not None and new.approve is not None:
                both = asked.setdefault((id(old.approve), id(new.approve)), (Pair(old.approve, new.approve), []))
                both[1].append(new.name)
            else:
                self._covered(old, new)
        for pair, names in asked.values():
            what = ", ".join(names) or pair.new.name
            compare_approve(pair.old, pair.new, f"Approval of {what}", self._found)

    def _covered(self, old: Seen, new: Seen) -> None:
        if new.approve is not None:
            said = f"{new.name} waits for the approval {new.approve.name} now."
        else:
            said = f"{new.name} no longer waits for an approval. {_by_policy(new)}"
        self._found.change("approval", weigh(new.approve is None, True), old, new, said)

    # --- what came and went -----------------------------------------------------------------------

    def _gone(self, seen: Seen) -> None:
        code, weight, said = _lost(self._old, seen)
        self._found.add(code, weight, said, old=seen)

    def _come(self, seen: Seen) -> None:
        name = seen.name
        if seen.is_effect and seen.facts is not None:
            free = seen.approve is None
            said = f"{name} is new and runs {seen.facts.name} ({seen.facts.risk}"
            said += ")" if seen.facts.reversible else ", cannot be undone)"
            said += f" without an approval of its own. {_by_policy(seen)}" if free else " once it is approved."
            self._found.add("effect", weigh(free, False), said, new=seen)
            return
        code, weight, _ = _lost(self._new, seen)
        opposite = Weight.SAFER if weight is Weight.LESS_SAFE else Weight.NEUTRAL
        if isinstance(seen.step, StopStep):
            code, opposite = "guard", Weight.NEUTRAL
        self._found.add(code, opposite, f"{name} is new ({_what(seen)}).", new=seen)

    # --- evidence and order -----------------------------------------------------------------------

    def _evidence_before(self) -> None:
        for old, new in self._matched.pairs:
            if not new.is_effect:
                continue
            lost, gained = _secured(old.held - new.held), _secured(new.held - old.held)
            for system, kind in sorted(old.held - new.held):
                if (value := looked_up(kind)) is not None and _acts_on(new, value):
                    said = f"Before {new.name}, {value} may not be looked up in {system} any more."
                    self._found.change("verification", Weight.LESS_SAFE, old, new, said)
            if lost:
                said = f"Before {new.name}, {', '.join(lost)} may not be secured any more."
                self._found.change("evidence", Weight.LESS_SAFE, old, new, said)
            elif gained:
                said = f"Before {new.name}, {', '.join(gained)} is surely secured now."
                self._found.change("evidence", Weight.SAFER, old, new, said)
            else:
                self._later(old, new)

    def _later(self, old: Seen, new: Seen) -> None:
        for other in self._matched.pairs:
            if not other.new.is_evidence:
                continue
            before, after = stands_before(other.old.at, old.at), stands_before(other.new.at, new.at)
            if before != after:
                when = "no longer" if before else "now"
                said = f"{other.new.name} {when} stands before {new.name}."
                self._found.change("evidence", weigh(before, after), old, new, said)

    def _sequence(self) -> None:
        effects = [pair for pair in self._matched.pairs if pair.new.is_effect]
        was = sorted(effects, key=lambda pair: self._old.steps.index(pair.old))
        moved = [(one, two) for one, two in zip(was, effects, strict=True) if one is not two]
        if moved:
            said = f"Effects happen in another order: {', '.join(pair.new.name for pair in effects)}."
            self._found.change("order", Weight.NEUTRAL, moved[0][1].old, moved[0][1].new, said)


def _secured(pairs: Evidence) -> list[str]:
    return sorted(f"{kind} of {system}" for system, kind in pairs if looked_up(kind) is None)


def _acts_on(seen: Seen, value: str) -> bool:
    given = seen.step.with_ if isinstance(seen.step, ActionStep | WorkflowStep) else {}
    return any(".".join(read.chain[:2]) == value for source in templates(given) for read in reads(source))


def _by_policy(seen: Seen) -> str:
    """What happens to an effect that no approve step covers."""
    if seen.needed is None or seen.needed.refused:
        return "It changes no system that policy guards." if seen.needed is None else "Policy never lets it run."
    if not seen.needed.needs:
        return f"Policy lets it run ({seen.needed.rule})."
    if seen.free_when_severe:
        return f"Policy asks {seen.needed.who} by itself, unless the incident is severe enough."
    return f"Policy demands {seen.needed.who}, so that it cannot be started like this."


def _what(seen: Seen) -> str:
    return seen.facts.name if seen.facts is not None else seen.step.kind


def _lost(whole: View, seen: Seen) -> tuple[str, Weight, str]:
    """What it means that a step is gone: code, weight and sentence."""
    name, step = seen.name, seen.step
    if seen.is_effect:
        return "effect", Weight.NEUTRAL, f"{name} is gone: {_what(seen)} no longer runs."
    if seen.is_evidence and seen.facts is not None:
        kinds = ", ".join(seen.facts.acquires)
        return "evidence", Weight.LESS_SAFE, f"{name} is gone: {seen.facts.name} no longer secures {kinds}."
    match step:
        case ActionStep():
            return _lost_read(whole, seen)
        case ApproveStep():
            # What it covered is told of each step that it covered.
            return "approval", Weight.NEUTRAL, f"The approval {name} is gone."
        case AskStep() | HumanStep():
            what = "nobody is asked any more" if isinstance(step, AskStep) else "nobody does it any more"
            return "question", Weight.LESS_SAFE, f"{name} is gone: {what}."
        case ClocksStep() | DraftStep() | TellStep() | SetStep():
            what = {
                "clocks": "its clock is no longer set",
                "draft": "its drafts are no longer written",
                "tell": f"{', '.join(getattr(step, 'to', []))} no longer hears it",
                "set": f"{', '.join(getattr(step, 'set', {}))} is no longer recorded",
            }[step.kind]
            return "duty", Weight.LESS_SAFE, f"{name} is gone: {what}."
        case RequireStep() | StopStep() | WaitStep():
            what = (
                "the run goes on where it ended before" if not isinstance(step, WaitStep) else "nothing is waited for"
            )
            return "guard", Weight.LESS_SAFE, f"{name} is gone: {what}."
    return "step", Weight.NEUTRAL, f"{name} is gone ({_what(seen)})."


def _lost_read(whole: View, seen: Seen) -> tuple[str, Weight, str]:
    assert seen.facts is not None
    earlier = [
        other
        for other in _before(whole, seen)
        if other.is_effect and other.facts is not None and other.facts.system == seen.facts.system
    ]
    if earlier:
        said = f"{seen.name} is gone: {seen.facts.name} no longer looks whether {earlier[-1].name} has worked."
        return "verification", Weight.LESS_SAFE, said
    return "step", Weight.NEUTRAL, f"{seen.name} is gone: {seen.facts.name} no longer looks."


def _before(whole: View, seen: Seen) -> Iterator[Seen]:
    for other in whole.steps:
        if other is seen:
            return
        yield other
