"""Workflow code shares its modules between runs, so none of them may hold what belongs to one."""

import ast
from pathlib import Path

import pytest

import workflows

MODULES = sorted(Path(workflows.__path__[0]).glob("*.py"))
CACHES = {"cache", "lru_cache", "cached_property"}
CONTAINERS = {"list", "dict", "set", "defaultdict", "deque", "OrderedDict", "WeakKeyDictionary", "WeakValueDictionary"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_workflow_module_keeps_no_state(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Global), ast.unparse(node)
        assert not (isinstance(node, ast.Name | ast.alias) and _name(node) in CACHES), ast.unparse(node)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and not _fields(node)]
    for body in [tree.body, *(node.body for node in classes)]:
        for node in body:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            assert value is None or not _to_be_filled(value), ast.unparse(node)


def _name(node: ast.Name | ast.alias) -> str:
    return node.id if isinstance(node, ast.Name) else node.name


def _fields(node: ast.ClassDef) -> bool:
    """Whether what stands in the class are defaults of a model's fields, copied for each object."""
    return any(
        isinstance(base, ast.Name) and base.id in {"BaseModel", "Frozen", "Model", "Wire"} for base in node.bases
    )


def _to_be_filled(value: ast.expr) -> bool:
    """A container that is empty at first."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in CONTAINERS and not value.args
    if isinstance(value, ast.Dict):
        return not value.keys
    return isinstance(value, ast.List | ast.Set) and not value.elts
