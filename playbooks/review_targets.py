"""Whether what a containing step acts on was looked at first: a name that an alert brings may be wrong, or planted.

Text of an alert reaches a playbook by its inputs (a route fills them) and by facts of the incident. A read of the
same system that took the same value shows that it is there, and what it is.
"""

from collections.abc import Iterator

from playbooks.contract import ActionFacts, Json
from playbooks.expr_names import Chain, reads
from playbooks.expr_text import ExprError, templates
from playbooks.facts import kind_of
from playbooks.model_steps import ActionStep, Loc, RunStep, SetStep
from playbooks.outline import Outline, enclosing

Evidence = frozenset[tuple[str, str]]
"""Pairs of a system and what was acquired of it, or which value of an alert was looked up there."""
Inputs = frozenset[str]
_TEXT = frozenset(("string", "any", "list[string]", "list[any]"))
_BOUNDED = frozenset(("id", "kind", "severity", "opened_at", "detected_at", "first_seen"))
"""Facts of every incident that Stanch itself gives, or of which only few values exist."""
_TOOK = "took "
_OWN = (f"{_TOOK}inputs.", f"{_TOOK}steps.")
"""Marks of what only one playbook calls so."""
_FREE = frozenset(("integer", "number", "boolean", "datetime", "duration"))
"""Types of parameters that name nothing."""


def taken(outline: Outline, loc: Loc, step: ActionStep, facts: ActionFacts) -> Evidence:
    """What a read took, as pairs of its system and what stands for the value."""
    if facts.risk.is_effect:
        return frozenset()
    return frozenset((facts.system, mark(chain)) for chain in _chains(outline, loc, step.with_))


def mark(chain: Chain) -> str:
    """A value that a read took, so that it differs from any kind of evidence."""
    return _TOOK + ".".join(chain[:2])


def looked_up(kind: str) -> str | None:
    """The value that such a mark stands for; ``None`` for a kind of evidence."""
    return kind.removeprefix(_TOOK) if kind.startswith(_TOOK) else None


class Handed:
    """What a step that runs a playbook hands to its inputs: a value goes by another name there.

    Attributes:
        told: The inputs that are filled from an alert's text.
    """

    def __init__(self, outline: Outline, loc: Loc, step: RunStep, told: Inputs) -> None:
        """``told`` are those of the caller itself."""
        self._names: dict[str, frozenset[str]] = {}
        for name, value in step.run.with_.items():
            found = frozenset(
                mark(chain) for chain in _chains(outline, loc, value) if _from_alert(outline, chain, told)
            )
            if found:
                self._names[name] = found
        self.told: Inputs = frozenset(self._names)

    def inside(self, held: Evidence) -> Evidence:
        """What is held, by the names that the playbook knows."""
        kept = frozenset(pair for pair in held if not pair[1].startswith(_OWN))
        systems = {system for system, _ in held}
        return kept | {
            (system, mark(("inputs", name)))
            for name, found in self._names.items()
            for system in systems
            if all((system, one) in held for one in found)
        }

    def outside(self, gained: Evidence) -> Evidence:
        """What the playbook has gained, by the names that its caller knows."""
        kept = frozenset(pair for pair in gained if not pair[1].startswith(_OWN))
        return kept | {
            (system, one)
            for name, found in self._names.items()
            for system, kind in gained
            if kind == mark(("inputs", name))
            for one in found
        }


def unverified(
    outline: Outline, loc: Loc, step: ActionStep, facts: ActionFacts, held: Evidence, told: Inputs = frozenset()
) -> Iterator[tuple[str, Chain]]:
    """Parameters of a containing step that come from an alert's text which no read before it took; ``told`` are the
    inputs that a caller fills from one."""
    if not facts.risk.is_effect:
        return
    for name, value in step.with_.items():
        known = facts.params.get(name)
        if known is not None and known.type in _FREE:
            continue
        for chain in _chains(outline, loc, value):
            if _from_alert(outline, chain, told) and (facts.system, mark(chain)) not in held:
                yield name, chain
                break


def _from_alert(outline: Outline, chain: Chain, told: Inputs) -> bool:
    playbook = outline.source.playbook
    if len(chain) < 2:
        return False
    if chain[0] == "inputs":
        declared = playbook.inputs.get(chain[1])
        from_one = bool(playbook.starts_on) or chain[1] in told
        return from_one and declared is not None and declared.type in _TEXT
    if chain[0] != "incident" or chain[1] in _BOUNDED or _is_set(outline, chain[1]):
        return False
    kind = kind_of(chain[1])
    return kind is None or kind.type in _TEXT


def _is_set(outline: Outline, fact: str) -> bool:
    return any(isinstance(step, SetStep) and f"incident.{fact}" in step.set for step in outline.steps.values())


def _chains(outline: Outline, loc: Loc, value: Json) -> Iterator[Chain]:
    """What a value of a step reads; the item of a loop stands for what the loop runs over."""
    around = (*enclosing(loc), loc)
    return _read(outline, tuple(at for at in around if outline.steps[at].for_each is not None), value)


def _read(outline: Outline, loops: tuple[Loc, ...], value: Json) -> Iterator[Chain]:
    try:
        found = [read.chain for source in templates(value) for read in reads(source)]
    except ExprError:
        return
    for chain in found:
        over = [number for number, at in enumerate(loops) if (outline.steps[at].as_ or "item") == chain[0]]
        if over:
            yield from _read(outline, loops[: over[-1]], outline.steps[loops[over[-1]]].for_each)
        else:
            yield chain
