"""Fault switches of the simulated org: slow, failing and dropped answers, and answers held back."""

import asyncio
import itertools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = ("latency", "status", "drop", "error_after_commit", "drop_after_commit", "hold", "hold_after_commit")
"""The first three and ``hold`` act before the request is carried out, the others when it has been."""


@dataclass
class Rule:
    """When and how to misbehave.

    Attributes:
        kind: One of ``KINDS``.
        method: Of the requests meant; empty for any.
        path: Regular expression that the path contains.
        query: Regular expression that the decoded query string contains.
        actor: Whose requests; empty for any.
        times: How many requests it strikes; 0 for all.
        skip: How many matching requests pass first.
        seconds: Of latency; ``Retry-After`` for status 429.
        status: Of the answer.
        code: Error code of the answer.
    """

    kind: str
    method: str = ""
    path: str = ""
    query: str = ""
    actor: str = ""
    times: int = 1
    skip: int = 0
    seconds: float = 0.0
    status: int = 503
    code: str = "SERVER_UNAVAILABLE"
    id: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is none of {', '.join(KINDS)}")
        for pattern in (self.path, self.query):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None

    def meant(self, method: str, path: str, query: str, actor: str) -> bool:
        """Whether a request is one of those meant."""
        return (
            self.method in ("", method)
            and self.actor in ("", actor)
            and re.search(self.path, path) is not None
            and re.search(self.query, query) is not None
            and (self.times == 0 or self.struck < self.times)
        )


@dataclass
class Held:
    """A request whose answer waits to be released."""

    id: int
    rule: int
    phase: str
    method: str
    path: str
    actor: str
    released: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {name: value for name, value in vars(self).items() if name != "released"}


class Faults:
    """The rules in force, and the requests that they hold."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.held: dict[int, Held] = {}
        self._numbers = itertools.count(1)

    def add(self, given: Mapping[str, Any]) -> Rule:
        """A new rule.

        Raises:
            ValueError: It has no such kind, or a pattern that does not compile.
            TypeError: It has an unknown field.
        """
        rule = Rule(**given)
        rule.id = next(self._numbers)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """No rule any more; what is held goes on."""
        self.rules.clear()
        self.release()

    def strike(self, method: str, path: str, query: str, actor: str, *, after: bool) -> list[Rule]:
        """Rules that strike this request, before or after it is carried out."""
        found = []
        for rule in self.rules:
            if rule.kind.endswith("_after_commit") is after and rule.meant(method, path, query, actor):
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.struck += 1
                found.append(rule)
        return found

    async def hold(self, rule: Rule, method: str, path: str, actor: str) -> None:
        """Wait until released."""
        phase = "after_commit" if rule.kind == "hold_after_commit" else "before"
        held = Held(next(self._numbers), rule.id, phase, method, path, actor)
        self.held[held.id] = held
        try:
            await held.released.wait()
        finally:
            self.held.pop(held.id, None)

    def release(self, id_: int | None = None) -> int:
        """Let one held request go on, or all; how many."""
        chosen = [held for held in self.held.values() if id_ in (None, held.id)]
        for held in chosen:
            held.released.set()
        return len(chosen)

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rules": [asdict(rule) for rule in self.rules],
            "held": [held.view() for held in self.held.values()],
        }
