"""What all calls of one worker share."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from activities.context import Guarded
from activities.ports import Store, Systems
from activities.stops import StopPoints
from playbooks.contract import Mode


def _nothing_guarded(system: str) -> Guarded:
    return Guarded()


@dataclass(frozen=True)
class Surroundings:
    """Store, systems and mode of a worker.

    Attributes:
        store: Journal, evidence and hold.
        systems: Clients of the systems whose credentials this worker has.
        mode: Of the worker; calls of the other are refused.
        guarded: Per system what effects must spare.
        stops: Test-only stop points.
        executor: Threads for bodies that are not ``async``.
    """

    store: Store
    systems: Systems
    mode: Mode
    guarded: Callable[[str], Guarded] = _nothing_guarded
    stops: StopPoints | None = None
    executor: Executor | None = None
