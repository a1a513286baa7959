"""A Vault to test against, simulated or real alike: mounts of its own, set up by an administrator through hvac.

On a real server (``--live=vault``) the administrator's token is ``VAULT_TOKEN``; what is made there is named
``stanch-test-…`` and taken away again.
"""

import base64
import contextlib
import json
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hvac

from activities.systems.vault.client import Vault, connect, connect_reading
from activities.systems.vault.peer.app import VaultPeer
from tests.systems.faulty import Faulty
from worker.range_server import LoopbackServer
from worker.secrets import Secrets


def policy(kv: str, transit: str, approle: str) -> dict[str, Any]:
    """What Stanch's token may do, as docs/operations.md lists it."""
    rights = {
        f"{transit}/keys": ["list"],
        f"{transit}/keys/*": ["list", "read", "update"],
        f"{kv}/data/*": ["create", "read", "update"],
        f"{kv}/metadata": ["list"],
        f"{kv}/metadata/*": ["list", "read", "update"],
        f"auth/{approle}/role": ["list"],
        f"auth/{approle}/role/*": ["list", "read", "update"],
        "sys/leases/lookup/*": ["list", "sudo"],
        "sys/leases/revoke-prefix/*": ["update", "sudo"],
    }
    return {"path": {path: {"capabilities": capabilities} for path, capabilities in rights.items()}}


class VaultSite:
    """One server with mounts of this test. ``peer`` is the simulated one, if it is that."""

    def __init__(self, url: str, root: str, peer: VaultPeer | None) -> None:
        self.url, self.peer = url, peer
        self.tag = f"stanch-test-{uuid.uuid4().hex[:8]}"
        self.kv, self.transit, self.approle = f"{self.tag}-kv", f"{self.tag}-transit", f"{self.tag}-approle"
        self.admin = hvac.Client(url=url, token=root)
        self.admin.sys.enable_secrets_engine("kv", path=self.kv, options={"version": "2"})
        self.admin.sys.enable_secrets_engine("transit", path=self.transit)
        self.admin.sys.enable_auth_method("approle", path=self.approle)
        self.allow(self.tag, policy(self.kv, self.transit, self.approle))
        self.token = self.admin.auth.token.create(policies=[self.tag], ttl="10m")["auth"]["client_token"]
        self._closing = ExitStack()
        self.faulty: Faulty | None = None

    def close(self) -> None:
        """Take everything away again."""
        self._closing.close()
        for remove, name in (
            (self.admin.sys.disable_secrets_engine, self.kv),
            (self.admin.sys.disable_secrets_engine, self.transit),
            (self.admin.sys.disable_auth_method, self.approle),
        ):
            with contextlib.suppress(hvac.exceptions.VaultError):
                remove(name)

    def allow(self, name: str, rights: dict[str, Any]) -> None:
        """Set a policy."""
        self.admin.sys.create_or_update_acl_policy(name, policy=json.dumps(rights))

    def client(self, *, reading: bool = False, env: dict[str, str] | None = None, **changes: Any) -> Vault:
        """Stanch's client."""
        settings = {
            "url": self.url,
            "token": "secret:env/TOKEN",
            "kv_mount": self.kv,
            "transit_mount": self.transit,
            "approle_mount": self.approle,
            "login_mount": self.approle,
            **changes,
        }
        secrets = Secrets({"TOKEN": self.token, **(env or {})}, Path())
        client = (connect_reading if reading else connect)(
            {name: value for name, value in settings.items() if value is not None}, secrets
        )
        self._closing.callback(client.close)
        return client

    def faulted(self) -> Vault:
        """A client through a front that can be told to fail."""
        self.faulty = Faulty(self.peer or self.url)
        front = LoopbackServer(self.faulty)
        self._closing.callback(front.close)
        return self.client(endpoint=front.open())

    # What the company keeps there

    def put(self, path: str, **values: str) -> None:
        """A new version of a secret."""
        self.admin.secrets.kv.v2.create_or_update_secret(path, values, mount_point=self.kv)

    def get(self, path: str) -> dict[str, str]:
        """The values of a secret."""
        found = self.admin.secrets.kv.v2.read_secret_version(path, mount_point=self.kv, raise_on_deleted_version=True)
        return dict(found["data"]["data"])

    def metadata(self, path: str) -> dict[str, Any]:
        """A secret's metadata."""
        return dict(self.admin.secrets.kv.v2.read_secret_metadata(path, mount_point=self.kv)["data"])

    def key(self, name: str) -> None:
        """A new transit key."""
        self.admin.secrets.transit.create_key(name, mount_point=self.transit)

    def encrypt(self, name: str, text: str) -> str:
        """With the key's newest version."""
        plain = base64.b64encode(text.encode()).decode()
        found = self.admin.secrets.transit.encrypt_data(name, plain, mount_point=self.transit)
        return str(found["data"]["ciphertext"])

    def decrypt(self, name: str, sealed: str) -> str:
        """What was encrypted."""
        found = self.admin.secrets.transit.decrypt_data(name, sealed, mount_point=self.transit)
        return base64.b64decode(found["data"]["plaintext"]).decode()

    def role(self, name: str, policies: tuple[str, ...] = ()) -> str:
        """A new AppRole; its role id."""
        roles = self.admin.auth.approle
        roles.create_or_update_approle(name, token_policies=list(policies), token_ttl="10m", mount_point=self.approle)
        return str(roles.read_role_id(name, mount_point=self.approle)["data"]["role_id"])

    def secret_id(self, role: str) -> str:
        """A new secret id of a role."""
        found = self.admin.auth.approle.generate_secret_id(role, mount_point=self.approle)
        return str(found["data"]["secret_id"])

    def login(self, role_id: str, secret_id: str) -> hvac.Client:
        """Somebody who signs in by AppRole."""
        somebody = hvac.Client(url=self.url, token="")
        somebody.auth.approle.login(role_id, secret_id, mount_point=self.approle)
        return somebody
