"""What a test file says: a suite of cases, each with its systems, its people and what is expected of the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from playbooks.contract import Json
from playbooks.loader_yaml import Loc
from worker.trial.people import Says
from worker.trial.stubs import Stub


@dataclass(frozen=True)
class Happening:
    """Something that happens by itself, so long after the start: ``kind`` is ``facts cancel pause resume event``."""

    after: timedelta
    kind: str
    values: Mapping[str, Json] = field(default_factory=dict)
    by: str = ""
    name: str = ""


@dataclass(frozen=True)
class Step:
    """How a step is to end."""

    status: str | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    output: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Expect:
    """What is to come of a run. What is left out is not looked at; an empty list says that there is nothing."""

    status: str | None = None
    reason: str | None = None
    steps: Mapping[str, Step] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)
    asked: Mapping[str, Mapping[str, Json]] | None = None
    only_asked: Sequence[str] | None = None
    effects: Sequence[tuple[str, Mapping[str, Json]]] | None = None
    order: Sequence[str] = ()
    told: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    drafts: Sequence[str] | None = None
    within: timedelta | None = None
    lasts: timedelta | None = None
    warnings: Sequence[str] | None = None
    journal: Sequence[str] = ()


@dataclass(frozen=True)
class Case:
    """One case. ``peers`` is the seed of the simulated company that its systems are real peers of, if they are."""

    name: str
    loc: Loc
    line: int
    inputs: Mapping[str, Json]
    incident: Mapping[str, Json]
    started_by: str
    systems: Mapping[str, Sequence[Stub]]
    peers: int | None
    cast: Mapping[str, tuple[str, ...]]
    people: Mapping[str, Sequence[Says]]
    happens: Sequence[Happening]
    continue_after: int | None
    expect: Expect


@dataclass(frozen=True)
class Suite:
    """A test file: cases of one playbook."""

    path: Path
    playbook: str
    cases: Sequence[Case]
    lines: Mapping[Loc, int]

    def line(self, loc: Loc) -> int:
        """The line of a part, or of what would hold it."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)
