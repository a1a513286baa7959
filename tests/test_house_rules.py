"""The house's own rules, checked on the source: import directions, sizes, purity, names, words."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("playbooks", "workflows", "activities", "worker")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MAX_LINES = 400

FORBIDDEN = {
    "playbooks": ("activities", "workflows", "worker", "temporalio", "httpx", "requests", "sqlalchemy", "starlette"),
    "workflows": ("activities", "worker", "httpx", "requests", "simple_salesforce", "sqlalchemy", "yaml", "logging"),
    "activities": ("worker",),
    "worker": (),
}
WORKFLOWS_MAY_IMPORT = {"contract", "plan", "expr", "policy", "digest"}
PURE = ("playbooks/digest.py", "playbooks/plan.py", "playbooks/policy.py", "playbooks/contract.py")
NONDETERMINISTIC = {"time", "random", "secrets", "uuid", "os", "socket", "threading", "subprocess"}
BANNED_NAMES = re.compile(r"(?:^|_)(manager|helper|helpers|utils|util|misc)(?:_|$)")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, in full."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def relative(path: Path) -> str:
    """Path from the top, with slashes."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    package = relative(path).split("/", 1)[0]
    for module in imports(path):
        head = module.split(".", 1)[0]
        assert head not in FORBIDDEN[package], f"{relative(path)} imports {module}"
        if package == "workflows" and head == "playbooks" and module.count("."):
            assert module.split(".")[1] in WORKFLOWS_MAY_IMPORT, f"{relative(path)} imports {module}"


@pytest.mark.parametrize("path", [path for path in SOURCES if relative(path).startswith("activities/")], ids=relative)
def test_only_builtins_know_the_shapes_of_workflows(path: Path) -> None:
    used = {module for module in imports(path) if module.startswith("workflows")}
    if relative(path).startswith("activities/builtin/"):
        used = {module for module in used if not module.startswith(("workflows.messages", "workflows.state"))}
    assert not used - {"workflows"}


def test_peers_are_out_of_reach_of_a_live_worker() -> None:
    peer = re.compile(r"^(activities\.systems\.\w+|worker\.(?:\w+\.)*\w+)\.peer(\.|$)")
    allowed = re.compile(r"^(worker/range\w*(\.py$|/)|activities/systems/\w+/peer(/|\.py)|worker/(?:\w+/)*peer/)")
    for name in ("worker.slack.peer.server", "worker.slack.peer", "worker.paging.peer.pagerduty", "worker.paging.peer"):
        assert peer.match(name), name
    assert allowed.match("worker/range_models/world.py") and not allowed.match("worker/ranges.d")
    assert allowed.match("worker/paging/peer/pagerduty.py") and not allowed.match("worker/paging/setup.py")
    assert not peer.match("worker.slack.peerage") and not allowed.match("worker/slack/door.py")
    for path in SOURCES:
        used = [module for module in imports(path) if peer.match(module)]
        assert not used or allowed.match(relative(path)), f"{relative(path)} imports a peer"


@pytest.mark.parametrize("name", PURE)
def test_what_workflows_pass_through_is_deterministic(name: str) -> None:
    used = {module.split(".", 1)[0] for module in imports(ROOT / name)}
    assert not used & NONDETERMINISTIC
    assert "datetime.now" not in (ROOT / name).read_text(encoding="utf-8")


def test_workflows_never_ask_the_machine() -> None:
    for path in sorted((ROOT / "workflows").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        used = {module.split(".", 1)[0] for module in imports(path)}
        assert not used & NONDETERMINISTIC, f"{relative(path)}: {used & NONDETERMINISTIC}"
        assert "datetime.now" not in text and "utcnow" not in text, relative(path)


def test_importing_workflows_brings_no_vendor_library() -> None:
    code = (
        "import sys, importlib, pkgutil, workflows\n"
        "[importlib.import_module('workflows.' + m.name) for m in pkgutil.iter_modules(workflows.__path__)]\n"
        "bad = {'simple_salesforce', 'requests', 'sqlalchemy', 'fastapi', 'httpx', 'yaml', 'click'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=relative)
def test_files_are_small_and_named_for_what_they_hold(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    assert not BANNED_NAMES.search(path.stem), path.stem


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name != "__init__.py"], ids=relative)
def test_every_module_and_public_thing_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or _is_spec(node), node.name


def _is_spec(node: ast.AST) -> bool:
    """A plan's step shapes are explained by the reference of the language."""
    return isinstance(node, ast.ClassDef) and any(
        isinstance(base, ast.Name) and base.id == "Frozen" for base in node.bases
    )


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=relative)
def test_package_files_stay_empty(path: Path) -> None:
    if relative(path).startswith(("workflows", "activities", "playbooks")):
        assert path.read_text(encoding="utf-8") == ""


def test_nothing_is_left_for_later() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError\(\s*\"")
    for path in SOURCES:
        found = words.search(path.read_text(encoding="utf-8"))
        assert not found, f"{relative(path)}: {found}"


def test_no_test_patches_what_it_tests() -> None:
    for path in TESTS:
        if path.name != Path(__file__).name:
            text = path.read_text(encoding="utf-8")
            assert "unittest.mock" not in text and "monkeypatch.setattr" not in text, relative(path)


def test_every_test_that_needs_a_real_server_lies_where_it_is_looked_for() -> None:
    (named,) = re.findall(r"^REAL := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    marked = {path for path in TESTS if "mark." + "real" in path.read_text(encoding="utf-8")}
    assert marked
    for path in marked:
        assert any(path.is_relative_to(ROOT / place) for place in named.split()), relative(path)


def test_requirement_files_record_no_place() -> None:
    for path in sorted(ROOT.glob("requirements*.txt")):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text and "--index" not in text
        pins = [line for line in text.splitlines() if line and line[0].isalpha()]
        assert pins and all("==" in line for line in pins)
        assert text.count("--hash=sha256:") >= len(pins)
