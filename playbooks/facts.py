"""Facts as regimes read them: named, typed, with where they are from.

A fact is written plainly (``subjects: 12000``) or with its provenance (``subjects: {value: 12000, state:
estimate, because: count of the export job, source: INC-2026-1, at: 2026-11-24T10:00:00Z}``).
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from playbooks.clocks_time import Moment, TimeError, moment
from playbooks.contract import Json
from playbooks.facts_vocabulary import ALIASES, KINDS, FactKind

SCOPES = ("organisation", "incident")
STATES = ("known", "estimate", "unknown")
TRUSTS = ("person", "read", "alert")
MAX_TEXT = 20_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z][a-z0-9_]{0,63}){0,2}")
_WORDS = {"true": True, "yes": True, "false": False, "no": False}
_PROVENANCE = {"value", "state", "because", "source", "at", "trust", "by"}


class FactError(ValueError):
    """A fact that cannot be taken; ``code`` is stable, ``fact`` names it."""

    def __init__(self, code: str, message: str, fact: str = "") -> None:
        """``message`` says what is wrong, what was not done, and what to write instead."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.fact = fact


@dataclass(frozen=True)
class FactValue:
    """One fact with its provenance. ``state``: ``known estimate unknown``; ``trust``: ``person read alert``."""

    value: Json = None
    state: str = "known"
    because: str = ""
    source: str = ""
    at: str = ""
    trust: str = "person"
    by: str = ""

    @property
    def known(self) -> bool:
        """Whether there is a value to work with, be it an estimate."""
        return self.value is not None and self.state != "unknown"


def full_name(name: str) -> str:
    """Return a fact's full name: scope added (``incident`` if none), aliases resolved."""
    named = name if name.partition(".")[0] in SCOPES and "." in name else f"incident.{name}"
    return ALIASES.get(named, named)


def kind_of(name: str) -> FactKind | None:
    """The known kind of a fact, ``None`` for one that the vocabulary does not have."""
    return KINDS.get(full_name(name))


def near(name: str) -> str | None:
    """The known fact whose name is most like ``name``, for hints."""
    found = difflib.get_close_matches(full_name(name), KINDS, n=1, cutoff=0.8)
    return found[0] if found else None


def coerce(name: str, value: Json) -> Json:
    """Return ``value`` in the type of the fact, as plain JSON.

    Text from a form or command line is read as its type (``"12000"``, ``"yes"``, ``"a, b"`` for a list). A
    fact outside the vocabulary keeps its value. ``None`` stays ``None`` (not known).

    Raises:
        FactError: ``bad_name``, ``fixed`` or ``wrong_type``; nothing was changed.
    """
    named = full_name(name)
    if not _NAME.fullmatch(named):
        raise FactError("bad_name", f"{name[:80]!r} is no name for a fact. Use lower case, digits and _.", name)
    kind = KINDS.get(named)
    if value is None or kind is None:
        return value
    try:
        return _READ[kind.type](kind, value)
    except TimeError as error:
        raise FactError("wrong_type", f"{named}: {error.message} The fact was not set.", named) from None
    except ValueError as error:
        raise FactError("wrong_type", f"{named} {error}. The fact was not set.", named) from None


def settable(name: str) -> None:
    """Check that a playbook or person may set the fact.

    Raises:
        FactError: ``fixed`` for what Stanch sets on opening, ``bad_name`` for an organisation's fact.
    """
    kind = kind_of(name)
    if kind is not None and kind.fixed:
        raise FactError("fixed", f"{kind.name} is set when an incident opens and cannot be changed.", kind.name)
    if full_name(name).startswith("organisation."):
        raise FactError("bad_name", f"{name} belongs to the settings, not to an incident.", name)


def _text(kind: FactKind, value: Json) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"takes text, not {_said(value)}")
    text = str(value).strip()
    if len(text) > MAX_TEXT:
        raise ValueError(f"takes at most {MAX_TEXT} characters, not {len(text)}")
    return text


def _integer(kind: FactKind, value: Json) -> int:
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}", value.strip().replace("_", "").replace(",", "")):
        value = int(value.strip().replace("_", "").replace(",", ""))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0 or value >= 10**15:
        raise ValueError(f"takes a whole number from 0 up, not {_said(value)}")
    if kind.short == "severity" and value > 5:
        raise ValueError(f"takes 0 to 5, not {value}")
    return value


def _boolean(kind: FactKind, value: Json) -> bool:
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if not isinstance(value, bool):
        raise ValueError(f"takes yes or no, not {_said(value)}")
    return value


