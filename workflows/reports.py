"""What a run tells its incident: signals in the background, in order, retried, never delaying a step."""

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.exceptions import FailureError

from playbooks.plan import ActionStep
from workflows.messages import FactChange, FactsSet, ReviewOpened, RunChanged
from workflows.scope import path_of
from workflows.state import Gate

if TYPE_CHECKING:
    from workflows.run import Run

FIRST_MOMENT = 0.5
"""Seconds for which the first steps go before the first report, which would take their turns at the worker."""
LAST_TRIES = 6
"""At its end a run waits about 12 s for an incident that does not answer, then ends all the same."""


SIGNALS: dict[str, type[RunChanged] | type[FactsSet] | type[ReviewOpened]] = {
    "run_changed": RunChanged,
    "facts_set": FactsSet,
    "review_opened": ReviewOpened,
}


class Reporter:
    """The outbox of signals to the incident; lives in RunState, so that nothing is lost over continue-as-new."""

    def __init__(self, run: "Run") -> None:
        """Made once per execution."""
        self._run = run
        self._on_its_way = 0

    def changed(self, *, phase: str | None = None, always: bool = False) -> None:
        """Report the run's status; only when the phase changed, unless ``always``."""
        run, state = self._run, self._run.state
        if not always and (phase is None or phase == state.reported_phase):
            return
        state.reported_phase = phase or state.reported_phase
        started, verified, unknown = self._contained()
        self._put(
            "run_changed",
            RunChanged(
                run=run.input.run,
                seq=state.report_count + 1,
                status=state.status,
                phase=state.reported_phase,
                contain_started=started,
                contain_verified=verified,
                unknown=unknown,
                supersedes=run.input.after.of if run.input.after else None,
                at=run.clock.stamp(),
            ),
        )

    def facts(self, changes: tuple[FactChange, ...], dated: tuple[FactChange, ...] = ()) -> None:
        """Report facts that a step set."""
        seq = self._run.state.report_count + 1
        self._put("facts_set", FactsSet(run=self._run.input.run, seq=seq, changes=changes, dated=dated))

    def glass_broken(self, key: str, gate: Gate) -> None:
        """Report that an approval was passed by break-glass, for somebody else to review."""
        run = self._run
        self._put(
            "review_opened",
            ReviewOpened(
                run=run.input.run,
                seq=run.state.report_count + 1,
                step=key,
                round=gate.round,
                person=gate.decided_by[0],
                roles=tuple(dict.fromkeys(role for need in gate.needs for role in need.roles)),
                at=run.clock.stamp(),
                reason=gate.break_glass or "",
            ),
        )

    def _put(self, signal: str, body: RunChanged | FactsSet | ReviewOpened) -> None:
        state = self._run.state
        state.report_count += 1
        waiting = state.reports[self._on_its_way :]
        if signal == "run_changed" and waiting and waiting[-1]["signal"] == signal:
            # It says all that the one before it said.
            state.reports.pop()
        state.reports.append({"signal": signal, "body": body.model_dump(mode="json")})

    def _contained(self) -> tuple[int, int, int]:
        run = self._run
        started = verified = unknown = 0
        for key, record in run.state.records.items():
            step = run.index.steps.get(path_of(key))
            if step is None or not isinstance(step.spec, ActionStep) or record.items is not None:
                continue
            unknown += record.status == "unknown"
            if step.phase == "contain" and run.plan.actions[step.spec.name].risk.is_effect:
                begun = record.status in ("running", "waiting", "done", "failed", "unknown", "undone")
                started += begun
                verified += record.status == "done" and record.verified is not False
        return started, verified, unknown

    async def keep_sending(self) -> None:
        """Background: send in order. Ends with the execution; what is left is carried over."""
        run, state = self._run, self._run.state
        delay, tries = 0.2, 0
        if run.input.state is None:
            with suppress(TimeoutError):
                moment = run.clock.real_until(run.clock.after(FIRST_MOMENT))
                await workflow.wait_condition(lambda: run.closing or run.suspending, timeout=moment)
        while True:
            await workflow.wait_condition(lambda: bool(state.reports) or run.closing or run.suspending)
            if run.suspending or not state.reports:
                return
            self._on_its_way = 1
            sent = await self._send(state.reports[0])
            self._on_its_way = 0
            if sent:
                state.reports.pop(0)
                delay, tries = 0.2, 0
                continue
            tries += 1
            if run.closing and tries > LAST_TRIES:
                return
            try:
                await workflow.wait_condition(lambda: run.suspending, timeout=timedelta(seconds=delay))
            except TimeoutError:
                delay = min(delay * 2, 10)

    async def _send(self, report: dict[str, Any]) -> bool:
        incident = workflow.get_external_workflow_handle(f"incident/{self._run.input.incident}")
        try:
            await incident.signal(report["signal"], SIGNALS[report["signal"]].model_validate(report["body"]))
        except FailureError:
            return False
        return True
