"""A playbook as one that compares it looks at it: every step with all that decides what it may do.

Steps of playbooks that it runs are among them, each with its place in its own file.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from playbooks.contract import ActionFacts, Json
from playbooks.expr_grammar import parse
from playbooks.expr_text import ExprError, sole
from playbooks.expr_text import parts as stretches
from playbooks.loader import Library, Source
from playbooks.model_steps import ActionStep, BaseStep, Loc, RunStep, WorkflowStep
from playbooks.outline import Outline, alternatives, enclosing, is_step
from playbooks.policy import Policy, Requirement, requirement
from playbooks.review_safety import Safety
from playbooks.review_targets import Evidence, Handed, Inputs

_STEP = re.compile(r"(?<![\w.\"'])steps\s*\.\s*([a-z][a-z0-9_]*)")
HIGHEST = 5


@dataclass(frozen=True, eq=False)
class Seen:
    """One step. ``loc`` is its place in its file, ``at`` that in the whole, through the playbooks that are run;
    ``path`` is its name there."""

    source: Source
    loc: Loc
    at: Loc
    step: BaseStep
    path: str
    always: bool
    around: tuple["Seen", ...]
    facts: ActionFacts | None = None
    approve: "Seen | None" = None
    """The approve step that covers it and surely has its turn before it."""
    targets_read: bool = False
    held: Evidence = frozenset()
    needed: Requirement | None = None
    """What policy demands of an effect while its severity is not known."""
    free_when_severe: bool = False

    def line(self, *keys: str | int) -> int:
        """Line of a part of the step, or of the step itself."""
        return self.source.where((*self.loc, *keys))[0]

    @property
    def name(self) -> str:
        """What a reader calls it: its id, or what it is and where it stands."""
        return self.path if self.step.id is not None else f"the {self.step.kind} step in line {self.line()}"

    @property
    def is_effect(self) -> bool:
        """Whether it changes a system in a way that policy gates."""
        return self.facts is not None and self.facts.risk.is_effect

    @property
    def is_evidence(self) -> bool:
        """Whether it secures evidence."""
        return self.facts is not None and bool(self.facts.acquires)


@dataclass
class View:
    """All steps of one playbook and of those that it runs, in the order of the file."""

    source: Source
    steps: list[Seen] = field(default_factory=list)


def view(source: Source, *, library: Library, actions: Mapping[str, ActionFacts], policy: Policy) -> View:
    """Look at a playbook whose graph tier has found no error."""
    seen = View(source)
    for step in _Looking(library, actions, policy).steps(source, (), "", False, (), frozenset()):
        seen.steps.append(step)
    return seen


class _Looking:
    def __init__(self, library: Library, actions: Mapping[str, ActionFacts], policy: Policy) -> None:
        self._library, self._actions, self._policy = library, actions, policy

    def steps(
        self,
        source: Source,
        at: Loc,
        prefix: str,
        always: bool,
        around: tuple[Seen, ...],
        held: Evidence,
        told: Inputs = frozenset(),
    ) -> Iterator[Seen]:
        outline = Outline(source)
        safety = Safety(source, library=self._library, actions=self._actions, policy=self._policy, told=told)
        safety.problems(held)
        known: dict[Loc, Seen] = {}
        for loc, step in outline.steps.items():
            asking = safety.approval_of(loc)
            seen = Seen(
                source=source,
                loc=loc,
                at=(*at, *loc),
                step=step,
                path=prefix + (step.id or "@" + ".".join(map(str, loc))),
                always=always or loc[0] == "always",
                around=(*around, *(known[outer] for outer in enclosing(loc))),
                approve=None if asking is None else known[asking],
                held=safety.held.get(loc, held),
                **self._judged(safety, step),
            )
            known[loc] = seen
            yield seen
            if isinstance(step, RunStep) and (called := self._library.get(step.run.playbook)) is not None:
                inner, handed = (*at, *loc, "run"), Handed(outline, loc, step, told)
                yield from self.steps(
                    called,
                    inner,
                    f"{seen.path}/",
                    seen.always,
                    (*seen.around, seen),
                    handed.inside(seen.held),
                    handed.told,
                )

    def _judged(self, safety: Safety, step: BaseStep) -> dict[str, Any]:
        if not isinstance(step, ActionStep | WorkflowStep) or (facts := self._actions.get(step.action)) is None:
            return {}
        read = safety.targets_read(step, facts)
        severe = requirement(self._policy, facts, severity=HIGHEST, targets_read=read)
        return {
            "facts": facts,
            "targets_read": read,
            "needed": requirement(self._policy, facts, severity=None, targets_read=read),
            "free_when_severe": not severe.needs and not severe.refused,
        }


class Meaning:
    """What authored values mean, whatever their spelling; names of steps are those that they bear in the new file."""

    def __init__(self, renamed: Mapping[str, str] | None = None) -> None:
        """``renamed`` maps old ids to new ones; ``None`` makes all ids alike, to recognise a renamed step."""
        self._renamed = renamed

    def __call__(self, value: Json) -> Json:
        """A value in which equal meanings are equal; never shown to people."""
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def condition(self, source: str) -> str:
        """A bare expression."""
        return _tree(self._ids(source))

    def _text(self, text: str) -> str:
        try:
            alone = sole(text)
            if alone is not None:
                return _tree(self._ids(alone))
            found = stretches(text)
        except ExprError:
            return text
        return "".join(_tree(self._ids(part.text)) if part.is_expression else _words(part.text) for part in found)

    def _ids(self, source: str) -> str:
        if self._renamed is None:
            return _STEP.sub("steps.any_step", source)
        names = self._renamed
        return _STEP.sub(lambda found: f"steps.{names.get(found[1], found[1])}", source)


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@lru_cache(maxsize=4096)
def _tree(source: str) -> str:
    try:
        return f"<{parse(source)!r}>"
    except ExprError:
        return f"<{_words(source).strip()}>"


def stands_before(first: Loc, later: Loc) -> bool:
    """Whether a step has its turn before another wherever both run; never of branches side by side."""
    for number, (one, other) in enumerate(zip(first, later, strict=False)):
        if one != other:
            if isinstance(one, int) and isinstance(other, int):
                return one < other and is_step(first, number)
            return (one, other) == ("steps", "always")
    return False


def conditions(seen: Seen) -> list[str]:
    """What must hold for a step to run, beside that the run comes to it: its own condition and, for a step in a
    branch of an ``if`` or a way of a ``choose``, those of that way. Those of the steps around it are theirs."""
    found = [seen.step.when] if seen.step.when is not None else []
    outer = seen.around[-1] if seen.around else None
    if outer is not None and outer.source is seen.source:
        for way in alternatives(outer.step):
            if way.at and seen.loc[len(outer.loc) :][: len(way.at)] == way.at:
                found += [condition if truth else f"not ({condition})" for condition, truth in way.because]
    return found
