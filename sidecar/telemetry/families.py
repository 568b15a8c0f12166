"""
A metric with all its series, as rows of numbers: a tenth of what samples are, of which a histogram has one per bucket.

Our collectors give these to the registry. Samples are made of them only for those who ask: the exposition writes rows,
and a worker sends them to its parent.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

Labels = tuple[str, ...]
"""Values, in the order of the metric's label names."""

Row = tuple[Labels, Sequence[float]]
"""
One series. The numbers are, of a counter or a gauge, its value; of a histogram, how many were seen in each bucket (not
cumulative, the last one above all bounds), and the sum of what was seen.
"""


class Counted(Metric):
    """
    What a collector gives. `kind`: counter, gauge or histogram; `bounds`: of a histogram, as texts, `+Inf` last. `rows`
    may be made as they are read, and then can be read once.
    """

    def __init__(  # noqa: PLR0917 - the fields of a family, in the order in which workers send them
        self,
        name: str,
        documentation: str,
        kind: str,
        labels: Labels = (),
        bounds: Labels = (),
        rows: Iterable[Row] = (),
    ) -> None:
        # Not Metric's own, which checks the name at each scrape: a third of what a family costs that has no series.
        self.name = name
        self.documentation = documentation
        self.type = kind
        self.unit = ""
        self.labels = labels
        self.bounds = bounds
        self.rows = rows

    @cached_property
    def samples(self) -> list[Sample]:  # type: ignore[override]  # as the attribute that it takes the place of
        return [sample for row in self.rows for sample in self._samples(row)]

    @property
    def sample_names(self) -> tuple[str, ...]:
        if self.type == "histogram":
            return f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum"
        return (f"{self.name}_total",) if self.type == "counter" else (self.name,)

    def totals(self) -> Iterator[Sample]:
        """The samples without a histogram's buckets."""
        for labels, numbers in self.rows:
            named = dict(zip(self.labels, labels, strict=True))
            if self.type == "histogram":
                yield Sample(f"{self.name}_count", named, sum(numbers[:-1]))
                yield Sample(f"{self.name}_sum", named, numbers[-1])
            else:
                yield Sample(self.sample_names[0], named, numbers[0])

    def _samples(self, row: Row) -> Iterator[Sample]:
        labels, numbers = row
        named = dict(zip(self.labels, labels, strict=True))
        if self.type != "histogram":
            yield Sample(self.sample_names[0], named, numbers[0])
            return
        counts = list(accumulate(numbers[:-1]))
        for bound, count in zip(self.bounds, counts, strict=True):
            yield Sample(f"{self.name}_bucket", {**named, "le": bound}, count)
        yield Sample(f"{self.name}_count", named, counts[-1])
        yield Sample(f"{self.name}_sum", named, numbers[-1])
