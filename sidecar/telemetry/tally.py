"""
What is counted, kept so that counting costs next to nothing, and shown to prometheus_client when it is scraped.

prometheus_client's own counters take a lock each time, for threads that are not here: one event loop owns these. A
series is a number to add to, or a row of numbers, and whoever counts often keeps hold of it: a fiftieth of the time. What
a histogram observes is put into its buckets when there is some of it, or somebody asks. They also have no `_created`
series, which nobody asks for and which double the exposition.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from sidecar.telemetry.families import Counted, Labels, Row
from sidecar.telemetry.metrics import Metric

WAITING = 128
"""Values of a histogram at most that are in no bucket yet: a few KiB, and some 20 µs to sort them in."""


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

    __slots__ = ("_bounds", "_counts", "_sum", "_waiting")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0.0] * (len(bounds) + 1)
        """One for each bucket, not yet cumulative, and the one above all bounds."""
        self._sum = 0.0
        self._waiting: list[float] = []

    def observe(self, values: Iterable[float]) -> None:
        waiting = self._waiting
        waiting.extend(values)
        if len(waiting) >= WAITING:
            self._sort_in()

    def row(self) -> tuple[float, ...]:
        """How many were seen in each bucket, the one above all bounds last, and the sum of them: `families.Row`."""
        if self._waiting:
            self._sort_in()
        return (*self._counts, self._sum)

    def _sort_in(self) -> None:
        """A fourth of what it takes to find its bucket for each value alone."""
        waiting, counts, before = self._waiting, self._counts, 0
        self._sum += sum(waiting)
        waiting.sort()
        for bucket, bound in enumerate(self._bounds):
            upto = bisect_right(waiting, bound, before)
            counts[bucket] += upto - before
            before = upto
        counts[-1] += len(waiting) - before
        waiting.clear()


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
        self.bins(*labels).observe((value,))

    def collect(self) -> Iterable[Counted]:
        """Each row is made when it is read, so that nobody waits for the others."""
        yield _counted(self.metric, self._read(), self._bounds)

    def _read(self) -> Iterator[Row]:
        for labels, bins in list(self._rows.items()):  # while it is read, another series may begin
            yield labels, bins.row()


class Targets:
    """
    Series in which things of one kind count, found once for all of them. What is counted comes in columns: `put` and
    `add` name one by its index.
    """

    __slots__ = ("_added", "_counted", "_put")

    def __init__(self) -> None:
        self._counted: list[Cell] = []
        self._added: list[tuple[int, Cell]] = []
        self._put: list[tuple[int, Bins]] = []

    def count(self, cell: Cell) -> None:
        """Each of them counts as one in `cell`."""
        self._counted.append(cell)

    def add(self, column: int, cell: Cell) -> None:
        self._added.append((column, cell))

    def put(self, column: int, bins: Bins) -> None:
        self._put.append((column, bins))

    def told(self, those: Sequence[tuple[float, ...]]) -> None:
        """Counts things, of each its numbers."""
        number, columns = len(those), tuple(zip(*those, strict=True))
        for cell in self._counted:
            cell.value += number
        for column, cell in self._added:
            cell.value += sum(columns[column])
        for column, bins in self._put:
            bins.observe(columns[column])


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
