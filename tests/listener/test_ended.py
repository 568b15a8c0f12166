"""What is told of a request once it is over, however much later that is."""

from aiohttp import HttpVersion10, HttpVersion11
from msgspec.structs import replace

from sidecar.listener.answers import Way
from sidecar.listener.decisions import Decided
from sidecar.listener.ended import Ended
from sidecar.routing.decision import Decision, Reason
from sidecar.routing.session import SessionKey
from sidecar.telemetry.counts import AT, Counts, kind_of
from sidecar.telemetry.pseudonym import Pseudonyms
from sidecar.telemetry.record import Attempt
from sidecar.telemetry.trace import Trace
from sidecar.upstream.order import Attempted
from sidecar.wire.account import Account
from sidecar.wire.formats import Format
from sidecar.wire.translate.neutral import Usage

ANSWER = b'{"model":"m-1","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":5}}'
NAMES = Pseudonyms("key")


def ended(**more):
    """A request that came at 100 s and was over at 102, when it was 1,700,000,002 by the calendar."""
    usual = {"way": Way("/x", Trace("t", "r")), "status": 200, "code": None, "culprit": None, "began_at": 100.0}
    times = {"ended_at": 102.0, "ended_unix_s": 1_700_000_002.0}
    said = {"method": "POST", "version": HttpVersion11, "remote": "192.0.2.1", "user_agent": "a/1", "bytes_in": 7}
    return Ended(**{**usual, **times, **said, **more})


def test_a_record_has_the_times_at_which_the_request_came_and_was_over():
    record = ended().record(NAMES)
    assert (record.began_at_s, record.seconds) == (1_700_000_000.0, 2.0)
    assert (record.client, record.user_agent, record.bytes_in) == ("192.0.2.1", "a/1", 7)


def test_what_a_whole_answer_cost_is_read_when_its_record_is_made():
    one = ended()
    one.way.journal.unread = (Format.CHAT, "application/json; charset=utf-8", ANSWER)
    record = one.record(NAMES)
    assert (record.usage, record.finish, record.response_model) == (Usage(3, 5), "stop", "m-1")


def test_an_answer_that_says_nothing_of_its_cost_or_is_no_json_leaves_it_unknown():
    for content_type, answer in (("application/json", b"[1]"), ("application/json", b"{"), ("audio/mpeg", ANSWER)):
        one = ended()
        one.way.journal.unread = (Format.CHAT, content_type, answer)
        assert one.record(NAMES).usage is None


def test_what_was_read_on_the_way_is_not_read_again():
    one = ended()
    one.way.journal.account = Account(Usage(1, 2), "length")
    assert (one.record(NAMES).usage, one.record(NAMES).finish) == (Usage(1, 2), "length")


def test_an_answer_that_is_told_and_counted_is_read_once_and_let_go_of():
    one = ended()
    one.way.journal.unread = (Format.CHAT, "application/json", ANSWER)
    one.way.journal.attempts.append(Attempted("p", "a/b", 100.25, "s", "answered", 1.0, 0.75, 200, 1.5))
    counts = Counts()
    one.count(counts)
    ((_, (numbers,)),) = counts.alike.items()
    assert (numbers[AT["input"]], numbers[AT["output"]]) == (3, 5)
    assert one.way.journal.unread is None
    assert one.record(NAMES).usage == Usage(3, 5)


def test_a_client_that_did_not_wait_and_an_answer_to_head_count_as_they_are_told():
    one, counts = ended(code="client_gone", method="HEAD"), Counts()
    one.way.journal.bytes_out = 15
    one.count(counts)
    ((kind, (numbers,)),) = counts.alike.items()
    assert (kind_of(kind).status, numbers[AT["bytes_out"]]) == (499, 0)


def test_attempts_and_first_bytes_are_told_from_the_beginning_of_the_request():
    one = ended()
    one.way.journal.first_byte_at = 101.5
    one.way.journal.attempts.append(Attempted("p", "a/b", 100.25, "s", "answered", 1.0, 0.75, 200, 1.5))
    record = one.record(NAMES)
    assert record.attempts == (Attempt("p", "a/b", "answered", 0.25, 1.5, 0.75, 200, "s"),)
    assert (record.first_byte_s, record.provider_s) == (1.5, 1.0)


def test_a_client_that_did_not_wait_is_a_499_whatever_was_sent():
    assert ended(code="client_gone").record(NAMES).status == 499
    assert ended(code="upstream_reset").record(NAMES).status == 200


def test_an_answer_to_head_has_no_bytes():
    for method, told in (("HEAD", 0), ("GET", 15)):
        one = ended(method=method)
        one.way.journal.bytes_out = 15
        assert one.record(NAMES).bytes_out == told


def test_a_decided_request_is_told_with_its_session_by_a_hash_and_with_the_model_it_was_decided_for():
    one, session = ended(), SessionKey("secret", source="x-session-id")
    one.way.decided = Decided(Decision(("a/b", "c/d"), None, Reason.NO_ROUTES), session)
    record = one.record(NAMES)
    assert (record.model, record.session_hash) == ("a/b", NAMES.of(session))
    one.way.model = "c/d"
    assert one.record(NAMES).model == "c/d", "the one that answers"


def test_the_protocol_is_the_clients():
    assert ended().record(NAMES).protocol == "HTTP/1.1"
    assert replace(ended(), version=HttpVersion10, remote=None).record(NAMES).protocol == "HTTP/1.0"
