"""A home with `stanch up` in it: one machine, one process, as a stranger begins."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from worker.cli.client import SERVER_FILE, written

END = 15.0


@dataclass
class Up:
    """One home and the `stanch up` in it."""

    home: Path
    env: dict
    process: subprocess.Popen = None
    port: int = 0
    token: str = field(default="", repr=False)

    def begin(self):
        with (self.home / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker.cli.main", "up"], stdout=log, stderr=log, env=self.env, cwd=self.home
            )

    def until_ready(self, seconds=90.0):
        limit = time.monotonic() + seconds
        while "Working on" not in self.log():
            assert self.process.poll() is None and time.monotonic() < limit, self.log()
            time.sleep(0.05)

    def log(self):
        path = self.home / "up.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def run(self, *arguments, **env):
        return subprocess.run(
            [sys.executable, "-m", "worker.cli.main", *arguments],
            capture_output=True,
            text=True,
            env={**self.env, **env},
            cwd=self.home,
            timeout=90,
            check=False,
        )

    def ended(self, seconds=END):
        begun = time.monotonic()
        code = self.process.wait(seconds)
        print(f"\nended after {time.monotonic() - begun:.1f} s")
        return code

    def servers(self):
        """Pids of Temporal servers of this home."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if entry.name.isdigit() and str(self.home / "home" / "temporal") in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
        return found

    def port_is_free(self):
        port = int(written(self.home / "home" / SERVER_FILE).get("url", ":0").rsplit(":", 1)[1]) or self.port
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
        return True


@contextlib.contextmanager
def one_machine(folder: Path, temporal: Path) -> Iterator[Up]:
    """A home in a folder, with a port of its own; whatever runs there at the end is killed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("STANCH_", "TEMPORAL_"))}
    env = plain | {
        "STANCH_HOME": str(folder / "home"),
        "STANCH_PORT": str(port),
        "STANCH_TEMPORAL_BIN": str(temporal),
        "PYTHONPATH": os.getcwd(),
        "DETECTOR": "detectors-own",
    }
    made = Up(folder, env)
    made.port = port
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.kill()
            made.process.wait()
        for pid in made.servers():
            os.kill(pid, signal.SIGKILL)
