"""Whether what a containing step acts on was looked at first: a name that an alert brings may be wrong, or planted.

Text of an alert reaches a playbook by its inputs (a route fills them) and by facts of the incident. A read of the
same system that took the same value shows that it is there, and what it is.
"""

from collections.abc import Iterator

from playbooks.contract import ActionFacts, Json
from playbooks.expr_names import Chain, reads
from playbooks.expr_text import ExprError, templates
from playbooks.facts import kind_of
from playbooks.model_steps import ActionStep, Loc, SetStep
from playbooks.outline import Outline, enclosing

_TEXT = frozenset(("string", "any", "list[string]", "list[any]"))
_BOUNDED = frozenset(("id", "kind", "severity", "opened_at", "detected_at", "first_seen"))
"""Facts of every incident that Stanch itself gives, or of which only few values exist."""
_TOOK = "took "
_FREE = frozenset(("integer", "number", "boolean", "datetime", "duration"))
"""Types of parameters that name nothing."""


def taken(outline: Outline, loc: Loc, step: ActionStep, facts: ActionFacts) -> frozenset[tuple[str, str]]:
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


def unverified(
    outline: Outline, loc: Loc, step: ActionStep, facts: ActionFacts, held: frozenset[tuple[str, str]]
) -> Iterator[tuple[str, Chain]]:
    """Parameters of a containing step that come from an alert's text which no read before it took."""
    if not facts.risk.is_effect:
        return
    for name, value in step.with_.items():
        known = facts.params.get(name)
        if known is not None and known.type in _FREE:
            continue
        for chain in _chains(outline, loc, value):
            if _from_alert(outline, chain) and (facts.system, mark(chain)) not in held:
                yield name, chain
                break


def _from_alert(outline: Outline, chain: Chain) -> bool:
    playbook = outline.source.playbook
    if len(chain) < 2:
        return False
    if chain[0] == "inputs":
        declared = playbook.inputs.get(chain[1])
        return bool(playbook.starts_on) and declared is not None and declared.type in _TEXT
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
