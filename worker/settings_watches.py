"""``[watches.NAME]``: what Stanch looks at by itself, how often, and what it makes of it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from playbooks.expr import check
from playbooks.expr_names import calls, names
from playbooks.expr_text import ExprError, sole
from playbooks.model_values import seconds

SHORTEST, LONGEST = 5 * 60, 366 * 24 * 3600


class WatchSettings(BaseModel):
    """One watch."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    action: str
    """A reading action, such as ``aws.check_cryptoperiods``."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Its parameters, as a playbook would give them."""
    every: str = "1d"
    """How often, as in a playbook; from ``5m`` on."""
    finds: str
    """Expression over ``result``; true is a finding."""
    kind: str
    """Kind of the alert that a finding is."""
    severity: int = Field(default=2, ge=1, le=5)
    title: str = Field(min_length=1, max_length=120)
    """Of the incident; what the action says of itself follows it."""
    inputs: dict[str, Any] = Field(default_factory=dict)
    """Inputs of the playbook that the alert starts, beside those of its route."""

    @field_validator("every")
    @classmethod
    def _often(cls, value: str) -> str:
        if not SHORTEST <= seconds(value) <= LONGEST:
            raise ValueError("from 5m to 366d")
        return value

    @field_validator("finds")
    @classmethod
    def _expression(cls, value: str) -> str:
        source = sole(value)
        if source is None:
            raise ValueError('an expression in braces, such as "{{ result.overdue > 0 }}"')
        try:
            check(source)
        except ExprError as error:
            raise ValueError(str(error)) from None
        strange = sorted({chain[0] for chain in names(source)} - {"result"})
        if strange:
            raise ValueError(f"it knows result only, not {', '.join(strange)}")
        if "now" in calls(source):
            raise ValueError("it has no now(): what it says must follow from result alone")
        return value

    @property
    def condition(self) -> str:
        """``finds`` without its braces."""
        return sole(self.finds) or ""
