"""
A linear separator for the examples of many routes, learnt when they are prepared.

Softmax regression by stochastic gradient descent, started at the routes' centres and stopped early, which is what keeps
it from learning ten examples by heart. The weights stay packed by column throughout, in whole numbers: a score and an
update are each one multiplication an entry, whatever the number of routes.
"""

from collections.abc import Sequence
from math import exp
from operator import mul
from struct import unpack

from sidecar.classifiers.embedded.lanes import LANE, OFFSET, Vector, quantised

EPOCHS = 5
SHARPNESS = 12.0
"""What a cosine is multiplied with before the softmax."""
RATE = 0.3
"""How far an example that is wholly wrong moves a route, in lengths of an embedding; falls to a third over the epochs."""
_LEAST = 0.01
"""Routes with less probability than this are not pushed: most of them, most of the time."""
_MOST_EXAMPLES = 3000
"""Beyond, fewer epochs: preparation stays within a second or two."""

_LANE_BITS = 8 * LANE
_FIXED = 1 << 16
"""A weight of 1.0 in whole numbers. A score is at most length x length / step x this, about 2**27, and a lane holds 2**31."""


def separated(centres: Sequence[Sequence[float]], examples: Sequence[tuple[int, Vector]]) -> list[Vector]:
    """For each route its weights. `examples`: (route, embedding), taken in turns, one of each route at a time."""
    routes, width = len(centres), len(centres[0])
    columns = [_signed([round(c[d] * _FIXED) for c in centres]) for d in range(width)]
    zero = sum(1 << (_LANE_BITS * r + _LANE_BITS - 1) for r in range(routes))
    read = [(route, [entry - OFFSET for entry in v.entries], v.step) for route, v in examples if v.step]
    epochs = max(1, min(EPOCHS, EPOCHS * _MOST_EXAMPLES // (len(read) + 1)))
    for epoch in range(epochs):
        rate = RATE * (1 - epoch / epochs * 2 / 3)
        for route, entries, step in read:
            scores = _unpacked(sum(map(mul, entries, columns)) + zero, routes)
            push = _push(scores, route, SHARPNESS * step / _FIXED, rate * step * _FIXED)
            if push:
                columns = [column + entry * push for column, entry in zip(columns, entries, strict=True)]
    rows = zip(*(_unpacked(column + zero, routes) for column in columns), strict=True)
    return [quantised([w / _FIXED for w in row]) for row in rows]


def _push(scores: Sequence[int], route: int, sharpness: float, rate: float) -> int:
    """The gradient's step as lanes: what is said too loud goes down, the right route goes up by as much."""
    highest = max(scores)
    floor = highest - 5.0 / sharpness  # exp(-5) is below what counts
    odds = {at: exp((s - highest) * sharpness) for at, s in enumerate(scores) if s > floor or at == route}
    total = sum(odds.values())
    push = up = 0
    for at, odd in odds.items():
        if at != route and odd > _LEAST * total:
            step = round(rate * odd / total)
            push -= step << (_LANE_BITS * at)
            up += step
    return push + (up << (_LANE_BITS * route))


def _signed(values: Sequence[int]) -> int:
    return sum(v << (_LANE_BITS * at) for at, v in enumerate(values))


def _unpacked(lanes: int, count: int) -> list[int]:
    half = 1 << (_LANE_BITS - 1)
    return [v - half for v in unpack(f"<{count}I", lanes.to_bytes(LANE * count, "little"))]
