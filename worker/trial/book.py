"""A playbook made ready for trials: judged once, compiled for each case."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from activities.catalog import CATALOG
from playbooks.compile import compile_plan, validate
from playbooks.compile_inputs import PATH as ASKED_INPUTS
from playbooks.compile_steps import Planner
from playbooks.contract import ActionFacts, Json
from playbooks.loader import TESTS, Library, Source, load
from playbooks.plan import RunPlan
from playbooks.policy import Policy
from playbooks.problems import Problem, has_errors
from playbooks.regimes_loader import shipped
from worker.trial.case import Case, Suite
from worker.trial.people import Cast
from worker.trial.stubs import Stubs
from worker.trial.testfile import Known, load_suite
from worker.trial.trial import CONTEXT, START, Trial, incident_facts
from worker.trial.world import Actual, World
from workflows.messages import Thresholds
from workflows.scope import PlanIndex

if TYPE_CHECKING:
    from worker.trial.peers import Peers

HARD_FACTOR = 4


class NotReady(Exception):
    """The playbook, the test file or a case's inputs are refused; ``problems`` say why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Book:
    """One playbook with the actions, the policy and the library that it is tried with.

    Raises:
        NotReady: The playbook is refused.
    """

    def __init__(
        self,
        source: Source,
        library: Library,
        *,
        actions: Mapping[str, ActionFacts] | None = None,
        policy: Policy | None = None,
        organisation: Mapping[str, Json] | None = None,
        safety: bool = True,
    ) -> None:
        self.source, self.library = source, library
        self.actions = CATALOG.facts() if actions is None else actions
        self.policy, self.organisation = policy or Policy(), organisation or {}
        self._judged = validate(
            source, library=library, actions=self.actions, policy=self.policy, regimes=shipped, safety=safety
        )
        if has_errors(self._judged):
            raise NotReady([found for found in self._judged if found.severity == "error"])
        planner = Planner(library, self.actions)
        self.outline = RunPlan(frame=planner.frame(source), actions={name: self.actions[name] for name in planner.used})
        """The plan without values: which steps there are, and where they stand."""

    def known(self) -> Known:
        """What a test file of it may name."""
        steps = PlanIndex(self.outline).steps
        return Known(
            inputs=list(self.source.playbook.inputs),
            steps={path: getattr(step.spec, "name", None) for path, step in steps.items()} | {ASKED_INPUTS: None},
            actions=self.actions,
        )

    def suite(self, path: Path) -> Suite:
        """Read a test file of it.

        Raises:
            NotReady: It is refused.
        """
        suite, problems = load_suite(path, self.source.playbook.id, self.known())
        if suite is None:
            raise NotReady(problems)
        return suite

    def planned(
        self,
        inputs: Mapping[str, Json],
        incident: Mapping[str, Json] | None = None,
        *,
        ask_missing: bool = False,
        start: datetime = START,
    ) -> tuple[RunPlan, str, dict[str, Json]]:
        """The plan of a run, its digest, and the facts of its incident.

        Raises:
            NotReady: The inputs are refused.
        """
        playbook = self.source.playbook
        facts = incident_facts(playbook.title, next(iter(playbook.starts_on), "unknown"), start, incident)
        compiled = compile_plan(
            self.source,
            library=self.library,
            actions=self.actions,
            policy=self.policy,
            inputs=inputs,
            incident=facts,
            context=CONTEXT,
            ask_missing=ask_missing,
            judged=self._judged,
        )
        if compiled.plan is None:
            raise NotReady([found for found in compiled.problems if found.severity == "error"])
        return compiled.plan, compiled.digest, facts

    def world(self, stubs: Stubs | None = None) -> World:
        """Its systems and its record, before anything has happened."""
        return World(self.actions, stubs or Stubs(), shipped, self.organisation)

    def trial(
        self,
        *,
        inputs: Mapping[str, Json],
        incident: Mapping[str, Json] | None = None,
        stubs: Stubs | None = None,
        cast: Cast | None = None,
        started_by: str = "",
        continue_after: int | None = None,
        start: datetime = START,
        actual: Actual | None = None,
    ) -> Trial:
        """A run that has begun. Without ``started_by`` an alert started it, and inputs that are missing are asked for.

        Raises:
            NotReady: The inputs are refused.
        """
        plan, digest, facts = self.planned(inputs, incident, ask_missing=not started_by, start=start)
        world = self.world(stubs)
        world.actual = actual
        return Trial(
            plan,
            digest,
            world,
            cast or Cast(),
            facts=facts,
            starters=[started_by] if started_by else [],
            thresholds=thresholds_of(continue_after),
            start=start,
        )

    def case(self, case: Case, peers: "Peers | None" = None) -> Trial:
        """A case's run that has begun; with ``peers`` what no stub answers is done for real."""
        known = {} if peers is None else peers.inputs(self.source.playbook.id)
        trial = self.trial(
            inputs={**known, **case.inputs},
            incident=case.incident,
            stubs=Stubs(case.systems),
            cast=Cast(case.cast, case.people),
            started_by=case.started_by,
            continue_after=case.continue_after,
            start=START if peers is None else datetime.now(UTC),
            actual=None if peers is None else peers.perform,
        )
        if peers is not None:
            trial.by_hand = peers.do_by_hand
        return trial


def thresholds_of(continue_after: int | None) -> Thresholds | None:
    """When a run continues as new that does so after so many events."""
    if continue_after is None:
        return None
    return Thresholds(soft_events=continue_after, hard_events=HARD_FACTOR * continue_after)


def beside(path: Path) -> Path:
    """The test file of a playbook's file."""
    return path.with_name(path.name.removesuffix(".yaml") + TESTS)


def open_book(path: Path, library: Library, **more: object) -> Book:
    """A book from a playbook's file.

    Raises:
        NotReady: The playbook is refused.
    """
    source, problems = load(path)
    if source is None:
        raise NotReady(problems)
    return Book(source, Library([source, *library.sources()]), **more)  # type: ignore[arg-type]
