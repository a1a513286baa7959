"""A playbook as a picture: what is drawn of each step, whatever the format.

Every step stands in it once, in the order in which it has its turn, with who decides, what follows silence, what an
approval covers and what cannot be undone, in words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from playbooks.contract import ActionFacts, Json, Risk
from playbooks.diff_people import deciders
from playbooks.diff_view import Seen, View, view
from playbooks.loader import Library, Source
from playbooks.model_steps import (
    ActionStep,
    ApproveStep,
    AskStep,
    BaseStep,
    ChooseStep,
    ClocksStep,
    DoStep,
    DraftStep,
    HumanStep,
    IfStep,
    Loc,
    NoteStep,
    ParallelStep,
    RepeatStep,
    RequireStep,
    RunStep,
    SetStep,
    StopStep,
    TellStep,
    WaitStep,
    WorkflowStep,
    blocks,
)
from playbooks.model_values import Link
from playbooks.outline import alternatives, stops
from playbooks.policy import Policy

_UNSAID = (DoStep, ParallelStep, RepeatStep)
"""Kinds whose subject says nothing beside a title."""
_TEMPLATE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)


@dataclass(frozen=True)
class Branch:
    """Steps inside a step: a branch, a way, a pass. ``ends`` if the run surely ends there."""

    label: str
    nodes: tuple["Node", ...]
    ends: bool = False


@dataclass(frozen=True)
class Node:
    """One step. ``word`` says its kind, ``title`` what it is; ``lines`` are details, ``marks`` what stands out."""

    path: str
    shown: str
    """Its id, or the line where it begins."""
    kind: str
    word: str
    title: str
    lines: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    risk: Risk | None = None
    loop: str = ""
    when: str = ""
    seal: int | None = None
    """Of an approval its number; of what it covers the same."""
    unapproved: bool = False
    """Whether policy demands an approval that the playbook does not ask for."""
    speaks: bool = False
    """Whether its title is a text for people."""
    side_by_side: bool = False
    chooses: bool = False
    branches: tuple[Branch, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A whole playbook."""

    id: str
    version: str
    title: str
    starts_on: tuple[str, ...]
    inputs: tuple[str, ...]
    steps: tuple[Node, ...]
    always: tuple[Node, ...]
    risks: tuple[Risk, ...] = field(default=())
    """Those that its actions have, weakest first."""
    kinds: frozenset[str] = frozenset()
    """Of all its steps."""


def graph(source: Source, *, library: Library, actions: Mapping[str, ActionFacts], policy: Policy) -> Graph:
    """What to draw of a playbook whose graph tier has found no error."""
    whole = view(source, library=library, actions=actions, policy=policy)
    builder, playbook = _Builder(whole), source.playbook
    risks = {seen.facts.risk for seen in whole.steps if seen.facts is not None}
    return Graph(
        id=playbook.id,
        version=playbook.version,
        title=playbook.title,
        starts_on=tuple(playbook.starts_on),
        inputs=tuple(
            name if declared.must_be_given else f"{name} (optional)" for name, declared in playbook.inputs.items()
        ),
        steps=builder.block(("steps",), len(playbook.steps)),
        always=builder.block(("always",), len(playbook.always)),
        risks=tuple(risk for risk in Risk if risk in risks),
        kinds=frozenset(seen.step.kind for seen in whole.steps),
    )


class _Builder:
    def __init__(self, whole: View) -> None:
        self._seen = {seen.at: seen for seen in whole.steps}
        approvals = [seen for seen in whole.steps if isinstance(seen.step, ApproveStep)]
        self._seals = {id(seen): number for number, seen in enumerate(approvals, 1)}

    def block(self, at: Loc, length: int) -> tuple[Node, ...]:
        return tuple(self._node(self._seen[(*at, number)]) for number in range(length))

    def _node(self, seen: Seen) -> Node:
        step = seen.step
        word, title, lines = _said(step, seen)
        asking = seen if isinstance(step, ApproveStep) else seen.approve
        unapproved = bool(seen.is_effect and seen.approve is None and seen.needed and _demanded(seen))
        return Node(
            path=seen.path,
            shown=seen.path if step.id is not None else f"line {seen.line()}",
            kind=step.kind,
            word=word,
            title=step.title or title,
            lines=(
                *(
                    (title,)
                    if step.title and title and not isinstance(step, DoStep | ParallelStep | RepeatStep)
                    else ()
                ),
                *lines,
            ),
            marks=tuple(_marks(seen)),
            risk=seen.facts.risk if seen.facts is not None else None,
            loop=_loop(step),
            when=step.when or "",
            seal=self._seals[id(asking)] if asking is not None else None,
            unapproved=unapproved,
            speaks=not step.title and isinstance(step, TellStep | AskStep | HumanStep | NoteStep | StopStep),
            side_by_side=isinstance(step, ParallelStep),
            chooses=isinstance(step, IfStep | ChooseStep),
            branches=self._branches(seen),
        )

    def _branches(self, seen: Seen) -> tuple[Branch, ...]:
        step = seen.step
        if ways := alternatives(step):
            labels = ("yes", "no") if isinstance(step, IfStep) else _ways(len(ways))
            return tuple(
                Branch(label, self.block((*seen.at, *way.at), len(way.block)), stops(way.block))
                for label, way in zip(labels, ways, strict=True)
            )
        found = []
        for inner, block in blocks(step):
            label = "" if inner[-1] == "do" else str(inner[-1])
            found.append(Branch(label, self.block((*seen.at, *inner), len(block)), stops(block)))
        if isinstance(step, RunStep):
            for part in ("steps", "always"):
                inner = (*seen.at, "run", part)
                nodes = tuple(self._node(self._seen[(*inner, number)]) for number in self._numbers(inner))
                if nodes:
                    found.append(Branch("always, however it ends" if part == "always" else "", nodes))
        return tuple(found)

    def _numbers(self, at: Loc) -> list[int]:
        number = 0
        while (*at, number) in self._seen:
            number += 1
        return list(range(number))


