"""Fault switches of the simulated workspace: slow, failing and dropped answers, answers held back, envelopes twice."""

import asyncio
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

KINDS = (
    "latency",
    "status",
    "rate_limit",
    "error",
    "drop",
    "hold",
    "error_after_commit",
    "drop_after_commit",
    "hold_after_commit",
    "duplicate",
    "unacknowledged",
    "late",
)
"""Up to ``hold`` before a call is carried out; ``*_after_commit`` when it stands; the last three strike deliveries."""


@dataclass
class Rule:
    """When and how to misbehave.

    Attributes:
        kind: One of ``KINDS``. ``status`` answers with a bare HTTP status, ``error`` with ``{"ok": false}`` and 200,
            ``rate_limit`` with 429, ``drop`` closes the connection, ``hold`` waits for ``release``;
            ``error_after_commit`` answers ``status`` although the effect stands; ``duplicate`` delivers twice;
            ``unacknowledged`` takes an envelope's acknowledgement for lost, ``late`` delivers after ``seconds``.
        method: Regular expression of the Web API method, or of a delivery's type; also ``upload`` and ``response_url``.
        channel: Of the calls meant; empty for any.
        times: How many calls it strikes; 0 for all.
        skip: How many matching calls pass first.
        seconds: Of ``latency`` and ``late``; ``Retry-After`` of ``rate_limit``.
        status: HTTP status of the answer.
        code: Error code in the answer.
    """

    kind: str
    method: str = ""
    channel: str = ""
    times: int = 1
    skip: int = 0
    seconds: float = 1.0
    status: int = 500
    code: str = "internal_error"
    id: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is none of {', '.join(KINDS)}")
        try:
            re.compile(self.method)
        except re.error as error:
            raise ValueError(f"{self.method!r} is no regular expression: {error}") from None

    def meant(self, method: str, channel: str) -> bool:
        """Whether a call is one of those meant."""
        return (
            re.search(self.method, method) is not None
            and self.channel in ("", channel)
            and (self.times == 0 or self.struck < self.times)
        )


@dataclass
class Held:
    """A call whose answer waits to be released."""

    id: int
    rule: int
    phase: str
    method: str
    channel: str
    released: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {name: value for name, value in vars(self).items() if name != "released"}


class Faults:
    """The rules in force, the calls that they hold, and whether the workspace is up.

    Rules may be added and taken away from any thread.
    """

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.held: dict[int, Held] = {}
        self.down = False
        """While true every connection is dropped unanswered, and sockets are gone."""
        self.on_down: Callable[[], None] = lambda: None
        self.in_loop: Callable[[Callable[[], object]], object] = lambda act: act()
        """Runs something in the server's loop; the server sets it."""
        self._numbers = itertools.count(1)

    def add(self, kind: str, **given: Any) -> Rule:
        """A new rule; fields as in ``Rule``.

        Raises:
            ValueError: There is no such kind, or the pattern does not compile.
            TypeError: There is no such field.
        """
        rule = Rule(kind, **given)
        rule.id = next(self._numbers)
        self.rules.append(rule)
        return rule

    def add_given(self, given: Mapping[str, Any]) -> Rule:
        """A new rule out of JSON; raises as ``add``."""
        return self.add(**given)

    def remove(self, rule: Rule) -> None:
        """This rule no longer strikes."""
        if rule in self.rules:
            self.rules.remove(rule)

    def clear(self) -> None:
        """Up, and no rule any more; what is held goes on."""
        self.rules.clear()
        self.down = False
        self.release()

    def take_down(self) -> None:
        """The whole workspace is out of reach, and every socket drops."""
        self.down = True
        self.on_down()

    def bring_up(self) -> None:
        """The workspace answers again."""
        self.down = False

    def strike(self, method: str, channel: str, kinds: tuple[str, ...]) -> list[Rule]:
        """Rules of these kinds that strike this call now."""
        found = []
        for rule in list(self.rules):
            if rule.kind in kinds and rule.meant(method, channel):
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.struck += 1
                found.append(rule)
        return found

    async def hold(self, rule: Rule, method: str, channel: str) -> None:
        """Wait until released."""
        phase = "after_commit" if rule.kind == "hold_after_commit" else "before"
        held = Held(next(self._numbers), rule.id, phase, method, channel)
        self.held[held.id] = held
        try:
            await held.released.wait()
        finally:
            self.held.pop(held.id, None)

    def release(self, id_: int | None = None) -> int:
        """Let one held call go on, or all; how many."""
        chosen = [held for held in list(self.held.values()) if id_ in (None, held.id)]
        for held in chosen:
            self.in_loop(held.released.set)
        return len(chosen)

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "down": self.down,
            "rules": [asdict(rule) for rule in self.rules],
            "held": [held.view() for held in self.held.values()],
        }
