"""A training service for tests: one pipeline, one dataset with an attacker's rows in it, a front with faults."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.systems.training.client import Training, connect, connect_reading
from activities.systems.training.peer.app import TrainingPeer
from activities.systems.training.peer.customers import Snapshot, customers, incident_set, poisoned, snapshot
from activities.systems.training.peer.service import Account, Service
from tests.systems.faulty import Faulty
from worker.range_server import LoopbackServer
from worker.secrets import Secrets

NOW = datetime(2026, 9, 20, tzinfo=UTC)
OTHER = "INC-2026-99"


def taken(poison: int = 60) -> Snapshot:
    """A dataset with an attacker's rows in it."""
    start = NOW - timedelta(days=60)
    rows = customers(1, 300, start, NOW) + poisoned(1, poison, start, NOW)
    return snapshot("crm-2026-09", NOW, rows)


class Site:
    """A training service with one pipeline and one dataset, without a registry, behind a front with faults."""

    def __init__(self) -> None:
        self.service = Service("builder-3", "builder-4", clock=lambda: NOW)
        self.service.accounts = {
            "t-all": Account("stanch"),
            "t-read": Account("stanch-reads", ("read",)),
            "t-none": Account("nobody", ()),
        }
        self.service.add_pipeline("churn-nightly")
        self.service.add_dataset(taken())
        self.service.incident = incident_set(1)
        self.peer = TrainingPeer(self.service)
        self.faulty = Faulty(self.peer)
        self.server = LoopbackServer(self.faulty)
        self.clients: list[Training] = []

    def client(self, token: str = "t-all", *, reading: bool = False, **more: Any) -> Training:
        """A client with one of the tokens."""
        settings = {
            "url": "https://training.example.com",
            "endpoint": self.url,
            "token": "secret:env/T",
            "poll_seconds": 0.2,
            "read_timeout": 5,
            **more,
        }
        made = (connect_reading if reading else connect)(settings, Secrets({"T": token}, Path()))
        self.clients.append(made)
        return made

    @property
    def bad_rows(self) -> list[str]:
        """Ids of the attacker's rows."""
        return [row.id for row in taken().rows if row.source != "crm"]

    def __enter__(self) -> "Site":
        self.url = self.server.open()
        return self

    def __exit__(self, *error: object) -> None:
        for client in self.clients:
            client.close()
        self.server.close()


def order(site: Site, **more: Any) -> dict[str, Any]:
    """Parameters of a job."""
    given = {"pipeline": "churn-nightly", "model": "churn-scorer", "dataset": "crm-2026-09", "base_version": "2"}
    return {**given, "exclude": site.bad_rows, "trainer": "tara", **more}
