"""Compiling a plan as a start freezes it, or a refusal that says what is wrong with the playbook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from playbooks.compile import compile_plan, validate
from playbooks.contract import ActionFacts, Json, RunContext
from playbooks.loader import Library, Source
from playbooks.plan import RunPlan
from playbooks.policy import Policy
from playbooks.problems import Problem
from playbooks.regimes_loader import shipped
from worker.desk.refusals import DeskRefusal
from workflows.messages import Thresholds


@dataclass(frozen=True)
class Installation:
    """What every start shares. ``desk_keys`` maps key id to public key (hex)."""

    library: Library
    actions: Mapping[str, ActionFacts]
    policy: Policy
    context: RunContext
    queue_prefix: str
    desk_keys: dict[str, str]
    org: str = ""
    thresholds: Thresholds = field(default_factory=Thresholds)


def standing(installation: Installation) -> dict[str, Any]:
    """What every compilation here goes by."""
    return {
        "library": installation.library,
        "actions": installation.actions,
        "policy": installation.policy,
        "regimes": shipped,
    }


def frozen(
    installation: Installation,
    source: Source,
    inputs: Mapping[str, Json],
    incident: Mapping[str, Json],
    *,
    ask: bool,
    judged: Sequence[Problem] | None = None,
    context: RunContext | None = None,
    what: str = "started",
) -> tuple[RunPlan, str]:
    """The plan of a playbook with these inputs, and its digest; ``what`` is what a refusal says was not done.

    Raises:
        DeskRefusal: ``playbook_problems``, with each at its place.
    """
    compiled = compile_plan(
        source,
        **standing(installation),
        inputs=inputs,
        incident=incident,
        context=context or installation.context,
        ask_missing=ask,
        judged=judged if judged is not None else validate(source, **standing(installation)),
    )
    errors = [problem for problem in compiled.problems if problem.severity == "error"]
    if compiled.plan is None or errors:
        raise refused(source.playbook.id, errors or list(compiled.problems), what)
    return compiled.plan, compiled.digest


def refused(playbook: str, problems: Sequence[Problem], what: str = "started") -> DeskRefusal:
    """The refusal of a playbook that has problems; ``what`` was not done: ``started`` or ``migrated``."""
    first = problems[0]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return DeskRefusal(
        "playbook_problems",
        f"{playbook} has {count}, first {first.file}:{first.line}:{first.column}: {first.message} Nothing was {what}.",
        "Mend it, check it with `stanch playbook validate`, then give the command again.",
        details={"problems": [problem.as_json() for problem in problems]},
    )
