"""The processes that answer: ``stanch serve``, and ``stanch up``, which does all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporalio.client import Client

from worker.api.app import create_app
from worker.desk.outbox import TERMINAL, Bring
from worker.embedded import EmbeddedServer
from worker.obtain import Obtain
from worker.run import Workers
from worker.settings import Settings
from worker.start_base import prepared, stoppable
from worker.start_http import announced, listening
from worker.start_parts import alerts_door, make_desk, slack_door
from worker.start_work import Say, working
from worker.store import Store
from worker.telemetry import start_logging
from worker.watches.definition import watches_of
from worker.watches.schedules import keep_schedules


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, client: Client, store: Store, bring: Bring, *, engine: str | None = None
) -> AsyncIterator[str]:
    """Answer ``/v1``, bring notices out, and mend what a crash left; gives the base address.

    ``engine`` is the address of an embedded Temporal server, for commands that need it.
    """
    desk = make_desk(settings, client, store)
    slack = slack_door(settings, desk)
    app = create_app(desk, alerts_door(settings), *([slack.router] if slack else []))
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(listening(app, settings.file.api.host, settings.file.api.port))
        stack.enter_context(announced(settings.home, url, engine))
        if slack is not None:
            await stack.enter_async_context(slack.opened())
        loops = [
            asyncio.create_task(desk.reconciler.keep_reconciling()),
            asyncio.create_task(desk.outbox.keep_bringing(TERMINAL, bring)),
            asyncio.create_task(desk.keep_signing()),
            # Without any watch, too: those that were in the settings before have to go.
            asyncio.create_task(keep_schedules(client, settings)),
        ]
        if settings.file.paging is not None:
            # Only where people are woken: its libraries take their time to load.
            from worker.paging.setup import pager_of

            assert desk.paging is not None
            desk.paging.channels = {"slack": slack.pages} if slack is not None else {}
            pager = pager_of(settings, store, desk.paging.channels)
            assert pager is not None
            loops += [asyncio.create_task(each) for each in (pager.keep_paging(), desk.paging.keep_fresh())]
        try:
            yield url
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)


async def serve(settings: Settings, bring: Bring, say: Say) -> int:
    """``stanch serve``: until SIGINT or SIGTERM."""
    settings.refuse_test_switches()
    # What is wrong with a watch is said before anything starts.
    watches_of(settings)
    start_logging(settings.file.log_level)
    async with (
        stoppable(),
        prepared(settings) as (client, store),
        serving(settings, client, store, bring) as url,
    ):
        say(f"Serving /v1 at {url}. Ctrl-C ends it.")
        await asyncio.Event().wait()
    return 0


async def up(settings: Settings, bring: Bring, say: Say) -> int:
    """``stanch up``: Temporal, worker and doors on one machine, until SIGINT or SIGTERM."""
    # As of ``serve``.
    watches_of(settings)
    start_logging(settings.file.log_level)
    async with (
        stoppable(),
        _embedded(settings, say) as server,
        prepared(settings, address=server.address) as (client, store),
        serving(settings, client, store, bring, engine=server.address) as url,
    ):
        say(f"Serving /v1 at {url}.")
        await working(Workers(client, settings, store), say)
    return 0


@contextlib.asynccontextmanager
async def _embedded(settings: Settings, say: Say) -> AsyncIterator[EmbeddedServer]:
    """The home's own Temporal server, started again should it end by itself."""
    binary = await Obtain(settings.environment, say).server()
    server = EmbeddedServer(binary, settings.home / "temporal", namespace=settings.namespace)
    async with server.running():
        keeping = asyncio.create_task(server.keep(say))
        try:
            yield server
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
