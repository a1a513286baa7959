"""Putting a process together from settings: store, keys, Temporal, desk, doors. For worker, serve and up."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from temporalio.client import Client

from activities.catalog import CATALOG
from playbooks.contract import RunContext
from playbooks.policy import Policy
from worker.api.app import create_app
from worker.desk.outbox import TERMINAL, Bring
from worker.desk.starts import Installation
from worker.run import Workers
from worker.settings import Settings
from worker.start_http import announced, listening, until_stopped
from worker.store import Store
from workflows.messages import Thresholds

log = logging.getLogger("stanch")

Say = Callable[[str], None]


def installation(settings: Settings, desk_keys: dict[str, str]) -> Installation:
    """What every start of this installation shares; ``desk_keys`` maps key id to public key (hex)."""
    thresholds = Thresholds()
    if settings.continue_after_events is not None:
        events = settings.continue_after_events
        thresholds = Thresholds(soft_events=events, hard_events=4 * events)
    return Installation(
        library=library(settings),
        actions=CATALOG.facts(),
        policy=Policy.model_validate(settings.file.policy),
        context=RunContext(mode=settings.mode),
        queue_prefix=settings.queue_prefix,
        desk_keys=desk_keys,
        org=settings.file.organisation,
        thresholds=thresholds,
    )


@contextlib.asynccontextmanager
async def worker_running(settings: Settings, client: Client, store: Store) -> AsyncIterator[Workers]:
    """Work until the end of the block."""
    async with Workers(client, settings, store).running() as workers:
        yield workers


@contextlib.asynccontextmanager
async def serving(settings: Settings, client: Client, store: Store, bring: Bring) -> AsyncIterator[str]:
    """Answer ``/v1``, bring notices out, and mend what a crash left; gives the base address."""
    desk = make_desk(settings, client, store)
    app = create_app(desk, *routers(settings, desk))
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
    stopped = until_stopped()
    async with prepared(settings) as (client, store):
        workers = Workers(client, settings, store)
        say(f"Working on {', '.join(workers.queues)}. Ctrl-C ends it.")
        await workers.until(stopped)
    return 0


async def serve(settings: Settings, bring: Bring, say: Say) -> int:
    """``stanch serve``: until SIGINT or SIGTERM."""
    stopped = until_stopped()
    async with prepared(settings) as (client, store), serving(settings, client, store, bring) as url:
        say(f"Serving /v1 at {url}. Ctrl-C ends it.")
        await stopped.wait()
    return 0


async def up(settings: Settings, bring: Bring, say: Say) -> int:
    """``stanch up``: Temporal, worker and doors on one machine, until SIGINT or SIGTERM."""
    from worker.embedded import EmbeddedServer
    from worker.obtain import Obtain

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
