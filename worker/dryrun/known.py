"""What a dry run knows: values, and of everything else on what it depends. Nothing is guessed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from activities.context import stamp
from playbooks import expr
from playbooks.contract import Json
from playbooks.plan import RunPlan
from workflows.scope import Place, facts_of, scope
from workflows.state import Fact, FactsSnapshot, FrameState, RunState, StepRecord


class Known:
    """The state of a run that nobody started, and what of it is not known before.

    Attributes:
        state: Values, as a run has them.
        unknown: Step instance, one field of it, or ``FRAME:INPUT``, to why its value is not known before.
        maybe: Step instance to what it depends on that it runs at all.
        facts: Fact to why it is not known.
        loops: Paths of the ``for_each`` whose items are not known.
    """

    def __init__(self, plan: RunPlan, facts: Mapping[str, Json]) -> None:
        """``facts`` are the incident's, by name."""
        self._mode = plan.context.mode.value
        self._now = datetime.now(UTC)
        self.at = stamp(self._now)
        given = {name: Fact(value=value, trust="person", at=self.at) for name, value in facts.items()}
        self.state = RunState(facts=FactsSnapshot(facts=given), world_started=self.at)
        self.unknown: dict[str, str] = {}
        self.maybe: dict[str, tuple[str, ...]] = {}
        self.facts: dict[str, str] = {}
        self.loops: set[str] = set()

    @property
    def severity(self) -> Json:
        """The incident's severity; ``None`` where it is not known."""
        return None if "severity" in self.facts else facts_of(self.state).get("severity")

    @property
    def incident(self) -> dict[str, Json]:
        """The incident's facts that are known."""
        return {name: value for name, value in facts_of(self.state).items() if name not in self.facts}

    def record(self, key: str, status: str = "done", **more: Any) -> StepRecord:
        """The record of a step instance, which expressions see from now on."""
        made = self.state.records[key] = StepRecord(status=status, started_at=self.at, **more)
        return made

    def frame(self, key: str, inputs: dict[str, Json]) -> None:
        """The inputs of a frame; the mapping may still be filled."""
        self.state.frames[key] = FrameState.model_construct(inputs=inputs, suppliers={}, part="steps")

    def inputs(self, place: Place) -> dict[str, Json]:
        """Inputs as a place sees them."""
        return self.state.frames[place.frame_key].inputs

    def set(self, name: str, value: Json) -> None:
        """A fact that the run sets itself."""
        self.facts.pop(name, None)
        self.state.own_facts[name] = Fact(value=value, trust="read", at=self.at)

    def depends(self, source: str, place: Place) -> list[str]:
        """On what an expression's value depends that is not known before; empty if it is known."""
        unknown, maybe = self.why(source, place)
        return list(dict.fromkeys([*unknown, *maybe]))

    def why(self, source: str, place: Place) -> tuple[list[str], list[str]]:
        """What an expression reads that is not known, and what it reads that is known if a step runs at all."""
        unknown: list[str] = []
        maybe: list[str] = []
        loops = {loop.name: loop for loop in place.loops}
        for chain in expr.names(source):
            head, name = chain[0], chain[1] if len(chain) > 1 else ""
            shown = ".".join(chain)
            if head in loops:
                unknown += [shown] if loops[head].path in self.loops else []
            elif head == "inputs":
                given = self.inputs(place)
                declared = place.frame.frame.inputs.get(name)
                reason = self.unknown.get(f"{place.frame_key}:{name}")
                if reason is None and declared is not None and declared.required and given.get(name) is None:
                    reason = "asked for"
                unknown += [f"{shown} ({reason})"] if reason else []
            elif head == "incident":
                unknown += [f"{shown} ({self.facts[name]})"] if name in self.facts else []
            elif head == "steps" and name in place.frame.paths:
                path = place.frame.paths[name]
                key = place.seen(path) or path
                reason = self.unknown.get(key) or self.unknown.get(".".join((key, *chain[2:3])))
                if reason is not None:
                    unknown.append(f"{shown} ({reason})")
                elif key in self.maybe:
                    maybe.append(f"whether {name} runs")
        return unknown, maybe

    def _names(self, place: Place) -> dict[str, Json]:
        about: dict[str, Json] = {
            "id": "dry-run",
            "playbook": place.frame.frame.playbook.id,
            "started_at": self.state.world_started,
            "mode": self._mode,
        }
        return scope(self.state, place, run=about, loaded={})

    def evaluate(self, source: str, place: Place) -> Json:
        """The value of an expression.

        Raises:
            ExprError: It fails.
        """
        return expr.evaluate(source, self._names(place), now=self._now)

    def render(self, value: Json, place: Place) -> Any:
        """A value with its templates rendered.

        Raises:
            ExprError: One of them fails.
        """
        return expr.render(value, self._names(place), now=self._now)
