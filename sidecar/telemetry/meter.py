"""
What is counted when: every event that `metrics` lists, under labels that no client can make up.

Most of it is told once per request, by its record. What must be seen while a request still runs (attempts, ejections,
pins) is told as it happens.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from sidecar import __version__
from sidecar.errors import InvalidSessionId
from sidecar.routing.decision import Decision, Lookup, Pin, Reason
from sidecar.routing.session import OWN_SOURCES
from sidecar.routing.verdict import Verdict
from sidecar.telemetry.metrics import METRICS, NONE, OTHER, Kind
from sidecar.telemetry.record import Attempt, Record
from sidecar.telemetry.spans import provider_name
from sidecar.telemetry.tally import Asked, Spread, Tally, Values

ANSWERED = "answered"
_FROM_OUTSIDE = frozenset({"sidecar_telemetry_dropped"})
"""Counters that others keep, on threads of their own."""
_LATELY = 0.05
"""The weight of one more classification in the mean of late: the last twenty or so count."""


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
        self.registry = CollectorRegistry()
        self._models = frozenset(models)
        self._vendors = frozenset((*vendors, *(model.partition("/")[0] for model in self._models)))
        self._routes = frozenset(routes)
        self._classifier = classifier
        self._verdict_s = 0.0
        self._tallies: dict[str, Tally] = {}
        self._spreads: dict[str, Spread] = {}
        self._asked: dict[str, Asked] = {}
        self._define()
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

    def watch(self, name: str, ask: Callable[[], Values]) -> None:
        """`ask` is called at each scrape for the values of a gauge. Raises KeyError for a name that is none."""
        self._asked[name].watch(ask)

    # Once per request, when it is over

    def told(self, record: Record) -> None:
        """Counts a request; a `Teller`."""
        endpoint, status = record.endpoint, f"{record.status // 100}xx"
        self._add("sidecar_http_requests", endpoint, status)
        self._observe("sidecar_http_request_duration_seconds", record.seconds, endpoint, status)
        self._observe("sidecar_added_latency_seconds", record.added_s, endpoint)
        self._add("sidecar_http_request_bytes", endpoint, amount=record.bytes_in)
        self._add("sidecar_http_response_bytes", endpoint, amount=record.bytes_out)
        if record.code is not None:
            self._failed(record, record.code)
        if record.decision is not None:
            self._decided(record, record.decision)
        if record.attempts:
            self._asked_providers(record)

    def _failed(self, record: Record, code: str) -> None:
        self._add("sidecar_errors", code)
        if code == InvalidSessionId.code:
            source = record.culprit if record.culprit in OWN_SOURCES else OTHER
            self._add("sidecar_pin_lookups", Lookup.INVALID.value, source)
        if record.attempts and record.attempts[-1].outcome == ANSWERED and code.startswith("upstream_"):
            self._add("sidecar_upstream_resets", record.attempts[-1].provider, code)

    def _decided(self, record: Record, decision: Decision) -> None:
        route = NONE if decision.route is None else decision.route if decision.route in self._routes else OTHER
        model = self._model(decision.model)
        self._add("sidecar_decisions", record.endpoint, route, model, decision.reason.value)
        self._add("sidecar_pin_lookups", decision.lookup.value, record.session.source if record.session else NONE)
        if decision.reason is Reason.PINNED and self._routes:
            self._add("sidecar_classifier_calls_saved")
            self._add("sidecar_classifier_seconds_saved", amount=self._verdict_s)

    def _asked_providers(self, record: Record) -> None:
        for attempt in record.attempts:
            self._observe("sidecar_upstream_duration_seconds", attempt.seconds, attempt.provider)
        if record.failover is not None:
            self._add("sidecar_failovers", record.failover, "moved" if record.moved else "kept")
        if record.operation is not None and record.model is not None:
            self._operated(
                record, record.attempts[-1], (record.operation, self._vendor(record), self._model(record.model))
            )

    def _operated(self, record: Record, answered: Attempt, labels: tuple[str, str, str]) -> None:
        """OpenTelemetry's metrics of one call to a model."""
        seconds = record.seconds - record.attempts[0].began_s
        self._observe("gen_ai_client_operation_duration_seconds", seconds, *labels, _error_type(record))
        output = record.usage.output if record.usage else 0
        if record.streamed and record.first_byte_s is not None:
            first_s = record.first_byte_s - answered.began_s
            self._observe("gen_ai_server_time_to_first_token_seconds", first_s, *labels)
            if output > 1:
                per_token_s = (record.seconds - record.first_byte_s) / (output - 1)
                self._observe("gen_ai_server_time_per_output_token_seconds", per_token_s, *labels)
        if record.usage is not None:
            self._observe("gen_ai_client_token_usage", record.usage.input, *labels, "input")
            self._observe("gen_ai_client_token_usage", output, *labels, "output")
            pinned = "true" if record.pinned else "false"
            self._add("sidecar_prompt_tokens", labels[2], pinned, amount=record.usage.input)
            self._add("sidecar_cached_prompt_tokens", labels[2], pinned, amount=record.usage.cache_read)

    def _model(self, model: str) -> str:
        return model if model in self._models else OTHER

    def _vendor(self, record: Record) -> str:
        model = record.model or ""
        return provider_name(model) if model.partition("/")[0] in self._vendors else OTHER

    # As it happens

    def judged(self, verdict: Verdict, seconds: float) -> None:
        """A classifier was asked, or would have been."""
        if verdict.failure is not None:
            outcome = verdict.failure.value
        else:
            outcome = "no_match" if verdict.route is None else "match"
        self._add("sidecar_classifier_verdicts", self._classifier, outcome)
        self._observe("sidecar_classifier_duration_seconds", seconds, self._classifier)
        self._verdict_s += (seconds - self._verdict_s) * (_LATELY if self._verdict_s else 1.0)

    def attempted(self, provider: str, outcome: str, seconds: float) -> None:
        """An attempt brought its first byte, or failed. Providers are those of the configuration, outcomes an enum."""
        self._add("sidecar_upstream_attempts", provider, outcome)
        if outcome == ANSWERED:
            self._observe("sidecar_upstream_first_byte_seconds", seconds, provider)

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

    def lagged(self, seconds: float) -> None:
        """The event loop was so late."""
        self._observe("sidecar_event_loop_lag_seconds", seconds)

    def _add(self, name: str, *labels: str, amount: float = 1.0) -> None:
        self._tallies[name].add(*labels, amount=amount)

    def _observe(self, name: str, value: float, *labels: str) -> None:
        self._spreads[name].observe(value, *labels)


def _error_type(record: Record) -> str:
    if record.code is not None:
        return record.code
    return "" if record.status < 400 else f"{record.status // 100}xx"  # noqa: PLR2004 - a status class