def _choice(kind: FactKind, value: Json) -> str:
    if not isinstance(value, str) or value.strip().lower() not in kind.options:
        raise ValueError(f"takes one of {', '.join(kind.options)}, not {_said(value)}")
    return value.strip().lower()


def _list(kind: FactKind, value: Json) -> list[str]:
    entries = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f"takes a list, not {_said(value)}")
    if len(entries) > 1000:
        raise ValueError(f"takes at most 1000 entries, not {len(entries)}")
    read = _choice if kind.options else _text
    return [read(kind, entry) for entry in entries]


def _instant(kind: FactKind, value: Json) -> str:
    text = value if isinstance(value, str) else value.isoformat() if hasattr(value, "isoformat") else None
    if text is None:
        raise ValueError(f"takes an instant, not {_said(value)}")
    try:
        moment(text)
    except TimeError as error:
        # A local time is completed by the organisation's zone when a clock reads it.
        if error.code != "zone_missing":
            raise
    return text.strip()


def _said(value: Json) -> str:
    """A wrong value in an error. What is nested is only named: nobody wants it printed whole."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"


_READ = {
    "string": _text,
    "integer": _integer,
    "boolean": _boolean,
    "choice": _choice,
    "list[string]": _list,
    "datetime": _instant,
}


@dataclass(frozen=True)
class Facts:
    """All that is known of one incident and its organisation, by full name."""

    values: dict[str, FactValue] = field(default_factory=dict)

    def get(self, name: str) -> FactValue:
        """The fact, or an unknown one."""
        return self.values.get(full_name(name), FactValue(state="unknown"))

    def when(self, name: str, zones: Sequence[ZoneInfo]) -> tuple[Moment, FactValue] | None:
        """A dated fact as a moment, ``None`` where it is not known.

        Raises:
            FactError: ``wrong_type`` for one that is no instant.
        """
        found = self.get(name)
        if not found.known:
            return None
        try:
            return moment(found.value, zones), found
        except TimeError as error:
            raise FactError("wrong_type", f"{full_name(name)}: {error.message}", full_name(name)) from None

    def with_dated(self, dated: Mapping[str, str]) -> "Facts":
        """The same with dated facts added; they win over a fact of that name."""
        more = {full_name(name): FactValue(value=at, source="dated") for name, at in dated.items()}
        return replace(self, values={**self.values, **more})


def read_facts(
    document: Mapping[str, Json],
    *,
    organisation: Mapping[str, Json] | None = None,
    problems: list[FactError] | None = None,
) -> Facts:
    """Read a facts document: ``{organisation: {…}, incident: {…}}``, or an incident's facts alone.

    Args:
        document: Values plain or with provenance. Names without a scope are the incident's.
        organisation: Standing facts of the organisation; those in ``document`` win.
        problems: Takes what is not usable instead of raising, so that one bad fact stops no clock; such a
            fact counts as not known.

    Raises:
        FactError: The first fact that is not usable, with its name.
    """
    if not isinstance(document, Mapping):
        raise FactError("wrong_type", "Facts are a mapping of names to values.")
    pairs = [(f"organisation.{name}", value) for name, value in (organisation or {}).items()]
    for name, value in document.items():
        if not isinstance(name, str):
            raise FactError("bad_name", f"{name!r} is no name for a fact. Quote it.", str(name))
        if name in SCOPES and isinstance(value, Mapping):
            pairs.extend((f"{name}.{inner}", entry) for inner, entry in value.items())
        elif name in SCOPES and value is None:
            continue
        else:
            pairs.append((name, value))
    values: dict[str, FactValue] = {}
    for name, value in pairs:
        try:
            values[full_name(name)] = _fact(name, value)
        except FactError as error:
            if problems is None:
                raise
            problems.append(error)
    return Facts(values)


def _fact(name: str, value: Json) -> FactValue:
    if not (isinstance(value, Mapping) and value and set(value) <= _PROVENANCE and {"value", "state"} & set(value)):
        return FactValue(value=coerce(name, value), state="unknown" if value is None else "known")
    plain = coerce(name, value.get("value"))
    state = value.get("state") or ("unknown" if plain is None else "known")
    trust = value.get("trust") or "person"
    if state not in STATES:
        raise FactError("wrong_type", f"{name}: state is one of {', '.join(STATES)}, not {_said(state)}.", name)
    if trust not in TRUSTS:
        raise FactError("wrong_type", f"{name}: trust is one of {', '.join(TRUSTS)}, not {_said(trust)}.", name)
    texts = {key: str(value.get(key) or "") for key in ("because", "source", "at", "by")}
    return FactValue(value=plain, state=state, trust=trust, **texts)
