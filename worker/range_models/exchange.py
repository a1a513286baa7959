"""One request with its answer, as a front saw it pass, and what a reader of a system's wire makes of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qs


class Effect(NamedTuple):
    """A change of one target. Only a new ``value`` of a target's ``facet`` changes anything: what is said twice is
    done once."""

    kind: str
    target: str
    facet: str
    value: str
    caused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exchange:
    """A request and its answer. ``status`` is 0 while there is none; ``seen`` is what ``Wire.before`` saw."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    status: int = 0
    answer: bytes = field(default=b"", repr=False)
    seen: Any = field(default=None, repr=False)

    @property
    def good(self) -> bool:
        """Whether it was answered with a success."""
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """The request's JSON object; empty if it is none."""
        return _object(self.body)

    def answered(self) -> dict[str, Any]:
        """The answer's JSON object; empty if it is none."""
        return _object(self.answer)

    def form(self) -> dict[str, str]:
        """The request's form fields."""
        return {name: values[0] for name, values in parse_qs(self.body.decode(errors="replace")).items()}

    @property
    def bearer(self) -> str:
        """The bearer token; empty without one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else ""


@dataclass(frozen=True)
class Wire:
    """How the requests of a system are read.

    Attributes:
        system: Its name in the record.
        who: The actor of a request, by its credential; empty if it shows none that is known.
        reads: Kinds of evidence that a request with its answer reads.
        effects: What it changed.
        closed: Whether requests of nobody known are refused here, for systems that ask for no credential themselves.
        before: Looks at the world just before a request is carried out, where its answer alone does not tell what it
            changes.
        named: What of a request stands in the record: its path by default.
    """

    system: str
    who: Callable[[Exchange], str]
    reads: Callable[[Exchange], Sequence[str]] = lambda exchange: ()
    effects: Callable[[Exchange], Sequence[Effect]] = lambda exchange: ()
    closed: bool = False
    before: Callable[[Exchange], Any] = lambda exchange: None
    named: Callable[[Exchange], str] = lambda exchange: exchange.path


def by_bearer(tokens: Mapping[str, str]) -> Callable[[Exchange], str]:
    """The actor by bearer token. ``tokens`` is token to actor."""
    return lambda exchange: tokens.get(exchange.bearer, "")


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
