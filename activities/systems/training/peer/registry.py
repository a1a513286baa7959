"""Puts a trained version into MLflow over its REST interface, as a trainer does: run, files, version, tags.

Endpoints as in MLflow's REST reference (https://mlflow.org/docs/latest/rest-api.html) and, for files, those of its
artifact proxy (``mlflow-artifacts``). Synchronous; used from a thread.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from activities.systems.training.peer.customers import Snapshot
from activities.systems.training.peer.release import Built, stamp

API, FILES = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
FOLDER = "release"


class RegistryRefused(Exception):
    """MLflow did not do what was asked; the message says what."""


class Registered(NamedTuple):
    """A version in the registry and the run that holds its evaluation."""

    version: str
    run: str


class MlflowLog:
    """One MLflow server, as a trainer's account sees it."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._http = httpx.Client(base_url=url, headers=dict(headers or {}), timeout=30, trust_env=False)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def release_digest(self, model: str, version: str) -> str | None:
        """The release digest of a version, from its tag; ``None`` if there is no such version.

        Raises:
            RegistryRefused: It does not answer.
        """
        query = {"name": model, "version": version}
        answer = self._ask("GET", f"{API}/model-versions/get", params=query, known=("RESOURCE_DOES_NOT_EXIST",))
        if answer is None:
            return None
        tags = {str(tag["key"]): str(tag.get("value", "")) for tag in answer["model_version"].get("tags", ())}
        return tags.get("release_digest", "")

    def register(
        self,
        model: str,
        built: Built,
        *,
        taken: Snapshot,
        builder: str,
        built_at: datetime,
        trainer: str,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        evaluated: bool = True,
    ) -> Registered:
        """Log a run with metrics and files, and register its files as a new version.

        Args:
            taken: What it was trained on.
            builder: Who or what built it.
            built_at: When.
            trainer: The person in whose name.
            params: Of the run, such as a job's inputs.
            tags: Further tags of the version.
            evaluated: Whether the version names the run as its evaluation.

        Raises:
            RegistryRefused: A step was refused; what was logged before it stays.
        """
        at = int(built_at.timestamp() * 1000)
        run = self._ask(
            "POST",
            f"{API}/runs/create",
            json={"experiment_id": self._experiment(model), "start_time": at, "run_name": f"train-{taken.id}"},
        )["run"]["info"]
        metrics = [{"key": key, "value": value, "timestamp": at, "step": 0} for key, value in built.metrics.items()]
        given = [{"key": key, "value": value} for key, value in (params or {}).items()]
        body = {"run_id": run["run_id"], "metrics": metrics, "params": given}
        self._ask("POST", f"{API}/runs/log-batch", json=body)
        place = run["artifact_uri"].removeprefix("mlflow-artifacts:").strip("/")
        for path, content in built.files.items():
            target = quote(f"{place}/{FOLDER}/{path}")
            self._ask("PUT", f"{FILES}/{target}", content=content)
        done = {"run_id": run["run_id"], "status": "FINISHED", "end_time": at}
        self._ask("POST", f"{API}/runs/update", json=done)
        known = {
            "builder": builder,
            "built_at": stamp(built_at),
            "dataset": taken.id,
            "dataset_at": taken.taken_at,
            "trainer": trainer,
            "release_digest": built.digest,
            **({"eval_run": run["run_id"]} if evaluated else {}),
            **(tags or {}),
        }
        self._ask("POST", f"{API}/registered-models/create", json={"name": model}, known=("RESOURCE_ALREADY_EXISTS",))
        made = self._ask(
            "POST",
            f"{API}/model-versions/create",
            json={
                "name": model,
                "source": f"{run['artifact_uri']}/{FOLDER}",
                "run_id": run["run_id"],
                "tags": [{"key": key, "value": value} for key, value in known.items()],
            },
        )["model_version"]
        self._ready(model, str(made["version"]))
        return Registered(str(made["version"]), run["run_id"])

    def _ready(self, model: str, version: str) -> None:
        """Wait until a version that is registered asynchronously is there to be used."""
        for _ in range(50):
            query = {"name": model, "version": version}
            found = self._ask("GET", f"{API}/model-versions/get", params=query)["model_version"]
            if found.get("status", "READY") == "READY":
                return
            time.sleep(0.1)
        raise RegistryRefused("MLflow has not made the version ready")

    def _experiment(self, name: str) -> str:
        query = {"experiment_name": name}
        known = ("RESOURCE_DOES_NOT_EXIST",)
        found = self._ask("GET", f"{API}/experiments/get-by-name", params=query, known=known)
        if found is not None:
            return str(found["experiment"]["experiment_id"])
        made = self._ask("POST", f"{API}/experiments/create", json={"name": name}, known=("RESOURCE_ALREADY_EXISTS",))
        return str(made["experiment_id"]) if made else self._experiment(name)

    def _ask(self, method: str, path: str, known: tuple[str, ...] = (), **more: Any) -> Any:
        """The answer's JSON; ``None`` for a refusal whose code is known."""
        try:
            answer = self._http.request(method, path, **more)
            body = answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise RegistryRefused(f"MLflow, {method} {path}: {type(error).__name__}") from None
        if answer.is_success:
            return body
        code = body.get("error_code", "") if isinstance(body, dict) else ""
        if code in known:
            return None
        raise RegistryRefused(f"MLflow, {method} {path}: {answer.status_code} {code}")
