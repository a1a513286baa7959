"""A real MLflow server with a database and files of its own, on a free port of 127.0.0.1."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from worker.servers.process import Process, free_port, quiet

PATIENCE_SECONDS = 120.0
DATABASE = "mlflow.db"


class MlflowServer:
    """From ``start`` to ``stop``, or as a context manager; ``url`` is where it answers.

    The first start in a folder migrates an empty database, which takes most of its time.
    """

    def __init__(self, executable: Path, folder: Path, env: Mapping[str, str] = os.environ) -> None:
        """``executable`` is MLflow's own command; ``folder`` holds its database, its files and its log."""
        self._executable, self._folder, self._env = executable, folder, env
        self._process: Process | None = None
        self.url = ""

    def __enter__(self) -> "MlflowServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Start it and wait until it answers; its URL.

        Raises:
            ServerFailed: It ended, or was not ready in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            str(self._executable),
            "server",
            f"--backend-store-uri=sqlite:///{(self._folder / DATABASE).absolute()}",
            f"--artifacts-destination={(self._folder / 'artifacts').absolute()}",
            "--host=127.0.0.1",
            f"--port={port}",
            "--workers=1",
        ]
        env = {
            **quiet(self._env),
            # Without the first it starts eight more processes for jobs that nobody gives it.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "GIT_PYTHON_REFRESH": "quiet",
            "PATH": f"{self._executable.parent}{os.pathsep}{self._env.get('PATH', os.defpath)}",
        }
        self._process = Process(
            command, env, self._folder / "mlflow.log", f"{self.url}/health", PATIENCE_SECONDS, self._folder
        )
        self._process.start()
        return self.url

    def stop(self) -> None:
        """End it; its folder stays."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()
