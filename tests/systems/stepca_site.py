"""A step-ca to test against: the simulated one over https, or a real one, each behind a front with faults if asked."""

import os
from contextlib import ExitStack
from typing import Any

from activities.systems.stepca.client import StepCa, connect, connect_reading
from activities.systems.stepca.peer.app import StepCaPeer
from tests.systems.faulty import Faulty
from worker.range_server import LoopbackServer
from worker.secrets import Secrets
from worker.servers.stepca import AuthorityFiles


class Site:
    """One authority with clients of it. ``peer`` is the simulated one, if it is that."""

    def __init__(self, files: AuthorityFiles, url: str, behind: Any, peer: StepCaPeer | None) -> None:
        self.files, self.url, self.peer = files, url, peer
        self._behind = behind
        self._closing = ExitStack()
        self.faulty: Faulty | None = None
        self.secrets = Secrets(dict(os.environ), files.folder)

    def client(self, *, reading: bool = False, **changes: Any) -> StepCa:
        """A client straight to it."""
        client = (connect_reading if reading else connect)({**self.files.settings(self.url), **changes}, self.secrets)
        self._closing.callback(client.close)
        return client

    def faulted(self) -> StepCa:
        """A client through a front that can be told to fail."""
        self.faulty = Faulty(self._behind)
        front = LoopbackServer(self.faulty)
        self._closing.callback(front.close)
        return self.client(endpoint=front.open())

    def close(self) -> None:
        """Close what was opened here."""
        self._closing.close()
