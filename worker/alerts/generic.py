"""Stanch's own plain shape, for detectors whose message can be written as a template.

``{"kind", "severity", "title", "rule", "action", "org", "occurred_at", "detected_at", "entities": [{"kind", "id",
"name", "role"}]}``; instead of ``entities`` also ``app user job model version secret dataset ip session`` with an id
or name each.
"""

from collections.abc import Mapping
from typing import Any

from worker.alerts.finding import Finding
from worker.alerts.model import ENTITY_KINDS, KINDS, SEVERITY_WORDS
from worker.alerts.values import MAX_TITLE, instant, number, text

FORMAT = "generic"
MAX_ENTITIES = 100
_SHORT = {
    "app": "oauth_app",
    "user": "user",
    "job": "bulk_job",
    "model": "model",
    "secret": "secret",
    "dataset": "dataset",
    "ip": "ip",
    "session": "session",
}
_ACTORS = frozenset({"oauth_app", "user", "ip", "session"})
_ACTIONS = frozenset({"open", "update", "close"})
_ROLES = frozenset({"actor", "target", "observer"})


def recognises(event: Mapping[str, Any]) -> bool:
    """Whether it names one of Stanch's kinds of alert."""
    return isinstance(event.get("kind"), str) and event["kind"] in KINDS


def read(event: Mapping[str, Any]) -> Finding:
    """What one alert in the plain shape says."""
    if not recognises(event):
        return Finding.unmatched(FORMAT, "It names no kind of alert that Stanch knows.")
    title = text(event.get("title"), MAX_TITLE)
    finding = Finding(format=FORMAT, kind=event["kind"], title=title, rule=text(event.get("rule")) or title)
    action = text(event.get("action")).lower()
    finding.action = action if action in _ACTIONS else "open"
    finding.severity = _severity(event.get("severity"))
    if finding.severity == 0:
        return Finding.unmatched(FORMAT, "It says of itself that its severity is 0.")
    finding.occurred = instant(event.get("occurred_at")) or instant(event.get("time"))
    finding.detected = instant(event.get("detected_at"))
    finding.org = text(event.get("org"))
    finding.add("org", finding.org)
    listed = event.get("entities")
    for entity in listed[:MAX_ENTITIES] if isinstance(listed, list) else ():
        if not isinstance(entity, Mapping) or entity.get("kind") not in ENTITY_KINDS:
            finding.remark("entity_unread", "An entity is not of the form {kind, id, name, role} and was left out.")
            continue
        kind, role = str(entity["kind"]), text(entity.get("role"))
        role = role if role in _ROLES else "actor" if kind in _ACTORS else "target"
        finding.add(kind, text(entity.get("id")), role=role, name=text(entity.get("name")))
    for short, kind in _SHORT.items():
        finding.add(kind, text(event.get(short)), role="actor" if kind in _ACTORS else "target")
    finding.add_version(text(event.get("model")), text(event.get("version")))
    return finding


def _severity(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().lower() in SEVERITY_WORDS:
        return SEVERITY_WORDS[value.strip().lower()]
    found = number(value)
    if found is None or not found.is_integer() or not 0 <= found <= 5:
        return None
    return int(found)
