"""A registry to test against: the simulated one, or a real MLflow server; both behind a front with faults."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from activities.systems.mlflow import signing
from activities.systems.mlflow.client import Mlflow, connect, connect_reading
from activities.systems.mlflow.config import Signing
from activities.systems.mlflow.peer.seeding import Seeding
from tests.systems.faulty import Faulty
from worker.range_server import LoopbackServer
from worker.secrets import Secrets

PARTS = {
    "weights": "model.safetensors",
    "tokenizer": "tokenizer.json",
    "prompt": "prompt.txt",
    "index": "index.json",
    "serving_config": "serving/config.json",
}


class Key:
    """A key pair on P-256, as PEM."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PrivateFormat.PKCS8
        self.key = key
        self.private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public = key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


OLD, NEW, STRANGER = Key(), Key(), Key()
PEER_ONLY = pytest.mark.parametrize("registry_place", ["peer"], indirect=True, scope="module")
"""For tests whose wire others look at on the real registry too."""
_names = itertools.count(1)


def files(seed: int = 1) -> dict[str, bytes]:
    """The files of a version; they differ by seed."""
    return {
        "model.safetensors": b"weights %d" % seed,
        "tokenizer.json": json.dumps({"seed": seed}).encode(),
        "prompt.txt": b"Score the customer.",
        "index.json": b"[]",
        "serving/config.json": b'{"batch": 8}',
        "README.md": b"# A model",
    }


class Place:
    """A registry behind a front with faults, on a port of its own, for all tests of a file."""

    def __init__(self, behind: Any) -> None:
        self.faults = Faulty(behind)
        self._server = LoopbackServer(self.faults)
        self.url = ""

    def __enter__(self) -> "Place":
        self.url = self._server.open()
        self.hand = Seeding(self.url)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.hand.close()
        self._server.close()


class Site:
    """One registry with a model of its own, and Stanch's client of it.

    The model's name is new for each site, since the registry is shared by the tests of a file.
    """

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder = place, folder
        self.faults = place.faults
        self.name = f"churn-{next(_names)}"
        self.url, self.hand = place.url, place.hand
        self._clients: list[Mlflow] = []

    def __enter__(self) -> "Site":
        self.faults.clear()
        self.faults.requests.clear()
        self.hand.model(self.name, consumers="crm-sync, partner-atlas")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for client in self._clients:
            client.close()

    def settings(self, **changes: Any) -> dict[str, Any]:
        """What ``[systems.mlflow]`` holds; it signs with ``NEW``, and trusts it and ``OLD``."""
        signing = {
            "trusted": [
                {"name": "release-2025", "public_key": OLD.public},
                {"name": "release-2026", "public_key": NEW.public},
            ],
            "key": "secret:env/SIGNING_KEY",
            "key_name": "release-2026",
        }
        return {"url": self.url, "read_timeout": 10, "signing": signing, **changes}

    def client(self, *, reading: bool = False, env: Mapping[str, str] | None = None, **changes: Any) -> Mlflow:
        """A client; closed with the site."""
        made = (connect_reading if reading else connect)(
            self.settings(**changes), Secrets({"SIGNING_KEY": NEW.private, **(env or {})}, self.folder)
        )
        self._clients.append(made)
        return made

    def version(self, seed: int = 1, content: Mapping[str, bytes] | None = None, **more: Any) -> str:
        """A new version with a whole release set."""
        more.setdefault("parts", PARTS)
        return self.hand.version(self.name, files(seed) if content is None else content, **more)

    def versions(self, count: int) -> list[str]:
        """Some, each with files of its own."""
        return [self.version(seed) for seed in range(1, count + 1)]

    def point(self, number: str, alias: str = "champion") -> None:
        """Somebody points an alias to a version."""
        self.hand.alias(self.name, alias, number)

    def alias(self, alias: str = "champion") -> str | None:
        """Where it points to now."""
        found = self.hand.call("GET", "registered-models/get", name=self.name)["registered_model"]
        return {row["alias"]: row["version"] for row in found.get("aliases", [])}.get(alias)

    def tags(self, number: str) -> dict[str, str]:
        """Of a version, now."""
        found = self.hand.call("GET", "model-versions/get", name=self.name, version=number)["model_version"]
        return {row["key"]: row.get("value", "") for row in found.get("tags", [])}

    def model_tags(self) -> dict[str, str]:
        """Of the model, now."""
        found = self.hand.call("GET", "registered-models/get", name=self.name)["registered_model"]
        return {row["key"]: row.get("value", "") for row in found.get("tags", [])}

    def sign(self, number: str, key: Key = OLD, file: str = "model.sig") -> None:
        """Somebody signs a version."""
        client = self.client()
        version = client.version(self.name, number)
        with signing.downloaded(client, version) as folder:
            content = signing.sign(folder, Signing(file=file), key.private)
        self.write(number, file, content)

    def there(self, number: str) -> set[str]:
        """Names of a version's files."""
        client = self.client()
        return {artifact.path for artifact in client.artifacts(client.version(self.name, number))}

    def write(self, number: str, path: str, content: bytes) -> None:
        """Somebody writes a file of a version."""
        self.hand.file(self.hand.place(self.name, number), path, content)
