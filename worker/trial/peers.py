"""Systems that are real peers: the actions' own code, against a simulated company over loopback.

Time in the company is that of this machine; the run's own time goes on as fast as ever.
"""

import asyncio
import dataclasses
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from temporalio.testing import ActivityEnvironment

from activities.catalog import CATALOG
from activities.runner import Runner
from activities.surroundings import Surroundings
from playbooks.contract import ActionCall, ActionResult, Json, Mode, Preview
from worker.edge import secrets_of
from worker.range import Range
from worker.settings import Settings
from worker.store import Store
from worker.store.keys import SigningKey
from worker.systems import ConnectedSystems

T = TypeVar("T")


class Peers:
    """A company of a seed with its systems, until ``close``."""

    def __init__(self, seed: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="stanch-trial-")
        home = Path(self._folder.name)
        self.range = Range(seed)
        self.range.__enter__()
        settings = Settings.load({"STANCH_HOME": str(home)}, home)
        self._store = Store(settings.store_url, home, SigningKey.load(home))
        self._systems = ConnectedSystems(self.range.settings(home), secrets_of(settings))
        self._runner = Runner(Surroundings(store=self._store, systems=self._systems, mode=Mode.LIVE))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="trial-peers", daemon=True)
        self._thread.start()

    def inputs(self, playbook: str) -> Mapping[str, Json]:
        """What a person who knows the company gives a playbook."""
        return self.range.inputs_for(playbook)

    def perform(self, call: ActionCall, attempt: int) -> ActionResult | Preview:
        """One attempt of an action, for real.

        Raises:
            ApplicationError: It failed, as Temporal is told.
        """
        return self._wait(self._performed(call, attempt))

    async def _performed(self, call: ActionCall, attempt: int) -> ActionResult | Preview:
        env = ActivityEnvironment()
        env.info = dataclasses.replace(
            ActivityEnvironment.default_info(),
            attempt=attempt,
            scheduled_time=datetime.now(UTC),
            heartbeat_timeout=timedelta(seconds=5),
        )
        return await env.run(self._runner.activity_of(CATALOG.spec(call.action)), call)

    def do_by_hand(self, question: str) -> None:
        """What a person does in a system before they say that it is done."""
        self.range.do_by_hand({"question": question})

    def close(self) -> None:
        """Let go of everything."""
        self._wait(self._systems.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._store.close()
        self.range.__exit__()
        self._folder.cleanup()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
