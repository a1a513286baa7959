"""Who is at work in the range while Stanch acts: the attacker and the innocent integration, over HTTP."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from worker.range_world import World

PAUSE = 0.8
API = "/services/data/v65.0"


@dataclass
class Seen:
    """What an actor met."""

    asked: int = 0
    refused: int = 0
    locked_out: bool = False


class Actors:
    """Two threads, each at its own pace, until stopped."""

    def __init__(self, world: World, url: str) -> None:
        self._world, self._url = world, url
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.attacker, self.business = Seen(), Seen()

    def start(self) -> None:
        """Begin."""
        for turn in (self._attack, self._work):
            thread = threading.Thread(target=self._repeat, args=(turn,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End, and wait for it."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def work_once(self) -> bool:
        """One request of the innocent integration, now; whether it was served."""
        with self._client() as client:
            return self._work(client)

    def attack_once(self) -> bool:
        """One try of the attacker, now; whether anything still works."""
        with self._client() as client:
            return self._attack(client)

    def _repeat(self, turn: Callable[[httpx.Client], bool]) -> None:
        with self._client() as client:
            while not self._stopped.wait(PAUSE):
                try:
                    turn(client)
                except httpx.HTTPError:
                    # A fault switch cut it off, or the range is going away.
                    continue

    def _client(self) -> httpx.Client:
        host = {"Host": self._world.org.host}
        return httpx.Client(base_url=self._url, headers=host, timeout=10, trust_env=False)

    def _work(self, client: httpx.Client) -> bool:
        world = self._world
        session = next(
            (found for found in list(world.org.sessions.values()) if found.grant == world.innocent_grant.id), None
        )
        self.business.asked += 1
        if session is None:
            self.business.refused += 1
            return False
        answer = client.get(
            f"{API}/query",
            params={"q": "SELECT Id, Name FROM Account LIMIT 5"},
            headers={"Authorization": f"Bearer {session.token}"},
        )
        self.business.refused += answer.status_code != 200
        return answer.status_code == 200

    def _attack(self, client: httpx.Client) -> bool:
        """Read on with any stolen session that still works; without one, try every refresh token."""
        world = self._world
        self.attacker.asked += 1
        for session in world.attacker_sessions:
            if session.actor != "attacker":
                continue
            answer = client.get(
                f"{API}/query",
                params={"q": "SELECT COUNT() FROM Case"},
                headers={"Authorization": f"Bearer {session.token}"},
            )
            if answer.status_code == 200:
                self.attacker.locked_out = False
                return True
        self.attacker.refused += 1
        for grant in world.stolen_grants:
            answer = client.post(
                "/services/oauth2/token",
                data={
                    "grant_type": "refresh_token",
                    "refresh_token": grant.refresh_token,
                    "client_id": world.stolen.consumer_key,
                    "client_secret": world.stolen.consumer_secret,
                },
            )
            if answer.status_code == 200:
                self.attacker.locked_out = False
                return True
        self.attacker.locked_out = True
        return False
