"""What expressions may read at one place of a playbook, and of which type it is.

A field is *surely set* where its step surely ran and can only have ended with output (design, semantics 1).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from playbooks.contract import ActionFacts
from playbooks.expr_names import Chain
from playbooks.facts import kind_of
from playbooks.model import Playbook
from playbooks.model_steps import (
    ActionStep,
    ApproveStep,
    AskStep,
    BaseStep,
    DraftStep,
    HumanStep,
    RepeatStep,
    RunStep,
    SetStep,
    WorkflowStep,
)

META = frozenset(("status", "started_at", "finished_at", "by", "affected"))
TARGET_FIELDS = ("ref", "sha256", "count", "sample", "complete")
RUN = {"id": "string", "playbook": "string", "started_at": "datetime", "mode": "string"}
ALWAYS_KNOWN = {
    "id": "string",
    "kind": "string",
    "severity": "integer",
    "title": "string",
    "opened_at": "datetime",
    "detected_at": "datetime",
    "first_seen": "datetime",
    "org": "string",
}
"""Facts that every incident has; any other may be unset."""


class Output(NamedTuple):
    """One output field: its type, and whether the step always sets it when it ends with output."""

    type: str
    sure: bool = True


@dataclass(frozen=True)
class Env:
    """What is in sight at a place."""

    seen: frozenset[str] = frozenset()
    """Ids of steps that have had their turn."""
    known: frozenset[Chain] = frozenset()
    """Chains that are surely set."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of items to their types."""
    loops: Mapping[str, str | None] = field(default_factory=dict)
    """Ids inside a loop that is over, to the id of that loop."""

    def knowing(self, chains: Iterable[Chain]) -> "Env":
        """With further chains that are surely set, and so all that they lie in."""
        whole = {chain[:length] for chain in chains for length in range(2, len(chain) + 1)}
        return replace(self, known=self.known | whole)

    def naming(self, name: str, kind: str) -> "Env":
        """Inside a loop."""
        return replace(self, names={**self.names, name: kind})

    def holds(self, chain: Chain) -> bool:
        """Whether a field is surely set; what lies inside a field is not followed."""
        return chain in self.known or (len(chain) > 3 and chain[0] == "steps" and chain[:3] in self.known)


Called = Callable[[str], Mapping[str, Output] | None]
"""What a playbook gives back, by its id; ``None`` if it cannot be known."""


def outputs(step: BaseStep, actions: Mapping[str, ActionFacts], called: Called) -> Mapping[str, Output] | None:
    """The fields that a step leaves, seen from outside of its loop; ``None`` if they cannot be known."""
    if step.for_each is not None:
        return {"items": Output("list[any]"), "outputs": Output("list[any]")}
    match step:
        case ActionStep() | WorkflowStep():
            facts = actions.get(step.action)
            if facts is None:
                return None
            return {name: Output(known.type, known.required) for name, known in facts.outputs.items()}
        case ApproveStep():
            return {"approved": Output("boolean")}
        case AskStep():
            end = step.on_timeout[-1]
            taken = end.default or {}
            return {
                name: Output(
                    known.type,
                    end.outcome != "unanswered"
                    and (known.must_be_given or known.default is not None)
                    and (end.outcome != "default" or name in taken or known.default is not None),
                )
                for name, known in step.form.items()
            }
        case HumanStep():
            sure = step.on_timeout[-1].outcome != "continue"
            found = {"done_by": Output("string", sure)}
            return {**found, "result": Output("map", sure)} if step.verify is not None else found
        case DraftStep():
            return {"drafts": Output("list[any]")}
        case RepeatStep():
            return {"passes": Output("integer")}
        case RunStep():
            return called(step.run.playbook)
    return {}


def ends_unset(step: BaseStep, actions: Mapping[str, ActionFacts]) -> bool:
    """Whether a step may be over without output although the run goes on."""
    on_failure = step.on_failure
    if on_failure is None and isinstance(step, ActionStep | WorkflowStep):
        facts = actions.get(step.action)
        on_failure = "ask" if facts is not None and facts.risk.is_effect else "stop"
    return on_failure in ("continue", "ask") or step.when is not None


def surely_sets(step: BaseStep) -> bool:
    """Whether a step of ``always``, whose failure stops nothing, leaves what it sets nevertheless."""
    match step:
        case ApproveStep():
            ends = step.on_deny != "stop" and step.on_timeout[-1].outcome != "stop"
        case AskStep():
            ends = step.on_timeout[-1].outcome != "stop"
        case _:
            ends = isinstance(step, SetStep)
    return ends and step.timeout is None


def fact_type(name: str) -> str:
    """Type of a fact of the incident, without ``incident.``; ``any`` for one that nobody declared."""
    if name in ALWAYS_KNOWN:
        return ALWAYS_KNOWN[name]
    kind = kind_of(name)
    return "any" if kind is None else kind.type


class Types:
    """Types of what is in sight of one playbook."""

    def __init__(
        self,
        playbook: Playbook,
        steps: Mapping[str, BaseStep],
        actions: Mapping[str, ActionFacts],
        called: Called,
    ) -> None:
        """``steps`` by id."""
        self._inputs = {name: declared.type for name, declared in playbook.inputs.items()}
        self._steps, self._actions, self._called = steps, actions, called

    def of(self, chain: Chain, env: Env) -> str:
        """The type of a chain, ``any`` if it is not known."""
        if len(chain) == 1:
            return env.names.get(chain[0], "any")
        head, name, *rest = chain
        if head == "inputs":
            return self._inputs.get(name, "any") if not rest else "any"
        if head == "incident":
            return fact_type(name) if not rest else "any"
        if head == "run":
            return RUN.get(name, "any") if not rest else "any"
        if head == "steps" and len(rest) == 1 and name in self._steps:
            known = outputs(self._steps[name], self._actions, self._called) or {}
            return known[rest[0]].type if rest[0] in known else "any"
        return "any"
