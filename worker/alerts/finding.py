"""From what one reader found to the normalised alert: instants judged, keys made."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from playbooks.digest import digest_of
from worker.alerts.model import UNREAD_SEVERITY, Alert, Entity, Remark
from worker.alerts.values import identity, stamp

PRIMARY = ("org", "oauth_app", "user", "bulk_job", "model", "model_version", "secret", "dataset")
CORRELATING = ("oauth_app", "user", "bulk_job", "model", "model_version")
LATE = timedelta(hours=24)
AHEAD = timedelta(minutes=5)


@dataclass
class Finding:
    """What a reader makes of one body. ``severity`` is ``None`` where it could not be read."""

    format: str
    rule: str = ""
    kind: str = "unknown"
    action: str = "open"
    severity: int | None = 0
    title: str = ""
    org: str = ""
    occurred: datetime | None = None
    detected: datetime | None = None
    entities: list[Entity] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def add(self, kind: str, identifier: str, *, role: str = "target", name: str = "") -> None:
        """Add an entity once; one without an id is named by its name."""
        identifier = identifier or name
        if not identifier:
            return
        if any(known.kind == kind and identity(known.id) == identity(identifier) for known in self.entities):
            return
        self.entities.append(Entity(kind=kind, id=identifier, role=role, name=name))

    def add_version(self, model: str, version: str) -> None:
        """Add a version of a model, named by both: a bare 5 is a version of many models, and joins no incident."""
        if version:
            self.add("model_version", f"{model}/{version}" if model else version, name=version)

    def remark(self, code: str, message: str) -> None:
        """Note something odd."""
        self.remarks.append(Remark(code=code, message=message))

    @classmethod
    def unmatched(cls, format_: str, why: str) -> "Finding":
        """What no detection rule matches: recorded with the reason, and no incident."""
        finding = cls(format=format_)
        finding.remark("unmatched", why)
        return finding


def to_alert(finding: Finding, *, source: str, org: str, received: datetime, raw: str | None = None) -> Alert:
    """The normalised alert of a finding.

    Args:
        source: Configured name of the sender.
        org: The source's organisation, where the body names none.
        received: When the bytes came.
        raw: Reference of the bytes.
    """
    remarks = list(finding.remarks)
    severity = finding.severity
    if severity is None:
        severity = UNREAD_SEVERITY
        remarks.append(Remark(code="severity_unread", message="Its severity could not be read; 3 is assumed."))
    organisation = finding.org or org
    suspect = severity > 0 and _suspect(finding, received, remarks)
    begun = finding.occurred or finding.detected or received
    return Alert(
        source=source,
        format=finding.format,
        rule=finding.rule,
        kind=finding.kind,
        action=finding.action,
        severity=severity,
        title=finding.title or finding.kind,
        org=organisation,
        occurred_at=stamp(finding.occurred) if finding.occurred else None,
        detected_at=stamp(finding.detected) if finding.detected else None,
        received_at=stamp(received),
        time_suspect=suspect,
        entities=tuple(finding.entities),
        dedupe_key=dedupe_key(finding.format, finding.rule or finding.kind, finding.entities, begun),
        correlation=correlation(organisation or f"source:{source}", finding.entities),
        problems=tuple(remarks),
        raw=raw,
    )


def dedupe_key(format_: str, rule: str, entities: Iterable[Entity], begun: datetime) -> str:
    """SHA-256 of format, detector rule, primary entities and UTC day: no delivery id, no row id."""
    primary = sorted({(entity.kind, identity(entity.id)) for entity in entities if entity.kind in PRIMARY})
    return digest_of([format_, rule, [list(pair) for pair in primary], stamp(begun)[:10]])


def correlation(org: str, entities: Iterable[Entity]) -> tuple[str, ...]:
    """Keys that alerts of one incident share. Never an address or a title alone."""
    found = {f"{entity.kind}:{identity(entity.id)}" for entity in entities if entity.kind in CORRELATING}
    return tuple(sorted(f"{identity(org)}|{key}" for key in found))


def _suspect(finding: Finding, received: datetime, remarks: list[Remark]) -> bool:
    told = [moment for moment in (finding.occurred, finding.detected) if moment is not None]
    if not told:
        remarks.append(Remark(code="time_missing", message="It names no instant; its receipt stands in."))
        return True
    if max(told) > received + AHEAD:
        remarks.append(Remark(code="time_ahead", message="It names an instant that has not come yet."))
        return True
    if min(told) < received - LATE:
        remarks.append(Remark(code="time_old", message="What it tells of is more than 24 hours before its receipt."))
        return True
    return False
