"""A workflow that asks the machine for the time; nobody may write one so."""

import time
from typing import Any

from temporalio import workflow


@workflow.defn(name="PlaybookRun")
class Curious:
    """Starts like a run."""

    @workflow.run
    async def run(self, given: Any) -> float:
        """The time."""
        return time.time()
