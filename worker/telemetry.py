"""Logs and metrics. Nothing secret reaches a log line, whoever wrote it."""

import json
import logging
import re
import sys
from datetime import UTC, datetime

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from worker.settings import SettingsError

SECRETS = re.compile(
    r"(?i)(bearer\s+|session[_-]?id[\"'=:\s]+|access_token[\"'=:\s]+|refresh_token[\"'=:\s]+"
    r"|client_secret[\"'=:\s]+|assertion=|password[\"'=:\s]+|sid=)[^\s\"'&,}]+"
)
SALESFORCE_SESSION = re.compile(r"\b00D[A-Za-z0-9]{12,15}![A-Za-z0-9._]+")


def redacted(text: str) -> str:
    """The text without tokens, whatever put them there."""
    return SALESFORCE_SESSION.sub("[redacted]", SECRETS.sub(r"\1[redacted]", text))


class RedactingFormatter(logging.Formatter):
    """One line a record; as JSON if asked."""

    def __init__(self, *, as_json: bool = False) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Render a record; of an exception only its type and place."""
        text = redacted(record.getMessage())
        if record.exc_info and record.exc_info[0] is not None:
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "unknown place"
            text = f"{text} ({record.exc_info[0].__name__} at {where})"
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if self._as_json:
            line = {"at": at, "level": record.levelname, "logger": record.name, "message": text}
            return json.dumps(line, ensure_ascii=False)
        return f"{at} {record.levelname.lower()} {record.name}: {text}"


def start_logging(level: str, *, as_json: bool = False) -> None:
    """Send every log line to standard error."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(RedactingFormatter(as_json=as_json))
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(level.upper())
    # They repeat per poll and per request what our own lines say once.
    for name in ("temporalio", "httpx", "httpcore", "urllib3", "zeep", "asyncio", "uvicorn"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def runtime(metrics: str | None) -> Runtime | None:
    """A Temporal runtime that serves Prometheus metrics at ``host:port``; ``None`` for the default one.

    Raises:
        SettingsError: the address is none, or somebody else listens there.
    """
    if metrics is None:
        return None
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=metrics)))
    except ValueError as error:
        raise SettingsError(
            f"metrics = {metrics!r} cannot be served: {error}. Nothing was started. Write HOST:PORT of a free port; "
            "each process on a machine needs its own (STANCH_METRICS)."
        ) from None
