"""Intake: prove the sender, read, route, keep and admit. Nothing is started here: the receipt says what to start.

It fails open towards people: the bytes are kept or the sender is told to send again; a reader that breaks leaves a
record that says so.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from pydantic import ValidationError

from playbooks.contract import Json
from worker.alerts import readers, routing, signatures
from worker.alerts.finding import Finding, to_alert
from worker.alerts.model import Alert
from worker.alerts.routing import Routes
from worker.alerts.sources import Source, Sources, malformed
from worker.alerts.told import Told, tell_capped
from worker.alerts.values import dig, stamp, text

log = logging.getLogger(__name__)

KEPT_HEADERS = frozenset(
    {
        "content-type",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "x-github-delivery",
        "x-github-event",
        "x-request-id",
        "x-slack-request-timestamp",
    }
)
"""Headers that are kept beside the bytes; no credential is ever among them."""

MAX_REMEMBERED = 10_000
HOUR = timedelta(hours=1)


class AlertStore(Protocol):
    """The part of the store that takes alerts."""

    def store_raw(self, source: str, headers: Mapping[str, str], body: bytes) -> Any:
        """Keep the bytes as they came; returns their reference."""

    def admit(self, alert: Alert, now: datetime) -> Any:
        """Join or open an incident in one transaction: ``incident created joined count starts raised``."""

    def effect_starts(self, source: str, since: datetime) -> int:
        """How many starts with effect a source's alerts have asked for since an instant."""


class Store(Told, Protocol):
    """What intake needs of the store."""

    @property
    def alerts(self) -> AlertStore:
        """Where alerts are kept."""


