"""Every action as a Temporal activity of its own name; the one place where their errors are translated."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from temporalio import activity

from activities.action import ActionSpec
from activities.attempt import Attempt
from activities.errors import ActionError, Ambiguous, Broken, to_application_error
from activities.execution import Execution, log_bug
from activities.surroundings import Surroundings
from playbooks.contract import ActionCall, ActionResult, Preview

log = logging.getLogger("stanch.actions")
ActionActivity = Callable[[ActionCall], Awaitable[ActionResult | Preview]]


class Runner:
    """Makes activities of actions."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def activities(self, specs: Sequence[ActionSpec]) -> list[ActionActivity]:
        """An activity for each action."""
        return [self.activity_of(spec) for spec in specs]

    def activity_of(self, spec: ActionSpec) -> ActionActivity:
        """The activity of one action; its type is the action's name."""

        @activity.defn(name=spec.name)
        async def run(call: ActionCall) -> ActionResult | Preview:
            return await self._serve(spec, call)

        return run

    async def _serve(self, spec: ActionSpec, call: ActionCall) -> ActionResult | Preview:
        attempt = Attempt(activity.info(), call)
        execution = Execution(self._around, spec, call, attempt)
        async with attempt.beating():
            try:
                return await execution.shielded()
            except ActionError as error:
                raised = error
            except Exception as error:
                log_bug(spec, error)
                raised = _broken(execution, spec, type(error).__name__)
        final = execution.is_last(raised)
        log.info("%s %s attempt %s: %s", call.action, call.step, attempt.number, raised.code)
        raise to_application_error(execution.concluded(raised) if final else raised, final=final)


def _broken(execution: Execution, spec: ActionSpec, kind: str) -> ActionError:
    if execution.intended:
        return Ambiguous(f"{spec.name} broke off ({kind}) when it may have been sent. Look what it did.")
    return Broken(f"{spec.name} broke off ({kind}). Nothing was sent. Look at the worker's log.")
