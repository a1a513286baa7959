"""Test files: ``NAME.test.yaml`` beside a playbook. What is wrong with one is told with its line."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from playbooks.contract import ActionFacts, Json
from playbooks.loader_yaml import YamlDefect, read
from playbooks.model_values import seconds
from playbooks.problems import Problem, did_you_mean, in_order
from worker.trial.case import Case, Expect, Happening, Step, Suite
from worker.trial.people import Says
from worker.trial.reading import Part, given
from worker.trial.stubs import FAILURES, Stub

T = TypeVar("T")
STATUSES = ("done", "failed", "denied", "cancelled", "undone", "waiting", "paused")
STEP_STATUSES = ("pending", "waiting", "running", "done", "skipped", "failed", "denied", "undone", "unknown")
SHARED = ("incident", "systems", "cast", "people", "started_by")
"""What a file says for all of its cases; a case may say it otherwise."""
EXPECTS = (
    *("status", "reason", "steps", "facts", "asked", "effects", "order", "told"),
    *("drafts", "within", "lasts", "warnings", "journal"),
)
META = ("code", "by", "affected", "changed", "verified")
"""What a step may be asked for beside its status and its output."""
SAYINGS = {
    "approves": "approve",
    "denies": "deny",
    "is done": "done",
    "retries": "retry",
    "skips": "skip",
    "undoes": "undo",
    "stops": "stop",
    "says it happened": "happened",
    "says it did not happen": "not_happened",
    "verifies": "verify",
    "breaks the glass": "break_glass",
    "answers": "answer",
}
"""What a named person says, and the verdict that it is."""
WORDS = {
    "approved": "approve",
    "denied": "deny",
    "done": "done",
    "retry": "retry",
    "skip": "skip",
    "undo": "undo",
    "stop": "stop",
    "happened": "happened",
    "did not happen": "not_happened",
    "verify": "verify",
    "answered": "answer",
}
"""The same where it does not matter who says it: as many people as it takes."""
_SAYING = re.compile(rf"(?P<who>[a-z][a-z0-9_.-]*) (?P<said>{'|'.join(SAYINGS)})( after (?P<after>[0-9]+[smhd]))?")
_WORD = re.compile(rf"(?P<said>{'|'.join(WORDS)})( after (?P<after>[0-9]+[smhd]))?")
_STUB = ("output", "fails", "times", "on", "preview", "changed", "happened", "verified", "takes", "warnings")
_INSTANCE = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class Known:
    """What a test file may name: the playbook's inputs, its steps by path, all actions."""

    inputs: Iterable[str]
    steps: Mapping[str, str | None]
    """Path to the action's name, for steps that are one."""
    actions: Mapping[str, ActionFacts]


def playbook_of(path: Path) -> tuple[str | None, list[Problem]]:
    """The id of the playbook that a test file is of, if it names one."""
    part, problems = _opened(path)
    if part is None:
        return None, problems
    value = part.value.get("playbook") if isinstance(part.value, dict) else None
    return (value if isinstance(value, str) else None), []


def load_suite(path: Path, playbook: str, known: Known) -> tuple[Suite | None, list[Problem]]:
    """Read a test file of a playbook; without a suite there is at least one problem."""
    part, problems = _opened(path)
    if part is None:
        return None, problems
    fields = part.fields("playbook", "cases", *SHARED)
    if "cases" not in fields or not part.at("cases").value:
        part.refuse("missing_key", "The file has no cases.", "Write cases:, then a name and what happens in it.")
    reader = _Reader(known)
    cases = [reader.case(name, case, fields) for name, case in part.at("cases").entries()]
    if part.problems:
        return None, in_order(part.problems)
    lines = {loc: place[0] for loc, place in (part.document.values | part.document.keys).items()}
    return Suite(path, playbook, cases, lines), []


def _opened(path: Path) -> tuple[Part | None, list[Problem]]:
    name = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None, [Problem(name, 1, 1, "not_found", "error", "The file cannot be read.", "It must be UTF-8.")]
    try:
        return Part(name, read(text), []), []
    except YamlDefect as defect:
        return None, [Problem(name, *defect.place, defect.code, "error", defect.message, defect.hint)]


