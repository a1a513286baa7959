"""Cryptoperiods: how long a key may be used, and which of a list of keys are overdue. Pure; no system is asked.

The periods are those of Table 1 ("Suggested cryptoperiods for key types") in NIST SP 800-57 Part 1 Rev. 5 (May 2020),
https://doi.org/10.6028/NIST.SP.800-57pt1r5, section 5.3.6. NIST gives them as general guidance for usual risk; a house
rule may be shorter (``at_most``), never longer.
"""

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from playbooks.contract import MAX_LITERAL_TARGETS

SKEW = timedelta(minutes=5)
SOURCE = "NIST SP 800-57 Part 1 Rev. 5, Table 1"


class KeyKind(StrEnum):
    """The nineteen key types of the table, in its order."""

    PRIVATE_SIGNATURE = "private_signature"
    PUBLIC_SIGNATURE = "public_signature"
    SYMMETRIC_AUTHENTICATION = "symmetric_authentication"
    PRIVATE_AUTHENTICATION = "private_authentication"
    PUBLIC_AUTHENTICATION = "public_authentication"
    DATA_ENCRYPTION = "data_encryption"
    KEY_WRAPPING = "key_wrapping"
    RANDOM_GENERATION = "random_generation"
    MASTER = "master"
    PRIVATE_TRANSPORT = "private_transport"
    PUBLIC_TRANSPORT = "public_transport"
    SYMMETRIC_AGREEMENT = "symmetric_agreement"
    PRIVATE_STATIC_AGREEMENT = "private_static_agreement"
    PUBLIC_STATIC_AGREEMENT = "public_static_agreement"
    PRIVATE_EPHEMERAL_AGREEMENT = "private_ephemeral_agreement"
    PUBLIC_EPHEMERAL_AGREEMENT = "public_ephemeral_agreement"
    SYMMETRIC_AUTHORIZATION = "symmetric_authorization"
    PRIVATE_AUTHORIZATION = "private_authorization"
    PUBLIC_AUTHORIZATION = "public_authorization"


@dataclass(frozen=True)
class Cryptoperiod:
    """One row of the table.

    Attributes:
        row: Its number in the table.
        title: The key type as NIST names it.
        originator: Longest originator usage period, in months: new protection is applied with the key. 0 is one
            transaction; ``None`` where the table gives no figure.
        recipient: Longest recipient usage period, in months from the key's making: what was protected is still
            read with it. ``None`` where the table gives none of its own.
        said: The periods in the table's words: of the originator, then of the recipient.
    """

    row: int
    title: str
    originator: int | None
    recipient: int | None
    said: tuple[str, str]


def _row(
    row: int, title: str, originator: int | None, said: str, recipient: int | None = None, then: str = ""
) -> Cryptoperiod:
    return Cryptoperiod(row, title, originator, recipient, (said, then))


_TWO, _THREE_MORE, _ONE_TO_TWO = "≤ 2 years", "≤ OUP + 3 years", "1 to 2 years"

TABLE: Mapping[KeyKind, Cryptoperiod] = MappingProxyType(
    {
        KeyKind.PRIVATE_SIGNATURE: _row(1, "Private signature key", 36, "1 to 3 years"),
        KeyKind.PUBLIC_SIGNATURE: _row(2, "Public signature-verification key", None, "several years (by key size)"),
        KeyKind.SYMMETRIC_AUTHENTICATION: _row(3, "Symmetric authentication key", 24, _TWO, 60, _THREE_MORE),
        KeyKind.PRIVATE_AUTHENTICATION: _row(4, "Private authentication key", 24, _ONE_TO_TWO),
        KeyKind.PUBLIC_AUTHENTICATION: _row(5, "Public authentication key", 24, _ONE_TO_TWO),
        KeyKind.DATA_ENCRYPTION: _row(6, "Symmetric data-encryption key", 24, _TWO, 60, _THREE_MORE),
        KeyKind.KEY_WRAPPING: _row(7, "Symmetric key-wrapping key", 24, _TWO, 60, _THREE_MORE),
        KeyKind.RANDOM_GENERATION: _row(8, "Symmetric RBG key", None, "see SP 800-90"),
        KeyKind.MASTER: _row(9, "Symmetric master key or key-derivation key", 12, "about 1 year"),
        KeyKind.PRIVATE_TRANSPORT: _row(10, "Private key-transport key", 24, _TWO),
        KeyKind.PUBLIC_TRANSPORT: _row(11, "Public key-transport key", 24, _ONE_TO_TWO),
        KeyKind.SYMMETRIC_AGREEMENT: _row(12, "Symmetric key-agreement key", 24, _ONE_TO_TWO),
        KeyKind.PRIVATE_STATIC_AGREEMENT: _row(13, "Private static key-agreement key", 24, _ONE_TO_TWO),
        KeyKind.PUBLIC_STATIC_AGREEMENT: _row(14, "Public static key-agreement key", 24, _ONE_TO_TWO),
        KeyKind.PRIVATE_EPHEMERAL_AGREEMENT: _row(15, "Private ephemeral key-agreement key", 0, "one transaction"),
        KeyKind.PUBLIC_EPHEMERAL_AGREEMENT: _row(16, "Public ephemeral key-agreement key", 0, "one transaction"),
        KeyKind.SYMMETRIC_AUTHORIZATION: _row(17, "Symmetric authorization key", 24, _TWO),
        KeyKind.PRIVATE_AUTHORIZATION: _row(18, "Private authorization key", 24, _TWO),
        KeyKind.PUBLIC_AUTHORIZATION: _row(19, "Public authorization key", 24, _TWO),
    }
)
"""Every row of the table. A figure that is a range (1 to 2 years) counts with its upper end."""


