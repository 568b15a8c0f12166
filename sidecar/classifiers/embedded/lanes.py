"""
Vectors as big integers: one number holds a whole row, 32 bits to an entry, and one addition adds all of them.

Python adds and scales integers of a kilobyte in a few dozen nanoseconds, which is quicker for sums of some hundred short
rows than numpy is, and numpy would be the largest dependency of the project (73 MB installed). The price is fixed-point
arithmetic: entries are bytes, stored with 128 added so that no lane is ever negative and nothing is borrowed from the
lane above; the sum of the weights says how much of that offset is to be taken off again.

A lane holds any sum below 2**32: weights (at most 255 each) times a byte, so 66,000 summands in the worst case, or a
product of two vectors of bytes with 66,000 entries.
"""

from collections.abc import Iterable, Sequence
from operator import mul
from struct import unpack

from attrs import frozen

LANE = 4
"""Bytes of a lane."""
OFFSET = 128
"""Added to every entry. 127 steps to either side carry the value."""


def packed(entries: bytes) -> int:
    """One byte an entry -> one lane an entry."""
    wide = bytearray(LANE * len(entries))
    wide[::LANE] = entries
    return int.from_bytes(wide, "little")


def unpacked(lanes: int, width: int) -> tuple[int, ...]:
    return unpack(f"<{width}I", lanes.to_bytes(LANE * width, "little"))


_HIGH = 1 << 24
"""What one step of a lane's highest byte is worth."""
_FULL = 127 * _HIGH
"""The largest value that leaves the highest byte between 1 and 255."""


@frozen
class Vector:
    """Entries as bytes with the offset, and the value of one step; zero steps make a zero vector."""

    entries: bytes
    step: float

    def values(self) -> list[float]:
        return [(entry - OFFSET) * self.step for entry in self.entries]


def quantised(values: Sequence[float], unit: float = 1.0) -> Vector:
    """`values` x `unit` in 127 steps to either side."""
    most = max(map(abs, values), default=0)
    if not most:
        return Vector(bytes([OFFSET]) * len(values), 0.0)
    scale = 127 / most
    return Vector(bytes([int(v * scale + (OFFSET + 0.5)) for v in values]), most * unit / 127)


class Matrix:
    """Rows packed by column, so that the products of one vector with every row take one multiplication an entry."""

    def __init__(self, rows: Sequence[Vector]) -> None:
        """`rows`: of equal length."""
        self._steps = [row.step for row in rows]
        self._columns = [packed(bytes(column)) for column in zip(*(row.entries for row in rows), strict=True)]
        # sum((v - o)(r - o)) = sum(v r) - o sum(v) - o (sum(r) - n o)
        self._offsets = [OFFSET * (sum(row.entries) - OFFSET * len(row.entries)) for row in rows]

    def times(self, vector: Vector) -> list[float]:
        """The product of every row with `vector`."""
        lanes = unpacked(sum(map(mul, vector.entries, self._columns)), len(self._steps))
        common, step = OFFSET * sum(vector.entries), vector.step
        return [
            (lane - common - offset) * step * own
            for lane, offset, own in zip(lanes, self._offsets, self._steps, strict=True)
        ]


class Table:
    """Named rows of bytes, each with a weight; what is summed is weight x row."""

    _KEPT_BYTES = 3_000_000
    """What the rows that are kept packed may take, with the dict around them."""

    def __init__(self, names: Iterable[str], rows: bytes, weights: bytes, unit: float) -> None:
        self.index = {name: at for at, name in enumerate(names)}
        self.width = len(rows) // len(weights)
        self._rows = rows
        self._weights = weights
        self.unit = unit
        self._kept: dict[int, int] = {}
        self._most_kept = self._KEPT_BYTES // (LANE * self.width + 120)
        self._ones = packed(b"\1" * self.width)
        self._middle = self._ones * ((1 << 31) + _HIGH // 2)

    def steps(self, places: Sequence[int]) -> list[int]:
        """The sum of the rows at `places`, each as often as it is named, in units of `unit`."""
        lanes, taken = self._sum(places)
        return [entry - taken for entry in unpacked(lanes, self.width)]

    def _sum(self, places: Sequence[int]) -> tuple[int, int]:
        """The lanes of the sum, and what is in each of them too much."""
        kept = self._kept
        for at in places:
            if at not in kept:
                kept = self._with(at, kept)
        return sum(map(kept.__getitem__, places)), OFFSET * sum(map(self._weights.__getitem__, places))

    def direction(self, places: Sequence[int]) -> Vector:
        """
        The same sum brought to length one, without a loop in Python: every lane is moved to the middle of its range and
        scaled until the largest fills it, and its highest byte is the entry.
        """
        lanes, taken = self._sum(places)
        entries = unpacked(lanes, self.width)
        most = max(max(entries) - taken, taken - min(entries))
        if most <= 0:
            return Vector(bytes([OFFSET]) * self.width, 0.0)
        scale = _FULL // most
        square = sum(map(mul, entries, entries)) - taken * (2 * sum(entries) - self.width * taken)
        moved = (lanes - taken * self._ones) * scale + self._middle
        return Vector(moved.to_bytes(LANE * self.width, "little")[LANE - 1 :: LANE], _HIGH / (scale * square**0.5))

    def _with(self, at: int, kept: dict[int, int]) -> dict[int, int]:
        """`kept` and the row at `at`. When too many are kept, those of this text go on in a dict of their own."""
        kept[at] = self._weights[at] * packed(self._rows[at * self.width : (at + 1) * self.width])
        if len(kept) > self._most_kept:
            self._kept = {}
        return kept
