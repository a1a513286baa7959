"""Whom to page when: rules, and the pure machine that walks them.

A page is a list of ``Link``: every method of each person's rule, so many times a person, one person after another.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

CHANNELS = ("slack", "pagerduty", "mail", "webhook")
MOST = 10
LONGEST = timedelta(days=1)
HURRY = timedelta(seconds=30)
"""Before the same person is tried again whom no channel could reach at all."""
_METHOD = re.compile(r"\s*([a-z]+)\s+(\d{1,5})([smh])\s*\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Method:
    """A channel, and the seconds after which it is tried, from the start of the rule."""

    channel: str
    after: int


@dataclass(frozen=True)
class Link:
    """One attempt of a chain: the ``time``-th (from 0) round of a person, by a channel, so late in the round."""

    person: str
    time: int
    channel: str
    after: int


@dataclass(frozen=True)
class Chain:
    """Where a page stands. ``cursor`` is the next link; at ``due`` it is tried, or nobody has answered.

    ``taken`` says whether some channel took the page in this round of this person.
    """

    links: tuple[Link, ...]
    cursor: int
    due: datetime
    taken: bool = False

    @property
    def over(self) -> bool:
        """Whether every link was tried."""
        return self.cursor >= len(self.links)


def parse_rule(text: str) -> tuple[Method, ...]:
    """Read a rule such as ``slack 0m, pagerduty 2m, mail 5m``.

    Raises:
        ValueError: with what is wrong and how it is written.
    """
    methods: list[Method] = []
    for part in text.split(","):
        match = _METHOD.match(part)
        if match is None or match[1] not in CHANNELS:
            raise ValueError(
                f"{part.strip()[:40]!r} is no method; write a channel ({', '.join(CHANNELS)}) and a delay such as 2m"
            )
        after = int(match[2]) * _UNITS[match[3]]
        if after > LONGEST.total_seconds() or (methods and after < methods[-1].after):
            raise ValueError("delays count from the start of the rule, never go down, and are one day at most")
        methods.append(Method(match[1], after))
    if len(methods) > MOST:
        raise ValueError(f"a rule has at most {MOST} methods")
    return tuple(methods)


def chain_of(people: Sequence[str], rules: Mapping[str, Sequence[Method]], now: datetime, *, times: int) -> Chain:
    """The chain of a page that begins now."""
    links = tuple(
        Link(person, time, method.channel, method.after)
        for person in dict.fromkeys(people)
        for time in range(times)
        for method in rules[person]
    )
    first = timedelta(seconds=links[0].after) if links else timedelta(0)
    return Chain(links, 0, now + first)


def due(chain: Chain, now: datetime) -> Link | None:
    """What is to be tried now, if anything."""
    return chain.links[chain.cursor] if not chain.over and chain.due <= now else None


def after(chain: Chain, now: datetime, *, taken: bool, gap: timedelta) -> Chain:
    """The chain once its current link was tried: later if the channel took it, at once if it failed."""
    this, reached = chain.links[chain.cursor], chain.taken or taken
    following = chain.links[chain.cursor + 1] if chain.cursor + 1 < len(chain.links) else None
    if following is not None and (following.person, following.time) == (this.person, this.time):
        pause = timedelta(seconds=following.after - this.after) if taken else timedelta(0)
        return replace(chain, cursor=chain.cursor + 1, due=now + pause, taken=reached)
    if reached:
        pause = gap
    elif following is not None and following.person == this.person:
        pause = min(gap, HURRY)
    else:
        pause = timedelta(0)
    first = timedelta(seconds=following.after) if following is not None else timedelta(0)
    return replace(chain, cursor=chain.cursor + 1, due=now + pause + first, taken=False)


def unanswered(chain: Chain, now: datetime) -> bool:
    """Whether the chain has come to its end without an answer."""
    return chain.over and chain.due <= now
