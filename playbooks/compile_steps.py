"""Writing the plan's steps: paths, seconds instead of durations, approvals spread over what they cover.

The playbook has passed its review, so that nothing here can be wrong.
"""

from collections.abc import Iterable, Mapping, Sequence

from playbooks import model_steps as authored
from playbooks import plan
from playbooks.compile_inputs import Missing, question
from playbooks.contract import ActionFacts
from playbooks.expr_names import Read
from playbooks.loader import Library, Source
from playbooks.model_parts import Verify
from playbooks.model_steps import BaseStep, Loc
from playbooks.model_values import By, InputField, Link, seconds
from playbooks.outline import Outline, reads_in, reads_of
from playbooks.plan import Frame, InputFacts, PlannedStep


class Planner:
    """Writes the frames of one plan."""

    def __init__(self, library: Library, actions: Mapping[str, ActionFacts]) -> None:
        """``used`` gathers the names of the actions that the plan uses."""
        self._library, self._actions = library, actions
        self.used: set[str] = set()

    def frame(self, source: Source, *, prefix: str = "", missing: Missing | None = None) -> Frame:
        """A playbook as a frame, those that it runs inside of it."""
        return _FrameWriter(self, source, prefix, missing or Missing()).frame()

    def called(self, playbook: str, prefix: str) -> Frame:
        """The frame of a playbook that a step runs."""
        source = self._library.get(playbook)
        assert source is not None
        return self.frame(source, prefix=prefix)

    def facts(self, action: str) -> ActionFacts:
        """Facts of an action that the plan uses."""
        self.used.add(action)
        return self._actions[action]


