"""What stands behind the fronts: the real server of each system where it has been obtained, else its peer, aloud."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.range_server import LoopbackServer
from worker.servers.obtain import Found, Missing, find

CHOICE = "STANCH_RANGE"
PEERS = "peers"
"""Value of that variable that asks for peers only."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """Whether a system is played by a real server, and why not if not. ``paths`` are the executables by name."""

    system: str
    real: bool
    why: str
    paths: Mapping[str, Path]

    def said(self) -> str:
        """One line for people."""
        return f"{self.system}: {'real' if self.real else 'peer'} ({self.why})"

    def view(self) -> dict[str, str]:
        """As JSON."""
        return {"played_by": "real" if self.real else "peer", "why": self.why}


NEEDS: Mapping[str, tuple[str, ...]] = {
    "mlflow": ("mlflow",),
    "serving": ("mlserver",),
    "gateway": ("haproxy", "opa"),
    "aws": ("moto",),
    "stepca": ("step-ca",),
}
"""The servers that each system needs to be real. Vault's API and the training service have none here."""
NEVER: Mapping[str, str] = {
    "vault": "no Vault installs from its own project; its HTTP API is played",
    "training": "the job API is ours; its jobs really train, and log to the registry",
    "salesforce": "no Salesforce server can be installed",
}


def choose(env: Mapping[str, str]) -> dict[str, Choice]:
    """What plays each system here."""
    chosen = {}
    for system, names in NEEDS.items():
        if env.get(CHOICE) == PEERS:
            chosen[system] = Choice(system, False, f"{CHOICE}={PEERS}", {})
            continue
        found = {name: find(name, env) for name in names}
        missing = [f"{name}: {each.reason}" for name, each in found.items() if isinstance(each, Missing)]
        paths = {name: each.path for name, each in found.items() if isinstance(each, Found)}
        why = "; ".join(missing) + "; make servers gets it" if missing else ", ".join(map(str, paths.values()))
        chosen[system] = Choice(system, not missing, why, paths)
    for system, why in NEVER.items():
        chosen[system] = Choice(system, False, why, {})
    return chosen


class Running:
    """Servers and peers from their start to the end of the range; ended in the opposite order."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self._stack = ExitStack()

    def enter(self, server: AbstractContextManager[Any]) -> Any:
        """Start something that is a context manager."""
        return self._stack.enter_context(server)

    def serve(self, app: Any) -> str:
        """Serve a peer over a port of its own; the URL."""
        server = LoopbackServer(app)
        url = server.open()
        self._stack.callback(server.close)
        return url

    def later(self, act: Callable[[], object]) -> None:
        """Have something done at the end."""
        self._stack.callback(act)

    def close(self) -> None:
        """End everything."""
        self._stack.close()
