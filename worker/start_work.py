"""``stanch worker``. It imports none of the doors: a worker that died is back sooner."""

import asyncio
from collections.abc import Callable

from worker.run import Workers
from worker.settings import Settings
from worker.start_base import prepared, stoppable
from worker.telemetry import start_logging

Say = Callable[[str], None]


async def work(settings: Settings, say: Say) -> int:
    """Work until SIGINT or SIGTERM."""
    start_logging(settings.file.log_level)
    async with stoppable(), prepared(settings) as (client, store):
        await working(Workers(client, settings, store), say)
    return 0


async def working(workers: Workers, say: Say) -> None:
    """Work until cancelled; a worker that ends by itself ends the process, with its failure."""
    say(f"Working on {', '.join(workers.queues)}. Ctrl-C ends it.")
    await workers.until(asyncio.Event())
