"""The stories that the demo can play: each with its world, what must be true at its end, and what its people know."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from worker.demo_people import SAID

if TYPE_CHECKING:
    from worker.range import Range

Tell = Callable[[str], None]
CONTAINS_CRM = "crm-oauth-token-theft"
MODEL_KINDS = ("model.", "key.", "ai.")


@dataclass(frozen=True)
class Setting:
    """What a world is made of.

    Attributes:
        seed: Settles names, ids and counts.
        people: Names of the users of its Slack workspace.
        folder: Where it may keep files.
        env: Of the process: where obtained servers are looked for.
        tell: Gets a line for what people should know, such as which system is played by a peer.
    """

    seed: int
    people: Iterable[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    tell: Tell = lambda line: None


@dataclass(frozen=True)
class Story:
    """One story.

    Attributes:
        name: Of the story.
        playbooks: Those that must end with the thief shut out; others must only do no harm.
        first: System to the kind of evidence that must have been read before its first effect. A system that is
            not named needs none.
        world: Makes the simulated company; what is needed to play it is loaded only then.
        closed: What is said when all is well.
        said: What its people know, by the field that asks for it.
    """

    name: str
    playbooks: frozenset[str]
    first: Mapping[str, str]
    world: Callable[[Setting], "Range"]
    closed: str
    said: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType(SAID))


def _crm(setting: Setting) -> "Range":
    from worker.range import Range

    return Range(setting.seed, setting.people)


def _models(story: str) -> Callable[[Setting], "Range"]:
    def world(setting: Setting) -> "Range":
        from worker.range_models.company import ModelRange

        return ModelRange(setting.seed, setting.people, story, setting.folder, setting.env, setting.tell)

    return world


CRM = Story(
    name="crm",
    playbooks=frozenset({CONTAINS_CRM}),
    first={"salesforce": "access_logs"},
    world=_crm,
    closed="everything of the thief's is closed",
)

MODEL_SAID: dict[str, Any] = SAID | {
    "subject_categories": ["customers"],
    "record_categories": ["churn scores", "inference requests"],
    "root_cause": "A builder of the model pipeline was compromised; what it signed was valid and wrong.",
    "worked": "The clean version was found by rule, not by age.",
    "failed": "Nobody compared the training rows of one version with those of the last.",
    "mitigation": "The builder's identity is revoked; releases need a second builder.",
    "improvements": ["model_owner: a cool-down for contributed rows within a month"],
}

EXTRACTION_SAID: dict[str, Any] = MODEL_SAID | {
    "root_cause": "The certificate of an integration was taken and used to query the model around the clock.",
    "worked": "The suspect was told from a busy partner by what it asked, not by how much.",
    "failed": "Log probabilities were given to everybody.",
    "mitigation": "Certificates live an hour; log probabilities are for those who need them.",
    "improvements": ["platform_owner: a budget of queries for each caller within a month"],
}

KEY_SAID: dict[str, Any] = MODEL_SAID | {
    "root_cause": "An access key lay in the settings of a program and was copied from there.",
    "worked": "The key was tried as the thief would, so an inactive key that still works was seen.",
    "failed": "The key was older than its cryptoperiod and nobody had replaced it.",
    "mitigation": "The new key never leaves Secrets Manager.",
    "improvements": ["platform_owner: a watch on cryptoperiods within a month"],
}

STORIES = {
    story.name: story
    for story in (
        CRM,
        Story(
            name="model-poisoned",
            playbooks=frozenset({"model-poisoned"}),
            first={"mlflow": "registry_state", "gateway": "gateway_state", "salesforce": "access_logs"},
            world=_models("model-poisoned"),
            closed="every customer is answered by the clean version, and the poisoned ones are out of reach",
            said=MappingProxyType(MODEL_SAID),
        ),
        Story(
            name="model-extraction",
            playbooks=frozenset({"model-extraction"}),
            first={"gateway": "gateway_state", "aws": "identity_state"},
            world=_models("model-extraction"),
            closed="the thief is refused and every customer is served",
            said=MappingProxyType(EXTRACTION_SAID),
        ),
        Story(
            name="key-exposed",
            playbooks=frozenset({"key-exposed"}),
            first={"aws": "identity_state"},
            world=_models("key-exposed"),
            closed="the exposed key is refused and the new one works",
            said=MappingProxyType(KEY_SAID),
        ),
    )
}


def story_for(playbook: str | None, alert: Path | None) -> Story:
    """The story in which a playbook or an alert makes sense; that of the CRM if nothing says otherwise."""
    if playbook is not None:
        if playbook in STORIES:
            return STORIES[playbook]
        return STORIES["model-poisoned"] if playbook.startswith("model-") else CRM
    if alert is None:
        return CRM
    kind = _kind(alert.read_bytes())
    if kind == "model.extraction":
        return STORIES["model-extraction"]
    if kind.startswith("key."):
        return STORIES["key-exposed"]
    return STORIES["model-poisoned"] if kind.startswith(MODEL_KINDS) else CRM


def _kind(body: bytes) -> str:
    """What the alert would be read as; unknown if it cannot be read. The door reads it again and says so."""
    from worker.alerts.intake import Intake
    from worker.alerts.readers import BodyRefused

    try:
        return Intake.of({}, (), lambda reference: "", "").check(body, "file", datetime.now(UTC)).kind
    except BodyRefused:
        return "unknown"
