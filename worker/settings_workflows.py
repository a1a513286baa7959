"""``[workflows.NAME]``: workflows of others that playbooks may start."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from playbooks.contract import Mode, Risk
from playbooks.model_values import MAX_DURATION, SCALARS, seconds

TYPES = frozenset((*SCALARS, "any", "map")) - {"choice"}
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldSettings(_Part):
    """An input or output. ``type`` as in a playbook, a list as ``list[string]``; also ``any`` and ``map``."""

    type: str
    required: bool = True
    default: Any = None
    description: str = ""

    @field_validator("type")
    @classmethod
    def _known(cls, value: str) -> str:
        inner = value.removeprefix("list[").removesuffix("]")
        if inner not in TYPES or value not in (inner, f"list[{inner}]"):
            raise ValueError(f"there is no type {value}; one of {', '.join(sorted(TYPES))}, or list[TYPE]")
        return value


class WorkflowSettings(_Part):
    """One type of workflow: where it runs, what it can do to the business, who owns what it touches."""

    queue: str = Field(min_length=1)
    workflow: str = ""
    """Its Temporal type; by default its name here."""
    namespace: str | None = None
    """By default Stanch's own."""
    risk: Risk
    owner: str
    """Role that approves a start."""
    title: str = ""
    irreversible: str = ""
    """Why it cannot be taken back; needed from risk ``contain`` up."""
    timeout: str = "1h"
    """How long one may run, as in a playbook."""
    modes: tuple[Mode, ...] = (Mode.LIVE,)
    """Kinds of runs that may start it."""
    encrypted: bool = False
    """Whether its workers read Stanch's payload encryption; else its input is plain JSON."""
    inputs: dict[str, FieldSettings] = Field(default_factory=dict)
    outputs: dict[str, FieldSettings] = Field(default_factory=dict)

    @field_validator("timeout")
    @classmethod
    def _duration(cls, value: str) -> str:
        if seconds(value) > MAX_DURATION:
            raise ValueError("longer than ten years")
        return value

    @field_validator("inputs", "outputs")
    @classmethod
    def _named(cls, value: dict[str, FieldSettings]) -> dict[str, FieldSettings]:
        return {checked(name): known for name, known in value.items()}

    @model_validator(mode="after")
    def _taken_back(self) -> "WorkflowSettings":
        if self.risk.is_effect and not self.irreversible.strip():
            raise ValueError("irreversible is missing: say why what it does cannot be taken back")
        return self


def checked(name: str) -> str:
    """A name that playbooks can write.

    Raises:
        ValueError: It cannot be one.
    """
    if NAME.fullmatch(name) is None:
        raise ValueError(f"{name[:70]!r} cannot be a name: small letters, digits and _")
    return name
