"""A registry of one model, an admission list, and two replicas that serve what the registry says.

The replicas are simulated or real MLServers; each stands behind a front with faults. Registry and OPA are the few
calls that a replica makes of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from activities.systems.mlflow.peer.seeding import release_of
from activities.systems.serving.client import Serving, connect
from activities.systems.serving.peer.app import ServingPeer
from activities.systems.serving.peer.replica import Place, Replica, canonical_digest
from activities.systems.training.peer import churn
from tests.systems.faulty import Faulty
from worker.range_server import LoopbackServer
from worker.secrets import Secrets

MODEL = "churn-scorer"


def weights(bias: float) -> bytes:
    """Weights that give everybody nearly one score."""
    return churn.write_tensors({"bias": [bias], "campaign": [0.0] * 16, "numeric": [0.1, 0.2, -0.3]}, {})


def release(bias: float) -> dict[str, bytes]:
    """The files of a version, with its release set."""
    files = {"model.safetensors": weights(bias), "serving/config.json": b'{"batch": 8}'}
    manifest = release_of(files, {"weights": "model.safetensors", "serving_config": "serving/config.json"})
    return {"release.json": json.dumps(manifest).encode(), **files}


class Registry:
    """The three calls of MLflow that a replica makes, and OPA's decision on a digest; an ASGI application."""

    def __init__(self) -> None:
        self.versions: dict[str, dict[str, bytes]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.reset()

    def reset(self) -> None:
        """Five versions, of which the newest is the champion; nothing is denied, nothing is down."""
        self.versions = {str(number): release(number / 10) for number in range(1, 6)}
        self.tags = {version: {"release_digest": self.digest(version)} for version in self.versions}
        self.champion: str | None = "5"
        self.denied: list[str] = []
        self.down, self.policy = False, True

    def digest(self, version: str) -> str:
        """Release digest of a version."""
        return canonical_digest(json.loads(self.versions[version]["release.json"]))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        body = json.loads((await receive()).get("body") or b"{}")
        content = None if self.down else self._content(scope["path"], query, body)
        headers = [(b"content-length", str(len(content or b"")).encode())]
        await send({"type": "http.response.start", "status": 404 if content is None else 200, "headers": headers})
        await send({"type": "http.response.body", "body": content or b""})

    def _content(self, path: str, query: Mapping[str, str], body: Mapping[str, Any]) -> bytes | None:
        if path == "/v1/data/stanch/admission":
            said = {"result": {"allow": body["input"]["digest"] not in self.denied}}
            return json.dumps(said if self.policy else {}).encode()
        if path.endswith("/registered-models/alias"):
            if self.champion is None:
                return None
            tags = [{"key": key, "value": value} for key, value in self.tags[self.champion].items()]
            return json.dumps({"model_version": {"version": self.champion, "tags": tags}}).encode()
        if path.endswith("/model-versions/get-download-uri"):
            return json.dumps({"artifact_uri": f"mlflow-artifacts:/1/v{query['version']}/artifacts"}).encode()
        folder, _, name = path.removeprefix("/api/2.0/mlflow-artifacts/artifacts/1/v").partition("/artifacts/")
        return self.versions.get(folder, {}).get(name)


class Site:
    """Registry, two replicas behind fronts, and clients of them."""

    def __init__(self, registry: Registry, fronts: list[Faulty], urls: list[str], logs: Path) -> None:
        self.registry, self.fronts, self.urls, self.logs = registry, fronts, urls, logs
        self.peers: list[ServingPeer] = []
        self._clients: list[Serving] = []
        self._own: Serving | None = None

    @property
    def names(self) -> list[str]:
        """Of the replicas."""
        return [url.removeprefix("http://") for url in self.urls]

    def client(self, **changes: Any) -> Serving:
        """A client of both replicas."""
        settings = {"replicas": self.urls, "read_timeout": 15, "load_timeout": 15, "settle_seconds": 0.1, **changes}
        made = connect(settings, Secrets({"TOKEN": "t-serving"}, Path()))
        self._clients.append(made)
        return made

    def served(self) -> list[str]:
        """Version that each replica answers with."""
        return [one.version for one in self._watching().ask_all(MODEL)]

    def loads(self) -> list[int]:
        """How often each replica was asked to load."""
        return [front.asked("/load$", "POST") for front in self.fronts]

    def lines(self) -> list[dict[str, Any]]:
        """The inference log of both replicas."""
        files = sorted(self.logs.glob("*.jsonl"))
        return [json.loads(line) for path in files for line in path.read_text().splitlines()]

    def reset(self) -> None:
        """As at the start: no faults, version 5 on both replicas, nothing logged."""
        self.registry.reset()
        for front in self.fronts:
            front.clear()
        client = self._watching()
        for replica in client.replicas:
            if not client.ask(replica, MODEL).is_exactly("5", None):
                client.load(replica, MODEL)
        for front in self.fronts:
            front.requests.clear()
        for path in self.logs.glob("*.jsonl"):
            path.unlink()

    def _watching(self) -> Serving:
        """A client that stays."""
        if self._own is None:
            self._own = self.client()
        return self._own

    def close(self) -> None:
        """Close every client."""
        for client in self._clients:
            client.close()


def place(registry: str, logs: Path, name: str) -> dict[str, Any]:
    """Where a replica gets its model from."""
    return {"registry": registry, "model": MODEL, "opa": registry, "logs": str(logs), "name": name}


def peer(registry: str, logs: Path, name: str) -> ServingPeer:
    """A simulated replica."""
    return ServingPeer(Replica(Place(**place(registry, logs, name)), churn.load))


def fronted(behind: list[Any]) -> tuple[list[Faulty], list[LoopbackServer], list[str]]:
    """A front with faults before each server, and their addresses."""
    fronts = [Faulty(one) for one in behind]
    servers = [LoopbackServer(front) for front in fronts]
    return fronts, servers, [server.open() for server in servers]
