"""A playbook as its author writes it: the header, the inputs, the steps.

The file is checked against these models (the shape); what a playbook means is checked by ``playbooks.compile``.
Every field's description feeds the generated reference and the JSON Schema for editors.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictStr, StringConstraints

from playbooks.model_steps import BaseStep, Loc, Steps, walk
from playbooks.model_values import Authored, InputField, Labels, Name, OutputName, OutputValue, Slug, Text, wrong

LANGUAGE = 1
AlertKind = Literal[
    "crm.oauth_token_theft",
    "crm.bulk_exfiltration",
    "crm.api_anomaly",
    "crm.admin_abuse",
    "crm.guest_scraping",
    "crm.cross_border_sync",
    "crm.integration_change",
    "model.extraction",
    "model.poisoned",
    "model.weights_exposed",
    "model.prompt_injection",
    "model.training_data_exposed",
    "ai.supply_chain",
    "key.exposed",
    "key.overdue",
    "unknown",
]
Version = Annotated[StrictStr, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$")]


def _language(value: Any) -> Any:
    if type(value) is not int:
        raise wrong("bad_value", "This is no version of the language.", f"Write stanch: {LANGUAGE}.")
    if value != LANGUAGE:
        said = "This is written in another version of the language."
        raise wrong("not_in_this_version", said, f"This Stanch reads stanch: {LANGUAGE}.")
    return value


class Playbook(Authored):
    """A reviewed response, step by step."""

    stanch: Annotated[Literal[1], BeforeValidator(_language)] = Field(description="Version of the language: 1")
    id: Slug = Field(description="Name of the playbook, unique in the library")
    version: Version = Field(description="Version of the playbook, MAJOR.MINOR.PATCH")
    title: Text = Field(description="What it responds to, in a line")
    labels: Labels = Field(default={}, description="Free labels, such as techniques of a framework")
    starts_on: list[AlertKind] = Field(default=[], description="Kinds of alerts that it answers")
    inputs: dict[Name, InputField] = Field(default={}, description="What it must be told")
    steps: Steps = Field(description="What is done, in order")
    always: Steps = Field(
        default=[],
        description="Runs once however the run ends, except when undone; legal duties belong here",
    )

    outputs: dict[OutputName, OutputValue] = Field(
        default={}, description="What it gives back to the playbook that runs it, `{NAME: {type: TYPE, value: EXPR}}`"
    )

    def walk(self) -> Iterator[tuple[Loc, BaseStep]]:
        """Every step, in the order of the file, each with its place (``("steps", 0, "then", 1)``)."""
        yield from walk(self.steps, ("steps",))
        yield from walk(self.always, ("always",))
