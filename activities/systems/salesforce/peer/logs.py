"""Event log files of the simulated org: hourly CSV files of closed hours, with 15-character ids in them."""

import csv
import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from activities.systems.salesforce.peer.state import Event, Org, suffix

FIELDS = (
    "Id",
    "EventType",
    "Interval",
    "Sequence",
    "LogDate",
    "CreatedDate",
    "LogFileLength",
    "LogFileFieldNames",
    "LogFileFieldTypes",
    "ApiVersion",
)
DELAY = timedelta(minutes=5)


@dataclass(frozen=True)
class LogFile:
    """A row of EventLogFile with its bytes."""

    row: dict[str, Any]
    content: bytes


def log_files(org: Org) -> list[LogFile]:
    """Files of all closed hours that had events. What happens now is not in them yet: that is a trap too."""
    hours: dict[tuple[str, datetime], list[Event]] = {}
    for event in org.events:
        hour = event.at.replace(minute=0, second=0, microsecond=0)
        hours.setdefault((event.type, hour), []).append(event)
    now = org.now()
    files = []
    for (type_, hour), events in sorted(hours.items(), key=lambda item: (item[0][1], item[0][0])):
        if hour + timedelta(hours=1) + DELAY > now:
            continue
        names, content = _csv(org, events)
        body = f"0AT{org.id[3:5]}0{type_[:3]}{int(hour.timestamp()) // 3600:06d}".ljust(15, "0")[:15]
        body = "".join(char if char.isalnum() else "0" for char in body)
        row = {
            "Id": body + suffix(body),
            "EventType": type_,
            "Interval": "Hourly",
            "Sequence": 1,
            "LogDate": hour,
            "CreatedDate": hour + timedelta(hours=1) + DELAY,
            "LogFileLength": len(content),
            "LogFileFieldNames": ",".join(names),
            "LogFileFieldTypes": ",".join("String" for _ in names),
            "ApiVersion": 65.0,
        }
        files.append(LogFile(row, content))
    return files


def _csv(org: Org, events: list[Event]) -> tuple[list[str], bytes]:
    more = sorted({name for event in events for name in event.fields})
    names = ["EVENT_TYPE", "TIMESTAMP", "ORGANIZATION_ID", "USER_ID", "TIMESTAMP_DERIVED", *more]
    out = io.StringIO()
    lines = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    lines.writerow(names)
    for event in events:
        derived = event.at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{event.at.microsecond // 1000:03d}Z"
        plain = event.at.strftime("%Y%m%d%H%M%S.") + f"{event.at.microsecond // 1000:03d}"
        first = [event.type, plain, org.id[:15], event.user[:15], derived]
        lines.writerow([*first, *(event.fields.get(name, "") for name in more)])
    return names, out.getvalue().encode()
