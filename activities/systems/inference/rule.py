"""Who of the callers is a suspect of extracting the model, by a fixed rule, with reasons in words.

Each sign compares a caller's window with what is expected of it: by its own baseline, and by the baseline of the
others. It counts only where it exceeds both, so a partner that always asked much, or always elsewhere, is none; only a
baseline that is old enough is a habit. Points
of the signs are added; ``suspect_at`` of them make a suspect. Volume alone never does, nor does regular timing: every
scheduled sync has both.

Coverage is the effective number of grid cells (Hill number of order 2), whose estimate does not grow with the number of
rows; novelty is compared with the share that even an honest caller finds new (Good and Turing: rows in cells seen once,
Good, Biometrika 1953). Both keep much traffic, or a short baseline, from looking odd.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from activities.systems.inference.config import Thresholds
from activities.systems.inference.grid import ODD
from activities.systems.inference.traffic import Caller, Tally, Traffic

HOUR = 3_600_000_000
DAY = 24 * HOUR
STEPS = (1, 2, 4)
"""How many slots of the grid are taken together, for the views in which coverage is compared."""


@dataclass(frozen=True)
class Profile:
    """Measures of one caller in the window, and what the rule makes of them.

    Attributes:
        rows: Inputs (or tokens, where the log has them).
        established: Whether its own baseline is old enough to be a habit.
        budget: Rows over what the budget allows; above 1 is over it.
        coverage: Effective number of grid cells, over that of the widest baseline.
        cells: Grid cells visited.
        novelty: Share of the rows in cells that nobody's baseline has.
        apart: Share of the rows in cells that no other caller's baseline has.
        near_boundary: Share of the scores near the decision boundary.
        logprobs: Share of the requests that ask for log probabilities.
        dispersion: Variance over mean of requests per slot of time; -1 if there are too few.
        points: Sum of the signs.
        odd_before: Whether it is as odd as this, measured by others, but was so in its own baseline too.
    """

    id: str
    keys: tuple[str, ...]
    queries: int
    rows: int
    baseline_rows: int
    established: bool
    budget: float
    coverage: float
    cells: int
    novelty: float
    apart: float
    near_boundary: float
    logprobs: float
    dispersion: float
    points: float
    suspect: bool
    judged: bool
    odd_before: bool
    reasons: tuple[str, ...]

    def row(self) -> dict[str, Any]:
        """As a target's row."""
        plain = {name: value for name, value in vars(self).items() if name not in ("keys", "reasons")}
        return {"label": self.id, **plain, "keys": list(self.keys), "reasons": list(self.reasons)}


def judge(traffic: Traffic, limits: Thresholds) -> list[Profile]:
    """A profile of every caller that asked anything in the window, by id."""
    rows = {id_: caller.before.rows for id_, caller in traffic.callers.items()}
    traffic = _with_habits_only(traffic, limits)
    pool: Counter[int] = Counter()
    for caller in traffic.callers.values():
        pool.update(caller.before.cells)
    views = [_View(traffic, step, limits) for step in STEPS]
    active = [caller for caller in traffic.callers.values() if caller.window.queries]
    return [
        _profile(caller, traffic, limits, pool, views, rows[caller.id])
        for caller in sorted(active, key=lambda one: one.id)
    ]


def _with_habits_only(traffic: Traffic, limits: Thresholds) -> Traffic:
    """The traffic with the baselines of established callers only: what began a day ago is nobody's habit, so a
    harvest that is older than the window neither acquits the harvester nor hides a second one."""
    span = (traffic.baseline_until - traffic.baseline_from) / 2
    latest = traffic.baseline_until - min(limits.habit_days * DAY, span)
    kept = {
        id_: one if one.before.queries and one.before.first <= latest else replace(one, before=Tally())
        for id_, one in traffic.callers.items()
    }
    return replace(traffic, callers=kept)


