"""Where the logs of inference requests lie, and from when on a caller's use of a model looks like extraction."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from activities.systems.serving.config import CALLER

Share = Annotated[float, Field(ge=0, le=1)]


class Thresholds(BaseModel):
    """When a measure of a caller counts as a sign, and how many points of signs make a suspect.

    What the signs are is from public work on model extraction: unusual volume per principal, queries that are not from
    the customers' distribution (Juuti et al., PRADA, EuroS&P 2019; Orekondy et al., Knockoff Nets, CVPR 2019), coverage
    of the input space (Kesarwani et al., Model Extraction Warning, ACSAC 2018), probing near the decision boundary and
    harvesting of confidence values (Tramèr et al., USENIX Security 2016); MITRE ATLAS AML.T0024.002 names the technique
    and AML.M0002, AML.M0004 (fewer outputs, fewer queries) the measures. The figures are ours: chosen so that on the
    synthetic traffic of ``tests/unit/test_extraction_rule.py`` no customer is a suspect and a slow harvester is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suspect_at: float = Field(default=4.0, gt=0)
    """Points that make a suspect."""
    logprobs_points: float = 3.0
    """For log probabilities beyond the caller's own and others' habit."""
    novelty_points: float = 2.0
    """For inputs where nobody's baseline has any."""
    coverage_points: float = 2.0
    """For a wider spread over the input space than any baseline."""
    boundary_points: float = 2.0
    """For scores near the decision boundary beyond the own and others' habit."""
    budget_points: float = 1.0
    """For more rows than the own baseline or, without one, other callers' allow. Never enough by itself."""
    minimum_rows: int = Field(default=30, ge=10)
    """Fewer rows than these are not judged: too few for any share."""
    habit_days: float = Field(default=7.0, gt=0)
    """How long before the window a caller must have begun for its baseline to be a habit; half of what the log holds
    is enough where that is less."""
    certainty: float = Field(default=4.0, gt=0)
    """Standard errors by which a share has to exceed what is expected."""
    novelty_excess: Share = 0.15
    """By how much the share of novel rows has to exceed the expected one."""
    coverage_ratio: float = Field(default=1.6, gt=1)
    """How many times the effective number of grid cells of the widest baseline."""
    logprobs_excess: Share = 0.2
    """By how much the share of requests that ask for log probabilities has to exceed the habit."""
    boundary: float = 0.5
    """Score at which the answer turns."""
    boundary_width: float = Field(default=0.05, gt=0)
    """A score this close to it is near."""
    boundary_excess: Share = 0.15
    """By how much the share of near scores has to exceed the habit."""
    burst: float = Field(default=3.0, ge=1)
    """How many times the usual rate is within a caller's budget."""
    regular_dispersion: float = Field(default=0.5, gt=0)
    """Variance over mean of requests per slot of time below which timing is called regular (1 is chance)."""
    cells: int = Field(default=4096, ge=16, le=65_536)
    """Cells of the grid over the input space, roughly."""


class InferenceConfig(BaseModel):
    """Folders of the inference log and of the gateway's log: JSON lines, plain or gzip, on this worker's disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    logs: str = Field(min_length=1)
    """Folder of ``*.jsonl`` and ``*.jsonl.gz`` that the model servers write, with those below it."""
    gateway_logs: str | None = None
    """Folder of the gateway's log in the same form; without it blind spots cannot be looked for."""
    own_callers: tuple[str, ...] = (CALLER,)
    """Callers that are Stanch's own probes; never judged."""
    score: str = "score"
    """Name of the output that is the model's probability."""
    not_inference: tuple[str, ...] = (
        "/v2",
        "/v2/health/*",
        "/v2/models/*/ready",
        "/v2/models/*/versions/*/ready",
        "/v2/repository/*",
        "/healthz",
        "/readyz",
        "/metrics",
        "/favicon.ico",
    )
    """Paths (shell patterns) at the gateway that are no inference; every other answered path should be in the log."""
    thresholds: Thresholds = Thresholds()


CONFIG = InferenceConfig
