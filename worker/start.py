"""The processes that stay: ``stanch worker``, ``stanch serve``, ``stanch up``."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from temporalio.client import Client

from worker.api.app import create_app
from worker.desk.outbox import TERMINAL, Bring
from worker.embedded import EmbeddedServer
from worker.obtain import Obtain
from worker.run import Workers
from worker.settings import Settings
from worker.start_http import announced, listening, until_stopped
from worker.start_parts import alerts_door, make_desk, prepared
from worker.store import Store
from worker.telemetry import start_logging

Say = Callable[[str], None]


@contextlib.asynccontextmanager
async def worker_running(settings: Settings, client: Client, store: Store) -> AsyncIterator[Workers]:
    """Work until the end of the block."""
    async with Workers(client, settings, store).running() as workers:
        yield workers


@contextlib.asynccontextmanager
async def serving(settings: Settings, client: Client, store: Store, bring: Bring) -> AsyncIterator[str]:
    """Answer ``/v1``, bring notices out, and mend what a crash left; gives the base address."""
    desk = make_desk(settings, client, store)
    app = create_app(desk, alerts_door(settings))
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(listening(app, settings.file.api.host, settings.file.api.port))
        stack.enter_context(announced(settings.home, url))
        loops = [
            asyncio.create_task(desk.reconciler.keep_reconciling()),
            asyncio.create_task(desk.outbox.keep_bringing(TERMINAL, bring)),
            asyncio.create_task(desk.keep_signing()),
        ]
        try:
            yield url
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)


async def work(settings: Settings, say: Say) -> int:
    """``stanch worker``: until SIGINT or SIGTERM."""
    start_logging(settings.file.log_level)
    stopped = until_stopped()
    async with prepared(settings) as (client, store):
        workers = Workers(client, settings, store)
        say(f"Working on {', '.join(workers.queues)}. Ctrl-C ends it.")
        await workers.until(stopped)
    return 0


async def serve(settings: Settings, bring: Bring, say: Say) -> int:
    """``stanch serve``: until SIGINT or SIGTERM."""
    start_logging(settings.file.log_level)
    stopped = until_stopped()
    async with prepared(settings) as (client, store), serving(settings, client, store, bring) as url:
        say(f"Serving /v1 at {url}. Ctrl-C ends it.")
        await stopped.wait()
    return 0


async def up(settings: Settings, bring: Bring, say: Say) -> int:
    """``stanch up``: Temporal, worker and doors on one machine, until SIGINT or SIGTERM."""
    start_logging(settings.file.log_level)
    stopped = until_stopped()
    binary = await Obtain(settings.environment, say).server()
    server = EmbeddedServer(binary, settings.home / "temporal", namespace=settings.namespace)
    async with server.running():
        keeping = asyncio.create_task(server.keep(say))
        try:
            async with (
                prepared(settings, address=server.address) as (client, store),
                worker_running(settings, client, store) as workers,
                serving(settings, client, store, bring) as url,
            ):
                say(f"Working on {', '.join(workers.queues)}.")
                say(f"Serving /v1 at {url}. Ctrl-C ends it.")
                await stopped.wait()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    return 0
