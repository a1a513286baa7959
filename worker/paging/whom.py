"""Which notices wake somebody, when, whom, and in which words."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from playbooks.contract import Notice, Urgency
from playbooks.digest import sha256_hex
from worker.paging.channels import Call
from worker.store import Store

COMMANDER = "incident_commander"
UNKNOWN_DEADLINE = timedelta(minutes=5)


class WorldTime:
    """World time of an incident: real time, or faster in an exercise."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        """``context`` is the run's ``{mode, rate, world_start, real_start}``."""
        self._rate = int(context.get("rate") or 1)
        world, start = context.get("world_start"), context.get("real_start")
        self._begun = (datetime.fromisoformat(world), datetime.fromisoformat(start)) if world and start else None

    def of(self, real: datetime) -> datetime:
        """The world's instant at a real one."""
        if self._begun is None:
            return real
        world, start = self._begun
        return world + (real - start) * self._rate


def context_of(store: Store, incident: str, run: str | None) -> dict[str, Any]:
    """How the world's time passes in an incident: as its run's plan says."""
    for each in (run, *store.incidents.runs(incident)):
        plan = store.incidents.plan(each) if each else None
        if plan is not None:
            return dict(plan["plan"].get("context") or {})
    return {}


def severity_of(record: Mapping[str, Any]) -> int:
    """An incident's severity now; the default's where none is set."""
    fact = (record.get("facts") or {}).get("severity")
    value = fact.get("value") if isinstance(fact, Mapping) else record.get("severity")
    return value if isinstance(value, int) else 3


def opens_at(
    store: Store, notice: Notice, severity: int, now: datetime, *, high_from: int, share: float
) -> datetime | None:
    """From when a notice pages; ``None`` if it never does."""
    if notice.urgency is Urgency.PAGE:
        return now
    if notice.body.get("kind") != "gate":
        return None
    if notice.urgency is Urgency.HIGH and severity >= high_from:
        return now
    status = store.incidents.snapshot(notice.run) if notice.run else None
    for entry in (status or {}).get("waiting", ()):
        if entry.get("digest") == notice.body.get("digest") and entry.get("until") and notice.at:
            begun, until = datetime.fromisoformat(notice.at), datetime.fromisoformat(entry["until"])
            return begun + (until - begun) * share
    return now + UNKNOWN_DEADLINE


def key_of(notice: Notice, person: str, time: int) -> str:
    """What the other side knows a page to a person by, in their so-manieth round.

    With the notice's instant: the incidents of two installations that share an account have the same numbers.
    """
    return "stanch/" + sha256_hex(f"{notice.id}\n{notice.at}\n{person}\n{time}")


def call_of(notice: Notice, key: str, mode: str, severity: int, url: str | None, *, wakes: bool = True) -> Call:
    """The words of a page, or of a copy that wakes nobody: what is needed, and what to type."""
    body, incident = notice.body, notice.incident
    if body.get("kind") == "gate":
        text = f"{incident} severity {severity}: decide {notice.step}: {body.get('question', '')}"
        todo: tuple[str, ...] = (
            "A decision waits for you. Look at it, then decide:",
            f"  stanch incident show {incident}",
            f"  stanch incident approve {incident} {notice.step} --digest {body.get('digest')}",
            f"  stanch incident deny {incident} {notice.step} --digest {body.get('digest')} --reason WHY",
        )
    else:
        said = str(body.get("text") or body.get("kind") or "").removeprefix(f"{incident}: ")
        text = f"{incident} severity {severity}: {said}"
        todo = ("Look at it:", f"  stanch incident show {incident}")
    stop = ("Say that you have it, which stops this page:", f"  stanch incident ack {incident}")
    return Call(
        key=key,
        page=notice.id,
        incident=incident,
        mode=mode,
        severity=severity,
        text=text,
        todo=(*todo, *stop) if wakes else todo,
        wakes=wakes,
        link=f"{url.rstrip('/')}/v1/incidents/{incident}" if url else "",
        fields={"step": notice.step or "", "run": notice.run or ""},
    )
