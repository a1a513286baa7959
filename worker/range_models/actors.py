"""Who is at work around the model while Stanch acts: customers, a harvester, a thief of keys, the deployment."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from activities.systems.training.peer.customers import customers
from worker.range_models.callers import Asked, Caller
from worker.range_models.edge import PER_MINUTE
from worker.range_models.history import novel
from worker.range_models.plan import GOOD, PARTNER, THIEF
from worker.range_models.site import CANARY, Site
from worker.range_record import Record

PAUSE = 0.8
BATCH = 40
BUSIEST = PER_MINUTE / 60 * 2 / 3
"""Requests a second of the partner at most: it knows its limit, and keeps well under it however fast the machine is."""
ACTORS = {GOOD: "business", PARTNER: "business", THIEF: "attacker"}


@dataclass
class Met:
    """What an actor met so far."""

    asked: int = 0
    served: int = 0
    refused: int = 0
    broke: int = 0
    versions: list[str] = field(default_factory=list)
    """Versions in the order in which they first answered."""
    last: Asked | None = None

    def enter(self, asked: Asked) -> None:
        """Count an answer."""
        self.asked += 1
        self.served += asked.served
        self.refused += asked.refused
        self.broke += not asked.served and not asked.refused
        if asked.served and asked.version not in self.versions:
            self.versions.append(asked.version)
        self.last = asked


class ModelActors:
    """A thread for each, at its own pace, until stopped."""

    def __init__(self, site: Site, record: Record) -> None:
        self._site, self._record = site, record
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.met = {name: Met() for name in ACTORS}
        self.key_worked: bool | None = None
        """Whether the stolen key worked when it was last tried."""
        self.busiest = BUSIEST
        rng = random.Random(f"actors {site.plan.seed}")
        self._pool = [row.features for row in customers(site.plan.seed + 30, 50, site.plan.first_bad, site.plan.now)]
        self._rng = rng
        self._deployed = site.plan.versions[-1].number

    def start(self) -> None:
        """Everybody once, so that the gateway knows them; then each at its own pace."""
        for name in ACTORS:
            self.ask(name)
        self.try_key()
        turns: list[tuple[Callable[[], object], float]] = [
            *((lambda name=name: self.ask(name), PAUSE) for name in ACTORS),
            (self.try_key, 2 * PAUSE),
            (self.deploy, PAUSE),
            (self.hurry, PAUSE / 8),
        ]
        for turn, pause in turns:
            thread = threading.Thread(target=self._repeat, args=(turn, pause), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End, and wait for it."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=20)

    def ask(self, name: str) -> Asked:
        """One request of a caller, now."""
        caller: Caller = self._site.callers[name]
        thief = ACTORS[name] == "attacker"
        asked = caller.ask(novel(self._rng) if thief else self._rng.choice(self._pool), logprobs=thief)
        self.met[name].enter(asked)
        path = f"/v2/models/{self._site.plan.model}/infer"
        self._record.log(actor=ACTORS[name], system="gateway", method="POST", path=path, status=asked.status, read=[])
        return asked

    def try_key(self) -> bool:
        """Whether the stolen key works, tried by the thief through the same door as everybody."""
        self.key_worked, _ = self._site.cloud.works(self._site.cloud.stolen, self._site.fronts["aws"].url)
        return self.key_worked

    def deploy(self) -> None:
        """The company's deployment: what ``staged`` names is loaded by the canary server."""
        staged = self._site.looker.alias("staged")
        if not staged or staged == self._deployed:
            return
        url = f"{self._site.replicas[CANARY]}/v2/repository/models/{self._site.plan.model}/load"
        answer = httpx.post(url, json={}, timeout=60, trust_env=False)
        if answer.status_code == 200:
            self._deployed = staged
        self._record.log(
            actor="business",
            system="serving",
            method="POST",
            path=f"/{CANARY}/load",
            status=answer.status_code,
            read=[],
        )

    def rate(self) -> float:
        """Requests a second that the partner gets answered, at its busiest."""
        began = time.monotonic()
        asked = self._hurry()
        return len(asked) / max(0.01, time.monotonic() - began)

    def hurry(self) -> None:
        """The partner's busy hours begin once a new canary is deployed: a day's requests in seconds."""
        if self._deployed != self._site.plan.versions[-1].number:
            self._hurry()

    def _hurry(self) -> list[Asked]:
        began = time.monotonic()
        asked = self._site.callers[PARTNER].ask_many([self._rng.choice(self._pool) for _ in range(BATCH)])
        for one in asked:
            self.met[PARTNER].enter(one)
        self._stopped.wait(len(asked) / self.busiest - (time.monotonic() - began))
        return asked

    def _repeat(self, turn: Callable[[], object], pause: float) -> None:
        while not self._stopped.wait(pause):
            try:
                turn()
            except (httpx.HTTPError, OSError):
                # A fault switch cut it off, or the range is going away.
                continue
