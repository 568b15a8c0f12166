"""
What is counted, kept so that counting costs next to nothing, and shown to prometheus_client when it is scraped.

prometheus_client's own counters take a lock each time, for threads that are not here: one event loop owns these. A
count is a dict entry, an observation is a list entry found by bisection: a fifth of the time. They also have no
`_created` series, which nobody asks for and which double the exposition.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

from prometheus_client import metrics_core
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from sidecar.telemetry.metrics import Kind, Metric

Labels = tuple[str, ...]
"""Values, in the order of the metric's label names."""


class Tally(Collector):
    """A counter."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._counts: defaultdict[Labels, float] = defaultdict(float)

    def add(self, *labels: str, amount: float = 1.0) -> None:
        self._counts[labels] += amount

    def bound(self, *labels: str) -> Callable[[], None]:
        """Counts one each time it is called; its series is shown from the start."""
        counts = self._counts
        counts[labels] += 0.0

        def count() -> None:
            counts[labels] += 1.0

        return count

    def collect(self) -> Iterable[metrics_core.Metric]:
        metric = self.metric
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Spread(Collector):
    """A histogram."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._bounds = metric.buckets
        self._rows: dict[Labels, list[float]] = {}
        """Per series: a count for each bucket, not yet cumulative, then the one above all bounds, then the sum."""

    def observe(self, value: float, *labels: str) -> None:
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = [0.0] * (len(self._bounds) + 2)
        row[bisect_left(self._bounds, value)] += 1.0
        row[-1] += value

    def collect(self) -> Iterable[metrics_core.Metric]:
        metric = self.metric
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, row in self._rows.items():
            family.add_metric(labels, list(zip(bounds, accumulate(row[:-1]), strict=True)), row[-1])
        yield family


Values = Mapping[Labels, float]


class Asked(Collector):
    """A gauge, or a counter that somebody else keeps: asked for at each scrape."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._ask: list[Callable[[], Values]] = []

    def watch(self, ask: Callable[[], Values]) -> None:
        """`ask` gives label values -> value, cheaply. Several may each give a part."""
        self._ask.append(ask)

    def describe(self) -> Iterable[metrics_core.Metric]:
        """Its name, for the registry, before there is anybody to ask."""
        yield self._family()

    def collect(self) -> Iterable[metrics_core.Metric]:
        family = self._family()
        for ask in self._ask:
            for labels, value in ask().items():
                family.add_metric(labels, value)
        yield family

    def _family(self) -> CounterMetricFamily | GaugeMetricFamily:
        metric = self.metric
        kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
        return kind(metric.name, metric.help, labels=metric.labels)
