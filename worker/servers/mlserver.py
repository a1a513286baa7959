"""A real MLServer that serves the range's model: its settings, its runtime, its process.

The runtime's files are copied beside the model's settings, since MLServer runs in an environment of its own. What the
alias names is loaded after the start, and whenever the model repository's ``load`` is asked for.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

import activities.systems
from worker.servers.obtain import needed
from worker.servers.process import Process, free_port, quiet

RUNTIME = ("serving/peer/mlserver_model.py", "serving/peer/replica.py", "training/peer/churn.py")
INPUTS = [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
START_SECONDS = 60.0


class MlServer:
    """From ``start`` to ``stop``, or as a context manager; ``url`` is its REST address.

    ``place`` is what ``activities.systems.serving.peer.replica.Place`` takes: ``registry``, ``model`` and, as wanted,
    ``alias``, ``token_file``, ``opa``, ``opa_token_file``, ``logs``, ``name``, ``rotate_bytes``. Secrets are in files
    only.
    """

    def __init__(
        self, folder: Path, place: Mapping[str, Any], *, env: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        """``folder`` is its own: settings, runtime and its log lie there.

        Raises:
            NotObtained: MLServer is not here; the message says how to get it.
        """
        self._folder, self._place = folder, dict(place)
        self._env = dict(os.environ if env is None else env)
        self._executable = needed("mlserver", self._env)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: Process | None = None

    def __enter__(self) -> "MlServer":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Write the settings, start, wait until it answers. It answers also where the model could not be loaded.

        Raises:
            ServerFailed: It ended, or did not answer in time.
        """
        self._write()
        env = {**quiet(self._env), "NO_PROXY": "127.0.0.1"}
        self._process = Process(
            [str(self._executable), "start", str(self._folder)],
            env,
            self._folder / "mlserver.log",
            f"{self.url}/v2/health/live",
            START_SECONDS,
            self._folder,
        )
        self._process.start()
        self.load()

    def load(self) -> bool:
        """Load what the alias names now; whether it could."""
        url = f"{self.url}/v2/repository/models/{self._place['model']}/load"
        try:
            return httpx.post(url, json={}, timeout=START_SECONDS, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        """End it. Does nothing the second time."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def _write(self) -> None:
        model = self._folder / str(self._place["model"])
        model.mkdir(parents=True, exist_ok=True)
        systems = Path(activities.systems.__path__[0])
        for source in RUNTIME:
            shutil.copy(systems / source, model / Path(source).name)
        settings = {
            "debug": False,
            "host": "127.0.0.1",
            "http_port": self.port,
            "grpc_port": free_port(),
            # At its start MLServer ends itself where a model cannot be loaded: one denied at admission, or an alias
            # that is not there yet, would take the whole server away.
            "load_models_at_startup": False,
            # Its metrics would be on a third port, for nobody.
            "metrics_endpoint": None,
            # In one process: a model is small, and workers of their own would each keep a copy that a reload may miss.
            "parallel_workers": 0,
        }
        (self._folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        known = {
            "name": self._place["model"],
            "implementation": "mlserver_model.RegistryModel",
            "inputs": INPUTS,
            "parameters": {"extra": self._place},
        }
        (model / "model-settings.json").write_text(json.dumps(known), encoding="utf-8")
