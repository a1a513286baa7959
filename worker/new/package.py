"""A package of one's own, with one action on one system: what ``stanch new`` writes.

The files are templates beside this module. Nothing is downloaded, nothing is overwritten.
"""

import importlib.util
import keyword
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from activities.catalog import CATALOG
from activities.extension import RESERVED

TEMPLATES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "module/__init__.py": "@@module@@/__init__.py",
    "module/config.py": "@@module@@/config.py",
    "module/client.py": "@@module@@/client.py",
    "module/actions.py": "@@module@@/actions.py",
    "module/extension.py": "@@module@@/extension.py",
    "playbook.yaml": "@@module@@/playbooks/@@playbook@@.yaml",
    "playbook.test.yaml": "@@module@@/playbooks/@@playbook@@.test.yaml",
    "tests/conftest.py": "tests/conftest.py",
    "tests/peer.py": "tests/peer.py",
    "tests/test_client.py": "tests/test_client.py",
    "tests/test_actions.py": "tests/test_actions.py",
}
"""Template to the place of what is made of it."""
_PACKAGE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SYSTEM = re.compile(r"[a-z][a-z0-9]{1,30}")
_MARK = re.compile(r"@@([a-z]+)@@", re.IGNORECASE)
OURS = frozenset(("activities", "playbooks", "workflows", "worker", "tests", "stanch"))


class NewRefused(Exception):
    """The package was not written; the message says why and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Names:
    """What the parts of the package are called."""

    package: str
    system: str

    @property
    def module(self) -> str:
        """Name to import."""
        return self.package.replace("-", "_")

    @property
    def values(self) -> dict[str, str]:
        """What stands for each mark of a template."""
        return {
            "package": self.package,
            "module": self.module,
            "system": self.system,
            "System": self.system.capitalize(),
            "SYSTEM": self.system.upper(),
            "playbook": f"{self.package}-disable-accounts",
        }


def names(package: str, system: str | None = None) -> Names:
    """Checked names.

    Raises:
        NewRefused: A name has not the right form, or is taken.
    """
    if len(package) > 40 or _PACKAGE.fullmatch(package) is None:
        said = f"{package[:60]!r} cannot be the name of a package. Nothing was written. "
        raise NewRefused("bad_value", said + "Write small letters, digits and hyphens, as acme-accounts.")
    found = Names(package, system if system is not None else package.replace("-", ""))
    if _SYSTEM.fullmatch(found.system) is None:
        said = f"{found.system[:60]!r} cannot be the name of a system. Nothing was written. "
        raise NewRefused("bad_value", said + "Give one with --system: small letters and digits, as acme.")
    module = found.module
    taken = module in OURS or keyword.iskeyword(module) or module in sys.stdlib_module_names
    if taken or importlib.util.find_spec(module) is not None:
        raise NewRefused("name_taken", f"Python knows {module} already. Nothing was written. Choose another name.")
    systems = {spec.facts.system for spec in CATALOG.specs.values()} | RESERVED
    if found.system in systems:
        said = f"Stanch knows a system {found.system} already. Nothing was written. Give another one with --system."
        raise NewRefused("name_taken", said)
    return found


def write(given: Names, folder: Path) -> list[Path]:
    """Write the package, whole or not at all; the files, relative to the folder.

    Raises:
        NewRefused: The folder is there already.
        OSError: It cannot be written.
    """
    if folder.exists() or folder.is_symlink():
        raise NewRefused("exists", f"{folder} is there already. Nothing was written. Name another --folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        written = [_one(draft, source, filled(place, given), given) for source, place in TEMPLATES.items()]
        draft.chmod(0o755)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return written


def _one(draft: Path, source: str, place: str, given: Names) -> Path:
    text = files("worker.new").joinpath("templates", f"{source}.tmpl").read_text(encoding="utf-8")
    target = draft / place
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(filled(text, given), encoding="utf-8")
    return Path(place)


def filled(text: str, given: Names) -> str:
    """A template with its marks replaced."""
    values = given.values
    return _MARK.sub(lambda found: values[found[1]], text)
