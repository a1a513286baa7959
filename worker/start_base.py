"""What every process begins with: the store, Temporal, and how it is told to stop. It knows of no door."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from temporalio.client import Client

from worker.edge import key_ring
from worker.settings import Settings
from worker.store import Store
from worker.store.keys import SigningKey
from worker.telemetry import runtime
from worker.temporal import connect

STOPS = (signal.SIGINT, signal.SIGTERM)


def open_store(settings: Settings) -> Store:
    """The store of a home, with the installation's signing key; both are made at first use."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Store(settings.store_url, settings.home, signer=SigningKey.load(settings.home), mode=settings.mode.value)


@contextlib.asynccontextmanager
async def prepared(settings: Settings, *, address: str | None = None) -> AsyncIterator[tuple[Client, Store]]:
    """A connected client and an open store, while the block runs."""
    metered = runtime(settings.file.metrics)
    with contextlib.closing(open_store(settings)) as store:
        yield await connect(settings, key_ring(settings), address=address, runtime=metered), store


@contextlib.asynccontextmanager
async def stoppable() -> AsyncIterator[None]:
    """Run the block until its end, or until SIGINT or SIGTERM, which ends it as a cancel does, once.

    Whatever the block is doing then, building a server too, is cancelled and cleans up after itself.
    """
    task, loop, stopped = asyncio.current_task(), asyncio.get_running_loop(), False
    assert task is not None

    def stop() -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            task.cancel()

    for number in STOPS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not stopped:
            raise
        task.uncancel()
    finally:
        # Impatience must not tear apart what is being put in order; so these stay caught.
        for number in STOPS:
            loop.add_signal_handler(number, lambda: None)


def until_stopped() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set, for the running loop."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, stopped.set)
    return stopped
