"""The company of the range with its model: everything of the plain range, and the systems around the model.

with ModelRange(seed=7, people=(), story="model-poisoned", folder=folder, env=os.environ, tell=print) as world:
    world.settings(home)
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from worker.range import Range
from worker.range_checks import Assertion
from worker.range_models.actors import ModelActors
from worker.range_models.alerts import alert_of
from worker.range_models.backends import Tell
from worker.range_models.checks import checks_of
from worker.range_models.crm import write_scores
from worker.range_models.inputs import inputs_of, said_of
from worker.range_models.plan import GOOD, OURS, PARTNER, THIEF, Plan, make_plan
from worker.range_models.registry import thresholds
from worker.range_models.site import CANARY, REPLICAS, Site


class ModelRange(Range):
    """A range whose model is in trouble; ``story`` says how.

    Its CRM is there too, without the thief of the CRM's own story.
    """

    def __init__(
        self, seed: int, people: Iterable[str], story: str, folder: Path, env: Mapping[str, str], tell: Tell
    ) -> None:
        """``folder`` keeps what its servers write; ``env`` says where obtained servers are looked for."""
        super().__init__(seed, people)
        self.story = story
        self.plan: Plan = make_plan(seed)
        self._tell = tell
        self.site = Site(self.plan, folder.resolve(), env, self.record, tell)

    def _begin(self) -> None:
        self._tell("The systems around the model:")
        self.site.open()
        self.scores = write_scores(self.world, self.plan, self.site.built)
        self._systems += [*self.site.fronts.values(), self.site.edge.front]
        self.actors = ModelActors(self.site, self.record)
        self.actors.start()

    def _end(self) -> None:
        if hasattr(self, "actors"):
            self.actors.stop()
        self.site.close()

    def settings(self, home: Path) -> dict[str, dict[str, Any]]:
        """As of the plain range, with the systems around the model."""
        found = super().settings(home)
        folder, site = (home / "range").resolve(), self.site
        token = folder / "stanch_token"
        token.touch(mode=0o600)
        token.write_text(self.plan.tokens["stanch"])
        ours = f"secret:file/{token}"
        fronts = {name: front.url for name, front in site.fronts.items()}
        aws = site.cloud.settings(fronts["aws"], folder)
        found |= {
            "mlflow": {
                "url": fronts["mlflow"],
                "token": ours,
                "thresholds": str(thresholds(folder, self.plan)),
                "signing": site.keys.settings(),
            },
            "serving": {
                "replicas": [fronts[name] for name in REPLICAS],
                "canaries": [fronts[CANARY]],
                "token": ours,
            },
            "gateway": site.edge.settings(fronts["opa"], site.certificates[OURS], ours),
            "aws": aws,
            "sagemaker": aws,
            "stepca": site.authority_files.settings(site.authority_url, fronts["stepca"]),
            "vault": site.store.settings(fronts["vault"], ours),
            "training": {"url": fronts["training"], "token": ours, "poll_seconds": 1.0},
            "inference": {"logs": str(site.logs.resolve()), "gateway_logs": str(site.edge.log.parent)},
        }
        return found

    def alert(self) -> bytes:
        """The detector's alert of this story."""
        return json.dumps(alert_of(self.story, self.plan, self.site)).encode()

    def inputs_for(self, playbook: str) -> dict[str, Any]:
        """What a person who knows the story gives a playbook that is started by hand."""
        return inputs_of(playbook, self.plan, self.site, self.actors.rate())

    def said(self) -> dict[str, Any]:
        """What its people know of this seed."""
        return said_of(self.story, self.plan, self.site)

    def spared(self) -> frozenset[str]:
        """Names, fingerprints and serials of the innocent: no card may hold them."""
        kept = [self.site.certificates[name] for name in (GOOD, PARTNER, OURS)]
        return frozenset(text for one in kept for text in (one.subject, one.fingerprint, one.serial))

    def do_by_hand(self, entry: Mapping[str, Any]) -> None:
        """What a human step asks for here happens by itself, or is just said to be done."""

    def check(self) -> list[Assertion]:
        """Whether the record shows what the story's playbook promises, asked as attacker and as customer."""
        return checks_of(self.story, self)

    def places(self) -> dict[str, Any]:
        """Addresses, what plays each system, and files with the credentials of thief, partner and customers."""
        site = self.site
        held = {name: str(site.pem(name)) for name in (GOOD, PARTNER, THIEF)}
        found: dict[str, Any] = {
            "gateway": site.edge.url,
            "played_by": {name: choice.view() for name, choice in site.chosen.items()},
            "credentials": {**held, "thief of an AWS key": str(site.stolen_key)},
            "authority": str(site.authority_files.root),
        }
        self._tell(f"Gateway, as customers reach it: {site.edge.url} (its authority: {site.authority_files.root})")
        for name, front in sorted(site.fronts.items()):
            self._tell(f"  {name}: {front.url}")
        self._tell("Credentials of others:")
        for name, path in found["credentials"].items():
            self._tell(f"  {name}: {path}")
        return found

    def state(self) -> dict[str, Any]:
        """Every system's state, without secrets, and what plays it."""
        site = self.site
        found: dict[str, Any] = super().state()
        found |= {
            "mlflow": site.looker.view(),
            "serving": {name: site.served(name) for name in (*REPLICAS, CANARY)},
            "gateway": site.edge.view(),
            "aws": site.cloud.view(),
            "vault": site.store.view(),
            "training": site.service.view(),
        }
        return found | {"played_by": {name: choice.view() for name, choice in site.chosen.items()}}
