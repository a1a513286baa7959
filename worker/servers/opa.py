"""OPA with the gateway's reference policy, as a child process."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from activities.systems.gateway.layout import CODE, POLICIES
from worker.servers.obtain import needed
from worker.servers.process import Process, free_port, quiet


class OpaServer:
    """From ``start`` to ``stop``, or as a context manager. It starts from a file of data, which it never writes.

    Attributes:
        url: Its API.
    """

    def __init__(self, data: Path, log: Path, *, token: str, env: Mapping[str, str] = os.environ) -> None:
        """``token`` is asked for by all but decisions.

        Raises:
            NotObtained: OPA is not installed.
        """
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [str(needed("opa", env)), "run", "--server", "--skip-version-check", f"--addr=127.0.0.1:{port}"]
        command += ["--authentication=token", "--authorization=basic", "--log-level=error"]
        command += [*(str(CODE / name) for name in POLICIES), str(data)]
        self.process = Process(command, {**quiet(env), "GATEWAY_OPA_TOKEN": token}, log, f"{self.url}/health")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start()

    def stop(self) -> None:
        """End it."""
        self.process.stop()

    def __enter__(self) -> "OpaServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
