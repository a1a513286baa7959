"""The ``[policy]`` table of ``stanch.toml``: the guard policy, read strictly.

A misspelt key would be a rule that nobody keeps, so whatever is not known is refused with its place.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from playbooks.contract import Risk
from playbooks.policy import EFFECTS, Demand, Policy, RiskRule

Effect = Literal["contain", "change", "destroy"]
Role = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Pattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.*]{1,100}$")]
Environment = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f;]{1,100}$")]


def _gated(risk: Risk) -> Risk:
    if not risk.is_effect:
        raise ValueError(f"{risk} is always free; write {', '.join(EFFECTS)}")
    return risk


Gated = Annotated[Risk, AfterValidator(_gated)]


class RiskRuleSettings(RiskRule):
    """How many must approve an action of one risk."""

    model_config = ConfigDict(extra="forbid")
    count: int = Field(ge=0)
    free_reversible_from: int | None = Field(default=None, ge=0, le=5)


class DemandSettings(Demand):
    """One further rule. Conditions that are left out hold always; at least one of ``count``, ``extra``, ``never``."""

    model_config = ConfigDict(extra="forbid")
    name: Words
    actions: tuple[Pattern, ...] = Field(default=("*",), min_length=1)
    risks: tuple[Gated, ...] = Field(default=EFFECTS, min_length=1)
    environments: tuple[Environment, ...] = ()
    affected_over: int | None = Field(default=None, ge=0)
    severity_below: int | None = Field(default=None, ge=1, le=5)
    count: int = Field(default=0, ge=0)
    roles: tuple[Role, ...] = ()
    extra: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _demands(self) -> "DemandSettings":
        if not (self.count or self.extra or self.never):
            raise ValueError("it demands nothing; write count = N, extra = N or never = true")
        if self.never and (self.count or self.extra):
            raise ValueError("it says never, so that no number of people can matter; leave count and extra out")
        if self.roles and not self.count:
            raise ValueError("it names roles, but not how many of them; write count = N")
        return self


def _default_rules() -> dict[Any, RiskRuleSettings]:
    return {name: RiskRuleSettings.model_validate(rule.model_dump()) for name, rule in Policy().rules.items()}


class PolicySettings(Policy):
    """The guard policy. ``rules`` replaces the default ones as a whole; a risk without a rule is refused."""

    model_config = ConfigDict(extra="forbid")
    rules: dict[Effect, RiskRuleSettings] = Field(default_factory=_default_rules)  # type: ignore[assignment]
    protected_extra: int = Field(default=1, ge=0)
    large_over: int = Field(default=1000, ge=0)
    large_extra: int = Field(default=1, ge=0)
    owners: dict[Pattern, Annotated[tuple[Role, ...], Field(min_length=1)]] = Field(default_factory=dict)
    environments: dict[Pattern, Environment] = Field(default_factory=dict)
    maximum: dict[Role, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    demands: tuple[DemandSettings, ...] = ()