class _FrameWriter:
    def __init__(self, planner: Planner, source: Source, prefix: str, missing: Missing) -> None:
        self._planner, self._source, self._prefix, self._missing = planner, source, prefix, missing
        self._outline = Outline(source)
        self._inputs = {name: field_of(field) for name, field in source.playbook.inputs.items()}

    def frame(self) -> Frame:
        playbook = self._source.playbook
        return Frame(
            playbook=plan.PlaybookRef(
                id=playbook.id, version=playbook.version, title=playbook.title, digest=self._source.digest
            ),
            prefix=self._prefix,
            inputs=self._inputs,
            steps=self._sequence(("steps",), playbook.steps),
            always=self._sequence(("always",), playbook.always),
            outputs={
                name: plan.OutputFacts(type=output.type, value=output.value)
                for name, output in playbook.outputs.items()
            },
            output_reads=self._paths_of(
                read for output in playbook.outputs.values() for read in reads_in(("outputs",), output.value)
            ),
        )

    def _sequence(self, at: Loc, steps: Sequence[BaseStep] | None) -> tuple[PlannedStep, ...]:
        planned = []
        for number, step in enumerate(steps or ()):
            loc = (*at, number)
            if loc == self._missing.before:
                title, line = self._source.playbook.title, self._source.where(loc)[0]
                planned.append(question(self._missing, self._inputs, title, line))
            planned.append(self._step(loc, step))
        return tuple(planned)

    def _path(self, loc: Loc) -> str:
        step = self._outline.steps[loc]
        return self._prefix + (step.id or _place(loc))

    def _step(self, loc: Loc, step: BaseStep) -> PlannedStep:
        on_failure = step.on_failure
        if on_failure is None:
            effect = (
                isinstance(step, authored.ActionStep | authored.WorkflowStep)
                and self._planner.facts(step.action).risk.is_effect
            )
            on_failure = "ask" if effect else "stop"
        return PlannedStep(
            id=step.id,
            path=self._path(loc),
            title=step.title or "",
            phase=step.phase,
            owner=step.owner,
            when=step.when,
            for_each=step.for_each,
            as_=step.as_ or "item",
            at_once=step.at_once,
            timeout_seconds=seconds(step.timeout) if step.timeout else None,
            retry=_retry(step),
            on_failure=on_failure,
            no_undo=step.undo.no if step.undo else None,
            labels=dict(step.labels),
            needs_inputs=self._missing.needs.get(loc, ()),
            reads=self._paths_of(reads_of(step)),
            line=self._source.where(loc)[0],
            spec=self._spec(loc, step),
        )

    def _paths_of(self, reads: Iterable[tuple[Loc, Read]]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for _, read in reads:
            if read.chain[0] == "steps" and len(read.chain) > 1 and read.chain[2:3] != ("meta",):
                found[self._path(self._outline.by_id[read.chain[1]])] = None
        return tuple(found)

    def _spec(self, loc: Loc, step: BaseStep) -> plan.Spec:
        match step:
            case authored.ActionStep() | authored.WorkflowStep():
                self._planner.facts(step.action)
                covered_by = self._covered_by(loc)
                kind = plan.ActionStep if isinstance(step, authored.ActionStep) else plan.WorkflowStep
                return kind(name=step.action, with_=step.with_, covered_by=covered_by)
            case authored.ApproveStep():
                return plan.ApproveStep(
                    covers=tuple(self._path(covered) for covered in self._outline.covers(loc)),
                    names=tuple(step.approve),
                    by=_quorum(step.by),
                    waiting=_waiting(step.within, step.on_timeout),
                    on_deny=step.on_deny,
                    valid_for_seconds=seconds(step.valid_for),
                )
            case authored.AskStep():
                return plan.AskStep(
                    text=step.ask,
                    by=_quorum(step.by),
                    form={name: field_of(field) for name, field in step.form.items()},
                    waiting=_waiting(step.within, step.on_timeout),
                )
            case authored.HumanStep():
                return plan.HumanStep(
                    text=step.human,
                    owner=step.owner,
                    verify=self._check(step.verify) if step.verify else None,
                    waiting=_waiting(step.within, step.on_timeout),
                )
            case authored.WaitStep():
                return _wait(step)
            case authored.RunStep():
                frame = self._planner.called(step.run.playbook, f"{self._path(loc)}/")
                return plan.RunStep(with_=step.run.with_, covered_by=self._covered_by(loc), frame=frame)
            case authored.ParallelStep():
                branches = {
                    name: self._sequence((*loc, "parallel", name), branch) for name, branch in step.parallel.items()
                }
                return plan.ParallelStep(branches=branches, fail_fast=step.fail_fast)
            case authored.IfStep():
                return plan.IfStep(
                    condition=step.if_,
                    then=self._sequence((*loc, "then"), step.then),
                    otherwise=self._sequence((*loc, "else"), step.else_),
                )
            case authored.ChooseStep():
                choices, otherwise = [], tuple[PlannedStep, ...]()
                for number, way in enumerate(step.choose):
                    if isinstance(way, authored.Otherwise):
                        otherwise = self._sequence((*loc, "choose", number, "else"), way.else_)
                    else:
                        steps = self._sequence((*loc, "choose", number, "do"), way.do)
                        choices.append(plan.Choice(condition=way.when, steps=steps))
                return plan.ChooseStep(choices=tuple(choices), otherwise=otherwise)
            case authored.RepeatStep():
                return plan.RepeatStep(
                    steps=self._sequence((*loc, "repeat", "do"), step.repeat.do),
                    until=step.repeat.until,
                    at_most=step.repeat.at_most,
                    every_seconds=seconds(step.repeat.every) if step.repeat.every else 0,
                )
            case authored.DoStep():
                return plan.DoStep(steps=self._sequence((*loc, "do"), step.do))
        return _plain(step)

    def _covered_by(self, loc: Loc) -> str | None:
        asking = self._outline.covered.get(loc)
        return self._path(asking) if asking is not None else None

    def _check(self, verify: Verify) -> plan.Check:
        self._planner.facts(verify.action)
        return plan.Check(
            action=verify.action, with_=verify.with_, until=verify.until, every_seconds=seconds(verify.every)
        )


def _plain(step: BaseStep) -> plan.Spec:
    """Kinds without steps, people or actions."""
    match step:
        case authored.SetStep():
            return plan.SetStep(facts={name.removeprefix("incident."): value for name, value in step.set.items()})
        case authored.ClocksStep():
            return plan.ClocksStep(fact=step.clocks.fact, at=step.clocks.at)
        case authored.DraftStep():
            if step.draft == "applicable":
                return plan.DraftStep(applicable=True)
            items = tuple(plan.DraftWanted(regime=item.regime, stage=item.stage) for item in step.draft)
            return plan.DraftStep(items=items)
        case authored.TellStep():
            return plan.TellStep(text=step.tell, to=tuple(step.to), urgency=step.urgency)
        case authored.NoteStep():
            return plan.NoteStep(text=step.note)
        case authored.RequireStep():
            return plan.RequireStep(condition=step.require, message=step.message)
        case authored.StopStep():
            return plan.StopStep(reason=step.stop)
    raise AssertionError(f"no such kind: {step.kind}")


def _place(loc: Loc) -> str:
    """Where an unnamed step stands: ``@3``, ``@3.jobs.0``, ``@always.2``."""
    parts = [str(part) for part in loc[1:] if part != "parallel"]
    return "@" + ".".join(parts if loc[0] == "steps" else ["always", *parts])


def _retry(step: BaseStep) -> plan.Retry | None:
    given = step.retry
    if given is None:
        return None
    return plan.Retry(times=given.times, every_seconds=seconds(given.every), backoff=given.backoff)


def _quorum(by: By) -> plan.Quorum:
    return plan.Quorum(roles=tuple(by.roles), count=by.count, each=dict(by.each), deny_count=by.deny_count)


def _waiting(within: str, links: list[Link]) -> plan.Waiting:
    end = links[-1]
    assert end.outcome is not None
    chain = tuple(
        plan.Escalate(role=link.escalate, within_seconds=seconds(link.within))
        for link in links[:-1]
        if link.escalate is not None and link.within is not None
    )
    return plan.Waiting(
        within_seconds=seconds(within),
        chain=chain,
        terminal=plan.Terminal(outcome=end.outcome, values=dict(end.default or {})),
    )


def _wait(step: authored.WaitStep) -> plan.WaitStep:
    length = step.wait.for_
    if length is not None:
        return plan.WaitStep(for_seconds=length if "{{" in length else seconds(length))
    assert step.within is not None and step.on_timeout is not None
    return plan.WaitStep(
        until=step.wait.until,
        every_seconds=seconds(step.wait.every or "1m") if step.wait.until is not None else None,
        event=step.wait.event,
        waiting=_waiting(step.within, step.on_timeout),
    )


def field_of(field: InputField) -> InputFacts:
    """A declared input or form field, as the plan keeps it."""
    return InputFacts(
        type=field.type,
        required=field.must_be_given,
        default=field.default,
        options=tuple(field.options),
        description=field.description,
    )