class _Reader:
    def __init__(self, known: Known) -> None:
        self._known = known

    def case(self, name: str, part: Part, shared: Mapping[str, Part]) -> Case:
        own = part.fields("inputs", "happens", "continue_after", "expect", *SHARED)
        if "expect" not in own:
            part.refuse("missing_key", f"The case {name} expects nothing.", "Write expect: {status: done}.")
        both = [{key: found for key, found in parts.items() if key in SHARED} for parts in (shared, own)]
        systems: dict[str, Sequence[Stub]] = {}
        people: dict[str, Sequence[Says]] = {}
        incident: dict[str, Json] = {}
        cast: dict[str, tuple[str, ...]] = {}
        peers = None
        for parts in both:
            incident |= given(parts, "incident", Part.mapping, {})
            cast |= {who: tuple(roles.texts()) for who, roles in parts["cast"].entries()} if "cast" in parts else {}
            people |= self._people(parts["people"]) if "people" in parts else {}
            if "systems" in parts:
                stubs, seed = self._systems(parts["systems"])
                systems |= stubs
                peers = seed if seed is not None else peers
        return Case(
            name=name,
            loc=part.loc,
            line=part.line,
            inputs={key: entry.value for key, entry in own["inputs"].entries(self._known.inputs)}
            if "inputs" in own
            else {},
            incident=incident,
            started_by=given(own, "started_by", Part.text, given(shared, "started_by", Part.text, "")),
            systems=systems,
            peers=peers,
            cast=cast,
            people=people,
            happens=[self._happening(item) for item in (own["happens"].items() if "happens" in own else [])],
            continue_after=given(own, "continue_after", Part.whole, None),
            expect=self._expect(own["expect"]) if "expect" in own else Expect(),
        )

    # --- systems ---------------------------------------------------------------------------------

    def _systems(self, part: Part) -> tuple[dict[str, Sequence[Stub]], int | None]:
        if part.value == "peer":
            return {}, 1
        found: dict[str, Sequence[Stub]] = {}
        seed = None
        for name, entry in part.entries():
            if name == "peer":
                seed = entry.whole()
                continue
            facts = self._action(name, entry)
            if facts is not None:
                found[name] = [self._stub(item, facts) for item in entry.items()]
        return found, seed

    def _action(self, name: str, part: Part) -> ActionFacts | None:
        """By the name of an action, or of a step that is one."""
        facts = self._known.actions.get(name)
        if facts is not None:
            return facts
        if "." in name:
            used = {action for action in self._known.steps.values() if action}
            hint = did_you_mean(name, used) or did_you_mean(name, self._known.actions)
            part.refuse("unknown_action", f"There is no action {name[:60]}.", hint, key=True)
            return None
        self._step(part, name)
        action = self._known.steps.get(_INSTANCE.sub("", name))
        if action is None and name in self._known.steps:
            part.refuse("bad_value", f"{name} calls no system.", "Name a step of kind action.", key=True)
        return self._known.actions.get(action or "")

    def _stub(self, part: Part, facts: ActionFacts) -> Stub:
        if isinstance(part.value, str):
            return Stub(fails=part.one_of(FAILURES))
        fields = dict(part.entries((*facts.outputs, *_STUB)))
        output: dict[str, Json] = {}
        if "output" in fields:
            output = {key: entry.value for key, entry in fields["output"].entries(facts.outputs)}
        output |= {key: entry.value for key, entry in fields.items() if key in facts.outputs and key not in _STUB}
        preview = fields["preview"].fields("count", "already", "protected") if "preview" in fields else {}
        return Stub(
            output=output,
            fails=given(fields, "fails", lambda inner: inner.one_of(FAILURES), None),
            times=given(fields, "times", Part.whole, None),
            on=given(fields, "on", lambda inner: inner.one_of(("apply", "preview", "verify", "undo")), "apply"),
            count=given(preview, "count", Part.whole, None),
            already=given(preview, "already", Part.whole, 0),
            protected=tuple(given(preview, "protected", Part.texts, [])),
            changed=given(fields, "changed", Part.truth, True),
            happened=given(fields, "happened", Part.truth, True),
            verified=given(fields, "verified", Part.truth, None),
            seconds=given(fields, "takes", Part.length, timedelta(0)).total_seconds(),
            warnings=tuple(given(fields, "warnings", Part.texts, [])),
        )

    # --- people ----------------------------------------------------------------------------------

    def _people(self, part: Part) -> dict[str, Sequence[Says]]:
        found: dict[str, Sequence[Says]] = {}
        for step, entry in part.entries():
            self._step(entry, step)
            found[step] = [says for item in entry.items() if item.value != "nobody" for says in [_says(item)]]
        return found

    def _happening(self, part: Part) -> Happening:
        fields = part.fields("after", "facts", "by", "cancel", "pause", "resume", "event", "body")
        kinds = [kind for kind in ("facts", "cancel", "pause", "resume", "event") if kind in fields]
        if len(kinds) != 1:
            said = "One thing happens at a time: facts, cancel, pause, resume or event."
            part.refuse("bad_value", said, "Write {after: 5m, cancel: amal}.")
        kind = kinds[0] if kinds else "facts"
        after = given(fields, "after", Part.length, timedelta(0))
        if kind == "facts":
            return Happening(after, kind, given(fields, kind, Part.mapping, {}), given(fields, "by", Part.text, ""))
        if kind == "event":
            return Happening(after, kind, given(fields, "body", Part.mapping, {}), name=fields[kind].text())
        return Happening(after, kind, by=fields[kind].text())

    # --- expectations -----------------------------------------------------------------------------

    def _expect(self, part: Part) -> Expect:
        fields = part.fields(*EXPECTS)
        asked = fields.get("asked")
        listed = asked is not None and isinstance(asked.value, list)
        return Expect(
            status=given(fields, "status", lambda inner: inner.one_of(STATUSES), None),
            reason=given(fields, "reason", Part.text, None),
            steps=self._each(fields.get("steps"), self._ending),
            facts={name.removeprefix("incident."): entry.value for name, entry in fields["facts"].entries()}
            if "facts" in fields
            else {},
            asked=None if asked is None or listed else self._each(asked, _question),
            only_asked=[self._step(item, item.text()) for item in asked.items()] if asked and listed else None,
            effects=[self._effect(item) for item in fields["effects"].items()] if "effects" in fields else None,
            order=[self._step(item, item.text()) for item in (fields["order"].items() if "order" in fields else [])],
            told=self._each(fields.get("told"), _told),
            drafts=given(fields, "drafts", Part.texts, None),
            within=given(fields, "within", Part.length, None),
            lasts=given(fields, "lasts", Part.length, None),
            warnings=given(fields, "warnings", Part.texts, None),
            journal=given(fields, "journal", Part.texts, []),
        )

    def _each(self, part: Part | None, read: Callable[[Part], T]) -> dict[str, T]:
        """Entries by step."""
        return {self._step(entry, name): read(entry) for name, entry in part.entries()} if part is not None else {}

    def _ending(self, part: Part) -> Step:
        if isinstance(part.value, str):
            return Step(part.one_of(STEP_STATUSES))
        fields = dict(part.entries())
        own: dict[str, Json] = {
            key: fields[key].value for key in ("code", "by", "affected", "changed", "verified") if key in fields
        }
        rest = {key: entry.value for key, entry in fields.items() if key not in own and key != "status"}
        return Step(given(fields, "status", lambda inner: inner.one_of(STEP_STATUSES), None), own, rest)

    def _effect(self, part: Part) -> tuple[str, Mapping[str, Json]]:
        if isinstance(part.value, Mapping) and len(part.value) == 1:
            name = next(iter(part.value))
            return self._step(part.at(name), name), part.at(name).mapping()
        return self._step(part, part.text()), {}

    def _step(self, part: Part, name: str) -> str:
        path = _INSTANCE.sub("", name).removeprefix("undo ")
        if path not in self._known.steps and path != "@undo":
            hint = did_you_mean(path, self._known.steps)
            part.refuse("unknown_step", f"The playbook has no step {path[:60]}.", hint, key=True)
        return name