def _profile(
    caller: Caller, traffic: Traffic, limits: Thresholds, pool: Counter[int], views: list["_View"], known_rows: int
) -> Profile:
    window, before = caller.window, caller.before
    judged = window.rows >= limits.minimum_rows and window.queries >= limits.minimum_rows
    signs: list[tuple[float, str]] = []
    novelty, expected, count = _novelty(window, before, pool)
    if judged and _exceeds(novelty, expected, count, limits.novelty_excess, limits.certainty):
        text = f"{_percent(novelty)} of its inputs are where no baseline has any ({_percent(expected)} is expected)"
        signs.append((limits.novelty_points, text))
    apart = _share_outside(window.cells, lambda cell: pool[cell] > before.cells[cell])
    coverage, by_others, certain = _coverage(caller, views, limits)
    if judged and certain and coverage >= limits.coverage_ratio:
        text = f"its inputs are spread {coverage:.1f} times as wide over the input space as any baseline"
        signs.append((limits.coverage_points, text))
    asked = window.logprobs / window.queries
    habit = _habit(caller, traffic, limits, lambda tally: (tally.logprobs, tally.queries))
    if judged and _exceeds(asked, habit, window.queries, limits.logprobs_excess, limits.certainty):
        text = f"{_percent(asked)} of its requests ask for log probabilities ({_percent(habit)} is usual)"
        signs.append((limits.logprobs_points, text))
    near = window.near / window.scored if window.scored else 0.0
    usual = _habit(caller, traffic, limits, lambda tally: (tally.near, tally.scored))
    if judged and _exceeds(near, usual, window.scored, limits.boundary_excess, limits.certainty):
        text = f"{_percent(near)} of its scores are near the decision boundary ({_percent(usual)} is usual)"
        signs.append((limits.boundary_points, text))
    budget, own = _budget(caller, traffic, limits)
    if judged and budget > 1:
        by = "its own baseline" if own else "what others ask, it has no baseline of its own"
        signs.append((limits.budget_points, f"it asks {budget:.1f} times what its budget allows by {by}"))
    points = sum(weight for weight, _ in signs)
    suspect = points >= limits.suspect_at
    dispersion = _dispersion(window)
    reasons = [text for _, text in sorted(signs, key=lambda sign: (-sign[0], sign[1]))]
    if suspect and 0 <= dispersion < limits.regular_dispersion:
        reasons.append("its requests come at regular intervals, as a program's do")
    odd = by_others >= limits.coverage_ratio and apart >= 0.5
    return Profile(
        id=caller.id,
        keys=tuple(sorted(caller.keys)),
        queries=window.queries,
        rows=window.rows,
        baseline_rows=known_rows,
        established=before.queries > 0,
        budget=round(budget, 3),
        coverage=round(coverage, 3),
        cells=len(window.cells),
        novelty=round(novelty, 4),
        apart=round(apart, 4),
        near_boundary=round(near, 4),
        logprobs=round(asked, 4),
        dispersion=round(dispersion, 3),
        points=round(points, 3),
        suspect=suspect,
        judged=judged,
        odd_before=judged and odd and not suspect and before.queries >= limits.minimum_rows,
        reasons=tuple(reasons),
    )


def _novelty(window: Tally, before: Tally, pool: Mapping[int, int]) -> tuple[float, float, int]:
    """Share of rows in cells of nobody's baseline, what is expected of an honest caller, and how many rows."""
    if window.hashed > window.inputs:
        # Inputs that the log holds as hashes only: new is what nobody asked before, word for word. Nothing can be said
        # of what is usual there but by the caller's own habit, so it is a measure and never a sign.
        return window.hashed_new / window.hashed, 1.0, window.hashed
    total = sum(window.cells.values())
    if not pool or not total:
        return 0.0, 1.0, total
    novel = _share_outside(window.cells, lambda cell: cell != ODD and pool[cell] > 0)
    return novel, max(_seen_once(pool), _seen_once(before.cells) if before.cells else 0.0), total


def _seen_once(cells: Mapping[int, int]) -> float:
    """Good and Turing's estimate of the share of further rows that fall into unseen cells."""
    return sum(1 for count in cells.values() if count == 1) / sum(cells.values())


def _share_outside(cells: Mapping[int, int], inside: Any) -> float:
    total = sum(cells.values())
    return sum(count for cell, count in cells.items() if not inside(cell)) / total if total else 0.0


def _exceeds(share: float, expected: float, count: int, excess: float, certainty: float) -> bool:
    """Whether a share is above what is expected, both by much and beyond chance."""
    if count == 0 or share < expected + excess:
        return False
    deviation = math.sqrt(count * expected * (1 - expected) + 1)
    return (share - expected) * count / deviation >= certainty


def _habit(caller: Caller, traffic: Traffic, limits: Thresholds, of: Any) -> float:
    """The usual share: the higher of the caller's own in its baseline and the others' together."""
    hits = total = 0
    for other in traffic.callers.values():
        if other is not caller:
            found, counted = of(other.before)
            hits, total = hits + found, total + counted
    found, counted = of(caller.before)
    own = found / counted if counted >= limits.minimum_rows else 0.0
    return max(own, hits / total if total else 0.0)


def _budget(caller: Caller, traffic: Traffic, limits: Thresholds) -> tuple[float, bool]:
    """Rows over the budget for the window, and whether the caller's own baseline makes it.

    A caller without a baseline has the median rate of the others.
    """
    hours = max(1.0, (traffic.until - traffic.since) / HOUR)
    rates = {id_: _rate(one, traffic) for id_, one in traffic.callers.items() if one.before.rows}
    own = rates.get(caller.id)
    others = [rate for id_, rate in rates.items() if id_ != caller.id]
    rate = own if own is not None else median(others) if others else 0.0
    allowed = max(rate * limits.burst * hours, float(limits.minimum_rows))
    return caller.window.rows / allowed, own is not None


