"""Where the real servers of tests and range come from: named, cached, or installed now.

    python -m worker.servers.obtain [NAME…]        # installs what is missing; `make servers`

Nothing is downloaded unless somebody asks for it by this command or by ``obtain``: ``find`` only looks. What is
installed lies in the user's cache folder, is made beside its place and moved there when it is whole. Environments
are made from requirement files that pin every package by hash; Go programs are built by ``go install``, which
checks them against Go's checksum database.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.servers.catalog import GO, PIP, SERVERS, Server

TOP = Path(__file__).resolve().parent.parent.parent
PROGRESS_SECONDS = 15.0
PATIENCE_SECONDS = 1800.0
Tell = Callable[[str], None]


class NotObtained(Exception):
    """A server is not there; the message says why and how to get it."""

    code = "server_not_obtained"


@dataclass(frozen=True)
class Found:
    """A server's executable, and where it came from."""

    path: Path
    source: str


@dataclass(frozen=True)
class Missing:
    """Why there is none, and how to get it."""

    reason: str
    how: str


def cache(env: Mapping[str, str]) -> Path:
    """Folder of obtained servers, in the user's cache folder."""
    if env.get("XDG_CACHE_HOME"):
        return Path(env["XDG_CACHE_HOME"]) / "stanch" / "servers"
    home = Path(env.get("HOME") or Path.home())
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "stanch" / "servers"


