"""The one place that knows all actions: every system's, the built-in ones, and those of users.

A system is a folder of ``activities/systems`` whose ``actions.py`` ends in ``ACTIONS = (…)``. Users add
systems by the entry-point group ``stanch.actions`` (``activities/extension.py``). Reading the catalog never
imports the client of a system of Stanch's own.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

import activities.systems
from activities import extension
from activities.action import ActionSpec
from playbooks.contract import ActionFacts


class Catalog:
    """Actions by name. Made of given ones, or, without, of all that is installed (found at first use)."""

    def __init__(self, specs: Iterable[ActionSpec] | None = None) -> None:
        self._given = None if specs is None else tuple(specs)

    @cached_property
    def specs(self) -> Mapping[str, ActionSpec]:
        """Every action by its name.

        Raises:
            TypeError: Two actions have one name, or ``ACTIONS`` holds something else.
        """
        found: dict[str, ActionSpec] = {}
        for spec in self._given if self._given is not None else installed():
            if not isinstance(spec, ActionSpec):
                raise TypeError(f"{spec!r} is not an action; decorate its class with @action")
            if found.setdefault(spec.name, spec) is not spec:
                raise TypeError(f"two actions are named {spec.name}")
        return MappingProxyType(found)

    def facts(self) -> dict[str, ActionFacts]:
        """What the compiler needs to know of every action."""
        return {name: spec.facts for name, spec in self.specs.items()}

    def spec(self, name: str) -> ActionSpec:
        """One action.

        Raises:
            KeyError: There is none of that name.
        """
        return self.specs[name]

    def domains(self) -> dict[str, tuple[ActionSpec, ...]]:
        """Credential domain to its actions; each domain is a task queue of its own."""
        found: dict[str, list[ActionSpec]] = {}
        for spec in self.specs.values():
            found.setdefault(spec.facts.queue, []).append(spec)
        return {domain: tuple(specs) for domain, specs in sorted(found.items())}

    def with_(self, specs: Iterable[ActionSpec]) -> "Catalog":
        """This catalog and further actions, as a new one."""
        return Catalog([*self.specs.values(), *specs])


def installed() -> Iterable[ActionSpec]:
    """Actions of every system folder, then those that other distributions offer."""
    for folder in sorted(pkgutil.iter_modules(activities.systems.__path__), key=lambda found: found.name):
        name = f"activities.systems.{folder.name}.actions"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        yield from module.ACTIONS
    yield from extension.installed().specs


CATALOG = Catalog()
