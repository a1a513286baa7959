"""What must be true when a run has ended that was killed many times: as if nobody had been killed."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from activities.catalog import CATALOG
from playbooks.digest import entry_hash, genesis
from playbooks.plan import (
    ActionStep,
    ChooseStep,
    DoStep,
    Frame,
    HumanStep,
    IfStep,
    ParallelStep,
    PlannedStep,
    RepeatStep,
    RunPlan,
    RunStep,
)
from tests.faults.driver import COMMITTED
from tests.faults.scene import Ending, Kill
from worker.demo_story import World, checks

OF_EFFECTS = ("before_intent", "after_intent")
"""Points that a read does not have: it writes no intent, so there is nothing before and after it."""
OF_ALL = ("after_send", COMMITTED, "before_outcome", "before_completion")
POINTS = (*OF_EFFECTS, *OF_ALL)
UNDISTURBED = "undisturbed"
EFFECTS = frozenset(name for name, spec in CATALOG.specs.items() if spec.facts.risk.is_effect)


def actions_of(plan: RunPlan) -> dict[str, str]:
    """Path to action of every step that calls one; of a human step, the check that reads back."""
    found = {}
    for step in _steps(plan.frame):
        if isinstance(step.spec, ActionStep):
            found[step.path] = step.spec.name
        elif isinstance(step.spec, HumanStep) and step.spec.verify is not None:
            found[step.path] = step.spec.verify.action
    return found


def _steps(frame: Frame) -> Iterator[PlannedStep]:
    for step in (*frame.steps, *frame.always):
        yield from _within(step)


def _within(step: PlannedStep) -> Iterator[PlannedStep]:
    yield step
    spec = step.spec
    inner: list[PlannedStep] = []
    if isinstance(spec, ParallelStep):
        inner = [each for branch in spec.branches.values() for each in branch]
    elif isinstance(spec, IfStep):
        inner = [*spec.then, *spec.otherwise]
    elif isinstance(spec, ChooseStep):
        inner = [*(each for choice in spec.choices for each in choice.steps), *spec.otherwise]
    elif isinstance(spec, DoStep | RepeatStep):
        inner = list(spec.steps)
    elif isinstance(spec, RunStep):
        yield from _steps(spec.frame)
    for each in inner:
        yield from _within(each)


def places(ending: Ending, point: str) -> set[str]:
    """Every step instance of the playbook that has this point; of a ``for_each`` its items."""
    actions = actions_of(ending.plan)
    found = set()
    for path, action in actions.items():
        if point in OF_EFFECTS and action not in EFFECTS:
            continue
        shown = [step for step in ending.shown["steps"] if step["path"] == path]
        items = {step["item"] for step in shown if step["item"]}
        found |= {f"{path}[{item}]" for item in items} or {path}
    return found


def check_all(ending: Ending, reference: Ending) -> None:
    """Hold a run that was killed against the same run undisturbed."""
    assert statuses(ending) == statuses(reference)
    assert gates(ending) == gates(reference)
    assert [name for _, name in gates(ending) if name in ("unknown", "failure")] == []
    assert changes(ending) == changes(reference)
    assert kinds(ending) == kinds(reference)
    world = World(effects=ending.effects, log=ending.log, state={})
    wrong = [f"{each.name}: {each.found}" for each in checks(ending.shown, world, ending.wrong, EFFECTS) if not each.ok]
    assert wrong == []
    assert ending.shown["runs"][0]["warnings"] == reference.shown["runs"][0]["warnings"]
    assert repeated_outcomes(ending.entries) == []
    check_chain(ending.entries)
    assert ending.intact


def statuses(ending: Ending) -> list[tuple[str, str | None, str]]:
    """How each step ended."""
    return [(step["path"], step["item"], step["status"]) for step in ending.shown["steps"]]


def gates(ending: Ending) -> list[tuple[str, str]]:
    """Every question that people were asked, with its kind."""
    opened = [entry["body"] for entry in ending.entries if entry["kind"] == "gate.opened"]
    return sorted((body["step"], body["gate"]) for body in opened)


def changes(ending: Ending) -> list[tuple[str, bool, int]]:
    """What each effect says that it changed."""
    return [
        (step["path"], step["changed"], step["affected"]["count"])
        for step in ending.shown["steps"]
        if step["action"] in EFFECTS
    ]


def kinds(ending: Ending) -> Counter[str]:
    """The world's own record, counted by kind."""
    return Counter(effect["kind"] for effect in ending.effects)


def repeated_outcomes(entries: list[dict[str, Any]]) -> list[str]:
    """Idempotency keys with more than one outcome."""
    counted = Counter(entry["body"]["key"] for entry in entries if entry["kind"] == "action.outcome")
    return [key for key, times in counted.items() if times > 1]


def check_chain(entries: list[Mapping[str, Any]]) -> None:
    """The journal's own rules: no gap, each entry bound to the one before."""
    assert entries
    before = genesis(entries[0]["incident"])
    for seq, entry in enumerate(entries, 1):
        assert (entry["seq"], entry["prev"]) == (seq, before)
        before = entry_hash({name: value for name, value in entry.items() if name != "hash"})
        assert entry["hash"] == before


def report(story: str, ending: Ending) -> list[str]:
    """A line for the run, and one for each death."""
    steps = sum(len(kill.places) for kill in ending.kills)
    none = "; a read has no intent, so it does not have this point" if story in OF_EFFECTS else ""
    lines = [f"{story}: {steps} steps, {len(ending.kills)} kills, {ending.seconds:.0f} s{none}"]
    return lines + [f"  {', '.join(kill.places):<40} {_until_done(kill, ending)}" for kill in ending.kills]


def _until_done(kill: Kill, ending: Ending) -> str:
    """Seconds from a death until the last of its steps was done."""
    paths = {place.partition("[")[0] for place in kill.places}
    ends = [
        datetime.fromisoformat(step["finished_at"])
        for step in ending.shown["steps"]
        if step["path"] in paths and step["finished_at"]
    ]
    # The run's own time stands still between its tasks, so it may lie just before the death.
    return f"{max(0.0, (max(ends) - kill.at).total_seconds()):5.1f} s to its end" if ends else ""
