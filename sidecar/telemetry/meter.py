"""
What is counted when: every event that `metrics` lists, under labels that no client can make up.

Most of it is told once per request, when it is over (`requests`, `calls`). What must be seen while a request still runs
(attempts, ejections, pins) is told as it happens.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from sidecar import __version__
from sidecar.routing.decision import Pin
from sidecar.routing.verdict import Failure, Verdict
from sidecar.telemetry.calls import Calls
from sidecar.telemetry.counts import Counts
from sidecar.telemetry.metrics import METRICS, OTHER, Kind
from sidecar.telemetry.requests import Requests
from sidecar.telemetry.tally import Asked, Spread, Tally, Values

_FROM_OUTSIDE = frozenset({"sidecar_http_limits", "sidecar_telemetry_dropped", "sidecar_worker_restarts"})
"""Counters that others keep: threads of their own, or the parent of several workers."""
_LATELY = 0.05
"""The weight of one more classification in the mean of late: the last twenty or so count."""


class _Registry(CollectorRegistry):
    """One that is up to date whenever it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.catch_up: Callable[[], None] = _nothing

    def collect(self) -> Iterator[Metric]:
        self.catch_up()
        return iter(super().collect())


def _nothing() -> None:
    """Whoever tells, tells at once."""


class Metrics:
    """
    One registry per server object: two servers in one process do not share a number.

    `models`, `routes`, `vendors` (what stands before the `/` of a model): those of the configuration; `classifier`: its
    kind.
    """

    def __init__(
        self,
        *,
        models: Iterable[str],
        routes: Iterable[str],
        vendors: Iterable[str] = (),
        classifier: str = "embedded",
    ) -> None:
        self.registry = _Registry()
        self._verdict_s = 0.0
        self._tallies: dict[str, Tally] = {}
        self._spreads: dict[str, Spread] = {}
        self._asked: dict[str, Asked] = {}
        self._define()
        self.learn(models=models, routes=routes, vendors=vendors, classifier=classifier)
        self._attempts = self._tallies["sidecar_upstream_attempts"].cells
        self.watch("sidecar_build_info", lambda: {(__version__,): 1.0})

    def _define(self) -> None:
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        for metric in METRICS:
            if metric.kind is Kind.HISTOGRAM:
                self.registry.register(self._spreads.setdefault(metric.name, Spread(metric)))
            elif metric.kind is Kind.GAUGE or metric.name in _FROM_OUTSIDE:
                self.registry.register(self._asked.setdefault(metric.name, Asked(metric)))
            else:
                self.registry.register(self._tallies.setdefault(metric.name, Tally(metric)))

    def learn(
        self, *, models: Iterable[str], routes: Iterable[str], vendors: Iterable[str] = (), classifier: str = "embedded"
    ) -> None:
        """The labels of another configuration. What was counted under those of the last one stays, and what ended by then."""
        self.registry.catch_up()
        self._models = frozenset(models)
        self._classifier = classifier
        known = frozenset((*vendors, *(model.partition("/")[0] for model in self._models)))
        calls = Calls(self._models, known, self._tallies, self._spreads)
        self._requests = Requests(self._models, frozenset(routes), calls, self._tallies, self._spreads)

    def reloaded(self, outcome: str) -> None:
        """A configuration was read again. Outcomes are an enum."""
        self._add("sidecar_config_reloads", outcome)

    def watch(self, name: str, ask: Callable[[], Values]) -> None:
        """`ask` is called at each scrape for the values of a gauge. Raises KeyError for a name that is none."""
        self._asked[name].watch(ask)

    def before_read(self, catch_up: Callable[[], None]) -> None:
        """`catch_up` is called before the registry is read: it tells of what nobody was told yet."""
        self.registry.catch_up = catch_up

    def told(self, counts: Counts) -> None:
        """Counts requests that are over; a `Counter`."""
        self._requests.told(counts, self._verdict_s)

    # As it happens

    def _model(self, model: str) -> str:
        return model if model in self._models else OTHER

    def judged(self, verdict: Verdict, seconds: float) -> None:
        """A classifier was asked, or would have been."""
        if verdict.failure is not None:
            outcome = verdict.failure.value
        else:
            outcome = "no_match" if verdict.route is None else "match"
        self._add("sidecar_classifier_verdicts", self._classifier, outcome)
        if verdict.failure is Failure.OPEN:  # nobody was asked, which takes no time
            return
        self._observe("sidecar_classifier_duration_seconds", seconds, self._classifier)
        self._verdict_s += (seconds - self._verdict_s) * (_LATELY if self._verdict_s else 1.0)

    def attempted(self, provider: str, outcome: str) -> None:
        """An attempt is answered, or failed. Providers are those of the configuration, outcomes an enum."""
        self._attempts[provider, outcome].value += 1.0

    def changed(self, provider: str, change: str) -> None:
        """A provider was ejected, or came back."""
        self._add("sidecar_upstream_ejections", provider, change)

    def removed(self, kind: str) -> None:
        """A part of a conversation was taken out, for a provider that could not read it."""
        self._add("sidecar_history_parts_removed", kind)

    def dropped(self, source: str, target: str) -> None:
        """A field had no place in the provider's format."""
        self._add("sidecar_fields_dropped", source, target)

    def pin_created(self, pin: Pin) -> None:
        self._add("sidecar_pins_created", self._model(pin.candidates[0]))

    def pin_moved(self, _pin: Pin, why: str, age_s: float, _turns: int) -> None:
        self._add("sidecar_pins_moved", why)
        self._observe("sidecar_pin_age_seconds", age_s)

    def pin_removed(self, reason: str, age_s: float, turns: int) -> None:
        self._add("sidecar_pins_removed", reason)
        self._observe("sidecar_pin_age_seconds", age_s)
        self._observe("sidecar_pin_requests", turns)

    def pins_by_model(self, counts: Mapping[str, int]) -> Values:
        """Live pins under labels that are few: models of wildcards count together."""
        values: dict[tuple[str, ...], float] = {}
        for model, count in counts.items():
            label = (self._model(model),)
            values[label] = values.get(label, 0.0) + count
        return values

    def store_counter(self, store: str, operation: str) -> Callable[[], None]:
        """What counts one operation on a pin store."""
        return self._tallies["sidecar_store_operations"].bound(store, operation)

    def store_error_counter(self, store: str, operation: str) -> Callable[[], None]:
        """What counts one that failed."""
        return self._tallies["sidecar_store_errors"].bound(store, operation)

    def store_timer(self, store: str, operation: str) -> Callable[[float], None]:
        """What is told how many seconds one took."""
        observe = self._spreads["sidecar_store_duration_seconds"].observe
        return lambda seconds: observe(seconds, store, operation)

    def store_settled(self, store: str, outcome: str) -> None:
        """A session that was served without its store is settled with it. Outcomes are an enum."""
        self._add("sidecar_store_settled", store, outcome)

    def lagged(self, seconds: float) -> None:
        """The event loop was so late."""
        self._observe("sidecar_event_loop_lag_seconds", seconds)

    def _add(self, name: str, *labels: str, amount: float = 1.0) -> None:
        self._tallies[name].add(*labels, amount=amount)

    def _observe(self, name: str, value: float, *labels: str) -> None:
        self._spreads[name].observe(value, *labels)
