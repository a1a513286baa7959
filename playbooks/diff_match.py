"""Which step of a new playbook is which of the old: by id, then by content, so that a renamed step is recognised."""

from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from typing import NamedTuple

from playbooks.contract import Json
from playbooks.diff_view import Meaning, Seen, View
from playbooks.model_steps import (
    ActionStep,
    ApproveStep,
    AskStep,
    HumanStep,
    NoteStep,
    RunStep,
    StopStep,
    TellStep,
    WorkflowStep,
)

ALIKE = 0.6
"""How much of two texts must agree for one to be the other, rewritten."""
_BY_PLACE = frozenset(("clocks", "draft", "require", "set", "wait"))
"""Kinds of which one at the same place is the same, written otherwise: whatever changed of it is told."""
_UNSAID = {"id", "title", "labels", "owner", "phase"}


class Pair(NamedTuple):
    """One step in both playbooks."""

    old: Seen
    new: Seen


class Matched(NamedTuple):
    """Steps that are in both, in the new order; those that are gone; those that came."""

    pairs: list[Pair]
    gone: list[Seen]
    come: list[Seen]

    def renamed(self) -> dict[str, str]:
        """Old ids to new ones."""
        both = ((pair.old.step.id, pair.new.step.id) for pair in self.pairs)
        return {old: new for old, new in both if old is not None and new is not None and old != new}


def match(old: View, new: View) -> Matched:
    """Find each step of one playbook in another."""
    finder = _Finder(old, new)
    finder.take(lambda seen: (seen.path, seen.step.kind, _subject(seen)) if seen.step.id is not None else None)
    finder.take(lambda seen: (seen.path, seen.step.kind) if seen.step.id is not None else None)
    finder.take(_content)
    finder.take(lambda seen: (seen.step.kind, subject) if (subject := _subject(seen)) is not None else None)
    finder.take_alike()
    finder.take(lambda seen: (seen.path, seen.step.kind) if seen.step.kind in _BY_PLACE else None)
    return finder.matched()


class _Finder:
    def __init__(self, old: View, new: View) -> None:
        self._old, self._new = old, new
        self._found: dict[int, Seen] = {}
        """Identity of a new step to the old one."""

    def _free(self) -> tuple[list[Seen], list[Seen]]:
        taken = {id(seen) for seen in self._found.values()}
        old = [seen for seen in self._old.steps if id(seen) not in taken]
        return old, [seen for seen in self._new.steps if id(seen) not in self._found]

    def take(self, key: Callable[[Seen], object]) -> None:
        """Match steps whose key is equal, in order; those without a key wait."""
        old, new = self._free()
        waiting: dict[str, list[Seen]] = {}
        for seen in old:
            if (named := key(seen)) is not None:
                waiting.setdefault(repr(named), []).append(seen)
        for seen in new:
            if (named := key(seen)) is not None and waiting.get(repr(named)):
                self._found[id(seen)] = waiting[repr(named)].pop(0)

    def take_alike(self) -> None:
        """Match texts that were rewritten, and approvals that cover much the same."""
        old, new = self._free()
        for seen in new:
            near = [(_likeness(other, seen), other) for other in old if other.step.kind == seen.step.kind]
            best = max(near, key=lambda found: found[0], default=(0.0, None))
            if best[1] is not None and best[0] >= ALIKE:
                self._found[id(seen)] = best[1]
                old.remove(best[1])

    def matched(self) -> Matched:
        """What was found."""
        gone, come = self._free()
        return Matched([Pair(self._found[id(seen)], seen) for seen in self._new.steps if id(seen) in self._found],
                       gone, come)  # fmt: skip


def _content(seen: Seen) -> Json:
    said = seen.step.model_dump(mode="json", exclude=_UNSAID, exclude_unset=True)
    inner = {"then", "else_", "do", "parallel", "choose", "repeat"}
    if inner & said.keys():
        return None
    return [seen.always, seen.step.kind, Meaning()(said)]


def _subject(seen: Seen) -> str | None:
    """What a step is about, for those kinds of which a playbook seldom has two alike."""
    match seen.step:
        case ActionStep() | WorkflowStep():
            return seen.step.action
        case RunStep():
            return seen.step.run.playbook
    return None


def _text(seen: Seen) -> str:
    match seen.step:
        case AskStep():
            return seen.step.ask
        case HumanStep():
            return seen.step.human
        case TellStep():
            return seen.step.tell
        case NoteStep():
            return seen.step.note
        case StopStep():
            return seen.step.stop
    return ""


def _likeness(old: Seen, new: Seen) -> float:
    if isinstance(old.step, ApproveStep) and isinstance(new.step, ApproveStep):
        return _overlap(old.step.approve, new.step.approve)
    one, other = _text(old), _text(new)
    return SequenceMatcher(None, one, other).ratio() if one and other else 0.0


def _overlap(old: Iterable[str], new: Iterable[str]) -> float:
    one, other = set(old), set(new)
    return len(one & other) / len(one | other)
