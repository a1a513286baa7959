"""The people of the unattended demo: they look at what waits through ``/v1``, and decide by what it shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from worker.cli.client import ApiClient, ApiError

CAST: dict[str, tuple[str, ...]] = {
    "amal": ("crm_owner",),
    "bruno": ("crm_owner",),
    "chidi": ("incident_commander", "crm_owner"),
    "dana": ("privacy_officer",),
    "emeka": ("legal",),
    "farah": ("platform_owner", "model_owner"),
    "goran": ("model_owner", "platform_owner"),
    "hana": ("security_lead",),
}
"""Who is on call, with roles. The commander comes last where others can decide."""

SAID: dict[str, Any] = {
    "risk_to_people": "risk",
    "subjects": 1200,
    "records": 4800,
    "subject_categories": ["customers", "prospects"],
    "record_categories": ["contacts", "support cases"],
    "apps": [],
    "root_cause": "Tokens of an integration were taken from its vendor and used from elsewhere.",
    "worked": "Running exports were aborted before anybody had to decide.",
    "failed": "Nobody knew at first who owns the integration.",
    "mitigation": "The app is blocked; it comes back with least scopes and enforced network addresses.",
    "improvements": ["crm_owner: a baseline of API calls for each app within a month"],
}
"""What the demo's people know, by the field that asks for it."""

AGAIN = frozenset({"digest_mismatch", "plan_changed", "not_waiting", "closed", "already_decided", "nonce_used"})
"""Refusals after which a person simply looks again."""


class Undecided(Exception):
    """A question came that the script has no answer for; the demo ends with what it was."""

    code = "undecided"


@dataclass
class Script:
    """Who decides what.

    Attributes:
        people: Name to that person's own client.
        act: Does by hand what a ``human`` step asks for, in the simulated world.
        spare: Names and ids that no card may hold: the innocent integration's.
        said: What they know, by the field that asks for it.
        told: Gets a line for each decision.
    """

    people: Mapping[str, ApiClient]
    act: Callable[[Mapping[str, Any]], None]
    spare: frozenset[str] = frozenset()
    told: Callable[[str], None] = lambda line: None
    said: Mapping[str, Any] = field(default_factory=lambda: SAID)
    decided: list[dict[str, Any]] = field(default_factory=list)
    waits_for_people: ClassVar[bool] = False
    """Whether a human may take their time, so that silence is no failure."""
    _acted: set[str] = field(default_factory=set)

    def round(self, incident: str) -> int:
        """Everybody looks once and decides what is theirs; how many decisions were counted."""
        looker = next(iter(self.people.values()))
        counted = 0
        for entry in looker.get("/v1/decisions", incident=incident)["decisions"]:
            if entry["kind"] == "review":
                # Of what somebody did beside the script; the run does not wait for it.
                continue
            for name in self._deciders(entry):
                counted += self._decide(incident, name, entry)
        return counted

    def _deciders(self, entry: Mapping[str, Any]) -> list[str]:
        """People whose word is still needed, as few as will do."""
        taken = {vote["person"] for vote in entry["decided"]} | set(entry["who"].get("excluded", ()))
        chosen: list[str] = []
        for need in entry["who"]["needs"]:
            roles = set(need["roles"])
            voted = sum(1 for vote in entry["decided"] if roles & set(CAST.get(vote["person"], ())))
            free = [name for name in CAST if roles & set(CAST[name]) and name not in taken]
            missing = need["count"] - voted - sum(1 for name in chosen if roles & set(CAST[name]))
            chosen += [name for name in free if name not in chosen][: max(missing, 0)]
        if not chosen and not entry["decided"]:
            raise Undecided(f"Nobody of the demo may decide {entry['step']} ({entry['kind']}).")
        return chosen

    def _decide(self, incident: str, name: str, entry: Mapping[str, Any]) -> int:
        body = self._answer(entry)
        try:
            if not self._send(incident, name, entry, body):
                return 0
        except ApiError as refusal:
            self.told(f"{name}: {entry['step']} {body['verdict']}: refused, {refusal.code}")
            if refusal.code in AGAIN:
                return 0
            raise
        again = " again, with the difference in view" if entry["difference"] else ""
        self.told(f"{name}: {entry['step']}: {body['verdict']}{again}")
        self.decided.append({"person": name, "step": entry["step"], "verdict": body["verdict"]})
        return 1

    def _send(self, incident: str, name: str, entry: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
        """Bring a decision to a door; whether it was counted.

        Raises:
            ApiError: it was refused.
        """
        question = {key: entry[key] for key in ("run", "step", "digest")}
        self.people[name].post(f"/v1/incidents/{incident}/decisions", {**question, **body})
        return True

    def _answer(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        verdicts = entry["verdicts"]
        if entry["kind"] == "undo":
            return {"verdict": "deny", "reason": "The containment stands."}
        if "approve" in verdicts:
            return self._vote(entry)
        if "answer" in verdicts:
            values = {name: value_for(name, wanted, self.said) for name, wanted in entry["form"].items()}
            return {"verdict": "answer", "values": {k: v for k, v in values.items() if v is not None}}
        if "done" in verdicts:
            key = f"{entry['run']}/{entry['step']}/{entry['digest']}"
            if key not in self._acted:
                self.act(entry)
                self._acted.add(key)
            return {"verdict": "done"}
        for verdict in ("verify", "retry"):
            if verdict in verdicts:
                return {"verdict": verdict}
        raise Undecided(f"{entry['step']} asks for one of {', '.join(verdicts)}.")

    def _vote(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        for step in entry["preview"]:
            shown = {*map(str, step.get("sample") or ()), *map(str, step.get("protected") or ())}
            hit = sorted(shown & self.spare)
            if hit:
                return {"verdict": "deny", "reason": f"{step['step']} would touch {hit[0]}, which is not the thief's."}
        return {"verdict": "approve", "reason": "As shown."}


def value_for(name: str, wanted: Mapping[str, Any], said: Mapping[str, Any] = SAID) -> Any:
    """What somebody plausibly answers in a form's field of this type. ``said`` is what they know, by field."""
    type_ = str(wanted.get("type", "string"))
    if name in said and (not wanted.get("options") or said[name] in wanted["options"]):
        return said[name]
    if wanted.get("options"):
        return wanted["options"][0]
    if wanted.get("default") is not None:
        return wanted["default"]
    if type_.startswith("list["):
        return [value_for(name, {"type": type_[5:-1]}, said)]
    now = datetime.now(UTC)
    return {
        "boolean": True,
        "integer": 1200,
        "number": 1,
        "datetime": (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "duration": "2h",
    }.get(type_, f"{name.replace('_', ' ').capitalize()}: known to us, see the evidence.")
