"""People in a trial: who holds which roles, what they say when they are asked, signed as the desk signs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from playbooks.contract import Decision, Json
from playbooks.digest import sign_decision
from worker.desk.times import stamp
from worker.store.keys import SigningKey

VERDICTS = {
    "approves": "approve",
    "denies": "deny",
    "answers": "answer",
    "done": "done",
    "retries": "retry",
    "skips": "skip",
    "undoes": "undo",
    "stops": "stop",
    "happened": "happened",
    "did not happen": "not_happened",
    "verifies": "verify",
    "breaks the glass": "break_glass",
}
"""What a person says in a test, and the verdict that it is."""
ANYBODY = "somebody"
"""Stands for as many people as it takes; each has the roles that are asked for."""


@dataclass(frozen=True)
class Says:
    """One thing that a person says, so long after the question came (or the person before them spoke).

    ``refused`` is the code with which the run must refuse it; ``None`` if it must count.
    """

    verdict: str
    who: str = ANYBODY
    values: Mapping[str, Json] = field(default_factory=dict)
    after: timedelta = timedelta(0)
    reason: str = ""
    refused: str | None = None
    line: int = 0


@dataclass
class Asked:
    """A question as people saw it: whom it needs, the rule behind it, its preview."""

    step: str
    kind: str
    digest: str
    question: str
    needs: list[dict[str, Json]]
    excluded: list[str]
    verdicts: list[str]
    preview: list[dict[str, Json]]
    opened_at: str
    round: int

    @property
    def who(self) -> str:
        """``2 of crm_owner, 1 of incident_commander or legal``."""
        return ", ".join(f"{need['count']} of {' or '.join(need['roles'])}" for need in self.needs)

    @property
    def rule(self) -> str:
        """Why so many."""
        return "; ".join(dict.fromkeys(str(need["why"]) for need in self.needs if need.get("why")))


@dataclass
class Act:
    """A decision that is due."""

    at: datetime
    step: str
    says: Says


@dataclass
class Cast:
    """Everybody. ``roles`` holds those of named people; whoever is not named there has every role that is asked.

    ``script`` is by step: what people say there, in order, each taken by the first question that takes its verdict.
    """

    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    script: Mapping[str, Sequence[Says]] = field(default_factory=dict)
    key: SigningKey = field(default_factory=lambda: SigningKey(Ed25519PrivateKey.generate()))

    def __post_init__(self) -> None:
        self._left = {step: list(says) for step, says in self.script.items()}
        self._nonces = itertools.count(1)

    def hear(self, asked: Asked, now: datetime) -> list[Act]:
        """What people will say to a question that was just put to them."""
        acts: list[Act] = []
        at, number = now, 0
        left = self._left.get(asked.step) or self._left.get(asked.step.split("[", 1)[0]) or []
        while left and left[0].verdict in asked.verdicts:
            says = left[0]
            if acts and not _goes_on(acts[-1].says, says):
                break
            left.pop(0)
            at += says.after
            for person in self._persons(says, asked):
                number += 1
                acts.append(Act(at, asked.step, _as(says, person)))
        return acts

    def unheard(self) -> list[tuple[str, Says]]:
        """What nobody was asked for."""
        return [(step, says) for step, left in self._left.items() for says in left]

    def decision(self, act: Act, asked: Asked, *, incident: str, run: str, now: datetime) -> Decision:
        """The decision, signed by this trial's desk."""
        says = act.says
        made = Decision(
            incident=incident,
            run=run,
            step=act.step,
            person=says.who,
            roles_at=self._roles(says, asked),
            door="trial",
            verdict=says.verdict,
            digest=asked.digest,
            reason=says.reason,
            values=dict(says.values),
            nonce=f"trial-{next(self._nonces)}",
            at=stamp(now),
        )
        return sign_decision(made, self.key.private, self.key.key_id)

    def _roles(self, says: Says, asked: Asked) -> tuple[str, ...]:
        if says.who in self.roles:
            return self.roles[says.who]
        wanted = {role for need in asked.needs for role in need["roles"]}
        return tuple(sorted(wanted | ({"incident_commander"} if says.verdict == "break_glass" else set())))

    def _persons(self, says: Says, asked: Asked) -> list[str]:
        """One, or for anybody's approval as many as are needed."""
        if says.who != ANYBODY:
            return [says.who]
        count = max((int(need["count"]) for need in asked.needs), default=1) if says.verdict == "approve" else 1
        free = (f"{ANYBODY} {number}" for number in itertools.count(1))
        return [name for name in itertools.islice(free, count + len(asked.excluded)) if name not in asked.excluded][
            :count
        ]


def _goes_on(before: Says, after: Says) -> bool:
    """Whether a second thing said belongs to the same question: votes do, all else ends it."""
    return before.refused is not None or (before.verdict == "approve" and after.verdict in ("approve", "deny"))


def _as(says: Says, person: str) -> Says:
    return Says(says.verdict, person, says.values, says.after, says.reason, says.refused, says.line)
