import os
from itertools import repeat

import pytest
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from sidecar.telemetry.trace import Traces

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01", f"00-{TRACE_ID}-{PARENT_ID}-00"
ALL, NONE = Traces(100, exporting=True), Traces(0, exporting=True)


def asked(traceparent, **more):
    return {"traceparent": traceparent, **more}


def test_a_trace_goes_on_with_the_client_as_its_parent():
    trace = ALL.of(asked(SAMPLED))
    assert (trace.trace_id, trace.parent_id, len(trace.span_id)) == (TRACE_ID, PARENT_ID, 16)


@pytest.mark.parametrize(
    "traceparent",
    [
        f"00-{TRACE_ID}-{PARENT_ID}-ff",
        f"00-{TRACE_ID}-{PARENT_ID}-03",
        f"01-{TRACE_ID}-{PARENT_ID}-01",
        f"cc-{TRACE_ID}-{PARENT_ID}-01-what-the-future-will-be-like",
        f"cc-{TRACE_ID}-{PARENT_ID}-01-",
    ],
)
def test_flags_and_versions_of_the_future_are_read_as_far_as_they_are_known(traceparent):
    trace = NONE.of(asked(traceparent))
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (TRACE_ID, PARENT_ID, True)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "garbage",
        f"00-{TRACE_ID}-{PARENT_ID}",
        f"00-{TRACE_ID}-{PARENT_ID}-01-more",
        f"00-{TRACE_ID}-{PARENT_ID}-01.",
        f"cc-{TRACE_ID}-{PARENT_ID}-01.what-the-future-will-not-be-like",
        f"ff-{TRACE_ID}-{PARENT_ID}-01",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-{PARENT_ID}-01",
        f"00-{TRACE_ID[1:]}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{PARENT_ID}-0g",
        f" 00-{TRACE_ID}-{PARENT_ID}-01",
    ],
)
def test_what_is_no_traceparent_begins_a_new_trace(traceparent):
    trace = ALL.of(asked(traceparent))
    assert trace.trace_id != TRACE_ID
    assert (len(trace.trace_id), trace.parent_id) == (32, None)


def test_the_clients_flag_wins_over_the_ratio():
    assert NONE.of(asked(SAMPLED)).sampled
    assert not ALL.of(asked(UNSAMPLED)).sampled


def test_without_a_place_to_send_spans_nothing_is_sampled():
    nowhere = Traces(100, exporting=False)
    assert not nowhere.of(asked(SAMPLED)).sampled
    assert not nowhere.of({}).sampled


@pytest.mark.parametrize(("per_cent", "low", "high"), [(100, 1000, 1000), (50, 400, 600), (1, 0, 40), (0, 0, 0)])
def test_the_ratio_is_kept_roughly(per_cent, low, high):
    traces = Traces(per_cent, exporting=True)
    assert low <= sum(traces.of({}).sampled for _ in range(1000)) <= high


@pytest.mark.parametrize("per_cent", [0, 0.1, 10, 33.3, 50, 99.9, 100])
def test_a_trace_id_decides_as_it_does_for_every_other_program(per_cent):
    traces, theirs = Traces(per_cent, exporting=True), TraceIdRatioBased(per_cent / 100)
    edges = [f"{theirs.bound + step:032x}" for step in (-1, 0, 1) if 0 <= theirs.bound + step < 1 << 64]
    for trace_id in (*(os.urandom(16).hex() for _ in repeat(None, 500)), *edges):
        same = theirs.should_sample(None, int(trace_id, 16), "x").decision.is_sampled()
        assert traces._samples(trace_id) == same, trace_id


def test_each_attempt_of_a_sampled_request_is_a_span_that_its_provider_hears_of():
    trace = ALL.of(asked(SAMPLED))
    (first, told_first), (second, told_second) = trace.attempt(), trace.attempt()
    assert len({PARENT_ID, trace.span_id, first, second}) == 4
    assert told_first == f"00-{TRACE_ID}-{first}-01"
    assert told_second == f"00-{TRACE_ID}-{second}-01"


def test_of_a_request_that_is_not_sampled_the_clients_own_header_goes_on():
    assert ALL.of(asked(UNSAMPLED)).attempt() == ("", None)
    assert Traces().of(asked(SAMPLED)).attempt() == ("", None)


def test_of_a_request_without_a_trace_that_is_not_sampled_the_provider_hears_a_new_one():
    trace = NONE.of({})
    span_id, told = trace.attempt()
    version, trace_id, parent_id, flags = told.split("-")
    assert (span_id, version, trace_id, len(parent_id), flags) == ("", "00", trace.trace_id, 16, "00")


def test_the_request_id_is_the_clients_or_new():
    assert ALL.of({"x-request-id": "mine"}).request_id == "mine"
    assert ALL.of({"x-request-id": "not visible"}).request_id != "not visible"
    ours = ALL.of({})
    assert ours.request_id == ours.trace_id
    assert ALL.of(asked(SAMPLED)).request_id not in (TRACE_ID, ALL.of(asked(SAMPLED)).request_id)
