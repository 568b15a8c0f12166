"""
Metrics of several processes as one.

    worker 1 ──reading──▶ share ─┐
    worker 2 ──reading──▶ share ─┼─▶ Merged ──▶ exposition
    parent   ──reading──▶ share ─┘

Counters and histograms are sums. What a process counted that has ended stays in them: a counter that fell by a half
would look to Prometheus like one that began anew, and the other half like events of this moment. What it counted after
it was last read is lost with it.

A gauge is a sum as well where it counts what each process has for itself. Where all processes look at the same thing
it is the largest value, and where one that is not well is what matters, the smallest. What is said of a process as
such, its memory and its files, gets a label `worker` instead: a sum of open files beside the limit of one process would
say nothing.
"""

from collections.abc import Iterable, Iterator

import msgspec
from attrs import Factory, define
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from sidecar.telemetry.exposition import View

LARGEST = frozenset(
    {
        "sidecar_pins",  # of one store: each worker knows some of the same sessions, and a sum would count them twice
        "sidecar_pins_limit",
        "sidecar_classifier_circuit",  # 1 for each state that some worker's circuit is in
        "sidecar_upstream_ejected",  # 1 while any of them leaves the provider alone
        "sidecar_build_info",
        "sidecar_config_generation",
        "sidecar_config_reloads",  # a counter, but all of them read the same file
        "python_info",
    }
)
SMALLEST = frozenset(
    {
        "sidecar_ready",
        "sidecar_store_up",
        "sidecar_config_last_reload_successful",
        "sidecar_config_last_reload_timestamp_seconds",  # the parent read it, and a worker got it at its start
    }
)
OWN = ("process_", "python_")
"""What is said of a process as such: its series are kept apart by a label `worker`."""
WORKER = "worker"

Series = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a sample and its labels."""


class Family(msgspec.Struct, array_like=True, frozen=True):
    """One metric of one process, as it goes from there to here."""

    name: str
    help: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]

    @property
    def adds_up(self) -> bool:
        """Whether it only grows, so that what ended processes counted belongs to it."""
        return self.kind in ("counter", "histogram") and self.name not in LARGEST and not self.is_own

    @property
    def is_own(self) -> bool:
        return self.name.startswith(OWN) and self.name not in LARGEST


def reading(registry: Collector) -> list[Family]:
    """All of a registry's numbers, at this moment."""
    return [
        Family(
            family.name,
            family.documentation,
            family.type,
            [(each.name, each.labels, float(each.value)) for each in family.samples],  # some gauges are true or false
        )
        for family in View(registry).collect()
    ]


def encoded(families: list[Family]) -> bytes:
    return msgspec.msgpack.encode(families)


def decoded(data: bytes) -> list[Family]:
    """Raises msgspec.DecodeError."""
    return msgspec.msgpack.decode(data, type=list[Family])


@define(eq=False)
class Share:
    """What one process has counted, as it was last read."""

    label: str
    """The value of `worker`."""
    families: list[Family] = Factory(list)

    def read(self, families: list[Family]) -> None:
        self.families = families


class Merged(Collector):
    """The shares of all processes. Counts nothing itself and asks nobody: whoever shows it reads the shares before."""

    def __init__(self) -> None:
        self._shares: list[Share] = []
        self._ended: dict[str, Family] = {}

    def join(self, label: str) -> Share:
        """A process begins."""
        share = Share(label)
        self._shares.append(share)
        return share

    def leave(self, share: Share) -> None:
        """It ended. What it is told after that counts no more."""
        self._shares.remove(share)
        for family in share.families:
            if family.adds_up:
                before = self._ended.get(family.name)
                values = _combined([family] if before is None else [before, family])
                self._ended[family.name] = _family(family, values)

    def collect(self) -> Iterable[Metric]:
        found: dict[str, list[Family]] = {name: [family] for name, family in self._ended.items()}
        for share in self._shares:
            for family in share.families:
                found.setdefault(family.name, []).append(_labelled(family, share.label) if family.is_own else family)
        for families in found.values():
            yield _metric(_family(families[0], _combined(families)))


def _labelled(family: Family, worker: str) -> Family:
    samples = [(name, {**labels, WORKER: worker}, value) for name, labels, value in family.samples]
    return Family(family.name, family.help, family.kind, samples)


def _combined(families: list[Family]) -> dict[Series, float]:
    """Series by series. A series that one of them alone has is as that one says."""
    values: dict[Series, float] = {}
    for family in families:
        for series, value in _series(family):
            there = values.get(series)
            values[series] = value if there is None else _of_both(family.name, there, value)
    return values


def _series(family: Family) -> Iterator[tuple[Series, float]]:
    for name, labels, value in family.samples:
        yield (name, tuple(labels.items())), value


def _of_both(name: str, one: float, other: float) -> float:
    if name in LARGEST:
        return max(one, other)
    return min(one, other) if name in SMALLEST else one + other


def _family(like: Family, values: dict[Series, float]) -> Family:
    samples = [(name, dict(labels), value) for (name, labels), value in values.items()]
    return Family(like.name, like.help, like.kind, samples)


def _metric(family: Family) -> Metric:
    metric = Metric(family.name, family.help, family.kind)
    metric.samples = [Sample(name, labels, value) for name, labels, value in family.samples]
    return metric
