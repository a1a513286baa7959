"""Where the Temporal dev server comes from: named, on PATH, cached, downloaded, or built with Go.

Each try is told with its reason. A server is accepted by what it answers, never by ``--version`` (one built
with Go calls itself 0.0.0-DEV).
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

from worker.embedded import EmbeddedError, EmbeddedServer

GO_PACKAGE = "github.com/temporalio/cli/cmd/temporal"
GO_TAG = "v1.5.1"
"""The newest that ``go install`` can build: later tags carry a replace directive."""
DOWNLOAD_HOST = "temporal.download"
DOWNLOAD_SECONDS = 180.0
REACH_SECONDS = 5.0
Tell = Callable[[str], None]


class NotObtained(Exception):
    """No Temporal server was found or could be made; the message says what to install."""

    code = "temporal_not_obtained"


@dataclass(frozen=True)
class Obtain:
    """The tries, in order.

    Attributes:
        env: Environment of the process (``STANCH_TEMPORAL_BIN PATH XDG_CACHE_HOME`` …).
        tell: Gets a line for each try and for long waits.
        cache: Folder of obtained servers, by default in the user's cache folder.
        progress_seconds: How often a long wait is told.
    """

    env: Mapping[str, str]
    tell: Tell
    cache: Path | None = None
    progress_seconds: float = 10.0

    async def server(self) -> Path:
        """The first server that is accepted.

        Raises:
            NotObtained: none was.
        """
        reasons: list[str] = []
        async for source, found in self._tries(reasons):
            if found is None:
                continue
            why = await self._refusal(found)
            if why is None:
                self.tell(f"Temporal server: {source} ({found}).")
                return found
            self._miss(reasons, f"{source} ({found}): {why}")
        raise NotObtained(
            "No Temporal server was found. Tried: "
            + "; ".join(reasons)
            + ". Install the Temporal CLI (https://docs.temporal.io/cli) so that `temporal` is on PATH, or Go "
            "1.24 or newer, or set STANCH_TEMPORAL_BIN to a `temporal` of server 1.29 or newer."
        )

    @property
    def folder(self) -> Path:
        """Where obtained servers are kept."""
        if self.cache is not None:
            return self.cache
        if self.env.get("XDG_CACHE_HOME"):
            return Path(self.env["XDG_CACHE_HOME"]) / "stanch" / "temporal"
        home = Path(self.env.get("HOME") or Path.home())
        return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "stanch" / "temporal"

    async def _tries(self, reasons: list[str]) -> AsyncIterator[tuple[str, Path | None]]:
        named = self.env.get("STANCH_TEMPORAL_BIN", "").strip()
        if named:
            yield "STANCH_TEMPORAL_BIN", _absolute(named)
        on_path = shutil.which("temporal", path=self.env.get("PATH", os.defpath))
        if on_path:
            yield "temporal on PATH", Path(on_path)
        else:
            self._miss(reasons, "PATH: no `temporal` there")
        cached = [path for path in (self._built, self._downloaded) if path.is_file()]
        for path in cached:
            yield "cached", path
        if not cached:
            self._miss(reasons, f"cache: none in {self.folder}")
        yield "downloaded", await self._download(reasons)
        yield f"built with Go ({GO_TAG})", await self._build(reasons)

    @property
    def _built(self) -> Path:
        return self.folder / f"go-{GO_TAG}" / "temporal"

    @property
    def _downloaded(self) -> Path:
        return self.folder / "download" / "temporal"

    def _miss(self, reasons: list[str], reason: str) -> None:
        reasons.append(reason)
        self.tell(f"Temporal server: not from {reason}")

    async def _refusal(self, binary: Path) -> str | None:
        """Why a binary is not accepted; remembered by its size and time, because asking takes a second."""
        identity = _identity(binary)
        if identity is None:
            return "it is not an executable file"
        mark = self.folder / "accepted" / identity
        if mark.exists():
            return None
        try:
            async with EmbeddedServer(binary, None).running():
                pass
        except EmbeddedError as error:
            return str(error)
        with contextlib.suppress(OSError):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(json.dumps({"binary": str(binary)}))
        return None

    async def _download(self, reasons: list[str]) -> Path | None:
        folder = self._downloaded.parent
        if not await self._reachable():
            self._miss(reasons, f"download: {DOWNLOAD_HOST} is not reachable from here")
            return None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            async with self._progress("downloading the Temporal server", "a minute on a common line"):
                env = await asyncio.wait_for(
                    WorkflowEnvironment.start_local(
                        download_dest_dir=str(folder), dev_server_download_ttl=timedelta(days=365)
                    ),
                    DOWNLOAD_SECONDS,
                )
            await env.shutdown()
            found = max(
                (path for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK)),
                key=lambda path: path.stat().st_mtime,
            )
            if found != self._downloaded:
                found.replace(self._downloaded)
            return self._downloaded
        except TimeoutError:
            self._miss(reasons, f"download: not done in {DOWNLOAD_SECONDS:.0f} s")
        except (RuntimeError, OSError, ValueError) as error:
            self._miss(reasons, f"download: {_short(str(error))}")
        return None

    async def _reachable(self) -> bool:
        """Whether the download can be tried at all; a silent firewall would hold it up for minutes."""
        if any(name.lower() in ("https_proxy", "all_proxy") for name in self.env):
            return True
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(DOWNLOAD_HOST, 443), REACH_SECONDS)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def _build(self, reasons: list[str]) -> Path | None:
        go = shutil.which("go", path=self.env.get("PATH", os.defpath))
        if go is None:
            self._miss(reasons, "Go: no `go` on PATH")
            return None
        partial = self.folder / f"go-{GO_TAG}.{os.getpid()}"
        try:
            partial.mkdir(parents=True, exist_ok=True)
            async with self._progress(f"building it with go install {GO_PACKAGE}@{GO_TAG}", "about 3 minutes"):
                process = await asyncio.create_subprocess_exec(
                    go,
                    "install",
                    f"{GO_PACKAGE}@{GO_TAG}",
                    env={**self.env, "GOBIN": str(partial)},
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                )
                try:
                    output, _ = await process.communicate()
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
            if process.returncode:
                lines = output.decode(errors="replace").strip().splitlines() or ["no reason given"]
                self._miss(reasons, f"go install: {_short(lines[-1])}")
                return None
            self._built.parent.mkdir(parents=True, exist_ok=True)
            (partial / "temporal").replace(self._built)
            return self._built
        except OSError as error:
            self._miss(reasons, f"go install: {error.strerror}")
            return None
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def _progress(self, what: str, long: str) -> AsyncIterator[None]:
        began = time.monotonic()

        async def report() -> None:
            self.tell(f"Temporal server: {what} ({long}) ...")
            while True:
                await asyncio.sleep(self.progress_seconds)
                self.tell(f"Temporal server: still {what}, {time.monotonic() - began:.0f} s so far ...")

        task = asyncio.create_task(report())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()


def _identity(binary: Path) -> str | None:
    """Changes with the file; ``None`` if it cannot be run."""
    if not binary.is_file() or not os.access(binary, os.X_OK):
        return None
    state = binary.stat()
    return hashlib.sha256(f"{binary} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:24]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:197]}..."


def to_stderr(line: str) -> None:
    """Tell on standard error, where it does not disturb a document on standard output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    # Once, before processes that all need it start at the same time.
    asyncio.run(Obtain(os.environ, to_stderr).server())
