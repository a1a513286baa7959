"""What each caller asked of a model, before and in a window: two passes over the logs, counts only.

Every count is a whole number and every sample is one that no order changes, so the same lines in any order, in any
number of files, give the same traffic. Memory grows with callers, visited cells and slots of time, not with lines.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.systems.inference.config import InferenceConfig
from activities.systems.inference.files import Line, micros
from activities.systems.inference.grid import Grid, Lowest, Seen

SAMPLE_OF_CALLER = 512
"""Rows of each caller's baseline that shape the grid: as many of a small caller as of a big one."""
KEYS_KEPT = 10
PER_SLOT = 4
"""Requests per slot of time, on average, for the regularity of timing."""
Row = tuple[float, ...]


@dataclass
class Tally:
    """Counts of one caller in one period. ``rows`` are inputs, or tokens where the log has them."""

    queries: int = 0
    rows: int = 0
    inputs: int = 0
    logprobs: int = 0
    scored: int = 0
    near: int = 0
    first: int = 0
    last: int = 0
    cells: Counter[int] = field(default_factory=Counter)
    hashed: int = 0
    hashed_new: int = 0
    slots: Counter[int] = field(default_factory=Counter)

    def saw(self, at: int) -> None:
        """Count a request at an instant."""
        self.first = at if not self.queries else min(self.first, at)
        self.last = max(self.last, at)
        self.queries += 1


@dataclass
class Caller:
    """One principal: the name of its certificate, or, without one, its key's hash."""

    id: str
    keys: set[str] = field(default_factory=set)
    before: Tally = field(default_factory=Tally)
    window: Tally = field(default_factory=Tally)


@dataclass
class Traffic:
    """All callers, and the spans in microseconds since 1970. ``nameless`` requests have neither name nor key."""

    callers: dict[str, Caller]
    baseline_from: int
    baseline_until: int
    since: int
    until: int
    grid: Grid
    nameless: int = 0
    undated: int = 0

    @property
    def baseline_rows(self) -> int:
        """Rows of everybody before the window."""
        return sum(caller.before.rows for caller in self.callers.values())


Lines = Callable[[], Iterator[Line]]
"""Begins a pass over the log."""


def read_traffic(
    lines: Lines, config: InferenceConfig, *, since: int, until: int, baseline_until: int, model: str | None = None
) -> Traffic:
    """Two passes: counts and the grid's sample, then cells and slots of time.

    The baseline is everything before ``baseline_until``; the window is from ``since`` to ``until``. What lies between
    them belongs to neither, so that a baseline can end before the trouble began.
    """
    wanted = _Wanted(config, since, until, baseline_until, model)
    traffic = Traffic({}, baseline_until, baseline_until, since, until, Grid((), config.thresholds.cells))
    samples: dict[str, Lowest] = {}
    known = Seen()
    for line in lines():
        found = wanted(line)
        if found is None:
            traffic.undated += micros(line.get("at")) is None
            continue
        id_, at, before = found
        if not id_:
            traffic.nameless += 1
            continue
        caller = traffic.callers.get(id_)
        if caller is None:
            caller = traffic.callers[id_] = Caller(id_)
        tally = caller.before if before else caller.window
        tally.saw(at)
        if before:
            traffic.baseline_from = min(traffic.baseline_from, at)
        if line.get("key"):
            _add_key(caller.keys, str(line["key"]))
        rows, digest = inputs_of(line)
        _count(tally, line, rows, config)
        if before and digest is not None:
            known.add(digest)
        if before and rows:
            sample = samples.get(id_)
            if sample is None:
                sample = samples[id_] = Lowest(SAMPLE_OF_CALLER)
            for row in rows:
                sample.add(row)
    pooled = [row for id_ in sorted(samples) for row in samples[id_].rows()]
    grid = Grid(pooled, config.thresholds.cells)
    widths = {id_: _slot_width(caller.window) for id_, caller in traffic.callers.items()}
    for line in lines():
        found = wanted(line)
        if found is None or not found[0]:
            continue
        id_, at, before = found
        caller = traffic.callers[id_]
        tally = caller.before if before else caller.window
        rows, digest = inputs_of(line)
        for row in rows:
            tally.cells[grid.cell(row)] += 1
        if digest is not None and not before:
            tally.hashed += 1
            tally.hashed_new += digest not in known
        if not before and widths[id_]:
            tally.slots[(at - tally.first) // widths[id_]] += 1
    traffic.grid = grid
    return traffic


class _Wanted:
    """Which lines count, and in which period."""

    def __init__(self, config: InferenceConfig, since: int, until: int, baseline_until: int, model: str | None) -> None:
        self._own = frozenset(config.own_callers)
        self._since, self._until, self._baseline_until, self._model = since, until, baseline_until, model

    def __call__(self, line: Line) -> tuple[str, int, bool] | None:
        if self._model is not None and line.get("model") != self._model:
            return None
        at = micros(line.get("at"))
        if at is None:
            return None
        before = at < self._baseline_until
        if not before and not self._since <= at <= self._until:
            return None
        id_ = str(line.get("caller") or line.get("key") or "")
        return None if id_ in self._own else (id_, at, before)


def inputs_of(line: Line) -> tuple[Sequence[Row], int | None]:
    """Rows of numbers of a request; or, of anything else, nothing and the 128-bit digest of it."""
    inputs = line.get("inputs")
    if isinstance(inputs, list):
        if not inputs:
            return (), None
        rows = inputs if isinstance(inputs[0], list) else [inputs]
        try:
            return [tuple(map(float, row)) for row in rows], None
        except (TypeError, ValueError):
            pass
    if inputs is None:
        return (), None
    text = inputs if isinstance(inputs, str) else json.dumps(inputs, sort_keys=True)
    return (), int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def _count(tally: Tally, line: Line, rows: Sequence[Row], config: InferenceConfig) -> None:
    tokens = line.get("tokens")
    tally.inputs += len(rows)
    tally.rows += tokens if isinstance(tokens, int) and tokens > 0 else max(1, len(rows))
    tally.logprobs += line.get("logprobs") is True
    limits = config.thresholds
    for score in scores_of(line, config.score):
        tally.scored += 1
        tally.near += abs(score - limits.boundary) <= limits.boundary_width


def scores_of(line: Line, name: str) -> list[float]:
    """The scores that a request was answered with: ``{name: [numbers]}``, a list of numbers, or a number."""
    outputs: Any = line.get("outputs")
    if isinstance(outputs, dict):
        outputs = outputs.get(name)
    found = outputs if isinstance(outputs, list) else [outputs]
    return [float(one) for one in found if isinstance(one, int | float) and not isinstance(one, bool)]


def _add_key(keys: set[str], key: str) -> None:
    """The first few by name, whatever their order."""
    keys.add(key)
    if len(keys) > KEYS_KEPT:
        keys.remove(max(keys))


def _slot_width(tally: Tally) -> int:
    """Microseconds of a slot that holds some requests on average; 0 for too few of them."""
    if tally.queries < PER_SLOT * 10:
        return 0
    return max(1, (tally.last - tally.first) * PER_SLOT // tally.queries)
