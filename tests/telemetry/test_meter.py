"""What is counted when, under labels that no client can make up."""

import pytest
from msgspec.structs import replace
from records import counts, record

from sidecar.routing.decision import Decision, Lookup, Pin, Reason
from sidecar.routing.session import SessionKey
from sidecar.routing.verdict import Failure, Verdict
from sidecar.telemetry.calls import Calls
from sidecar.telemetry.meter import Metrics
from sidecar.telemetry.metrics import METRICS, Kind
from sidecar.telemetry.record import Attempt, Caller
from sidecar.telemetry.requests import MOST_KINDS, Requests
from sidecar.telemetry.tally import Spread, Tally
from sidecar.wire.translate.neutral import Usage

MODEL = "openai/gpt-4o"
GEN_AI = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "openai", "gen_ai_request_model": MODEL}


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def metrics():
    return Metrics(models=[MODEL], routes=["code"])


def decided(reason=Reason.ROUTED, lookup=Lookup.MISS, model=MODEL, route="code"):
    pinned = reason is Reason.PINNED
    return Decision((model,), route, reason, lookup, pinned)


def answered(**more):
    attempt = Attempt(provider="first", model=MODEL, outcome="answered", began_s=0.5, seconds=3.5, first_byte_s=0.5)
    return record(attempts=(attempt,), model=MODEL, operation="chat", **more)


def test_a_decision_is_counted_by_what_the_configuration_knows():
    seen = metrics()
    seen.told(counts(record(endpoint="/x", decision=decided(), session=SessionKey("s", source="x-model-affinity"))))
    assert value(seen, "sidecar_decisions_total", endpoint="/x", route="code", model=MODEL, reason="routed") == 1
    assert value(seen, "sidecar_pin_lookups_total", outcome="miss", source="x-model-affinity") == 1


def test_kinds_that_are_forgotten_count_on_in_the_same_series():
    calls, tallies, spreads = Calls(frozenset(), frozenset(), {}, {}), {}, {}
    for metric in METRICS:
        if metric.kind is Kind.HISTOGRAM:
            spreads[metric.name] = Spread(metric)
        else:
            tallies[metric.name] = Tally(metric)
    requests = Requests(frozenset(), frozenset(), calls, tallies, spreads)
    told = [record(code=f"code-{n % 2}", caller=Caller("one", f"label-{n}")) for n in range(MOST_KINDS + 10)]
    for each in told * 2:
        requests.told(counts(each), 0.0)
    assert len(requests) == MOST_KINDS
    assert tallies["sidecar_http_requests"].cell("/v1/chat/completions", "2xx").value == 2 * len(told)
    assert {tallies["sidecar_caller_requests"].cell(one.caller.label, "2xx").value for one in told} == {2}
    assert spreads["sidecar_added_latency_seconds"].bins("/v1/chat/completions").row()[-1] == pytest.approx(
        2 * len(told)
    )


def test_what_ended_under_a_configuration_counts_under_its_labels():
    seen, waiting = metrics(), [record(endpoint="/x", decision=decided())]
    seen.before_read(lambda: seen.told(counts(waiting.pop())) if waiting else None)
    seen.learn(models=["openai/other"], routes=[])
    assert not waiting
    assert value(seen, "sidecar_decisions_total", endpoint="/x", route="code", model=MODEL, reason="routed") == 1


def test_10_000_models_routes_and_sessions_nobody_configured_grow_no_series():
    seen = metrics()

    def one(n):
        session = SessionKey(f"session-{n}")
        strange = decided(model=f"openai/{n}", route=f"route-{n}")
        usage = Usage(10, 10, 5)
        attempt = Attempt(provider="first", model=f"openai/{n}", outcome="answered", began_s=0, seconds=1)
        told = answered(decision=strange, session=session, requested=f"model-{n}", usage=usage, streamed=True)
        seen.told(
            counts(replace(told, model=f"openai/{n}", attempts=(attempt,), first_byte_s=0.5, response_model=f"m-{n}"))
        )
        seen.told(counts(record(code="invalid_session_id", culprit=f"x-{n}", status=400)))
        seen.pin_created(Pin((f"openai/{n}",), f"route-{n}", Reason.ROUTED, 0.0))
        seen.watch("sidecar_pins", dict) if n == 0 else None

    def series():
        return sum(len(family.samples) for family in seen.registry.collect())

    one(0)
    before = series()
    for n in range(1, 10_000):
        one(n)
    assert series() == before
    assert value(seen, "sidecar_pins_created_total", model="other") == 10_000
    assert len(seen.pins_by_model({f"openai/{n}": 1 for n in range(10_000)})) == 1


