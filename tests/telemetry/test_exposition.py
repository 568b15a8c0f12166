"""The metrics as scrapers read them."""

import asyncio
import gzip
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from sidecar.telemetry.exposition import OPENMETRICS, PIECE_BYTES, TEXT, expose
from sidecar.telemetry.families import Counted
from sidecar.telemetry.lines import LOOK_COST
from sidecar.telemetry.merge import Merged, reading
from sidecar.telemetry.meter import Metrics
from sidecar.telemetry.metrics import Kind, Metric
from sidecar.telemetry.tally import Asked, Spread, Tally

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
"""What Prometheus 3 sends: https://prometheus.io/docs/instrumenting/content_negotiation/"""


@pytest.fixture
def registry():
    registry = CollectorRegistry()
    Counter("toys", "Toys made.", ["kind"], registry=registry).labels("ball").inc(2)
    Histogram("play_seconds", "How long.", registry=registry, buckets=(1.0,)).observe(0.5)
    Gauge("bored", "Who is.", registry=registry).set(1)
    return registry


def names(text, families=text_families):
    return {sample.name for family in families(text) for sample in family.samples}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4;q=0.5, application/openmetrics-text;version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.2, text/plain", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ('Application/OpenMetrics-Text; version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0; q=0", TEXT),
        ("application/openmetrics-text; version=0.0.1", TEXT),
        ("application/openmetrics-text; version=2.0.0, */*", TEXT),
        ("application/openmetrics-text; version=\x00; q=nan;;=,,;", TEXT),
        (PROMETHEUS_3, OPENMETRICS),
    ],
)
async def test_the_format_is_the_one_the_scraper_likes_best(registry, accept, kind):
    exposition = await expose(registry, accept, "")
    assert exposition.headers["Content-Type"] == kind
    assert exposition.body.endswith(b"# EOF\n") is (kind is OPENMETRICS)


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0, *", False),
        ("gzip;q=0.000", False),
        ("identity, br", False),
        ("gzip;q=bad", False),
    ],
)
async def test_it_is_compressed_for_whoever_can_read_that(registry, accept_encoding, compressed):
    exposition = await expose(registry, "", accept_encoding)
    assert exposition.headers.get("Content-Encoding") == ("gzip" if compressed else None)
    plain = gzip.decompress(exposition.body) if compressed else exposition.body
    assert b'toys_total{kind="ball"} 2.0' in plain
    assert exposition.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(("accept", "families"), [("", text_families), (PROMETHEUS_3, openmetrics_families)])
async def test_when_a_series_was_made_is_not_a_series(registry, accept, families):
    text = (await expose(registry, accept, "")).body.decode()
    assert names(text, families) == {
        "toys_total",
        "play_seconds_bucket",
        "play_seconds_count",
        "play_seconds_sum",
        "bored",
    }
    assert "_created" not in text


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["bored"], {"bored"}),
        (["toys_total", "bored"], {"toys_total", "bored"}),
        (["play_seconds"], {"play_seconds_bucket", "play_seconds_count", "play_seconds_sum"}),
        (["play_seconds_count"], {"play_seconds_count"}),
        (["nothing"], set()),
    ],
)
async def test_single_names_can_be_asked_for(registry, wanted, found):
    assert names((await expose(registry, "", "", wanted)).body.decode()) == found


@given(st.text(alphabet='aq/=;,.0159* "gzip', max_size=60), st.text(max_size=30))
def test_whatever_a_scraper_says_it_is_answered(accept, accept_encoding):
    exposition = asyncio.run(expose(CollectorRegistry(), accept, accept_encoding))
    assert exposition.headers["Content-Type"] in (TEXT, OPENMETRICS)


async def test_of_our_own_metrics_both_formats_are_readable():
    registry = Metrics(models=["openai/gpt-4o"], routes=["code"]).registry
    text = (await expose(registry, "", "")).body.decode()
    assert "sidecar_build_info" in names(text)
    assert names(text) == names((await expose(registry, PROMETHEUS_3, "")).body.decode(), openmetrics_families)


# Against prometheus_client's encoders

ENCODERS = {"": generate_latest, "application/openmetrics-text": openmetrics_latest}
CHANGING = (b"process_", b"python_gc_")


def registered(*collectors):
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


def used(routes):
    """All our metrics, with so many routes' worth of series."""
    metrics = Metrics(models=["openai/gpt-4o"], routes=[])
    for route in range(routes):
        metrics.store_counter(f"s{route}", "get")()
        metrics.store_timer(f"s{route}", "get")(0.001 * route)
    metrics.watch("sidecar_ready", lambda: {(): True})
    return metrics


@pytest.mark.parametrize(("accept", "encoder"), ENCODERS.items())
async def test_what_we_count_reads_byte_for_byte_as_prometheus_client_would_write_it(accept, encoder):
    registry = used(routes=20).registry
    ours = (await expose(registry, accept, "")).body.splitlines(keepends=True)
    theirs = encoder(registry).splitlines(keepends=True)
    assert [line for line in ours if not line.startswith(CHANGING)] == [
        line for line in theirs if not line.startswith(CHANGING)
    ]
    assert len(ours) == len(theirs)


VALUES = st.floats() | st.integers(-(10**9), 10**9).map(float) | st.sampled_from([1e6, 999_999.5, 1e-7, 1e21, -1e6])
WORDS = st.text(max_size=8) | st.text(alphabet='\\\n"{},le= é', max_size=8)
ROWS = st.dictionaries(st.tuples(WORDS, WORDS, WORDS), VALUES, max_size=4)


