"""A version's stored evaluation: the run that it names, and how that stands to the thresholds of the settings."""

import math
from collections.abc import Mapping
from dataclasses import replace

from activities.context import ActionContext
from activities.errors import NotFound, Rejected
from activities.systems.mlflow import thresholds
from activities.systems.mlflow.config import MlflowConfig
from activities.systems.mlflow.models import TrackedRun, Version
from activities.systems.mlflow.thresholds import Checked, Rule, Suites


def judged(config: MlflowConfig, model: str) -> Suites:
    """The suites of a model; none where the settings name no file, or the file not the model.

    Raises:
        Rejected: The file cannot be used; the message says where and why.
    """
    if config.thresholds is None:
        return {}
    try:
        return thresholds.load(config.thresholds).get(model, {})
    except thresholds.BadThresholds as error:
        raise Rejected(f"The evaluation's thresholds cannot be used. Nothing was judged. {error}") from None


def run_of(ctx: ActionContext, version: Version) -> TrackedRun | None:
    """The run that a version names as its evaluation; ``None`` if it names none or that is gone."""
    named = version.tags.get(ctx.client.config.tags.eval_run, "").strip()
    if not named:
        return None
    try:
        run: TrackedRun = ctx.client.run(named)
    except NotFound:
        return None
    return run


def finite(run: TrackedRun | None) -> dict[str, float]:
    """Metrics that are numbers."""
    return {name: value for name, value in run.metrics.items() if math.isfinite(value)} if run else {}


def stored(
    ctx: ActionContext, version: Version, rules: Mapping[str, Rule], baseline: Mapping[str, float] | None
) -> tuple[tuple[str, ...], Checked]:
    """Why a stored evaluation is none, a sentence each, and how its metrics stand to some rules."""
    run = run_of(ctx, version)
    checked = thresholds.check(rules, run.metrics if run else {}, baseline)
    if run is None:
        return ("its stored evaluation is missing",), checked
    return (() if run.status == "FINISHED" else ("its evaluation did not finish",)), checked


def reasons_against(ctx: ActionContext, version: Version, rules: Mapping[str, Rule] | None) -> tuple[str, ...]:
    """Why a stored evaluation does not speak for a version; empty if it does.

    Rules that compare are left out: the clean version is what others are to be compared with.
    """
    alone = {name: replace(rule, drop=None) for name, rule in (rules or {}).items()}
    wrong, checked = stored(ctx, version, alone, None)
    if wrong:
        return wrong
    if not rules:
        return ("its stored evaluation cannot be judged: no thresholds are set for it",)
    short = (*checked.failed, *checked.missing)
    return (f"its stored evaluation fails: {', '.join(short)}",) if short else ()
