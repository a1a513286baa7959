"""The safety tier: no gated effect without an approval that dominates it, no containment before its evidence, no
legal duty that a denial, a failure or a stop can pass by. Needs neither people nor settings nor a server.
"""

from collections.abc import Mapping, Sequence

from playbooks.contract import ActionFacts
from playbooks.expr_names import calls, demands, reads, sole_chain
from playbooks.expr_text import sole
from playbooks.loader import Library, Source
from playbooks.model_steps import (
    ActionStep,
    ApproveStep,
    AskStep,
    BaseStep,
    ClocksStep,
    DraftStep,
    HumanStep,
    Loc,
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
from playbooks.model_values import By
from playbooks.outline import Outline, alternatives, enclosing, parts, sources, stops
from playbooks.policy import Policy, beyond, requirement
from playbooks.problems import Problem
from playbooks.review_scope import ends_unset
from playbooks.review_targets import Evidence, Handed, Inputs, taken, unverified

HIGHEST = 5
DUTY_ROLES = frozenset(("privacy_officer", "legal"))


_BEFORE = "Put an approve step that names it before it, in the same block or in one around it, without when."
_KNOW = (
    "Read what it needs before the approve step, or approve it by a step after that. "
    "A step that is not approved does not run; it needs no condition for that."
)


class Safety:
    """The safety tier of one playbook and of those that it runs."""

    def __init__(
        self,
        source: Source,
        *,
        library: Library,
        actions: Mapping[str, ActionFacts],
        policy: Policy,
        judged: dict[tuple[str, Evidence, Inputs], Evidence] | None = None,
        told: Inputs = frozenset(),
    ) -> None:
        """The graph tier has found no error. ``judged`` keeps what sub-playbooks gain, so that each is judged once
        for the evidence that its callers hold. ``told`` are the inputs that a caller fills from an alert's text."""
        self._library, self._actions, self._policy = library, actions, policy
        self._source, self._outline, self._told = source, Outline(source), told
        self._judged = {} if judged is None else judged
        self.found: list[Problem] = []
        self.held: dict[Loc, Evidence] = {}
        """What is surely acquired before each step, once ``problems`` was asked."""

    def problems(self, start: Evidence = frozenset()) -> tuple[list[Problem], Evidence]:
        """Every problem, and what is surely acquired where the main steps have ended well.

        Problems of sub-playbooks stand in their own files, judged with the evidence that their caller has.
        """
        playbook = self._source.playbook
        gained = self._evidence_of(("steps",), playbook.steps, start)
        step: BaseStep
        for number, step in enumerate(playbook.always):
            # An earlier step of always may have failed, and this one has its turn all the same.
            self._evidence(("always", number), step, start)
        for loc, step in self._outline.steps.items():
            if loc in self._outline.beyond:
                self._beyond(loc, step)
            elif isinstance(step, ActionStep | WorkflowStep):
                self._approval(loc, step)
            elif isinstance(step, ApproveStep):
                self._inputs_of(loc)
            if isinstance(step, ApproveStep | AskStep):
                self._quorum(loc, step.by)
            elif isinstance(step, HumanStep) and (said := beyond(self._policy, (step.owner,), 1)) is not None:
                self._report((*loc, "owner"), "approval_unreachable", said, "Name a role that somebody holds.")
        self._duties(("steps",), playbook.steps, False)
        for number, step in enumerate(playbook.always):
            self._duty(("always", number), step, False)
        return self.found, gained

    def _report(self, loc: Loc, code: str, message: str, hint: str, *, warning: bool = False) -> None:
        self.found.append(self._source.problem(loc, code, message, hint, warning=warning))

    # --- approvals --------------------------------------------------------------------------------

    def _approval(self, loc: Loc, step: ActionStep | WorkflowStep) -> None:
        facts, name = self._actions[step.action], step.id or step.action
        read = self.targets_read(step, facts)
        needed = requirement(self._policy, facts, severity=None, targets_read=read)
        best = requirement(self._policy, facts, severity=HIGHEST, targets_read=read)
        if best.refused:
            said = f"Policy refuses {facts.name}, so that it may never run ({best.rule})."
            self._report(loc, "approval_missing", said, "Change the policy, or leave the step out.")
            return
        if needed.refused:
            said = f"Policy refuses {name} unless the incident is severe enough ({needed.rule})."
            hint = "Let the playbook do without it, and see what policy says of this severity."
            self._report(loc, "approval_depends", said, hint, warning=True)
            needed = best
        for need in needed.needs:
            said = beyond(self._policy, need.roles, need.count) or ""
            if said:
                hint = f"Policy demands it ({need.why}): change it there, or leave the step out."
                self._report(loc, "approval_unreachable", f"{name} can never be approved: {said}", hint)
        if self.approval_of(loc) is not None:
            return
        asking = self._outline.missed.get(loc)
        if asking is not None and facts.risk.is_effect and loc not in self._outline.covered:
            by = self._outline.steps[asking].id or "An approve step"
            said = f"{by} names {name}, but {name} can be reached without it."
            self._report(loc, "approval_missing", said, _BEFORE)
            return
        if not needed.needs:
            return
        if not best.needs:
            said = f"{name} needs the approval of {needed.who} unless the incident is severe enough; it would ask by "
            said += f"itself ({needed.rule})."
            hint = "Name it in an approve step before it, if people should see it with the rest."
            self._report(loc, "approval_depends", said, hint, warning=True)
            return
        said = f"{name} ({facts.risk}) can be reached without the approval of {needed.who} that policy demands "
        said += f"({needed.rule})."
        self._report(loc, "approval_missing", said, _BEFORE)

    def _quorum(self, loc: Loc, by: By) -> None:
        """Whether as many people as the step waits for can hold its roles, by the declared maxima."""
        rooms: list[tuple[Loc, tuple[str, ...], int]] = [
            ((*loc, "by", "each", role), (role,), count) for role, count in by.each.items()
        ]
        rooms += [((*loc, "by", "count"), tuple(by.roles), by.count)] if by.roles else []
        for at, roles, count in rooms:
            said = beyond(self._policy, roles, count)
            if said is not None:
                self._report(at, "approval_unreachable", said, "Ask for fewer people, or name a further role.")

    def _beyond(self, loc: Loc, step: BaseStep) -> None:
        asking = self._outline.steps[self._outline.beyond[loc]]
        said = f"{step.id or step.kind} runs in every pass of its repeat, and {asking.id or 'the approve step'} stands"
        hint = "Put the approve step into the repeat: each pass asks anew."
        self._report(loc, "approval_missing", f"{said} outside of it and so approves none.", hint)

    def approval_of(self, loc: Loc) -> Loc | None:
        """The approve step that covers a step and surely has its turn before it."""
        asking = self._outline.covered.get(loc)
        if asking is None or self._outline.steps[asking].for_each is not None:
            return None
        condition = self._outline.steps[asking].when
        around = [self._outline.steps[part].when for part in self._outline.between(asking, loc)]
        return asking if condition is None or condition in around else None

    def targets_read(self, step: ActionStep | WorkflowStep, facts: ActionFacts) -> bool:
        """Whether its targets are, as they are, what an earlier read of the same system found."""
        wanted = [name for name, known in facts.params.items() if known.type in ("targets", "grants")]
        for name in wanted:
            value = step.with_.get(name)
            source = sole(value) if isinstance(value, str) else None
            chain = sole_chain(source) if source else None
            if chain is None or len(chain) != 3 or chain[0] != "steps":
                return False
            read = self._outline.steps[self._outline.by_id[chain[1]]]
            known = self._actions.get(read.action) if isinstance(read, ActionStep) else None
            if known is None or known.risk.is_effect or known.system != facts.system:
                return False
        return bool(wanted)

    def _inputs_of(self, approve: Loc) -> None:
        """Whether all that the covered steps depend on is known when people are asked."""
        asked = self._outline.order[approve]
        for covered in self._outline.covers(approve):
            for loc in self._outline.between(approve, covered):
                if isinstance(self._outline.steps[loc], RunStep):
                    continue
                for part in parts(self._outline.steps[loc]):
                    for at, source in sources(part):
                        said = self._unknown(source, asked, self._outline.order[covered])
                        if said is not None:
                            self._report((*loc, *at), "approval_inputs_unknown", said, _KNOW)

    def _unknown(self, source: str, asked: int, runs: int) -> str | None:
        if "now" in calls(source):
            return "now() is not known yet when this step is approved."
        for read in reads(source):
            head, name = read.chain[0], read.chain[1] if len(read.chain) > 1 else ""
            if head == "steps" and self._outline.order[self._outline.by_id[name]] >= asked:
                return f"{'.'.join(read.chain)} is not known yet when this step is approved."
            if head == "incident" and self._set_between(name, asked, runs):
                return f"incident.{name} is set between the approval and this step, which would then differ from it."
        return None

    def _set_between(self, fact: str, first: int, last: int) -> bool:
        return any(
            isinstance(step, SetStep) and f"incident.{fact}" in step.set and first < self._outline.order[loc] < last
            for loc, step in self._outline.steps.items()
        )

    # --- evidence ---------------------------------------------------------------------------------

    def _evidence_of(self, at: Loc, steps: Sequence[BaseStep], held: Evidence) -> Evidence:
        for number, step in enumerate(steps):
            held |= self._evidence((*at, number), step, held)
        return held

    def _evidence(self, loc: Loc, step: BaseStep, held: Evidence) -> Evidence:
        """Judge a step; what is surely acquired once it is over."""
        gained: Evidence = frozenset()
        self.held[loc] = held
        if isinstance(step, ActionStep | WorkflowStep):
            facts = self._actions[step.action]
            gained = frozenset((facts.system, kind) for kind in facts.acquires)
            if isinstance(step, ActionStep):
                gained |= taken(self._outline, loc, step, facts)
                self._targets(loc, step, facts, held)
            missing = [kind for kind in facts.needs_evidence if (facts.system, kind) not in held]
            if missing:
                finders = [
                    other.name
                    for other in self._actions.values()
                    if other.system == facts.system and set(missing) & set(other.acquires)
                ]
                said = f"{facts.name} may destroy evidence that is not secured before: {', '.join(missing)}."
                hint = f"Run {' or '.join(finders[:4])} before it on every way there, and let its failure end the run."
                self._report(loc, "evidence_missing", said, hint)
        elif isinstance(step, RunStep):
            gained = self._called(loc, step, held)
        elif ways := alternatives(step):
            found = [(way.block, self._evidence_of((*loc, *way.at), way.block, held)) for way in ways]
            ends = [end for block, end in found if not stops(block)]
            gained = frozenset.intersection(*ends) if ends else frozenset()
        else:
            for inner, block in blocks(step):
                gained |= self._evidence_of((*loc, *inner), block, held)
        sure = step.for_each is None and not ends_unset(step, self._actions) and not self._may_be_denied(loc)
        return held | gained if sure else held

    def _targets(self, loc: Loc, step: ActionStep, facts: ActionFacts, held: Evidence) -> None:
        for name, chain in unverified(self._outline, loc, step, facts, held, self._told):
            said = (
                f"{name} comes from the text of an alert ({'.'.join(chain)}), and no read of {facts.system} before it "
            )
            said += "took the same value: what is named there may not exist, or be somebody else's."
            hint = f"Look it up first: a read of {facts.system} that takes {'.'.join(chain)}, on every way there."
            self._report((*loc, "with_", name), "unverified_target", said, hint)

    def _may_be_denied(self, loc: Loc) -> bool:
        """Whether the run may go on although the step was denied."""
        asking = self._outline.covered.get(loc)
        if asking is None:
            return False
        step = self._outline.steps[asking]
        return not isinstance(step, ApproveStep) or step.on_deny != "stop"

    def _called(self, loc: Loc, step: RunStep, held: Evidence) -> Evidence:
        called = self._library.get(step.run.playbook)
        assert called is not None
        handed = Handed(self._outline, loc, step, self._told)
        key = (step.run.playbook, handed.inside(held), handed.told)
        if key not in self._judged:
            inner = Safety(
                called,
                library=self._library,
                actions=self._actions,
                policy=self._policy,
                judged=self._judged,
                told=handed.told,
            )
            found, gained = inner.problems(key[1])
            self.found += found
            # A stop ends the sub-playbook early and well.
            early = any(at[0] == "steps" and isinstance(other, StopStep) for at, other in called.playbook.walk())
            self._judged[key] = frozenset() if early else gained
        return handed.outside(self._judged[key])

    # --- duties -----------------------------------------------------------------------------------

    def _duties(self, at: Loc, steps: Sequence[BaseStep], passed: bool) -> bool:
        for number, step in enumerate(steps):
            passed = self._duty((*at, number), step, passed)
        return passed

    def _duty(self, loc: Loc, step: BaseStep, passed: bool) -> bool:
        """Judge a step; whether the steps after it may be passed by."""
        if is_duty(step) or (isinstance(step, RunStep) and self._runs_duty(step)):
            self._judge_duty(loc, step, passed)
        ends = [self._duties((*loc, *inner), block, passed) for inner, block in blocks(step)]
        if ends:
            spent = isinstance(step, RepeatStep) and step.on_failure != "continue"
            return passed or any(ends) or spent or step.timeout is not None
        return passed or may_end(step)

    def _runs_duty(self, step: RunStep) -> bool:
        """Whether the main steps of a playbook that is run hold a duty; what is in its always is for its own runs."""
        called = self._library.get(step.run.playbook)
        assert called is not None
        return any(
            loc[0] == "steps" and (is_duty(inner) or (isinstance(inner, RunStep) and self._runs_duty(inner)))
            for loc, inner in called.playbook.walk()
        )

    def _judge_duty(self, loc: Loc, step: BaseStep, passed: bool) -> None:
        names = {"clocks": "This clock", "draft": "This draft", "run": "A duty of this playbook"}
        what = names.get(step.kind, "This duty to tell")
        hint = "Put it into always, which runs however the run ends."
        if passed:
            said = f"{what} is passed by when a step before it is denied, fails or stops the run."
            self._report(loc, "duty_can_be_skipped", said, hint)
            return
        for at in (*enclosing(loc), loc):
            around = self._outline.steps[at]
            conditions = [(around.when, True)] if around.when is not None else []
            for way in alternatives(around):
                if way.at and loc[len(at) : len(at) + len(way.at)] == way.at:
                    conditions += way.because
            if any(self._needs_approval(condition, truth) for condition, truth in conditions):
                said = f"{what} is passed by when the approval is denied."
                self._report(loc, "duty_can_be_skipped", said, "Take it out from under that condition.")
                return

    def _needs_approval(self, condition: str, truth: bool) -> bool:
        for chain in demands(condition, truth):
            if chain[0] == "steps" and len(chain) == 3 and chain[2] == "approved":
                loc = self._outline.by_id.get(chain[1])
                if loc is not None and isinstance(self._outline.steps[loc], ApproveStep):
                    return True
        return False


def is_duty(step: BaseStep) -> bool:
    """Whether the law may wait for a step: clocks, drafts, and telling those who answer for it."""
    if isinstance(step, TellStep):
        return step.phase == "notify" or set(step.to) <= DUTY_ROLES
    return isinstance(step, ClocksStep | DraftStep)


def may_end(step: BaseStep) -> bool:
    """Whether the sequence may end at a step that holds no others."""
    if isinstance(step, StopStep):
        return True
    if isinstance(step, ApproveStep) and (step.on_deny == "stop" or step.on_timeout[-1].outcome == "stop"):
        return True
    if isinstance(step, AskStep | HumanStep | WaitStep) and step.on_timeout and step.on_timeout[-1].outcome == "stop":
        return True
    if step.on_failure == "continue":
        return False
    return step.timeout is not None or isinstance(step, ActionStep | ApproveStep | RequireStep | RunStep | WorkflowStep)
