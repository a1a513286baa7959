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
MARGIN = timedelta(minutes=10)
"""For what comes after the action: keeping what was found, also where the store is away for a while."""


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
        kind: Of the alert that a finding is, with ``severity``, ``title`` and ``org``.
        route: What a finding starts, as ``rule``, ``playbook`` and ``inputs``; ``None``: its incident waits for people.
        effect: Whether that playbook can change something.
        since: Inputs of it that say from when on evidence is wanted; filled when something is found.
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
    org: str = ""
    route: dict[str, Json] | None = None
    effect: bool = False
    since: tuple[str, ...] = ()


class Looked(_Message):
    """What came of a look: whether it found something, the action's own summary, the incident of the finding."""

    found: bool
    summary: str = ""
    incident: str | None = None


def longest(seconds: float) -> timedelta:
    """How long a look may take with all its tries, given the seconds of its action."""
    return (timedelta(seconds=seconds) + MARGIN) * TRIES


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
            schedule_to_close_timeout=longest(given.seconds),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=5),
                backoff_coefficient=3,
                maximum_interval=timedelta(minutes=10),
                maximum_attempts=TRIES,
            ),
        )
        return looked
