"""Fills a registry, simulated or real, over its own REST: for tests and for the range's world.

site = Seeding("http://127.0.0.1:5000")
site.model("churn-scorer", consumers="crm-sync")
number = site.version("churn-scorer", {"model.safetensors": b"…"}, tags={"builder": "builder-1"})
site.alias("churn-scorer", "champion", number)
"""

import hashlib
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from activities.systems.mlflow.release import MANIFEST, PARTS, release_digest

API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
FOLDER = "model"


def release_of(files: Mapping[str, bytes], parts: Mapping[str, str]) -> dict[str, Any]:
    """A release manifest: part name to the file that it is; a part that is not named is absent."""
    return {
        part: {"path": parts[part], "sha256": hashlib.sha256(files[parts[part]]).hexdigest()} if part in parts else None
        for part in PARTS
    }


class Seeding:
    """A registry that is being filled."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        """``headers`` go with every request, such as ``Authorization``."""
        self._client = httpx.Client(
            base_url=url, headers=dict(headers or {}), timeout=60, trust_env=False, verify=url.startswith("https:")
        )

    def __enter__(self) -> "Seeding":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def call(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        """One request below ``/api/2.0/mlflow/``.

        Raises:
            httpx.HTTPStatusError: It was not answered with a success.
        """
        where = f"{API}/{path}"
        if method == "GET":
            answer = self._client.get(where, params=given)
        else:
            answer = self._client.request(method, where, json=given)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def model(self, name: str, **tags: str) -> None:
        """A new registered model."""
        self.call("POST", "registered-models/create", name=name, tags=_pairs(tags))

    def experiment(self, name: str) -> str:
        """The id of an experiment, made if there is none."""
        try:
            known = self.call("GET", "experiments/get-by-name", experiment_name=name)
            return str(known["experiment"]["experiment_id"])
        except httpx.HTTPStatusError:
            return str(self.call("POST", "experiments/create", name=name)["experiment_id"])

    def run(
        self,
        experiment: str,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """A finished run: ``{"run_id", "artifact_uri"}``."""
        number = self.experiment(experiment)
        made = self.call("POST", "runs/create", experiment_id=number, start_time=1, tags=_pairs(tags or {}))
        info = made["run"]["info"]
        logged = [{"key": key, "value": value, "timestamp": 1, "step": 0} for key, value in (metrics or {}).items()]
        self.call("POST", "runs/log-batch", run_id=info["run_id"], metrics=logged, params=_pairs(params or {}))
        self.call("POST", "runs/update", run_id=info["run_id"], status="FINISHED", end_time=2)
        return {"run_id": str(info["run_id"]), "artifact_uri": str(info["artifact_uri"])}

    def version(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        tags: Mapping[str, str] | None = None,
        parts: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> str:
        """A new version with its files; its number.

        Args:
            name: The registered model.
            files: Path to bytes.
            tags: Of the version.
            parts: Which files make up the release set; ``release.json`` and the tag ``release_digest`` are made of it.
            metrics: Of the run that logs it, which becomes the tag ``eval_run`` unless ``tags`` name another.
        """
        content, given = dict(files), dict(tags or {})
        if parts is not None:
            manifest = release_of(files, parts)
            content[MANIFEST] = json.dumps(manifest, indent=1).encode()
            given.setdefault("release_digest", release_digest(manifest))
        run = self.run(f"{name}-training", metrics)
        if metrics:
            given.setdefault("eval_run", run["run_id"])
        for path, data in content.items():
            self.file(f"{run['artifact_uri']}/{FOLDER}", path, data)
        made = self.call(
            "POST",
            "model-versions/create",
            name=name,
            source=f"{run['artifact_uri']}/{FOLDER}",
            run_id=run["run_id"],
            tags=_pairs(given),
        )
        return str(made["model_version"]["version"])

    def file(self, place: str, path: str, content: bytes) -> None:
        """Write a file below an ``mlflow-artifacts:/`` place."""
        whole = f"{place.removeprefix('mlflow-artifacts:/').strip('/')}/{path}"
        self._client.put(f"{PROXY}/{quote(whole)}", content=content).raise_for_status()

    def place(self, name: str, number: str) -> str:
        """Where a version's files lie."""
        found = self.call("GET", "model-versions/get-download-uri", name=name, version=number)
        return str(found["artifact_uri"])

    def alias(self, name: str, alias: str, number: str) -> None:
        """Point an alias to a version."""
        self.call("POST", "registered-models/alias", name=name, alias=alias, version=number)

    def tag(self, name: str, number: str, key: str, value: str) -> None:
        """Set a tag of a version."""
        self.call("POST", "model-versions/set-tag", name=name, version=number, key=key, value=value)


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]
