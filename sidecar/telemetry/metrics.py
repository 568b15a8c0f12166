"""
The one list of metrics: name, meaning, unit, labels.

Labels are closed sets: endpoints, reasons and outcomes are enums, routes and models those of the configuration, and
whatever is neither counts as `other`, so that no client can make the list grow. Label children are looked up once and
kept.
"""

from collections.abc import Callable, Iterable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from sidecar import __version__
from sidecar.routing.decision import Decision
from sidecar.routing.verdict import Verdict

OTHER = "other"
NONE = "none"

FAST = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Buckets in seconds: from an embedded classifier's tens of microseconds to the patience of a model's."""


class Metrics:
    """One registry per server object: two servers in one process do not share a number."""

    def __init__(self, *, models: Iterable[str], routes: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._models = frozenset(models)
        self._routes = frozenset(routes)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._define()

    def _define(self) -> None:
        reg = self.registry
        build = Gauge("sidecar_build_info", "Always 1; the label says which version runs.", ["version"], registry=reg)
        build.labels(__version__).set(1)
        self._requests = self._counter("http_requests", "Requests answered.", "endpoint", "code")
        self._errors = self._counter("errors", "Errors we answered with, by their stable code.", "code")
        self._decisions = self._counter("decisions", "Routing decisions.", "endpoint", "route", "model", "reason")
        self._lookups = self._counter(
            "pin_lookups", "Looks into the pin table; source is the header that named the session.", "outcome", "source"
        )
        self._removed = self._counter("pins_removed", "Pins that went by themselves.", "reason")
        self._verdicts = self._counter(
            "classifier_verdicts", "What the classifier said: match, no_match, or why it said nothing.", "outcome"
        )
        self._attempts = self._counter("upstream_attempts", "Attempts at providers.", "provider", "outcome")
        self._failovers = self._counter("failovers", "Requests whose first attempt failed.", "reason", "pin")
        self._parts_removed = self._counter(
            "history_parts_removed", "Parts of a conversation that another provider could not read.", "kind"
        )
        self._fields_dropped = self._counter(
            "fields_dropped", "Fields of requests that the provider's format has no place for.", "source", "target"
        )
        self._ejections = self._counter("upstream_ejections", "Providers ejected, and back.", "provider", "change")
        self._upstream_seconds = self._seconds(
            "upstream_first_byte_seconds", "From an attempt to its first byte, or to its failure."
        )
        self._request_seconds = self._seconds(
            "http_request_duration_seconds", "From a request's headers to its answer."
        )
        self._classifier_seconds = self._seconds("classifier_duration_seconds", "How long verdicts took.")

    def _counter(self, name: str, help_text: str, *labels: str) -> Callable[..., Counter]:
        """`labels()` takes a lock and builds strings each time; a child that is kept costs a third of it."""
        return cache(Counter(f"sidecar_{name}", help_text, labels, registry=self.registry).labels)

    def _seconds(self, name: str, help_text: str) -> Histogram:
        return Histogram(f"sidecar_{name}", help_text, buckets=FAST, registry=self.registry)

    def count_pins(self, count: Callable[[], int]) -> None:
        """`count` is asked at each scrape."""
        Gauge("sidecar_pins", "Pins kept now.", registry=self.registry).set_function(count)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        self._requests(endpoint, str(status)).inc()
        self._request_seconds.observe(seconds)

    def failed(self, code: str) -> None:
        self._errors(code).inc()

    def decided(self, endpoint: str, decision: Decision, source: str | None) -> None:
        route = NONE if decision.route is None else decision.route if decision.route in self._routes else OTHER
        model = decision.model if decision.model in self._models else OTHER
        self._decisions(endpoint, route, model, decision.reason.value).inc()
        self._lookups(decision.lookup.value, source or NONE).inc()

    def judged(self, verdict: Verdict, seconds: float) -> None:
        if verdict.failure is not None:
            outcome = verdict.failure.value
        else:
            outcome = "no_match" if verdict.route is None else "match"
        self._verdicts(outcome).inc()
        self._classifier_seconds.observe(seconds)

    def attempted(self, provider: str, outcome: str, seconds: float) -> None:
        """Provider entries are those of the configuration, and outcomes an enum."""
        self._attempts(provider, outcome).inc()
        self._upstream_seconds.observe(seconds)

    def changed(self, provider: str, change: str) -> None:
        self._ejections(provider, change).inc()

    def removed(self, kind: str) -> None:
        self._parts_removed(kind).inc()

    def dropped(self, source: str, target: str) -> None:
        self._fields_dropped(source, target).inc()

    def failed_over(self, reason: str, *, moved: bool) -> None:
        self._failovers(reason, "moved" if moved else "kept").inc()

    def pin_removed(self, reason: str) -> None:
        self._removed(reason).inc()
