"""A server of another project as a child process: started, waited for, and gone with this process."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from worker import keeper

LOOK_SECONDS = 0.05
GRACE_SECONDS = 10.0


class ServerFailed(Exception):
    """A server ended or did not answer; the message has its last words."""

    code = "server_failed"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def quiet(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for a server: nothing of the user's own accounts, and nothing is told to its makers."""
    theirs = ("STANCH_", "TEMPORAL_", "AWS_", "MLFLOW_", "VAULT_", "PYTHON")
    kept = {name: value for name, value in env.items() if not name.startswith(theirs)}
    return {**kept, "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


class Process:
    """From ``start`` to ``stop``, or as a context manager. However this process ends, the server ends with it."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        ready: Callable[[], bool] | str,
        patience: float = 60.0,
        cwd: Path | None = None,
    ) -> None:
        """``env`` is its whole environment (see ``quiet``), ``log`` a file for what it says. It is ready when the
        URL ``ready`` answers without a server error, or when the function says so; after ``patience`` seconds it
        counts as failed."""
        self._command, self._env, self._log, self._cwd = list(command), dict(env), log, cwd
        self._ready, self._patience = ready, patience
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Process":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process that keeps it; also the number of its process group.

        Raises:
            ServerFailed: it does not run.
        """
        if self._process is None:
            raise ServerFailed(f"{self._command[0]} does not run.")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            ServerFailed: it ended, or was not ready in time.
        """
        # Isolated, so that the server's environment does not matter to the keeper.
        command = [sys.executable, "-I", keeper.__file__, keeper.GROUP, *self._command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self._cwd,
                # A group of its own, so that whatever it starts can be ended with it.
                start_new_session=True,
            )
        until = time.monotonic() + self._patience
        try:
            while not self._answers():
                if not self.running:
                    raise ServerFailed(f"{self._command[0]} ended at once.{self.last_words()}")
                if time.monotonic() > until:
                    raise ServerFailed(
                        f"{self._command[0]} did not answer in {self._patience:.0f} s.{self.last_words()}"
                    )
                time.sleep(LOOK_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and everything that it started. Does nothing the second time."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def last_words(self) -> str:
        """The end of its log, for a message; empty if it said nothing."""
        with contextlib.suppress(OSError):
            lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
            if lines:
                return f" Its log ({self._log}) ends: {lines[-1][:300]}"
        return ""

    def _answers(self) -> bool:
        if callable(self._ready):
            return self._ready()
        try:
            return httpx.get(self._ready, timeout=5, trust_env=False).status_code < 500
        except httpx.HTTPError:
            return False