def find(name: str, env: Mapping[str, str]) -> Found | Missing:
    """Look for a server; nothing is installed.

    A variable ``STANCH_<NAME>_BIN`` comes first, then the cache. HAProxy is taken from PATH.

    Raises:
        KeyError: there is no server of this name.
    """
    server = SERVERS[name]
    how = f"python -m worker.servers.obtain {name}, or set {server.variable} to its executable"
    named = env.get(server.variable, "").strip()
    if named:
        path = Path(named).expanduser().absolute()
        if _runs(path):
            return Found(path, server.variable)
        return Missing(f"{server.variable} names {path}, which is not an executable file", how)
    if server.kind not in (PIP, GO):
        # Debian keeps daemons where a person's PATH often does not look.
        places = os.pathsep.join([env.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
        on_path = shutil.which(server.command, path=places)
        if on_path:
            return Found(Path(on_path), "PATH")
        return Missing(f"no `{server.command}` on PATH", f"apt-get install {server.source} as root")
    path = _executable(server, cache(env) / server.folder)
    if _runs(path):
        return Found(path, "cache")
    return Missing(f"{server.name} {server.version} is not in {cache(env)}", how)


def needed(name: str, env: Mapping[str, str]) -> Path:
    """The executable of a server that has to be there.

    Raises:
        NotObtained: it is not.
    """
    found = find(name, env)
    if isinstance(found, Missing):
        raise NotObtained(f"{name}: {found.reason}. To get it: {found.how}.")
    return found.path


def obtain(name: str, env: Mapping[str, str], tell: Tell) -> Found | Missing:
    """Look for a server, and install it if it is not there. Every try and every long wait is told."""
    server = SERVERS[name]
    found = find(name, env)
    if isinstance(found, Found):
        tell(f"{name}: {found.source} ({found.path}).")
        return found
    if env.get(server.variable, "").strip():
        tell(f"{name}: {found.reason}.")
        return found
    folder = cache(env)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / f"{server.folder}.lock", name, tell):
            # Whoever held the lock may have made it.
            again = find(name, env)
            if isinstance(again, Found):
                tell(f"{name}: {again.source} ({again.path}).")
                return again
            why = _install(server, folder, env, tell)
    except OSError as error:
        why = f"{error.strerror or error} ({error.filename})"
    found = find(name, env)
    if isinstance(found, Found):
        tell(f"{name}: installed ({found.path}).")
        return found
    missing = Missing(why or found.reason, found.how)
    tell(f"{name}: not obtained: {missing.reason}. To get it: {missing.how}.")
    return missing


def _executable(server: Server, folder: Path) -> Path:
    return folder / "bin" / server.command if server.kind == PIP else folder / server.command


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _install(server: Server, folder: Path, env: Mapping[str, str], tell: Tell) -> str:
    """Why it could not be installed; empty if it was."""
    log = folder / f"{server.folder}.log"
    log.write_bytes(b"")
    ran = _Ran(server.name, env, log, tell)
    if server.kind == PIP:
        return _environment(server, folder, ran)
    if server.kind == GO:
        return _built(server, folder, ran)
    return _package(server, ran)


@dataclass(frozen=True)
class _Ran:
    """Runs the commands of an installation, tells of long ones, keeps what they say."""

    name: str
    env: Mapping[str, str]
    log: Path
    tell: Tell

    def command(self, what: str, command: Sequence[str], **env: str) -> str:
        """What went wrong; empty if nothing did."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**self.env, **env}
                )
            except OSError as error:
                return f"{what}: {error.strerror}"
            try:
                while True:
                    try:
                        process.wait(PROGRESS_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        spent = time.monotonic() - began
                        if spent > PATIENCE_SECONDS:
                            return f"{what}: not done in {PATIENCE_SECONDS / 60:.0f} minutes (log: {self.log})"
                        self.tell(f"{self.name}: still {what}, {spent:.0f} s so far ...")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        return "" if process.returncode == 0 else f"{what}: {self._last_words()} (log: {self.log})"

    def _last_words(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return " ".join(lines[-1].split())[:200] if lines else "no reason given"


def _environment(server: Server, folder: Path, ran: _Ran) -> str:
    """A Python environment of its own. Downloads of an interrupted try are kept and used."""
    requirements = TOP / server.source
    if not requirements.is_file():
        return f"{server.source} lies in Stanch's source tree only, and there is none here"
    place, partial = folder / server.folder, folder / f"{server.folder}.partial"
    downloads = folder / f"{server.folder}.downloads"
    shutil.rmtree(partial, ignore_errors=True)
    what = f"installing {server.name} {server.version}"
    ran.tell(f"{server.name}: {what} from {server.source} ({server.long}) ...")
    why = ran.command("making an environment", [sys.executable, "-m", "venv", str(partial)])
    if why:
        return why
    pip = [str(partial / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # Without resolving: the file pins everything.
    install = [*pip, "--cache-dir", str(downloads), "install", "--no-compile", "--no-deps", "--require-hashes"]
    why = ran.command(what, [*install, "-r", str(requirements)], PYTHONPATH="")
    if why:
        return why
    _move(partial, place)
    shutil.rmtree(downloads, ignore_errors=True)
    return ""


def _move(partial: Path, place: Path) -> None:
    """Put an environment in its place: its scripts name the folder in which it was made."""
    for script in [*(partial / "bin").iterdir(), partial / "pyvenv.cfg"]:
        if script.is_file() and not script.is_symlink():
            text = script.read_bytes()
            if str(partial).encode() in text and b"\0" not in text[:1024]:
                script.write_bytes(text.replace(str(partial).encode(), str(place).encode()))
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)


def _built(server: Server, folder: Path, ran: _Ran) -> str:
    go = shutil.which("go", path=ran.env.get("PATH", os.defpath))
    if go is None:
        return "no `go` on PATH; Go 1.26 or newer builds it"
    place, partial = folder / server.folder, folder / f"{server.folder}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    what = f"building it with go install {server.source}"
    ran.tell(f"{server.name}: {what} ({server.long}) ...")
    # With cgo step-ca wants a smart card library's headers.
    why = ran.command(what, [go, "install", server.source], GOBIN=str(partial), CGO_ENABLED="0")
    if why:
        return why
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)
    return ""


def _package(server: Server, ran: _Ran) -> str:
    """Of the operating system, where this process may install one."""
    apt = shutil.which("apt-get", path=ran.env.get("PATH", os.defpath))
    if apt is None or os.geteuid() != 0:
        return f"no `{server.command}` on PATH, and only root can install a package of the system"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    ran.tell(f"{server.name}: installing the system's package {server.source} ({server.long}) ...")
    install = [apt, "install", "-y", "-q", "--no-install-recommends", server.source]
    why = ran.command("apt-get install", install, **quiet)
    if why:
        why = ran.command("apt-get update", [apt, "update", "-q"], **quiet)
        why = why or ran.command("apt-get install", install, **quiet)
    return why


@contextlib.contextmanager
def _alone(lock: Path, name: str, tell: Tell) -> Iterator[None]:
    """One installation of a server at a time; the kernel gives the lock back however this process ends."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            tell(f"{name}: another process installs it; waiting for that ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Obtain the servers named, by default all; 1 if one is missing then."""
    parser = argparse.ArgumentParser(
        prog="python -m worker.servers.obtain", description="Install real servers for tests and the range."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SERVERS))
    given = parser.parse_args(arguments)
    for name in given.names:
        if name not in SERVERS:
            parser.error(f"{name}: there is {', '.join(SERVERS)}")
    wanted = given.names or list(SERVERS)
    told = threading.Lock()

    def tell(line: str) -> None:
        with told:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    missing: list[str] = []

    def lane(kinds: Sequence[str]) -> None:
        for name in wanted:
            if SERVERS[name].kind in kinds and isinstance(obtain(name, os.environ, tell), Missing):
                missing.append(name)

    # Downloads wait for the network, builds for the processor: side by side both are done sooner.
    others = sorted({server.kind for server in SERVERS.values()} - {GO})
    builds = threading.Thread(target=lane, args=([GO],), daemon=True)
    builds.start()
    lane(others)
    builds.join()
    if missing:
        tell(f"Not obtained: {', '.join(missing)}. Tests marked `real` skip them, and the range plays them by peers.")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