def _says(part: Part) -> Says:
    line = part.line
    if isinstance(part.value, str):
        found = _SAYING.fullmatch(part.value)
        if found is not None:
            return Says(SAYINGS[found["said"]], found["who"], after=_after(found["after"]), line=line)
        found = _WORD.fullmatch(part.value)
        if found is not None:
            return Says(WORDS[found["said"]], after=_after(found["after"]), line=line)
        hint = f"Write NAME {', '.join(SAYINGS)}; or just {', '.join(WORDS)}; or nobody; or the fields of the form."
        part.refuse("bad_value", f"Nobody says {part.value[:60]!r}.", hint)
        return Says("deny", line=line)
    if isinstance(part.value, Mapping) and not {"says", "answer"} & set(part.value):
        return Says("answer", values=part.mapping(), line=line)
    fields = part.fields("who", "says", "answer", "after", "reason", "refused")
    spoken = given(fields, "says", _says, Says("answer", line=line))
    return Says(
        spoken.verdict,
        given(fields, "who", Part.text, spoken.who),
        given(fields, "answer", Part.mapping, {}),
        given(fields, "after", Part.length, spoken.after),
        given(fields, "reason", Part.text, "because" if spoken.verdict == "break_glass" else ""),
        given(fields, "refused", Part.text, None),
        line,
    )


def _after(text: str | None) -> timedelta:
    return timedelta(seconds=seconds(text)) if text else timedelta(0)


def _question(part: Part) -> dict[str, Json]:
    if isinstance(part.value, str):
        return {"who": part.value}
    return {key: entry.value for key, entry in part.fields("who", "rule", "kind", "times", "text").items()}


def _told(part: Part) -> dict[str, Json]:
    if isinstance(part.value, str):
        return {"text": part.value}
    return {key: entry.value for key, entry in part.fields("to", "text", "urgency").items()}