@pytest.mark.parametrize(("accept", "encoder"), ENCODERS.items())
@given(rows=ROWS, said=WORDS)
def test_odd_numbers_labels_and_words_are_written_as_prometheus_client_writes_them(accept, encoder, rows, said):
    # Labels that sort before and after a bucket's `le`, in an order that is not theirs.
    tally = Tally(Metric("made", Kind.COUNTER, said, ("z", "a", "m")))
    spread = Spread(Metric("play_seconds", Kind.HISTOGRAM, said, ("z", "a", "m"), (1e-05, 0.5, 2e7)))
    gauge = Asked(Metric("now", Kind.GAUGE, said, ("z", "a", "m")))
    gauge.watch(lambda: rows)
    for labels, value in rows.items():
        tally.add(*labels, amount=value)
        spread.observe(value, *labels)
    registry = registered(tally, spread, gauge)
    assert asyncio.run(expose(registry, accept, "")).body == encoder(registry)


@pytest.mark.parametrize(("accept", "encoder"), ENCODERS.items())
async def test_what_others_count_is_left_to_the_encoders_of_prometheus_client(registry, accept, encoder):
    Info("shop", "Which.", registry=registry).info({"name": "a"})
    Summary("nap_seconds", "Sleep.", registry=registry).observe(2)
    theirs = encoder(registry).decode().splitlines()
    ours = (await expose(registry, accept, "")).body.decode().splitlines()
    assert ours == [line for line in theirs if "_created" not in line]


@pytest.mark.parametrize("wanted", ["play_seconds", "play_seconds_sum", "play_seconds_bucket", "made_total", "now"])
async def test_single_names_of_what_we_count_can_be_asked_for(wanted):
    tally, spread = Tally(Metric("made", Kind.COUNTER, "M.")), Spread(Metric("play_seconds", Kind.HISTOGRAM, "P."))
    gauge = Asked(Metric("now", Kind.GAUGE, "N."))
    gauge.watch(lambda: {(): 1.0})
    tally.add()
    spread.observe(1.0)
    text = (await expose(registered(tally, spread, gauge), "", "", [wanted])).body.decode()
    assert {name for name in names(text) if not name.startswith(wanted)} == set()
    assert names(text)


# Nobody waits for it


@asynccontextmanager
async def turning():
    """Counts the turns of the event loop: `turns[0]`."""
    turns = [0]

    async def turn():
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(turn())
    yield turns
    task.cancel()


def longest_hold(turns_seen):
    """How many rows were read between two turns of the loop."""
    return max(turns_seen.count(turn) for turn in set(turns_seen))


@pytest.mark.parametrize("accept", ENCODERS)
@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize("wanted", [(), ("many_seconds",), ("many_seconds_sum",), ("nothing",)])
async def test_a_family_of_any_size_is_written_a_piece_at_a_time(accept, encoding, wanted):
    seen = []

    class Many(Tally):
        def collect(self):
            def rows():
                for row in range(2000):
                    seen.append(turns[0])
                    yield (f"r{row}",), (1.0, 2.0, 3.0)

            yield Counted("many_seconds", "Many.", "histogram", ("a",), ("1.0", "+Inf"), rows())

    async with turning() as turns:
        exposition = await expose(registered(Many(Metric("many", Kind.COUNTER, "M."))), accept, encoding, wanted)
    body = gzip.decompress(exposition.body) if encoding else exposition.body
    lines = [line for line in body.splitlines() if line.startswith(b"many")]
    assert len(lines) == {(): 8000, ("many_seconds",): 8000, ("many_seconds_sum",): 2000, ("nothing",): 0}[wanted]
    assert not seen or longest_hold(seen) <= PIECE_BYTES / LOOK_COST


@pytest.mark.parametrize("accept", ENCODERS)
async def test_a_scrape_lets_the_loop_turn_once_for_each_piece(accept):
    metrics = used(routes=100)
    async with turning() as turns:
        before = turns[0]
        exposition = await expose(metrics.registry, accept, "")
    assert turns[0] - before >= len(exposition.body) / (2 * PIECE_BYTES)
    assert len(exposition.body) > 10 * PIECE_BYTES


async def test_the_numbers_of_several_workers_are_added_up_a_piece_at_a_time():
    merged = Merged()
    for number in range(4):
        merged.join(str(number)).read(reading(used(routes=100).registry))
    async with turning() as turns:
        exposition = await expose(merged, "", "")
    assert turns[0] >= len(exposition.body) / (2 * PIECE_BYTES)
    assert b'sidecar_store_operations_total{operation="get",store="s7"} 4.0\n' in exposition.body


async def test_what_is_counted_while_it_is_written_leaves_a_series_of_one_moment():
    spread = Spread(Metric("play_seconds", Kind.HISTOGRAM, "Play.", ("a",), (1.0,)))
    for row in range(500):
        spread.observe(0.5, f"r{row}")

    async def play():
        for row in range(10_000):
            spread.observe(0.5, f"r{row % 700}")
            if not row % 100:
                await asyncio.sleep(0)

    playing = asyncio.create_task(play())
    text = (await expose(registered(spread), "", "")).body.decode()
    await playing
    (family,) = text_families(text)
    found = {}
    for sample in family.samples:
        found.setdefault(sample.labels["a"], {})[sample.name, sample.labels.get("le")] = sample.value
    assert len(found) >= 500
    for series in found.values():
        count = series["play_seconds_count", None]
        assert series["play_seconds_bucket", "1.0"] == series["play_seconds_bucket", "+Inf"] == count
        assert series["play_seconds_sum", None] == count / 2
