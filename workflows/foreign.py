"""``workflow``: start a workflow of somebody else's, as an effect like any other, and wait for its end.

The start goes through the gate of all effects. Its end is read by the verify of the same action, in short turns, so
that a wait of hours outlives the run's own executions and every worker.
"""

from playbooks.contract import Verb
from playbooks.plan import PlannedStep, WorkflowStep
from workflows.attempts import Attempts, Trouble
from workflows.effects import called, keep_result
from workflows.errors import RunCancelled, StepFailed
from workflows.run import Run, finish
from workflows.scope import Place
from workflows.state import StepRecord
from workflows.values import render

STARTED = "started"


async def workflow_step(run: Run, step: PlannedStep, place: Place, record: StepRecord) -> None:
    """Run one instance to its end; ``record.branch`` is ``started`` once the workflow is.

    Raises:
        StepFailed: it could not be started, or did not end well.
        RunDenied: its start was denied and the playbook says stop.
    """
    if record.branch != STARTED:
        if not await called(run, step, place, record):
            return
        record.branch, record.output = STARTED, {}
        started = list(record.affected.sample) if record.affected else []
        run.note("workflow.started", place=place, step=step, workflows=started)
    spec = step.spec
    assert isinstance(spec, WorkflowStep)
    attempts = Attempts(run, step, place, record, run.plan.actions[spec.name])
    record.status, record.waiting_for = "waiting", spec.name
    while True:
        try:
            await run.checkpoint(place)
            params = render(run, spec.with_, place, record, path=step.path)
            result = await attempts.act(Verb.VERIFY, params)
        except RunCancelled:
            left = f"{place.name(step.path)}: what was started goes on, and nobody waits for it any more."
            run.state.warnings.append(left)
            finish(record, "failed", run.clock.stamp(), code="cancelled", message="It was started and goes on.")
            raise
        except Trouble as trouble:
            if trouble.code == "workflow_failed":
                # It has ended: whoever tries again starts another.
                record.branch, record.epoch = None, record.epoch + 1
            raise StepFailed(step.path, trouble.code, trouble.message) from trouble
        if result.verified:
            break
    keep_result(run, step, place, record, attempts, params, result)
    finish(record, "done", run.clock.stamp())
