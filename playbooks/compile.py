"""Compiling: from a playbook and its inputs to the frozen plan of one run, or to what is wrong with them.

``validate`` judges a playbook alone; ``compile_plan`` judges it, fills in its inputs and writes the plan. Both are
pure: the same playbook, library, actions, policy and inputs give the same digest anywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from playbooks import expr
from playbooks.compile_inputs import Missing, missing_inputs
from playbooks.compile_steps import Planner
from playbooks.contract import ActionFacts, Json, RunContext
from playbooks.digest import jcs, sha256_hex
from playbooks.expr import ExprError
from playbooks.loader import Library, Source
from playbooks.outline import Outline
from playbooks.plan import RunPlan, fits
from playbooks.policy import Policy
from playbooks.problems import Problem, did_you_mean, has_errors, in_order
from playbooks.review import Regimes, Review
from playbooks.review_safety import Safety
from playbooks.review_steps import called_by

MAX_PLAN = 256 * 1024
LEAST_STEP = 256
"""Bytes of a plan that no step does without: a plan far too large is refused before it is written."""
USUAL_STEP = 1000
"""Bytes beside its texts that no usual step needs."""
MAX_DEPTH = 5
"""Sub-playbooks within sub-playbooks (design, semantics 7)."""


@dataclass(frozen=True)
class Compiled:
    """``plan`` and its digest (SHA-256 of its canonical JSON: sub-playbooks, action versions and policy are in it), or
    ``None`` and the errors that forbid one; warnings come with either."""

    plan: RunPlan | None
    digest: str
    problems: tuple[Problem, ...] = ()


def validate(
    source: Source,
    *,
    library: Library,
    actions: Mapping[str, ActionFacts],
    policy: Policy | None = None,
    regimes: Regimes | None = None,
    safety: bool = True,
) -> list[Problem]:
    """Judge a playbook and those that it runs: the graph tier, then, if that is clean, the safety tier.

    Args:
        source: A playbook whose shape is right.
        library: Where the playbooks that it runs are found.
        actions: All actions by name.
        policy: What must be approved; the default policy if none is given.
        regimes: Gives the regimes in which drafts by name are looked up; left out, their names are not checked.
        safety: Whether the safety tier is judged.

    Returns:
        Problems by place, errors and warnings.
    """
    if source.characters() > MAX_PLAN:
        # Then reading all its expressions takes long, and is of no use.
        return [_large(source)]
    found: list[Problem] = []
    _graph(Review(source, library=library, actions=actions, regimes=regimes), (), {}, found)
    if not has_errors(found):
        if _too_large(source, library, actions):
            found.append(_large(source))
        elif safety:
            found += Safety(source, library=library, actions=actions, policy=policy or Policy()).problems()[0]
    return in_order(found)


def _large(source: Source) -> Problem:
    said = f"With the playbooks that it runs its plan is larger than {MAX_PLAN // 1024} KB."
    return source.problem(("steps",), "plan_too_large", said, "Split it, or run fewer playbooks.")


def _graph(review: Review, above: tuple[str, ...], done: dict[str, int], found: list[Problem]) -> None:
    """Judge a playbook, then those that it runs, each once; refuse cycles and what is nested too deeply."""
    source, depth = review.source, len(above)
    name = source.playbook.id
    if name not in done:
        found += review.problems()
    elif done[name] >= depth:
        return
    done[name] = depth
    for loc, other in called_by(source):
        place = (*loc, "run", "playbook")
        if other in (*above, name):
            way = " > ".join((*above, name, other))
            found.append(source.problem(place, "playbook_cycle", f"The playbooks run each other: {way}."))
        elif depth >= MAX_DEPTH:
            said = f"Playbooks that run playbooks are nested more than {MAX_DEPTH} deep."
            found.append(source.problem(place, "plan_too_large", said, "Run it directly, at a higher level."))
        elif (called := review.of(other)) is not None:
            _graph(called, (*above, name), done, found)


def _steps(source: Source, library: Library, counted: dict[str, int]) -> int:
    """Steps of a plan with those of all playbooks that it runs: each counted once, however often it is run."""
    name = source.playbook.id
    if name not in counted:
        called = [library.get(other) for _, other in called_by(source)]
        inner = sum(_steps(other, library, counted) for other in called if other is not None)
        counted[name] = inner + sum(1 for _ in source.playbook.walk())
    return counted[name]


def _too_large(source: Source, library: Library, actions: Mapping[str, ActionFacts]) -> bool:
    """Whether the plan of a run is too large even without inputs."""
    steps = _steps(source, library, {})
    if steps * LEAST_STEP > MAX_PLAN:
        return True
    if not called_by(source) and steps * USUAL_STEP + 3 * source.characters() < MAX_PLAN:
        # Writing the plan would take as long as all the rest; ``compile_plan`` measures it in any case.
        return False
    planner = Planner(library, actions)
    frame = planner.frame(source)
    plan = RunPlan(frame=frame, actions={name: actions[name] for name in planner.used})
    # Canonical JSON is never longer than pydantic's, which is much quicker to write.
    return len(plan.model_dump_json().encode()) > MAX_PLAN and len(jcs(plan)) > MAX_PLAN


def compile_plan(
    source: Source,
    *,
    library: Library,
    actions: Mapping[str, ActionFacts],
    policy: Policy,
    inputs: Mapping[str, Json],
    incident: Mapping[str, Json],
    context: RunContext,
    ask_missing: bool = False,
    regimes: Regimes | None = None,
    safety: bool = True,
    judged: Sequence[Problem] | None = None,
) -> Compiled:
    """Judge a playbook and write the plan of one run.

    Args:
        source: The main playbook.
        library: Where the playbooks that it runs are found.
        actions: All actions by name; the plan keeps those that it uses.
        policy: Frozen into the plan.
        inputs: Given values by name.
        incident: The incident's facts, which defaults of inputs read.
        context: Mode and rate of the run.
        ask_missing: Whether required inputs that are not given become a question to the incident commander,
            directly before the first step that depends on them (design, section 8); else they are problems.
        regimes: As for ``validate``.
        safety: As for ``validate``.
        judged: What ``validate`` said with this very library, actions, policy and regimes, if it was asked before:
            judging takes longer than all the rest.

    Returns:
        The plan with its digest, or the errors.
    """
    if judged is None:
        judged = validate(source, library=library, actions=actions, policy=policy, regimes=regimes, safety=safety)
    found = list(judged)
    if has_errors(found):
        return Compiled(None, "", tuple(found))
    values, wrong = _values(source, inputs, incident)
    declared = source.playbook.inputs
    absent = [name for name in declared if declared[name].must_be_given and inputs.get(name) is None]
    if not ask_missing:
        wrong += [_absent(source, name) for name in absent]
    found += wrong
    if has_errors(found):
        return Compiled(None, "", tuple(found))
    missing = missing_inputs(Outline(source), absent) if absent else Missing()
    planner = Planner(library, actions)
    frame = planner.frame(source, missing=missing)
    used = {name: actions[name] for name in sorted(planner.used)}
    plan = RunPlan(context=context, frame=frame, values=values, actions=used, policy=policy)
    canonical = jcs(plan)
    if len(canonical) > MAX_PLAN:
        return Compiled(None, "", (*found, _large(source)))
    return Compiled(plan, sha256_hex(canonical), tuple(found))


def _values(
    source: Source, inputs: Mapping[str, Json], incident: Mapping[str, Json]
) -> tuple[dict[str, Json], list[Problem]]:
    """The inputs' values, defaults filled in."""
    declared, found = source.playbook.inputs, []
    for name in sorted(set(inputs) - set(declared)):
        hint = did_you_mean(name, declared) or f"It takes {', '.join(declared) or 'none'}."
        found.append(source.problem(("inputs",), "unknown_key", f"The playbook has no input {name[:60]}.", hint))
    values: dict[str, Json] = {}
    at: tuple[str, ...]
    for name, field in declared.items():
        value, at = inputs.get(name), ("inputs", name)
        if value is None and field.default is not None:
            at = (*at, "default")
            try:
                value = expr.render(field.default, {"incident": dict(incident)}, now=None)
            except ExprError as error:
                found.append(source.problem(at, "maybe_unset", f"The default of {name} has no value here: {error}"))
                continue
        if value is None:
            continue
        if not fits(field.type, value, tuple(field.options)):
            options = f" ({', '.join(field.options)})" if field.options else ""
            found.append(source.problem(at, "wrong_type", f"The input {name} must be {field.type}{options}."))
            continue
        values[name] = value
    return values, found


def _absent(source: Source, name: str) -> Problem:
    field = source.playbook.inputs[name]
    hint = f"Give it with -i {name}=VALUE. {field.description}".strip()
    return source.problem(("inputs", name), "missing_key", f"The input {name} is not given.", hint)
