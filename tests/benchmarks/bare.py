"""The other side of the benchmarks: workflows written by hand, with the same activities and nothing of Stanch's."""

import asyncio
import time
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow

BEGUN: dict[str, float] = {}
"""Workflow id to the instant (wall clock) at which its first activity's body began."""


@activity.defn(name="bare.noop")
async def noop(given: dict[str, Any]) -> dict[str, Any]:
    """The body of ``lab.noop``, bare."""
    BEGUN.setdefault(activity.info().workflow_id, time.time())
    return {"count": 0}


@workflow.defn(name="BareSequence")
class BareSequence:
    """So many no-ops one after another."""

    @workflow.run
    async def run(self, given: dict[str, Any]) -> int:
        """``given``: ``{count, queue, activity, calls}``; with ``calls`` it calls Stanch's own activities."""
        for number in range(given["count"]):
            await _call(given, number)
        return given["count"]


@workflow.defn(name="BareParallel")
class BareParallel:
    """So many no-ops at once."""

    @workflow.run
    async def run(self, given: dict[str, Any]) -> int:
        """As ``BareSequence``."""
        await asyncio.gather(*(_call(given, number) for number in range(given["count"])))
        return given["count"]


async def _call(given: dict[str, Any], number: int) -> None:
    calls = given.get("calls")
    await workflow.execute_activity(
        given["activity"],
        calls[number] if calls else {"number": number},
        task_queue=given["queue"],
        start_to_close_timeout=timedelta(seconds=60),
    )
