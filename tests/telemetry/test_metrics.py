"""The list of metrics: what operators read before they know anything else."""

import re

import pytest

from sidecar.telemetry.metrics import METRICS, Kind

SESSIONS_AND_PROMPTS = {"session", "session_id", "prompt", "user", "key", "path", "url", "trace_id", "request_id"}


def test_every_name_stands_there_once():
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_ours_or_opentelemetrys_and_says_what_it_means(metric):
    assert re.fullmatch(r"(sidecar|gen_ai)_[a-z][a-z_]*[a-z]", metric.name)
    assert metric.help[0].isupper() or metric.help[0].isdigit()
    assert metric.help.endswith(".")
    assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_no_label_could_hold_a_session_or_a_prompt(metric):
    assert not SESSIONS_AND_PROMPTS & set(metric.labels)


@pytest.mark.parametrize(
    "metric", [metric for metric in METRICS if metric.kind is Kind.HISTOGRAM], ids=lambda m: m.name
)
def test_buckets_rise(metric):
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.buckets
