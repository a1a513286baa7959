"""Parts of steps that are mappings of their own: a check, a wait, a call of another playbook."""

from typing import Any

from pydantic import Field, StrictStr, model_validator

from playbooks.contract import Json
from playbooks.model_values import ActionName, Authored, Condition, Duration, Name, Slug, wrong

Parameters = dict[StrictStr, Json]


class Verify(Authored):
    """How Stanch sees for itself that a person's work is done."""

    action: ActionName = Field(description="A read action")
    with_: Parameters = Field(default={}, alias="with", description="Its parameters")
    until: Condition = Field(description="Holds when the work is done; sees `result`")
    every: Duration = Field(default="1m", description="How often to look")


class WaitFor(Authored):
    """A length of time, a condition, or an event."""

    for_: StrictStr | None = Field(default=None, alias="for", description="Duration, or an expression that gives one")
    until: Condition | None = Field(default=None, description="Condition that ends the wait")
    every: Duration | None = Field(default=None, description="How often the condition is evaluated, else `1m`")
    event: Name | None = Field(default=None, description="Name of the event that ends the wait")

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if isinstance(value, dict):
            given = [key for key in ("for", "until", "event") if key in value]
            if len(given) != 1:
                raise wrong("missing_key", "A wait takes one of for, until and event.", "Write {for: 5m}.")
            if given != ["until"] and "every" in value:
                raise wrong("bad_value", f"every goes with until, not with {given[0]}.", at=("every",), key=True)
            if isinstance(value.get("for"), str) and "{{" not in value["for"]:
                Timed.model_validate({"for": value["for"]})
        return value


class Timed(Authored):
    """A literal length of time."""

    for_: Duration = Field(alias="for", description="Such as 5m")


class SubPlaybook(Authored):
    """Another playbook, run within this run."""

    playbook: Slug = Field(description="Its id")
    with_: Parameters = Field(default={}, alias="with", description="Its inputs")


class Foreign(Authored):
    """A workflow of somebody else's, as the settings declare it."""

    type: Name = Field(description="Its name under `[workflows]` in the settings")
    with_: Parameters = Field(default={}, alias="with", description="Its inputs")


class Dated(Authored):
    """A fact with an instant from which legal clocks count."""

    fact: Name = Field(description="Name of the fact, without `incident.`")
    at: Json = Field(description="The instant, RFC 3339, or an expression that gives one")


class Wanted(Authored):
    """One draft of a report to an authority or to people."""

    regime: StrictStr = Field(description="Id of the regime, such as `eu_gdpr_art33`")
    stage: StrictStr = Field(description="Stage of the regime")
