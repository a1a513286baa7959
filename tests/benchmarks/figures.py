"""Figures: medians and spread of what was measured, as tables for people and as JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Of repeated measurements, in milliseconds or as ratios."""

    n: int
    median: float
    least: float
    p10: float
    p90: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """From at least one value."""
        ordered = sorted(values)
        return cls(
            len(ordered), statistics.median(ordered), ordered[0], _at(ordered, 0.1), _at(ordered, 0.9), ordered[-1]
        )


def _at(ordered: Sequence[float], part: float) -> float:
    """The value below which so much of the sample lies, by linear interpolation."""
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True)
class Row:
    """One side of a comparison.

    Attributes:
        name: Of the side.
        taken: Milliseconds.
        ratio: Its median by the baseline's median.
        paired: Ratios to the baseline's measurement of the same round.
        cpu: Processor milliseconds of this process (client and workers, without the server).
    """

    name: str
    taken: Spread
    ratio: float
    paired: Spread
    cpu: Spread


@dataclass(frozen=True)
class Sample:
    """One measurement: milliseconds on the clock and on the processor."""

    taken: float
    cpu: float


def compared(samples: dict[str, list[Sample]], baseline: str) -> list[Row]:
    """Every side against the baseline, round by round."""
    base = [sample.taken for sample in samples[baseline]]
    rows = []
    for name, found in samples.items():
        taken = [sample.taken for sample in found]
        spread = Spread.of(taken)
        rows.append(
            Row(
                name=name,
                taken=spread,
                ratio=spread.median / Spread.of(base).median,
                paired=Spread.of([mine / theirs for mine, theirs in zip(taken, base, strict=True)]),
                cpu=Spread.of([sample.cpu for sample in found]),
            )
        )
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """The rows for people."""
    width = max(len(row.name) for row in rows)
    head = f"{'median':>8} {'min':>8} {'p10':>8} {'p90':>8} {'cpu':>8} {'ratio':>7}   {'ratio per round (p10-p90)'}"
    lines = [f"  {'ms':<{width}} {head}"]
    for row in rows:
        taken, paired = row.taken, row.paired
        lines.append(
            f"  {row.name:<{width}} {taken.median:8.1f} {taken.least:8.1f} {taken.p10:8.1f} {taken.p90:8.1f} "
            f"{row.cpu.median:8.1f} {row.ratio:7.2f}   {paired.median:.2f} ({paired.p10:.2f}-{paired.p90:.2f})"
        )
    return lines


def columns(title: str, sides: dict[str, dict[str, float]]) -> list[str]:
    """Figures of several sides next to each other; a side that lacks one shows a dash."""
    names = list(dict.fromkeys(name for side in sides.values() for name in side))
    width = max(len(name) for name in [title, *names])
    wide = {side: max(9, len(side)) for side in sides}
    lines = [f"  {title:<{width}}" + "".join(f"  {side:>{wide[side]}}" for side in sides)]
    for name in names:
        shown = (f"  {_short(side.get(name)):>{wide[key]}}" for key, side in sides.items())
        lines.append(f"  {name:<{width}}" + "".join(shown))
    return lines


def _short(value: float | None) -> str:
    """Three digits, if there is a value."""
    return (
        "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    )


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows for machines."""
    return [asdict(row) for row in rows]
