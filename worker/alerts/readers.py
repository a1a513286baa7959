"""Which reader reads a body: carriers are opened, then the first reader that recognises the event reads it."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from worker.alerts import generic, ocsf, salesforce
from worker.alerts.finding import Finding, to_alert
from worker.alerts.model import Alert
from worker.alerts.values import depth_over, text


class Reader(Protocol):
    """What every module of a format has."""

    def recognises(self, event: Mapping[str, Any]) -> bool:
        """Whether the event is of this format."""

    def read(self, event: Mapping[str, Any]) -> Finding:
        """What it says."""


READERS: dict[str, Reader] = {"salesforce": salesforce, "ocsf": ocsf, "generic": generic}
"""Format to its reader. The order is that of trying."""

MAX_DEPTH = 32
MAX_CARRIERS = 4
_SALESFORCE_RELAY = "aws.partner/salesforce.com/"


class BodyRefused(Exception):
    """A body that is no single JSON object. ``code`` is stable: ``bad_json too_deep batch not_an_object``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        BodyRefused: it is none, or nested deeper than 32 levels.
    """
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise BodyRefused("too_deep", f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError:
        raise BodyRefused("bad_json", "The body is not JSON in UTF-8.") from None
    if depth_over(value, MAX_DEPTH):
        raise BodyRefused("too_deep", f"The body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, list):
        raise BodyRefused("batch", "The body is a list. Each alert is sent by itself.")
    if not isinstance(value, dict):
        raise BodyRefused("not_an_object", "The body is JSON, but no object.")
    return value


def read(
    event: Mapping[str, Any],
    *,
    source: str,
    received: datetime,
    format_: str = "auto",
    org: str = "",
    raw: str | None = None,
) -> Alert:
    """The normalised alert of a parsed body, without a route; anything may be in it, nothing makes this fail.

    Args:
        event: The parsed body.
        source: Configured name of the sender.
        received: When it came, UTC.
        format_: A name in ``READERS``, or ``auto``.
        org: Organisation of the source, for bodies that name none.
        raw: Reference of the kept bytes.
    """
    finding = _find(event, format_)
    return to_alert(finding, source=source, org=org, received=received, raw=raw)


def _find(event: Mapping[str, Any], format_: str) -> Finding:
    inner, kind, org = _opened(event)
    if kind:
        finding = salesforce.read(inner, kind)
        if org and not finding.org and finding.severity != 0:
            finding.org = org
            finding.add("org", org)
        return finding
    if format_ != "auto":
        reader = READERS.get(format_)
        if reader is None:
            return Finding.unmatched("unknown", f"The source is set to the format {format_}, which is not known.")
        if not reader.recognises(inner):
            return Finding.unmatched(format_, f"It has not the form of {format_}, which the source is set to.")
        return reader.read(inner)
    for reader in READERS.values():
        if reader.recognises(inner):
            return reader.read(inner)
    return Finding.unmatched("unknown", "Its format is not known: " + ", ".join(READERS) + " are.")


def _opened(event: Mapping[str, Any]) -> tuple[Mapping[str, Any], str, str]:
    """The event inside its carriers, with its type and organisation where a carrier names them."""
    for _ in range(MAX_CARRIERS):
        detail = event.get("detail")
        sender = text(event.get("source"))
        if "detail-type" in event and isinstance(detail, Mapping) and sender.startswith(_SALESFORCE_RELAY):
            payload = detail.get("payload")
            org = sender.removeprefix(_SALESFORCE_RELAY).partition("/")[0]
            return (payload if isinstance(payload, Mapping) else detail), text(event["detail-type"]), org
        inner = event.get("data") if "specversion" in event else None
        if inner is None and "expected_alert" in event:
            # A detector's own test case: the event stands under a name and what is expected of it.
            inner = event.get("event")
        if not isinstance(inner, Mapping):
            break
        event = inner
    return event, "", ""


def _no_constant(name: str) -> Any:
    raise ValueError(name)