@dataclass(frozen=True)
class KeyAge:
    """One key to judge.

    Attributes:
        id: As its system names it.
        kind: Which row of the table it is judged by.
        created: When it was made, aware; ``None`` if nobody knows.
        rotated: When its material was last replaced, ``None`` if never.
        oldest: When the oldest material was made that the system still reads with, if it keeps older versions.
        label: For people.
        renews: Its system gives it new material that nobody who uses the key notices.
    """

    id: str
    kind: KeyKind
    created: datetime | None
    rotated: datetime | None = None
    oldest: datetime | None = None
    label: str = ""
    renews: bool = False


@dataclass(frozen=True)
class Judgement:
    """What is said of one key.

    Attributes:
        reason: A sentence.
        due: When it has, or had, to be replaced.
        reading: It is overdue only because it still reads with older material; a new version does not mend that.
    """

    key: KeyAge
    overdue: bool
    reason: str
    due: datetime | None = None
    reading: bool = False

    def row(self) -> dict[str, str | bool]:
        """As a row of a report or of a target set."""
        known = {"due": self.due, "created": self.key.created, "rotated": self.key.rotated}
        dates = {name: instant.astimezone(UTC).isoformat() for name, instant in known.items() if instant}
        return {
            "id": self.key.id,
            "label": self.key.label or self.key.id,
            "kind": self.key.kind.value,
            "overdue": self.overdue,
            "reason": self.reason,
            **dates,
        }


def renewable(judged: Iterable[Judgement]) -> list[str]:
    """Ids of the overdue keys that new material mends unnoticed, at most 500: what one ``for_each`` takes."""
    found = [one.key.id for one in judged if one.overdue and one.key.renews and not one.reading]
    return found[:MAX_LITERAL_TARGETS]


def judge(keys: Iterable[KeyAge], at: datetime, at_most: timedelta | None = None) -> list[Judgement]:
    """Which keys are past their cryptoperiod at an instant, the longest overdue first.

    Args:
        keys: The keys, all with aware instants.
        at: The instant, aware.
        at_most: A shorter house rule for the originator usage period. It also rules where the table has no figure.

    A key whose age nobody knows, or that claims to be of the future, is overdue: nothing shows that it is not.
    """
    judged = [_judge(key, at, at_most) for key in keys]
    return sorted(
        judged, key=lambda found: (not found.overdue, found.due or datetime.min.replace(tzinfo=UTC), found.key.id)
    )


def _judge(key: KeyAge, at: datetime, at_most: timedelta | None) -> Judgement:
    period = TABLE[key.kind]
    born = [instant for instant in (key.created, key.rotated) if instant is not None]
    if not born:
        return Judgement(key, True, "Nobody knows when it was made, so nothing shows that it may still be used.")
    since = max(born)
    # Clocks of systems and of this machine differ by some seconds.
    since = at if at < since <= at + SKEW else since
    if since > at:
        return Judgement(key, True, "It claims to be made in the future, so its age is not known.")
    due, rule = _limit(period, since, at_most)
    kept = key.oldest if period.recipient is not None else None
    read_until = after(kept, period.recipient) if kept is not None and period.recipient is not None else None
    if due is not None and at > due:
        return Judgement(key, True, f"In use for {_days(at - since)}; {rule}.", due)
    if read_until is not None and at > read_until:
        old = at - (kept or at)
        return Judgement(
            key,
            True,
            f"Material {_days(old)} old can still be read with; {SOURCE} row {period.row}: {period.said[1]}.",
            read_until,
            reading=True,
        )
    if due is None:
        return Judgement(key, False, f"In use for {_days(at - since)}; {rule}.")
    return Judgement(key, False, f"In use for {_days(at - since)}; {rule}.", due)


def _limit(period: Cryptoperiod, since: datetime, at_most: timedelta | None) -> tuple[datetime | None, str]:
    table = None if period.originator is None else after(since, period.originator)
    said = f"{SOURCE} row {period.row} ({period.title}): {period.said[0]}"
    if at_most is None or (table is not None and table <= since + at_most):
        return table, said
    return since + at_most, f"the rule of this house is at most {_days(at_most)}"


def after(instant: datetime, months: int) -> datetime:
    """The same day and time so many months later; the last day of a shorter month."""
    year, month = divmod(instant.year * 12 + instant.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return instant.replace(year=year, month=month + 1, day=min(instant.day, last))


def _days(span: timedelta) -> str:
    days = span // timedelta(days=1)
    if days >= 1:
        return f"{days} day{'s' if days != 1 else ''}"
    return f"{max(span // timedelta(minutes=1), 0)} minutes"
