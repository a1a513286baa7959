"""The lock file of a version's trainer: how old each package was when it was used, and what changed. Pure.

``lock.json``: ``{"packages": [{"name", "version", "sha256", "published_at"}]}``, or that list. G3 of facts §6.1: no
package younger than a cool-down. The TanStack packages of May 2026 were live for hours before they were found; their
provenance was valid, so nothing but their age would have kept them out.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from activities.systems.mlflow.clean import instant
from activities.systems.mlflow.shown import shown
from playbooks.contract import Json

LOCK = "lock.json"
LONGEST = 200
SHA256 = re.compile(r"[0-9a-f]{64}")


class NoLock(ValueError):
    """A lock file cannot be used; the message says why."""


@dataclass(frozen=True)
class Package:
    """A package as it was locked. ``published`` is ``None`` where that is not said."""

    name: str
    version: str
    sha256: str
    published: datetime | None

    def __str__(self) -> str:
        return f"{shown(self.name)} {shown(self.version)}"


@dataclass(frozen=True)
class Judged:
    """What is wrong with a lock, a sentence each.

    Attributes:
        young: Published less than the cool-down before it was used, or of no known age.
        changed: Differences from a trusted lock.
        replaced: Those of them whose name and version are the same, but not the bytes.
    """

    young: tuple[str, ...]
    changed: tuple[str, ...]
    replaced: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every package was old enough, and none was replaced under its version."""
        return not self.young and not self.replaced


def read_lock(content: bytes) -> dict[str, Package]:
    """Packages by normalised name.

    Raises:
        NoLock: It is no lock file; one without packages is none either.
    """
    try:
        given = json.loads(content)
    except (ValueError, RecursionError):
        raise NoLock("the lock file is not JSON") from None
    rows = given.get("packages") if isinstance(given, dict) else given
    if not isinstance(rows, list) or not rows:
        raise NoLock("the lock file lists no packages")
    found: dict[str, Package] = {}
    for row in rows:
        package = _package(row)
        if found.setdefault(normalised(package.name), package) is not package:
            raise NoLock(f"the lock file lists {shown(package.name)} twice")
    return found


def judge(
    packages: Mapping[str, Package], used: datetime, cool_down: timedelta, trusted: Mapping[str, Package] | None = None
) -> Judged:
    """What is wrong.

    Args:
        packages: Of the lock.
        used: When the trainer used them: the build.
        cool_down: A package is old enough if it was published at least that long before.
        trusted: Of a trusted version's lock.
    """
    young = []
    for _, package in sorted(packages.items()):
        if package.published is None:
            young.append(f"{package}: it is not said when it was published")
        elif package.published > used:
            young.append(f"{package}: said to be published after it was used")
        elif used - package.published < cool_down:
            young.append(f"{package}: {_age(used - package.published)} old when it was used")
    changed, replaced = [], []
    for name in sorted({*packages, *trusted} if trusted is not None else ()):
        new, old = packages.get(name), (trusted or {}).get(name)
        if new is not None and old is None:
            changed.append(f"{new}: new")
        elif new is None and old is not None:
            changed.append(f"{old}: gone")
        elif new is not None and old is not None:
            if new.version != old.version:
                changed.append(f"{new}: was {shown(old.version)}")
            elif new.sha256 != old.sha256:
                replaced.append(f"{new}: other bytes under the same version")
    return Judged(tuple(young), tuple([*replaced, *changed]), tuple(replaced))


def normalised(name: str) -> str:
    """As PyPI compares names (PEP 503), so that ``Torch_X`` and ``torch-x`` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _age(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    if hours < 1:
        return "less than an hour"
    if hours < 48:
        return f"{hours} hour{'' if hours == 1 else 's'}"
    return f"{age.days} days"


def _package(row: Json) -> Package:
    if not isinstance(row, dict):
        raise NoLock("an entry of the lock file is no object")
    name, version, sha256 = row.get("name"), row.get("version"), row.get("sha256")
    if not all(isinstance(text, str) and 0 < len(text) <= LONGEST for text in (name, version)):
        raise NoLock("an entry of the lock file has no name or version")
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256.lower()):
        raise NoLock(f"the lock file pins {shown(str(name))} by no SHA-256")
    published = row.get("published_at")
    return Package(str(name), str(version), sha256.lower(), instant(published) if isinstance(published, str) else None)
