"""The metrics as scrapers read them."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from sidecar.telemetry.exposition import OPENMETRICS, TEXT, expose
from sidecar.telemetry.meter import Metrics

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
def test_the_format_is_the_one_the_scraper_likes_best(registry, accept, kind):
    exposition = expose(registry, accept, "")
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
def test_it_is_compressed_for_whoever_can_read_that(registry, accept_encoding, compressed):
    exposition = expose(registry, "", accept_encoding)
    assert exposition.headers.get("Content-Encoding") == ("gzip" if compressed else None)
    plain = gzip.decompress(exposition.body) if compressed else exposition.body
    assert b'toys_total{kind="ball"} 2.0' in plain
    assert exposition.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(("accept", "families"), [("", text_families), (PROMETHEUS_3, openmetrics_families)])
def test_when_a_series_was_made_is_not_a_series(registry, accept, families):
    text = expose(registry, accept, "").body.decode()
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
def test_single_names_can_be_asked_for(registry, wanted, found):
    assert names(expose(registry, "", "", wanted).body.decode()) == found


@given(st.text(alphabet='aq/=;,.0159* "gzip', max_size=60), st.text(max_size=30))
def test_whatever_a_scraper_says_it_is_answered(accept, accept_encoding):
    assert expose(CollectorRegistry(), accept, accept_encoding).headers["Content-Type"] in (TEXT, OPENMETRICS)


def test_of_our_own_metrics_both_formats_are_readable():
    registry = Metrics(models=["openai/gpt-4o"], routes=["code"]).registry
    text = expose(registry, "", "").body.decode()
    assert "sidecar_build_info" in names(text)
    assert names(text) == names(expose(registry, PROMETHEUS_3, "").body.decode(), openmetrics_families)
