"""From an alert to what it starts. The rules are data: the shipped ones, and before them those of the settings."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from playbooks.contract import Json
from worker.alerts.model import Alert, Remark, Route
from worker.alerts.values import REPLACEMENT, stamp

MAX_INPUT = 255
"""Characters; one less than a reader keeps, so that a name that was cut is never taken for a whole one."""

WINDOW_BEFORE = timedelta(hours=24)
WINDOW_AT_MOST = timedelta(days=90)
HOUR = timedelta(hours=1)
STARTS_FROM = 2
"""Severity from which an alert starts a playbook; below, its incident opens and waits for people."""

Filling = Literal["app", "user", "job", "model", "version", "access_key", "org", "since"]
_ENTITY = {
    "app": "oauth_app",
    "user": "user",
    "job": "bulk_job",
    "model": "model",
    "version": "model_version",
    "access_key": "secret",
    "org": "org",
}
_NAMED = frozenset({"app", "model", "version"})
_FORMS = {"access_key": re.compile(r"[A-Z0-9]{16,128}")}
"""What an id must look like to be meant. Of AWS access keys: IAM API reference, AccessKey."""


class Rule(BaseModel):
    """One routing rule; the meaning of each field stands at the top of ``routes.yaml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    kinds: tuple[str, ...] = Field(min_length=1)
    sources: tuple[str, ...] = ()
    playbook: str
    effect: bool = True
    instead: str | None = None
    inputs: dict[str, Filling] = Field(default_factory=dict)

    def holds(self, alert: Alert) -> bool:
        """Whether it is about this alert."""
        if self.sources and alert.source not in self.sources:
            return False
        return any(fnmatchcase(alert.kind, kind) for kind in self.kinds)


@dataclass(frozen=True)
class Chosen:
    """An alert with its route, and what runs instead once its source has used up its starts with effect."""

    alert: Alert
    instead: str | None = None


class Routes:
    """Rules in the order of trying."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)

    @classmethod
    def of(cls, given: Iterable[Mapping[str, Any]] = ()) -> "Routes":
        """The shipped rules behind those of the settings.

        Raises:
            pydantic.ValidationError: a rule of the settings is malformed.
        """
        return cls((*(Rule.model_validate(rule) for rule in given), *_shipped()))

    def rule_for(self, alert: Alert) -> Rule | None:
        """The rule that decides about an alert; ``None`` where nothing is started for it."""
        rule = next((rule for rule in self.rules if rule.holds(alert)), None)
        return None if rule is None or rule.playbook == "none" else rule

    def choose(self, alert: Alert, received: datetime) -> Chosen:
        """The alert with its route. Severity 1 and unmatched events have none, a closing one starts nothing."""
        if alert.severity < STARTS_FROM or alert.action == "close":
            return Chosen(alert)
        rule = self.rule_for(alert)
        if rule is None:
            return Chosen(alert)
        inputs, remarks = fill(rule.inputs, alert, received)
        route = Route(rule=rule.rule, playbook=rule.playbook, inputs=inputs)
        problems = (*alert.problems, *remarks)
        routed = alert.model_copy(update={"route": route, "effect": rule.effect, "problems": problems})
        return Chosen(routed, instead=rule.instead)


def fill(wanted: Mapping[str, Filling], alert: Alert, received: datetime) -> tuple[dict[str, Json], list[Remark]]:
    """Playbook inputs from an alert: what it does not name is left out, and so is what nobody could write."""
    inputs: dict[str, Json] = {}
    remarks: list[Remark] = []
    for name, filling in wanted.items():
        if filling == "since":
            inputs[name] = stamp(window_start(alert, received))
            continue
        form = _FORMS.get(filling)
        alike = (each for each in alert.entities if each.kind == _ENTITY[filling])
        entity = next((each for each in alike if form is None or form.fullmatch(each.id)), None)
        if entity is None:
            continue
        value = entity.name if filling in _NAMED and entity.name else entity.id
        if len(value) > MAX_INPUT or not value.isprintable() or REPLACEMENT in value:
            message = f"The {filling} that the alert names has characters that no name has; the input is asked for."
            remarks.append(Remark(code="input_unsafe", message=message))
            continue
        inputs[name] = value
    return inputs, remarks


def window_start(alert: Alert, received: datetime) -> datetime:
    """Where evidence begins: 24 hours before the earlier of first sight and receipt, at most 90 days back."""
    seen = datetime.fromisoformat(alert.first_seen)
    return max(min(seen, received) - WINDOW_BEFORE, received - WINDOW_AT_MOST)


def capped(chosen: Chosen, most: int) -> Alert:
    """The alert of a source that has used up its starts: the gentler playbook, or none, and it says so."""
    alert = chosen.alert
    if alert.route is None:
        return alert
    gentler = None
    if chosen.instead is not None:
        inputs = {name: value for name, value in alert.route.inputs.items() if name == "since"}
        gentler = Route(rule=f"{alert.route.rule}, capped", playbook=chosen.instead, inputs=inputs)
    message = (
        f"This source has used its {most} starts of {alert.route.playbook} and the like for this hour; "
        f"{'only ' + gentler.playbook if gentler else 'nothing'} was started."
    )
    remark = Remark(code="capped", message=message)
    return alert.model_copy(update={"route": gentler, "effect": False, "problems": (*alert.problems, remark)})


@cache
def _shipped() -> tuple[Rule, ...]:
    text = resources.files("worker.alerts").joinpath("routes.yaml").read_text("utf-8")
    return tuple(Rule.model_validate(rule) for rule in yaml.safe_load(text))
