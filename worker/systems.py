"""Clients of systems: one per system and worker process, made at first use, closed with the worker."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from activities.errors import AuthFailed, Rejected
from activities.extension import installed
from activities.ports import Vault
from playbooks.contract import Json
from worker.secrets import SecretError

Connect = Callable[[Mapping[str, Json], Vault], Any]


class ConnectedSystems:
    """Connects by ``activities.systems.<system>.client.connect(config, vault)``, by an installed extension, or by a
    given function; for reading only by ``connect_reading``.

    A client may offer ``own`` (names and ids of Stanch's own integration there) and ``close()``.
    """

    def __init__(
        self,
        configs: Mapping[str, Mapping[str, Json]],
        vault: Vault,
        connect: Mapping[str, Connect] = MappingProxyType({}),
        *,
        reading: bool = False,
    ) -> None:
        """``reading``: clients refuse whatever is not a read before it leaves this process."""
        self._configs, self._vault, self._connect, self._reading = configs, vault, connect, reading
        self._clients: dict[str, Any] = {}
        self._lock = asyncio.Lock()

    def has(self, system: str) -> bool:
        """Whether this worker may act on a system: only then does it take the system's tasks."""
        return system in self._configs or system in self._connect

    async def client(self, system: str) -> Any:
        """The system's client, connected at first use.

        Raises:
            Rejected: the system is not configured here.
            AuthFailed: its credentials cannot be read.
        """
        if system in self._clients:
            return self._clients[system]
        async with self._lock:
            if system not in self._clients:
                self._clients[system] = await asyncio.to_thread(self._make, system)
        return self._clients[system]

    def own(self, system: str) -> Iterable[str]:
        """Names and ids of Stanch's own integration, as far as the connected client knows them."""
        return getattr(self._clients.get(system), "own", ())

    async def close(self) -> None:
        """Close every client."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            close = getattr(client, "close", None)
            if close is None:
                continue
            if inspect.iscoroutinefunction(close):
                await close()
            else:
                await asyncio.to_thread(close)

    def _make(self, system: str) -> Any:
        if not self.has(system):
            raise Rejected(
                f"{system} is not configured for this worker. Nothing was sent. Add [systems.{system}] to stanch.toml."
            )
        table, given = self._configs.get(system, {}), self._connect.get(system)
        try:
            if given is not None:
                return given(table, self._vault)
            brought = installed().systems.get(system)
            if brought is not None:
                return brought.client(table, self._vault, reading=self._reading)
            return self._shipped(system)(table, self._vault)
        except SecretError as error:
            raise AuthFailed(f"{system}: {error}") from None

    def _shipped(self, system: str) -> Connect:
        name = f"activities.systems.{system}"
        try:
            module = import_module(f"{name}.client")
        except ModuleNotFoundError as error:
            if error.name not in (name, f"{name}.client"):
                raise
            raise Rejected(f"Nothing that is installed knows the system {system}. Nothing was sent.") from None
        connect: Connect | None = getattr(module, "connect_reading", None) if self._reading else module.connect
        if connect is None:
            raise Rejected(f"{system} has no client that can only read, so it is not asked. Nothing was sent.")
        return connect
