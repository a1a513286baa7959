"""Whom to page when: rules, and the pure machine that walks them.

A page is a list of ``Link``. Each *turn* is one person, or those who are on call together; the methods of their rules
are gone through so many times, then comes the next turn. Copies by mail go out after the first attempt, and nobody
waits for them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

CHANNELS = ("slack", "pagerduty", "mail", "webhook")
MOST = 10
LONGEST = timedelta(days=1)
HURRY = timedelta(seconds=30)
"""Before those are tried again whom no channel could reach at all."""
_METHOD = re.compile(r"\s*([a-z]+)\s+(\d{1,5})([smh])\s*\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Method:
    """A channel, and the seconds after which it is tried, from the start of the rule."""

    channel: str
    after: int


@dataclass(frozen=True)
class Link:
    """One attempt of a chain: the ``time``-th (from 0) round of a turn, to a person by a channel, so late in the round.

    To a ``copy`` no answer is expected.
    """

    person: str
    time: int
    channel: str
    after: int
    turn: int = 0
    copy: bool = False


@dataclass(frozen=True)
class Chain:
    """Where a page stands. ``cursor`` is the next link; at ``due`` it is tried, or nobody has answered.

    ``taken`` says whether some channel took the page in this round of this turn; ``then``, while copies go out, when
    the page itself goes on.
    """

    links: tuple[Link, ...]
    cursor: int
    due: datetime
    taken: bool = False
    then: datetime | None = None

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


def chain_of(
    turns: Sequence[Sequence[str]],
    rules: Mapping[str, Sequence[Method]],
    now: datetime,
    *,
    times: int,
    copies: Sequence[str] = (),
) -> Chain:
    """The chain of a page that begins now; nobody has two turns. ``copies`` get a mail each at once."""
    links, seen = list[Link](), set[str]()
    for number, turn in enumerate(turns):
        together = [person for person in dict.fromkeys(turn) if person not in seen]
        seen |= set(together)
        for time in range(times):
            found = [Link(who, time, way.channel, way.after, number) for who in together for way in rules[who]]
            links += sorted(found, key=lambda link: link.after)
    links[1:1] = [Link(person, 0, "mail", 0, -1, True) for person in dict.fromkeys(copies)]
    first = timedelta(seconds=links[0].after) if links else timedelta(0)
    return Chain(tuple(links), 0, now + first)


def due(chain: Chain, now: datetime) -> Link | None:
    """What is to be tried now, if anything."""
    return chain.links[chain.cursor] if not chain.over and chain.due <= now else None


def after(chain: Chain, now: datetime, *, taken: bool, gap: timedelta) -> Chain:
    """The chain once its current link was tried: later if the channel took it, at once if it failed."""
    this, rest = chain.links[chain.cursor], chain.links[chain.cursor + 1 :]
    if this.copy:
        goes_on = now if rest and rest[0].copy else chain.then or now
        return replace(chain, cursor=chain.cursor + 1, due=goes_on)
    reached = chain.taken or taken
    following = next((link for link in rest if not link.copy), None)
    if following is not None and (following.turn, following.time) == (this.turn, this.time):
        pause = timedelta(seconds=following.after - this.after) if taken else timedelta(0)
    else:
        if reached:
            pause = gap
        elif following is not None and following.turn == this.turn:
            pause = min(gap, HURRY)
        else:
            pause = timedelta(0)
        pause += timedelta(seconds=following.after if following is not None else 0)
        reached = False
    goes_on = now + pause
    copying = bool(rest) and rest[0].copy
    return replace(chain, cursor=chain.cursor + 1, due=now if copying else goes_on, taken=reached, then=goes_on)


def unanswered(chain: Chain, now: datetime) -> bool:
    """Whether the chain has come to its end without an answer."""
    return chain.over and chain.due <= now
