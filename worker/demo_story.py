"""What the demo ends with: the world's own record against ours, the document, the story. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.cli.output import clean
from worker.demo_stories import CRM, Story

EFFECT_RISKS = frozenset({"contain", "change", "destroy"})


@dataclass(frozen=True)
class World:
    """What the range recorded by itself: ``/_range/effects``, ``/_range/log``, ``/_range/state``."""

    effects: Sequence[Mapping[str, Any]]
    log: Sequence[Mapping[str, Any]]
    state: Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One thing that must be true, and whether it is."""

    name: str
    ok: bool
    found: str


def steps_with_effect(incident: Mapping[str, Any], effects: frozenset[str]) -> list[Mapping[str, Any]]:
    """Steps of the run whose action has an effect (``effects`` names such actions) and that were to run: not
    those of a way that was not taken. Of a step that runs for each of a list, its runs stand for it."""
    return [
        step
        for step in incident["steps"]
        if step["action"] in effects and step["status"] not in ("skipped", "pending") and not _is_whole(step)
    ]


def _is_whole(step: Mapping[str, Any]) -> bool:
    """Whether it is only the frame of a step's runs for each of a list; a run of its own says what it changed."""
    return step["item"] is None and step["status"] == "done" and step["changed"] is None and step["affected"] is None


def checks(
    incident: Mapping[str, Any],
    world: World,
    found_in_world: Mapping[str, str],
    effects: frozenset[str],
    story: Story = CRM,
    *,
    contains: bool = True,
) -> list[Check]:
    """Compare what Stanch says with what the world saw.

    ``found_in_world`` is what the range says of its own ends (``{}`` when all is as it should be): name of
    what is wrong to a sentence. ``contains`` says whether the playbook is one that must have had effects. ``story``
    says what evidence comes first.
    """
    steps = steps_with_effect(incident, effects)
    run = incident["runs"][0]
    unverified = [step["path"] for step in steps if step["status"] != "done" or step["verified"] is not True]
    counted = sum((step["affected"] or {}).get("count", 0) for step in steps)
    twice = [key for key, times in Counter(_target(effect) for effect in world.effects).items() if times > 1]
    return [
        Check("run", run["status"] == "done", f"the run is {run['status']}"),
        Check(
            "verified",
            bool(steps or not contains) and not unverified,
            f"{len(steps)} effect steps, not read back: {', '.join(unverified) or 'none'}",
        ),
        Check(
            "counts",
            counted == len(world.effects) and (counted > 0 or not contains),
            f"{counted} targets changed by our count, {len(world.effects)} by the world's own",
        ),
        Check("once", not twice, f"effects that happened twice: {_names(twice)}"),
        *([evidence_first(world, story.first)] if contains or world.effects else []),
        Check(
            "world",
            not found_in_world,
            "; ".join(found_in_world.values()) or (story.closed if contains else "nobody innocent was touched"),
        ),
        Check("nothing waits", not incident["waiting"], f"{len(incident['waiting'])} questions wait"),
    ]


def evidence_first(world: World, first: Mapping[str, str]) -> Check:
    """Whether evidence was read in each system before the first effect there. ``first`` names its kind by system."""
    if not world.effects:
        return Check("evidence first", False, "there was no effect")
    ok, told = True, []
    for system in sorted({effect["system"] for effect in world.effects} & set(first)):
        at = min(_instant(effect["at"]) for effect in world.effects if effect["system"] == system)
        reads = [
            _instant(entry["at"])
            for entry in world.log
            if (entry["actor"], entry["system"]) == ("stanch", system) and first[system] in (entry.get("read") or ())
        ]
        before = sum(read <= at for read in reads)
        ok = ok and before > 0
        what = "log reads" if first[system] == "access_logs" else f"reads of {first[system]} in {system}"
        told.append(f"{before} of {len(reads)} {what} before the first effect")
    return Check("evidence first", ok, ", ".join(told) or "no system here needs any")


def seconds(
    sent_at: datetime, world: World, steps: Sequence[Mapping[str, Any]], total: float
) -> dict[str, float | None]:
    """How long it took, from the alert's sending: by the world's clock to the first request, and contained."""
    ours = [_instant(entry["at"]) for entry in world.log if entry["actor"] == "stanch"]
    ours = [at for at in ours if at >= sent_at]
    contain = [step for step in steps if step["phase"] == "contain"] or steps
    contained = [_instant(step["finished_at"]) for step in contain if step["finished_at"]]
    return {
        "alert_to_first_action": round((min(ours) - sent_at).total_seconds(), 3) if ours else None,
        "alert_to_contained": round((max(contained) - sent_at).total_seconds(), 3) if contained else None,
        "total": round(total, 3),
    }


