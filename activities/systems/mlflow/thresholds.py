"""Thresholds of a model's evaluation, as data, and what fails by them. Pure.

    churn-scorer:
      release:
        accuracy: {min: 0.8, not_below_baseline_by: 0.02}
        parity.gap: {max: 0.1}
      regression:
        regression.trigger_rate: {max: 0}

A metric that is not there fails, as does one that is no number: silence is not a pass (facts §6.1, G6).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from playbooks.contract import Json
from playbooks.loader_yaml import Document, Loc, YamlDefect, read

LARGEST = 1_000_000
RULES = ("min", "max", "not_below_baseline_by")


class BadThresholds(ValueError):
    """A thresholds file cannot be used; the message says where and why, ``FILE:LINE:COLUMN: …``."""


@dataclass(frozen=True)
class Rule:
    """What a metric must keep; ``None`` where nothing is asked.

    Attributes:
        least: The metric is at least that.
        most: At most that.
        drop: At most that much below the baseline's value.
    """

    least: float | None = None
    most: float | None = None
    drop: float | None = None


@dataclass(frozen=True)
class Checked:
    """How metrics stand to a suite. ``failed`` and ``missing`` are sentences, sorted by metric."""

    failed: tuple[str, ...]
    missing: tuple[str, ...]
    checked: int

    @property
    def ok(self) -> bool:
        """Whether something was checked and nothing failed or was missing."""
        return self.checked > 0 and not self.failed and not self.missing


Suites = Mapping[str, Mapping[str, Rule]]
"""Rules by metric, by suite."""


def load(path: Path) -> dict[str, Suites]:
    """Suites by model of a file.

    Raises:
        BadThresholds: It cannot be read, or is no such file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise BadThresholds(f"{path}: it cannot be read: {error.strerror}") from None
    if len(content) > LARGEST:
        raise BadThresholds(f"{path}: it is over 1 MB")
    try:
        return parse(content.decode(), str(path))
    except UnicodeDecodeError:
        raise BadThresholds(f"{path}: it is not UTF-8") from None


def parse(text: str, name: str = "thresholds.yaml") -> dict[str, Suites]:
    """Suites by model of a text.

    Raises:
        BadThresholds: It is no such text.
    """
    try:
        document = read(text)
    except YamlDefect as defect:
        raise BadThresholds(f"{name}:{defect.place[0]}:{defect.place[1]}: {defect.message}") from None
    reader = _Reader(document, name)
    return {
        model: {
            suite: {metric: reader.rule((model, suite, metric)) for metric in reader.entries((model, suite), "metric")}
            for suite in reader.entries((model,), "suite")
        }
        for model in reader.entries((), "model")
    }


class _Reader:
    def __init__(self, document: Document, name: str) -> None:
        self._document, self._name = document, name

    def entries(self, loc: Loc, what: str) -> dict[str, Json]:
        """The entries of a mapping that must not be empty."""
        value = self._document.value if not loc else self._document.at(loc)
        if not isinstance(value, dict) or not value:
            raise self.bad(loc, f"here must stand at least one {what} with what belongs to it")
        return value

    def rule(self, loc: Loc) -> Rule:
        """One metric's rule."""
        given = self.entries(loc, f"of {', '.join(RULES)}")
        for key, value in given.items():
            if key not in RULES:
                raise self.bad((*loc, key), f"{key[:60]} is none of {', '.join(RULES)}", key=True)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise self.bad((*loc, key), "a number is needed here")
            if key == RULES[2] and value < 0:
                raise self.bad((*loc, key), "how far below the baseline it may be is zero or more")
        rule = Rule(*(float(given[key]) if key in given else None for key in RULES))
        if rule.least is not None and rule.most is not None and rule.least > rule.most:
            raise self.bad(loc, "min is above max, so nothing can pass")
        return rule

    def bad(self, loc: Loc, said: str, *, key: bool = False) -> BadThresholds:
        """The error at a place."""
        line, column = self._document.where(loc, key=key)
        return BadThresholds(f"{self._name}:{line}:{column}: {said}")


def check(rules: Mapping[str, Rule], metrics: Mapping[str, float], baseline: Mapping[str, float] | None) -> Checked:
    """What of a suite's rules some metrics do not keep.

    Args:
        rules: By metric.
        metrics: What was measured.
        baseline: What was measured of the version to compare with; ``None`` if there is none to compare with, and
            then a rule that compares is missing its other half.
    """
    failed, missing = [], []
    for name, rule in sorted(rules.items()):
        value = metrics.get(name)
        if value is None:
            missing.append(f"{name} was not measured")
            continue
        if not math.isfinite(value):
            failed.append(f"{name} is not a number")
            continue
        if rule.least is not None and value < rule.least:
            failed.append(f"{name} is {value:g}, at least {rule.least:g} is needed")
        if rule.most is not None and value > rule.most:
            failed.append(f"{name} is {value:g}, at most {rule.most:g} is allowed")
        if rule.drop is not None:
            before = (baseline or {}).get(name)
            if before is None or not math.isfinite(before):
                missing.append(f"{name} of the baseline was not measured")
            elif value < before - rule.drop:
                failed.append(f"{name} is {value:g}, {before - value:g} below the baseline, {rule.drop:g} is allowed")
    return Checked(tuple(failed), tuple(missing), len(rules))
