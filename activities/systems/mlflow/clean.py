"""The clean checkpoint by rule: which version may be gone back to, and why each newer one may not. Pure.

G1 of facts §6.1: the newest version with a good signature, built before the first bad moment from a dataset taken
before it, by a builder that is not compromised, whose release set is whole and whose stored evaluation passes. What a
version does not say counts against it: a builder that was taken over also wrote the tags.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from activities.systems.mlflow.config import Tags
from activities.systems.mlflow.shown import shown


@dataclass(frozen=True)
class Facts:
    """What is known of a version.

    Attributes:
        number: Of the version.
        tags: As the registry has them.
        status: ``READY``, or what it is instead.
        created: When it was registered, by the registry's own clock.
    """

    number: str
    tags: Mapping[str, str]
    status: str = "READY"
    created: datetime | None = None


@dataclass(frozen=True)
class Findings:
    """What was found by looking into a version, a sentence for each thing that is wrong."""

    signature: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a version: clean if there is no reason against it. ``notes`` are for people."""

    number: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    digest: str = ""

    @property
    def clean(self) -> bool:
        """Whether it may be gone back to."""
        return not self.reasons

    def line(self) -> str:
        """As it stands in the output: ``5: builder builder-2 is compromised; …``."""
        return f"{self.number}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class Search:
    """The outcome: the newest clean version, how many versions are newer, and the verdict of each that was judged."""

    found: Verdict | None
    behind: int
    verdicts: tuple[Verdict, ...]

    @property
    def rejected(self) -> list[str]:
        """A line for each version that was refused, newest first."""
        return [verdict.line() for verdict in self.verdicts if not verdict.clean]


def judge(facts: Facts, findings: Findings, first_bad: datetime, compromised: Collection[str], tags: Tags) -> Verdict:
    """All reasons against a version; not only the first, so that people see how bad it is."""
    reasons, notes = [], []
    builder = facts.tags.get(tags.builder, "").strip()
    if not builder:
        reasons.append("it does not say who built it")
    elif builder.casefold() in {name.strip().casefold() for name in compromised}:
        reasons.append(f"builder {shown(builder)} is compromised")
    reasons += _late(facts.tags.get(tags.built_at), first_bad, "it was built", "when it was built")
    taken = facts.tags.get(tags.dataset_at)
    reasons += _late(taken, first_bad, "its dataset was taken", "when its dataset was taken")
    if not facts.tags.get(tags.dataset, "").strip():
        reasons.append("it does not say which dataset it was made of")
    reasons += findings.signature
    reasons += findings.release
    reasons += findings.evaluation
    for tag, words in ((tags.quarantine, "it is quarantined"), (tags.revoked, "it is revoked")):
        # Any value counts, an empty one too: a tag that somebody emptied is still a sign.
        if tag in facts.tags:
            reasons.append(f"{words} ({shown(facts.tags[tag])})" if facts.tags[tag] else words)
    if facts.status != "READY":
        reasons.append(f"the registry says that it is {shown(facts.status) or 'in no state'}")
    if facts.created is not None and facts.created >= first_bad:
        notes.append("it was registered after the first bad moment; when it was built is its builder's word")
    return Verdict(facts.number, tuple(reasons), tuple(notes), findings.digest)


def search(
    versions: Iterable[Facts],
    look: Callable[[Facts], Findings],
    first_bad: datetime,
    compromised: Collection[str],
    tags: Tags,
    before: str | None = None,
) -> Search:
    """The newest clean version.

    Args:
        versions: All of the model.
        look: Looks into one; asked newest first, and not of those older than the one that is found.
        first_bad: The first moment from which nothing can be relied on.
        compromised: Builders that cannot be relied on at any time.
        tags: Names of the tags.
        before: Only versions before this one are looked at, and are counted from it.
    """
    ordered = sorted(versions, key=lambda facts: int(facts.number), reverse=True)
    if before is not None:
        behind = 1 if any(facts.number == before for facts in ordered) else 0
        ordered = [facts for facts in ordered if int(facts.number) < int(before)]
    else:
        behind = 0
    verdicts: list[Verdict] = []
    for steps, facts in enumerate(ordered):
        verdict = judge(facts, look(facts), first_bad, compromised, tags)
        verdicts.append(verdict)
        if verdict.clean:
            return Search(verdict, steps + behind, tuple(verdicts))
    return Search(None, 0, tuple(verdicts))


def instant(text: str | None) -> datetime | None:
    """An RFC 3339 instant of a tag; ``None`` if it is none. Without an offset it could be any of a day's hours."""
    try:
        found = datetime.fromisoformat((text or "").strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def _late(text: str | None, first_bad: datetime, was: str, when: str) -> list[str]:
    found = instant(text)
    if found is None:
        return [f"it does not say {when}"]
    if found < first_bad:
        return []
    return [f"{was} at {found:%Y-%m-%dT%H:%M:%SZ}, not before the first bad moment"]
