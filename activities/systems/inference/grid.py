"""A grid over the input space, made from the baseline: which cell an input falls into.

A feature with few values has a slot for each; another has slots of equal width over the middle 98 % of the baseline,
and slots beyond. Not of equal frequency: there customers are spread as wide as can be, and who asks for everything is
not. With more features than a grid can hold, signs of fixed random sums of them take their place (locality
sensitive hashing by hyperplanes, Charikar, STOC 2002).
"""

import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

PLAIN = 12
"""Most features that have slots of their own."""
DISCRETE = 16
"""A feature with at most so many values in the baseline is taken as one of names, not of amounts."""
ODD = -1
"""Cell of an input that has another shape than the baseline's."""


class Grid:
    """Cells of rows of numbers. The same sample gives the same grid, in whatever order it comes."""

    def __init__(self, sample: Iterable[Sequence[float]], cells: int) -> None:
        """``sample``: rows of the baseline; ``cells``: how many there should be, roughly."""
        rows = sorted(tuple(row) for row in sample)
        widths = Counter(len(row) for row in rows)
        # The most common width; of equals the smallest.
        self.width = min(widths, key=lambda width: (-widths[width], width)) if widths else 0
        rows = [row for row in rows if len(row) == self.width]
        self._signs: list[list[float]] = []
        self._ends = [(min(column), max(column)) for column in zip(*rows, strict=True)]
        self._middles = [sorted(column)[len(rows) // 2] for column in zip(*rows, strict=True)]
        self._slots: list[_Slots] = []
        if 0 < self.width <= PLAIN:
            bins = max(2, min(8, int(cells ** (1 / self.width))))
            self._slots = [_Slots(column, bins) for column in zip(*rows, strict=True)]
        elif self.width:
            rng = random.Random(self.width)
            scale = [(high - low) or 1.0 for low, high in self._ends]
            self._signs = [[rng.choice((-1, 1)) / one for one in scale] for _ in range(PLAIN)]

    def cell(self, row: Sequence[float]) -> int:
        """The cell of a row."""
        if len(row) != self.width:
            return ODD
        if self._signs:
            return self._side(row)
        found = 0
        for value, slots in zip(row, self._slots, strict=True):
            found = found * slots.size + slots.of(value)
        return found

    def coarse(self, cell: int, step: int) -> int:
        """The cell of a grid whose slots of amounts are ``step`` of this one's together."""
        if self._signs or cell == ODD:
            return cell
        found, scale = 0, 1
        for slots in reversed(self._slots):
            cell, slot = divmod(cell, slots.size)
            found += slots.coarse(slot, step) * scale
            scale *= slots.size
        return found

    def _side(self, row: Sequence[float]) -> int:
        moved = [value - middle for value, middle in zip(row, self._middles, strict=True)]
        found = 0
        for signs in self._signs:
            found = 2 * found + (sum(sign * value for sign, value in zip(signs, moved, strict=True)) > 0)
        outside = any(not low <= value <= high for value, (low, high) in zip(row, self._ends, strict=True))
        return 2 * found + outside


class _Slots:
    """Slots of one feature: below the baseline, its lowest hundredth, equal widths, its highest hundredth, above."""

    def __init__(self, column: Sequence[float], bins: int) -> None:
        values = sorted(set(column))
        self._names = {value: slot for slot, value in enumerate(values, 1)} if len(values) <= DISCRETE else {}
        ordered = sorted(column)
        last = len(ordered) - 1
        low, high = ordered[last // 100], ordered[last - last // 100]
        inner = [low + (high - low) * number / bins for number in range(bins)]
        self._edges = [ordered[0], *inner, high, ordered[-1]]
        self._inner = range(2, 2 + bins)
        self.size = len(self._names) + 1 if self._names else bins + 4

    def of(self, value: float) -> int:
        if self._names:
            return self._names.get(value, 0)
        return self.size - 1 if value > self._edges[-1] else min(bisect_right(self._edges, value), self.size - 2)

    def coarse(self, slot: int, step: int) -> int:
        # Names have no neighbours, and beyond the ends is beyond the ends.
        if self._names or slot not in self._inner:
            return slot
        return self._inner.start + (slot - self._inner.start) // step


class Lowest:
    """The rows with the lowest hashes of all that were added: a sample that no order changes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[int, tuple[float, ...]] = {}
        self._hashes: list[int] = []

    def add(self, row: tuple[float, ...]) -> None:
        """Offer a row; one that is there already changes nothing."""
        # Hashes of numbers and of tuples of them are not salted; the mask keeps them above zero.
        found = hash(row) & 0xFFFF_FFFF_FFFF_FFFF
        if found in self._kept or (len(self._hashes) == self._most and found >= self._hashes[-1]):
            return
        self._kept[found] = row
        self._hashes.insert(bisect_left(self._hashes, found), found)
        if len(self._hashes) > self._most:
            del self._kept[self._hashes.pop()]

    def rows(self) -> list[tuple[float, ...]]:
        """The sample."""
        return [self._kept[found] for found in self._hashes]


class Seen:
    """Whether a text was added before, in fixed memory: a Bloom filter (Bloom, CACM 1970). It never forgets one; of a
    million it takes one in some thousand for known that is not."""

    def __init__(self, bits: int = 1 << 24) -> None:
        self._bits, self._field = bits, bytearray(bits // 8)

    def add(self, digest: int) -> None:
        """Remember a 128-bit digest."""
        for place in self._places(digest):
            self._field[place >> 3] |= 1 << (place & 7)

    def __contains__(self, digest: int) -> bool:
        return all(self._field[place >> 3] & (1 << (place & 7)) for place in self._places(digest))

    def _places(self, digest: int) -> list[int]:
        return [(digest >> shift) % self._bits for shift in (0, 32, 64, 96)]