def test_a_hit_saves_the_time_that_a_classification_took_of_late():
    seen = metrics()
    seen.judged(Verdict("code", 1.0), 0.2)
    for _ in range(3):
        seen.told(counts(record(decision=decided(Reason.PINNED, Lookup.HIT), session=SessionKey("s"))))
    assert value(seen, "sidecar_classifier_calls_saved_total") == 3
    assert value(seen, "sidecar_classifier_seconds_saved_total") == pytest.approx(0.6)


def test_a_classifier_that_is_not_asked_takes_no_time():
    seen = metrics()
    seen.judged(Verdict("code", 1.0), 0.2)
    for _ in range(100):
        seen.judged(Verdict(failure=Failure.OPEN), 0.00001)
    seen.told(counts(record(decision=decided(Reason.PINNED, Lookup.HIT), session=SessionKey("s"))))
    assert value(seen, "sidecar_classifier_seconds_saved_total") == pytest.approx(0.2)
    assert value(seen, "sidecar_classifier_duration_seconds_count", kind="embedded") == 1


def test_a_hit_saves_nothing_where_there_are_no_routes_to_choose_from():
    seen = Metrics(models=[MODEL], routes=[])
    seen.told(counts(record(decision=decided(Reason.PINNED, Lookup.HIT), session=SessionKey("s"))))
    assert value(seen, "sidecar_classifier_calls_saved_total") is None


def test_a_refused_session_id_is_a_lookup_of_its_own_by_the_header_it_came_in():
    seen = metrics()
    for culprit in ("x-session-id", "x-made-up"):
        seen.told(counts(record(code="invalid_session_id", culprit=culprit, status=400)))
    assert value(seen, "sidecar_pin_lookups_total", outcome="invalid", source="x-session-id") == 1
    assert value(seen, "sidecar_pin_lookups_total", outcome="invalid", source="other") == 1


def test_what_a_request_took_is_split_between_us_the_provider_and_the_client():
    seen = metrics()
    seen.told(counts(record(endpoint="/x", seconds=10.0, body_s=1.0, provider_s=6.0, client_s=2.5)))
    assert value(seen, "sidecar_added_latency_seconds_sum", endpoint="/x") == pytest.approx(0.5)
    assert value(seen, "sidecar_http_request_duration_seconds_sum", endpoint="/x", status="2xx") == 10.0


def test_statuses_are_counted_by_their_class():
    seen = metrics()
    for status in (200, 204, 404, 499, 503):
        seen.told(counts(record(endpoint="/x", status=status)))
    found = [value(seen, "sidecar_http_requests_total", endpoint="/x", status=f"{n}xx") for n in (2, 4, 5)]
    assert found == [2, 2, 1]


def test_usage_becomes_opentelemetrys_metrics_and_the_share_of_the_prompt_cache():
    seen = metrics()
    usage = Usage(input=1000, output=50, cache_read=800)
    seen.told(counts(answered(decision=decided(Reason.PINNED, Lookup.HIT), session=SessionKey("s"), usage=usage)))
    tokens = [
        value(seen, "gen_ai_client_token_usage_sum", **GEN_AI, gen_ai_token_type=kind) for kind in ("input", "output")
    ]
    assert tokens == [1000, 50]
    assert value(seen, "sidecar_prompt_tokens_total", model=MODEL, pinned="true") == 1000
    assert value(seen, "sidecar_cached_prompt_tokens_total", model=MODEL, pinned="true") == 800