def _ways(count: int) -> list[str]:
    return [*map(str, range(1, count)), "else"]


def _loop(step: BaseStep) -> str:
    if isinstance(step, RepeatStep):
        again = step.repeat
        rest = f", {again.every} apart" if again.every else ""
        return f"again until {again.until}; at most {again.at_most} times{rest}"
    if step.for_each is None:
        return ""
    return f"for each {step.as_ or 'item'} of {_short(step.for_each)}; {step.at_once} at once"


def _short(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_short(item)}" for key, item in value.items())
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return " ".join(_TEMPLATE.sub(r"‹\1›", text).split())


def _marks(seen: Seen) -> list[str]:
    found = []
    if seen.is_effect and seen.facts is not None:
        if not seen.facts.reversible:
            found.append("cannot be undone")
        elif seen.step.undo is not None:
            found.append("is not undone")
        if seen.approve is not None:
            found.append(f"only if {seen.approve.path} approves")
        elif seen.needed is not None:
            found.append(_free(seen))
    if seen.is_evidence and seen.facts is not None:
        found.append(f"secures {', '.join(seen.facts.acquires)}")
    if seen.step.on_failure == "continue":
        found.append("goes on if it fails")
    return found


def _demanded(seen: Seen) -> bool:
    return seen.needed is not None and (seen.needed.refused or bool(seen.needed.needs)) and not seen.free_when_severe


def _free(seen: Seen) -> str:
    assert seen.needed is not None
    if seen.needed.refused:
        return "policy never lets it run"
    if not seen.needed.needs:
        return f"runs without approval ({seen.needed.rule})"
    who = seen.needed.who
    if seen.free_when_severe:
        return f"asks {who} by itself, unless severe"
    return f"not approved: policy demands {who}"


def silence(chain: list[Link]) -> str:
    """What follows when nobody answers, as people say it."""
    ends = {
        "deny": "it counts as denied",
        "stop": "the run ends",
        "continue": "the run goes on without it",
        "unanswered": "it stays unanswered",
        "default": "the default is taken",
    }
    links = [f"{link.escalate} is asked for {link.within}" for link in chain[:-1]]
    return "silence: " + ", then ".join([*links, ends[str(chain[-1].outcome)]])


def _said(step: BaseStep, seen: Seen) -> tuple[str, str, tuple[str, ...]]:
    """Its kind in a word, its subject, and details."""
    match step:
        case ActionStep() | WorkflowStep():
            return str(seen.facts.risk if seen.facts else "action"), step.action, ()
        case ApproveStep():
            denied = "denied: the run ends" if step.on_deny == "stop" else "denied: the run goes on without them"
            who = f"decided by {deciders(step.by)} within {step.within}"
            lines = (who, silence(step.on_timeout), denied, f"holds for {step.valid_for}")
            return "approve", f"covers {', '.join(step.approve)}", lines
        case AskStep():
            who = f"{deciders(step.by)} within {step.within}"
            return "ask", _short(step.ask), (who, silence(step.on_timeout), f"asks for {', '.join(step.form)}")
        case HumanStep():
            does = [f"{step.owner} within {step.within}", silence(step.on_timeout)]
            if step.verify is not None:
                does.append(f"then checked every {step.verify.every}: {step.verify.action} until {step.verify.until}")
            return "human", _short(step.human), tuple(does)
        case WaitStep() if step.wait.for_ is not None:
            return "wait", f"for {_short(step.wait.for_)}", ()
        case WaitStep():
            what = f"for the event {step.wait.event}" if step.wait.event else f"until {step.wait.until}"
            return "wait", what, (f"at most {step.within}", silence(step.on_timeout or []))
    return _plain(step)


def _plain(step: BaseStep) -> tuple[str, str, tuple[str, ...]]:
    match step:
        case IfStep():
            return "if", step.if_, ()
        case ChooseStep():
            ways = [way.because[-1] for way in alternatives(step)[:-1]]
            return "choose", "the first that holds", tuple(f"{n}: {said}" for n, (said, _) in enumerate(ways, 1))
        case RepeatStep():
            return "repeat", "Again and again", ()
        case ParallelStep():
            fast = ("a failing branch stops the others from going on",) if step.fail_fast else ()
            return "parallel", "Side by side", fast
        case DoStep():
            return "do", "Together", ()
        case RunStep():
            given = (_short(step.run.with_),) if step.run.with_ else ()
            return "run", f"playbook {step.run.playbook}", given
        case SetStep():
            return "set", f"sets {', '.join(step.set)}", ()
        case ClocksStep():
            return "clocks", f"legal clocks run from {step.clocks.fact}", ()
        case DraftStep() if isinstance(step.draft, str):
            return "draft", "drafts of all reports that may be due", ()
        case DraftStep():
            wanted = [item for item in step.draft if not isinstance(item, str)]
            return "draft", ", ".join(f"{item.regime} {item.stage}" for item in wanted), ()
        case TellStep():
            return "tell", _short(step.tell), (f"to {', '.join(step.to)}, urgency {step.urgency}",)
        case NoteStep():
            return "note", _short(step.note), ()
        case RequireStep():
            return "require", step.require, (f"else the run fails: {_short(step.message)}",)
        case StopStep():
            return "stop", _short(step.stop), ("the run ends here",)
    return step.kind, "", ()
