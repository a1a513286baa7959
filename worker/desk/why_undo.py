"""What became of an undo: who asked for it, who approved it, what was taken back, what was left and why."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from playbooks.plan import NoteStep, PlannedStep
from worker.desk.why_people import asked, because
from worker.desk.why_record import Known, Telling

UNDO = re.compile(r"@undo\d*")
"""How the question of an undo is named."""
_ENDS = {
    "undone": "All that could be taken back is.",
    "partly": "It is not complete.",
    "declined": "It was not approved, so nothing was taken back.",
    "cancelled": "It was cancelled, so nothing was taken back.",
}


def of_undo(status: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """An undo of a run as its status shows it; one that is only offered yet, too."""
    found = next((undo for undo in status.get("undos", ()) if undo["key"] == key), None)
    if found is None and any(gate["step"] == key for gate in status.get("waiting", ())):
        return {"key": key, "person": None, "step": None, "end": "", "left": []}
    return found


def why_undo(known: Known, undo: Mapping[str, Any]) -> dict[str, Any]:
    """The story of one undo of ``known``'s run as a document; ``sentences`` is what people read."""
    key, end = undo["key"], undo["end"]
    book = known.plan.frame.playbook
    telling = Telling(known, PlannedStep(path=key, spec=NoteStep(text="")), None, _entries(known, key), {})
    gates = asked(telling)
    back = _in_its_time(known, key, "step.undone")
    failed = _in_its_time(known, key, "undo.failed")
    names = [_name(entry) for entry in back]
    left = list(undo["left"]) or [f"{_name(entry)}: {entry['body'].get('code') or 'no code'}" for entry in failed]
    sentences = [
        _asked(known, undo),
        *(sentence for gate in gates for sentence in gate["sentences"]),
        f"Taken back: {', '.join(names)}." if names else "Nothing was taken back so far." if not end else "",
        _ENDS.get(end, "It has not ended yet."),
        f"Left: {'; '.join(line.rstrip('.') for line in left)}." if left else "",
    ]
    seqs = {entry["seq"] for entry in (*telling.entries, *back, *failed)}
    return {
        "run": known.run,
        "step": key,
        "item": None,
        "kind": "undo",
        "status": end or "waiting",
        "playbook": {**book.model_dump(mode="json", include={"id", "version", "digest"}), "line": None},
        "plan_digest": known.plan_digest,
        "sentences": [sentence for sentence in sentences if sentence],
        "asked_by": undo["person"],
        "approvals": [{name: value for name, value in gate.items() if name != "sentences"} for gate in gates],
        "undone": names,
        "left": left,
        "entries": sorted(seqs),
    }


def _entries(known: Known, key: str) -> list[Mapping[str, Any]]:
    """Entries of the question; its decisions name only its digest, because an undo is no step of the plan."""
    own = known.of_step(key, None)
    digests = {entry["body"].get("digest") for entry in own if entry["kind"] == "gate.opened"}
    decisions = [
        {**entry, "body": {**entry["body"], "step": key}}
        for entry in known.entries
        if entry["body"].get("run") == known.run
        and entry["body"].get("step") is None
        and entry["kind"].startswith("decision.")
        and entry["body"].get("digest") in digests
    ]
    return sorted((*own, *decisions), key=lambda entry: int(entry["seq"]))


def _asked(known: Known, undo: Mapping[str, Any]) -> str:
    what = undo["step"] or "what the run did"
    if undo["person"] is None:
        return f"{known.run} was cancelled, and so it offered to undo {what}."
    after = known.given.get("after") or {}
    of = f" of {after['of']}" if after.get("verb") == "undo" else ""
    given = (entry.get("text") for entry in known.entries if entry["kind"] == "undo.asked" and _of(known, entry, undo))
    why = because(str(next(given, None) or after.get("reason") or ""))
    return f"{undo['person']} asked to undo {what}{of}, in {known.run}{why}."


def _of(known: Known, entry: Mapping[str, Any], undo: Mapping[str, Any]) -> bool:
    return (entry["body"].get("run"), entry["body"].get("key")) == (known.run, undo["key"])


def _in_its_time(known: Known, key: str, kind: str) -> Sequence[Mapping[str, Any]]:
    """Entries of the run between the question of the undo and its end; undos never overlap."""
    found, open_ = list[Mapping[str, Any]](), False
    for entry in known.entries:
        if entry["body"].get("run") != known.run:
            continue
        if entry["kind"] == "gate.opened" and entry["body"].get("step") == key:
            open_ = True
        elif entry["kind"] == "undo.finished" and entry["body"].get("key") == key:
            open_ = False
        elif open_ and entry["kind"] == kind:
            found.append(entry)
    return found


def _name(entry: Mapping[str, Any]) -> str:
    item = entry["body"].get("item")
    return str(entry["body"].get("step")) + (f"[{str(item).replace('/', '][')}]" if item is not None else "")
