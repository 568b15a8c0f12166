"""What is asked at each scrape: the gauges, of whatever is in force then."""

from collections.abc import Callable

from sidecar.admin.state import State
from sidecar.listener.http import HttpServer
from sidecar.routing.breaker import State as CircuitState
from sidecar.server.generation import Generation, Lasting
from sidecar.telemetry.tally import Values


def watch(lasting: Lasting, state: State, server: HttpServer, now: Callable[[], Generation]) -> None:
    metrics, health, places = lasting.watchers.metrics, lasting.health, lasting.places

    def names() -> dict[str, None]:
        return dict.fromkeys(provider.name for provider in now().config.providers)

    def circuit() -> Values:
        kind = now().config.routing.classifier.type.value
        return {(kind, each.value): each is now().brain.guard.circuit for each in CircuitState}

    metrics.watch("sidecar_pins", lambda: metrics.pins_by_model(lasting.pins.near.counts_now()))
    metrics.watch("sidecar_pins_limit", lambda: {(): now().config.routing.session_max_entries})
    metrics.watch("sidecar_pin_flights_waiting", lambda: {(): lasting.flights.waiting})
    metrics.watch("sidecar_classifier_circuit", circuit)
    metrics.watch("sidecar_upstream_ejected", lambda: {(name,): health.ejected(name) for name in names()})
    metrics.watch("sidecar_upstream_requests_active", lambda: {(name,): places.load(name)[0] for name in names()})
    metrics.watch("sidecar_upstream_requests_pending", lambda: {(name,): places.load(name)[1] for name in names()})
    metrics.watch("sidecar_upstream_connections", lasting.client.connections)
    metrics.watch("sidecar_http_requests_in_flight", lambda: lasting.under_way)
    metrics.watch("sidecar_http_connections", lambda: {(): len(server.connections)})
    metrics.watch("sidecar_http_limits", lambda: server.bounds.reached)
    metrics.watch("sidecar_ready", lambda: {(): state.is_ready})
