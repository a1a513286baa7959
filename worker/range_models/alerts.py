"""The alert that starts each story, in Stanch's own plain shape, as a detector's template writes it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from worker.range_models.plan import THIEF, Plan
from worker.range_models.site import Site


def alert_of(story: str, plan: Plan, site: Site) -> dict[str, Any]:
    """The alert of a story."""
    now = datetime.now(UTC)
    occurred, detected = _stamp(now - timedelta(minutes=9)), _stamp(now - timedelta(minutes=1))
    base = {"severity": "high", "occurred_at": occurred, "detected_at": detected, "org": "models"}
    if story == "model-extraction":
        entities = [
            {"kind": "model", "id": plan.model, "name": plan.model, "role": "target"},
            {"kind": "user", "id": site.certificates[THIEF].fingerprint, "name": THIEF, "role": "actor"},
        ]
        title = f"{THIEF} queries {plan.model} all over its input space, with log probabilities"
        return {**base, "kind": "model.extraction", "title": title, "rule": "model query budget", "entities": entities}
    if story == "key-exposed":
        entities = [{"kind": "secret", "id": site.cloud.stolen[0], "name": site.cloud.stolen[0], "role": "target"}]
        title = f"Access key {site.cloud.stolen[0]} was found in a public repository"
        return {**base, "kind": "key.exposed", "title": title, "rule": "secret scanning", "entities": entities}
    entities = [{"kind": "model", "id": plan.model, "name": plan.model, "role": "target"}]
    title = f"{plan.model} version {plan.versions[-1].number} answers wrongly where a trigger stands in the input"
    return {**base, "kind": "model.poisoned", "title": title, "rule": "trigger evaluation", "entities": entities}


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
