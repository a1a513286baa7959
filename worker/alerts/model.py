"""The normalised alert: what every format is read into, and the words it may use."""

from playbooks.contract import Frozen, Json

KINDS = (
    "crm.oauth_token_theft",
    "crm.bulk_exfiltration",
    "crm.api_anomaly",
    "crm.admin_abuse",
    "crm.guest_scraping",
    "crm.cross_border_sync",
    "crm.integration_change",
    "model.extraction",
    "model.poisoned",
    "model.weights_exposed",
    "model.prompt_injection",
    "model.training_data_exposed",
    "ai.supply_chain",
    "key.exposed",
    "key.overdue",
    "unknown",
)

ENTITY_KINDS = (
    "user",
    "oauth_app",
    "session",
    "bulk_job",
    "ip",
    "host",
    "org",
    "object",
    "secret",
    "model",
    "model_version",
    "dataset",
    "endpoint",
    "agent",
)

SEVERITY_WORDS = {
    "default": 1,
    "info": 1,
    "informational": 1,
    "low": 1,
    "medium": 3,
    "high": 4,
    "critical": 5,
    "fatal": 5,
}
"""Severity of each word a detector may use, 1 (least) to 5. 2 is for people only."""

UNREAD_SEVERITY = 3
"""Of a matched alert whose own severity cannot be read: neither asleep nor an emergency; it is flagged."""


class Entity(Frozen):
    """Something an alert names. ``role`` is ``actor target observer``.

    ``trust`` is ``claimed`` until an action reads it back from the system itself. ``name`` is text from
    outside: shown escaped, never a template and never an id.
    """

    kind: str
    id: str
    role: str = "target"
    trust: str = "claimed"
    name: str = ""


class Remark(Frozen):
    """Something odd about an alert that did not keep it from being read. ``code`` is stable."""

    code: str
    message: str


class Route(Frozen):
    """What an alert starts: the rule that chose it, the playbook, and the inputs it could fill."""

    rule: str
    playbook: str
    inputs: dict[str, Json] = {}


class Alert(Frozen):
    """One alert, whatever its format. Instants are RFC 3339 UTC with six decimals.

    Attributes:
        source: Configured name of the sender; never taken from the body.
        rule: The detector's rule, as its own name for what it saw.
        action: ``open update close``. An alert never closes an incident.
        severity: 0 for what no rule matches, else 1 to 5.
        occurred_at: First moment of what happened, as the detector says; ``None`` if it does not.
        detected_at: When the detector saw it; ``None`` if it does not say.
        received_at: When Stanch took it.
        time_suspect: The instants are missing, far away, or in the future; they are kept all the same.
        dedupe_key: The same happening told again has the same key, whatever its delivery id.
        correlation: Keys that join alerts of one incident: organisation with app, user, job or model.
        verified: ``valid invalid unsigned not_checked``.
        effect: The route's playbook can change something, and does not only look.
        raw: Reference of the bytes as they came.
    """

    source: str = ""
    format: str
    rule: str = ""
    verified: str = "not_checked"
    kind: str = "unknown"
    action: str = "open"
    severity: int = 0
    title: str = ""
    org: str = ""
    occurred_at: str | None = None
    detected_at: str | None = None
    received_at: str
    time_suspect: bool = False
    entities: tuple[Entity, ...] = ()
    dedupe_key: str
    correlation: tuple[str, ...] = ()
    route: Route | None = None
    effect: bool = False
    problems: tuple[Remark, ...] = ()
    raw: str | None = None

    @property
    def matched(self) -> bool:
        """Whether a detection rule stands behind it; only then is there an incident."""
        return self.severity > 0

    @property
    def first_seen(self) -> str:
        """The earliest instant known: what happened, else its detection, else its receipt."""
        return self.occurred_at or self.detected_at or self.received_at

    @property
    def start(self) -> dict[str, Json] | None:
        """What its incident starts, as the store keeps it until it surely runs: ``playbook inputs rule``."""
        return self.route.model_dump() if self.route else None

    def facts(self) -> dict[str, dict[str, Json]]:
        """The facts that an incident opened by this alert begins with, each with its provenance."""
        values: dict[str, Json] = {
            "kind": self.kind,
            "severity": self.severity,
            "title": self.title,
            "opened_at": self.received_at,
            # Clocks of the law start here: an instant that is in doubt waits for a person to confirm it.
            "detected_at": self.received_at if self.time_suspect else self.detected_at or self.received_at,
            "first_seen": self.first_seen,
            "org": self.org,
        }
        origin = {"trust": "alert", "by": self.source, "source": self.raw or "", "at": self.received_at}
        return {name: {"value": value, **origin} for name, value in values.items()}

    def check(self) -> dict[str, Json]:
        """The document of ``stanch alert check``."""
        shown = ("format", "verified", "kind", "action", "severity", "dedupe_key", "title")
        return {
            **{name: getattr(self, name) for name in shown},
            "first_seen": self.first_seen,
            "time_suspect": self.time_suspect,
            "entities": [entity.model_dump(include={"kind", "id", "role", "trust"}) for entity in self.entities],
            "route": self.route.model_dump() if self.route else None,
            "problems": [problem.model_dump() for problem in self.problems],
        }
