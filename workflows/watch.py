"""A watch: one look of a reading action at a system, begun by a schedule.

It is no run: it belongs to no incident and can change nothing. What it finds opens one, as an alert would.
"""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field
from temporalio import workflow
from temporalio.common import RetryPolicy

from playbooks.contract import Json

LOOK = "stanch.look"
TRIES = 5
"""Of one look at most; a system that is away for a moment is asked again."""
MARGIN = timedelta(seconds=60)
"""For what comes after the action: keeping what was found."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class WatchInput(_Message):
    """What is looked for.

    Attributes:
        name: Of the watch, as in the settings.
        action: A reading action; ``params`` are its parameters.
        queue: Task queue of the system's credentials.
        seconds: That one look may take.
        finds: Expression over ``result``, without braces; true is a finding.
        kind: Of the alert that a finding is, with ``severity`` and ``title``.
        inputs: Go to the playbook that the alert starts.
    """

    name: str
    action: str
    params: dict[str, Json] = Field(default_factory=dict)
    queue: str
    seconds: float
    finds: str
    kind: str
    severity: int
    title: str
    inputs: dict[str, Json] = {}


class Looked(_Message):
    """What came of a look: whether it found something, the action's own summary, the incident of the finding."""

    found: bool
    summary: str = ""
    incident: str | None = None


@workflow.defn(name="Watch")
class Watch:
    """One look. It fails when the system could not be read, and Temporal keeps the reason."""

    @workflow.run
    async def run(self, given: WatchInput) -> Looked:
        """Look once, with retries."""
        once = timedelta(seconds=given.seconds) + MARGIN
        looked: Looked = await workflow.execute_activity(
            LOOK,
            given,
            result_type=Looked,
            task_queue=given.queue,
            start_to_close_timeout=once,
            schedule_to_close_timeout=once * TRIES + timedelta(hours=1),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=5),
                backoff_coefficient=3,
                maximum_interval=timedelta(minutes=10),
                maximum_attempts=TRIES,
            ),
        )
        return looked
