"""HAProxy with the reference configuration of a gateway, as a child process."""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from activities.systems.gateway.layout import CODE, LOG
from activities.systems.gateway.runtime import Runtime
from worker.servers.obtain import needed
from worker.servers.process import Process, ServerFailed, free_port, quiet

PATIENCE = 20.0
NOWHERE = "127.0.0.1:9"
"""Where no canary is: its port takes no connection, so the gateway knows it as down."""


class HaproxyServer:
    """From ``start`` to ``stop``, or as a context manager, on a folder that ``layout.prepare`` has made.

    Attributes:
        url: As clients reach it.
        socket: Its runtime API.
    """

    def __init__(
        self,
        folder: Path,
        *,
        opa: str,
        replicas: tuple[str, str],
        canary: str | None = None,
        port: int | None = None,
        env: Mapping[str, str] = os.environ,
    ) -> None:
        """``replicas`` and ``canary`` are ``ADDRESS:PORT`` of model servers; ``opa`` is a URL.

        Raises:
            NotObtained: HAProxy is not installed.
        """
        self.folder = folder
        port = port or free_port()
        self.url = f"https://127.0.0.1:{port}"
        # Sockets have short paths: a folder of a user may be too deep for one.
        self._run = Path(tempfile.mkdtemp(prefix="stanch-"))
        self.socket = str(self._run / "admin.sock")
        self._master = str(self._run / "master.sock")
        variables = {
            "GATEWAY_FOLDER": str(folder),
            "GATEWAY_RUN": str(self._run),
            "GATEWAY_CODE": str(CODE),
            "GATEWAY_BIND": f"127.0.0.1:{port}",
            "GATEWAY_OPA": opa,
            "GATEWAY_REPLICA1": replicas[0],
            "GATEWAY_REPLICA2": replicas[1],
            "GATEWAY_CANARY": canary or NOWHERE,
            "GATEWAY_LOG": str(folder / LOG),
        }
        binary = str(needed("haproxy", env))
        # Its standard output is the log of requests, but for a word at each reload; its errors go to the other log.
        command = ["/bin/sh", "-c", '"$@" | grep --line-buffered "^{" >>"$GATEWAY_LOG"', "sh"]
        command += [binary, "-W", "-S", f"{self._master},mode,600", "-f", str(CODE / "haproxy.cfg")]
        self.process = Process(
            command, {**quiet(env), **variables}, folder / "logs" / "haproxy.log", self._answers, PATIENCE
        )

    def start(self) -> None:
        """Start it and wait until it answers and has looked for its servers."""
        self._run.mkdir(mode=0o700, exist_ok=True)
        self.process.start()

    def stop(self) -> None:
        """End it."""
        self.process.stop()
        shutil.rmtree(self._run, ignore_errors=True)

    def reload(self) -> None:
        """Read configuration and files anew, as after a change of them; connections are not cut.

        Raises:
            ServerFailed: The new process does not answer.
        """
        before = self._pid()
        with contextlib.suppress(Exception):
            # The way that the command came by is closed before it answers.
            Runtime(self._master, connect=5, read=10).change("reload")
        until = time.monotonic() + PATIENCE
        while self._pid() in ("", before):
            if time.monotonic() > until:
                raise ServerFailed(f"HAProxy did not come back after a reload.{self.process.last_words()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        return bool(self._pid())

    def _pid(self) -> str:
        with contextlib.suppress(Exception):
            found = re.search(r"^Pid: (\d+)", self._runtime().show("show info"), re.MULTILINE)
            return found[1] if found else ""
        return ""

    def _runtime(self) -> Runtime:
        return Runtime(self.socket, connect=2, read=2)

    def __enter__(self) -> "HaproxyServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
