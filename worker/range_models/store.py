"""The secrets store of the range: a peer of Vault's HTTP API with a transit key, a secret and an AppRole."""

import uuid
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from activities.systems.vault.peer.app import VaultPeer
from activities.systems.vault.peer.state import Key, Role, State, Token, now
from worker.range_models.backends import Running
from worker.range_models.exchange import Wire
from worker.range_models.plan import TRANSIT_KEY, VAULT_ROLE, VAULT_SECRET, Plan
from worker.range_models.wires_cloud import vault

OLD = timedelta(days=800)
"""Age of what should have been replaced long ago."""


class SecretStore:
    """One simulated server.

    Attributes:
        url: Of the server itself.
        state: What it holds; settable.
    """

    def __init__(self, plan: Plan, running: Running) -> None:
        self._plan = plan
        self.state = State()
        self._peer = VaultPeer(self.state)
        self.state.transit["transit"] = {TRANSIT_KEY: Key({1: (AESGCM.generate_key(256), now() - OLD)})}
        self.state.put("secret", VAULT_SECRET, {"username": "models", "password": plan.tokens["business"]}, OLD)
        role = Role(policies=("models",))
        role.issue(now() - OLD)
        self.state.approle["approle"] = {VAULT_ROLE: role}
        for number in range(3):
            self.state.issue("auth/approle/login", ("models",), f"approle-{number}", 3600, {"role_name": VAULT_ROLE})
        self._ours = Token(
            plan.tokens["stanch"], str(uuid.UUID(int=plan.seed)), "auth/token/create", ("root",), "stanch"
        )
        self.state.add_token(self._ours)
        self.url = running.serve(self._peer)

    def wire(self) -> Wire:
        """How its requests are read."""
        return vault({self._plan.tokens["stanch"]: "stanch"}, lambda: list(self.state.live_leases()))

    def view(self) -> dict[str, Any]:
        """Its state, without secrets."""
        return self.state.view()

    def settings(self, url: str, token: str) -> dict[str, Any]:
        """What ``[systems.vault]`` must hold; ``url`` is the front's, ``token`` a reference."""
        return {"url": url, "token": token}
