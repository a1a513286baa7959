"""The graph tier of the review: what a playbook's steps read, name and take, in the order in which they run.

One walk in the order of execution carries what is in sight and what is surely set (``review_scope.Env``). Every
problem stands at the offending key or value, else at the first line of the step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from playbooks.contract import ActionFacts, Json
from playbooks.expr_names import established
from playbooks.expr_text import ExprError
from playbooks.loader import Library, Source
from playbooks.model_steps import (
    AskStep,
    BaseStep,
    ChooseStep,
    DoStep,
    IfStep,
    Loc,
    ParallelStep,
    RepeatStep,
    RequireStep,
    SetStep,
    StopStep,
)
from playbooks.outline import Outline, Part, alternatives, parts, stops
from playbooks.problems import Problem
from playbooks.regimes_model import RegimeLibrary
from playbooks.review_reads import Reads
from playbooks.review_scope import Env, Output, Types, ends_unset, outputs, surely_sets
from playbooks.review_steps import StepRules
from playbooks.types import given_type, item_type, misfit

Regimes = Callable[[], RegimeLibrary]
"""Where drafts by name are looked up: loaded only for a playbook that names one."""


class Review:
    """One playbook's graph tier."""

    def __init__(
        self,
        source: Source,
        *,
        library: Library,
        actions: Mapping[str, ActionFacts],
        regimes: Regimes | None = None,
        others: dict[str, "Review"] | None = None,
    ) -> None:
        """Nothing is checked before ``problems``. ``others`` keeps the reviews of a playbook and of those that it
        runs, by id, so that each is judged once."""
        self.source, self.library, self.actions, self.regimes = source, library, actions, regimes
        self._others = {} if others is None else others
        self._others.setdefault(source.playbook.id, self)
        self.outline = Outline(source)
        steps = {name: self.outline.steps[loc] for name, loc in self.outline.by_id.items()}
        self.types = Types(source.playbook, steps, actions, self.gives)
        self.found: list[Problem] = []
        self._outputs: dict[str, Output] | None = None
        self._began = False
        self._reads = Reads(self)
        self._rules = StepRules(self)

    def report(
        self, loc: Loc, code: str, message: str, hint: str = "", *, key: bool = False, warning: bool = False
    ) -> None:
        """Keep a problem."""
        self.found.append(self.source.problem(loc, code, message, hint, key=key, warning=warning))

    def problems(self) -> list[Problem]:
        """Every problem of this playbook itself, not of those that it runs."""
        if not self._began:
            self._began = True
            self._judge()
        return self.found

    def of(self, playbook: str) -> "Review | None":
        """The review of a playbook that this one runs; ``None`` if there is no such playbook."""
        source = self.library.get(playbook)
        if playbook not in self._others and source is not None:
            Review(source, library=self.library, actions=self.actions, regimes=self.regimes, others=self._others)
        return self._others.get(playbook)

    def gives(self, playbook: str) -> Mapping[str, Output] | None:
        """What a playbook that this one runs gives back; ``None`` where that cannot be known: there is no such
        playbook, or it runs this one, which is told elsewhere."""
        other = self.of(playbook)
        if other is None:
            return None
        other.problems()
        return other._outputs

    def _judge(self) -> None:
        playbook = self.source.playbook
        self._inputs()
        end = self._sequence(("steps",), playbook.steps, Env())
        main = [loc for loc in self.outline.steps if loc[0] == "steps"]
        start = Env(seen=frozenset(self._named(main)), loops=self._in_loops(main))
        start = replace(start, seen=start.seen - set(start.loops))
        self._given_back(end, start)
        for number, step in enumerate(playbook.always):
            after = self._step(("always", number), step, start)
            # The next step has its turn also where this one has failed.
            start = after if surely_sets(step) else replace(after, known=start.known)

    def _given_back(self, env: Env, stopped: Env) -> None:
        """Check the outputs as the main steps leave them, at their end or, where there is one, at a ``stop``."""
        early = any(loc[0] == "steps" and isinstance(step, StopStep) for loc, step in self.outline.steps.items())
        found = {}
        for name, output in self.source.playbook.outputs.items():
            at = ("outputs", name, "value")
            unsure = self._reads.unsure(at, output.value, env)
            told = len(self.found)
            unsure = unsure or (early and self._reads.unsure(at, output.value, stopped))
            del self.found[told:]
            said = misfit(output.type, output.value, lambda chain: self.types.of(chain, env))
            if said is not None:
                self.report(at, "wrong_type", f"{name} {said}.")
            found[name] = Output(output.type, not unsure)
        self._outputs = found

    def _named(self, locs: list[Loc]) -> list[str]:
        return [name for loc in locs if (name := self.outline.steps[loc].id) is not None]

    def _in_loops(self, locs: list[Loc]) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for loc in locs:
            step = self.outline.steps[loc]
            if step.for_each is not None:
                inner = [other for other in locs if len(other) > len(loc) and other[: len(loc)] == loc]
                found |= {name: step.id for name in self._named(inner) if name not in found}
        return found

    def _inputs(self) -> None:
        for name, declared in self.source.playbook.inputs.items():
            self.default(("inputs", name, "default"), declared.type, declared.options, declared.default, Env())

    def default(self, at: Loc, kind: str, options: list[str], value: Json, env: Env) -> None:
        """Check the default of an input or of a form's field."""
        if value is None:
            return
        self.value(at, value, env, only_incident=at[0] == "inputs")
        said = misfit(kind, value, lambda chain: self.types.of(chain, env))
        plain = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
        if said is not None:
            self.report(at, "wrong_type", f"The default of {at[-2]} {said}.")
        elif options and any("{{" not in item and item not in options for item in plain):
            self.report(at, "wrong_type", f"The default of {at[-2]} is none of its options.")

    # --- the walk ---------------------------------------------------------------------------------

    def _sequence(self, at: Loc, steps: Sequence[BaseStep], env: Env) -> Env:
        for number, step in enumerate(steps):
            env = self._step((*at, number), step, env)
        return env

    def _step(self, loc: Loc, step: BaseStep, env: Env) -> Env:
        inner = env
        for part in parts(step):
            if part.at == ("when",):
                self.value((*loc, "when"), part.value, env, condition=True)
                inner = inner.knowing(self._established(step.when))
            elif part.at == ("for_each",):
                inner = self._loop(loc, step, part, inner)
        after = self._kind(loc, step, inner)
        return self._left(step, env, inner, after)

    def _loop(self, loc: Loc, step: BaseStep, part: Part, env: Env) -> Env:
        at = (*loc, "for_each")
        self.value(at, part.value, env)
        kind = given_type(part.value, lambda chain: self.types.of(chain, env))
        if kind != "any" and not kind.startswith("list[") and kind not in ("targets", "grants"):
            self.report(at, "wrong_type", "for_each takes a list.", "Or an expression that gives one.")
        if isinstance(part.value, list) and len(part.value) > 500:
            self.report(at, "bad_value", f"for_each takes at most 500 items, not {len(part.value)}.")
        name = step.as_ or "item"
        if step.as_ is not None and name in env.names:
            self.report((*loc, "as_"), "name_taken", f"{name} is already the item of the loop around this one.")
        return env.naming(name, item_type(kind))

    def _kind(self, loc: Loc, step: BaseStep, env: Env) -> Env:
        """Check what is special to a kind; what is known when it ended with output, as seen inside its loop."""
        seen = env
        for part in parts(step):
            if part.at not in (("when",), ("for_each",), ("repeat", "until")):
                self.value(
                    (*loc, *part.at), part.value, seen, condition=part.sort != "value", until=part.sort == "until"
                )
            if part.at[0] == "choose":
                seen = seen.knowing(self._established(part.value, False))
        self._rules.check(loc, step, env)
        match step:
            case DoStep():
                return self._sequence((*loc, "do"), step.do, env)
            case ParallelStep():
                ends = [self._sequence((*loc, "parallel", name), body, env) for name, body in step.parallel.items()]
                return _together(env, ends, frozenset().union(*(end.known for end in ends)))
            case RepeatStep():
                end = self._sequence((*loc, "repeat", "do"), step.repeat.do, env)
                self.value((*loc, "repeat", "until"), step.repeat.until, end, condition=True)
                return end.knowing(self._established(step.repeat.until))
            case IfStep() | ChooseStep():
                ends, on = [], []
                for way in alternatives(step):
                    start = env
                    for condition, truth in way.because:
                        start = start.knowing(self._established(condition, truth))
                    ends.append(self._sequence((*loc, *way.at), way.block, start))
                    if not stops(way.block):
                        on.append(ends[-1].known)
                return _together(env, ends, frozenset.intersection(*on) if on else env.known)
            case RequireStep():
                return env.knowing(self._established(step.require))
            case SetStep():
                return env.knowing(("incident", name.removeprefix("incident.")) for name in step.set)
            case AskStep():
                for name, field in step.form.items():
                    self.default((*loc, "form", name, "default"), field.type, field.options, field.default, env)
        return env

    def _left(self, step: BaseStep, before: Env, inner: Env, after: Env) -> Env:
        """What is in sight and surely set once a step is over, seen from outside of it."""
        sure = not ends_unset(step, self.actions)
        left = before
        if step.for_each is None:
            gained = after.known - inner.known if sure else frozenset()
            left = replace(after, names=before.names, known=before.known | gained)
        else:
            inside = (after.seen | set(after.loops)) - before.seen - set(before.loops)
            left = replace(before, loops={**before.loops, **dict.fromkeys(inside, step.id)})
        if step.id is None:
            return left
        left = replace(left, seen=left.seen | {step.id})
        loc = self.outline.by_id[step.id]
        denied = loc in self.outline.covered
        fields = (outputs(step, self.actions, self.gives) or {}) if sure and not denied else {}
        return left.knowing(("steps", step.id, name) for name, field in fields.items() if field.sure)

    def _established(self, source: str | None, truth: bool = True) -> frozenset[tuple[str, ...]]:
        try:
            return established(source, truth) if source is not None else frozenset()
        except ExprError:
            return frozenset()

    def value(
        self,
        at: Loc,
        value: Json,
        env: Env,
        *,
        condition: bool = False,
        until: bool = False,
        only_incident: bool = False,
    ) -> None:
        """Check every expression of a value, at any depth, each at its own place."""
        if condition:
            self._reads.check(at, value, env.naming("result", "map") if until else env)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.value((*at, key), item, env, only_incident=only_incident)
        elif isinstance(value, list | tuple):
            for number, item in enumerate(value):
                self.value((*at, number), item, env, only_incident=only_incident)
        else:
            for source in self._reads.expressions(at, value, report=True):
                self._reads.check(at, source, env, only_incident=only_incident)


def _together(env: Env, ends: list[Env], known: frozenset[tuple[str, ...]]) -> Env:
    """After a block whose parts did not see each other."""
    seen = frozenset().union(*(end.seen for end in ends))
    loops = {name: loop for end in ends for name, loop in end.loops.items()}
    return replace(env, seen=seen, known=known, loops=loops)
