"""Slack switched off, told there: one line in each channel, and nothing more until it is on again.

Why it is off is said nowhere in Slack: whoever has stolen a token or an account may be reading.
"""

from collections.abc import Mapping
from typing import Any

from worker.desk.open_incidents import CLOSED
from worker.slack.blocks import Bold, Message, message, paragraph
from worker.slack.channels import MAIN
from worker.slack.marks import banner, marked
from worker.slack.pump import Pump
from worker.store import Store
from worker.store.outbox import InForce
from worker.store.slack_outgoing import OFF


def say_off(store: Store, pump: Pump, off: InForce | None) -> None:
    """Want the line that Slack is off in every channel; once it is on again, that it was."""
    out = store.slack.out
    with store.transaction():
        records = {each["incident"]: each for each in store.incidents.list()}
        if off is not None:
            for lane in out.open_channels():
                if lane.lane == MAIN or records.get(lane.incident or "", {}).get("status", "closed") not in CLOSED:
                    mode = _mode(records, lane.incident)
                    _want(pump, f"{OFF}{off.at}:{lane.lane}", lane.lane, lane.incident or "", _line(off.at, mode))
        for row in out.off_lines():
            at = row.key.removeprefix(OFF).removesuffix(f":{row.lane}")
            over = off is None or at != off.at
            # What was never posted is not posted any more.
            if over and not out.drop(row.key) and row.state != "dropped":
                _want(pump, row.key, row.lane, row.incident, _line_after(at, _mode(records, row.incident)))


def _line(at: str, mode: str) -> Message:
    head, said = (
        "Stanch is switched off in Slack ",
        f"since {at[:16]}Z. Nothing that is clicked or written here counts, and nothing more is posted. "
        "Decide with the stanch command; stanch slack status says more.",
    )
    return message(marked(mode, head + said), [paragraph([Bold(head), said]), *banner(mode)])


def _line_after(at: str, mode: str) -> Message:
    said = f"Stanch was switched off in Slack at {at[:16]}Z, and is on again. The cards here count."
    return message(marked(mode, said), [paragraph([said]), *banner(mode)])


def _mode(records: Mapping[str, Mapping[str, Any]], incident: str | None) -> str:
    """Of an incident; of the main channel that of all incidents."""
    if incident and incident in records:
        return str(records[incident]["mode"])
    return "exercise" if {each["mode"] for each in records.values()} == {"exercise"} else "live"


def _want(pump: Pump, key: str, lane: str, incident: str, line: Message) -> None:
    pump.want(key, incident, MAIN if lane == MAIN else None, line)
