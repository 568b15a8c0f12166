import pytest
from msgspec.structs import replace

from sidecar.routing.decision import Decision, Lookup, Reason
from sidecar.routing.session import SessionKey
from sidecar.routing.verdict import Failure, Verdict
from sidecar.telemetry.record import Attempt, Record
from sidecar.telemetry.spans import Kind, spans_of
from sidecar.telemetry.trace import Trace
from sidecar.wire.translate.neutral import Usage

TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "req-1", None, "a" * 16, "b" * 16)
SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND

ATTEMPT = Attempt("openai", "openai/gpt-4o", "answered", 0.25, 0.5, 0.125, 200, "c" * 16)
RECORD = Record(
    endpoint="/v1/chat/completions", method="POST", status=200, trace=TRACE, began_at_s=1_700_000_000.0, seconds=1.0,
    client="10.0.0.7", user_agent="curl/8", provider_s=0.5,
    decision=Decision(
        ("openai/gpt-4o", "openai/gpt-4o-mini"), "code", Reason.ROUTED, Lookup.MISS,
        verdict=Verdict("code", 0.75, seconds=0.125),
    ),
    session=SessionKey("run-1"), session_hash="5e55104", model="openai/gpt-4o", attempts=(ATTEMPT,), operation="chat",
    usage=Usage(input=100, output=20, cache_read=60, cache_write=5, reasoning=7), finish="stop",
    response_model="gpt-4o-2024-08-06",
)  # fmt: skip


def told(record=RECORD, **changes):
    """(server, classify or None, attempts)"""
    server, *children = spans_of(replace(record, **changes))
    classify = next((span for span in children if span.kind is Kind.INTERNAL), None)
    return server, classify, [span for span in children if span.kind is Kind.CLIENT]


def test_a_request_is_a_server_span_with_a_child_for_the_classifier_and_one_for_each_attempt():
    server, classify, (attempt,) = told()
    assert (server.name, server.kind) == ("POST /v1/chat/completions", Kind.SERVER)
    assert (classify.name, attempt.name) == ("classify", "chat gpt-4o")
    assert (server.span_id, server.parent_id) == (TRACE.span_id, TRACE.parent_id)
    assert {classify.parent_id, attempt.parent_id} == {TRACE.span_id}
    assert {server.trace_id, classify.trace_id, attempt.trace_id} == {TRACE.trace_id}
    assert attempt.span_id == ATTEMPT.span_id


def test_the_classifier_comes_before_the_provider_and_nothing_leaves_the_request():
    server, classify, (attempt,) = told()
    assert server.times == (BEGAN, BEGAN + SECOND)
    assert classify.times == (BEGAN + SECOND // 8, BEGAN + SECOND // 4)
    assert attempt.times == (BEGAN + SECOND // 4, BEGAN + SECOND * 3 // 4)


def test_clocks_that_disagree_do_not_take_a_child_out_of_its_parent():
    late = replace(ATTEMPT, began_s=0.75, seconds=9.0)
    slow = replace(RECORD.decision, verdict=Verdict(seconds=5.0))
    server, classify, (attempt,) = told(attempts=(late,), decision=slow)
    assert classify.times == (BEGAN, BEGAN + SECOND * 3 // 4)
    assert attempt.times == (BEGAN + SECOND * 3 // 4, server.times[1])


def test_the_server_span_says_what_was_decided_and_why():
    server, _, _ = told(failover="rate_limited", moved=True)
    assert server.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v1/chat/completions",
        "url.path": "/v1/chat/completions",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "10.0.0.7",
        "user_agent.original": "curl/8",
        "gen_ai.conversation.id": "5e55104",
        "sidecar.request_id": "req-1",
        "sidecar.added_seconds": 0.5,
        "sidecar.model": "openai/gpt-4o",
        "sidecar.route": "code",
        "sidecar.reason": "routed",
        "sidecar.pin": "miss",
        "sidecar.pinned": False,
        "sidecar.session.source": "x-session-id",
        "sidecar.failover": "rate_limited",
        "sidecar.pin.moved": True,
    }


def test_an_attempt_has_the_attributes_of_a_call_to_a_model():
    _, _, (attempt,) = told(streamed=True)
    assert attempt.attributes == {
        "sidecar.provider": "openai",
        "sidecar.model": "openai/gpt-4o",
        "sidecar.outcome": "answered",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.125,
        "gen_ai.conversation.id": "5e55104",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 7,
    }


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("anthropic/claude", "anthropic"),
        ("azure_openai/gpt", "azure.ai.openai"),
        ("gemini/pro", "gcp.gemini"),
        ("mistral/large", "mistral_ai"),
        ("xai/grok", "x_ai"),
        ("deepseek/chat", "deepseek"),
        ("groq/llama", "groq"),
        ("ollama/qwen", "ollama"),
    ],
)
def test_a_provider_has_its_well_known_name_where_it_has_one(model, name):
    _, _, (attempt,) = told(attempts=(replace(ATTEMPT, model=model),))
    assert attempt.attributes["gen_ai.provider.name"] == name


def test_a_failover_is_two_attempts_and_only_the_second_has_the_answer():
    failed = replace(ATTEMPT, outcome="rate_limited", status=429, seconds=0.0625, began_s=0.125)
    server, _, (first, second) = told(attempts=(failed, ATTEMPT), failover="rate_limited")
    assert (first.failed, first.attributes["error.type"]) == (True, "rate_limited")
    assert first.attributes["http.response.status_code"] == 429
    assert not [name for name in first.attributes if name.startswith(("gen_ai.usage", "gen_ai.response"))]
    assert "gen_ai.usage.input_tokens" in second.attributes
    assert not second.failed
    assert not server.failed


def test_an_attempt_that_the_client_did_not_wait_for_is_no_error_of_the_providers():
    abandoned = replace(ATTEMPT, outcome="abandoned", status=None, first_byte_s=None)
    server, _, (attempt,) = told(attempts=(abandoned,), status=499, code="client_gone", usage=None)
    assert (attempt.failed, attempt.attributes["sidecar.outcome"]) == (False, "abandoned")
    assert (server.failed, server.attributes["sidecar.code"]) == (False, "client_gone")


def test_an_answer_that_broke_off_is_an_error_of_both_although_its_status_is_200():
    server, _, (attempt,) = told(code="upstream_reset")
    assert (server.failed, server.attributes["error.type"]) == (True, "upstream_reset")
    assert (attempt.failed, attempt.attributes["error.type"]) == (True, "upstream_reset")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "invalid_json", None),
        (404, None, None),
        (500, None, "500"),
        (503, "overloaded", "overloaded"),
        (502, "upstream_unreachable", "upstream_unreachable"),
    ],
)
def test_a_mistake_of_the_clients_is_no_error_of_the_servers(status, code, error):
    server, _, _ = told(status=status, code=code, attempts=())
    assert (server.failed, server.attributes.get("error.type")) == (error is not None, error)


