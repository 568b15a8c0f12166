"""
What is counted, kept so that counting costs next to nothing, and shown to prometheus_client when it is scraped.

prometheus_client's own counters take a lock each time, for threads that are not here: one event loop owns these. A
series is a number to add to, or a row of numbers found by bisection, and whoever counts often keeps hold of it: a
fiftieth of the time. They also have no `_created` series, which nobody asks for and which double the exposition.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from sidecar.telemetry.families import Counted, Labels, Row
from sidecar.telemetry.metrics import Metric


class Cell:
    """One series of a counter: add to its value."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Tally(Collector):
    """A counter."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.cells: defaultdict[Labels, Cell] = defaultdict(Cell)
        """The series by their labels; one that is looked up here is shown from now on."""

    def cell(self, *labels: str) -> Cell:
        """The series of these labels, always the same; it is shown from now on."""
        return self.cells[labels]

    def add(self, *labels: str, amount: float = 1.0) -> None:
        self.cell(*labels).value += amount

    def bound(self, *labels: str) -> Callable[[], None]:
        """Counts one each time it is called; its series is shown from the start."""
        cell = self.cell(*labels)

        def count() -> None:
            cell.value += 1.0

        return count

    def collect(self) -> Iterable[Counted]:
        yield _counted(self.metric, [(labels, (cell.value,)) for labels, cell in self.cells.items()])


class Bins:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0.0] * (len(bounds) + 1)
        """One for each bucket, not yet cumulative, and the one above all bounds."""
        self.sum = 0.0

    def observe(self, *values: float) -> None:
        """Of several values each costs half of what one alone does."""
        counts, bounds = self.counts, self._bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1.0
        self.sum += sum(values)


class Spread(Collector):
    """A histogram."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._bounds = (*map(floatToGoString, metric.buckets), "+Inf")
        self._rows: dict[Labels, Bins] = {}

    def bins(self, *labels: str) -> Bins:
        """The series of these labels, always the same; it is shown from now on."""
        bins = self._rows.get(labels)
        if bins is None:
            bins = self._rows[labels] = Bins(self.metric.buckets)
        return bins

    def observe(self, value: float, *labels: str) -> None:
        self.bins(*labels).observe(value)

    def collect(self) -> Iterable[Counted]:
        rows = [(labels, (*bins.counts, bins.sum)) for labels, bins in self._rows.items()]
        yield _counted(self.metric, rows, self._bounds)


Values = Mapping[Labels, float]


class Asked(Collector):
    """A gauge, or a counter that somebody else keeps: asked for at each scrape."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._ask: list[Callable[[], Values]] = []

    def watch(self, ask: Callable[[], Values]) -> None:
        """`ask` gives label values -> value, cheaply. Several may each give a part."""
        self._ask.append(ask)

    def describe(self) -> Iterable[Counted]:
        """Its name, for the registry, before there is anybody to ask."""
        yield _counted(self.metric)

    def collect(self) -> Iterable[Counted]:
        rows = [(labels, (float(value),)) for ask in self._ask for labels, value in ask().items()]
        yield _counted(self.metric, rows)  # floats, since some gauges are true or false


def _counted(metric: Metric, rows: Iterable[Row] = (), bounds: Labels = ()) -> Counted:
    return Counted(metric.name, metric.help, metric.kind.value, metric.labels, bounds, rows)
