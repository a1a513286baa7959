"""Serving actions that look: what each replica knows, and what it really answers with."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from activities.action import Action, Applied, Params, Proposal, Result, action
from activities.context import ActionContext
from activities.errors import ConnectorError, Rejected
from activities.systems.serving.declared import OWNER, STATE, OneModel
from activities.systems.serving.models import Served, agreeing
from playbooks.contract import Risk


class ListModelsParams(Params):
    """Nothing: every replica of the settings."""


class ModelsListed(Result):
    """Names of the models that any replica knows; ``complete`` only if every replica answered."""

    models: list[str]
    replicas: int
    complete: bool


@action(
    "serving.list_models", risk=Risk.READ, owner=OWNER, acquires=STATE, scopes=("read",), timeout=timedelta(minutes=5)
)
class ListModels(Action[ListModelsParams, ModelsListed]):
    """Secure which models the replicas know and serve."""

    def apply(self, params: ListModelsParams, ctx: ActionContext, proposal: Proposal) -> Applied[ModelsListed]:
        """Each replica's index, and for each model what a customer is answered with."""
        rows: list[dict[str, Any]] = []
        models: set[str] = set()
        silent = 0
        for replica in ctx.client.replicas:
            try:
                entries = ctx.client.index(replica)
            except ConnectorError as error:
                silent += 1
                rows.append({"replica": replica, "state": "unreachable", "code": error.code})
                continue
            for entry in entries:
                models.add(entry.name)
                served = ctx.client.ask(replica, entry.name)
                silent += served.state == "unreachable"
                rows.append({"replica": replica, "index": asdict(entry), "served": asdict(served)})
        keep_lines(ctx, rows, "serving.models.jsonl")
        warnings = [f"{silent} answers of replicas are missing; what they serve is not known"] if silent else []
        return Applied(
            ModelsListed(models=sorted(models), replicas=len(ctx.client.replicas), complete=not silent),
            summary=f"{len(models)} models on {len(ctx.client.replicas)} replicas",
            warnings=tuple(warnings),
        )


class ProbeModelParams(OneModel):
    """Which model, and what every replica should serve; without either all have to agree."""

    version: str | None = None
    digest: str | None = None


class Probed(Result):
    """What the replicas answered with.

    ``matching`` is true only if every replica of the settings answered with exactly the version and digest asked for.
    ``versions`` and ``digests`` are those found, each once; ``unreachable`` counts replicas of which nothing is known.
    """

    matching: bool
    versions: list[str]
    digests: list[str]
    replicas: int
    serving: int
    unreachable: int


@action("serving.probe_model", risk=Risk.READ, owner=OWNER, scopes=("infer",), timeout=timedelta(minutes=5))
class ProbeModel(Action[ProbeModelParams, Probed]):
    """Ask every replica as a customer which version it serves."""

    def apply(self, params: ProbeModelParams, ctx: ActionContext, proposal: Proposal) -> Applied[Probed]:
        """One inference each. A replica that does not answer, or does not say its digest, never counts as fine."""
        return _probed(ctx.client.ask_all(params.model), params, ctx, "replicas")


class ProbeCanaryParams(ProbeModelParams):
    """Which model, and what every canary should serve; without either all have to agree."""


@action("serving.probe_canary", risk=Risk.READ, owner=OWNER, scopes=("infer",), timeout=timedelta(minutes=5))
class ProbeCanary(Action[ProbeCanaryParams, Probed]):
    """Ask every canary as a customer which version it serves."""

    def apply(self, params: ProbeCanaryParams, ctx: ActionContext, proposal: Proposal) -> Applied[Probed]:
        """One inference each, before customers are sent there. The outputs are of canaries, not of replicas."""
        if not ctx.client.canaries:
            raise Rejected(
                "No canary is named for this worker. Nothing was asked. Name them: systems.serving.canaries."
            )
        answers = [ctx.client.ask(canary, params.model) for canary in ctx.client.canaries]
        return _probed(answers, params, ctx, "canaries")


def _probed(answers: Sequence[Served], params: ProbeModelParams, ctx: ActionContext, noun: str) -> Applied[Probed]:
    keep_lines(ctx, map(asdict, answers), "serving.probe.jsonl")
    serving = [one for one in answers if one.state == "serving"]
    silent = [one for one in answers if one.state == "unreachable"]
    right = [one for one in answers if one.is_exactly(params.version, params.digest)]
    warnings = []
    if silent:
        warnings.append(f"{len(silent)} of {len(answers)} {noun} did not answer; what they serve is not known")
    untold = [one for one in serving if not one.digest]
    if untold:
        warnings.append(f"{len(untold)} {noun} do not report the digest of what they loaded")
    exact = params.version is not None or params.digest is not None
    return Applied(
        Probed(
            matching=len(right) == len(answers) and (exact or agreeing(answers)),
            versions=sorted({one.version for one in serving if one.version}),
            digests=sorted({one.digest for one in serving if one.digest}),
            replicas=len(answers),
            serving=len(serving),
            unreachable=len(silent),
        ),
        summary=f"{len(right)} of {len(answers)} {noun} serve it"
        + (" as asked" if exact else "")
        + (f", {len(silent)} do not answer" if silent else ""),
        warnings=tuple(warnings),
    )


def keep_lines(ctx: ActionContext, rows: Iterable[Mapping[str, Any]], name: str) -> None:
    """Keep rows as JSON lines in evidence."""
    lines = "".join(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows)
    ctx.put(lines.encode(), name=name, media_type="application/jsonl")


ACTIONS = (ListModels, ProbeModel, ProbeCanary)
