"""What requests come to, with names for what has none while it is counted."""

from records import counts, record

from sidecar.routing.decision import Decision, Lookup, Reason
from sidecar.routing.session import SessionKey
from sidecar.telemetry.counts import AT, Latest, Numbers, kind_of
from sidecar.telemetry.record import Attempt, Caller
from sidecar.wire.translate.neutral import Usage

MODEL = "openai/gpt-4o"
DECISION = Decision((MODEL, "a/b"), "code", Reason.PINNED, Lookup.HIT, pinned=True)
ANSWERED = Attempt("first", MODEL, "answered", began_s=0.5, seconds=3.0, first_byte_s=0.5)


def only(those):
    """The kind and the numbers of the one request."""
    ((kind, (numbers,)),) = those.alike.items()
    return kind_of(kind), Numbers(*numbers)


def call(**more):
    return record(operation="chat", model=MODEL, **{"seconds": 4.0, "attempts": (ANSWERED,), **more})


def test_requests_with_the_same_labels_are_one_kind_whatever_they_took():
    those = counts(*(call(seconds=float(n), usage=Usage(n, n), decision=DECISION) for n in range(5)))
    ((_, numbers),) = those.alike.items()
    assert [each[AT["seconds"]] for each in numbers] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert not those.unusual


def test_a_kind_says_what_was_decided_and_who_was_asked_by_whom():
    caller = Caller("alice@laptop", "alice")
    kind, _ = only(counts(call(decision=DECISION, session=SessionKey("s"), caller=caller, usage=Usage(1, 2))))
    assert (kind.endpoint, kind.status, kind.code, kind.caller) == ("/v1/chat/completions", 200, None, "alice")
    assert kind.decided == (MODEL, "code", Reason.PINNED, Lookup.HIT, True, "x-session-id")
    assert (kind.call.provider, kind.call.operation, kind.call.tells_usage) == ("first", "chat", True)


def test_a_request_that_asked_nobody_has_no_call_and_its_model_is_the_one_it_was_decided_for():
    kind, numbers = only(counts(record(decision=DECISION)))
    assert (kind.call, kind.model, numbers[4:]) == (None, MODEL, Numbers(0.0, 0.0, 0, 0)[4:])


def test_the_numbers_of_a_call_are_its_times_and_its_tokens():
    numbers = only(counts(call(usage=Usage(10, 5, cache_read=8), bytes_in=3, bytes_out=4)))[1]
    assert (numbers.call_s, numbers.attempt_s, numbers.first_byte_s) == (3.5, 3.0, 0.5)
    assert (numbers.input, numbers.output, numbers.cached) == (10, 5, 8)
    assert (numbers.bytes_in, numbers.bytes_out) == (3, 4)


def test_what_we_took_ourselves_is_never_less_than_nothing():
    assert only(counts(record(seconds=1.0, provider_s=0.75)))[1].added_s == 0.25
    assert only(counts(record(seconds=1.0, provider_s=2.0)))[1].added_s == 0.0


def test_a_stream_tells_its_pace_where_it_is_whole_and_says_what_it_cost():
    kind, numbers = only(counts(call(streamed=True, first_byte_s=1.0, usage=Usage(1, 31))))
    assert (kind.call.has_first_token, kind.call.has_pace) == (True, True)
    assert (numbers.first_token_s, numbers.per_token_s) == (0.5, 0.1)
    for broken in ({"code": "upstream_reset", "usage": Usage(1, 31)}, {"usage": Usage(1, 1)}, {}):
        kind, _ = only(counts(call(streamed=True, first_byte_s=1.0, **broken)))
        assert (kind.call.has_first_token, kind.call.has_pace) == (True, False)


def test_only_a_decided_request_is_among_the_latest():
    those = counts(record(), record(decision=DECISION, session=SessionKey("s"), began_at_s=7.0, seconds=0.5))
    (fields,) = those.latest
    latest = Latest(*fields)
    assert (latest.ended_at_s, latest.session, latest.trace_id) == (7.5, SessionKey("s"), record().trace.trace_id)
    assert kind_of(latest.kind).decided == latest.decided


def test_what_did_not_go_well_at_once_has_its_attempts_told_one_by_one():
    silent = Attempt("second", MODEL, "connect", began_s=0.1, seconds=0.2)
    for attempts, code in (((silent, ANSWERED), None), ((silent,), None), ((ANSWERED,), "upstream_reset")):
        those = counts(call(attempts=attempts, code=code, culprit="model"))
        (unusual,) = those.unusual
        assert [each.provider for each in unusual.attempts] == [each.provider for each in attempts]
        assert (unusual.code, unusual.culprit, only(those)[0].call.provider) == (code, "model", None)