def document(
    incident: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    effects: frozenset[str],
    *,
    plan_digest: str,
    verified: bool,
    export: str,
    url: str,
    slack: Mapping[str, str],
    spans: Mapping[str, float | None],
    found: Sequence[Check],
) -> dict[str, Any]:
    """The document of ``stanch demo --json``."""
    run = incident["runs"][0]
    return {
        "ok": verified and all(check.ok for check in found),
        "incident": incident["incident"],
        "run": {
            "id": run["id"],
            "playbook": run["playbook"]["id"],
            "digest": run["playbook"]["digest"],
            "plan_digest": plan_digest,
            "status": run["status"],
        },
        "steps": list(incident["steps"]),
        "effects": [
            {
                "step": step["path"],
                "item": step["item"],
                "action": step["action"],
                "changed": bool(step["changed"]),
                "verified": step["verified"] is True,
                "affected": step["affected"] or {"count": 0, "sample": []},
            }
            for step in steps_with_effect(incident, effects)
        ],
        "approvals": approvals(entries),
        "drafts": list(incident["drafts"]),
        "journal": {"entries": len(entries), "head": entries[-1]["hash"] if entries else "", "verified": verified},
        "export": export,
        "range": {"url": url},
        "slack": dict(slack),
        "seconds": dict(spans),
        "checks": [vars(check) for check in found],
    }


def approvals(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every approval that was asked for, from the journal, with who decided how."""
    asked: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        body = entry["body"]
        if entry["kind"] == "gate.opened" and body.get("gate") in ("approve", "undo"):
            key = (body["step"], body["digest"])
            asked.setdefault(key, {"step": body["step"], "digest": body["digest"], "decisions": []})
        elif entry["kind"].startswith("decision.") and (body.get("step"), body.get("digest")) in asked:
            asked[(body["step"], body["digest"])]["decisions"].append(
                {
                    "person": entry["actor"],
                    "verdict": body.get("verdict"),
                    "at": entry["at"],
                    "accepted": entry["kind"] == "decision.accepted",
                    "code": body.get("code", "ok"),
                }
            )
    return list(asked.values())


def story(told: Mapping[str, Any]) -> str:
    """The document as a story for people."""
    run, spans = told["run"], told["seconds"]
    lines = [
        f"{told['incident']}: {run['playbook']} ended {run['status']} after {spans['total']:.1f} s.",
        f"  first action {_span(spans['alert_to_first_action'])} after the alert, "
        f"contained {_span(spans['alert_to_contained'])} after it",
        "",
        "What was done, and read back:",
    ]
    for effect in told["effects"]:
        count = effect["affected"]["count"]
        mark = "✓" if effect["verified"] else "✗"
        lines.append(f"  {mark} {effect['step']:<12} {effect['action']:<44} {count} changed")
    lines += ["", "Who decided:"]
    for approval in told["approvals"]:
        people = ", ".join(f"{each['person']} {each['verdict']}" for each in approval["decisions"] if each["accepted"])
        lines.append(f"  {clean(approval['step']):<12} {people or 'nobody'}")
    lines += ["", "Drafts (nothing was sent):"]
    for draft in told["drafts"]:
        missing = len(draft.get("missing") or ())
        due = draft.get("due") or "as soon as possible"
        fields = "field" if missing == 1 else "fields"
        lines.append(f"  {draft['regime']} {draft['stage']}: due {due}, {missing} {fields} still missing")
    lines += ["", "Checked against the world's own record:"]
    lines += [f"  {'✓' if check['ok'] else '✗'} {check['name']}: {clean(check['found'])}" for check in told["checks"]]
    mark = "✓" if told["journal"]["verified"] else "✗"
    lines += [f"  {mark} record: {told['journal']['entries']} entries, exported and verified: {told['export']}"]
    lines += [f"  · what people saw and clicked: {told['slack']['transcript']} (and .html beside it)"]
    return "\n".join(lines)


def _target(effect: Mapping[str, Any]) -> tuple[str, str, str]:
    return (effect["system"], effect["kind"], str(effect["target"]))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _names(found: Sequence[tuple[str, str, str]]) -> str:
    return ", ".join("/".join(key) for key in found[:5]) or "none"


def _span(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
