"""What people who know a story give its playbook, and what they answer when it asks."""

from collections.abc import Mapping
from typing import Any

from worker.range_models.crm import FIELD, MARKER, OBJECT
from worker.range_models.plan import (
    GOOD,
    KEY_SECRET,
    OTHER_SECRET,
    PIPELINE,
    THIEF,
    TRAINER,
    TRANSIT_KEY,
    VAULT_SECRET,
    Plan,
)
from worker.range_models.site import Site

SETTLE = "2s"
HOLD_MORE, LOOK = "5s", "2s"
ENOUGH, SHARE = 20, 0.05
"""Requests that a canary must have had to be called healthy, and its share of all requests at first."""
LEAST, MOST = 8, 180


def hold_of(rate: float) -> str:
    """How long a canary is watched at first: hours elsewhere; here as long as enough requests need, twice over.

    Args:
        rate: Requests a second that the busy partner gets answered on this machine.
    """
    return f"{round(min(MOST, max(LEAST, 2 * ENOUGH / (SHARE * max(rate, 0.1)))))}s"


def inputs_of(playbook: str, plan: Plan, site: Site, rate: float = 50.0) -> dict[str, Any]:
    """Inputs of a playbook that a person starts by hand; empty for one that is not of these stories.

    ``rate`` is how many requests a second this machine answers.
    """
    thief, good, key = (f"secret:file/{path}" for path in (site.pem(THIEF), site.pem(GOOD), site.stolen_key))
    given: Mapping[str, dict[str, Any]] = {
        "model-poisoned": {
            "model": plan.model,
            "first_bad": stamp(plan),
            "compromised_builders": ["builder-2"],
            "settle": SETTLE,
            "canary_hold": hold_of(rate),
            "canary_hold_more": HOLD_MORE,
            "canary_check": LOOK,
            "crm_object": OBJECT,
            "crm_field": FIELD,
            "crm_marker": MARKER,
        },
        "model-extraction": {
            "model": plan.model,
            "access_key": site.cloud.stolen[0],
            "credential": key,
            "thief": thief,
            "customer": good,
        },
        "key-exposed": {
            "access_key": site.cloud.stolen[0],
            "credential": key,
            "secret": KEY_SECRET,
            "secrets": [OTHER_SECRET],
            "transit_keys": [TRANSIT_KEY],
            "vault_secrets": [VAULT_SECRET],
        },
        "model-triage": {"model": plan.model},
        "model-evidence": {"model": plan.model, "since": stamp(plan)},
    }
    return dict(given.get(playbook, {}))


def said_of(story: str, plan: Plan, site: Site) -> dict[str, Any]:
    """Answers by field. A field with none stays empty: nobody knows it, or it is nobody's to say here."""
    known: dict[str, Any] = {
        "first_bad": stamp(plan),
        "builders": ["builder-2"],
        "pipeline": PIPELINE,
        "dataset": plan.dataset.id,
        "train": True,
        "cause": "named",
        "trainer": TRAINER,
        "personal_data": True,
        "verdict": "poisoned",
        "serving": "roll_back",
        "access_key": None,
        "callers": [],
    }
    if story == "model-extraction":
        known |= {"verdict": "extraction", "callers": [THIEF], "access_key": site.cloud.stolen[0]}
    if story == "key-exposed":
        known |= {"access_key": site.cloud.stolen[0]}
    return known


def stamp(plan: Plan) -> str:
    """Since when builds and data are not trusted, RFC 3339."""
    return plan.first_bad.strftime("%Y-%m-%dT%H:%M:%SZ")
