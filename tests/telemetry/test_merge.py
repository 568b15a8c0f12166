import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.process_collector import ProcessCollector

from sidecar.telemetry.merge import LARGEST, OWN, SMALLEST, Merged, decoded, encoded, reading
from sidecar.telemetry.meter import Metrics
from sidecar.telemetry.metrics import METRICS, Kind

SUMMED = {
    "sidecar_pin_flights_waiting",
    "sidecar_http_requests_in_flight",
    "sidecar_http_connections",
    "sidecar_upstream_requests_active",
    "sidecar_upstream_requests_pending",
    "sidecar_upstream_connections",
}
"""Gauges of what each process has for itself. A new gauge is put here, or among those of telemetry/merge.py."""


def counting(kind="embedded"):
    return Metrics(models=("a/b",), routes=(), classifier=kind)


def used(metrics, store="p"):
    metrics.store_counter(store, "get")()
    metrics.store_timer(store, "get")(0.02)


def told(merged, metrics, label="1"):
    """One process joins and is read, over the wire."""
    share = merged.join(label)
    share.read(decoded(encoded(reading(metrics.registry))))
    return share


def shown(merged):
    lines = generate_latest(merged).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_it_is_said_of_every_gauge_how_several_become_one():
    gauges = {metric.name for metric in METRICS if metric.kind is Kind.GAUGE}
    assert gauges - LARGEST - SMALLEST == SUMMED
    assert not LARGEST & SMALLEST


def test_counters_and_histograms_are_sums():
    merged = Merged()
    for number in ("1", "2"):
        metrics = counting()
        used(metrics)
        told(merged, metrics, number)
    found = shown(merged)
    assert found['sidecar_store_operations_total{operation="get",store="p"}'] == 2
    assert found['sidecar_store_duration_seconds_bucket{le="0.025",operation="get",store="p"}'] == 2
    assert found['sidecar_store_duration_seconds_bucket{le="0.01",operation="get",store="p"}'] == 0
    assert found['sidecar_store_duration_seconds_sum{operation="get",store="p"}'] == pytest.approx(0.04)


def test_a_series_that_one_of_them_has_is_shown():
    merged = Merged()
    for number, store in (("1", "p"), ("2", "q")):
        metrics = counting()
        used(metrics, store)
        told(merged, metrics, number)
    found = shown(merged)
    assert [found[f'sidecar_store_operations_total{{operation="get",store="{each}"}}'] for each in "pq"] == [
        1,
        1,
    ]


def test_a_counter_never_falls_when_a_process_ends():
    merged, metrics = Merged(), counting()
    used(metrics)
    first, _second = told(merged, metrics, "1"), told(merged, metrics, "2")
    merged.leave(first)
    name = 'sidecar_store_operations_total{operation="get",store="p"}'
    assert shown(merged)[name] == 2
    told(merged, metrics, "1")
    assert shown(merged)[name] == 3
    assert shown(merged)['sidecar_store_duration_seconds_count{operation="get",store="p"}'] == 3


def test_a_reading_that_comes_late_counts_no_more():
    merged, metrics = Merged(), counting()
    used(metrics)
    gone = told(merged, metrics)
    merged.leave(gone)
    gone.read(reading(metrics.registry))
    assert shown(merged)['sidecar_store_operations_total{operation="get",store="p"}'] == 1


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("sidecar_http_connections", (3, 4), 7),
        ("sidecar_pins_limit", (10, 10), 10),
        ("sidecar_ready", (True, False), 0),
        ("sidecar_ready", (True, True), 1),
        ("sidecar_config_last_reload_timestamp_seconds", (5, 9), 5),
    ],
)
def test_a_gauge_is_what_its_meaning_asks_for(name, values, expected):
    merged = Merged()
    for value in values:
        metrics = counting()
        metrics.watch(name, lambda value=value: {(): value})
        told(merged, metrics)
    assert shown(merged)[name] == expected


def test_the_gauges_of_a_process_that_ended_are_gone_with_it():
    merged, metrics = Merged(), counting()
    metrics.watch("sidecar_http_connections", lambda: {(): 5})
    merged.leave(told(merged, metrics))
    assert "sidecar_http_connections" not in shown(merged)


def test_what_is_said_of_a_process_is_said_of_each():
    merged, registry = Merged(), CollectorRegistry()
    ProcessCollector(registry=registry)
    for label in ("1", "parent"):
        merged.join(label).read(reading(registry))
    found = shown(merged)
    assert found['process_open_fds{worker="1"}'] == found['process_open_fds{worker="parent"}'] > 0
    assert all("worker=" in name for name in found if name.startswith(OWN))
    assert shown(merged) == found


def test_of_one_process_nothing_is_lost_on_the_way():
    merged, metrics = Merged(), counting()
    used(metrics)
    metrics.watch("sidecar_ready", lambda: {(): True})
    told(merged, metrics)
    theirs = {name for name in shown(metrics.registry) if "_created" not in name}
    found = {name.replace('worker="1"', "").replace("{}", "").replace(",}", "}") for name in shown(merged)}
    assert found == theirs
