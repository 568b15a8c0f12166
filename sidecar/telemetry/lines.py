"""
The lines of an exposition, a series at a time, byte for byte as prometheus_client's encoders write them.

Theirs write everything at once, 6 µs a line; these take 0.5 µs and can be left after any series. What is not `Counted`
(what prometheus_client says itself of the process and of Python: some twenty lines) its encoders write.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import accumulate

from attrs import frozen
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from sidecar.telemetry.families import Counted, Labels, Row

END = "# EOF\n"
"""Of OpenMetrics: https://prometheus.io/docs/specs/om/open_metrics_spec/"""
_PLAIN = 1e6
"""Numbers below it look in Python as in Go."""


Block = tuple[str, int]
"""Whole lines, and what they cost, in bytes of ours that could have been written instead."""
LOOK_COST = 100
"""What a series costs beside its bytes, so that one costs something that nothing is written of."""
FAMILY_COST = 500
THEIR_COST = 4096
"""Of a family that prometheus_client writes; what is said of the process is read from files."""


def blocks(families: Iterable[Metric], names: Collection[str], *, as_openmetrics: bool) -> Iterator[Block]:
    """
    The exposition without its end, a series at a time. `families`: those of a registry; `names`: of samples (`sidecar_decisions_total`) or of whole
    families (`sidecar_added_latency_seconds`), all when there are none.

    A series is read in one piece; another family may be read later than the one before, if whoever asks takes its time.
    """
    for family in families:
        if isinstance(family, Counted):
            yield from _ours(family, names, as_openmetrics=as_openmetrics)
        else:
            yield _theirs(family, names, as_openmetrics=as_openmetrics), THEIR_COST


def _ours(family: Counted, names: Collection[str], *, as_openmetrics: bool) -> Iterator[Block]:
    wanted = frozenset(family.sample_names)
    if names and family.name not in names:
        wanted &= frozenset(names)
    if not wanted:
        yield "", FAMILY_COST
        return
    head = _head(family, as_openmetrics=as_openmetrics)
    if not names:
        yield head, FAMILY_COST
        head = ""
    write = _writer(family, wanted)
    for row in family.rows:
        text = head + write(row)
        yield text, len(text) + LOOK_COST
        head = ""


def _head(family: Counted, *, as_openmetrics: bool) -> str:
    name, said = family.name, family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    if as_openmetrics:
        said = said.replace('"', r"\"")
    elif family.type == "counter":
        name += "_total"
    return f"# HELP {name} {said}\n# TYPE {name} {family.type}\n"


def _writer(family: Counted, wanted: Collection[str]) -> Callable[[Row], str]:
    """What writes a row's lines; `wanted`: which samples of it."""
    if family.type == "histogram":
        return _Histogram(family, wanted).lines
    name, labelled = family.sample_names[0], _Labelled(family.labels)

    def line(row: Row) -> str:
        labels, numbers = row
        return f"{name}{labelled.all(labels)} {number(numbers[0])}\n"

    return line


class _Labelled:
    """The labels of a family's series as text, in the order of their names."""

    def __init__(self, names: Labels) -> None:
        order = sorted(range(len(names)), key=names.__getitem__)
        self._before = [(f'{names[at]}="', at) for at in order if names[at] < "le"]
        self._after = [(f'{names[at]}="', at) for at in order if names[at] > "le"]

    def all(self, values: Labels) -> str:
        text = ",".join(f'{name}{escaped(values[at])}"' for name, at in (*self._before, *self._after))
        return f"{{{text}}}" if text else ""

    def around_le(self, values: Labels) -> tuple[str, str]:
        """What stands before a bucket's bound and after it: `{a="b",le="` and `",x="y"} `."""
        before = "".join(f'{name}{escaped(values[at])}",' for name, at in self._before)
        after = "".join(f',{name}{escaped(values[at])}"' for name, at in self._after)
        return f'{{{before}le="', f'"{after}}} '


class _Histogram:
    def __init__(self, family: Counted, wanted: Collection[str]) -> None:
        self._labelled = _Labelled(family.labels)
        self._bounds = family.bounds
        self._names = family.sample_names
        self._wants = [name in wanted for name in self._names]

    def lines(self, row: Row) -> str:
        labels, numbers = row
        wants_buckets, wants_count, wants_sum = self._wants
        bucket, count, total = self._names
        counts = list(accumulate(numbers[:-1]))
        lines = []
        if wants_buckets:
            before, after = self._labelled.around_le(labels)
            start = bucket + before
            lines = [f"{start}{bound}{after}{number(each)}\n" for bound, each in zip(self._bounds, counts, strict=True)]
        said = self._labelled.all(labels)
        if wants_count:
            lines.append(f"{count}{said} {number(counts[-1])}\n")
        if wants_sum:
            lines.append(f"{total}{said} {number(numbers[-1])}\n")
        return "".join(lines)


def escaped(value: str) -> str:
    """A label's value: one sample, one line."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """As Go writes it."""
    if -_PLAIN < value < _PLAIN:
        return repr(value)
    go: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return go


@frozen
class _One(Collector):
    """A family by itself, for an encoder that takes registries."""

    family: Metric

    def collect(self) -> Iterable[Metric]:
        yield self.family


def _theirs(family: Metric, names: Collection[str], *, as_openmetrics: bool) -> str:
    samples = [sample for sample in family.samples if _shows(family, sample, names)]
    if names and not samples:
        return ""
    shown = Metric(family.name, family.documentation, family.type, family.unit)
    shown.samples = samples
    text: bytes = openmetrics.generate_latest(_One(shown)) if as_openmetrics else generate_latest(_One(shown))  # type: ignore[no-untyped-call]
    return text.decode().removesuffix(END)


def _shows(family: Metric, sample: Sample, names: Collection[str]) -> bool:
    """`_created` series never: see `exposition`."""
    if sample.name == f"{family.name}_created":
        return False
    return not names or sample.name in names or family.name in names