class IntakeRefused(Exception):
    """A delivery that was not taken.

    Args:
        code: Stable code.
        message: What happened and what was not done; never what was sent.
        next_step: What the sender's owner does next.
        status: HTTP status. Only a 5xx is worth sending again unchanged.
        raw: Reference of the bytes, if they were kept.
    """

    def __init__(self, code: str, message: str, next_step: str, *, status: int, raw: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.next_step, self.status, self.raw = code, message, next_step, status, raw


@dataclass(frozen=True)
class Receipt:
    """What became of one delivery.

    Attributes:
        incident: The incident it opened or joined; ``None`` for what no rule matches and for closing alerts.
        created: It opened the incident.
        joined: It joined an incident, whose workflow has to hear of it.
        raised: It joined, and is more severe than all before it.
        count: Alerts of the incident so far.
        start: What is to be started in the incident that was not before; ``None``: nothing further.
        replayed: The very same delivery came before; nothing was counted again.
    """

    alert: Alert
    incident: str | None = None
    created: bool = False
    joined: bool = False
    raised: bool = False
    count: int = 0
    start: dict[str, Json] | None = None
    replayed: bool = False

    @property
    def status(self) -> int:
        """HTTP status: 202 for what an incident follows from, 200 for what is only recorded."""
        return 202 if self.incident else 200

    def document(self) -> dict[str, Json]:
        """The answer to the sender."""
        alert = self.alert
        return {
            "ok": True,
            "incident": self.incident,
            "created": self.created,
            "count": self.count,
            "kind": alert.kind,
            "severity": alert.severity,
            "dedupe_key": alert.dedupe_key,
            "replayed": self.replayed,
            "raw": alert.raw,
            "route": self.start,
            "problems": [problem.model_dump() for problem in alert.problems],
        }


@dataclass
class Intake:
    """The sources and routes of an installation, and what one process remembers of the last deliveries.

    Attributes:
        resolve: Secret reference to secret; may raise ``SecretError``.
        reader: What reads a parsed body.
        org: The installation's organisation, for alerts and sources that name none.
    """

    sources: Sources
    routes: Routes
    resolve: Callable[[str], str]
    org: str = ""
    reader: Callable[..., Alert] = readers.read
    _seen: "OrderedDict[tuple[str, str], Receipt]" = field(default_factory=OrderedDict)
    _seen_lock: threading.Lock = field(default_factory=threading.Lock)
    _told: set[str] = field(default_factory=set)
    """Secrets whose absence stands in the log already: strangers must not fill it."""

    @classmethod
    def of(
        cls,
        sources: Mapping[str, Any],
        routes: Iterable[Mapping[str, Any]],
        resolve: Callable[[str], str],
        org: str = "",
    ) -> "Intake":
        """From the settings' ``alerts`` and ``routes`` and the resolver of their secrets.

        Raises:
            SettingsError: a source or a rule is malformed.
        """
        try:
            rules = Routes.of(routes)
        except ValidationError as error:
            raise malformed("routes", error) from None
        return cls(sources=Sources.of(sources), routes=rules, resolve=resolve, org=org)

    def receive(
        self,
        store: Store,
        source: str,
        headers: Mapping[str, str],
        body: bytes,
        now: datetime,
        *,
        person: str | None = None,
    ) -> Receipt:
        """Take one delivery.

        Args:
            store: Where it is kept.
            source: Name from the address.
            headers: Of the delivery.
            body: The raw bytes.
            now: When it came, UTC.
            person: Somebody whom the desk has identified sends it by hand; then no signature is needed.

        Raises:
            IntakeRefused: nothing was opened; the code and status say why and whether to send again.
        """
        lower = {name.lower(): value for name, value in headers.items()}
        configured = self._source(source, person)
        if len(body) > configured.max_bytes:
            raise IntakeRefused(
                "too_large",
                f"The body is over {configured.max_bytes} bytes. Nothing was kept or opened.",
                "Send the alert without its attachments; max_bytes of the source may be raised to 2 MB.",
                status=413,
            )
        proof = signatures.Proof() if person else self._proof(configured, lower, body, now)
        earlier = self._remembered(source, proof.delivery)
        if earlier is not None:
            return earlier
        kept = {name: text(value) for name, value in lower.items() if name in KEPT_HEADERS}
        try:
            event = readers.parse(body)
        except readers.BodyRefused as refused:
            raise self._unreadable(refused, store, source, kept, body) from None
        delivery = proof.delivery or self._delivery_in(configured, event)
        earlier = self._remembered(source, delivery)
        if earlier is not None:
            return earlier
        alert = self._read(event, configured, now).model_copy(update={"verified": proof.verified})
        receipt = self._admit(store, configured, alert, kept, body, now)
        self._remember(source, delivery, receipt)
        return receipt

    def check(self, body: bytes, source: str, now: datetime) -> Alert:
        """What would become of a body, without keeping or starting anything.

        Raises:
            BodyRefused: it is no single JSON object.
        """
        configured = self.sources.by_person(source)
        return self.routes.choose(self._read(readers.parse(body), configured, now), now).alert

    def _source(self, name: str, person: str | None) -> Source:
        configured = self.sources.by_person(name) if person else self.sources.get(name)
        if configured is None:
            raise IntakeRefused(
                "unknown_source",
                "No alert source of this name is configured. Nothing was kept or opened.",
                "Add it under [alerts.NAME] in stanch.toml, or send as a person with your own token.",
                status=404,
            )
        return configured

    def _proof(self, source: Source, headers: Mapping[str, str], body: bytes, now: datetime) -> signatures.Proof:
        secrets, missing = [], False
        for reference in source.secrets:
            try:
                secrets.append(self.resolve(reference))
            except Exception as error:
                # The previous secret of a rotation may be gone already; the others still count.
                missing = True
                if reference not in self._told:
                    self._told.add(reference)
                    log.error("a secret of alert source %s cannot be read: %s", source.name, type(error).__name__)
        try:
            return signatures.verify(source.scheme, secrets, headers, body, now, source.tolerance)
        except signatures.Unverified as refused:
            if refused.code == "no_secret" or (missing and not secrets):
                raise IntakeRefused(
                    "no_secret",
                    f"{refused.message} Nothing was kept or opened.",
                    "Set `secret` of the source to a reference that this process can read; `stanch doctor` checks it.",
                    status=503,
                ) from None
            advice = {
                "timestamp_outside": "Set both clocks by NTP; a delivery is never sent again with its old signature.",
                "signature_missing": f"The source is set to scheme {source.scheme}; sign every delivery so.",
            }
            raise IntakeRefused(
                refused.code,
                f"{refused.message} Nothing was kept or opened.",
                advice.get(refused.code, "Compare the secret at the sender with the one that the source names."),
                status=401,
            ) from None

    def _read(self, event: Mapping[str, Any], source: Source, now: datetime) -> Alert:
        org = source.org or self.org
        try:
            return self.reader(event, source=source.name, received=now, format_=source.format, org=org)
        except Exception as error:
            # An alert must not be lost to a reader's bug: it is kept, and people read it themselves.
            log.exception("a reader failed on an alert of %s", source.name)
            finding = Finding(
                format="unknown", rule="unread", severity=None, title="An alert that Stanch could not read"
            )
            finding.remark("reader_failed", f"The reader failed ({type(error).__name__}); read the raw bytes.")
            return to_alert(finding, source=source.name, org=org, received=now)

    def _admit(
        self, store: Store, source: Source, alert: Alert, kept: Mapping[str, str], body: bytes, now: datetime
    ) -> Receipt:
        """One transaction: the bytes, and what they lead to; or neither, and the sender sends again.

        Starts with effect are counted in it, so that a detector gone mad cannot contain at will, however many
        processes take its alerts, and whenever they are restarted.
        """
        chosen, most = self.routes.choose(alert, now), source.starts_per_hour
        try:
            with store.transaction():
                raw = _reference(store.alerts.store_raw(source.name, kept, body))
                used_up = chosen.alert.effect and store.alerts.effect_starts(source.name, now - HOUR) >= most
                routed = routing.capped(chosen, most) if used_up else chosen.alert
                alert = routed.model_copy(update={"raw": raw})
                if not alert.matched or alert.action == "close":
                    return Receipt(alert=alert)
                admission = store.alerts.admit(alert, now)
                if used_up and chosen.alert.route and (admission.created or admission.starts):
                    tell_capped(store, admission.incident, alert, chosen.alert.route.playbook, stamp(now))
        except Exception as error:
            # Only the kind of error: a database's message quotes the row, and with it the alert.
            log.error("an alert of %s could not be kept: %s", source.name, type(error).__name__)
            raise _store_refusal(error) from None
        return Receipt(
            alert=alert,
            incident=admission.incident,
            created=admission.created,
            joined=admission.joined,
            raised=admission.joined and admission.raised,
            count=admission.count,
            start=alert.start if admission.starts else None,
        )

    def _unreadable(
        self, refused: readers.BodyRefused, store: Store, source: str, kept: Mapping[str, str], body: bytes
    ) -> IntakeRefused:
        try:
            raw = _reference(store.alerts.store_raw(source, kept, body))
        except Exception as error:
            log.error("an alert of %s could not be kept: %s", source, type(error).__name__)
            return _store_refusal(error)
        return IntakeRefused(
            refused.code,
            f"{refused.message} The bytes were kept; no incident was opened.",
            f"Read them ({raw}) and open an incident by hand if it needs one; mend the sender.",
            status=422,
            raw=raw,
        )

    @staticmethod
    def _delivery_in(source: Source, event: Mapping[str, Any]) -> str | None:
        scheme = signatures.SCHEMES[source.scheme]
        return text(dig(event, scheme.delivery)) or None if scheme and scheme.delivery else None

    def _remembered(self, source: str, delivery: str | None) -> Receipt | None:
        if delivery is None:
            return None
        with self._seen_lock:
            earlier = self._seen.get((source, delivery))
        if earlier is None:
            return None
        return Receipt(alert=earlier.alert, incident=earlier.incident, count=earlier.count, replayed=True)

    def _remember(self, source: str, delivery: str | None, receipt: Receipt) -> None:
        if delivery is None:
            return
        with self._seen_lock:
            self._seen[(source, delivery)] = receipt
            while len(self._seen) > MAX_REMEMBERED:
                self._seen.popitem(last=False)


def _reference(kept: Any) -> str:
    return kept if isinstance(kept, str) else str(kept.ref)


def _store_refusal(error: Exception) -> IntakeRefused:
    return IntakeRefused(
        "store_unreachable",
        f"The alert could not be kept ({type(error).__name__}). Nothing was opened.",
        "Send it again in a minute; `stanch doctor` says what ails the store.",
        status=503,
    )
