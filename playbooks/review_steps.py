"""What each kind of step must respect beside its expressions: known actions and parameters, roles, playbooks."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from playbooks.contract import FOREIGN, ActionFacts, Json
from playbooks.expr_grammar import parse
from playbooks.expr_text import ExprError, sole
from playbooks.facts import FactError, coerce, kind_of, near, settable
from playbooks.loader import Source
from playbooks.model_steps import (
    ActionStep,
    ApproveStep,
    AskStep,
    BaseStep,
    ClocksStep,
    DraftStep,
    HumanStep,
    Loc,
    RunStep,
    SetStep,
    WaitStep,
    WorkflowStep,
)
from playbooks.outline import dominates
from playbooks.problems import did_you_mean
from playbooks.review_scope import Env
from playbooks.types import misfit

if TYPE_CHECKING:
    from playbooks.review import Review


class StepRules:
    """Rules of single steps, for one review."""

    def __init__(self, review: "Review") -> None:
        """Problems go to the review."""
        self._review = review

    def check(self, loc: Loc, step: BaseStep, env: Env) -> None:
        """Check one step."""
        if step.title is not None and "{{" in step.title:
            said = "A title is shown as it stands; expressions mean nothing in it."
            self._review.report((*loc, "title"), "bad_value", said, warning=True)
        match step:
            case ActionStep():
                self._action(loc, loc, step.action, step.with_, env)
            case WorkflowStep():
                self._workflow(loc, step, env)
            case HumanStep():
                self._verify(loc, step, env)
            case ApproveStep():
                self._approve(loc, step)
            case AskStep():
                self._taken(loc, step, env)
            case RunStep():
                self._run(loc, step, env)
            case SetStep():
                for name, value in step.set.items():
                    self._fact((*loc, "set", name), name.removeprefix("incident."), value, env)
            case ClocksStep():
                self._clock(loc, step, env)
            case DraftStep():
                self._draft(loc, step)
            case WaitStep() if step.wait.for_ is not None:
                self._fits((*loc, "wait", "for_"), "for", "duration", step.wait.for_, env)

    def _fits(self, at: Loc, name: str, kind: str, value: Json, env: Env) -> None:
        said = misfit(kind, value, lambda chain: self._review.types.of(chain, env))
        if said is not None:
            self._review.report(at, "wrong_type", f"{name} {said}.")

    def _known(self, at: Loc, name: str) -> ActionFacts | None:
        facts = self._review.actions.get(name)
        if facts is not None and facts.system == FOREIGN and at[-2:-1] != ("workflow",):
            said = f"{name[:80]} starts a workflow, which is a kind of step of its own."
            self._review.report(at, "unknown_action", said, "Write workflow: {type: NAME, with: {…}}.")
            return None
        if facts is None:
            hint = did_you_mean(name, self._review.actions)
            self._review.report(at, "unknown_action", f"There is no action {name[:80]}.", hint)
        return facts

    def _action(self, loc: Loc, holder: Loc, name: str, given: Mapping[str, Json], env: Env) -> ActionFacts | None:
        """``holder`` is where ``action`` and ``with`` stand: the step, or its ``verify``."""
        facts = self._known((*holder, "type" if holder[-1:] == ("workflow",) else "action"), name)
        if facts is None:
            return None
        for key, value in given.items():
            at = (*holder, "with_", key)
            known = facts.params.get(key)
            if known is None:
                hint = did_you_mean(key, facts.params) or f"It takes {', '.join(facts.params) or 'none'}."
                self._review.report(at, "unknown_key", f"{name} has no parameter {key[:60]}.", hint, key=True)
            elif value is None and known.required:
                self._review.report(at, "wrong_type", f"{key} has no value.")
            elif value is not None:
                self._fits(at, key, known.type, value, env)
        for key, known in facts.params.items():
            if known.required and known.default is None and key not in given:
                said = f"{name} needs the parameter {key}."
                self._review.report(loc, "missing_key", said, known.description)
        return facts

    def _workflow(self, loc: Loc, step: WorkflowStep, env: Env) -> None:
        if step.action in self._review.actions:
            self._action(loc, (*loc, "workflow"), step.action, step.with_, env)
            return
        known = [name.partition(".")[2] for name, facts in self._review.actions.items() if facts.system == FOREIGN]
        hint = did_you_mean(step.workflow.type, known) or f"Declare it under [workflows.{step.workflow.type}]."
        said = f"The settings declare no workflow {step.workflow.type}."
        self._review.report((*loc, "workflow", "type"), "unknown_action", said, hint)

    def _verify(self, loc: Loc, step: HumanStep, env: Env) -> None:
        if step.verify is None:
            return
        facts = self._action(loc, (*loc, "verify"), step.verify.action, step.verify.with_, env)
        if facts is not None and facts.risk.rank:
            said = f"{facts.name} is no read action; a verify only looks."
            self._review.report((*loc, "verify", "action"), "bad_value", said)

    def _approve(self, loc: Loc, step: ApproveStep) -> None:
        outline = self._review.outline
        for number, name in enumerate(step.approve):
            at = (*loc, "approve", number)
            covered = outline.by_id.get(name)
            if covered is None:
                hint = did_you_mean(name, outline.by_id)
                self._review.report(at, "unknown_step", f"There is no step with the id {name}.", hint)
            elif not dominates(loc, covered):
                if any(self._goes_unapproved(leaf) for leaf in outline.leaves(covered)):
                    continue
                said = f"{step.id or 'This step'} cannot approve {name}: it does not surely stand before it."
                hint = "Put the approve step before it, in the same block or in one around it."
                self._review.report(at, "bad_value", said, hint)
            elif not outline.leaves(covered):
                said = f"{name} does nothing that could be approved."
                self._review.report(at, "bad_value", said, "Name an action, or a block that holds one.")
            elif any(outline.covered.get(leaf, loc) != loc for leaf in outline.leaves(covered)):
                said = f"{name} is already approved by another step."
                self._review.report(at, "bad_value", said, "One approval covers a step; merge the two.")

    def _goes_unapproved(self, loc: Loc) -> bool:
        """Whether the safety tier tells of an effect that an approve step names in vain."""
        outline = self._review.outline
        step = outline.steps[loc]
        facts = self._review.actions.get(step.action) if isinstance(step, ActionStep | WorkflowStep) else None
        return facts is not None and facts.risk.is_effect and loc in outline.missed and loc not in outline.covered

    def _taken(self, loc: Loc, step: AskStep, env: Env) -> None:
        end = len(step.on_timeout) - 1
        for name, value in (step.on_timeout[end].default or {}).items():
            at = (*loc, "on_timeout", end, "default", name)
            field = step.form.get(name)
            if field is None:
                hint = did_you_mean(name, step.form)
                self._review.report(at, "unknown_key", f"The form has no field {name}.", hint, key=True)
                continue
            said = misfit(field.type, value, lambda chain: self._review.types.of(chain, env))
            plain = {item for item in _listed(value) if not _has_template(item)}
            if said is not None:
                self._review.report(at, "wrong_type", f"{name} {said}.")
            elif field.options and not plain <= set(field.options):
                self._review.report(at, "wrong_type", f"{name} is none of {', '.join(field.options)}.")

    def _run(self, loc: Loc, step: RunStep, env: Env) -> None:
        called = self._review.library.get(step.run.playbook)
        if called is None:
            hint = did_you_mean(step.run.playbook, self._review.library.ids())
            said = f"There is no playbook {step.run.playbook}."
            self._review.report((*loc, "run", "playbook"), "unknown_step", said, hint)
            return
        declared = called.playbook.inputs
        for name, value in step.run.with_.items():
            at = (*loc, "run", "with_", name)
            if name not in declared:
                hint = did_you_mean(name, declared) or f"It takes {', '.join(declared) or 'none'}."
                said = f"{step.run.playbook} has no input {name[:60]}."
                self._review.report(at, "unknown_key", said, hint, key=True)
            elif value is not None:
                self._fits(at, name, declared[name].type, value, env)
        for name, field in declared.items():
            if field.must_be_given and step.run.with_.get(name) is None:
                said = f"{step.run.playbook} needs the input {name}."
                self._review.report(loc, "missing_key", said, field.description)

    def _fact(self, at: Loc, name: str, value: Json, env: Env) -> None:
        try:
            settable(name)
            if not _has_template(value):
                coerce(name, value)
        except FactError as error:
            code = "wrong_type" if error.code == "wrong_type" else "bad_value"
            self._review.report(at, code, str(error))
            return
        if _is_none(value):
            self._review.report(at, "bad_value", f"incident.{name} has no value.", "Only a person can clear a fact.")
        kind = kind_of(name)
        if kind is not None and _has_template(value):
            self._fits(at, f"incident.{name}", kind.type, value, env)

    def _clock(self, loc: Loc, step: ClocksStep, env: Env) -> None:
        kind, at = kind_of(step.clocks.fact), (*loc, "clocks", "fact")
        if kind is None:
            hint = f"Did you mean {found.partition('.')[2]}?" if (found := near(step.clocks.fact)) else ""
            said = f"No regime that ships with Stanch counts a clock from {step.clocks.fact}."
            self._review.report(at, "bad_value", said, hint, warning=True)
        elif not kind.dated and kind.type != "datetime":
            self._review.report(at, "wrong_type", f"{kind.short} is no instant, so that no clock counts from it.")
        self._fits((*loc, "clocks", "at"), "at", "datetime", step.clocks.at, env)

    def _draft(self, loc: Loc, step: DraftStep) -> None:
        if step.draft == "applicable" or self._review.regimes is None:
            return
        regimes = self._review.regimes()
        for number, wanted in enumerate(step.draft):
            regime = regimes.get(wanted.regime)
            at = (*loc, "draft", number)
            if regime is None:
                said = f"There is no regime {wanted.regime[:60]}."
                self._review.report((*at, "regime"), "bad_value", said, "stanch regimes list shows them.")
            elif regime.stage(wanted.stage) is None:
                said = f"{wanted.regime} has no stage {wanted.stage[:60]}."
                self._review.report((*at, "stage"), "bad_value", said)


def _listed(value: Json) -> Iterable[Json]:
    return value if isinstance(value, list) else [value]


def _is_none(value: Json) -> bool:
    """Whether a value is nothing but ``{{ none }}``."""
    try:
        source = sole(value) if isinstance(value, str) else None
        return source is not None and getattr(parse(source), "value", ...) is None
    except ExprError:
        return False


def _has_template(value: Json) -> bool:
    if isinstance(value, list):
        return any(map(_has_template, value))
    return isinstance(value, str) and "{{" in value


def called_by(source: Source) -> list[tuple[Loc, str]]:
    """The playbooks that a playbook runs, each with the place of the step."""
    return [(loc, step.run.playbook) for loc, step in source.playbook.walk() if isinstance(step, RunStep)]
