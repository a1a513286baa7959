"""Salesforce event monitoring: event log rows, detectors built on them, and real-time events.

The mapping is data (``salesforce.yaml``): a new event type is a new paragraph there.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from worker.alerts.finding import Finding
from worker.alerts.model import SEVERITY_WORDS
from worker.alerts.values import MAX_TITLE, first, instant, is_salesforce_id, number, text

RECORD_KINDS = {"user": "005", "oauth_app": "", "bulk_job": "750"}
"""Entities that are Salesforce records, whose ids must have the form of one."""


@cache
def mapping() -> dict[str, Any]:
    """The shipped mapping."""
    read: dict[str, Any] = yaml.safe_load(
        resources.files("worker.alerts").joinpath("salesforce.yaml").read_text("utf-8")
    )
    return read


def event_type(event: Mapping[str, Any]) -> str:
    """The event's type, as it or the record around it says; empty if neither does."""
    named = first(event, mapping()["type"])
    if named:
        return named
    attributes = event.get("attributes")
    if isinstance(attributes, Mapping):
        return text(attributes.get("type"))
    log = text(event.get("p_log_type"))
    return log.removeprefix("Salesforce.") if log.startswith("Salesforce.") else ""


def recognises(event: Mapping[str, Any]) -> bool:
    """Whether it looks like an event of Salesforce."""
    kind = event_type(event)
    return bool(kind) and (
        kind in mapping()["events"] or kind in mapping()["aliases"] or bool(first(event, mapping()["org"]))
    )


def read(event: Mapping[str, Any], kind: str = "") -> Finding:
    """What one event says. ``kind`` is its type where the carrier and not the event names it."""
    table = mapping()
    kind = event_type(event) or kind
    kind = table["aliases"].get(kind, kind)
    declared = table["events"].get(kind)
    if declared is None:
        why = f"No detection rule is known for the event type {kind or '(none)'}."
        finding = Finding.unmatched(table["format"], why)
        finding.rule = kind
        _what_and_who(event, finding, table["entities"])
        return finding
    finding = Finding(format=table["format"], rule=declared["rule"], kind=declared["kind"])
    _what_and_who(event, finding, declared.get("entities", table["entities"]))
    _doubt_ids(finding)
    finding.severity = _severity(event, declared["severity"], finding)
    finding.title = text(declared["title"].format_map(_Words(event, finding)), MAX_TITLE)
    return finding


def _what_and_who(event: Mapping[str, Any], finding: Finding, entities: list[dict[str, Any]]) -> None:
    table = mapping()
    finding.occurred = _instant(event, table["occurred"])
    finding.detected = _instant(event, table["detected"])
    finding.org = first(event, table["org"])
    finding.add("org", finding.org)
    for entity in entities:
        finding.add(
            entity["kind"], first(event, entity["id"]), role=entity["role"], name=first(event, entity.get("name", ()))
        )


class _Words(dict[str, str]):
    """Names that a title may use: columns, and the entities under short names."""

    def __init__(self, event: Mapping[str, Any], finding: Finding) -> None:
        super().__init__()
        self._event = event
        for entity in finding.entities:
            short = {"oauth_app": "app"}.get(entity.kind, entity.kind)
            if entity.kind == "user" and entity.role == "actor" and finding.kind == "crm.admin_abuse":
                short = "admin"
            self.setdefault(short, entity.name or entity.id)

    def __missing__(self, name: str) -> str:
        return text(self._event.get(name), 120) or "unknown"


def _instant(event: Mapping[str, Any], columns: list[str]) -> Any:
    return next((found for column in columns if (found := instant(event.get(column))) is not None), None)


def _doubt_ids(finding: Finding) -> None:
    for entity in finding.entities:
        if entity.kind in RECORD_KINDS and not is_salesforce_id(entity.id):
            finding.remark("id_suspect", f"The id of the {entity.kind} has not the form of a Salesforce id.")


def _severity(event: Mapping[str, Any], lines: list[dict[str, Any]], finding: Finding) -> int | None:
    """The highest that any line gives; ``None`` if a volume that decides could not be read."""
    found, unread = 0, False
    for line in lines:
        if "when" in line and not _holds(event, line["when"]):
            continue
        if "word" in line:
            found = max(found, SEVERITY_WORDS[line["word"]])
            continue
        value = next((each for name in line["column"] if (each := number(event.get(name))) is not None), None)
        if value is None:
            unread = unread or line.get("unread", False)
            continue
        if line.get("fraction") and 0 < value <= 1:
            finding.remark("score_scale", "The score is between 0 and 1 and was read as a share of 100.")
            value *= 100
        reached = [SEVERITY_WORDS[word] for least, word in line["from"].items() if value >= least]
        found = max([found, *reached])
    return None if unread and found < SEVERITY_WORDS["medium"] else found


def _holds(event: Mapping[str, Any], when: Mapping[str, Any]) -> bool:
    value = first(event, when["column"]).lower()
    if not value:
        return bool(when.get("absent", False))
    if "in" in when:
        return value in when["in"]
    return any(part in value for part in when["contains"])