def _rate(caller: Caller, traffic: Traffic) -> float:
    """Rows an hour in the baseline, since its first request there but over no less than a day of it."""
    span = traffic.baseline_until - min(caller.before.first, traffic.baseline_until - DAY)
    whole = max(HOUR, traffic.baseline_until - traffic.baseline_from)
    return caller.before.rows / (max(HOUR, min(span, whole)) / HOUR)


def _dispersion(window: Tally) -> float:
    """Variance over mean of requests per slot; 1 by chance, near 0 for a clock, -1 for too few requests."""
    if not window.slots:
        return -1.0
    slots = max(window.slots) + 1
    total = sum(window.slots.values())
    squares = sum(count * count for count in window.slots.values())
    return (squares - total * total / slots) / total


class _View:
    """The baseline on a grid of which ``step`` slots are taken together."""

    def __init__(self, traffic: Traffic, step: int, limits: Thresholds) -> None:
        self.step, self._grid = step, traffic.grid
        self.before = {id_: self.of(one.before.cells) for id_, one in traffic.callers.items() if one.before.cells}
        self._pool: Counter[int] = Counter()
        for cells in self.before.values():
            self._pool.update(cells)
        large = [id_ for id_, cells in self.before.items() if sum(cells.values()) >= limits.minimum_rows]
        # Two, so that there is one beside the caller itself.
        self._widest = sorted(large, key=lambda id_: (_concentration(self.before[id_]), id_))[:2]

    def of(self, cells: Mapping[int, int]) -> Counter[int]:
        """Cells on this grid."""
        if self.step == 1:
            return Counter(cells)
        found: Counter[int] = Counter()
        for cell, count in cells.items():
            found[self._grid.coarse(cell, self.step)] += count
        return found

    def others(self, id_: str) -> list[Counter[int]]:
        """The baselines to compare a caller with: all others' together, and the widest of them."""
        own = self.before.get(id_, Counter())
        together = Counter({cell: count - own[cell] for cell, count in self._pool.items() if count > own[cell]})
        return [together, *(self.before[other] for other in self._widest if other != id_)]


def _coverage(caller: Caller, views: list[_View], limits: Thresholds) -> tuple[float, float, bool]:
    """Spread over that of the widest baseline, the highest of all views: with the own baseline among them and without;
    and whether the former is beyond chance."""
    best = (0.0, False)
    highest_by_others = 0.0
    for view in views:
        mine = view.of(caller.window.cells)
        by_others = _wider(mine, view.others(caller.id), limits)
        if by_others is None:
            continue
        highest_by_others = max(highest_by_others, by_others[0])
        by_own = _wider(mine, [view.before.get(caller.id, Counter())], limits)
        found = by_others if by_own is None or by_others[0] <= by_own[0] else by_own
        best = max(best, found, key=lambda one: (one[1], one[0]))
    return best[0], highest_by_others, best[1]


def _wider(
    mine: Mapping[int, int], baselines: Iterable[Mapping[int, int]], limits: Thresholds
) -> tuple[float, bool] | None:
    """Effective number of cells of ``mine`` over that of the widest baseline, and whether that is beyond chance;
    ``None`` without a baseline of enough rows.

    Pairs of rows in one cell are counted: the fewer there are than a sample of the baseline would have, the wider.
    Their variance is that of the usual estimate of Simpson's index (Simpson, Nature 1949).
    """
    total = sum(mine.values())
    large = [cells for cells in baselines if sum(cells.values()) >= limits.minimum_rows]
    if not large or total < limits.minimum_rows:
        return None
    widest = min(large, key=_concentration)
    usual, cubes = _concentration(widest), _concentration(widest, 3)
    pairs = total * (total - 1) / 2
    met = sum(count * (count - 1) for count in mine.values()) / 2
    expected = pairs * usual
    deviation = math.sqrt(pairs * usual * (1 - usual) + total**3 * max(0.0, cubes - usual * usual) + 1)
    return expected / max(met, 1.0), expected - met >= limits.certainty * deviation


def _concentration(cells: Mapping[int, int], power: int = 2) -> float:
    """Chance that ``power`` rows, drawn without replacement, are in one cell; its inverse for two of them is the
    effective number of cells (Hill number of order 2, Hill, Ecology 1973)."""
    total = sum(cells.values())
    alike = sum(math.perm(count, power) for count in cells.values())
    # Where no two are alike, one pair is taken as if they were: the spread is not infinite, only not known.
    return max(alike, 1 if power > 2 else 2) / math.perm(total, power)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
