"""What came of a run, and whether it is what a test expected."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from playbooks.contract import Json, NewEntry
from playbooks.loader_yaml import Loc
from worker.trial.case import Expect, Step
from worker.trial.people import Asked
from worker.trial.trial import Trial
from worker.trial.world import Effect


@dataclass(frozen=True)
class Missed:
    """An expectation that was not met; ``loc`` is its place within ``expect``."""

    loc: Loc
    message: str


@dataclass(frozen=True)
class Outcome:
    """What came of a run, as far as it has come.

    ``steps`` is by instance (``revoke``, ``related[0]``): ``status code message output by affected …``.
    """

    status: str
    reason: str
    steps: Mapping[str, Mapping[str, Json]]
    facts: Mapping[str, Json]
    asked: Sequence[Asked]
    effects: Sequence[Effect]
    notices: Sequence[Mapping[str, Json]]
    drafts: Sequence[str]
    warnings: Sequence[str]
    journal: Sequence[NewEntry]
    lasted: timedelta

    @classmethod
    def of(cls, trial: Trial) -> "Outcome":
        """Look at a run."""
        status = trial.status()
        state = trial.world.state or {}
        records: Mapping[str, Any] = state.get("records", {})
        steps = {}
        for shown in status["steps"]:
            key = instance(shown["path"], shown["item"])
            output = records.get(key, {}).get("output", {})
            steps[key] = {**shown, "output": output, "began": shown["started_at"]}
        held = {**state.get("facts", {}).get("facts", {}), **state.get("own_facts", {})}
        return cls(
            status=status["status"],
            reason=status["reason"],
            steps=steps,
            facts={name: fact["value"] for name, fact in held.items()} | state.get("dated", {}),
            asked=list(trial.asked.values()),
            effects=list(trial.world.effects),
            notices=[_notice(notice.model_dump(mode="json")) for notice in trial.world.notices.values()],
            drafts=list(dict.fromkeys(f"{draft['regime']} {draft['stage']}" for draft in trial.world.drafts)),
            warnings=status["warnings"],
            journal=list(trial.world.entries.values()),
            lasted=_lasted(status, trial),
        )

    def missed(self, expect: Expect) -> list[Missed]:
        """Every expectation that was not met."""
        return list(_missed(self, expect))


def _lasted(status: Mapping[str, Any], trial: Trial) -> timedelta:
    finished = status["finished_at"]
    return (datetime.fromisoformat(finished) if finished else trial.now) - trial.started


def _notice(notice: Mapping[str, Any]) -> dict[str, Json]:
    body = notice["body"]
    to = [name.removeprefix("role:") for name in notice["to"]]
    return {
        "step": notice["step"],
        "to": to,
        "urgency": notice["urgency"],
        "kind": body.get("kind"),
        "text": body.get("text") or body.get("question") or "",
    }


def _missed(found: Outcome, expect: Expect) -> Iterator[Missed]:
    if expect.status is not None and found.status != expect.status:
        because = f" ({found.reason})" if found.reason else ""
        yield Missed(("status",), f"The run is {found.status}{because}, not {expect.status}.")
    if expect.reason is not None and expect.reason not in found.reason:
        yield Missed(("reason",), f"The reason is {found.reason!r}.")
    for name, wanted in expect.steps.items():
        yield from _step(found, name, wanted)
    for name, value in expect.facts.items():
        if found.facts.get(name) != value:
            yield Missed(("facts", name), f"incident.{name} is {found.facts.get(name)!r}, not {value!r}.")
    yield from _questions(found, expect)
    if expect.effects is not None:
        yield from _effects(found, expect.effects)
    yield from _order(found, expect.order)
    for step, told in expect.told.items():
        yield from _told(found, step, told)
    for name in expect.drafts or ():
        if name not in found.drafts:
            yield Missed(("drafts",), f"There is no draft {name}; there are: {', '.join(found.drafts) or 'none'}.")
    if expect.drafts is not None and not expect.drafts and found.drafts:
        yield Missed(("drafts",), f"Drafts were written: {', '.join(found.drafts)}.")
    if expect.within is not None and found.lasted > expect.within:
        yield Missed(("within",), f"It took {found.lasted}, more than {expect.within}.")
    if expect.lasts is not None and found.lasted != expect.lasts:
        yield Missed(("lasts",), f"It took {found.lasted}, not {expect.lasts}.")
    yield from _warnings(found, expect)
    yield from _journal(found, expect.journal)


def _step(found: Outcome, name: str, wanted: Step) -> Iterator[Missed]:
    step = found.steps.get(name)
    if step is None:
        yield Missed(("steps", name), f"{name} did not come to be.")
        return
    if wanted.status is not None and step["status"] != wanted.status:
        why = f" ({step['code']}: {step['message']})" if step["code"] else ""
        yield Missed(("steps", name), f"{name} is {step['status']}{why}, not {wanted.status}.")
    for key, value in wanted.fields.items():
        is_now = step[key]["count"] if key == "affected" and isinstance(step[key], Mapping) else step[key]
        if is_now != value:
            yield Missed(("steps", name, key), f"{key} of {name} is {is_now!r}, not {value!r}.")
    for key, value in wanted.output.items():
        is_now = step["output"].get(key)
        if not _alike(value, is_now):
            yield Missed(("steps", name, key), f"steps.{name}.{key} is {is_now!r}, not {value!r}.")


def _alike(wanted: Json, value: Json) -> bool:
    """Equal; a list of names is alike to a set of targets that holds them."""
    if isinstance(value, Mapping) and "sha256" in value and isinstance(wanted, list):
        return list(value.get("sample", [])) == wanted
    return bool(value == wanted)


def _questions(found: Outcome, expect: Expect) -> Iterator[Missed]:
    names = list(dict.fromkeys(asked.step for asked in found.asked))
    if expect.only_asked is not None and names != list(expect.only_asked):
        yield Missed(("asked",), f"Asked was at {', '.join(names) or 'no step'}.")
    for step, wanted in (expect.asked or {}).items():
        rounds = [asked for asked in found.asked if asked.step == step]
        if wanted.get("who") == "nobody" or wanted.get("times") == 0:
            if rounds:
                yield Missed(("asked", step), f"{step} asked {rounds[0].who}.")
            continue
        if not rounds:
            yield Missed(("asked", step), f"{step} asked nobody; asked was at {', '.join(names) or 'no step'}.")
            continue
        first = rounds[0]
        now: dict[str, Json] = {"who": first.who, "kind": first.kind, "times": len(rounds)}
        for key, value in wanted.items():
            if key in now and now[key] != value:
                yield Missed(("asked", step, key), f"{step} asked, as {key}: {now[key]}; not {value}.")
        if str(wanted.get("rule", "")) not in first.rule:
            yield Missed(("asked", step, "rule"), f"The rule of {step} is {first.rule!r}.")
        if str(wanted.get("text", "")) not in first.question:
            yield Missed(("asked", step, "text"), f"The question of {step} is {first.question!r}.")


def instance(path: str, item: str | None) -> str:
    """A step instance by its path and its item: ``related[0]``."""
    return path + "".join(f"[{index}]" for index in (item or "").split("/") if index)


def named(effect: Effect) -> str:
    """An effect by its step instance, an undo by ``undo`` before it."""
    key = instance(effect.step, effect.item)
    return f"undo {key}" if effect.verb == "undo" else key


def _effects(found: Outcome, wanted: Sequence[tuple[str, Mapping[str, Json]]]) -> Iterator[Missed]:
    names = [named(effect) for effect in found.effects]
    if names != [name for name, _ in wanted]:
        yield Missed(("effects",), f"The effects are: {', '.join(names) or 'none'}.")
        return
    for number, (effect, (name, params)) in enumerate(zip(found.effects, wanted, strict=True)):
        for key, value in params.items():
            if not _alike(value, effect.params.get(key)):
                said = f"{key} of {name} is {effect.params.get(key)!r}, not {value!r}."
                yield Missed(("effects", number, name, key), said)


def _order(found: Outcome, wanted: Sequence[str]) -> Iterator[Missed]:
    for number, (first, second) in enumerate(itertools.pairwise(wanted)):
        ended = (found.steps.get(first) or {}).get("finished_at")
        began = (found.steps.get(second) or {}).get("began")
        if ended is None or began is None:
            yield Missed(("order", number), f"{first if ended is None else second} did not run.")
        elif ended > began or _place(found, first) > _place(found, second):
            yield Missed(("order", number), f"{second} began before {first} had ended.")


def _place(found: Outcome, name: str) -> int:
    """Where a step's end stands in the journal; steps that take no time have the same instants."""
    ends = ("step.done", "step.failed", "step.skipped", "step.denied", "action.outcome", "action.failed")
    for number, entry in enumerate(found.journal):
        if entry.kind in ends and instance(str(entry.body.get("step")), entry.body.get("item")) == name:
            return number
    return len(found.journal)


