"""Extensions: found by entry point, checked, and refused in words when they cannot be used."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from activities.errors import Rejected
from activities.extension import Extension, ExtensionError, Extensions
from tests.lab import LabRead


class Table(BaseModel):
    """Settings of a system."""

    model_config = ConfigDict(extra="forbid")

    folder: str
    depth: int = 1


class Vault:
    """No secrets."""

    def get(self, reference: str) -> str:
        """Nothing."""
        return reference


def lab(**more: Any) -> Extension:
    """An extension that brings the lab."""
    given: dict[str, Any] = {"system": "lab", "config": Table, "connect": lambda config, vault: config}
    return Extension(**{**given, "actions": (LabRead,), **more})


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """A module that entry points may name."""
    made = ModuleType("ext_of_a_test")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def entries(*names: str) -> Extensions:
    """Entry points to attributes of the test's module."""
    return Extensions(EntryPoint(name, f"ext_of_a_test:{name}", "stanch.actions") for name in names)


def test_it_brings_actions_a_client_and_playbooks(module: ModuleType, tmp_path) -> None:
    module.one = lab(playbooks=tmp_path)
    found = entries("one")
    assert [spec.name for spec in found.specs] == ["lab.read"]
    assert found.playbooks == (tmp_path,)
    assert found.systems["lab"].client({"folder": "x"}, Vault()).depth == 1


def test_a_table_is_checked_and_never_shown(module: ModuleType) -> None:
    for table, place in (({}, "systems.lab.folder"), ({"folder": "x", "token": "hunter2"}, "systems.lab.token")):
        with pytest.raises(Rejected) as caught:
            lab().client(table, Vault())
        assert place in str(caught.value) and "hunter2" not in str(caught.value)


def test_reading_needs_a_client_that_can_only_read() -> None:
    with pytest.raises(Rejected, match="can only read"):
        lab().client({"folder": "x"}, Vault(), reading=True)
    both = lab(connect_reading=lambda config, vault: "reads")
    assert both.client({"folder": "x"}, Vault(), reading=True) == "reads"


def test_an_action_of_another_system_is_refused() -> None:
    with pytest.raises(TypeError, match=r"lab\.read"):
        lab(system="other")
    with pytest.raises(TypeError, match="cannot be named workflow"):
        lab(system="workflow", actions=())
    with pytest.raises(TypeError, match="not an action"):
        lab(actions=(object(),))


def test_a_bare_tuple_of_actions_is_enough(module: ModuleType) -> None:
    module.few = (LabRead,)
    assert [spec.name for spec in entries("few").specs] == ["lab.read"]


def test_what_cannot_be_used_says_which_and_why(module: ModuleType) -> None:
    module.one, module.two, module.nothing = lab(), lab(), "text"
    module.ours = lab()
    object.__setattr__(module.ours, "system", "salesforce")
    for names, part in (
        (("missing",), "AttributeError"),
        (("nothing",), "names no Extension"),
        (("one", "two"), "Two packages bring the system lab"),
        (("ours",), "which Stanch has itself"),
    ):
        with pytest.raises(ExtensionError, match=part) as caught:
            _ = entries(*names).systems
        assert caught.value.code == "extension"
