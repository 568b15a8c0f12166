"""Counting that costs next to nothing, and looks to a scrape like prometheus_client's own."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from sidecar.telemetry.metrics import Kind, Metric
from sidecar.telemetry.tally import Asked, Spread, Tally

BOUNDS = (0.1, 1.0, 10.0)


def exposed(collector):
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


def test_a_tally_counts_by_labels_and_has_no_created_series():
    tally = Tally(Metric("x_done", Kind.COUNTER, "Done.", ("what",)))
    tally.add("a")
    tally.add("a", amount=2.5)
    tally.add("b")
    assert exposed(tally).splitlines()[2:] == ['x_done_total{what="a"} 3.5', 'x_done_total{what="b"} 1.0']


def test_a_bound_count_is_shown_before_it_counts_anything():
    tally = Tally(Metric("x_done", Kind.COUNTER, "Done.", ("what",)))
    count = tally.bound("a")
    assert 'x_done_total{what="a"} 0.0' in exposed(tally)
    count()
    assert 'x_done_total{what="a"} 1.0' in exposed(tally)


def test_a_spread_is_exposed_as_prometheus_clients_own_histogram_is():
    registry = CollectorRegistry()
    own = Histogram("x_seconds", "Took.", ["what"], buckets=BOUNDS, registry=registry)
    spread = Spread(Metric("x_seconds", Kind.HISTOGRAM, "Took.", ("what",), BOUNDS))
    for value in (0.0, 0.1, 0.11, 1.0, 9.99, 10.0, 10.01, 500.0):
        own.labels("a").observe(value)
        spread.observe(value, "a")
    theirs = [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]
    ours = exposed(spread).splitlines()
    assert sorted(ours) == sorted(theirs)


def test_a_gauge_is_asked_at_each_scrape_and_not_before():
    asked = []
    gauge = Asked(Metric("x_now", Kind.GAUGE, "Now.", ("what",)))
    gauge.watch(lambda: {("a",): asked.append(1) or len(asked)})
    registry = CollectorRegistry()
    registry.register(gauge)
    assert not asked
    assert [generate_latest(registry).decode().splitlines()[-1] for _ in range(2)] == [
        'x_now{what="a"} 1.0',
        'x_now{what="a"} 2.0',
    ]