@pytest.mark.parametrize(
    ("verdict", "attributes", "failed"),
    [
        (
            Verdict("code", 0.75),
            {
                "sidecar.classifier.outcome": "match",
                "sidecar.classifier.route": "code",
                "sidecar.classifier.confidence": 0.75,
            },
            False,
        ),
        (Verdict(), {"sidecar.classifier.outcome": "no_match"}, False),
        (
            Verdict(failure=Failure.TIMEOUT),
            {"sidecar.classifier.outcome": "classifier_timeout", "error.type": "classifier_timeout"},
            True,
        ),
    ],
)
def test_the_classifier_span_says_what_came_of_it(verdict, attributes, failed):
    _, classify, _ = told(decision=replace(RECORD.decision, verdict=verdict))
    assert (classify.attributes, classify.failed) == (attributes, failed)


def test_a_pinned_request_has_no_classifier_span():
    pinned = Decision(("openai/gpt-4o",), "code", Reason.PINNED, Lookup.HIT, pinned=True)
    server, classify, _ = told(decision=pinned)
    assert classify is None
    assert (server.attributes["sidecar.pinned"], server.attributes["sidecar.pin"]) == (True, "hit")


def test_a_forwarded_request_is_told_without_its_path_and_without_a_model_call():
    server, _, (attempt,) = told(endpoint="/v1/*", method="DELETE", operation=None, decision=None, usage=None)
    assert (server.name, server.attributes["http.route"], attempt.name) == ("DELETE /v1/*", "/v1/*", "DELETE")
    assert "url.path" not in server.attributes
    assert not [name for name in attempt.attributes if name.startswith("gen_ai") and name != "gen_ai.conversation.id"]


def test_an_unknown_path_and_an_unknown_method_give_no_new_names():
    server, _, _ = told(endpoint="other", method="BREW", decision=None, attempts=())
    assert (server.name, server.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert not {"http.route", "url.path"} & server.attributes.keys()


def test_the_session_is_told_by_its_hash_unless_its_own_id_is_wanted():
    for raw, named in ((False, "5e55104"), (True, "run-1")):
        spans = spans_of(RECORD, raw_session_ids=raw)
        assert {span.attributes.get("gen_ai.conversation.id") for span in spans} == {named, None}
        assert ("run-1" in str([span.attributes for span in spans])) is raw


def test_without_a_session_there_is_no_conversation():
    for raw in (False, True):
        spans = spans_of(replace(RECORD, session=None, session_hash=""), raw_session_ids=raw)
        assert not [span for span in spans if "gen_ai.conversation.id" in span.attributes]


def test_what_others_wrote_is_kept_short_and_can_always_be_encoded():
    server, _, (attempt,) = told(user_agent="\udcff" + "x" * 9999, response_model="é\ud800")
    assert server.attributes["user_agent.original"] == "?" + "x" * 255
    assert attempt.attributes["gen_ai.response.model"] == "é?"


def test_an_attempt_that_sent_nothing_still_has_an_id_of_its_own():
    first, second = (told(attempts=(replace(ATTEMPT, span_id=""),))[2][0].span_id for _ in range(2))
    assert len(first) == 16
    assert first != second