def test_a_stream_has_a_first_token_and_a_time_per_token():
    seen = metrics()
    seen.told(counts(answered(seconds=4.0, streamed=True, first_byte_s=1.0, usage=Usage(10, 31))))
    assert value(seen, "gen_ai_server_time_to_first_token_seconds_sum", **GEN_AI) == pytest.approx(0.5)
    assert value(seen, "gen_ai_server_time_per_output_token_seconds_sum", **GEN_AI) == pytest.approx(0.1)
    assert value(seen, "gen_ai_client_operation_duration_seconds_sum", **GEN_AI, error_type="") == pytest.approx(3.5)


def test_how_fast_tokens_come_is_not_told_by_an_answer_that_breaks_off():
    """Anthropic's streams begin with a count of a few tokens and tell the true one at their end."""
    seen = metrics()
    seen.told(
        counts(answered(seconds=60.0, streamed=True, first_byte_s=1.0, usage=Usage(10, 8), code="upstream_reset"))
    )
    assert value(seen, "gen_ai_server_time_to_first_token_seconds_count", **GEN_AI) == 1
    assert not value(seen, "gen_ai_server_time_per_output_token_seconds_count", **GEN_AI)


def test_an_answer_that_breaks_off_is_a_reset_of_its_provider_and_an_error_type():
    seen = metrics()
    seen.told(counts(answered(seconds=4.0, code="upstream_reset")))
    assert value(seen, "sidecar_upstream_resets_total", provider="first", reason="upstream_reset") == 1
    labels = {**GEN_AI, "error_type": "upstream_reset"}
    assert value(seen, "gen_ai_client_operation_duration_seconds_count", **labels) == 1


def test_an_answer_that_makes_no_sense_is_no_reset():
    seen = metrics()
    seen.told(counts(answered(seconds=4.0, code="upstream_invalid_answer", status=502)))
    assert value(seen, "sidecar_upstream_resets_total", provider="first", reason="upstream_invalid_answer") is None


def test_an_attempt_counts_when_its_outcome_is_known_and_its_time_when_it_is_over():
    seen = metrics()
    seen.attempted("first", "answered")
    seen.attempted("first", "connect")
    assert value(seen, "sidecar_upstream_attempts_total", provider="first", outcome="connect") == 1
    assert value(seen, "sidecar_upstream_first_byte_seconds_count", provider="first") is None
    seen.told(counts(answered()))
    assert value(seen, "sidecar_upstream_first_byte_seconds_sum", provider="first") == 0.5
    assert value(seen, "sidecar_upstream_duration_seconds_sum", provider="first") == 3.5


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Verdict("code", 1.0), "match"),
        (Verdict(), "no_match"),
        (Verdict(failure=Failure.TIMEOUT), "classifier_timeout"),
    ],
)
def test_verdicts_are_counted_by_outcome(verdict, outcome):
    seen = metrics()
    seen.judged(verdict, 0.001)
    assert value(seen, "sidecar_classifier_verdicts_total", kind="embedded", outcome=outcome) == 1


def test_a_pins_life_is_told_at_its_end():
    seen = metrics()
    pin = Pin((MODEL,), "code", Reason.ROUTED, 0.0)
    seen.pin_created(pin)
    seen.pin_moved(pin, "refresh", 30.0, 4)
    seen.pin_removed("expired", 90.0, 7)
    assert value(seen, "sidecar_pins_created_total", model=MODEL) == 1
    assert value(seen, "sidecar_pins_moved_total", reason="refresh") == 1
    assert value(seen, "sidecar_pins_removed_total", reason="expired") == 1
    assert value(seen, "sidecar_pin_age_seconds_sum") == 120.0
    assert value(seen, "sidecar_pin_requests_sum") == 7


def test_two_servers_in_one_process_do_not_share_a_number():
    one, other = metrics(), metrics()
    one.told(counts(record(code="invalid_json", status=400)))
    assert value(other, "sidecar_errors_total", code="invalid_json") is None
