"""Whether two ways to have a run left the same entries: equal as (kind, step path, pass, item, body without instants and
attempt numbers), in the same order within each branch (design, section 6)."""

import re
from collections import defaultdict
from typing import Any

from worker.trial.outcome import instance
from worker.trial.trial import Trial
from workflows.scope import PlanIndex

VOLATILE = frozenset({"attempt", "tries", "nonce", "sig", "decided_at", "key", "key_id", "at", "bytes"})
INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")


def meant(trial: Trial) -> dict[Any, list[Any]]:
    """Entries by branch, in order."""
    index = PlanIndex(trial.plan)
    around = {path: above for frame in index.frames.values() for path, above in frame.above.items()}
    found = defaultdict(list)
    for entry in trial.world.entries.values():
        body = dict(entry.body)
        path = body.get("step")
        branch = (path if path not in around else _branch(path, around, index), body.get("item"))
        if entry.kind.startswith("decision."):
            # People speak when they speak; what they say to one question stays in order.
            branch = ("said", body.get("at_step") or instance(str(path), body.get("item")))
        found[branch].append((entry.kind, path, body.get("item"), entry.actor, plain(body)))
    return dict(found)


def _branch(path: str, around: Any, index: PlanIndex) -> tuple[Any, ...]:
    outer = next(
        (owner for owner in index.steps if path.startswith(f"{owner}/") and "/" not in path[len(owner) + 1 :]), None
    )
    above = tuple((above.step.path, above.block) for above in around[path] if above.step.kind == "parallel")
    return (*(_branch(outer, around, index) if outer else ()), *above)


def plain(value: Any) -> Any:
    """A value without instants and attempt numbers."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if name not in VOLATILE}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return INSTANT.sub("@", value) if isinstance(value, str) else value


def differences(one: Trial, other: Trial) -> list[str]:
    """Where they part."""
    first, second = meant(one), meant(other)
    found = []
    for branch in {**first, **second}:
        a, b = first.get(branch, []), second.get(branch, [])
        if a == b:
            continue
        number = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        found.append(f"{branch}, entry {number}: {a[number : number + 2]} <> {b[number : number + 2]}")
    changed = [[(e.step, e.item, e.verb, e.count) for e in trial.world.effects] for trial in (one, other)]
    if sorted(map(str, changed[0])) != sorted(map(str, changed[1])):
        found.append(f"effects: {changed[0]} <> {changed[1]}")
    return found
