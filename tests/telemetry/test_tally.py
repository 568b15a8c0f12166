"""Counting that costs next to nothing, and looks to a scrape like prometheus_client's own."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from sidecar.telemetry.metrics import Kind, Metric
from sidecar.telemetry.tally import WAITING, Asked, Spread, Tally, Targets

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


def test_a_spread_tells_the_same_however_many_values_wait_for_their_buckets():
    """Those over all bounds, on a bound and below the first are among them, more than may wait and fewer."""
    values = [number % 13 for number in range(3 * WAITING + 1)]
    spread, alone = (Spread(Metric("x_seconds", Kind.HISTOGRAM, "Took.", ("what",), BOUNDS)) for _ in range(2))
    spread.bins("a").observe(values[:7])
    spread.bins("a").observe(values[7:])
    for value in values:
        alone.observe(value, "a")
        exposed(alone)
    assert exposed(spread) == exposed(alone)
    assert f'x_seconds_count{{what="a"}} {len(values)}.0' in exposed(spread)


def test_a_series_that_begins_while_a_spread_is_read_is_in_the_next_reading():
    spread = Spread(Metric("x_seconds", Kind.HISTOGRAM, "Took.", ("what",), BOUNDS))
    spread.observe(1.0, "a")
    spread.observe(1.0, "b")
    (family,) = spread.collect()
    rows = iter(family.rows)
    labels, _ = next(rows)
    spread.observe(1.0, "c")
    assert [labels, *(labels for labels, _ in rows)] == [("a",), ("b",)]
    assert 'what="c"' in exposed(spread)


def test_things_of_one_kind_count_together_in_whatever_they_count_in():
    tally = Tally(Metric("x_done", Kind.COUNTER, "Done.", ("what",)))
    spread = Spread(Metric("x_seconds", Kind.HISTOGRAM, "Took.", ("what",), BOUNDS))
    targets = Targets()
    targets.count(tally.cell("one each"))
    targets.add(1, tally.cell("their second numbers"))
    targets.put(0, spread.bins("their first"))
    targets.told([(0.5, 3), (5.0, 4)])
    targets.told([(0.7, 1)])
    assert {labels: cell.value for labels, cell in tally.cells.items()} == {
        ("one each",): 3.0,
        ("their second numbers",): 8.0,
    }
    assert 'x_seconds_bucket{le="1.0",what="their first"} 2.0' in exposed(spread)
    assert 'x_seconds_sum{what="their first"} 6.2' in exposed(spread)


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
