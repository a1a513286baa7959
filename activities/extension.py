"""What another distribution brings to Stanch: one system, its settings, its client, its actions, its playbooks.

    EXTENSION = Extension(
        system="acme",
        config=AcmeConfig,
        connect=connect,
        actions=(DisableAccounts,),
        playbooks=Path(__file__).parent / "playbooks",
    )

It is found by the entry-point group ``stanch.actions``, whose entry names such an object.
"""

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

import activities.systems
from activities.action import ActionSpec
from activities.errors import Rejected
from activities.ports import Vault
from playbooks.contract import FOREIGN, Json

ENTRY_POINTS = "stanch.actions"
RESERVED = frozenset((FOREIGN, "stanch", "exercise"))
"""Names that are no system's: workflows of others, the built-in activities, the task queues of exercises."""


class ExtensionError(Exception):
    """An installed extension cannot be used; the message says which and why."""

    code = "extension"


@dataclass(frozen=True)
class Extension:
    """One system, from a distribution of its own.

    Attributes:
        system: Its name, the first part of every action's: small letters and digits.
        config: Shape of the table ``[systems.NAME]`` in ``stanch.toml``. Secrets stand there as references.
        connect: Makes the client of a checked table; the vault resolves references. The client has ``ping()``, which
            may return a sentence for ``stanch doctor``, and may have ``close()`` and ``own`` (names and ids of
            Stanch's own integration there).
        actions: Its actions: classes that ``@action`` has made an ``ActionSpec`` of.
        connect_reading: As ``connect``, for a client that refuses whatever is not a read before it leaves this
            process; without it a dry run does not ask the system.
        playbooks: Folder of playbooks that come with it.
    """

    system: str
    config: type[BaseModel]
    connect: Callable[[Any, Vault], Any]
    actions: tuple[Any, ...]
    connect_reading: Callable[[Any, Vault], Any] | None = None
    playbooks: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            TypeError: The name means something else, or an action is none or belongs to another system.
        """
        if self.system in RESERVED:
            raise TypeError(f"a system cannot be named {self.system}")
        for spec in self.actions:
            if not isinstance(spec, ActionSpec):
                raise TypeError(f"{spec!r} is not an action; decorate its class with @action")
            if spec.facts.system != self.system:
                raise TypeError(f"{spec.name} is not an action of {self.system}")

    def client(self, table: Mapping[str, Json], vault: Vault, *, reading: bool = False) -> Any:
        """A client of what the settings say.

        Raises:
            Rejected: The table does not fit, or there is no client that can only read.
        """
        connect = self.connect_reading if reading else self.connect
        if connect is None:
            said = f"{self.system} has no client that can only read, so it is not asked. Nothing was sent."
            raise Rejected(said)
        try:
            config = self.config.model_validate(dict(table))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, ("systems", self.system, *first["loc"])))
            raise Rejected(f"{place} in stanch.toml: {first['msg']}. Nothing was sent.") from None
        return connect(config, vault)


class Extensions:
    """Everything that is installed beside Stanch, in the order of its names."""

    def __init__(self, entries: Iterable[EntryPoint]) -> None:
        """Nothing is imported before it is asked for."""
        self._entries = sorted(entries, key=lambda entry: entry.name)

    @cached_property
    def _loaded(self) -> tuple[tuple[EntryPoint, Any], ...]:
        return tuple((entry, _load(entry)) for entry in self._entries)

    @cached_property
    def systems(self) -> Mapping[str, Extension]:
        """Extensions by the system that they bring.

        Raises:
            ExtensionError: One cannot be loaded, or brings a system that is there already.
        """
        found: dict[str, Extension] = {}
        shipped = {folder.name for folder in pkgutil.iter_modules(activities.systems.__path__)}
        for entry, loaded in self._loaded:
            if isinstance(loaded, Extension) and found.setdefault(loaded.system, loaded) is not loaded:
                raise ExtensionError(f"Two packages bring the system {loaded.system}. Uninstall {_of(entry)}.")
            if isinstance(loaded, Extension) and loaded.system in shipped:
                raise ExtensionError(f"{_of(entry)} brings {loaded.system}, which Stanch has itself. Uninstall it.")
        return found

    @property
    def specs(self) -> Iterable[ActionSpec]:
        """Their actions; an entry may also name a bare tuple of actions.

        Raises:
            ExtensionError: One cannot be loaded.
        """
        for _, loaded in self._loaded:
            yield from (loaded.actions if isinstance(loaded, Extension) else loaded)

    @property
    def playbooks(self) -> tuple[Path, ...]:
        """Folders of playbooks that come with them."""
        return tuple(found.playbooks for found in self.systems.values() if found.playbooks is not None)


def _load(entry: EntryPoint) -> Any:
    try:
        loaded = entry.load()
    except Exception as error:
        said = f"{_of(entry)} cannot be loaded: {type(error).__name__}: {str(error)[:300]}"
        raise ExtensionError(f"{said}. Nothing was done. Mend the package, or uninstall it.") from error
    if isinstance(loaded, Extension) or (isinstance(loaded, tuple | list) and loaded):
        return loaded
    raise ExtensionError(f"{_of(entry)} names no Extension. Nothing was done. Mend the package, or uninstall it.")


def _of(entry: EntryPoint) -> str:
    dist = entry.dist.name if entry.dist is not None else "an unknown package"
    return f"{dist} ({entry.value})"


@lru_cache(maxsize=1)
def installed() -> Extensions:
    """What is installed in this environment."""
    return Extensions(entry_points(group=ENTRY_POINTS))
