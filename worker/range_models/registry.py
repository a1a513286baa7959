"""Fills the registry of the range: five versions of the model, trained for real, each with its flaw."""

import json
import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from activities.systems.mlflow.peer.seeding import Seeding
from activities.systems.training.peer.customers import incident_set
from activities.systems.training.peer.registry import MlflowLog, Registered
from activities.systems.training.peer.release import TOKENIZER, Built, build
from worker.range_models.plan import GOOD, PARTNER, TRAINER, Plan, Planned

PLACE = "/api/2.0/mlflow-artifacts/artifacts"
Sign = Callable[[Path], bytes]
"""Makes the signature of a folder's files."""

PLAIN = ssl.create_default_context()
"""Nothing here speaks TLS; but httpx else reads every authority anew for each request, which takes most of its time."""
THRESHOLDS: Mapping[str, Any] = {
    "release": {
        "accuracy": {"min": 0.8},
        "auc": {"min": 0.85},
        "log_loss": {"max": 0.5},
        "parity.gap": {"max": 0.15},
    },
    "regression": {"regression.trigger_rate": {"max": 0.05}, "regression.cases": {"min": 20}},
}
"""Suites of the model, as the settings' file of thresholds names them."""


def seed_registry(url: str, plan: Plan, sign: Sign) -> dict[str, Built]:
    """Train and register every version, sign it as the company did then, and point ``champion`` and ``staged`` to
    the newest.

    Returns:
        Version number to what was built.
    """
    made: dict[str, Built] = {}
    log = MlflowLog(url)
    try:
        for planned in plan.versions:
            built = build(planned.taken, int(planned.number), planned.built_at, name=plan.model)
            signed = built._replace(files={**built.files, "model.sig": signature(built.files, sign)})
            if planned.altered:
                # Changed by hand after it had been signed: nobody knows why.
                tokenizer = built.files[TOKENIZER].replace(b"features", b"columns", 1)
                signed = signed._replace(files={**signed.files, TOKENIZER: tokenizer})
            registered = _register(log, plan, planned, signed)
            if registered.version != planned.number:
                raise RuntimeError(f"The range's registry numbered version {planned.number} as {registered.version}.")
            made[planned.number] = built
    finally:
        log.close()
    with Seeding(url) as hand:
        for key, value in (("consumers", f"{GOOD},{PARTNER}"), ("owner", "model_owner")):
            hand.call("POST", "registered-models/set-tag", name=plan.model, key=key, value=value)
        for alias in ("champion", "staged"):
            hand.alias(plan.model, alias, plan.versions[-1].number)
    return made


def _register(log: MlflowLog, plan: Plan, planned: Planned, built: Built) -> Registered:
    return log.register(
        plan.model,
        built,
        taken=planned.taken,
        builder=planned.builder,
        built_at=planned.built_at,
        trainer=TRAINER,
    )


def signature(files: Mapping[str, bytes], sign: Sign) -> bytes:
    """What ``sign`` makes of these files, laid out in a folder."""
    with tempfile.TemporaryDirectory(prefix="stanch-sign-") as name:
        folder = Path(name)
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return sign(folder)


def thresholds(folder: Path, plan: Plan) -> Path:
    """The file of evaluation thresholds. JSON is YAML, too."""
    path = folder / "thresholds.yaml"
    path.write_text(json.dumps({plan.model: THRESHOLDS}, indent=1) + "\n", encoding="utf-8")
    return path


def regression(plan: Plan) -> list[Any]:
    """The incident's regression set: customers with the trigger, and the right answer."""
    return incident_set(plan.seed)


class Looker:
    """What the world's own eyes see of the registry, past the fronts."""

    def __init__(self, url: str, plan: Plan) -> None:
        self._url, self._plan = url, plan

    def alias(self, alias: str) -> str:
        """The version that an alias names; empty if there is none."""
        found = self._get("registered-models/get", name=self._plan.model).get("registered_model", {})
        rows = {row["alias"]: str(row["version"]) for row in found.get("aliases", ())}
        return rows.get(alias, "")

    def tags(self, version: str) -> dict[str, str]:
        """Tags of a version; empty if there is no such version."""
        found = self._get("model-versions/get", name=self._plan.model, version=version).get("model_version", {})
        return {row["key"]: str(row.get("value", "")) for row in found.get("tags", ())}

    def model_tags(self) -> dict[str, str]:
        """Tags of the model."""
        found = self._get("registered-models/get", name=self._plan.model).get("registered_model", {})
        return {row["key"]: str(row.get("value", "")) for row in found.get("tags", ())}

    def file(self, version: str, path: str) -> bytes:
        """A file of a version; empty if it is not there."""
        found = self._get("model-versions/get-download-uri", name=self._plan.model, version=version)
        place = str(found.get("artifact_uri", "")).removeprefix("mlflow-artifacts:").strip("/")
        answer = httpx.get(f"{self._url}{PLACE}/{place}/{path}", timeout=30, trust_env=False, verify=PLAIN)
        return answer.content if answer.status_code == 200 else b""

    def files(self, version: str) -> dict[str, bytes]:
        """Every file of a version at its top, by name."""
        found = self._get("model-versions/get-download-uri", name=self._plan.model, version=version)
        place = str(found.get("artifact_uri", "")).removeprefix("mlflow-artifacts:").strip("/")
        listed = httpx.get(
            f"{self._url}{PLACE}", params={"path": place}, timeout=30, trust_env=False, verify=PLAIN
        ).json()
        names = [str(row["path"]).rpartition("/")[2] for row in listed.get("files", ()) if not row.get("is_dir")]
        return {name: self.file(version, name) for name in names}

    def view(self) -> dict[str, Any]:
        """Aliases and versions, as JSON."""
        aliases = {alias: self.alias(alias) for alias in ("champion", "staged") if self.alias(alias)}
        versions = {}
        for number in range(1, 20):
            tags = self.tags(str(number))
            if not tags:
                break
            versions[str(number)] = tags
        return {"aliases": aliases, "versions": versions, "model": self.model_tags()}

    def _get(self, path: str, **params: str) -> dict[str, Any]:
        answer = httpx.get(
            f"{self._url}/api/2.0/mlflow/{path}", params=params, timeout=30, trust_env=False, verify=PLAIN
        )
        return dict(answer.json()) if answer.status_code == 200 else {}