def _told(found: Outcome, step: str, wanted: Mapping[str, Json]) -> Iterator[Missed]:
    notices = [notice for notice in found.notices if notice["step"] == step]
    if not notices:
        yield Missed(("told", step), f"{step} told nobody anything.")
        return
    to = wanted.get("to")
    roles = {to} if isinstance(to, str) else set(to or ())
    for notice in notices:
        fits = roles <= set(notice["to"]) and str(wanted.get("text", "")) in notice["text"]
        if fits and wanted.get("urgency") in (None, notice["urgency"]):
            return
    shown = "; ".join(f"to {', '.join(n['to'])} ({n['urgency']}): {n['text']}" for n in notices)
    yield Missed(("told", step), f"{step} told {shown}")


def _warnings(found: Outcome, expect: Expect) -> Iterator[Missed]:
    if expect.warnings is None:
        return
    for text in expect.warnings:
        if not any(text in warning for warning in found.warnings):
            yield Missed(("warnings",), f"No warning says {text!r}; they are: {'; '.join(found.warnings) or 'none'}.")
    if not expect.warnings and found.warnings:
        yield Missed(("warnings",), f"There are warnings: {'; '.join(found.warnings)}.")


def _journal(found: Outcome, wanted: Sequence[str]) -> Iterator[Missed]:
    kinds = iter([entry.kind for entry in found.journal])
    for number, kind in enumerate(wanted):
        if kind not in kinds:
            yield Missed(("journal", number), f"The journal has no {kind} here.")
            return
