"""OCSF Detection Finding, class 2004, of any released version. The mapping is data (``ocsf.yaml``)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

import yaml

from worker.alerts.finding import Finding
from worker.alerts.model import SEVERITY_WORDS
from worker.alerts.values import MAX_TITLE, dig, instant, text

MAX_LISTED = 100
"""Of evidences, resources and observables each, how many are read; the rest stays in the raw bytes."""


@cache
def mapping() -> dict[str, Any]:
    """The shipped mapping."""
    read: dict[str, Any] = yaml.safe_load(resources.files("worker.alerts").joinpath("ocsf.yaml").read_text("utf-8"))
    return read


def recognises(event: Mapping[str, Any]) -> bool:
    """Whether it has the shape of an OCSF event, of any class."""
    return isinstance(event.get("class_uid"), int)


def read(event: Mapping[str, Any]) -> Finding:
    """What one finding says."""
    table = mapping()
    if event["class_uid"] not in table["classes"]:
        return Finding.unmatched(table["format"], "Of OCSF, only Detection Finding (class 2004) is read.")
    if event.get("is_alert") is False:
        return Finding.unmatched(table["format"], "The finding says of itself that it is no alert (is_alert: false).")
    title = text(dig(event, "finding_info.title") or event.get("message"), MAX_TITLE)
    finding = Finding(format=table["format"], title=title)
    finding.rule = _rule(event, title)
    finding.action = table["activity"].get(_integer(event.get("activity_id")), "open")
    finding.occurred = _earliest(event, "finding_info.first_seen_time", "finding_info.first_seen_time_dt")
    finding.detected = _earliest(event, "finding_info.created_time", "finding_info.created_time_dt", "time", "time_dt")
    _entities(event, finding)
    word = table["severity"].get(_integer(event.get("severity_id")))
    finding.severity = SEVERITY_WORDS.get(word or text(event.get("severity")).lower())
    finding.kind = _kind(event, finding)
    if finding.kind == "unknown":
        finding.remark("kind_unknown", "Nothing in it says which kind of incident this is; a person has to.")
    return finding


def _integer(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _rule(event: Mapping[str, Any], title: str) -> str:
    """The detector's rule; where it names none, what it calls the finding, so that two stay two."""
    product = text(dig(event, "metadata.product.name"))
    named = text(dig(event, "finding_info.analytic.uid")) or text(dig(event, "finding_info.analytic.name"))
    return f"{product}/{named or title or text(dig(event, 'finding_info.uid'))}"


def _earliest(event: Mapping[str, Any], *paths: str) -> datetime | None:
    return min((found for path in paths if (found := instant(dig(event, path))) is not None), default=None)


def _listed(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value[:MAX_LISTED] if isinstance(each, Mapping))


def _entities(event: Mapping[str, Any], finding: Finding) -> None:
    table = mapping()
    for resource in _listed(event.get("resources")):
        described = text(resource.get("type")).lower()
        kind = next((kind for part, kind in table["resources"].items() if part in described), None)
        if kind is not None:
            named = text(resource.get("name"))
            finding.add(kind, text(resource.get("uid")), name=named)
            if kind == "model":
                finding.add_version(named or text(resource.get("uid")), text(resource.get("version")))
    for evidence in _listed(event.get("evidences")):
        for entity in table["evidence"]:
            name = text(dig(evidence, entity["name"])) if "name" in entity else ""
            finding.add(entity["kind"], text(dig(evidence, entity["id"])), role=entity["role"], name=name)
        names = (text(dig(evidence, f"ai_model.{part}")) for part in ("name", "model_name", "uid"))
        finding.add_version(next(filter(None, names), ""), text(dig(evidence, "ai_model.version")))
    for observable in _listed(event.get("observables")):
        kind = table["observables"].get(_integer(observable.get("type_id")))
        if kind is not None:
            finding.add(kind, text(observable.get("value")), role="observer")
    finding.org = next((entity.id for entity in finding.entities if entity.kind == "org"), "")


def _kind(event: Mapping[str, Any], finding: Finding) -> str:
    table = mapping()
    evidences = list(_listed(event.get("evidences")))
    around = " ".join(
        [
            *(text(dig(each, "api.service.name")) for each in evidences),
            *(text(each.get("type")) for each in _listed(event.get("resources"))),
            text(dig(event, "metadata.product.name")),
            text(dig(event, "metadata.log_name")),
        ]
    ).lower()
    attacks = list(_listed(dig(event, "finding_info.attacks")))
    types = dig(event, "finding_info.types")
    signs: dict[str, list[str]] = {
        "technique": [text(dig(each, f"{part}.uid")) for each in attacks for part in ("technique", "sub_technique")],
        "type": [text(each).lower() for each in types[:MAX_LISTED]] if isinstance(types, list) else [],
        "operation": [text(dig(each, "api.operation")).lower() for each in evidences],
        "has": [entity.kind for entity in finding.entities],
    }
    for line in table["kinds"]:
        words = table["fields_of_work"].get(line.get("of"), ())
        if words and not any(word in around for word in words):
            continue
        if any(_shows(sign, wanted, signs[sign]) for sign, wanted in line["any"].items()):
            return str(line["kind"])
    return "unknown"


def _shows(sign: str, wanted: list[str], found: list[str]) -> bool:
    match sign:
        case "technique":
            return any(each == want or each.startswith(want + ".") for each in found for want in wanted)
        case "operation":
            return any(each.startswith(want) for each in found for want in wanted)
        case "type":
            return any(want in each for each in found for want in wanted)
        case _:
            return any(each in wanted for each in found)
