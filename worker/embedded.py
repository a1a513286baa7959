"""The embedded Temporal dev server: tuned, private to one home, gone with its parent.

The flags are measured: without them one run makes at most about ten steps a second, whatever the machine.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

OLDEST = (1, 29)
"""Updates with start, and what the history limits assume."""
READY_SECONDS = 30.0
TUNED = {
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "history.transferProcessorMaxPollRPS": "1000",
    "history.timerProcessorMaxPollRPS": "1000",
    "history.visibilityProcessorMaxPollRPS": "1000",
    # Timers are otherwise batched to whole seconds.
    "history.timerProcessorMaxTimeShift": '"10ms"',
    # Continuing as new within a second is otherwise held back for the rest of it.
    "history.workflowIdReuseMinimalInterval": '"0s"',
}
PRAGMAS = ("journal_mode=WAL", "synchronous=1")
_PR_SET_PDEATHSIG = 1


class EmbeddedError(Exception):
    """The embedded server cannot be started or is not good enough."""

    code = "temporal_embedded"


@dataclass(frozen=True)
class Ports:
    """Ports on 127.0.0.1. Without ``ui`` the server has no web pages."""

    grpc: int
    ui: int | None = None

    @classmethod
    def free(cls, *, ui: bool = False) -> "Ports":
        """Ports that nobody uses now."""
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(socket.socket()) for _ in range(2 if ui else 1)]
            for one in held:
                one.bind(("127.0.0.1", 0))
            numbers = [one.getsockname()[1] for one in held]
        return cls(*numbers)


class EmbeddedServer:
    """A dev server as a child process. Start it in a thread that lives as long as it should."""

    def __init__(
        self, binary: Path, home: Path | None, *, namespace: str = "stanch", ports: Ports | None = None
    ) -> None:
        """``home`` keeps its database and log; without one it lives in memory."""
        self._binary, self._home, self._namespace = binary, home, namespace
        self._fixed = ports is not None
        self.ports = ports or Ports.free()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._wanted = False

    @property
    def address(self) -> str:
        """``host:port`` of its gRPC door."""
        return f"127.0.0.1:{self.ports.grpc}"

    @property
    def pid(self) -> int | None:
        """Of the server process, or of the process that keeps it."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait until its namespace answers.

        Raises:
            EmbeddedError: another process uses this home, it ended, took too long, or is too old.
        """
        self._take_home()
        self._wanted = True
        for left in (2, 1, 0):
            try:
                self._spawn()
                version = await self._ready()
                break
            except EmbeddedError:
                await self._end()
                # Somebody may have taken the free port in between.
                if self._fixed or left == 0:
                    await self.stop()
                    raise
                self.ports = Ports.free(ui=self.ports.ui is not None)
        if version[:2] < OLDEST:
            await self.stop()
            raise EmbeddedError(
                f"{self._binary} is Temporal server {'.'.join(map(str, version))}; 1.29 or newer is needed."
            )

    async def stop(self) -> None:
        """End it and give its home back. Does nothing the second time."""
        self._wanted = False
        await self._end()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def keep(self, tell: Callable[[str], None]) -> None:
        """Start it again, on the same port and database, whenever it ends by itself. Runs until cancelled."""
        while True:
            await asyncio.sleep(0.2)
            if self._wanted and self._process is not None and self._process.poll() is not None:
                tell("The embedded Temporal server ended; it is started again.")
                try:
                    self._spawn()
                    await self._ready()
                except EmbeddedError as error:
                    tell(f"It did not come back yet: {error}")
                    await self._end()
                    await asyncio.sleep(0.5)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["EmbeddedServer"]:
        """Start, and stop at the end."""
        try:
            await self.start()
            yield self
        finally:
            await self.stop()

    def command(self) -> list[str]:
        """The command line of the server."""
        flags = ["server", "start-dev", "--ip", "127.0.0.1", "--port", str(self.ports.grpc)]
        flags += ["--namespace", self._namespace, "--log-level", "error"]
        flags += ["--ui-port", str(self.ports.ui)] if self.ports.ui else ["--headless"]
        if self._home is not None:
            flags += ["--db-filename", str(self._home / "temporal.db")]
            flags += [part for pragma in PRAGMAS for part in ("--sqlite-pragma", pragma)]
        for name, value in TUNED.items():
            flags += ["--dynamic-config-value", f"{name}={value}"]
        return [str(self._binary), *flags]

    def _take_home(self) -> None:
        if self._home is None or self._lock is not None:
            return
        self._home.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Given back by the kernel however this process ends, so it never stays locked.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise EmbeddedError(
                f"Another Stanch runs its Temporal server in {self._home}. Stop that one, or set STANCH_HOME "
                "to another folder."
            ) from None
        self._lock = lock

    def _spawn(self) -> None:
        log = subprocess.DEVNULL
        if self._home is not None:
            log = os.open(self._home / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        env = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        # Linux tells a child when the thread that made it is gone; elsewhere a keeper watches a pipe.
        direct = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
        command = self.command() if direct else [sys.executable, "-m", "worker.keeper", *self.command()]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if direct else subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=env if direct else {**env, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                # Its own session, so that Ctrl-C reaches Stanch first and Stanch ends it in order.
                start_new_session=True,
                preexec_fn=_die_with_parent if direct else None,
            )
        except OSError as error:
            raise EmbeddedError(f"{self._binary} cannot be started: {error.strerror}.") from None
        finally:
            if log != subprocess.DEVNULL:
                os.close(log)

    async def _ready(self) -> tuple[int, ...]:
        """Wait until the namespace answers; the server's version."""
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise EmbeddedError(f"The Temporal server ended at once.{self._last_words()}")
            if _listens(self.ports.grpc):
                with contextlib.suppress(RPCError, RuntimeError, OSError):
                    return await asyncio.wait_for(server_version(self.address, self._namespace), 5)
            await asyncio.sleep(0.05)
        raise EmbeddedError(f"The Temporal server did not answer in {READY_SECONDS:.0f} s.{self._last_words()}")

    def _last_words(self) -> str:
        if self._home is None:
            return ""
        with contextlib.suppress(OSError):
            lines = (self._home / "server.log").read_text(errors="replace").strip().splitlines()
            return f" Its log ends: {lines[-1][:300]}" if lines else ""
        return ""

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            for _ in range(100):
                if process.poll() is not None:
                    break
                await asyncio.sleep(0.05)
            else:
                process.kill()
        process.wait()


async def server_version(address: str, namespace: str) -> tuple[int, ...]:
    """Version that a server answers with, once the namespace is there.

    Raises:
        RPCError: it answers, but not yet or not with that namespace.
        RuntimeError: nobody answers.
    """
    client = await Client.connect(address, namespace=namespace)
    answer = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    await client.count_workflows()
    numbers = answer.server_version.split("-")[0].split("+")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def _listens(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _die_with_parent() -> None:
    # Runs between fork and exec: one call into libc, nothing that could take a lock.
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_LIBC: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
