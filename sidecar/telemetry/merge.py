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

from collections.abc import Collection, Iterable, Iterator

import msgspec
from attrs import Factory, define
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from sidecar.telemetry.families import Counted, Labels

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


class Family(msgspec.Struct, array_like=True, frozen=True):
    """One metric of one process, as it goes from there to here. The fields are those of `Counted`."""

    name: str
    help: str
    kind: str
    labels: Labels
    bounds: Labels
    rows: list[tuple[Labels, list[float]]]

    @property
    def adds_up(self) -> bool:
        """Whether it only grows, so that what ended processes counted belongs to it."""
        return self.kind in ("counter", "histogram") and self.name not in LARGEST and not self.is_own

    @property
    def is_own(self) -> bool:
        return self.name.startswith(OWN) and self.name not in LARGEST


def reading(registry: Collector) -> list[Family]:
    """All of a registry's numbers, at this moment."""
    return [_read(family if isinstance(family, Counted) else _counted(family)) for family in registry.collect()]


def _read(family: Counted) -> Family:
    rows = [(labels, list(numbers)) for labels, numbers in family.rows]
    return Family(family.name, family.documentation, family.type, family.labels, family.bounds, rows)


def _counted(family: Metric) -> Counted:
    """What prometheus_client says of the process and of Python: counters and gauges, each with labels of its own."""
    labels = tuple(family.samples[0].labels) if family.samples else ()
    rows = [(tuple(sample.labels.values()), (float(sample.value),)) for sample in family.samples]
    return Counted(family.name, family.documentation, family.type, labels, rows=rows)


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
                rows = _combined([family] if before is None else [before, family])
                self._ended[family.name] = msgspec.structs.replace(family, rows=list(rows))

    def collect(self) -> Iterable[Metric]:
        found: dict[str, list[Family]] = {name: [family] for name, family in self._ended.items()}
        for share in self._shares:
            for family in share.families:
                found.setdefault(family.name, []).append(_labelled(family, share.label) if family.is_own else family)
        for families in found.values():
            first = families[0]
            yield Counted(first.name, first.help, first.kind, first.labels, first.bounds, _combined(families))


def _labelled(family: Family, worker: str) -> Family:
    rows = [((*labels, worker), numbers) for labels, numbers in family.rows]
    return msgspec.structs.replace(family, labels=(*family.labels, WORKER), rows=rows)


def _combined(families: list[Family]) -> Iterator[tuple[Labels, list[float]]]:
    """Series by series, as they are asked for. A series that one of them alone has is as that one says."""
    found: dict[Labels, list[list[float]]] = {}
    for family in families:
        for labels, numbers in family.rows:
            found.setdefault(labels, []).append(numbers)
    for labels, those in found.items():
        yield labels, those[0] if len(those) == 1 else _of_all(families[0].name, those)


def _of_all(name: str, those: Collection[list[float]]) -> list[float]:
    combine = max if name in LARGEST else min if name in SMALLEST else sum
    return [combine(each) for each in zip(*those, strict=True)]
