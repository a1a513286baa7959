"""What workflow code shares between runs: everything pure, and nothing that could hold a run's state."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import workflows
from worker.run import WORKFLOWS
from worker.sandbox import OWN_COPY, PASSED_THROUGH, workflow_runner

PARTS = sorted(part.name for part in pkgutil.iter_modules(workflows.__path__))
SHARED = [name for name in PARTS if name not in OWN_COPY]


def test_each_run_has_its_own_copy_of_the_modules_that_hold_workflows() -> None:
    assert {workflow.__module__ for workflow in WORKFLOWS} == {f"workflows.{name}" for name in OWN_COPY}
    restrictions = workflow_runner().restrictions
    assert not restrictions.passthrough_modules & {"workflows", *(f"workflows.{name}" for name in OWN_COPY)}


def test_everything_else_of_theirs_is_loaded_once() -> None:
    assert {f"workflows.{name}" for name in SHARED} <= set(PASSED_THROUGH)
    for name in SHARED:
        module = importlib.import_module(f"workflows.{name}")
        assert not [each for each in vars(module).values() if hasattr(each, "__temporal_workflow_definition")]


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_module_keeps_no_state(name: str) -> None:
    tree = ast.parse((Path(workflows.__path__[0]) / f"{name}.py").read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    caches = {"cache", "lru_cache", "cached_property"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.alias) and _name(node) in caches]
    for node in tree.body:
        value = getattr(node, "value", None) if isinstance(node, ast.Assign | ast.AnnAssign) else None
        assert not (isinstance(value, ast.List | ast.Dict | ast.Set | ast.Call) and _empty(value)), ast.unparse(node)


def _name(node: ast.Name | ast.alias) -> str:
    return node.id if isinstance(node, ast.Name) else node.name


def _empty(value: ast.List | ast.Dict | ast.Set | ast.Call) -> bool:
    """A container that is empty at first is there to be filled."""
    if isinstance(value, ast.Call):
        made = value.func.id if isinstance(value.func, ast.Name) else ""
        return made in {"list", "dict", "set", "defaultdict", "deque", "OrderedDict"}
    return not (value.keys if isinstance(value, ast.Dict) else value.elts)
