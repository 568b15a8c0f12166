"""What of a provider's answer crosses to the client, header by header and in lines."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.upstream.answer import Answer, Malformed
from sidecar.upstream.relaying import ANOTHER, AS_IT_IS, FILTERED, UNCOUNTED, relayed, to_client


def test_the_providers_headers_come_back_in_order_and_with_repeats():
    provider = [("Date", "d"), ("x-ratelimit-a", "1"), ("Link", "a"), ("link", "b"), ("Content-Length", "3")]
    assert list(to_client(provider).items()) == provider


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Keep-Alive", "Transfer-Encoding", "Trailer", "Upgrade", "Proxy-Authenticate", "Set-Cookie",
        "Alt-Svc", "Strict-Transport-Security", "Access-Control-Allow-Origin", "x-sidecar-pin", "X-Sidecar-Model",
    ],
)  # fmt: skip
def test_what_is_of_the_providers_connection_or_address_or_only_ours_to_say_is_not_relayed(name):
    assert not to_client([(name, "value")])


def test_what_the_providers_connection_names_is_not_relayed():
    assert list(to_client([("Connection", "x-once"), ("X-Once", "1"), ("X-B", "2")])) == ["X-B"]


def test_length_type_and_encoding_are_untrue_of_a_body_that_was_touched():
    provider = [
        ("Content-Length", "3"),
        ("Content-Encoding", "gzip"),
        ("ETag", "e"),
        ("Content-Type", "a/b"),
        ("X", "1"),
    ]
    crossed = to_client(provider, stays=ANOTHER, ours=[("Content-Type", "text/event-stream")])
    assert list(crossed.items()) == [("X", "1"), ("Content-Type", "text/event-stream")]


def test_our_own_headers_take_the_place_of_the_providers():
    crossed = to_client([("X-Request-Id", "theirs")], ours=[("x-request-id", "r-1")])
    assert crossed.getall("x-request-id") == ["r-1"]


@pytest.mark.parametrize("name", ["Retry-After", "x-should-retry", "request-id", "anthropic-ratelimit-requests-reset"])
def test_what_a_clients_own_retries_go_by_is_relayed(name):
    assert to_client([(name, "1")], stays=ANOTHER)[name] == "1"


OURS = [("x-sidecar-model", "a/b"), ("x-request-id", "r-1")]
KNOWN = st.sampled_from(
    [
        "Connection", "keep-alive", "Transfer-Encoding", "SET-COOKIE", "Set-Cookie2", "Alt-Svc", "x-sidecar-pin",
        "Access-Control-Allow-Origin", "X-Request-Id", "X-Request-Id-2", "x-sidecar", "connections", "vary", "Server",
    ]
)  # fmt: skip
NAMES = KNOWN | st.text("abcX-", min_size=1, max_size=8)
VALUES = st.sampled_from(["keep-alive", "close", "x-a, Keep-Alive", "", "1: 2", "caf\udce9", " spaced\t"])


def lines(headers):
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode(errors="surrogateescape")


def stripped(headers):
    return [(name, value.strip(" \t")) for name, value in headers]


def parsed(text):
    found = [line.partition(":") for line in text.decode(errors="surrogateescape").split("\r\n")[:-1]]
    return stripped((name, value) for name, _, value in found)


def answered(head):
    answer = Answer()
    answer.feed(head + b"\r\n")
    return answer


@given(
    theirs=st.lists(st.tuples(NAMES, VALUES), max_size=8),
    stays=st.sampled_from([AS_IT_IS, UNCOUNTED, FILTERED, ANOTHER]),
)
def test_the_lines_of_a_head_cross_as_its_headers_do(theirs, stays):
    answer = Answer()
    with suppress(Malformed):  # a transfer encoding of no known kind
        answer.feed(b"HTTP/1.1 200 OK\r\n" + lines(theirs) + b"\r\n")
    if answer.status:
        sent = relayed(answer, lines(OURS), stays)
        crossed = to_client(stripped(theirs), stays=stays, ours=OURS).items()
        assert sent is None or parsed(sent.sent) == list(crossed)
        listed = [value.lower().strip() for name, value in theirs if name.lower() == "connection"]
        assert (sent is None) == (listed not in ([], ["keep-alive"], ["close"]))


def test_a_head_is_relayed_in_one_piece_and_byte_for_byte():
    theirs = [("Server", "  nginx"), ("Connection", "Keep-Alive"), ("x-caf\u00e9".encode().hex(), "caf\udce9")]
    sent = relayed(answered(b"HTTP/1.1 200 OK\r\n" + lines(theirs)), lines(OURS))
    assert (sent.sent, sent.length, sent.dated) == (lines([theirs[0], theirs[2], *OURS]), None, False)


def test_what_a_sender_needs_to_know_of_the_lines_is_told_beside_them():
    answer = answered(b"HTTP/1.1 200 OK\r\nDATE: Now\r\nContent-length: 0\r\n")
    told = [relayed(answer, b"", stays) for stays in (AS_IT_IS, UNCOUNTED)]
    assert [(sent.length, sent.dated) for sent in told] == [(0, True), (None, True)]


def test_lines_that_end_without_a_carriage_return_end_with_one_for_the_client():
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\nServer: nginx\r\nContent-Length: 0\n\n")
    assert relayed(answer, lines(OURS)).sent == lines([("Server", "nginx"), ("Content-Length", "0"), *OURS])


def test_of_a_head_with_nothing_that_crosses_only_ours_is_left():
    assert relayed(answered(b"HTTP/1.1 204 No Content\r\nset-cookie: a\r\n"), lines(OURS)).sent == lines(OURS)
    assert relayed(answered(b"HTTP/1.1 204 No Content\r\n"), lines(OURS)).sent == lines(OURS)


@pytest.mark.parametrize(
    "listed", ["x-once", "close, x-once", "keep-alive\r\nConnection: x-once", "close\r\nconnection:close"]
)
def test_where_connection_lists_more_than_what_becomes_of_it_the_names_do_not_tell(listed):
    answer = answered(b"HTTP/1.1 204 No Content\r\nx-once: 1\r\nConnection: %b\r\n" % listed.encode())
    assert relayed(answer, lines(OURS)) is None


def test_ours_that_are_not_only_ours_are_looked_at_one_by_one():
    assert relayed(answered(b"HTTP/1.1 204 No Content\r\n"), None) is None
