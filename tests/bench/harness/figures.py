"""Medians, spreads, and what one thing is of another: within a round, and then over the rounds."""

import statistics
from itertools import product

from attrs import evolve, field, frozen

FEW = 3
"""Rounds must count for a ratio to be told, where there were as many."""


@frozen
class Spread:
    """A median, the least and the most, and the quarters on either side of the median."""

    middle: float
    low: float
    high: float
    count: int = 1
    quarters: tuple[float, float] | None = field(default=None, eq=False)

    @classmethod
    def of(cls, values):
        values = list(values)
        lower, _, upper = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        return cls(statistics.median(values), min(values), max(values), len(values), (lower, upper))


@frozen
class Measured:
    """
    One entry of a row in one round: `values` by name, in units that the name tells, and why it does not count.

    Where it was played more than once in the round, this is the first that counts, or else the last.
    """

    values: dict[str, float]
    flaws: tuple[str, ...] = field(default=(), converter=tuple)
    disturbed: bool = False
    """Others are why it does not count."""
    turn: int = 0
    """Its place among all that was played of the row."""
    others: tuple["Measured", ...] = field(default=(), converter=tuple)
    """Of the same round, without others of their own."""

    @classmethod
    def of(cls, tries):
        """What a round has of an entry that was played one time or more: `tries`, in their order."""
        best = next((one for one in tries if not one.flaws), tries[-1])
        return evolve(best, others=[one for one in tries if one is not best])

    @property
    def tries(self):
        """All of the round, in their order."""
        return sorted((evolve(self, others=()), *self.others), key=lambda one: one.turn)


def middle(rounds, name):
    """Of all rounds; those with flaws only where there is no other. None where nothing was measured."""
    found = [one.values[name] for one in rounds if not one.flaws and name in one.values]
    found = found or [one.values[name] for one in rounds if name in one.values]
    return Spread.of(found) if found else None


def compared(ours, theirs, of, *, regardless=False):
    """
    `of(ours, theirs)` of the values of each round in which nothing disturbed either; `regardless`: of every round.

    Of what was played again the two that count and were nearest to each other are taken. Gives None where too few rounds
    count.
    """
    pairs = [_nearest(a, b) for a, b in zip(ours, theirs, strict=False)]
    good = [(a, b) for a, b in pairs if regardless or not (a.flaws or b.flaws)]
    if not pairs or len(good) < min(FEW, len(pairs)):
        return None
    found = [value for a, b in good if (value := of(a.values, b.values)) is not None]
    return Spread.of(found) if found else None


def _nearest(ours, theirs):
    """One try of each: such as count, if there are any; of those the ones with least between them."""
    return min(product(ours.tries, theirs.tries), key=lambda pair: (_flawed(pair), abs(pair[0].turn - pair[1].turn)))


def _flawed(pair):
    return sum(bool(one.flaws) for one in pair)


def played_again(found):
    """(how often an entry was played again, how many rounds of one count by that), of {label: [Measured, …]}."""
    more = [one for measured in found.values() for one in measured if one.others]
    return sum(len(one.others) for one in more), sum(not one.flaws and bool(one.tries[0].flaws) for one in more)


def verdict(spread, least):
    """Whether three of four rounds say the same of a bound; None is what was not compared."""
    if spread is None:
        return "not judged: the core was not its own, or the load was not enough"
    lower, upper = spread.quarters
    if lower >= least:
        return "holds"
    return "does not hold" if upper < least else "too close, or too noisy, to say"


def ratio(name):
    """For `compared`: ours by theirs; None where either was not measured, or theirs is nothing."""

    def of(ours, theirs):
        if name not in ours or not theirs.get(name):
            return None
        return ours[name] / theirs[name]

    return of


def difference(name):
    """For `compared`: ours less theirs."""

    def of(ours, theirs):
        return ours[name] - theirs[name] if name in ours and name in theirs else None

    return of


def percentile(values, share):
    """Of `values` in any order, which must not be empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
