"""Playbooks as people look at them: what there is, what one asks for, what it does in order, what it would plan."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from playbooks.compile import Compiled, compile_plan
from playbooks.contract import ActionFacts, Json, RunContext
from playbooks.diff import diff
from playbooks.diff_findings import Weight
from playbooks.graph import graph
from playbooks.graph_mermaid import mermaid
from playbooks.graph_svg import svg
from playbooks.loader import Library, Source
from playbooks.model_steps import (
    ActionStep,
    ApproveStep,
    AskStep,
    BaseStep,
    ChooseStep,
    ClocksStep,
    DraftStep,
    HumanStep,
    IfStep,
    Loc,
    RepeatStep,
    RequireStep,
    RunStep,
    SetStep,
    TellStep,
    WaitStep,
    Way,
    WorkflowStep,
    blocks,
)
from playbooks.model_values import By
from playbooks.policy import Policy
from playbooks.regimes_loader import shipped
from worker.desk.times import stamp


def sources(library: Library) -> Iterator[Source]:
    """Every playbook of a library, by id."""
    for name in sorted(library.ids()):
        source = library.get(name)
        if source is not None:
            yield source


def listing(library: Library) -> list[dict[str, Any]]:
    """One row for each playbook, with the inputs that a start takes."""
    return [
        {
            "id": source.playbook.id,
            "version": source.playbook.version,
            "title": source.playbook.title,
            "starts_on": list(source.playbook.starts_on),
            "digest": source.digest,
            "inputs": inputs(source),
        }
        for source in sources(library)
    ]


def inputs(source: Source) -> dict[str, dict[str, Any]]:
    """A playbook's inputs, by name, with their types."""
    return {
        name: {
            "type": declared.type,
            "required": declared.must_be_given,
            "default": declared.default,
            "options": list(declared.options),
            "description": declared.description,
        }
        for name, declared in source.playbook.inputs.items()
    }


def described(source: Source) -> dict[str, Any]:
    """One playbook: its header, its inputs, its steps as an outline to read aloud."""
    playbook = source.playbook
    return {
        "id": playbook.id,
        "version": playbook.version,
        "title": playbook.title,
        "starts_on": list(playbook.starts_on),
        "labels": playbook.model_dump(mode="json")["labels"],
        "digest": source.digest,
        "inputs": inputs(source),
        "outputs": {name: output.type for name, output in playbook.outputs.items()},
        "outline": [
            *_outline(playbook.steps),
            *(["always:", *_outline(playbook.always, 1)] if playbook.always else []),
        ],
    }


def _outline(steps: Sequence[BaseStep], depth: int = 0) -> Iterator[str]:
    for step in steps:
        when = f"  when {step.when}" if step.when else ""
        loop = f"  for each of {step.for_each}" if step.for_each is not None else ""
        yield f"{'  ' * depth}{step.kind:<8} {step.id or '':<14} {_subject(step)}{loop}{when}".rstrip()
        for inner, block in blocks(step):
            named = _name_of(step, inner)
            if named:
                yield f"{'  ' * (depth + 1)}{named}:"
            yield from _outline(block, depth + 1 + bool(named))


def _name_of(step: BaseStep, block: Loc) -> str:
    """What stands above a block inside of a step; nothing above the only one."""
    if isinstance(step, ChooseStep):
        way = step.choose[int(block[1])]
        return f"when {way.when}" if isinstance(way, Way) else "else"
    return "" if block[-1] == "do" else str(block[-1])


def _subject(step: BaseStep) -> str:
    match step:
        case ActionStep() | WorkflowStep():
            return step.action
        case ApproveStep():
            return f"{', '.join(step.approve)}  by {_deciders(step.by)} within {step.within}"
        case AskStep():
            return f"{step.ask.strip()}  by {_deciders(step.by)} within {step.within}"
        case HumanStep():
            return f"{step.human.strip()}  by {step.owner} within {step.within}"
        case WaitStep():
            what = f"event {step.wait.event}" if step.wait.event else f"until {step.wait.until}"
            return step.wait.for_ or f"{what}, at most {step.within}"
        case IfStep():
            return step.if_
        case RepeatStep():
            return f"until {step.repeat.until}, at most {step.repeat.at_most} times"
        case RunStep():
            return step.run.playbook
        case SetStep():
            return ", ".join(step.set)
        case ClocksStep():
            return step.clocks.fact
        case DraftStep():
            return step.draft if isinstance(step.draft, str) else ", ".join(f"{d.regime} {d.stage}" for d in step.draft)
        case TellStep():
            return f"{step.tell.strip()}  to {', '.join(step.to)}"
        case RequireStep():
            return f"{step.require}, else: {step.message.strip()}"
    return getattr(step, step.kind).strip() if step.kind in ("note", "stop") else step.title or ""


def _deciders(by: By) -> str:
    if by.each:
        return ", ".join(f"{count} {role}" for role, count in by.each.items())
    return f"{by.count} of {' or '.join(by.roles)}"


def imagined(source: Source, *, severity: int, org: str) -> dict[str, Json]:
    """Facts of an incident that opens at this moment, by name."""
    moment = stamp()
    return {
        "id": "INC-0",
        "kind": next(iter(source.playbook.starts_on), "unknown"),
        "severity": severity,
        "title": source.playbook.title,
        "opened_at": moment,
        "detected_at": moment,
        "first_seen": moment,
        "org": org,
    }


def planned(
    source: Source,
    library: Library,
    given: Mapping[str, Json],
    *,
    actions: Mapping[str, ActionFacts],
    policy: Policy,
    context: RunContext,
    facts: Mapping[str, Json],
) -> Compiled:
    """The plan that a start would freeze for an incident with these facts; starts and keeps nothing."""
    return compile_plan(
        source,
        library=library,
        actions=actions,
        policy=policy,
        inputs=given,
        incident=facts,
        context=context,
        regimes=shipped,
    )


def compared(
    old: Source,
    new: Source,
    *,
    old_library: Library,
    library: Library,
    actions: Mapping[str, ActionFacts],
    policy: Policy,
) -> dict[str, Any]:
    """What changes when one playbook takes the place of another; ``ok`` unless something is less safe."""
    found = diff(old, new, library=library, actions=actions, policy=policy, old_library=old_library)
    return {
        "ok": not any(finding.weight is Weight.LESS_SAFE for finding in found),
        **{
            name: {"id": source.playbook.id, "version": source.playbook.version, "digest": source.digest}
            for name, source in (("old", old), ("new", new))
        },
        "findings": [finding.as_json() for finding in found],
    }


def drawn(source: Source, form: str, *, library: Library, actions: Mapping[str, ActionFacts], policy: Policy) -> str:
    """A picture of a playbook whose graph tier has found no error: an ``svg`` document, or ``mermaid`` text."""
    picture = graph(source, library=library, actions=actions, policy=policy)
    return svg(picture) if form == "svg" else mermaid(picture)
