"""A recording front before HAProxy's runtime socket: commands in, answers out, each entered into the record."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from worker.range_models.exchange import Effect
from worker.range_models.front import FrontFaults, Tally
from worker.range_record import Record

METHOD = "RUNTIME"
START_SECONDS = 10.0
Read = Callable[[str, str], Sequence[Any]]


class SocketFront:
    """Listens at ``path`` and passes each connection on to the socket ``behind`` (a path, or ``tcp:HOST:PORT``).

    A connection holds one command, as HAProxy's sockets are used without ``prompt``. Only Stanch knows the path, so
    whoever comes in here is Stanch. ``reads`` and ``effects`` are given a command and its whole answer.
    """

    def __init__(
        self,
        name: str,
        system: str,
        path: Path,
        behind: str,
        record: Record,
        tally: Tally,
        reads: Read,
        effects: Callable[[str, str], Sequence[Effect]],
    ) -> None:
        self.name, self.faults, self.path = name, FrontFaults(), path
        self._system, self._behind, self._record, self._tally = system, behind, record, tally
        self._reads, self._effects = reads, effects
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="range socket", daemon=True)
        self._up = threading.Event()

    def open(self) -> Path:
        """Listen.

        Raises:
            RuntimeError: It cannot.
        """
        self._thread.start()
        if not self._up.wait(START_SECONDS):
            raise RuntimeError(f"The range's front of the gateway's socket cannot listen at {self.path}.")
        return self.path

    def close(self) -> None:
        """Let held commands go, and stop."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.faults.clear)
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=10)

    def owns(self, host: str) -> bool:
        """It is no HTTP system."""
        return False

    def view(self) -> dict[str, Any]:
        """Where it is."""
        return {"socket": str(self.path)}

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_unix_server(self._connected, str(self.path))
        self.path.chmod(0o600)
        self._up.set()
        async with server:
            await self._stop.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await self._one(reader, writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = await _command(reader)
        line = command.decode(errors="replace").split("\n", 1)[0].strip()
        for rule in self.faults.strike(METHOD, line, "", "stanch", after=False):
            if rule.kind == "latency":
                await asyncio.sleep(rule.seconds)
            elif rule.kind == "hold":
                await self.faults.hold(rule, METHOD, line, "stanch")
            else:
                # There is no status on this wire: it breaks off.
                return self._enter(line, 0, ())
        answer = await self._passed(command)
        said = answer.decode(errors="replace")
        for effect in self._effects(command.decode(errors="replace"), said):
            self._tally.enter("stanch", self._system, effect)
        for rule in self.faults.strike(METHOD, line, "", "stanch", after=True):
            if rule.kind == "hold_after_commit":
                await self.faults.hold(rule, METHOD, line, "stanch")
            else:
                return self._enter(line, 0, ())
        self._enter(line, 200, self._reads(line, said))
        writer.write(answer)
        await writer.drain()

    async def _passed(self, command: bytes) -> bytes:
        if self._behind.startswith("tcp:"):
            host, _, port = self._behind.removeprefix("tcp:").rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        else:
            reader, writer = await asyncio.open_unix_connection(self._behind)
        try:
            writer.write(command)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    def _enter(self, line: str, status: int, read: Sequence[str]) -> None:
        self._record.log(
            actor="stanch", system=self._system, method=METHOD, path=line[:300], status=status, read=list(read)
        )


async def _command(reader: asyncio.StreamReader) -> bytes:
    """One command: a line, or with ``<<`` at its end everything up to an empty line (HAProxy's payloads)."""
    line = await reader.readline()
    if line.rstrip().endswith(b"<<"):
        while True:
            more = await reader.readline()
            line += more
            if more in (b"", b"\n"):
                break
    return line
