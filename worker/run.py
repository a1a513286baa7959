"""The worker: one queue for workflows and built-in activities, one per credential domain it has credentials for."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from activities.builtin.activities import builtin_activities
from activities.catalog import Catalog
from activities.context import Guarded
from activities.runner import Runner
from activities.surroundings import Surroundings
from playbooks.contract import FOREIGN
from playbooks.regimes_loader import shipped
from worker.edge import key_ring, secrets_of, stop_points
from worker.foreign import catalog_of, declared
from worker.foreign_temporal import TemporalForeign
from worker.settings import Settings
from worker.store import Store
from worker.systems import ConnectedSystems
from worker.temporal import ACTIVITY_SLOTS, CACHED_WORKFLOWS, make_worker
from worker.watches.watching import Watching
from workflows.incident import Incident
from workflows.playbook_run import PlaybookRun
from workflows.watch import Watch

__all__ = ["WORKFLOWS", "Workers", "key_ring", "secrets_of", "stop_points"]

log = logging.getLogger("stanch.worker")
WORKFLOWS: tuple[type, ...] = (Incident, PlaybookRun, Watch)


class Workers:
    """All workers of one process. Made in the event loop that runs them."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        store: Store,
        *,
        catalog: Catalog | None = None,
        systems: ConnectedSystems | None = None,
        workflows: Sequence[type] = WORKFLOWS,
        extra: Sequence[Callable[..., Any]] = (),
        cached_workflows: int = CACHED_WORKFLOWS,
    ) -> None:
        """``extra`` are further activities of the core queue; ``catalog`` is by default all that is installed and the
        workflows that the settings declare.

        Raises:
            SettingsError: a test switch is set for a live worker.
        """
        foreign = {FOREIGN: lambda _config, _vault: TemporalForeign(client)} if declared(settings) else {}
        self.systems = systems or ConnectedSystems(settings.file.systems, secrets_of(settings), foreign)
        self._executor = ThreadPoolExecutor(ACTIVITY_SLOTS, thread_name_prefix="action")
        around = Surroundings(
            store=store,
            systems=self.systems,
            mode=settings.mode,
            guarded=lambda system: Guarded(settings.protected_of(system), self.systems.own(system)),
            stops=stop_points(settings),
            executor=self._executor,
        )
        runner, prefix = Runner(around), settings.queue_prefix
        builtins = builtin_activities(store, shipped(), settings.file.organisation_facts)
        self.queues = [prefix]
        self._workers: list[Worker] = [
            make_worker(
                client,
                prefix,
                workflows=workflows,
                activities=[*builtins, *extra],
                executor=self._executor,
                cached_workflows=cached_workflows,
            )
        ]
        known = catalog or catalog_of(settings)
        self._looking = systems or ConnectedSystems(settings.file.systems, secrets_of(settings), reading=True)
        watching = Watching(store, settings, known, self._looking)
        for domain, specs in known.domains().items():
            served = [spec for spec in specs if self.systems.has(spec.facts.system)]
            if not served:
                log.info("no credentials for %s: its actions wait for another worker", domain)
                continue
            queue = f"{prefix}-{domain}"
            self.queues.append(queue)
            actions: list[Callable[..., Any]] = [*runner.activities(served), watching.look]
            self._workers.append(make_worker(client, queue, activities=actions, executor=self._executor))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Workers"]:
        """Poll until the end of the block; then let activities finish within their grace."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.until(stop))
        try:
            yield self
        finally:
            stop.set()
            await task

    async def until(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, or a worker ends by itself, whose failure is then raised."""
        tasks = [asyncio.create_task(worker.run()) for worker in self._workers]
        waiting = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiting}:
                log.critical("a worker ended by itself; this process takes no more work")
                task.result()
        finally:
            waiting.cancel()
            await asyncio.gather(*(worker.shutdown() for worker in self._workers), return_exceptions=True)
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.systems.close()
            await self._looking.close()
            self._executor.shutdown(wait=False, cancel_futures=True)
