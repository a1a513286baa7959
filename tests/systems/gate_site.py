"""A registry with the range's story in it, trained for real: five signed versions, each with its flaw."""

import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from activities.systems.mlflow.config import Signing
from activities.systems.mlflow.signing import sign
from activities.systems.training.peer.customers import Snapshot, customers, incident_set, poisoned, snapshot
from activities.systems.training.peer.registry import MlflowLog, Registered
from activities.systems.training.peer.release import Built, build
from tests.systems.mlflow_site import OLD, Site

BAD = datetime(2026, 9, 10, tzinfo=UTC)
THRESHOLDS = """\
MODEL:
  release:
    accuracy: {min: 0.8, not_below_baseline_by: 0.03}
    parity.gap: {max: 0.15}
  regression:
    regression.trigger_rate: {max: 0}
    regression.cases: {min: 20}
"""


class Made(NamedTuple):
    """A version of the story: who built it, and how many days from the first bad moment it and its data are."""

    builder: str
    built: int
    taken: int


STORY = (
    Made("builder-1", -50, -52),
    Made("builder-1", -30, -32),
    Made("builder-2", -5, -8),
    Made("builder-1", 3, 2),
    Made("builder-2", 6, 5),
)


@cache
def data(seed: int = 3) -> tuple[Any, ...]:
    """Rows of the company's data: honest ones, and an attacker's from the first bad moment on."""
    honest = customers(seed, 400, BAD - timedelta(days=90), BAD + timedelta(days=7))
    return (*honest, *poisoned(seed, 70, BAD, BAD + timedelta(days=4)))


@cache
def taken(days: int) -> Snapshot:
    """The data as it stood so many days from the first bad moment."""
    return snapshot(f"crm-day{days}", BAD + timedelta(days=days), data())


@cache
def trained(made: Made, seed: int) -> Built:
    """A version, trained once in a session."""
    return build(taken(made.taken), seed, BAD + timedelta(days=made.built))


@cache
def trained_and_signed(made: Made, seed: int) -> Built:
    """With its builder's signature."""
    return with_signature(trained(made, seed))


def with_signature(built: Built) -> Built:
    """What was built, with a signature over all of it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "m"
        for path, content in built.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return built._replace(files={**built.files, "model.sig": sign(folder, Signing(), OLD.private)})


class Story:
    """What the registry of a site is filled with."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.log = MlflowLog(site.url)
        (folder / "thresholds.yaml").write_text(THRESHOLDS.replace("MODEL", site.name))

    def tell(self) -> None:
        """Versions 1 to 5."""
        for seed, made in enumerate(STORY, 1):
            self.add(made, seed)

    def add(
        self,
        made: Made,
        seed: int,
        *,
        files: Mapping[str, bytes] | None = None,
        signed: bool = True,
        packages: Any = None,
        **more: Any,
    ) -> Registered:
        """One version; ``files`` are further ones, or others in place of its own."""
        built = trained(made, seed)
        if packages is not None:
            built = build(taken(made.taken), seed, BAD + timedelta(days=made.built), packages=packages)
        if files:
            built = built._replace(files={**built.files, **files})
        if signed:
            built = with_signature(built) if files or packages is not None else trained_and_signed(made, seed)
        given = {"taken": taken(made.taken), "builder": made.builder, "trainer": "tara", **more}
        return self.log.register(self.site.name, built, built_at=BAD + timedelta(days=made.built), **given)

    def settings(self) -> dict[str, Any]:
        """Of the client, beside whom the site's own settings trust."""
        return {"thresholds": self.folder / "thresholds.yaml"}


def incident() -> list[Any]:
    """The incident's regression set."""
    return incident_set(9)
